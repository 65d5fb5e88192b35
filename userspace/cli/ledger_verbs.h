/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_LEDGER_VERBS_H
#define OPMETER_CLI_LEDGER_VERBS_H

/* What the files of the verb `ledger` share. */

#include "../base/exit_code.h"
#include "../core/ledger.h"

int ledger_export_collectives(struct om_ledger *l);
int ledger_export_communicators(struct om_ledger *l);
int ledger_join(int argc, char **argv); /* an exit code */

#endif
