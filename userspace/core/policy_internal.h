/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_POLICY_INTERNAL_H
#define OPMETER_CORE_POLICY_INTERNAL_H

/* What the files of core/policy share. */

#include "../base/json_out.h"
#include "policy.h"

#define PPM_ONE 1000000u

struct judgement {
	const struct policy *p;
	const struct policy_subject *s;
	const char *tenant; /* whose owners are being judged */
	const struct om_subject_total
		*whole; /* the subject's total, where s has what it was at an earlier time */
	int32_t day;
	struct json_out *out; /* the data of the finding that is being made */
	int (*emit)(void *ctx, const struct alert *a);
	void *ctx;
};

/* As of p->now_ns. All are loans. */
struct judgement policy_judgement(const struct policy *p, const struct policy_subject *s,
				  struct json_out *out, int (*emit)(void *ctx, const struct alert *a),
				  void *ctx);

/* What the owner regimes say of the subject's tenant. */
struct owner_finding {
	const struct regime *regime; /* NULL: nothing found */
	struct owner_answer answer;
	int32_t from, to; /* of an earlier owner: [from, to); else 0 */
	bool is_told;	  /* what was trained until then is in the total */
	bool flagged, material;
	char case_id[24]; /* "": none is opened */
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

/* Without steps nothing of it is evaluated: most verdicts are nobody's to read. */
#define step(steps, ...)                                                                                     \
	do {                                                                                                 \
		if (steps)                                                                                   \
			add_step(steps, __VA_ARGS__);                                                        \
	} while (0)
void add_step(struct verdict_steps *steps, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void range_add(struct range *to, opcount low, opcount high); /* saturating */
/* "at least 1.00e+26", "more than 1.00e+25", as the text compares. Returns buf. */
const char *policy_limit_words(const struct regime_limit *l, uint32_t share_ppm, char *buf, size_t size);
const char *range_text(const struct range *r, char *buf, size_t size);

/*
 * policy_emit.c: a finding is begun, its data are written to j->out, and it is emitted.
 * False: it was told before. Making a finding costs more than judging it, so it need not be made.
 */
bool policy_begin(const struct judgement *j, enum alert_type type, const struct regime *g,
		  const char *subject, const char *level, struct alert *ret);
int policy_emit(const struct judgement *j, struct alert *a, const char *sentence);
void policy_add_figures(struct json_out *o, const struct om_subject_total *s);
void policy_add_notices(const struct judgement *j, const struct regime *g, const struct regime_level *level);
/* When it is due, if its clock starts then. NULL: it has no such clock. */
const char *policy_due(const struct regime_notice *d, int32_t day, uint64_t from_ns,
		       char out[OM_TIME_STRLEN]);
/* The first day at whose end the level is met, of the days that p->days gives; INT32_MIN: not known. */
int32_t policy_met_on(const struct judgement *j, const struct regime *g, const struct regime_level *level);
/* Members `limit`, `observed` (at the end of that day) and `declared`. */
void policy_add_day_figures(struct json_out *o, opcount limit, const struct om_forecast_point *point,
			    opcount declared);
/* A member `forecast`. */
void policy_add_forecast(struct json_out *o, const struct om_forecast *f, uint32_t horizon_days);
void policy_add_retention(struct json_out *o, const struct regime *g);
void policy_case_id(const struct judgement *j, const struct regime *g, const char *subject, const char *level,
		    char out[24]);
/* Where the facts are, for an alert: a case is named only where one is opened. Returns out. */
const char *policy_case_words(const struct regime *g, const char *case_id, char out[64]);
void case_id_of(const struct om_id *id, char out[24]); /* of the case's own event */
/* policy_level.c */
int policy_judge_level(const struct judgement *j, const struct regime *g, const struct owner_finding *owner);
/* Days of a run on which the tenant's owner changed, up to `today`: the last of them, as many as a total
 * tells of. A loan; *ret 0 where it is not known when the run began. */
const int32_t *policy_changes_in_run(const struct owners *o, const char *tenant, uint32_t first_day,
				     int32_t today, size_t *ret);
/* policy_owner.c */
void policy_add_path(struct json_out *o, const struct owner_answer *a);
void policy_add_checklist(struct json_out *o, const struct regime *g);
/* policy_owner.c: emits what the owner regimes find; *ret is the first that opens a case. */
int policy_judge_owners(const struct judgement *j, struct owner_finding *ret);
/* policy_listed.c: emits what the rules about listed owners find. */
int policy_judge_listed(const struct judgement *j);

#endif
