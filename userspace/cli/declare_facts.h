/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_DECLARE_FACTS_H
#define OPMETER_CLI_DECLARE_FACTS_H

/* Whether a regime of that directory, in any version, asks for the fact. Says what is wrong; returns an enum
 * exit_code. */
int declare_check_fact(const char *dir, const char *fact);

#endif
