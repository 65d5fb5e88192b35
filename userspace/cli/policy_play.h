/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_POLICY_PLAY_H
#define OPMETER_CLI_POLICY_PLAY_H

/* A history judged day by day by one side: the last verdicts, and when each level was first met. */

#include "policy_input.h"

struct play_outcome {
	const struct regime *regime; /* the version that was judged last; NULL: none held */
	char words[200];
	opcount low, high, observed_low, observed_high, executed_low, executed_high, ceiling;
	uint32_t cases;
	uint8_t level, standing;	   /* level: index + 1; 0: none */
	uint32_t since[REGIME_LEVELS_MAX]; /* day + 1; 0: never */
};

struct play_subject {
	char name[POLICY_NAME_MAX];
	char owner_version[65];
	struct play_outcome *outcome; /* one a regime id, in the order of play.ids */
};

struct play_case {
	char id[24], cause[32], regime[64], version[32], verdict[80], subject[POLICY_NAME_MAX], hold;
	uint32_t day;
};

/* A clock that runs since a level was met, or since it was known that it would be (policy_judge_known()). */
struct play_duty {
	char regime[64], subject[POLICY_NAME_MAX], what[200], since[16], due[32], sentence[600];
	bool is_met; /* else it was known before */
};

struct play {
	struct policy_side side;
	const char **ids; /* of regimes, each once */
	size_t id_count;
	struct play_subject *subject; /* by name, after play_run() */
	size_t subjects, room;
	struct play_case *cases; /* in the order of days */
	size_t case_count, case_room;
	struct play_duty *duties; /* in the order of subjects */
	size_t duty_count;
	bool owner_flags; /* some tenant is flagged */
	uint32_t day;
	int error;
};
void play_done(struct play *p);
/* Loads and plays. Logs what is wrong. Returns an enum exit_code. */
int play_run(const struct policy_input *in, struct play *ret);
const struct play_subject *play_find(const struct play *p, const char *name);
/* The outcome of a regime by id; NULL: there is no such regime on this side. */
const struct play_outcome *play_outcome(const struct play *p, const struct play_subject *s, const char *id);

#endif
