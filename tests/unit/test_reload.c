// SPDX-License-Identifier: Apache-2.0
/* When a file that people write is read anew: by its state and a clock that the test turns. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/core/reload.h"

#define SECOND 1000000000ULL

static char path[] = "/tmp/opmeter-reload-XXXXXX";
static unsigned written;

/* A file of another size is another file, whatever the clock of the file system says. */
static void write_file(const char *suffix)
{
	char name[64];
	FILE *f;

	snprintf(name, sizeof(name), "%s%s", path, suffix);
	f = fopen(name, "w");
	assert_non_null(f);
	for (unsigned i = 0; i <= written; i++)
		fputc('x', f);
	fclose(f);
	written++;
}

static void it_is_read_when_it_changed_and_rests(void **state)
{
	struct reload r;
	uint64_t t = 100 * SECOND;

	write_file("");
	reload_begin(&r, path, t);
	assert_false(reload_is_due(&r, t + 3600 * SECOND, false));
	write_file("");
	assert_false(reload_is_due(&r, t + SECOND, false)); /* perhaps half of it */
	assert_false(reload_is_due(&r, t + SECOND + SECOND / 2, false));
	assert_true(reload_is_due(&r, t + 2 * SECOND, false));
	assert_true(reload_tried(&r, t + 2 * SECOND, 0, NULL));
	assert_false(reload_is_due(&r, t + 3600 * SECOND, false));
	assert_int_equal(r.loads_total, 1);
	write_file("-wal"); /* a database tells there what is new */
	reload_is_due(&r, t + 3601 * SECOND, false);
	assert_true(reload_is_due(&r, t + 3602 * SECOND, false));
	reload_tried(&r, t + 3602 * SECOND, 0, NULL);
	unlink(path);
	reload_is_due(&r, t + 3700 * SECOND, false);
	assert_true(reload_is_due(&r, t + 3701 * SECOND, false));
}

/* Written each second for an hour: it is read each half minute and not each second. */
static void one_that_never_rests_is_read_now_and_then(void **state)
{
	struct reload r;
	unsigned loads = 0;

	write_file("");
	reload_begin(&r, path, 0);
	for (unsigned s = 1; s <= 3600; s++) {
		write_file("");
		if (reload_is_due(&r, s * SECOND, false)) {
			reload_tried(&r, s * SECOND, 0, NULL);
			loads++;
		}
	}
	assert_in_range(loads, 118, 120);
}

static void a_bad_one_is_said_once_and_tried_again(void **state)
{
	struct error_text bad = { "f:3: no such field" }, other = { "f:4: no such field" };
	struct reload r;

	write_file("");
	reload_begin(&r, path, 0);
	write_file("");
	reload_is_due(&r, SECOND, false);
	assert_true(reload_is_due(&r, 2 * SECOND, false));
	assert_true(reload_tried(&r, 2 * SECOND, -EINVAL, &bad));
	assert_true(r.has_failed);
	assert_string_equal(r.error.text, bad.text);
	assert_false(reload_is_due(&r, 31 * SECOND, false));
	assert_true(reload_is_due(&r, 32 * SECOND, false)); /* it may have been the reader's fault */
	assert_false(reload_tried(&r, 32 * SECOND, -EINVAL, &bad));
	assert_true(reload_is_due(&r, 33 * SECOND, true));
	assert_true(reload_tried(&r, 33 * SECOND, -EINVAL, &other));
	assert_int_equal(r.failures_total, 3);
	assert_true(reload_tried(&r, 34 * SECOND, 0, NULL));
	assert_false(r.has_failed);
	assert_false(reload_is_due(&r, 3600 * SECOND, false));
}

/* An import into a database takes its time; nobody is told of it, and the end of it is soon seen. */
static void one_that_is_being_written_is_tried_later(void **state)
{
	struct error_text busy = { "database is locked" };
	struct reload r;

	write_file("");
	reload_begin(&r, path, 0);
	write_file("");
	reload_is_due(&r, SECOND, false);
	assert_true(reload_is_due(&r, 2 * SECOND, false));
	assert_false(reload_tried(&r, 2 * SECOND, -EAGAIN, &busy));
	assert_true(!r.has_failed && r.failures_total == 0);
	assert_false(reload_is_due(&r, 3 * SECOND - 1, false));
	assert_true(reload_is_due(&r, 3 * SECOND, false)); /* though it looks as it did */
	assert_false(reload_tried(&r, 3 * SECOND, -EAGAIN, &busy));
	assert_true(reload_is_due(&r, 3 * SECOND, true));
	assert_true(reload_is_due(&r, 4 * SECOND, false));
	assert_true(reload_tried(&r, 4 * SECOND, 0, NULL));
	assert_false(reload_is_due(&r, 3600 * SECOND, false));
	/* A lock that is held without end keeps nobody from knowing. */
	for (uint64_t t = 4000; t < 4600; t++) {
		assert_true(reload_is_due(&r, t * SECOND, true));
		assert_false(reload_tried(&r, t * SECOND, -EAGAIN, &busy));
	}
	assert_false(r.has_failed);
	assert_true(reload_tried(&r, 4600 * SECOND, -EAGAIN, &busy));
	assert_true(r.has_failed);
	assert_false(reload_tried(&r, 4601 * SECOND, -EAGAIN, &busy)); /* once */
	assert_true(reload_is_due(&r, 4602 * SECOND, false));
	assert_true(reload_tried(&r, 4602 * SECOND, 0, NULL));
	assert_false(r.has_failed);
}

static void no_file_is_never_due(void **state)
{
	struct reload r;

	reload_begin(&r, NULL, 0);
	assert_false(reload_is_due(&r, 3600 * SECOND, true));
}

static int make(void **state)
{
	int fd = mkstemp(path);

	return fd < 0 ? -1 : close(fd);
}

static int drop(void **state)
{
	char wal[64];

	snprintf(wal, sizeof(wal), "%s-wal", path);
	unlink(wal);
	unlink(path);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_is_read_when_it_changed_and_rests),
		cmocka_unit_test(one_that_never_rests_is_read_now_and_then),
		cmocka_unit_test(a_bad_one_is_said_once_and_tried_again),
		cmocka_unit_test(one_that_is_being_written_is_tried_later),
		cmocka_unit_test(no_file_is_never_due),
	};

	return cmocka_run_group_tests(tests, make, drop);
}
