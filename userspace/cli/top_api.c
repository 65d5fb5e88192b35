// SPDX-License-Identifier: Apache-2.0
#include "top_api.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "show_total.h"

#define ROWS 50

static const json_t *find(const json_t *rows, const json_t *like)
{
	const json_t *one;
	size_t i;

	json_array_foreach(rows, i, one) if (json_equal(json_object_get(one, "tenant"),
							json_object_get(like, "tenant")) &&
					     json_equal(json_object_get(one, "model"),
							json_object_get(like, "model"))) return one;
	return NULL;
}

static double seconds_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* A total that fell (an assignment changed) has no rate. */
static void show(const json_t *answer, const json_t *before, double seconds)
{
	const json_t *rows = json_object_get(answer, "totals"), *one;
	size_t i;

	show_total_header();
	json_array_foreach(rows, i, one)
	{
		const json_t *was = find(json_object_get(before, "totals"), one);
		opcount now = show_total_figure(one, "all", "high");
		opcount then = was ? show_total_figure(was, "all", "high") : 0;
		char rate[24] = "-";

		if (was && now >= then && seconds > 0)
			snprintf(rate, sizeof(rate), "%.3g", opcount_to_double(now - then) / seconds);
		show_total(one, rate);
	}
	if (json_array_size(rows) == 0)
		printf("nothing has been metered yet\n");
	printf("as of %s, view %.12s\n",
	       json_string_value(json_object_get(json_object_get(answer, "as_of"), "time")) ?: "?",
	       json_string_value(json_object_get(json_object_get(answer, "as_of"), "view")) ?: "?");
}

int top_api(const struct api_client *c, uint64_t interval_ns, bool once, bool json, struct error_text *err)
{
	struct timespec pause = { (time_t)(interval_ns / 1000000000), (long)(interval_ns % 1000000000) };
	_cleanup_(json_decrefp) json_t *before = NULL;
	double then = 0;
	char target[64];
	int r = api_client_check(c, err);

	snprintf(target, sizeof(target), "/v1/totals?largest=%d", ROWS);
	do {
		_cleanup_(json_decrefp) json_t *now = NULL;
		double at = seconds_now();

		r = r ?: api_client_get(c, target, &now, err);
		if (r)
			break;
		if (!once && !json)
			printf(isatty(STDOUT_FILENO) ? "\033[H\033[2J" : "\n");
		if (json) {
			_cleanup_free_ char *text = json_dumps(json_object_get(now, "totals"), JSON_COMPACT);

			printf("%s\n", text ?: "");
		} else {
			show(now, before, at - then);
		}
		fflush(stdout);
		json_decref(before);
		before = TAKE_PTR(now);
		then = at;
	} while (!once && nanosleep(&pause, NULL) == 0);
	return r;
}
