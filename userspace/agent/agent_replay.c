// SPDX-License-Identifier: Apache-2.0
#include "agent_replay.h"

#include <errno.h>
#include <string.h>

#include "../base/exit_code.h"
#include "../core/gemm_entries.h"
#include "agent_internal.h"

#define STEPS                                                                                                \
	20 /* publications a replay is spread over, so that levels are seen to be crossed one by one         \
	    */

/* A cgroup id that no kernel gave: replayed jobs of one path are one job. */
static uint64_t pretended_id(const char *path)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *path; path++)
		h = (h ^ (uint8_t)*path) * 0x100000001b3ULL;
	return h | 1ULL << 63;
}

static int open_all(struct agent *a, struct error_text *err)
{
	const struct agent_config *c = a->config;
	char id[OM_ID_STRLEN];
	int r = 0;

	if (c->tenants_path)
		r = tenant_map_load(c->tenants_path, &a->tenants, err);
	r = r ?: agent_law_open(a, err);
	if (r)
		return -EINVAL;
	r = om_ledger_open(c->dir, OM_LEDGER_CREATE, agent_now_ns(), &a->ledger, err);
	if (r)
		return r;
	snprintf(a->source, sizeof(a->source), "/opmeter/%s", om_id_format(om_ledger_id(a->ledger), id));
	a->node.ledger_start_ns = om_ledger_start_ns(a->ledger);
	return agent_load_totals(a);
}

/* The run's operations of one format, `times` over. */
static int add_format(struct agent *a, const struct run *run, const struct om_id *job, uint8_t format,
		      uint64_t times)
{
	struct om_register_key key = { .job = *job, .format = format, .meter = OM_METER_SHAPE };
	struct om_value delta = { .from_ns = agent_now_ns() };

	for (size_t i = 0; i < run->product_count; i++) {
		const struct run_product *p = &run->products[i];
		opcount products;

		if (run_format(p) != format)
			continue;
		if (opcount_mul((opcount)p->m * p->n, p->k, &products) ||
		    opcount_mul(products, p->batch, &products) ||
		    opcount_mul(products, p->calls, &products) || opcount_mul(products, times, &products) ||
		    opcount_add(delta.exact, om_gemm_ops(products, format), &delta.exact))
			return -EOVERFLOW;
		delta.calls += p->calls * times;
	}
	return delta.calls ? om_ledger_add(a->ledger, &key, &delta, agent_now_ns()) : 0;
}

static int play(struct agent *a, const struct run *run, const char *path, uint64_t repeat)
{
	const struct om_id no_boot = { { 0 } };
	struct om_id job;
	bool is_new;
	int r = om_ledger_job(a->ledger, &no_boot, pretended_id(path), path, agent_now_ns(), &job, &is_new);

	r = r ?: agent_assign(a, &job, 0, path, agent_now_ns());
	for (uint64_t step = 0; r == 0 && step < STEPS; step++) {
		uint64_t times = repeat * (step + 1) / STEPS - repeat * step / STEPS;

		for (int f = 0; r == 0 && times && f < 256; f++)
			if (om_format_is_valid((uint8_t)f))
				r = add_format(a, run, &job, (uint8_t)f, times);
		r = r ?: agent_publish(a);
	}
	return r;
}

int agent_replay(const struct agent_config *config, const struct run *run, const char *cgroup_path,
		 uint64_t repeat)
{
	struct agent *a = calloc(1, sizeof(*a));
	struct error_text err = { 0 };
	int r;

	if (!a)
		return EXIT_FAILED;
	a->config = config;
	r = open_all(a, &err);
	r = r ?: play(a, run, cgroup_path, repeat);
	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	agent_free(a);
	return r == -EINVAL ? EXIT_USAGE : r ? EXIT_FAILED : EXIT_OK;
}
