/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_POLICY_INPUT_H
#define OPMETER_CLI_POLICY_INPUT_H

/* What the verbs of `policy` judge: a ledger or files, under regimes, owners and declarations. */

#include "../base/exit_code.h"
#include "../core/history.h"
#include "../core/policy.h"

#ifndef OPMETER_DATADIR
#define OPMETER_DATADIR "/usr/share/opmeter"
#endif
#define POLICY_REGIMES OPMETER_DATADIR "/regimes"

struct policy_input {
	const char *dir;	 /* ledger; NULL: none */
	const char *readings;	 /* file of readings, wire form, one after the other; NULL: none */
	const char *assignments; /* file of JSON lines; NULL: none */
	const char *regimes, *owners, *declarations; /* paths; the last two may be NULL */
	const char *set;			     /* of assignments, by name */
	const char *until;			     /* YYYY-MM-DD; NULL: the last day of the readings */
};

/* One side of a judgement: everything loaded. */
struct policy_side {
	struct regimes *regimes;
	struct owners *owners;
	struct declarations *declarations;
	struct history *history;
	struct kin *kin; /* of the day that is judged */
	uint32_t until;
	uint64_t left_out;    /* assignments that are not of the set */
	char set_digest[65];  /* SHA-256 over the assignments that are, in order */
	struct policy policy; /* its now_ns follows the day */
};
void policy_side_done(struct policy_side *s);
/* Logs what is wrong. Returns an enum exit_code. */
int policy_side_load(const struct policy_input *in, struct policy_side *ret);
/* Regimes alone; logs what is wrong. */
int policy_regimes_load(const char *path, struct regimes **ret);
/* The end of a day, owners and kin as of it. 0, -ENOMEM. */
int policy_side_day(struct policy_side *s, uint32_t day);
/* The subject as policy sees it, of a model or a lineage. */
void policy_side_subject(const struct policy_side *s, const struct history_subject *h,
			 char name[POLICY_NAME_MAX], struct policy_subject *ret);

int policy_check(int argc, char **argv);
int policy_explain(int argc, char **argv);
int policy_diff(int argc, char **argv);
int policy_replay(int argc, char **argv);

#endif
