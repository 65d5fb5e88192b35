/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_PROGRAM_H
#define OPMETER_AGENT_PROGRAM_H

#include <stddef.h>

/*
 * Runs a program of PATH, for children of ours that may wait, and takes what it prints, ended by a zero and
 * cut at size; it is read to its end all the same. What it complains of goes nowhere: its caller says one
 * line. Its exit status; -1: it could not be run, a signal ended it, or a zero is in its text.
 */
int program_output(const char *const argv[], char *ret, size_t size);

#endif
