// SPDX-License-Identifier: Apache-2.0
/* Totals judged: which regimes hold today, and for whom. What they make of it is in policy_*.c. */
#include "policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "policy_internal.h"

#define NS_PER_DAY 86400000000000ULL

struct judgement policy_judgement(const struct policy *p, const struct policy_subject *s,
				  struct json_out *out, int (*emit)(void *ctx, const struct alert *a),
				  void *ctx)
{
	return (struct judgement){
		.p = p, .s = s, .day = (int32_t)(p->now_ns / NS_PER_DAY), .out = out, .emit = emit, .ctx = ctx
	};
}

int policy_judge_subject(const struct policy *p, const struct policy_subject *s,
			 int (*emit)(void *ctx, const struct alert *a), void *ctx)
{
	struct json_out out = { .text = NULL };
	struct judgement j = policy_judgement(p, s, &out, emit, ctx);
	struct owner_finding owner;
	int r = policy_judge_owners(&j, &owner);

	r = r ?: policy_judge_listed(&j);
	for (size_t i = 0; r == 0 && i < regimes_count(p->regimes); i++) {
		const struct regime *g = regimes_at(p->regimes, i);

		if ((g->kind == REGIME_THRESHOLD || g->kind == REGIME_FRACTION) && regime_holds_on(g, j.day))
			r = policy_judge_level(&j, g, &owner);
	}
	json_out_free(&out);
	return r;
}

/* A model of a tenant, or a lineage: with several tenants it is each one's owners that are judged. */
int policy_judge(const struct policy *p, const struct om_subject_total *s,
		 int (*emit)(void *ctx, const struct alert *a), void *ctx)
{
	char name[POLICY_NAME_MAX];
	struct policy_subject subject;

	policy_subject_of(s, name, &subject);
	return policy_judge_subject(p, &subject, emit, ctx);
}

static bool is_group_name(const char *tenant)
{
	return !strcmp(tenant, "lineage") || !strcmp(tenant, "family") || !strcmp(tenant, "tenant");
}

void policy_subject_of(const struct om_subject_total *s, char name[POLICY_NAME_MAX],
		       struct policy_subject *ret)
{
	*ret = (struct policy_subject){ .name = name, .total = s, .tenants = 1, .models = 1 };
	if (s->group == OM_GROUP_LINEAGE) {
		snprintf(name, POLICY_NAME_MAX, "lineage/%s", s->lineage);
		ret->group = POLICY_LINEAGE;
		ret->tenants = s->member_count;
		for (size_t i = 0; i < s->member_count; i++)
			ret->largest_high = opcount_max(ret->largest_high, s->members[i].training_high);
	} else {
		/* A tenant that calls itself what a group is called takes nobody's name. */
		snprintf(name, POLICY_NAME_MAX, "%s%s/%s", is_group_name(s->tenant) ? "tenant/" : "",
			 s->tenant, s->model);
		ret->tenant = s->tenant;
		ret->largest_high = s->training_high;
	}
}
