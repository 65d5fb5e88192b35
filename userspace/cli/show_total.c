// SPDX-License-Identifier: Apache-2.0
#include "show_total.h"

#include <stdio.h>
#include <string.h>

opcount show_total_figure(const json_t *total, const char *outer, const char *inner)
{
	const json_t *o = json_object_get(total, outer);
	const char *text = json_string_value(inner ? json_object_get(o, inner) : o);
	opcount v = 0;

	if (!text || opcount_parse(text, &v))
		return 0;
	return v;
}

void show_total_header(void)
{
	printf("%-20s %-20s %-10s %9s %19s %12s %7s %9s  %s\n", "TENANT", "MODEL", "OPERATIONS", "OP/S",
	       "TRAINING", "CALLS", "LOSSES", "REGISTERS", "METERS");
}

static void put_meters(const json_t *total)
{
	const json_t *list = json_object_get(total, "meters"), *one;
	size_t i;

	json_array_foreach(list, i, one) printf("%s%s", i ? "," : "", json_string_value(one) ?: "?");
}

/* What is in none of the figures: jobs on nodes that are silent go on. */
static void put_silent(const json_t *total)
{
	const json_t *silent = json_object_get(total, "silent");
	char most[OPCOUNT_STRLEN];

	if (silent)
		printf("  (%lld silent nodes: %s%s more by now)",
		       (long long)json_integer_value(json_object_get(silent, "nodes")),
		       json_is_true(json_object_get(silent, "bounded")) ? "up to " : "at least ",
		       opcount_human(show_total_figure(silent, "operations", NULL), most));
}

void show_total(const json_t *total, const char *rate)
{
	const char *lineage = json_string_value(json_object_get(total, "lineage"));
	const char *tenant = json_string_value(json_object_get(total, "tenant"));
	const char *model = json_string_value(json_object_get(total, "model"));
	const char *family = json_string_value(json_object_get(total, "family"));
	const char *job = json_string_value(json_object_get(total, "job"));
	opcount low = show_total_figure(total, "training", "low");
	opcount high = show_total_figure(total, "training", "high");
	char all[OPCOUNT_STRLEN], from[OPCOUNT_STRLEN], to[OPCOUNT_STRLEN], training[2 * OPCOUNT_STRLEN + 2];
	char calls[OPCOUNT_STRLEN], losses[OPCOUNT_STRLEN], registers[OPCOUNT_STRLEN];

	snprintf(training, sizeof(training), low == high ? "%s" : "%s..%s", opcount_human(low, from),
		 opcount_human(high, to));
	printf("%-20.20s %-20.20s %-10s %9s %19s %12s %7s %9s  ", family			? "(family)"
	       : lineage && !job ? "(lineage)"
				 : tenant ?: "?",
	       job ?: family ?: lineage ?: model ?: "(all models)", opcount_human(show_total_figure(total, "all", "high"), all), rate ?: "-",
	       training, opcount_format(show_total_figure(total, "calls", NULL), calls),
	       opcount_format(show_total_figure(total, "losses", NULL), losses),
	       opcount_format(show_total_figure(total, "registers", NULL), registers));
	put_meters(total);
	printf("%s", json_is_true(json_object_get(total, "attempted")) ? " *" : "");
	put_silent(total);
	printf("\n");
}
