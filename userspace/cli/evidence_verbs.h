/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_EVIDENCE_VERBS_H
#define OPMETER_CLI_EVIDENCE_VERBS_H

#include "../base/options.h"
#include "../core/tlog_note.h"

int evidence_export(int argc, char **argv);
int evidence_verify(int argc, char **argv);

/* Public keys behind those that are there; `keys` has room for OPTION_LIST_MAX. Says what is wrong. */
int evidence_load_keys(const struct option_list *files, struct om_note_key *keys, size_t *ret_n);

#endif
