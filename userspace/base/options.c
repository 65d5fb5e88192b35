// SPDX-License-Identifier: Apache-2.0
#include "options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

static void print_help(const struct option_spec *spec)
{
	printf("usage: opmeter %s [OPTION ...]%s%s\n\n%s\n\n", spec->verb, spec->operands ? " " : "",
	       spec->operands ? spec->operands : "", spec->summary);
	for (const struct option *o = spec->options; o->name; o++) {
		char left[64];

		snprintf(left, sizeof(left), "--%s%s%s", o->name, o->metavar ? " " : "",
			 o->metavar ? o->metavar : "");
		printf("  %-24s %s\n", left, o->help);
	}
	printf("  %-24s %s\n", "--help", "print this");
	if (spec->footer)
		printf("\n%s\n", spec->footer);
}

static int parse_uint(const char *s, uint64_t *ret, const char **ret_rest)
{
	char *end;

	if (*s < '0' || *s > '9')
		return -EINVAL;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	*ret_rest = end;
	return errno ? -EINVAL : 0;
}

static int parse_duration(const char *s, uint64_t *ret)
{
	static const struct {
		const char *unit;
		uint64_t ns;
	} units[] = {
		{ "", 1000000000ULL },	 { "ms", 1000000ULL },	    { "s", 1000000000ULL },
		{ "m", 60000000000ULL }, { "h", 3600000000000ULL },
	};
	const char *rest;
	uint64_t v;

	if (parse_uint(s, &v, &rest))
		return -EINVAL;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(rest, units[i].unit))
			return __builtin_mul_overflow(v, units[i].ns, ret) ? -EINVAL : 0;
	return -EINVAL;
}

static int store(const struct option *o, const char *value)
{
	struct option_list *list = o->target;
	const char *rest;

	switch (o->kind) {
	case OPTION_FLAG:
		*(bool *)o->target = true;
		return 0;
	case OPTION_STRING:
		*(const char **)o->target = value;
		return 0;
	case OPTION_STRINGS:
		if (list->count == OPTION_LIST_MAX)
			return -E2BIG;
		list->item[list->count++] = value;
		return 0;
	case OPTION_UINT:
		return parse_uint(value, o->target, &rest) || *rest ? -EINVAL : 0;
	case OPTION_DURATION:
		return parse_duration(value, o->target);
	}
	return -EINVAL;
}

/* Finds the option that arg ("name" or "name=value") names. */
static const struct option *find(const struct option_spec *spec, const char *arg, const char **ret_value)
{
	const char *eq = strchr(arg, '=');
	size_t len = eq ? (size_t)(eq - arg) : strlen(arg);

	*ret_value = eq ? eq + 1 : NULL;
	for (const struct option *o = spec->options; o->name; o++)
		if (strlen(o->name) == len && !strncmp(o->name, arg, len))
			return o;
	return NULL;
}

static int usage_error(const struct option_spec *spec, const char *what, const char *arg)
{
	log_error("%s: %s '%s'; `opmeter %s --help` lists the options", spec->verb, what, arg, spec->verb);
	return -EINVAL;
}

/* Moves argv[from] to argv[to] < from, so that operands end up behind all options. */
static void move_arg(char **argv, int from, int to)
{
	char *arg = argv[from];

	memmove(&argv[to + 1], &argv[to], (size_t)(from - to) * sizeof(*argv));
	argv[to] = arg;
}

static int parse_one(const struct option_spec *spec, int argc, char **argv, int *i)
{
	const char *value, *arg = argv[*i];
	const struct option *o = arg[1] == '-' ? find(spec, arg + 2, &value) : NULL;

	if (!o)
		return usage_error(spec, "no option", arg);
	if (o->kind == OPTION_FLAG && value)
		return usage_error(spec, "takes no value:", arg);
	if (o->kind != OPTION_FLAG && !value) {
		if (++*i == argc)
			return usage_error(spec, "no value for", arg);
		value = argv[*i];
	}
	return store(o, value) ? usage_error(spec, "bad value for option:", value ? value : arg) : 0;
}

int options_parse(const struct option_spec *spec, int argc, char **argv, int *ret_operand)
{
	int options_end = 1, i;

	for (i = 1; i < argc; i++) {
		int first = i, r;

		if (!strcmp(argv[i], "--help")) {
			print_help(spec);
			return 1;
		}
		if (!strcmp(argv[i], "--")) {
			move_arg(argv, i, options_end++);
			break;
		}
		if (argv[i][0] != '-' || !argv[i][1])
			continue;
		r = parse_one(spec, argc, argv, &i);
		if (r)
			return r;
		while (first <= i)
			move_arg(argv, first++, options_end++);
	}
	if (options_end < argc && !spec->operands)
		return usage_error(spec, "takes no operand:", argv[options_end]);
	*ret_operand = options_end;
	return 0;
}
