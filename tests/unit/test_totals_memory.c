// SPDX-License-Identifier: Apache-2.0
/*
 * Out of memory, at each allocation in turn: every call says so or is done, and what is asked again comes to the same totals.
 * This program's allocator stands before libc's; with sanitizers, which bring their own, the test is skipped.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/totals.h"

#define DAY_NS 86400000000000ULL

static long left = -1; /* allocations until one fails; -1: none does */
static bool has_failed;

#ifndef __SANITIZE_ADDRESS__
static bool fails(void)
{
	if (left < 0)
		return false;
	if (left-- > 0)
		return false;
	has_failed = true;
	errno = ENOMEM;
	return true;
}

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t size);

void *malloc(size_t size)
{
	return fails() ? NULL : __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
	return fails() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, size);
}

void *reallocarray(void *p, size_t n, size_t size)
{
	return fails() ? NULL : __libc_realloc(p, n * size);
}
#endif

struct totals_text {
	char text[8192];
	size_t len;
};

static int print(void *ctx, const struct om_subject_total *s)
{
	struct totals_text *out = ctx;
	char low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN];

	out->len += (size_t)snprintf(out->text + out->len, sizeof(out->text) - out->len, "%s %s %s %s %s %llu %zu\n", s->tenant, s->model, s->lineage,
				     opcount_format(s->all_low, low), opcount_format(s->training_high, high), (unsigned long long)s->registers,
				     s->member_count);
	return 0;
}

static struct om_id id(unsigned n)
{
	struct om_id v = { { (uint8_t)n, 0xaa } };

	return v;
}

static struct om_reading reading(unsigned i, unsigned round)
{
	struct om_reading r = { .key = { id(1), id(i % 40), i / 40 % 4, 4, (uint8_t)(1 + i % 2) },
				.value = { .exact = 1000 * (round + 1) + i, .from_ns = 1, .to_ns = round + 2 },
				.sequence = round + 1 };

	return r;
}

static struct om_assignment assignment(unsigned i)
{
	static const enum om_assignment_kind kinds[] = { OM_ASSIGN_TENANT, OM_ASSIGN_LINEAGE, OM_ASSIGN_PHASE };
	struct om_assignment a = { .ledger = id(1), .job = id(i % 40), .kind = kinds[i % 3], .from_ns = i % 4 * DAY_NS, .at_ns = i, .rule = "r",
				   .share_low_ppm = 1, .share_high_ppm = 700000 };

	snprintf(a.value, sizeof(a.value), i % 3 == 2 ? "training" : "name-%u", i % 17);
	return a;
}

static struct om_totals *target;

static int hand_over(void *ctx, const struct om_carry *c)
{
	int r;

	/* What failed half way is put again. */
	while ((r = om_totals_carry(target, c)) == -ENOMEM)
		;
	return r < 0 ? r : 0;
}

static int ignore_owed(void *ctx, enum om_owed what, const struct om_reading *r)
{
	return 0;
}

/* Asked until it is done: an allocation fails once, then memory is there again. */
#define UNTIL_DONE(call)                          \
	do {                                      \
		int done;                         \
		while ((done = (call)) == -ENOMEM) \
			;                         \
		assert_true(done >= 0);           \
	} while (0)

static void history(struct om_totals *t, struct totals_text *out)
{
	struct om_reading r;
	struct om_assignment a;
	size_t models;

	for (unsigned i = 0; i < 320; i++) {
		r = reading(i, 0);
		UNTIL_DONE(om_totals_put(t, &r));
		a = assignment(i);
		UNTIL_DONE(om_totals_assign(t, &a));
		if (i % 64 == 0)
			UNTIL_DONE((out->len = 0, om_totals_each(t, print, out)));
	}
	target = t;
	UNTIL_DONE(om_totals_seal(t, 3, hand_over, NULL));
	for (unsigned i = 0; i < 320; i += 3) {
		r = reading(i, 0);
		UNTIL_DONE(om_totals_null(t, &r.key));
		r = reading(i + 1, 1);
		UNTIL_DONE(om_totals_put(t, &r));
	}
	UNTIL_DONE(om_totals_seal(t, 2, hand_over, NULL));
	UNTIL_DONE(om_totals_each_owed(t, ignore_owed, NULL));
	UNTIL_DONE((out->len = 0, om_totals_each_changed(t, print, out)));
	UNTIL_DONE((out->len = 0, om_totals_each(t, print, out)));
	models = out->len;
	UNTIL_DONE((out->len = models, om_totals_each_lineage(t, print, out)));
}

static void each_failure_is_made_good(void **state)
{
	static struct totals_text want, got;
	struct om_totals *t;
	long n;

#ifdef __SANITIZE_ADDRESS__
	skip();
#endif
	t = om_totals_new(1000);
	history(t, &want);
	om_totals_free(t);
	assert_true(want.len > 500);
	for (n = 0, has_failed = true; has_failed; n++) {
		has_failed = false;
		left = n;
		t = om_totals_new(1000);
		if (!t)
			t = om_totals_new(1000);
		history(t, &got);
		left = -1;
		om_totals_free(t);
		if (got.len != want.len || memcmp(got.text, want.text, want.len))
			fail_msg("after the failure of allocation %ld:\n%swanted\n%s", n, got.text, want.text);
	}
	assert_true(n > 200);
	print_message("%ld allocations failed, one at a time\n", n - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_failure_is_made_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
