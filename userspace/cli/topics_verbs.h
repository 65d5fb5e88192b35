/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_TOPICS_VERBS_H
#define OPMETER_CLI_TOPICS_VERBS_H

/* `topics retire`: arguments from the word on. Returns the exit code. */
int topics_retire(int argc, char **argv);

#endif
