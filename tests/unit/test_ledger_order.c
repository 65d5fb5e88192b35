// SPDX-License-Identifier: Apache-2.0
/* Windows of the order, kept in a ledger: they come back as they were, the latest are kept, and a row that somebody wrote into is said. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "userspace/core/ledger_order.h"

static char dir[64];

static struct om_ledger *ledger_open(unsigned flags)
{
	struct om_ledger *l = NULL;
	struct error_text err = { "" };

	assert_int_equal(om_ledger_open(dir, flags, 1, &l, &err), 0);
	return l;
}

static int begin(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/opmeter-order-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int end(void **state)
{
	static const char *const names[] = { "ledger.db", "ledger.db-wal", "ledger.db-shm", "ledger.lock" };
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	return rmdir(dir);
}

static struct om_id id_of(uint8_t n)
{
	struct om_id id = { { n } };

	return id;
}

struct seen {
	struct om_order_window w[256];
	struct om_tally_step first[256], last[256];
	size_t n;
};

static int take(void *ctx, const struct om_order_window *w)
{
	struct seen *s = ctx;

	assert_true(s->n < 256);
	s->w[s->n] = *w;
	s->first[s->n] = w->steps[0];
	s->last[s->n++] = w->steps[w->count - 1];
	return 0;
}

static int same(void *ctx, const struct om_order_window *w)
{
	const struct om_tally_step *want = ctx;

	for (size_t i = 0; i < w->count; i++)
		assert_memory_equal(&w->steps[i], &want[i], sizeof(want[i]));
	return (int)w->count;
}

static void put(struct om_ledger *l, uint8_t job, uint32_t tgid, uint32_t window, uint64_t at)
{
	const struct om_tally_step steps[] = { { 7, 3, 1, 11, 12, 13 }, { 9, 65535, 0, window, 0, UINT32_MAX } };
	struct om_order_window w = { id_of(200), id_of(job), tgid, 5, window, steps, 2 };

	assert_int_equal(om_ledger_store_order(l, &w, 1, at), 0);
}

static void comes_back_as_it_was(void **state)
{
	struct om_ledger *l = ledger_open(OM_LEDGER_CREATE);
	struct om_tally_step *steps = calloc(OM_ORDER_STEPS_MAX + 1, sizeof(*steps));
	struct om_order_window w = { id_of(1), id_of(2), 3, 4, 5, steps, OM_ORDER_STEPS_MAX };
	uint32_t x = 1;

	assert_non_null(steps);
	for (size_t i = 0; i < OM_ORDER_STEPS_MAX; i++) {
		x = x * 1664525 + 1013904223;
		/* The first half all different, then again and again. */
		steps[i] = i < OM_ORDER_STEPS_MAX / 2
				   ? (struct om_tally_step){ x, (uint16_t)(x >> 16), (uint8_t)(x >> 8), x ^ 1, x ^ 2, x ^ 3 }
				   : steps[i % 101];
	}
	assert_int_equal(om_ledger_store_order(l, &w, 1, 1), 0);
	assert_int_equal(om_ledger_each_order(l, NULL, same, steps), OM_ORDER_STEPS_MAX);
	w.count++;
	assert_int_equal(om_ledger_store_order(l, &w, 1, 1), -EINVAL);
	w.count = 0;
	assert_int_equal(om_ledger_store_order(l, &w, 1, 1), -EINVAL);
	free(steps);
	om_ledger_free(l);
}

static void those_of_one_process_are_found(void **state)
{
	struct om_ledger *l = ledger_open(OM_LEDGER_CREATE);
	struct om_order_window of = { .map = id_of(200), .job = id_of(1), .tgid = 7, .start_ns = 5 };
	static struct seen s;

	for (uint32_t tgid = 6; tgid < 9; tgid++)
		for (uint32_t window = 1; window < 4; window++)
			put(l, 1, tgid, window, 10 - window + tgid);
	put(l, 2, 7, 9, 1);
	assert_int_equal(om_ledger_order_of(l, &of, take, &s), 0);
	assert_int_equal(s.n, 3);
	assert_true(s.w[0].tgid == 7 && s.w[0].window == 3 && s.w[2].window == 1); /* the oldest first */
	of.start_ns = 6;
	assert_int_equal(om_ledger_order_of(l, &of, take, &s), 0);
	assert_int_equal(s.n, 3);
	om_ledger_free(l);
}

static void latest_are_kept(void **state)
{
	struct om_ledger *l = ledger_open(OM_LEDGER_CREATE);
	struct seen *s = calloc(1, sizeof(*s));
	struct om_id one = id_of(1), none = id_of(9);

	assert_non_null(s);
	for (uint32_t i = 1; i <= 7; i++)
		put(l, 1, 10, i, i);
	put(l, 1, 11, 1, 3);
	put(l, 2, 10, 1, 3);
	put(l, 1, 10, 7, 8); /* again: replaced */
	assert_int_equal(om_ledger_each_order(l, &one, take, s), 0);
	assert_int_equal(s->n, OM_TALLY_WINDOWS_MAX + 1);
	for (uint32_t i = 0; i < OM_TALLY_WINDOWS_MAX; i++) {
		assert_int_equal(s->w[i].window, 8 - OM_TALLY_WINDOWS_MAX + i);
		assert_int_equal(s->last[i].a, s->w[i].window);
		assert_int_equal(s->first[i].repeat, 3);
	}
	assert_int_equal(s->w[OM_TALLY_WINDOWS_MAX].tgid, 11);
	s->n = 0;
	assert_int_equal(om_ledger_each_order(l, &none, take, s), 0);
	assert_int_equal(s->n, 0);
	/* A job of very many processes has no more than its part, and takes none of another's. */
	for (uint32_t i = 0; i < OM_ORDER_JOB_MAX + 9; i++)
		put(l, 1, 100 + i, 1, 100 + i);
	assert_int_equal(om_ledger_each_order(l, NULL, take, s), 0);
	assert_int_equal(s->n, OM_ORDER_JOB_MAX + 1);
	free(s);
	om_ledger_free(l);
}

static void damage_is_said(void **state)
{
	static const char *const sql[] = {
		"UPDATE order_window SET count = count + 1",
		"UPDATE order_window SET count = 0",
		"UPDATE order_window SET count = 1 << 40",
		"UPDATE order_window SET steps = x'ffffffff'",
		"UPDATE order_window SET steps = x''",
		"UPDATE order_window SET steps = substr(steps, 1, 4 + 2 * 17) || x'0200010000000100'", /* names a third of two */
		"UPDATE order_window SET map = x'00'",
	};
	struct seen *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	for (size_t i = 0; i < ARRAY_SIZE(sql); i++) {
		struct om_ledger *l = ledger_open(OM_LEDGER_CREATE);
		char path[128];
		sqlite3 *db;

		put(l, 1, 10, 1, 1);
		om_ledger_free(l);
		snprintf(path, sizeof(path), "%s/ledger.db", dir);
		assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
		assert_int_equal(sqlite3_exec(db, sql[i], NULL, NULL, NULL), SQLITE_OK);
		sqlite3_close(db);
		l = ledger_open(OM_LEDGER_READ_ONLY);
		assert_int_equal(om_ledger_each_order(l, NULL, take, s), -EUCLEAN);
		om_ledger_free(l);
		end(NULL);
		assert_int_equal(begin(NULL), 0);
	}
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(comes_back_as_it_was, begin, end),
		cmocka_unit_test_setup_teardown(those_of_one_process_are_found, begin, end),
		cmocka_unit_test_setup_teardown(latest_are_kept, begin, end),
		cmocka_unit_test_setup_teardown(damage_is_said, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
