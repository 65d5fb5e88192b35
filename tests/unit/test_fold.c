// SPDX-License-Identifier: Apache-2.0
/*
 * Totals of worlds made from a seed: agents that publish, lose, repeat and tear; aggregators that seal, are killed and come back as
 * they were; topics that are compacted. Whatever happened, the totals are those that the test works out by itself from what the agents
 * counted in the end. FOLD_WORLDS and FOLD_SEED in the environment run others.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/totals.h"
#include "userspace/core/reconcile.h"

enum { JOBS = 9, DAYS = 4, KEYS = 6, SLOTS = JOBS * DAYS * KEYS, LOG_MAX = 8192, SUBJECTS = 64, ASSIGNED_MAX = 96, TEXT = 32768 };
#define DAY_NS 86400000000000ULL
#define FIRST_DAY 20780u

enum kind { READING, NULLED, CARRY, ASSIGNMENT };
struct msg {
	enum kind kind;
	struct om_reading r;	/* READING; its key also of NULLED */
	struct om_assignment *a; /* ASSIGNMENT: in the world */
	uint8_t *carry;
	size_t carry_len;
	bool is_gone; /* by compaction */
};

struct log {
	struct msg m[LOG_MAX];
	size_t count;
};

struct aggregator {
	struct om_totals *t;
	size_t at[3];
	struct view {
		char name[320], text[700];
	} view[2 * SUBJECTS]; /* what om_totals_each_changed() told, put together */
	size_t views;
};

struct slot {
	struct om_reading now, sent; /* what the agent counted, and what it last published */
	bool is_there, is_sent;
};

static struct world {
	uint64_t rng;
	bool is_rich; /* all meters; else shapes alone, whose truth is plain sums */
	uint64_t sequence;
	uint32_t today;
	struct slot slot[SLOTS];
	struct om_assignment assigned[ASSIGNED_MAX];
	size_t assigned_count;
	struct log topic[3]; /* readings, carries, assignments */
	struct aggregator ag[2];
	unsigned seen[8]; /* what this world had in it, so that the test knows that it tests it */
} w;

enum { SEEN_LATE, SEEN_REGRESSION, SEEN_UNCOVERED, SEEN_SECOND_CARRY, SEEN_KILL, SEEN_COMPACTED, SEEN_MOVED_AFTER_SEAL, SEEN_TORN };
static unsigned long seen_in_all[8];

static uint64_t rnd(uint64_t n)
{
	w.rng ^= w.rng << 13;
	w.rng ^= w.rng >> 7;
	w.rng ^= w.rng << 17;
	return (w.rng * 0x2545f4914f6cdd1dULL >> 33) % n;
}

static opcount big(void)
{
	return ((opcount)rnd(1u << 30) << 30 | rnd(1u << 30)) << rnd(30);
}

static struct om_id id_of(unsigned kind, unsigned n)
{
	struct om_id id = { { (uint8_t)n, (uint8_t)kind, (uint8_t)(n * 37), 1 } };

	return id;
}

static struct msg *append(int topic)
{
	struct log *l = &w.topic[topic];

	assert_true(l->count < LOG_MAX);
	memset(&l->m[l->count], 0, sizeof(l->m[0]));
	return &l->m[l->count++];
}

static void publish(const struct om_reading *r)
{
	struct msg *m = append(0);

	m->kind = READING;
	m->r = *r;
}

static void publish_null(const struct om_reading *r)
{
	struct msg *m = append(0);

	m->kind = NULLED;
	m->r.key = r->key;
}

/* A few more calls, products, kernels: every counter only grows. */
static void count_more(struct slot *s)
{
	struct om_value *v = &s->now.value;

	v->calls += rnd(1000);
	v->lost[rnd(OM_LOSS_END)] += rnd(2);
	v->nested += rnd(3);
	switch (s->now.key.meter) {
	case OM_METER_SHAPE:
	case OM_METER_ALLOCATION:
		v->exact += big();
		break;
	case OM_METER_CORRECTION:
		v->exact += big() / 8;
		/* fall through */
	default:
		v->low += big() / 4;
		v->high = opcount_max(v->high, v->low) + big();
		break;
	case OM_METER_COUNTER:
		v->mean += (double)rnd(1u << 30) * 1e15;
		v->variance += (double)rnd(1000) * 1e20;
		break;
	}
	v->from_ns = v->from_ns ? v->from_ns : s->now.key.day * DAY_NS + 1;
	v->to_ns = (v->to_ns ? v->to_ns : v->from_ns) + 1 + rnd(DAY_NS / 100);
	s->now.attempted = s->now.attempted && rnd(3);
	s->now.sequence = ++w.sequence;
}

static void agent_counts(void)
{
	static const uint8_t meters[KEYS] = { OM_METER_SHAPE, OM_METER_LAUNCH, OM_METER_COUNTER, OM_METER_DEVICE, OM_METER_ALLOCATION, OM_METER_CORRECTION };
	unsigned job = (unsigned)rnd(JOBS), day = w.today - (unsigned)rnd(w.today + 1), key = (unsigned)rnd(KEYS);
	struct slot *s = &w.slot[(job * DAYS + day) * KEYS + key];
	struct om_reading torn;

	if (!s->is_there) {
		s->is_there = true;
		s->now.key = (struct om_register_key){ id_of(1, job % 2), id_of(2, job), FIRST_DAY + day, (uint8_t)(w.is_rich ? 4 : key),
						       w.is_rich ? meters[key] : OM_METER_SHAPE };
		s->now.attempted = rnd(2);
		s->now.node.ledger_start_ns = 1 + job % 2;
	}
	torn = s->now;
	count_more(s);
	switch (rnd(8)) {
	case 0: /* lost on its way */
		return;
	case 1: /* torn: some of it is of before */
		torn.value.calls = s->now.value.calls;
		torn.value.nested = s->now.value.nested;
		torn.sequence = s->now.sequence;
		publish(&torn);
		w.seen[SEEN_TORN]++;
		return;
	case 2: /* twice */
		publish(&s->now);
		break;
	}
	publish(&s->now);
	s->sent = s->now;
	s->is_sent = true;
}

/* Something that was published comes again: a file played back, an old disk under the same id. */
static void replay_old(void)
{
	size_t n = w.topic[0].count, from = n ? rnd(n) : 0;

	for (size_t i = from; i < n && i < from + 3; i++)
		if (w.topic[0].m[i].kind == READING) {
			struct om_reading r = w.topic[0].m[i].r;

			publish(&r);
		}
}

static void somebody_assigns(void)
{
	static const char *const tenants[] = { "acme", "zeta", "unknown" }, *const models[] = { "lm", "vision", "a/b" },
				 *const phases[] = { "training", "inference", "unknown", "frozen-weight-training", "mixed" },
				 *const lineages[] = { "l-1", "l-2" };
	struct om_assignment *a = &w.assigned[w.assigned_count];
	unsigned job = (unsigned)rnd(JOBS);
	struct msg *m;

	if (w.assigned_count == ASSIGNED_MAX)
		return;
	w.assigned_count++;
	memset(a, 0, sizeof(*a));
	a->ledger = id_of(1, job % 2);
	a->job = id_of(2, job);
	a->kind = (enum om_assignment_kind)rnd(4);
	snprintf(a->value, sizeof(a->value), "%s",
		 a->kind == OM_ASSIGN_TENANT  ? tenants[rnd(3)]
		 : a->kind == OM_ASSIGN_MODEL ? models[rnd(3)]
		 : a->kind == OM_ASSIGN_PHASE ? phases[rnd(5)]
					      : lineages[rnd(2)]);
	a->from_ns = (FIRST_DAY + rnd(DAYS)) * DAY_NS + rnd(2) * (DAY_NS / 2);
	a->to_ns = rnd(2) ? a->from_ns + (1 + rnd(2 * DAYS)) * DAY_NS / 2 : 0;
	a->at_ns = 1 + rnd(50);
	a->share_low_ppm = (uint32_t)rnd(1000001);
	a->share_high_ppm = a->share_low_ppm + (uint32_t)rnd(1000001 - a->share_low_ppm);
	if (rnd(3) == 0)
		snprintf(a->person, sizeof(a->person), "jane");
	m = append(2);
	m->kind = ASSIGNMENT;
	m->a = a;
	w.seen[SEEN_MOVED_AFTER_SEAL] += w.topic[1].count > 0;
}

/* The names and figures of a total as one line. */
static void print_total(const struct om_subject_total *s, char *name, char *text)
{
	const opcount v[] = { s->training_low, s->training_high, s->training_ceiling, s->all_low, s->all_high, s->all_ceiling,
			      s->contradicted, s->unattributed };
	char buf[OPCOUNT_STRLEN];

	sprintf(name, "%d %s|%s|%s", s->group, s->lineage, s->tenant, s->model);
	for (size_t i = 0; i < sizeof(v) / sizeof(v[0]); i++)
		text += sprintf(text, " %s", opcount_format(v[i], buf));
	text += sprintf(text, " %llu %llu %llu %llu %llu %x %d%d%d", (unsigned long long)s->losses, (unsigned long long)s->calls,
			(unsigned long long)s->launches, (unsigned long long)s->registers, (unsigned long long)s->as_of_ns, s->meters,
			s->is_bounded, s->attempted, s->is_saturated);
	for (size_t i = 0; i < s->member_count; i++) {
		text += sprintf(text, " [%s %llu", s->members[i].tenant, (unsigned long long)s->members[i].registers);
		text += sprintf(text, " %s", opcount_format(s->members[i].training_low, buf));
		text += sprintf(text, " %s", opcount_format(s->members[i].training_high, buf));
		text += sprintf(text, " %s]", opcount_format(s->members[i].training_ceiling, buf));
	}
}

static int add_text(void *ctx, const struct om_subject_total *s)
{
	char *out = (char *)ctx + strlen(ctx), name[320], text[700];

	print_total(s, name, text);
	sprintf(out, "%s%s\n", name, text);
	return 0;
}

struct jobs_sum {
	struct om_subject_total sum;
	uint64_t jobs;
};

static int add_job(void *ctx, const struct om_id *ledger, const struct om_id *job, const struct om_subject_total *s)
{
	struct jobs_sum *j = ctx;

	om_subject_total_add(&j->sum, s);
	j->jobs++;
	return 0;
}

static int keep_subject(void *ctx, const struct om_subject_total *s)
{
	struct jobs_sum **next = ctx;

	(*next)++->sum = *s;
	return 0;
}

/* A total is the sum of what its jobs are told to add to it: live days and sealed ones, each once. */
static void check_jobs(struct om_totals *t)
{
	struct jobs_sum subject[2 * SUBJECTS + 8] = { 0 }, *end = subject;

	assert_int_equal(om_totals_each(t, keep_subject, &end), 0);
	assert_int_equal(om_totals_each_lineage(t, keep_subject, &end), 0);
	for (struct jobs_sum *s = subject; s < end; s++) {
		struct jobs_sum j = { .sum = { .is_bounded = true, .tenant = "", .model = "", .lineage = "" } };
		char name[320], want[700], got[700];

		assert_int_equal(om_totals_each_job(t, &s->sum, add_job, &j), 0);
		assert_true(j.jobs > 0);
		s->sum.member_count = 0;
		print_total(&s->sum, name, want);
		print_total(&j.sum, (char[320]){ 0 }, got);
		assert_string_equal(got, want);
	}
}

static void print_all(struct om_totals *t, char *out)
{
	out[0] = '\0';
	check_jobs(t);
	assert_int_equal(om_totals_each(t, add_text, out), 0);
	assert_int_equal(om_totals_each_lineage(t, add_text, out), 0);
}

/* What follows works the truth out, and knows nothing of the totals' code. */

static int rank_of(const struct om_assignment *a)
{
	return (a->person[0] ? 2 : 0) + (a->to_ns ? 1 : 0);
}

static bool is_replaced(const struct om_assignment *a)
{
	for (size_t i = 0; i < w.assigned_count; i++) {
		const struct om_assignment *b = &w.assigned[i];
		int c = strcmp(b->value, a->value);

		if (memcmp(&b->job, &a->job, 16) || b->kind != a->kind || b->from_ns != a->from_ns || !b->person[0] != !a->person[0])
			continue;
		/* Of two at the same time the larger words hold: what matters is that it is always the same one. */
		if (b->at_ns != a->at_ns ? b->at_ns > a->at_ns
		    : c		       ? c > 0
		    : b->to_ns != a->to_ns ? b->to_ns > a->to_ns
		    : b->share_low_ppm != a->share_low_ppm ? b->share_low_ppm > a->share_low_ppm
							   : b->share_high_ppm > a->share_high_ppm)
			return true;
	}
	return false;
}

static const struct om_assignment *truth_holds(unsigned job, enum om_assignment_kind kind, uint32_t day)
{
	const struct om_assignment *best = NULL;
	struct om_id id = id_of(2, job);

	for (size_t i = 0; i < w.assigned_count; i++) {
		const struct om_assignment *a = &w.assigned[i];

		if (memcmp(&a->job, &id, 16) || a->kind != kind || a->from_ns >= (day + 1ULL) * DAY_NS ||
		    (a->to_ns && a->to_ns <= day * DAY_NS) || is_replaced(a))
			continue;
		if (!best || rank_of(a) > rank_of(best) || (rank_of(a) == rank_of(best) && a->from_ns > best->from_ns))
			best = a;
	}
	return best;
}

struct truth {
	struct om_subject_total s;
	char tenant[130], name[130]; /* name: of the model or the lineage */
};

static struct truth *line_of(struct truth *all, size_t *n, enum om_group group, const char *tenant, const char *name)
{
	for (size_t i = 0; i < *n; i++)
		if (all[i].s.group == group && !strcmp(all[i].tenant, tenant) && !strcmp(all[i].name, name))
			return &all[i];
	memset(&all[*n], 0, sizeof(all[0]));
	snprintf(all[*n].tenant, sizeof(all[0].tenant), "%s", tenant);
	snprintf(all[*n].name, sizeof(all[0].name), "%s", name);
	all[*n].s.group = group;
	all[*n].s.is_bounded = true;
	return &all[(*n)++];
}

static opcount share(opcount v, uint32_t ppm, bool up)
{
	opcount p = v * ppm; /* no figure of these worlds passes 2^107 */

	return p / 1000000 + (up && p % 1000000 ? 1 : 0);
}

static void truth_day(struct om_subject_total *s, unsigned job, unsigned day)
{
	const struct om_assignment *phase = truth_holds(job, OM_ASSIGN_PHASE, FIRST_DAY + day);
	uint32_t low = 0, high = 1000000;
	struct om_evidence e = { 0 };
	struct om_interval i = { 0 };

	for (unsigned k = 0; k < KEYS; k++) {
		const struct slot *slot = &w.slot[(job * DAYS + day) * KEYS + k];
		const struct om_value *v = &slot->now.value;

		if (!slot->is_there)
			continue;
		om_evidence_add(&e, &slot->now);
		i.low += v->exact; /* a world of shapes needs no more */
		s->registers++;
		s->meters |= 1u << slot->now.key.meter;
		s->calls += slot->now.key.meter == OM_METER_SHAPE ? v->calls : 0;
		s->launches += slot->now.key.meter == OM_METER_LAUNCH ? v->calls : 0;
		for (int l = 0; l < OM_LOSS_END; l++)
			s->losses += v->lost[l];
		s->as_of_ns = v->to_ns > s->as_of_ns ? v->to_ns : s->as_of_ns;
	}
	i.high = i.low;
	if (w.is_rich)
		om_reconcile(&e, &i);
	if (phase && (!strcmp(phase->value, "training") || !strcmp(phase->value, "mixed") || !strcmp(phase->value, "frozen-weight-training"))) {
		low = phase->share_low_ppm;
		high = phase->share_high_ppm;
	} else if (phase && !strcmp(phase->value, "inference")) {
		high = 1000000 - phase->share_low_ppm;
	}
	s->all_low += i.low;
	s->all_ceiling += i.high;
	s->training_low += share(i.low, low, false);
	s->training_ceiling += share(i.high, high, true);
	if (i.roof == OM_ROOF_ALLOCATION)
		i.high = i.asked_high;
	s->all_high += i.high;
	s->training_high += share(i.high, high, true);
	s->contradicted += i.contradicted;
	s->unattributed += i.unattributed;
	s->is_bounded &= i.is_bounded;
	s->attempted |= !(e.meters & 1u << OM_METER_DEVICE);
}

static int compare_truth(const void *x, const void *y)
{
	const struct truth *a = x, *b = y;
	int r = a->s.group - b->s.group;

	if (r == 0 && a->s.group == OM_GROUP_LINEAGE)
		r = strcmp(a->name, b->name);
	r = r ? r : strcmp(a->tenant, b->tenant);
	return r ? r : strcmp(a->name, b->name);
}

static void add_up(struct om_subject_total *s, const struct om_subject_total *o)
{
	s->training_low += o->training_low, s->training_high += o->training_high, s->training_ceiling += o->training_ceiling;
	s->all_low += o->all_low, s->all_high += o->all_high, s->all_ceiling += o->all_ceiling;
	s->contradicted += o->contradicted, s->unattributed += o->unattributed;
	s->losses += o->losses, s->calls += o->calls, s->launches += o->launches, s->registers += o->registers;
	s->as_of_ns = o->as_of_ns > s->as_of_ns ? o->as_of_ns : s->as_of_ns;
	s->meters |= o->meters;
	s->is_bounded &= o->is_bounded;
	s->attempted |= o->attempted;
}

static void print_truth(struct truth *all, size_t n, char *out)
{
	out[0] = '\0';
	qsort(all, n, sizeof(all[0]), compare_truth);
	for (size_t i = 0, next; i < n; i = next) {
		struct om_member members[SUBJECTS];
		struct om_subject_total s = { .group = all[i].s.group, .tenant = "", .model = "", .lineage = "", .members = members, .is_bounded = true };

		for (next = i; next < n && (next == i || (s.group == OM_GROUP_LINEAGE && !strcmp(all[next].name, all[i].name))); next++) {
			add_up(&s, &all[next].s);
			if (s.group == OM_GROUP_LINEAGE)
				members[s.member_count++] = (struct om_member){ all[next].tenant, all[next].s.training_low, all[next].s.training_high,
										all[next].s.training_ceiling, all[next].s.registers };
		}
		s.tenant = s.group == OM_GROUP_MODEL ? all[i].tenant : "";
		s.model = s.group == OM_GROUP_MODEL ? all[i].name : "";
		s.lineage = s.group == OM_GROUP_LINEAGE ? all[i].name : "";
		add_text(out, &s);
	}
}

/* What an assignment to a lineage speaks of. */
static struct om_subject_total part_of(const struct om_subject_total *one, const struct om_assignment *lineage)
{
	struct om_subject_total s = *one;
	opcount *low[] = { &s.training_low, &s.all_low };
	opcount *high[] = { &s.training_high, &s.training_ceiling, &s.all_high, &s.all_ceiling, &s.contradicted, &s.unattributed };

	for (size_t i = 0; i < ARRAY_SIZE(low); i++)
		*low[i] = share(*low[i], lineage->share_low_ppm, false);
	for (size_t i = 0; i < ARRAY_SIZE(high); i++)
		*high[i] = share(*high[i], lineage->share_high_ppm, true);
	return s;
}

static void work_out_truth(char *out)
{
	static struct truth all[SUBJECTS];
	size_t n = 0;

	for (unsigned job = 0; job < JOBS; job++)
		for (unsigned day = 0; day < DAYS; day++) {
			const struct om_assignment *tenant = truth_holds(job, OM_ASSIGN_TENANT, FIRST_DAY + day),
						   *model = truth_holds(job, OM_ASSIGN_MODEL, FIRST_DAY + day),
						   *lineage = truth_holds(job, OM_ASSIGN_LINEAGE, FIRST_DAY + day);
			struct om_subject_total one = { .is_bounded = true }, part;

			truth_day(&one, job, day);
			if (!one.registers)
				continue;
			add_up(&line_of(all, &n, OM_GROUP_MODEL, tenant ? tenant->value : "unknown", model ? model->value : "unassigned")->s, &one);
			if (!lineage)
				continue;
			part = part_of(&one, lineage);
			add_up(&line_of(all, &n, OM_GROUP_LINEAGE, tenant ? tenant->value : "unknown", lineage->value)->s, &part);
		}
	print_truth(all, n, out);
}

/* Aggregators. */

static void take(struct om_totals *t, const struct msg *m)
{
	struct om_carry c;
	int r = -1;

	if (m->is_gone)
		return;
	switch (m->kind) {
	case READING:
		r = om_totals_put(t, &m->r);
		break;
	case NULLED:
		r = om_totals_null(t, &m->r.key);
		break;
	case ASSIGNMENT:
		r = om_totals_assign(t, m->a);
		break;
	case CARRY:
		assert_int_equal(om_carry_decode(m->carry, m->carry_len, &c), 0);
		r = om_totals_carry(t, &c);
		om_carry_done(&c);
		break;
	}
	assert_true(r >= 0);
}

static int see_change(void *ctx, const struct om_subject_total *s)
{
	struct aggregator *a = ctx;
	char name[320], text[700];
	size_t i;

	if (rnd(4) == 0)
		return 7; /* Kafka is away: it is told again */
	print_total(s, name, text);
	for (i = 0; i < a->views && strcmp(a->view[i].name, name); i++)
		;
	strcpy(a->view[i].name, name);
	strcpy(a->view[i].text, text);
	a->views += i == a->views;
	assert_true(a->views < 2 * SUBJECTS);
	return 0;
}

static void consume(struct aggregator *a, size_t most)
{
	for (size_t n = 0; n < most; n++) {
		int topic = (int)rnd(3);

		if (a->at[topic] < w.topic[topic].count)
			take(a->t, &w.topic[topic].m[a->at[topic]++]);
	}
	if (rnd(4) == 0)
		om_totals_each_changed(a->t, see_change, a);
}

static bool is_at_end(const struct aggregator *a)
{
	return a->at[0] == w.topic[0].count && a->at[1] == w.topic[1].count && a->at[2] == w.topic[2].count;
}

static void consume_all(struct aggregator *a)
{
	while (!is_at_end(a))
		consume(a, 64);
}

static void kill_aggregator(struct aggregator *a)
{
	om_totals_free(a->t);
	memset(a->at, 0, sizeof(a->at));
	a->views = 0;
	a->t = om_totals_new(10000);
	assert_non_null(a->t);
}

static unsigned loses; /* of ten things sent, so many do not arrive */

static int send_carry(void *ctx, const struct om_carry *c)
{
	struct msg *m;

	if (rnd(10) < loses)
		return 0;
	m = append(1);
	m->kind = CARRY;
	assert_int_equal(om_carry_encode(c, &m->carry, &m->carry_len), 0);
	for (size_t i = 0; i + 1 < w.topic[1].count; i++)
		if (!memcmp(w.topic[1].m[i].carry + 16, m->carry + 16, 36)) {
			w.seen[SEEN_SECOND_CARRY]++;
			break;
		}
	return 0;
}

static unsigned owed_count;

static int pay(void *ctx, enum om_owed what, const struct om_reading *r)
{
	owed_count++;
	if (rnd(10) < loses)
		return 0;
	w.seen[SEEN_REGRESSION] += what == OM_OWED_MAXIMUM;
	if (what == OM_OWED_TOMBSTONE)
		publish_null(r);
	else if (what == OM_OWED_MAXIMUM)
		publish(r);
	return 0;
}

/* One that believes itself at the end, and may have believed so for long: it seals and pays by what it knew. */
static void act(struct aggregator *a, uint32_t before_day)
{
	assert_int_equal(om_totals_seal(a->t, before_day, send_carry, NULL), 0);
	assert_int_equal(om_totals_each_owed(a->t, pay, NULL), 0);
}

/* Until nothing is owed: then every topic's last records are what they should be. */
static void come_to_rest(struct aggregator *a, uint32_t before_day)
{
	loses = 0;
	for (int round = 0;; round++) {
		size_t sealed = w.topic[1].count;

		assert_true(round < 20);
		consume_all(a);
		owed_count = 0;
		act(a, before_day);
		if (owed_count == 0 && w.topic[1].count == sealed)
			break;
	}
	loses = 2;
}

static bool same_key(const struct msg *a, const struct msg *b)
{
	if (a->kind == CARRY)
		return !memcmp(a->carry + 16, b->carry + 16, 36);
	if (a->kind == ASSIGNMENT)
		return !memcmp(&a->a->job, &b->a->job, 16) && a->a->kind == b->a->kind && a->a->from_ns == b->a->from_ns &&
		       !a->a->person[0] == !b->a->person[0] && a->a->at_ns < b->a->at_ns;
	return !memcmp(&a->r.key.job, &b->r.key.job, 16) && a->r.key.day == b->r.key.day && a->r.key.format == b->r.key.format &&
	       a->r.key.meter == b->r.key.meter;
}

/* Of each key the last record stays; others go or, if compaction has not come that far, stay too. */
static void compact(bool wholly)
{
	for (int topic = 0; topic < 3; topic++) {
		struct log *l = &w.topic[topic];

		for (size_t i = 0; i < l->count; i++) {
			bool is_last = true;

			for (size_t k = i + 1; is_last && k < l->count; k++)
				is_last = !same_key(&l->m[i], &l->m[k]);
			if ((!is_last || l->m[i].kind == NULLED) && (wholly || rnd(4)))
				l->m[i].is_gone = true;
		}
	}
	w.seen[SEEN_COMPACTED]++;
}

static void step(void)
{
	struct aggregator *a = &w.ag[rnd(2)];

	switch (rnd(16)) {
	case 0:
	case 1:
	case 2:
	case 3:
	case 4:
	case 5:
		agent_counts();
		break;
	case 6:
		replay_old();
		break;
	case 7:
		somebody_assigns();
		break;
	case 8:
		w.today += w.today + 1 < DAYS && rnd(3) == 0;
		break;
	case 9:
		if (rnd(4) == 0) {
			kill_aggregator(a);
			w.seen[SEEN_KILL]++;
		}
		break;
	case 10: /* frozen for a while: it acts by what it read long ago */
		if (a->at[0] > 0)
			act(a, FIRST_DAY + (uint32_t)rnd(w.today + 2));
		break;
	case 11:
		consume_all(a);
		act(a, FIRST_DAY + (uint32_t)rnd(w.today + 2));
		break;
	case 12:
		if (rnd(6) == 0) {
			come_to_rest(a, FIRST_DAY + (uint32_t)rnd(w.today + 1));
			compact(rnd(2));
		}
		break;
	default:
		consume(a, rnd(40));
	}
}

static void fail_world(uint64_t seed, const char *what, const char *want, const char *got)
{
	printf("world %llu, %s:\nwanted\n%sgot\n%s", (unsigned long long)seed, what, want, got);
	fail();
}

static void same_totals(uint64_t seed, const char *what, struct om_totals *t, const char *want)
{
	static char got[TEXT];

	print_all(t, got);
	if (strcmp(got, want))
		fail_world(seed, what, want, got);
}

/* What was told piece by piece, zeros left out, is what is told of all. */
static void same_view(uint64_t seed, struct aggregator *a)
{
	static char want[TEXT];
	size_t found = 0;

	while (om_totals_each_changed(a->t, see_change, a))
		;
	print_all(a->t, want);
	for (size_t i = 0; i < a->views; i++) {
		char line[1100];

		if (strstr(a->view[i].text, " 0 0 0 0 0 0 0 0 0 0 0 0 0 0 100"))
			continue;
		snprintf(line, sizeof(line), "%s%s\n", a->view[i].name, a->view[i].text);
		if (!strstr(want, line))
			fail_world(seed, "a change that was not told", want, line);
		found++;
	}
	for (const char *p = want; (p = strchr(p, '\n')); p++)
		found--;
	assert_int_equal(found, 0);
}

/* Everything that was ever in a topic, in any order, some of it twice. */
static void any_order(uint64_t seed, const char *truth)
{
	static const struct msg *all[3 * LOG_MAX];
	struct om_totals *t = om_totals_new(10000);
	size_t n = 0;

	for (int topic = 0; topic < 3; topic++)
		for (size_t i = 0; i < w.topic[topic].count; i++) {
			w.topic[topic].m[i].is_gone = false;
			all[n++] = &w.topic[topic].m[i];
		}
	for (size_t i = n; i-- > 1;) {
		size_t k = rnd(i + 1);
		const struct msg *x = all[i];

		all[i] = all[k];
		all[k] = x;
	}
	for (size_t i = 0; i < n; i++) {
		take(t, all[i]);
		if (rnd(4) == 0)
			take(t, all[rnd(i + 1)]);
	}
	same_totals(seed, "shuffled, and some of it twice", t, truth);
	om_totals_free(t);
}

static void end_of_world(uint64_t seed)
{
	static char truth[TEXT];
	static struct aggregator fresh;
	struct om_totals_counts counts;

	/* What was lost is sent again: the agents' last word. */
	for (size_t i = 0; i < SLOTS; i++)
		if (w.slot[i].is_there && (rnd(2) || !w.slot[i].is_sent || !om_reading_equal(&w.slot[i].now, &w.slot[i].sent)))
			publish(&w.slot[i].now);
	work_out_truth(truth);
	for (int i = 0; i < 2; i++) {
		consume_all(&w.ag[i]);
		om_totals_counts(w.ag[i].t, &counts);
		w.seen[SEEN_LATE] += counts.late_total > 0;
		w.seen[SEEN_UNCOVERED] += counts.uncovered_total > 0;
		same_totals(seed, "an aggregator that was there", w.ag[i].t, truth);
		same_view(seed, &w.ag[i]);
	}
	kill_aggregator(&fresh);
	consume_all(&fresh);
	same_totals(seed, "one that reads all anew", fresh.t, truth);
	/* Everything is sealed: the readings topic is empty, the carries have it all. */
	come_to_rest(&w.ag[rnd(2)], FIRST_DAY + DAYS);
	compact(true);
	kill_aggregator(&fresh);
	consume_all(&fresh);
	same_totals(seed, "one that reads carries alone", fresh.t, truth);
	om_totals_counts(fresh.t, &counts);
	assert_int_equal(counts.live, 0);
	any_order(seed, truth);
	om_totals_free(fresh.t);
	fresh.t = NULL;
}

static void run_world(uint64_t seed)
{
	w.rng = seed * 0x9e3779b97f4a7c15ULL + 1;
	memset(w.slot, 0, sizeof(w.slot));
	memset(w.seen, 0, sizeof(w.seen));
	w.is_rich = seed % 3 != 0;
	w.assigned_count = w.sequence = w.today = 0;
	loses = 2;
	for (int i = 0; i < 2; i++)
		kill_aggregator(&w.ag[i]);
	for (uint64_t n = 60 + rnd(200); n > 0; n--)
		step();
	end_of_world(seed);
	for (int topic = 0; topic < 3; topic++) {
		for (size_t i = 0; i < w.topic[topic].count; i++)
			free(w.topic[topic].m[i].carry);
		w.topic[topic].count = 0;
	}
	for (int i = 0; i < 8; i++)
		seen_in_all[i] += w.seen[i] > 0;
}

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 10) : otherwise;
}

static void no_world_changes_the_totals(void **state)
{
	uint64_t worlds = number_from("FOLD_WORLDS", 1500), first = number_from("FOLD_SEED", 1);

	for (uint64_t i = 0; i < worlds; i++)
		run_world(first + i);
	for (int i = 0; i < 2; i++)
		w.ag[i].t = om_totals_free(w.ag[i].t);
	printf("of %llu worlds: late after a seal %lu, values written back %lu, nulls that nothing covered %lu, a second carry %lu, kills %lu, "
	       "compactions %lu, assigned after a seal %lu, torn %lu\n",
	       (unsigned long long)worlds, seen_in_all[0], seen_in_all[1], seen_in_all[2], seen_in_all[3], seen_in_all[4], seen_in_all[5],
	       seen_in_all[6], seen_in_all[7]);
	for (int i = 0; worlds >= 100 && i < 8; i++)
		assert_true(seen_in_all[i] > worlds / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_world_changes_the_totals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
