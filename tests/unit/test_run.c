// SPDX-License-Identifier: Apache-2.0
/* The compact form of a recorded run: what its versions say and refuse, and that what is written is what was read. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/run.h"

#define HEAD "name x\nsource y\nlicence Apache-2.0\ngpu none\nkind training\n"
#define PRODUCTS "p 1 8 16 32 440e0e0e mm 3\np 1 8 32 16 440e0e0e mm 1\n"

static int read_text(const char *text, struct run *ret, struct error_text *err)
{
	int fd = memfd_create("run", MFD_CLOEXEC), rc;
	char path[32];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	rc = run_load(path, ret, err);
	close(fd);
	return rc;
}

static void versions_are_read(void **state)
{
	static const struct {
		const char *text;
		uint32_t thread, a, b, d;
	} cases[] = {
		{ "opmeter-run 1\n" HEAD PRODUCTS "s 0 3\ns 1 1\n", 0, 0, 0, 0 },
		{ "opmeter-run 2\n" HEAD PRODUCTS "s 0 3 1\ns 1 1 0\n", 1, 0, 0, 0 },
		{ "opmeter-run 3\n" HEAD PRODUCTS "s 0 3 1 4294967295 7 0\ns 1 1 0 1 2 3\n", 1, UINT32_MAX, 7, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(run_done) struct run r = { 0 };
		struct error_text err = { "" };

		assert_int_equal(read_text(cases[i].text, &r, &err), 0);
		assert_int_equal(r.step_count, 2);
		assert_int_equal(r.steps[0].repeat, 3);
		assert_int_equal(r.steps[0].thread, cases[i].thread);
		assert_int_equal(r.steps[0].a, cases[i].a);
		assert_int_equal(r.steps[0].b, cases[i].b);
		assert_int_equal(r.steps[0].d, cases[i].d);
	}
}

/* Equal calls are one step only where their buffers are equal, and come back so from what is written. */
static void buffers_come_back(void **state)
{
	static const char text[] = "opmeter-run 3\n" HEAD PRODUCTS "s 0 1 0 1 2 3\ns 0 1 0 1 2 4\ns 0 1 0 1 2 4\ns 1 1 1 4 2 1\n";
	_cleanup_(run_done) struct run r = { 0 }, again = { 0 };
	_cleanup_free_ char *written = NULL;
	struct error_text err = { "" };
	size_t size;
	FILE *f = open_memstream(&written, &size);

	assert_int_equal(read_text(text, &r, &err), 0);
	assert_int_equal(r.step_count, 3);
	assert_int_equal(r.steps[1].repeat, 2);
	assert_int_equal(run_write_compact(&r, f), 0);
	fclose(f);
	assert_int_equal(strncmp(written, "opmeter-run 3\n", 14), 0);
	assert_int_equal(read_text(written, &again, &err), 0);
	assert_int_equal(again.step_count, r.step_count);
	assert_memory_equal(again.steps, r.steps, r.step_count * sizeof(*r.steps));
}

/* Without buffers it is version 2, which earlier programs read. */
static void none_are_not_written(void **state)
{
	_cleanup_(run_done) struct run r = { 0 };
	_cleanup_free_ char *written = NULL;
	struct error_text err = { "" };
	size_t size;
	FILE *f = open_memstream(&written, &size);

	assert_int_equal(read_text("opmeter-run 3\n" HEAD PRODUCTS "s 0 3 0 0 0 0\ns 1 1 0 0 0 0\n", &r, &err), 0);
	assert_int_equal(run_write_compact(&r, f), 0);
	fclose(f);
	assert_int_equal(strncmp(written, "opmeter-run 2\n", 14), 0);
	assert_non_null(strstr(written, "\ns 0 3 0\n"));
}

static void malformed_is_refused(void **state)
{
	static const char *const bad[] = {
		"opmeter-run 4\n" HEAD,
		"opmeter-run 33\n" HEAD,
		"opmeter-run \n" HEAD,
		"opmeter-run 3\n" HEAD PRODUCTS "s 0 3 0\ns 1 1 0\n",
		"opmeter-run 2\n" HEAD PRODUCTS "s 0 3 0 1 2 3\ns 1 1 0 1 2 3\n",
		"opmeter-run 3\n" HEAD PRODUCTS "s 0 3 0 1 2 3 4\ns 1 1 0 1 2 3\n",
		"opmeter-run 3\n" HEAD PRODUCTS "s 0 3 0 1 2 4294967296\ns 1 1 0 1 2 3\n",
		"opmeter-run 3\n" HEAD PRODUCTS "s 0 3 0 1 -2 3\ns 1 1 0 1 2 3\n",
		"opmeter-run 3\n" HEAD PRODUCTS "s 0 3 0 1 2 x\ns 1 1 0 1 2 3\n",
		"opmeter-run 3\n" HEAD PRODUCTS "s 0 0 0 1 2 3\n",
		"opmeter-run 3\n" HEAD PRODUCTS "s 2 3 0 1 2 3\n",
		"opmeter-run 3\n" HEAD PRODUCTS "s 0 2 0 1 2 3\ns 1 1 0 1 2 3\n",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct error_text err = { "" };
		struct run r = { 0 };

		assert_int_equal(read_text(bad[i], &r, &err), -EINVAL);
		assert_non_null(strstr(err.text, "/proc/self/fd/"));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(versions_are_read),
		cmocka_unit_test(buffers_come_back),
		cmocka_unit_test(none_are_not_written),
		cmocka_unit_test(malformed_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
