/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_REPLAY_RANKS_H
#define OPMETER_CLI_REPLAY_RANKS_H

/* `replay` of several files: the ranks of one job. */

#include <stdbool.h>
#include <stddef.h>
#include <jansson.h>

#include "../core/job_model.h"
#include "../core/phase.h"

json_t *replay_phase_json(const struct phase_judgement *p);
int replay_ranks(char **paths, size_t count, bool json, const char *architectures); /* an exit code */

json_t *show_job_json(const struct job_judgement *j);
void show_job_print(const struct job_judgement *j);

#endif
