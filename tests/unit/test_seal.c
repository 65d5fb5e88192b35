// SPDX-License-Identifier: Apache-2.0
/* Seals one by one: what a carry, a null, a late value, a second sealer, a correction and a change of tenant do. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/reconcile.h"
#include "userspace/core/totals.h"

#define DAY_NS 86400000000000ULL
#define MAX_JOBS 64

static struct om_id id(uint8_t n)
{
	struct om_id v = { { n, 0xaa } };

	return v;
}

static struct om_reading reading(uint8_t job, uint32_t day, uint8_t meter, opcount exact, uint64_t sequence)
{
	struct om_reading r = { .key = { id(1), id(job), day, 4, meter }, .value = { .exact = exact, .from_ns = 1, .to_ns = 1 + sequence }, .sequence = sequence };

	return r;
}

static int put(struct om_totals *t, uint8_t job, uint32_t day, opcount exact, uint64_t sequence)
{
	struct om_reading r = reading(job, day, OM_METER_SHAPE, exact, sequence);

	return om_totals_put(t, &r);
}

static int null(struct om_totals *t, uint8_t job, uint32_t day)
{
	struct om_reading r = reading(job, day, OM_METER_SHAPE, 0, 0);

	return om_totals_null(t, &r.key);
}

static int assign(struct om_totals *t, uint8_t job, enum om_assignment_kind kind, const char *value, uint64_t from_day, uint64_t at)
{
	struct om_assignment a = { .ledger = id(1), .job = id(job), .kind = kind, .from_ns = from_day * DAY_NS, .at_ns = at,
				   .share_low_ppm = 1000000, .share_high_ppm = 1000000, .rule = "r" };

	snprintf(a.value, sizeof(a.value), "%s", value);
	return om_totals_assign(t, &a);
}

/* As the broker does it: what is sealed goes out as bytes and comes back to everybody. */
struct sealed {
	uint8_t *bytes[MAX_JOBS];
	size_t len[MAX_JOBS], count;
};

static int keep_carry(void *ctx, const struct om_carry *c)
{
	struct sealed *s = ctx;

	return om_carry_encode(c, &s->bytes[s->count], &s->len[s->count]) ?: (s->count++, 0);
}

static int put_carry(struct om_totals *t, const struct sealed *s, size_t i)
{
	struct om_carry c;
	int r;

	assert_int_equal(om_carry_decode(s->bytes[i], s->len[i], &c), 0);
	r = om_totals_carry(t, &c);
	om_carry_done(&c);
	return r;
}

static void forget(struct sealed *s)
{
	while (s->count)
		free(s->bytes[--s->count]);
}

static size_t seal(struct om_totals *t, uint32_t before_day)
{
	struct sealed s = { 0 };
	size_t n;

	assert_int_equal(om_totals_seal(t, before_day, keep_carry, &s), 0);
	for (size_t i = 0; i < s.count; i++)
		assert_in_range(put_carry(t, &s, i), 0, 1);
	n = s.count;
	forget(&s);
	return n;
}

struct debts {
	unsigned maximum, tombstone, unknown;
	opcount exact;
};

static int owe(void *ctx, enum om_owed what, const struct om_reading *r)
{
	struct debts *d = ctx;

	d->maximum += what == OM_OWED_MAXIMUM;
	d->tombstone += what == OM_OWED_TOMBSTONE;
	d->unknown += what == OM_OWED_UNKNOWN;
	d->exact = r->value.exact;
	return 0;
}

static struct debts debts(struct om_totals *t)
{
	struct debts d = { 0 };

	assert_int_equal(om_totals_each_owed(t, owe, &d), 0);
	return d;
}

static size_t live(const struct om_totals *t)
{
	struct om_totals_counts c;

	om_totals_counts(t, &c);
	return c.live;
}

struct all {
	struct {
		char name[96];
		struct om_subject_total s;
		struct om_member member[4];
	} line[64];
	size_t count;
	int stop_after;
};

static int keep(void *ctx, const struct om_subject_total *s)
{
	struct all *a = ctx;

	if (a->stop_after && a->count == (size_t)a->stop_after)
		return 9;
	snprintf(a->line[a->count].name, sizeof(a->line[0].name), "%s%s/%s", s->lineage, s->tenant, s->model);
	a->line[a->count].s = *s;
	if (s->member_count)
		memcpy(a->line[a->count].member, s->members, (s->member_count < 4 ? s->member_count : 4) * sizeof(*s->members));
	a->count++;
	return 0;
}

static uint64_t total_of(struct om_totals *t, const char *name)
{
	struct all a = { 0 };

	assert_int_equal(om_totals_each(t, keep, &a), 0);
	for (size_t i = 0; i < a.count; i++)
		if (!strcmp(a.line[i].name, name))
			return (uint64_t)a.line[i].s.all_low;
	return 0;
}

static void late_adds_the_difference(void **state)
{
	struct om_totals *t = om_totals_new(100);
	struct om_reading r;

	assert_int_equal(put(t, 1, 5, 100, 1), 0);
	assert_int_equal(seal(t, 5), 0); /* the day is open yet */
	assert_int_equal(seal(t, 6), 1);
	assert_int_equal(seal(t, 6), 0);
	assert_int_equal(debts(t).tombstone, 1);
	assert_int_equal(null(t, 1, 5), 0);
	assert_int_equal(debts(t).tombstone, 0);
	assert_int_equal(live(t), 0);
	assert_int_equal(om_totals_registers(t), 1);
	assert_int_equal(total_of(t, "unknown/unassigned"), 100);
	/* Late: the difference. Below: nothing, never less. */
	assert_int_equal(put(t, 1, 5, 130, 3), 0);
	assert_int_equal(total_of(t, "unknown/unassigned"), 130);
	assert_int_equal(put(t, 1, 5, 90, 2), 3);
	assert_int_equal(debts(t).maximum, 1);
	assert_int_equal((uint64_t)debts(t).exact, 130);
	assert_int_equal(put(t, 1, 5, 90, 4), 2);
	assert_int_equal(total_of(t, "unknown/unassigned"), 130);
	r = reading(1, 5, OM_METER_SHAPE, 0, 0);
	assert_true(om_totals_get(t, &r.key, &r));
	assert_int_equal((uint64_t)r.value.exact, 130);
	assert_int_equal(put(t, 1, 5, 130, 4), 1); /* the maximum was written back */
	assert_int_equal(debts(t).maximum, 0);
	assert_int_equal(seal(t, 6), 1);
	assert_int_equal(null(t, 1, 5), 0);
	assert_int_equal(live(t), 0);
	assert_int_equal(total_of(t, "unknown/unassigned"), 130);
	/* Published again as it was: it is known, and its key is to go again. */
	r = reading(1, 5, OM_METER_SHAPE, 130, 4);
	r.sequence = 9;
	assert_int_equal(om_totals_put(t, &r), 1);
	assert_int_equal(debts(t).tombstone, 1);
	r.value.exact = 70;
	r.sequence = 10;
	assert_int_equal(om_totals_put(t, &r), 2);
	assert_int_equal(debts(t).tombstone, 1);
	assert_int_equal(null(t, 1, 5), 0);
	assert_int_equal(total_of(t, "unknown/unassigned"), 130);
	om_totals_free(t);
}

static void a_tombstone_before_its_carry_loses_nothing(void **state)
{
	struct om_totals *t = om_totals_new(100);
	struct sealed s = { 0 };

	put(t, 1, 5, 100, 1);
	assert_int_equal(om_totals_seal(t, 6, keep_carry, &s), 0);
	assert_int_equal(null(t, 1, 5), 1);
	assert_int_equal(total_of(t, "unknown/unassigned"), 100);
	assert_int_equal(debts(t).maximum, 1);
	assert_int_equal((uint64_t)debts(t).exact, 100);
	assert_int_equal(put_carry(t, &s, 0), 0);
	assert_int_equal(debts(t).maximum + debts(t).tombstone, 0);
	assert_int_equal(live(t), 0);
	assert_int_equal(total_of(t, "unknown/unassigned"), 100);
	/* A null that came over a late value is not valid: the carry holds less. */
	put(t, 1, 5, 120, 2);
	assert_int_equal(null(t, 1, 5), 1);
	assert_int_equal((uint64_t)debts(t).exact, 120);
	assert_int_equal(total_of(t, "unknown/unassigned"), 120);
	forget(&s);
	om_totals_free(t);
}

static void a_null_of_nothing_known_is_said(void **state)
{
	struct om_totals *t = om_totals_new(100), *other = om_totals_new(100);
	struct sealed s = { 0 };

	assert_int_equal(null(t, 1, 5), 1);
	assert_int_equal(debts(t).unknown, 1);
	assert_int_equal(om_totals_registers(t), 0);
	assert_int_equal(total_of(t, "unknown/unassigned"), 0);
	assert_int_equal(seal(t, 9), 0);
	assert_int_equal(put(t, 1, 5, 7, 1), 0); /* its ledger sent it again */
	assert_int_equal(debts(t).unknown, 0);
	assert_int_equal(total_of(t, "unknown/unassigned"), 7);
	/* And where the carry comes after the null, it was valid all the time. */
	put(other, 2, 5, 8, 1);
	assert_int_equal(om_totals_seal(other, 6, keep_carry, &s), 0);
	assert_int_equal(null(t, 2, 5), 1);
	assert_int_equal(put_carry(t, &s, 0), 0);
	assert_int_equal(debts(t).unknown, 0);
	assert_int_equal(total_of(t, "unknown/unassigned"), 15);
	forget(&s);
	om_totals_free(other);
	om_totals_free(t);
}

static void two_sealers_join(void **state)
{
	for (int order = 0; order < 2; order++) {
		struct om_totals *t = om_totals_new(100), *a = om_totals_new(100), *b = om_totals_new(100);
		struct om_reading launch = reading(1, 5, OM_METER_LAUNCH, 5, 1);
		struct sealed s = { 0 };

		put(a, 1, 5, 100, 3);
		put(b, 1, 5, 90, 2); /* frozen for a while, but it knows what a does not */
		om_totals_put(b, &launch);
		assert_int_equal(om_totals_seal(a, 6, keep_carry, &s), 0);
		assert_int_equal(om_totals_seal(b, 6, keep_carry, &s), 0);
		assert_int_equal(put_carry(t, &s, (size_t)order), 0);
		assert_int_equal(put_carry(t, &s, (size_t)!order), 2);
		assert_int_equal(put_carry(t, &s, (size_t)order), 2);
		assert_int_equal(total_of(t, "unknown/unassigned"), 105);
		/* The topic's last carry is not all there is: it is owed, whatever days are open. */
		assert_int_equal(seal(t, 0), 1);
		assert_int_equal(seal(t, 0), 0);
		assert_int_equal(total_of(t, "unknown/unassigned"), 105);
		forget(&s);
		om_totals_free(a);
		om_totals_free(b);
		om_totals_free(t);
	}
}

/* The same registers, read in another order by another instance, are the same bytes. */
static void sealers_that_know_the_same_write_the_same(void **state)
{
	struct om_totals *t[2] = { om_totals_new(100), om_totals_new(100) };
	struct sealed s = { 0 };

	for (int i = 0; i < 2; i++) {
		for (uint8_t m = 1; m < OM_METER_END; m++) {
			struct om_reading r = reading(1, 5, i ? m : (uint8_t)(OM_METER_END - m), 0, 0);

			r.value.exact = 100u + r.key.meter;
			r.sequence = 50u + r.key.meter;
			r.node.ledger_start_ns = (uint64_t)i; /* stays out of it */
			assert_int_equal(om_totals_put(t[i], &r), 0);
		}
		assert_int_equal(om_totals_seal(t[i], 6, keep_carry, &s), 0);
		om_totals_free(t[i]);
	}
	assert_int_equal(s.count, 2);
	assert_int_equal(s.len[0], s.len[1]);
	assert_memory_equal(s.bytes[0], s.bytes[1], s.len[0]);
	forget(&s);
}

static void sealed_days_move_with_their_assignments(void **state)
{
	struct om_totals *t = om_totals_new(100);
	struct all a = { 0 };

	for (uint32_t day = 5; day < 9; day++)
		put(t, 1, day, 1u << day, day);
	assert_int_equal(seal(t, 9), 4);
	for (uint32_t day = 5; day < 9; day++)
		assert_int_equal(null(t, 1, day), 0);
	assert_int_equal(total_of(t, "unknown/unassigned"), 32 + 64 + 128 + 256);
	assign(t, 1, OM_ASSIGN_TENANT, "acme", 0, 1);
	assert_int_equal(total_of(t, "acme/unassigned"), 480);
	assign(t, 1, OM_ASSIGN_TENANT, "zeta", 7, 2); /* sold in the middle of its run, said late */
	assign(t, 1, OM_ASSIGN_MODEL, "lm", 8, 2);
	assign(t, 1, OM_ASSIGN_LINEAGE, "l-1", 6, 2);
	assert_int_equal(total_of(t, "acme/unassigned"), 32 + 64);
	assert_int_equal(total_of(t, "zeta/unassigned"), 128);
	assert_int_equal(total_of(t, "zeta/lm"), 256);
	assert_int_equal(om_totals_each_lineage(t, keep, &a), 0);
	assert_int_equal(a.count, 1);
	assert_int_equal((uint64_t)a.line[0].s.all_low, 64 + 128 + 256);
	assert_int_equal(a.line[0].s.member_count, 2);
	assert_int_equal(a.line[0].member[0].registers, 1);
	assert_int_equal((uint64_t)a.line[0].member[1].training_high, 128 + 256);
	om_totals_free(t);
}

static void only_what_changed_is_told(void **state)
{
	struct om_totals *t = om_totals_new(100);
	struct all a = { 0 };

	for (uint8_t job = 1; job < 21; job++) {
		char name[16];

		snprintf(name, sizeof(name), "t%02u", job);
		put(t, job, 5, job, job);
		assign(t, job, OM_ASSIGN_TENANT, name, 0, 1);
		if (job > 18)
			assign(t, job, OM_ASSIGN_LINEAGE, "l", 0, 1);
	}
	a.stop_after = 7;
	assert_int_equal(om_totals_each_changed(t, keep, &a), 9);
	a.stop_after = 0;
	assert_int_equal(om_totals_each_changed(t, keep, &a), 0);
	assert_int_equal(a.count, 21);
	assert_string_equal(a.line[7].name, "t08/unassigned");
	a.count = 0;
	assert_int_equal(om_totals_each_changed(t, keep, &a), 0);
	assert_int_equal(a.count, 0);
	/* One tenant's job grows: it, and its lineage as a whole. */
	put(t, 20, 5, 100, 50);
	om_totals_each_changed(t, keep, &a);
	assert_int_equal(a.count, 2);
	assert_string_equal(a.line[0].name, "t20/unassigned");
	assert_int_equal(a.line[1].s.member_count, 2);
	assert_int_equal((uint64_t)a.line[1].s.all_low, 119);
	/* What nothing belongs to any more is told once, as nothing. */
	a.count = 0;
	assign(t, 3, OM_ASSIGN_TENANT, "t04", 0, 2);
	om_totals_each_changed(t, keep, &a);
	assert_int_equal(a.count, 2);
	assert_string_equal(a.line[0].name, "t03/unassigned");
	assert_int_equal(a.line[0].s.registers, 0);
	assert_int_equal((uint64_t)a.line[1].s.all_low, 7);
	/* There and back between two looks: no change. */
	a.count = 0;
	assign(t, 3, OM_ASSIGN_TENANT, "t05", 0, 3);
	om_totals_each(t, keep, &(struct all){ 0 });
	assign(t, 3, OM_ASSIGN_TENANT, "t04", 0, 4);
	om_totals_each_changed(t, keep, &a);
	assert_int_equal(a.count, 0);
	om_totals_free(t);
}

/* Sums are by fours of jobs: whoever leaves, enters or takes the place of another, they stay those of their jobs. */
static void jobs_move_one_by_one(void **state)
{
	struct om_totals *t = om_totals_new(1000);
	bool is_acme[41] = { false };
	unsigned seed = 5;

	for (uint8_t job = 1; job <= 40; job++)
		put(t, job, 5, (opcount)1 << job, job);
	for (uint64_t at = 1; at < 600; at++) {
		uint8_t job = (uint8_t)(1 + rand_r(&seed) % 40);
		uint64_t acme = 0;

		is_acme[job] = !is_acme[job];
		assign(t, job, OM_ASSIGN_TENANT, is_acme[job] ? "acme" : "unknown", 0, at);
		for (uint8_t i = 1; i <= 40; i++)
			acme += is_acme[i] ? 1ULL << i : 0;
		assert_int_equal(total_of(t, "acme/unassigned"), acme);
		assert_int_equal(total_of(t, "unknown/unassigned"), (2ULL << 40) - 2 - acme);
	}
	om_totals_free(t);
}

static void what_is_too_large_is_said_and_does_not_wrap(void **state)
{
	struct om_totals *t = om_totals_new(100);
	struct all a = { 0 };
	struct om_subject_total sum;

	put(t, 1, 5, OPCOUNT_MAX - 1, 1);
	om_totals_each(t, keep, &a);
	assert_false(a.line[0].s.is_saturated);
	sum = a.line[0].s;
	put(t, 2, 5, 7, 1);
	a.count = 0;
	om_totals_each(t, keep, &a);
	assert_true(a.line[0].s.is_saturated);
	assert_true(a.line[0].s.all_low == OPCOUNT_MAX);
	/* And so for sums over partitions. */
	om_subject_total_add(&sum, &sum);
	assert_true(sum.is_saturated && sum.all_high == OPCOUNT_MAX);
	assert_int_equal(sum.registers, 2);
	om_totals_free(t);
}

static void a_full_one_says_so_and_stays_as_it_was(void **state)
{
	struct om_totals *t = om_totals_new(2), *other = om_totals_new(1000);
	struct sealed s = { 0 };
	struct om_totals_counts c;
	size_t n = 0;
	int r = 0;

	for (uint32_t day = 0; day < 60; day++)
		put(other, 1, day, 1000 + day, day + 1);
	assert_int_equal(om_totals_seal(other, 60, keep_carry, &s), 0);
	for (; r == 0 && n < s.count; n++)
		r = put_carry(t, &s, n);
	assert_int_equal(r, -ENOSPC);
	assert_in_range(n, 5, 59);
	om_totals_counts(t, &c);
	assert_int_equal(c.folded, n - 1);
	assert_int_equal(put(t, 1, 70, 1, 1), 0);
	assert_int_equal(put(t, 1, 71, 1, 1), 0);
	assert_int_equal(put(t, 1, 72, 1, 1), -ENOSPC);
	assert_int_equal(null(t, 1, 73), -ENOSPC);
	assert_int_equal(om_totals_registers(t), n + 1);
	forget(&s);
	om_totals_free(other);
	om_totals_free(t);
}

static struct om_interval corrected(opcount counted, opcount exact, opcount low, opcount high)
{
	struct om_reading shape = reading(1, 5, OM_METER_SHAPE, counted, 1), device = reading(1, 5, OM_METER_DEVICE, 0, 1),
			  correction = reading(1, 5, OM_METER_CORRECTION, exact, 1);
	struct om_evidence e = { 0 };
	struct om_interval i;

	device.value.low = device.value.high = counted;
	correction.value.low = low;
	correction.value.high = high;
	om_evidence_add(&e, &shape);
	om_evidence_add(&e, &device);
	om_evidence_add(&e, &correction);
	om_reconcile(&e, &i);
	return i;
}

static void a_correction_goes_either_way(void **state)
{
	static const struct {
		uint64_t exact, low, high, want_low, want_high;
	} cases[] = {
		{ 0, 0, 0, 1000, 1000 },      { 50, 0, 0, 1050, 1050 },	 /* missed, beyond what the device can have done */
		{ 0, 30, 30, 970, 970 },      { 0, 10, 30, 970, 990 },	 /* not there; perhaps not there */
		{ 20, 0, 30, 990, 1020 },     { 120, 110, 130, 990, 1010 }, /* from -10 to 20; replaced by -10 to 10 with larger fields */
		{ 0, 2000, 5000, 0, 0 },      { 5000, 4990, 4995, 1005, 1010 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct om_interval got = corrected(1000, cases[i].exact, cases[i].low, cases[i].high);

		if ((uint64_t)got.low != cases[i].want_low || (uint64_t)got.high != cases[i].want_high)
			fail_msg("case %zu: %llu to %llu", i, (unsigned long long)got.low, (unsigned long long)got.high);
		assert_int_equal((uint64_t)got.contradicted, 0);
	}
	/* Near the end of the scale a pair that nearly cancels does so. */
	assert_true(corrected(1000, OPCOUNT_MAX - 5, OPCOUNT_MAX - 9, OPCOUNT_MAX - 7).low == 1002);
}

static void what_a_device_stood_behind_it_stands_behind(void **state)
{
	struct om_reading a = reading(1, 5, OM_METER_SHAPE, 7, 1), b = a, c;

	a.attempted = true;
	c = a;
	om_reading_join(&c, &b);
	assert_false(c.attempted);
	c = b;
	om_reading_join(&c, &a);
	assert_false(c.attempted);
	assert_true(om_reading_is_within(&a, &b));
	assert_false(om_reading_is_within(&b, &a));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(late_adds_the_difference),
		cmocka_unit_test(a_tombstone_before_its_carry_loses_nothing),
		cmocka_unit_test(a_null_of_nothing_known_is_said),
		cmocka_unit_test(two_sealers_join),
		cmocka_unit_test(sealers_that_know_the_same_write_the_same),
		cmocka_unit_test(sealed_days_move_with_their_assignments),
		cmocka_unit_test(only_what_changed_is_told),
		cmocka_unit_test(jobs_move_one_by_one),
		cmocka_unit_test(what_is_too_large_is_said_and_does_not_wrap),
		cmocka_unit_test(a_full_one_says_so_and_stays_as_it_was),
		cmocka_unit_test(a_correction_goes_either_way),
		cmocka_unit_test(what_a_device_stood_behind_it_stands_behind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
