/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_VERBS_H
#define OPMETER_CLI_VERBS_H

/*
 * One function a verb, in a file of its own (verb_<name>.c). argv[0] is the
 * verb. Returns the exit code:
 */
enum exit_code {
	EXIT_OK = 0,
	EXIT_FAILED = 1,  /* the work could not be done; one line on stderr says why */
	EXIT_USAGE = 2,   /* a bad flag, file or regime; one line with file and line number */
	EXIT_FINDING = 3, /* done, and what was checked is not in order (verify, check) */
	EXIT_NOPERM = 4,  /* the kernel or the file system refused: which capability is missing */
};

int verb_standalone(int argc, char **argv);
int verb_agent(int argc, char **argv);
int verb_fleet(int argc, char **argv);
int verb_top(int argc, char **argv);
int verb_replay(int argc, char **argv);
int verb_ledger(int argc, char **argv);
int verb_prove(int argc, char **argv);
int verb_policy(int argc, char **argv);
int verb_off(int argc, char **argv);
int verb_on(int argc, char **argv);

#endif
