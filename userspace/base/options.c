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
		{ "", 1000000000ULL },	{ "ms", 1000000ULL },	     { "s", 1000000000ULL },
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

int options_parse(const struct option_spec *spec, int argc, char **argv, int *ret_operand)
{
	int i;

	for (i = 1; i < argc && !strncmp(argv[i], "--", 2); i++) {
		const struct option *o;
		const char *value;

		if (!strcmp(argv[i], "--")) {
			i++;
			break;
		}
		if (!strcmp(argv[i], "--help")) {
			print_help(spec);
			return 1;
		}
		o = find(spec, argv[i] + 2, &value);
		if (!o)
			return usage_error(spec, "no option", argv[i]);
		if (o->kind == OPTION_FLAG && value)
			return usage_error(spec, "takes no value:", argv[i]);
		if (o->kind != OPTION_FLAG && !value && ++i == argc)
			return usage_error(spec, "no value for", argv[i - 1]);
		if (store(o, value ? value : argv[i]))
			return usage_error(spec, "bad value for option:", argv[i]);
	}
	if (i < argc && argv[i][0] == '-' && argv[i][1])
		return usage_error(spec, "no option", argv[i]);
	if (i < argc && !spec->operands)
		return usage_error(spec, "takes no operand:", argv[i]);
	*ret_operand = i;
	return 0;
}
