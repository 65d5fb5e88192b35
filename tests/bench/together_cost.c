// SPDX-License-Identifier: Apache-2.0
/*
 * What jobs over nodes cost whoever joins them: 100,000 processes of 20,000 job instances, five each, four job instances by a
 * communicator of their own (20 ranks), of 200 tenants, with 40 models; then the same with a different model in each job instance, all of one
 * tenant, which is the worst that one can bring about.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/core/together.h"

enum { PROCESSES = 100000, EACH = 5, TOGETHER = 20, TENANTS = 200, MODELS = 40 };
#define SECOND 1000000000ULL
#define START (1790000000ULL * SECOND)

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static struct om_id name(char kind, uint32_t n)
{
	struct om_id id = { { (uint8_t)kind } };

	n *= 2654435761u; /* as random ids lie */
	memcpy(&id.byte[4], &n, sizeof(n));
	return id;
}

static void fill(struct process_record *p, uint32_t n, bool is_worst)
{
	uint32_t instance = n / EACH, model = is_worst ? instance : instance % MODELS;
	uint64_t hidden = is_worst ? 4096 : 1024 + 64 * model;

	memset(p, 0, sizeof(*p));
	p->ledger = name('l', instance / 4);
	p->job = name('j', instance);
	p->process = name('p', n);
	p->from_ns = START + (uint64_t)instance * 60 * SECOND;
	p->to_ns = p->from_ns + 3600 * SECOND;
	p->at_ns = p->to_ns;
	snprintf(p->tenant, sizeof(p->tenant), "tenant-%u", is_worst ? 0 : instance / 4 % TENANTS);
	snprintf(p->model_name, sizeof(p->model_name), "model-%u", instance % 7);
	p->phase = (struct phase_judgement){ .verdict = n % TOGETHER < TOGETHER / 2 ? PHASE_IS_TRAINING : PHASE_IS_INFERENCE,
					     .confidence = "high", .training_high = 1, .executed = 1000000 + n };
	snprintf(p->phase.evidence, sizeof(p->phase.evidence), "24 weights are there in all three forms, asked for by two threads.");
	p->claim[p->claims++] = (struct om_join_claim){ .process = p->process, .job = p->job, .has_id = true, .id = name('c', n / TOGETHER),
							.nranks = TOGETHER, .rank = (int32_t)(n % TOGETHER), .time_ns = p->from_ns };
	p->has_model = true;
	p->model.hidden = hidden;
	p->model.has_passes = true;
	p->model.layers = 24;
	for (uint32_t w = 0; w < 8; w++) {
		struct model_weight *x = &p->model.weight[p->model.weights++];

		*x = (struct model_weight){ hidden, 4096 + 512 * w, 24 + (is_worst ? model * 1e-5 : 0), 24, false, false };
		p->model.parameters.best += x->copies * (double)x->small * (double)x->large;
	}
	p->model.parameters.low = p->model.parameters.high = p->model.parameters.best;
}

static int count_job(void *ctx, const struct together_job *j)
{
	(*(size_t *)ctx) += j->count;
	return 0;
}

static int count_serving(void *ctx, const struct together_serving *s)
{
	++*(size_t *)ctx;
	return 0;
}

static int measure(const char *what, bool is_worst)
{
	struct together *t = together_new(PROCESSES);
	struct process_record *p = malloc(sizeof(*p));
	const struct lineage_run *runs;
	const struct lineages *l;
	struct together_counts counts;
	size_t told = 0, serving = 0, n;
	double begun = cpu_ms(), put, judged, served, lineages;

	if (!t || !p)
		return 1;
	for (uint32_t i = 0; i < PROCESSES; i++) {
		fill(p, i, is_worst);
		if (together_put(t, p) < 0)
			return 1;
	}
	put = cpu_ms();
	if (together_each_job(t, count_job, &told))
		return 1;
	judged = cpu_ms();
	if (together_each_serving(t, count_serving, &serving))
		return 1;
	served = cpu_ms();
	if (together_lineages(t, NULL, &runs, &n, &l) || told != PROCESSES)
		return 1;
	lineages = cpu_ms();
	together_count(t, &counts);
	printf("| %s | %.0f MiB, %.0f bytes each | %.1f | %.0f | %.0f | %zu of %zu: %.0f | %zu groups, %llu models not compared with all |\n", what,
	       (double)counts.bytes / 1048576, (double)counts.bytes / PROCESSES, (put - begun) * 1e3 / PROCESSES, judged - put, served - judged, serving, n,
	       lineages - served, l->groups, (unsigned long long)l->not_compared);
	together_free(t);
	free(p);
	return 0;
}

int main(void)
{
	printf("| 100,000 processes of 20,000 job instances | records | a record, us | joined and judged, ms | who serves, ms | lineages, ms | |\n"
	       "|---|---|---|---|---|---|---|\n");
	return measure("200 tenants, 40 models", false) || measure("one tenant, each another model", true);
}
