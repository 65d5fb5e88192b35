// SPDX-License-Identifier: Apache-2.0
/* Declarations: the golden chain, what breaks it, what holds when, and appending to it. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/core/assignment.h"
#include "userspace/core/declaration.h"
#include "userspace/core/declaration_head.h"

#define GOLDEN "tests/golden/declarations_v1.jsonl"

static char *golden(size_t *ret_len)
{
	FILE *f = fopen(GOLDEN, "r");
	char *text = calloc(1, 65536);

	assert_non_null(f);
	*ret_len = fread(text, 1, 65535, f);
	fclose(f);
	return text;
}

static opcount ops(const char *s)
{
	opcount v;

	assert_int_equal(opcount_parse(s, &v), 0);
	return v;
}

static uint64_t at(const char *s)
{
	uint64_t t;

	assert_int_equal(om_time_parse(s, &t), 0);
	return t;
}

static void the_golden_chain_is_read(void **state)
{
	struct error_text err = { 0 };
	struct declaration_head head;
	struct declarations *d;
	const struct declaration *c;

	assert_int_equal(declaration_head_read(GOLDEN, &head, &err), 0); /* made by other means: tests/golden/make.py */
	assert_true(head.is_there && !head.is_signed && head.tree.size == 2);
	declaration_head_done(&head);
	if (declarations_load(GOLDEN, &d, &err))
		fail_msg("%s", err.text);
	assert_int_equal(declarations_count(d), 2);
	c = declarations_next(d, "acme/lm", DECLARE_EXTERNAL, at("2026-11-23T18:00:00Z"), NULL);
	assert_non_null(c);
	assert_true(c->low == ops("6e25") && c->high == ops("65000000000000000000000001"));
	assert_null(declarations_next(d, "acme/lm", DECLARE_EXTERNAL, at("2026-11-23T18:00:00Z"), c));
	/* Before it was declared, after it was withdrawn, of another subject: nothing. */
	assert_null(declarations_next(d, "acme/lm", DECLARE_EXTERNAL, at("2026-11-23T17:59:59Z"), NULL));
	assert_null(declarations_next(d, "acme/lm", DECLARE_EXTERNAL, at("2026-11-24T00:00:00Z"), NULL));
	assert_null(declarations_next(d, "acme/l", DECLARE_EXTERNAL, at("2026-11-23T18:00:00Z"), NULL));
	declarations_free(d);
}

static void it_is_written_as_it_was_read(void **state)
{
	size_t len;
	char *text = golden(&len), *line = text, *again, prev[65];
	struct error_text err = { 0 };
	struct declaration d;

	while (*line) {
		char *end = strchr(line, '\n');

		*end = '\0';
		if (declaration_decode(line, strlen(line), &d, prev, &err))
			fail_msg("%s", err.text);
		memset(&d.id, 0, sizeof(d.id));
		again = declaration_encode(&d, prev);
		assert_string_equal(again, line);
		free(again);
		line = end + 1;
	}
	free(text);
}

/* Any changed byte is found, in whichever line; what is cut off behind a line is not, and a cut line is. */
static void every_changed_byte_is_found(void **state)
{
	struct declarations *d = NULL;
	size_t len;
	char *text = golden(&len);

	for (size_t i = 0; i < len; i++) {
		struct error_text err = { 0 };
		char *copy = malloc(len);
		bool in_last = memchr(text + i + 1, '\n', len - i - 1) == text + len - 1 || i == len - 1;

		memcpy(copy, text, len);
		copy[i] ^= 1;
		if (declarations_parse("d", copy, len, &d, &err) == 0) {
			/* Nothing stands behind the last line to say what its evidence was. */
			assert_true(in_last);
			declarations_free(d);
		} else {
			assert_non_null(strstr(err.text, "d:"));
		}
		free(copy);
	}
	for (size_t i = 1; i < len; i++) {
		struct error_text err = { 0 };
		int r = declarations_parse("d", text, i, &d, &err);

		assert_int_equal(r, text[i - 1] == '\n' ? 0 : -EINVAL);
		if (r == 0)
			declarations_free(d);
	}
	free(text);
}

static struct declaration make(enum declaration_kind kind, const char *subject, const char *other, const char *when)
{
	struct declaration d = { .kind = kind, .low = 5, .high = 7, .share_high_ppm = 1000000, .at_ns = at(when) };

	snprintf(d.subject, sizeof(d.subject), "%s", subject);
	snprintf(d.other, sizeof(d.other), "%s", other);
	snprintf(d.by, sizeof(d.by), "Jane Doe");
	return d;
}

/* The file and its head. */
static void unlink_both(const char *path)
{
	char head[64];

	snprintf(head, sizeof(head), "%s.head", path);
	unlink(path);
	unlink(head);
}

static void refused(const char *path, struct declaration d, const char *why)
{
	struct error_text err = { 0 };

	if (declarations_append(path, &d, NULL, 0, &err) != -EINVAL || !strstr(err.text, why))
		fail_msg("expected '%s', got '%s'", why, err.text);
}

static void appending_keeps_the_chain(void **state)
{
	char path[] = "/tmp/opmeter-declarations-XXXXXX", hex[OM_ID_STRLEN];
	struct declaration first = make(DECLARE_EXTERNAL, "a/m", "north", "2026-01-01T00:00:00Z");
	struct declaration second = make(DECLARE_EXTERNAL, "a/m", "south", "2026-01-02T00:00:00Z");
	struct declaration third = make(DECLARE_EXTERNAL, "a/m", "north", "2026-01-03T00:00:00Z"), gone;
	struct error_text err = { 0 };
	struct declarations *d;
	const struct declaration *c;
	int fd = mkstemp(path);

	close(fd);
	third.high = 9;
	assert_int_equal(declarations_append(path, &first, NULL, 0, &err), 0);
	assert_int_equal(declarations_append(path, &second, NULL, 0, &err), 0);
	assert_int_equal(declarations_append(path, &third, NULL, 0, &err), 0);
	refused(path, make(DECLARE_PUBLICATION, "a/m", "", "2026-01-04T00:00:00Z"), "needs the digest");
	refused(path, make(DECLARE_PARENT, "a/m", "a/m", "2026-01-04T00:00:00Z"), "its own parent");
	refused(path, make(DECLARE_WITHDRAWAL, "a/m", "00112233445566778899aabbccddeeff", "2026-01-04T00:00:00Z"),
		"no such record");
	refused(path, make(DECLARE_EXTERNAL, "", "x", "2026-01-04T00:00:00Z"), "'subject'");
	gone = make(DECLARE_WITHDRAWAL, "b/m", om_id_format(&third.id, hex), "2026-01-05T00:00:00Z");
	refused(path, gone, "another subject");
	gone = make(DECLARE_WITHDRAWAL, "a/m", hex, "2026-01-05T00:00:00Z");
	assert_int_equal(declarations_append(path, &gone, NULL, 0, &err), 0);
	refused(path, make(DECLARE_WITHDRAWAL, "a/m", hex, "2026-01-06T00:00:00Z"), "withdrawn");
	if (declarations_load(path, &d, &err))
		fail_msg("%s", err.text);
	assert_int_equal(declarations_count(d), 4);
	/* One a provider, the latest: then the earlier one, when the latest is withdrawn. */
	c = declarations_next(d, "a/m", DECLARE_EXTERNAL, at("2026-01-04T00:00:00Z"), NULL);
	assert_true(c->high == 9);
	c = declarations_next(d, "a/m", DECLARE_EXTERNAL, at("2026-01-04T00:00:00Z"), c);
	assert_string_equal(c->other, "south");
	assert_null(declarations_next(d, "a/m", DECLARE_EXTERNAL, at("2026-01-04T00:00:00Z"), c));
	c = declarations_next(d, "a/m", DECLARE_EXTERNAL, at("2026-01-06T00:00:00Z"), NULL);
	assert_true(c->high == 7);
	assert_true(declarations_concern(d, "a/m") && !declarations_concern(d, "a") && !declarations_concern(d, "b"));
	declarations_free(d);
	unlink_both(path);
}

/* A disk that fills within a line: the file is as it was, and goes on when there is room. */
static void half_a_line_is_taken_back(void **state)
{
	char path[] = "/tmp/opmeter-declarations-XXXXXX";
	struct declaration first = make(DECLARE_EXTERNAL, "a/m", "north", "2026-01-01T00:00:00Z");
	struct declaration second = make(DECLARE_EXTERNAL, "a/m", "south", "2026-01-02T00:00:00Z");
	struct error_text err = { 0 };
	struct rlimit before, small;
	struct declarations *d;
	struct stat st;
	int fd = mkstemp(path);

	assert_int_equal(declarations_append(path, &first, NULL, 0, &err), 0);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
	signal(SIGXFSZ, SIG_IGN);
	small = (struct rlimit){ (rlim_t)st.st_size + 20, before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(declarations_append(path, &second, NULL, 0, &err), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
	assert_int_equal(declarations_append(path, &second, NULL, 0, &err), 0);
	assert_int_equal(declarations_load(path, &d, &err), 0);
	assert_int_equal(declarations_count(d), 2);
	declarations_free(d);
	close(fd);
	unlink_both(path);
}

/* The chain alone does not see that its end is gone: the head does, whoever reads. */
static void a_file_that_lost_its_last_line_is_found(void **state)
{
	char dir[] = "/tmp/opmeter-declared-XXXXXX", path[64], head[80], keys[64], other[64];
	struct declaration first = make(DECLARE_TRAINING, "a/m", "", "2026-01-01T00:00:00Z"), second = make(DECLARE_PARENT, "a/m", "a/n", "2026-01-02T00:00:00Z");
	struct declaration third = make(DECLARE_PARENT, "a/m", "a/o", "2026-01-03T00:00:00Z");
	struct error_text err = { 0 };
	struct declarations *d;
	struct stat two;

	first.low = first.high = 1;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/d", dir);
	snprintf(head, sizeof(head), "%s.head", path);
	assert_int_equal(declarations_append(path, &first, NULL, 0, &err), 0);
	assert_int_equal(declarations_append(path, &second, NULL, 0, &err), 0);
	assert_int_equal(stat(path, &two), 0);
	assert_int_equal(declarations_append(path, &third, NULL, 0, &err), 0);
	assert_int_equal(truncate(path, two.st_size), 0);
	assert_int_equal(declarations_load(path, &d, &err), -EINVAL);
	assert_non_null(strstr(err.text, "has 2 records, and its head"));
	assert_int_equal(declarations_append(path, &third, NULL, 0, &err), -EINVAL);
	/* Another record in its place, written without the head. */
	snprintf(other, sizeof(other), "%s/e", dir);
	assert_int_equal(rename(head, other), 0);
	third.by[0] = 'X';
	assert_int_equal(declarations_append(path, &third, NULL, 0, &err), 0);
	assert_int_equal(declarations_load(path, &d, &err), 0);
	declarations_free(d);
	assert_int_equal(rename(other, head), 0);
	err.text[0] = '\0';
	assert_int_equal(declarations_load(path, &d, &err), -EINVAL);
	assert_non_null(strstr(err.text, "not those that its head"));
	unlink(path);
	unlink(head);
	/* Records behind the head are a crash between the two: they count, and the next head names them. */
	assert_int_equal(declarations_append(path, &first, NULL, 0, &err), 0);
	assert_int_equal(rename(head, other), 0);
	assert_int_equal(declarations_append(path, &second, NULL, 0, &err), 0);
	assert_int_equal(rename(other, head), 0);
	assert_int_equal(declarations_load(path, &d, &err), 0);
	assert_int_equal(declarations_count(d), 2);
	declarations_free(d);
	snprintf(keys, sizeof(keys), "%s/nokeys", dir);
	assert_true(declarations_append(path, &third, keys, 0, &err) < 0);
	/* A signature that was cut off does not leave a head that nobody need sign. */
	assert_int_equal(truncate(head, 30), 0);
	assert_int_equal(declarations_load(path, &d, &err), -EINVAL);
	unlink(path);
	unlink(head);
	assert_int_equal(rmdir(dir), 0);
}

static void what_is_no_record_is_refused(void **state)
{
	static const struct {
		const char *line, *why;
	} cases[] = {
		{ "hello", "no JSON object" },
		{ "[]", "no JSON object" },
		{ "{}", "'v' is missing" },
		{ "{\"v\":2}", "later version" },
		{ "{\"v\":1,\"v\":1}", "no JSON object" },
		{ "{\"v\":1,\"kind\":\"rumour\",\"id\":\"x\",\"subject\":\"a\",\"at\":\"b\",\"by\":\"c\",\"prev\":\"d\"}", "rumour" },
		{ "{\"v\":1,\"kind\":\"fact\",\"id\":\"x\",\"subject\":\"a\",\"at\":\"b\",\"by\":\"c\",\"prev\":\"d\"}", "malformed" },
		{ "{\"v\":1,\"kind\":\"fact\",\"id\":\"x\",\"subject\":\"a\\u0007\",\"at\":\"b\",\"by\":\"c\",\"prev\":\"d\"}", "control" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct error_text err = { 0 };
		struct declaration d;
		char prev[65];

		assert_true(declaration_decode(cases[i].line, strlen(cases[i].line), &d, prev, &err) < 0);
		if (!strstr(err.text, cases[i].why))
			fail_msg("expected '%s', got '%s'", cases[i].why, err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_golden_chain_is_read),    cmocka_unit_test(it_is_written_as_it_was_read),
		cmocka_unit_test(every_changed_byte_is_found), cmocka_unit_test(appending_keeps_the_chain),
		cmocka_unit_test(half_a_line_is_taken_back), cmocka_unit_test(a_file_that_lost_its_last_line_is_found),
		cmocka_unit_test(what_is_no_record_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
