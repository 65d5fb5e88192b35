// SPDX-License-Identifier: Apache-2.0
/* What the HTTP API makes of what comes from outside: targets of requests, cursors, tokens; and what it keeps of alerts. */
#include <errno.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/fleet/api_internal.h"

static struct api_query query;

static int parse(const char *target)
{
	const char *why;

	return api_query_parse(target, strlen(target), &query, &why);
}

static void a_target_is_taken_apart(void **state)
{
	assert_int_equal(parse("/v1/models/acme/lm%2F7b"), 0);
	assert_int_equal(query.segments, 4);
	assert_string_equal(query.segment[3], "lm/7b");
	assert_int_equal(parse("/v1/lineages/a+b%20%C3%A9"), 0);
	assert_string_equal(query.segment[2], "a+b \xc3\xa9");
	assert_int_equal(parse("/v1/totals?tenant=a%3Db&cursor=&limit=7"), 0);
	assert_int_equal(query.params, 3);
	assert_string_equal(api_query_get(&query, "tenant"), "a=b");
	assert_string_equal(api_query_get(&query, "cursor"), "");
	assert_null(api_query_get(&query, "ten"));
	assert_int_equal(parse("/v1/totals?lineage=a+b"), 0);
	assert_string_equal(api_query_get(&query, "lineage"), "a b");
	assert_int_equal(parse("/"), 0);
	assert_int_equal(query.segments, 0);
	assert_int_equal(parse("/x?flag"), 0);
	assert_string_equal(api_query_get(&query, "flag"), "");
	assert_null(api_query_unknown(&query, (const char *const[]){ "flag", NULL }));
	assert_string_equal(api_query_unknown(&query, (const char *const[]){ "other", NULL }), "flag");
}

static void a_target_that_is_none_is_refused(void **state)
{
	static const char *const bad[] = {
		"",		"x",	     "*",	    "http:x/",  "//",		"/a//b",	"/a/",	    "/%",
		"/%4",		"/%4g",	     "/%00",	    "/a%0ab",	  "/\x7f",	"/\xc3\xa9",	"/%c3",	    "/%c0%af",
		"/%ed%a0%80",	"/a b",	     "/\ta",	    "/a?b=%ff",	  "/a?b=1&b=2", "/a?=1",	"/a?&b=1",  "/a?b=%",
		"/a?b=1&b",	"/a?%00=1",  "/%f8%88%80%80%80", "/%7f",
	};
	char *big = malloc(API_TARGET_MAX + 2);
	const char *why;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		int r = api_query_parse(bad[i], strlen(bad[i]), &query, &why);

		if (r != -EBADMSG || !why || !*why)
			fail_msg("%s: %d", bad[i], r);
	}
	assert_int_equal(api_query_parse("/a\0b", 4, &query, &why), -EBADMSG);
	assert_int_equal(parse("/1/2/3/4/5/6/7/8"), 0);
	assert_int_equal(parse("/1/2/3/4/5/6/7/8/9"), -E2BIG);
	assert_int_equal(parse("/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p"), 0);
	assert_int_equal(parse("/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q"), -E2BIG);
	memset(big, 'a', API_TARGET_MAX + 1);
	big[0] = '/';
	big[API_TARGET_MAX + 1] = '\0';
	assert_int_equal(parse(big), -E2BIG);
	big[API_TARGET_MAX - API_PARAMS_MAX] = '\0';
	assert_int_equal(parse(big), 0);
	assert_int_equal(strlen(query.segment[0]), API_TARGET_MAX - API_PARAMS_MAX - 1);
	free(big);
}

static void a_cursor_comes_back_as_it_was(void **state)
{
	const char *names[API_CURSOR_NAMES] = { "model", "acme", "lm/7b \xc3\xa9" }, *got[API_CURSOR_NAMES];
	char text[API_CURSOR_MAX], buf[API_CURSOR_MAX], huge[API_CURSOR_MAX];

	assert_int_equal(api_cursor_encode(names, text), 0);
	assert_int_equal(strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"), strlen(text));
	assert_int_equal(api_cursor_decode(text, got, buf), 0);
	for (int i = 0; i < API_CURSOR_NAMES; i++)
		assert_string_equal(got[i], names[i]);
	text[strlen(text) - 1] = '\0';
	assert_int_equal(api_cursor_decode(text, got, buf), -EBADMSG);
	assert_int_equal(api_cursor_decode("", got, buf), -EBADMSG);
	assert_int_equal(api_cursor_decode("AAAA", got, buf), 0); /* three empty names */
	assert_int_equal(api_cursor_decode("AAAAAA", got, buf), -EBADMSG);
	assert_int_equal(api_cursor_decode("AA", got, buf), -EBADMSG);
	assert_int_equal(api_cursor_decode("//8A", got, buf), -EBADMSG);
	assert_int_equal(api_cursor_decode("_wAA", got, buf), -EBADMSG); /* no UTF-8 */
	memset(huge, 'a', sizeof(huge) - 1);
	huge[sizeof(huge) - 1] = '\0';
	names[1] = huge;
	assert_int_equal(api_cursor_encode(names, text), -E2BIG);
}

static struct api_tokens *tokens_of(const char *text, int want)
{
	struct api_tokens *t = NULL;
	struct error_text err = { 0 };
	int r = api_tokens_parse(text, strlen(text), "tokens", &t, &err);

	if (r != want || (want == -EINVAL && strncmp(err.text, "tokens:", 7)))
		fail_msg("%s: %d (%s)", text, r, err.text);
	return t;
}

#define HASH "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void a_token_lets_ask_for_what_its_scope_says(void **state)
{
	static const char *const scopes[] = { "all", "metrics", "tenants=acme,beta" };
	char token[3][API_TOKEN_STRLEN], file[1024] = "# who\n\n", wrong[API_TOKEN_STRLEN];
	const struct api_token *t;
	struct api_tokens *all;

	for (int i = 0; i < 3; i++) {
		char *line, name[8];

		snprintf(name, sizeof(name), "t%d", i);
		assert_int_equal(api_token_make(name, scopes[i], token[i], &line, NULL), 0);
		assert_int_equal(strlen(token[i]), API_TOKEN_STRLEN - 1);
		assert_null(strstr(line, token[i]));
		strcat(file, line);
		free(line);
	}
	assert_string_not_equal(token[0], token[1]);
	all = tokens_of(file, 0);
	assert_int_equal(api_tokens_count(all), 3);
	t = api_tokens_find(all, token[0]);
	assert_non_null(t);
	assert_true(api_token_may_all(t) && api_token_may_metrics(t) && api_token_may_tenant(t, "anybody"));
	t = api_tokens_find(all, token[1]);
	assert_true(!api_token_may_all(t) && api_token_may_metrics(t) && !api_token_may_tenant(t, "acme"));
	assert_null(api_token_tenants(t));
	t = api_tokens_find(all, token[2]);
	assert_string_equal(api_token_name(t), "t2");
	assert_true(!api_token_may_all(t) && !api_token_may_metrics(t) && api_token_may_tenant(t, "acme") &&
		    api_token_may_tenant(t, "beta"));
	assert_false(api_token_may_tenant(t, "acm") || api_token_may_tenant(t, "acme,beta") || api_token_may_tenant(t, ""));
	memcpy(wrong, token[0], sizeof(wrong));
	wrong[20] ^= 1;
	assert_null(api_tokens_find(all, wrong));
	assert_null(api_tokens_find(all, ""));
	assert_null(api_tokens_find(all, HASH)); /* the hash itself is no token */
	api_tokens_free(all);
}

static void a_file_of_tokens_that_is_wrong_is_refused(void **state)
{
	static const char *const bad[] = {
		"", "# nobody\n", "a\n", "a all\n", "a all " HASH " more\n", "a everything " HASH "\n", "a tenants= " HASH "\n",
		"a tenants=x,y/z " HASH "\n", "a all 0123\n", "a all " HASH "00\n", "a all g" HASH "\n", "a/b all " HASH "\n",
		"a all " HASH "\nb all " HASH "\n", "a tenants=\xc3\xa9 " HASH "\n",
	};
	struct error_text err = { 0 };
	struct api_tokens *t;
	char token[API_TOKEN_STRLEN], *line;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		tokens_of(bad[i], -EINVAL);
	assert_int_equal(api_tokens_parse("a all\0", 6, "tokens", &t, &err), -EINVAL);
	assert_int_equal(api_token_make("a b", "all", token, &line, &err), -EINVAL);
	assert_int_equal(api_token_make("a", "all\nb all " HASH, token, &line, &err), -EINVAL);
	assert_int_equal(api_token_make("#", "all", token, &line, &err), -EINVAL);
	api_tokens_free(tokens_of("a \t tenants=x,y   " HASH " # comment\r\n", 0));
}

static int take(struct api_alerts *a, int number, const char *time, const char *type, const char *subject,
		const char *data)
{
	char text[1024];
	json_t *o;
	int r;

	snprintf(text, sizeof(text),
		 "{\"specversion\":\"1.0\",\"id\":\"%032x\",\"source\":\"/opmeter/f\",\"type\":\"%s\",\"subject\":\"%s\","
		 "\"time\":\"%s\",\"data\":%s}",
		 number, type, subject, time, data);
	o = json_loads(text, 0, NULL);
	assert_non_null(o);
	r = api_alerts_take(a, o, false);
	json_decref(o);
	return r;
}

#define LEVEL "opmeter.alert.level.v1"
#define DATA "opmeter.alert.data.v1"

struct listed {
	char text[512];
};

static int list(void *ctx, const struct api_alert *a)
{
	struct listed *l = ctx;

	strcat(l->text, a->id + 30);
	strcat(l->text, " ");
	return 0;
}

static void check_list(struct api_alerts *a, struct api_alerts_ask ask, const char *want)
{
	struct listed l = { "" };
	bool more;

	ask.limit = ask.limit ?: 100;
	assert_int_equal(api_alerts_each(a, &ask, list, &l, &more), 0);
	if (more)
		strcat(l.text, "...");
	assert_string_equal(l.text, want);
}

static void alerts_come_in_the_order_of_their_times_each_once(void **state)
{
	struct api_alerts_ask all = { 0 }, acme = { 0 };
	struct api_tokens *t;
	struct api_alerts a;
	uint64_t since;

	api_alerts_init(&a, 100);
	assert_int_equal(take(&a, 3, "2026-01-03T00:00:00Z", LEVEL, "acme/m", "{\"level\":\"exceeded\",\"group\":\"model\"}"), 0);
	assert_int_equal(take(&a, 1, "2026-01-01T00:00:00Z", LEVEL, "acme/m", "{\"level\":\"notice\"}"), 0);
	assert_int_equal(take(&a, 2, "2026-01-02T00:00:00Z", LEVEL, "lineage/acme", "{\"level\":\"warn\",\"group\":\"lineage\"}"), 0);
	assert_int_equal(take(&a, 4, "2026-01-03T00:00:00Z", DATA, "partition/0", "{\"cause\":\"damaged\"}"), 0);
	assert_int_equal(take(&a, 5, "2026-01-05T00:00:00Z", DATA, "acme", "{\"cause\":\"unattributed\"}"), 0);
	assert_int_equal(take(&a, 1, "2026-01-09T00:00:00Z", LEVEL, "acme/m", "{}"), 1);
	assert_int_equal(take(&a, 6, "yesterday", LEVEL, "acme/m", "{}"), 1);
	assert_int_equal(take(&a, 7, "2026-01-01T00:00:00Z", "opmeter.heartbeat.v1", "node", "{}"), 1);
	assert_int_equal(take(&a, 8, "2026-01-01T00:00:00Z", "opmeter.case.v1", "acme/m", "{}"), 1);
	{
		char *line, both[1024] = "", one[API_TOKEN_STRLEN], two[API_TOKEN_STRLEN];

		assert_int_equal(api_token_make("a", "all", one, &line, NULL), 0);
		strcat(both, line);
		free(line);
		assert_int_equal(api_token_make("b", "tenants=acme", two, &line, NULL), 0);
		strcat(both, line);
		free(line);
		t = tokens_of(both, 0);
		all.token = api_tokens_find(t, one);
		acme.token = api_tokens_find(t, two);
	}
	check_list(&a, all, "01 02 03 04 05 ");
	check_list(&a, acme, "01 03 "); /* not what is of several tenants or of none, nor what could not be attributed */
	all.limit = 2;
	check_list(&a, all, "01 02 ...");
	assert_int_equal(om_time_parse("2026-01-03T00:00:00Z", &since), 0);
	all.after_ns = since;
	all.after_id = "00000000000000000000000000000003";
	check_list(&a, all, "04 05 ");
	all.after_id = NULL;
	all.since_ns = since;
	check_list(&a, all, "03 04 ...");
	all.since_ns = 0;
	all.has_severity = true;
	all.severity = API_CRITICAL;
	check_list(&a, all, "03 ");
	all.severity = API_WARNING;
	check_list(&a, all, "02 04 ...");
	api_tokens_free(t);
	api_alerts_done(&a);
}

static int look_at(void *ctx, const struct api_alert *a)
{
	*(const struct api_alert **)ctx = a;
	return 0;
}

static void a_tenant_is_not_told_who_looks_into_it(void **state)
{
	static const char duty[] = "{\"specversion\":\"1.0\",\"id\":\"0000000000000000000000000000000c\",\"source\":\"/opmeter/f\","
				   "\"type\":\"opmeter.alert.duty.v1\",\"subject\":\"acme/m\",\"time\":\"2026-01-02T00:00:00Z\",\"data\":{}}";
	char *line, one[API_TOKEN_STRLEN];
	const struct api_alert *seen = NULL;
	struct api_alerts_ask acme = { .limit = 100 };
	struct api_tokens *t;
	struct api_alerts a;
	json_t *o;
	bool more;

	api_alerts_init(&a, 100);
	assert_int_equal(take(&a, 1, "2026-01-01T00:00:00Z", LEVEL, "acme/m",
			      "{\"level\":\"warn\",\"verdict\":\"possible\",\"case\":\"case-1\",\"findings\":[\"structuring\"]}"),
			 0);
	assert_int_equal(api_token_make("b", "tenants=acme", one, &line, NULL), 0);
	t = tokens_of(line, 0);
	free(line);
	acme.token = api_tokens_find(t, one);
	assert_int_equal(api_alerts_each(&a, &acme, look_at, &seen, &more), 0);
	assert_non_null(seen);
	assert_non_null(strstr(seen->event, "case-1"));
	assert_non_null(strstr(seen->told, "possible"));
	assert_null(strstr(seen->told, "case-1"));
	assert_null(strstr(seen->told, "structuring"));
	/* A law's clock that runs is a warning; in the shadow it is not told. */
	o = json_loads(duty, 0, NULL);
	assert_int_equal(api_alerts_take(&a, o, true), 0);
	json_decref(o);
	assert_int_equal(a.said[API_WARNING], 2);
	check_list(&a, acme, "01 ");
	api_tokens_free(t);
	api_alerts_done(&a);
}

static void of_too_many_alerts_the_latest_stay(void **state)
{
	struct api_alerts a;
	char time[32];

	api_alerts_init(&a, 20);
	for (int i = 0; i < 50; i++) {
		snprintf(time, sizeof(time), "2026-01-01T00:00:%02dZ", i);
		assert_int_equal(take(&a, i + 1, time, DATA, "x", "{\"cause\":\"y\"}"), 0);
	}
	assert_true(a.count <= 20 && a.count >= 17);
	assert_int_equal(a.dropped + a.count, 50);
	assert_int_equal(a.said[API_WARNING], 50);
	for (size_t i = 1; i < a.count; i++)
		assert_true(a.item[i].time_ns > a.item[i - 1].time_ns);
	assert_string_equal(a.item[a.count - 1].id, "00000000000000000000000000000032");
	api_alerts_done(&a);
}

static void figures_are_rounded_outward(void **state)
{
	const opcount e26 = (opcount)10000000000000ULL * 10000000000000ULL;
	const opcount values[] = { 0, 1, 1ULL << 53, (1ULL << 53) + 1, (1ULL << 53) + 3, e26 - 1, e26, e26 + 1, OPCOUNT_MAX - 1, OPCOUNT_MAX };

	for (size_t i = 0; i < ARRAY_SIZE(values); i++) {
		double down = api_metrics_round(values[i], true), up = api_metrics_round(values[i], false);

		assert_true(down >= 0 && down < 0x1p128 && (opcount)down <= values[i]);
		assert_true(up >= 0x1p128 || (opcount)up >= values[i]);
		assert_true(up == down || nextafter(down, INFINITY) == up); /* and no further than it must be */
	}
	assert_true(api_metrics_round((1ULL << 53) + 1, true) == 0x1p53);
	assert_true(api_metrics_round((1ULL << 53) + 1, false) == 0x1p53 + 2);
	assert_true(api_metrics_round(OPCOUNT_MAX, false) == 0x1p128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_target_is_taken_apart),
		cmocka_unit_test(a_target_that_is_none_is_refused),
		cmocka_unit_test(a_cursor_comes_back_as_it_was),
		cmocka_unit_test(a_token_lets_ask_for_what_its_scope_says),
		cmocka_unit_test(a_file_of_tokens_that_is_wrong_is_refused),
		cmocka_unit_test(alerts_come_in_the_order_of_their_times_each_once),
		cmocka_unit_test(a_tenant_is_not_told_who_looks_into_it),
		cmocka_unit_test(of_too_many_alerts_the_latest_stay),
		cmocka_unit_test(figures_are_rounded_outward),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
