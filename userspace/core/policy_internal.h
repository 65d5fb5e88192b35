/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_POLICY_INTERNAL_H
#define OPMETER_CORE_POLICY_INTERNAL_H

/* What the files of core/policy share. */

#include <jansson.h>

#include "policy.h"

#define PPM_ONE 1000000u

struct judgement {
	const struct policy *p;
	const struct policy_subject *s;
	const char *tenant; /* whose owners are being judged */
	int32_t day;
	int (*emit)(void *ctx, const struct alert *a);
	void *ctx;
};

/* What the owner regimes say of the subject's tenant. */
struct owner_finding {
	const struct regime *regime; /* NULL: nothing found */
	struct owner_answer answer;
	bool flagged, material;
	char case_id[24];
};

struct range {
	opcount low, high;
};

#define MISSING_MAX 256
/* policy_figure.c: what counts beside what is observed. */
struct figure {
	struct range observed, additional; /* additional: observed, elsewhere and for synthetic data */
	struct range parents;		   /* training of what it was trained on from */
	bool has_declared, has_parent, is_published, is_parent_published;
	const struct declaration *parent;
	/* Operations that nobody declared: they could only add. Of `additional` and of `parents`. */
	char missing[MISSING_MAX], parents_missing[MISSING_MAX];
};
void policy_figure(const struct policy *p, const struct policy_subject *s, const struct regime *g,
		   struct verdict_steps *steps, struct figure *ret);

void step(struct verdict_steps *steps, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void range_add(struct range *to, opcount low, opcount high); /* saturating */
const char *range_text(const struct range *r, char *buf, size_t size);

/* policy_emit.c */
json_t *policy_facts(const struct regime *g);
void policy_add_figures(json_t *data, const struct om_subject_total *s);
int policy_emit(const struct judgement *j, enum alert_type type, const struct regime *g, const char *subject,
		const char *level, const char *sentence, json_t *data);
/* Making a finding costs more than judging it: what is known need not be made. */
bool policy_is_known(const struct judgement *j, enum alert_type type, const struct regime *g,
		     const char *subject, const char *level);
json_t *policy_notices(const struct judgement *j, const struct regime *g, const struct regime_level *level);
json_t *policy_retention(const struct regime *g);
void policy_case_id(const struct judgement *j, const struct regime *g, const char *subject, const char *level,
		    char out[24]);
/* policy_level.c */
int policy_judge_level(const struct judgement *j, const struct regime *g, const struct owner_finding *owner);
/* policy_owner.c: emits what the owner regimes find; *ret is the first that opens a case. */
int policy_judge_owners(const struct judgement *j, struct owner_finding *ret);
/* policy_listed.c: emits what the rules about listed owners find. */
int policy_judge_listed(const struct judgement *j);

#endif
