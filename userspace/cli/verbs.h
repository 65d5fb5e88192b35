/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_VERBS_H
#define OPMETER_CLI_VERBS_H

/* One function a verb, in a file of its own (verb_<name>.c). argv[0] is the
 * verb. Returns an enum exit_code. */
#include "../base/exit_code.h"

int verb_standalone(int argc, char **argv);
int verb_agent(int argc, char **argv);
int verb_fleet(int argc, char **argv);
int verb_api(int argc, char **argv);
int verb_topics(int argc, char **argv);
int verb_totals(int argc, char **argv);
int verb_top(int argc, char **argv);
int verb_forecast(int argc, char **argv);
int verb_explain(int argc, char **argv);
int verb_lineage(int argc, char **argv);
int verb_replay(int argc, char **argv);
int verb_ledger(int argc, char **argv);
int verb_case(int argc, char **argv);
int verb_report(int argc, char **argv);
int verb_evidence(int argc, char **argv);
int verb_prove(int argc, char **argv);
int verb_policy(int argc, char **argv);
int verb_declare(int argc, char **argv);
int verb_owners(int argc, char **argv);
int verb_tpp(int argc, char **argv);
int verb_off(int argc, char **argv);
int verb_on(int argc, char **argv);
int verb_device_sampler(int argc, char **argv);
int verb_slurm_holders(int argc, char **argv);	   /* not for people: not listed */
int verb_identity_resolver(int argc, char **argv); /* nor this */

#endif
