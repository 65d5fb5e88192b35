// SPDX-License-Identifier: Apache-2.0
/*
 * Who is near a level: by what is judged here, where policy is judged, and by the hints of the fleet's judge.
 * Of those jobs the changed registers go out each second; all others keep to the publication interval.
 *
 * Whose a job is, its own assignments say, which this node made: by map, resolver or a person's word.
 */
#include <errno.h>
#include <string.h>

#include "../../exporters/kafka_near.h"
#include "../core/near.h"
#include "agent_internal.h"

#define DAY_NS 86400000000000ULL

struct agent_near {
	struct om_near_reader *reader; /* NULL: no broker, or everything goes out each second as it is */
	struct om_near_set *told;      /* by the topic */
	struct om_near_set *here;      /* by what is judged here, since it was last judged */
	struct agent_near_totals totals;
	bool has_said_full, has_said_strange;
};

static void begins(void *ctx)
{
	om_near_set_clear(((struct agent_near *)ctx)->told);
}

static void takes(void *ctx, const void *key, size_t key_len, const void *value, size_t value_len)
{
	struct agent_near *n = ctx;
	int r = om_near_set_take(n->told, key, key_len, value, value_len, agent_now_ns());

	if (r == -ENOSPC) {
		n->totals.full++;
		if (!n->has_said_full)
			log_warn("kafka: more than %d hints of who is near a level: further ones are counted "
				 "only",
				 OM_NEAR_MAX);
		n->has_said_full = true;
	} else if (r) {
		n->totals.strange++;
		if (!n->has_said_strange)
			log_warn("kafka: a record of the hints' topic is none: %s; further ones are counted "
				 "only",
				 r == -EPROTONOSUPPORT ? "of a later version" : "damaged");
		n->has_said_strange = true;
	}
}

int agent_near_open(struct agent *a, struct error_text *err)
{
	const struct agent_config *c = a->config;
	struct om_kafka_config kafka = { c->brokers, c->kafka_config };
	struct agent_near *n = a->near = calloc(1, sizeof(*n));
	struct om_near_handler handler = { begins, takes, n };

	if (!n)
		return -ENOMEM;
	n->told = om_near_set_new();
	n->here = om_near_set_new();
	if (!n->told || !n->here)
		return -ENOMEM;
	if (!c->brokers || c->publish_ns <= OM_NEAR_INTERVAL_NS)
		return 0;
	return om_near_reader_new(&kafka, &handler, &n->reader, err);
}

struct agent_near *agent_near_free(struct agent_near *n)
{
	if (!n)
		return NULL;
	om_near_reader_free(n->reader);
	om_near_set_free(n->told);
	om_near_set_free(n->here);
	free(n);
	return NULL;
}

bool agent_near_step(struct agent *a, uint64_t steady_ns)
{
	struct agent_near *n = a->near;
	uint64_t now = agent_now_ns();

	if (n->reader)
		om_near_reader_step(n->reader, steady_ns);
	return om_near_set_count(n->told, now) || om_near_set_count(n->here, now);
}

void agent_near_judged(struct agent *a)
{
	if (a->near)
		om_near_set_clear(a->near->here);
}

void agent_near_here(struct agent *a, const struct om_subject_total *s)
{
	struct om_id id;

	om_near_id_of(OM_NEAR_MODEL, s->tenant, s->model, &id);
	if (a->near && om_near_set_add(a->near->here, &id))
		a->near->totals.full++;
}

static const char *assigned(const struct agent *a, const struct om_id *job, enum om_assignment_kind kind,
			    uint64_t now_ns)
{
	const struct om_dated *d =
		om_totals_holds(a->totals, om_ledger_id(a->ledger), job, kind, (uint32_t)(now_ns / DAY_NS));

	return d ? d->value : NULL;
}

static bool has(const struct agent *a, enum om_near_kind kind, const char *name, const char *model,
		uint64_t now_ns)
{
	struct om_id id;

	om_near_id_of(kind, name, model, &id);
	return om_near_set_has(a->near->told, &id, now_ns) || om_near_set_has(a->near->here, &id, now_ns);
}

bool agent_near_has(const struct agent *a, const struct om_id *job)
{
	uint64_t now = agent_now_ns();
	const char *tenant = assigned(a, job, OM_ASSIGN_TENANT, now) ?: "unknown";
	const char *model = assigned(a, job, OM_ASSIGN_MODEL, now) ?: "unassigned";
	const char *lineage = assigned(a, job, OM_ASSIGN_LINEAGE, now);

	return has(a, OM_NEAR_MODEL, tenant, model, now) || has(a, OM_NEAR_TENANT, tenant, "", now) ||
	       (lineage && has(a, OM_NEAR_LINEAGE, lineage, "", now));
}

void agent_near_get_totals(const struct agent *a, struct agent_near_totals *ret)
{
	struct om_near_reader_totals r = { 0 };
	const struct agent_near *n = a->near;
	uint64_t now = agent_now_ns();

	*ret = n->totals;
	if (n->reader)
		om_near_reader_totals(n->reader, &r);
	ret->follows = n->reader && !r.is_refused;
	ret->failures = r.failures;
	ret->records = r.records;
	ret->hints = om_near_set_count(n->told, now);
}
