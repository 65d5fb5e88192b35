/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_OPTIONS_H
#define OPMETER_BASE_OPTIONS_H

/*
 * Command-line options as a table that writes into variables: help and parsing
 * cannot disagree. Long options only, `--name value` or `--name=value`.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum option_kind {
	OPTION_FLAG,	 /* bool: set to true */
	OPTION_STRING,	 /* const char *: a loan from argv */
	OPTION_STRINGS,	 /* struct option_list: may be given several times */
	OPTION_UINT,	 /* uint64_t: decimal */
	OPTION_DURATION, /* uint64_t nanoseconds: "250ms", "15s", "2m", "1h"; a bare number is seconds */
};

#define OPTION_LIST_MAX 32
struct option_list {
	const char *item[OPTION_LIST_MAX];
	size_t count;
};

struct option {
	const char *name;    /* without the dashes; NULL ends the table */
	const char *metavar; /* NULL for flags */
	enum option_kind kind;
	void *target;
	const char *help; /* says the default */
};

struct option_spec {
	const char *verb;     /* "ledger verify" */
	const char *operands; /* "[FILE ...]", or NULL: none allowed */
	const char *summary;
	const struct option *options;
	const char *footer; /* NULL or more help */
};

/*
 * Returns 0 with *ret_operand = index of the first operand; 1 if --help was
 * asked for and printed to stdout: the caller returns success; -EINVAL after
 * one line on stderr: the caller returns EXIT_USAGE.
 */
int options_parse(const struct option_spec *spec, int argc, char **argv, int *ret_operand);

#endif
