// SPDX-License-Identifier: Apache-2.0
/*
 * One job's day, all meters together, under the assignments that hold on it.
 */
#include "totals_internal.h"

/* The part of a figure that an assignment speaks of; rounded away from doubt. */
static opcount part_of(opcount v, uint32_t ppm, bool up)
{
	opcount r;

	if (opcount_muldiv(v, ppm, 1000000, &r))
		return OPCOUNT_MAX;
	return up && v % 1000000 * ppm % 1000000 ? r + 1 : r;
}

/* Parts of what a job did that train, in parts per million. */
struct shares {
	uint32_t low, high;
};

/* What only infers may serve the learning of others that it is joined with: that widens what a rule says of
 * its phase, and never what a person says. */
static struct shares shares_of(const struct om_dated *phase, const struct om_dated *serves)
{
	struct shares s = { 0, 1000000 };

	switch (phase_of(phase)) {
	case OM_PHASE_TRAINING:
	case OM_PHASE_FROZEN:
	case OM_PHASE_MIXED:
		s = (struct shares){ phase->share_low_ppm, phase->share_high_ppm };
		break;
	case OM_PHASE_INFERENCE:
		/* What is not the inference share may be training. */
		s.high = 1000000 - phase->share_low_ppm;
		break;
	case OM_PHASE_UNKNOWN:
		break;
	}
	if (serves && !(phase && phase->is_person) && serves->share_high_ppm > s.high)
		s.high = serves->share_high_ppm;
	return s;
}

static void add_training(struct sum *s, const struct shares *part, opcount low, opcount high, opcount ceiling)
{
	add_figure(s, FIG_TRAINING_LOW, part_of(low, part->low, false));
	add_figure(s, FIG_TRAINING_HIGH, part->high == 1000000 ? high : part_of(high, part->high, true));
	add_figure(s, FIG_TRAINING_CEILING,
		   part->high == 1000000 ? ceiling : part_of(ceiling, part->high, true));
}

/* What the devices executed of training; what was asked for stands in where they have no meter. */
static void add_executed(struct sum *s, const struct shares *part, const struct om_evidence *e, opcount low,
			 opcount high)
{
	bool has_device = e->meters >> OM_METER_DEVICE & 1;

	add_figure(s, FIG_EXECUTED_LOW, part_of(has_device ? e->device_low : low, part->low, false));
	add_figure(s, FIG_EXECUTED_HIGH, part_of(has_device ? e->device_high : high, part->high, true));
}

/* A person's word holds; that what was computed speaks against it is told: no more of it than the share that
 * the person's word takes out of training, for the rest is in its upper bound. */
static void add_suspected(struct sum *s, const struct job *j, const struct om_dated *phase, uint32_t day,
			  opcount high)
{
	const struct om_dated *rule;
	uint32_t share;

	if (!phase || !phase->is_person || phase_of(phase) != OM_PHASE_INFERENCE)
		return;
	rule = om_dated_rule_in(&j->assigned[OM_ASSIGN_PHASE], day * DAY_NS, (day + 1ULL) * DAY_NS);
	if (!rule || (phase_of(rule) != OM_PHASE_TRAINING && phase_of(rule) != OM_PHASE_FROZEN &&
		      phase_of(rule) != OM_PHASE_MIXED))
		return;
	share = rule->share_high_ppm < phase->share_low_ppm ? rule->share_high_ppm : phase->share_low_ppm;
	add_figure(s, FIG_SUSPECTED, part_of(high, share, true));
}

static void add_all(struct sum *s, const struct job *j, const struct part *part, size_t n)
{
	struct om_evidence e = { 0 };
	struct om_interval i;
	const struct om_dated *phase = job_holds(j, OM_ASSIGN_PHASE, part->day);
	struct shares shares = shares_of(phase, job_holds(j, OM_ASSIGN_SERVES, part->day));
	opcount high;

	for (size_t k = 0; k < n; k++) {
		const struct om_value *v = part[k].value;

		om_evidence_add_value(&e, part[k].meter, v);
		for (int l = 0; l < OM_LOSS_END; l++)
			add_number(s, NUM_LOSSES, v->lost[l]);
		add_number(s, NUM_CALLS, part[k].meter == OM_METER_SHAPE ? v->calls : 0);
		add_number(s, NUM_LAUNCHES, part[k].meter == OM_METER_LAUNCH ? v->calls : 0);
		if (v->to_ns > s->as_of_ns)
			s->as_of_ns = v->to_ns;
	}
	add_number(s, NUM_REGISTERS, n);
	om_reconcile(&e, &i);
	high = i.roof == OM_ROOF_ALLOCATION ? i.asked_high : i.high;
	add_figure(s, FIG_LOW, i.low);
	add_figure(s, FIG_HIGH, high);
	add_figure(s, FIG_CEILING, i.high);
	add_training(s, &shares, i.low, high, i.high);
	add_executed(s, &shares, &e, i.low, high);
	add_suspected(s, j, phase, part->day, high);
	add_number(s, NUM_GAP_DAYS, e.losses ? 1 : 0);
	add_figure(s, FIG_CONTRADICTED, i.contradicted);
	add_figure(s, FIG_UNATTRIBUTED, i.unattributed);
	if (!s->first_day || part->day < s->first_day)
		s->first_day = part->day;
	s->meters |= e.meters;
	s->is_unbounded |= !i.is_bounded;
	s->attempted |= !(e.meters >> OM_METER_DEVICE & 1);
}

/* A rule that is not sure that a run is of a lineage says so by its share: of such a run nothing is certain
 * of the lineage, and all of it is possible. */
static void speak_of(struct sum *s, const struct om_dated *lineage)
{
	for (int i = 0; lineage && i < FIG_END; i++) {
		bool is_low = i == FIG_LOW || i == FIG_TRAINING_LOW || i == FIG_EXECUTED_LOW;
		uint32_t share = is_low ? lineage->share_low_ppm : lineage->share_high_ppm;

		if (share != 1000000)
			s->figure[i] = part_of(s->figure[i], share, !is_low);
	}
}

void day_add(struct sum *s, const struct cell *c, const struct job *j, const struct part *part, size_t n)
{
	struct sum day = { 0 };

	if (c->group != OM_GROUP_LINEAGE) {
		add_all(s, j, part, n);
		return;
	}
	add_all(&day, j, part, n);
	speak_of(&day, job_holds(j, OM_ASSIGN_LINEAGE, part->day));
	sum_add(s, &day);
}
