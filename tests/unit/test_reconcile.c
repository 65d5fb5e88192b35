// SPDX-License-Identifier: Apache-2.0
/*
 * Properties of the reconciliation over seeded random worlds: what really ran is
 * drawn first, and what each meter says of it within its rules; so the truth is
 * known, and must lie in every interval, whatever meters are there.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/reconcile.h"

#define WORLDS 20000
#define METERS 3 /* launch, device, allocation, as bits; shape is always there */

static uint64_t state;

static uint64_t draw(uint64_t below)
{
	state += 0x9e3779b97f4a7c15ULL;
	uint64_t z = state;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return below ? (z ^ z >> 31) % below : 0;
}

/* What ran, and what it executed. */
struct world {
	opcount products, kernels, other;	 /* textbook operations */
	opcount launched_low, launched_high;	 /* what a catalogue says of `kernels` */
	opcount executed;			 /* of all */
	opcount device_low, device_high, allocated;
	uint64_t unknown;
};

static void world_draw(struct world *w)
{
	uint64_t scale = 1ULL << draw(50);

	w->products = draw(4) ? draw(scale) : 0;
	w->kernels = draw(3) ? draw(scale) : 0;
	w->other = draw(2) ? draw(scale / 8 + 1) : 0;
	w->unknown = w->other ? 1 + draw(100) : 0;
	w->launched_low = w->kernels - (draw(2) ? draw((uint64_t)w->kernels + 1) : 0);
	w->launched_high = w->kernels + (draw(2) ? draw((uint64_t)w->kernels + 1) : 0);
	/* Products are padded, other kernels execute down to a quarter. */
	w->executed = w->products + draw((uint64_t)w->products / 4 + 1);
	w->executed += (w->kernels + 3) / (1 + draw(4)) + (w->other + 3) / (1 + draw(4));
	w->device_low = w->executed - draw((uint64_t)w->executed + 1);
	w->device_high = w->executed + draw((uint64_t)w->executed + 1);
	w->allocated = w->device_high + draw(scale * 4 + 1);
}

static void say(struct om_evidence *e, uint8_t meter, opcount exact, opcount low, opcount high, uint64_t unknown)
{
	struct om_reading r = { .key.meter = meter };

	r.value.exact = exact;
	r.value.low = low;
	r.value.high = high;
	r.value.overflow_calls = unknown;
	om_evidence_add(e, &r);
}

static struct om_interval judge(const struct world *w, unsigned meters)
{
	struct om_evidence e = { 0 };
	struct om_interval i;

	say(&e, OM_METER_SHAPE, w->products, 0, 0, 0);
	if (meters & 1)
		say(&e, OM_METER_LAUNCH, 0, w->launched_low, w->launched_high, w->unknown);
	if (meters & 2)
		say(&e, OM_METER_DEVICE, 0, w->device_low, w->device_high, 0);
	if (meters & 4)
		say(&e, OM_METER_ALLOCATION, 0, 0, w->allocated, 0);
	om_reconcile(&e, &i);
	return i;
}

static void truth_is_inside(void **unused)
{
	(void)unused;
	state = 1;
	for (int n = 0; n < WORLDS; n++) {
		struct world w;

		world_draw(&w);
		for (unsigned m = 0; m < 1u << METERS; m++) {
			struct om_interval i = judge(&w, m);
			opcount truth = w.products + w.kernels + w.other;

			assert_true(i.low <= truth);
			assert_true(i.low <= i.high);
			assert_true(i.contradicted == 0);
			/* Without a roof, what nothing has seen is not in it: then it must say so, or
			 * not even know (no launch meter). */
			if (i.roof != OM_ROOF_NONE || (m & 1 && !w.other))
				assert_true(i.high >= truth);
			assert_true(i.is_bounded == (i.roof != OM_ROOF_NONE));
			assert_true(i.is_complete == (m & 1 && !w.other));
		}
	}
}

/* An interval without a roof has no upper bound unless it says that it is bounded. */
static opcount high_of(const struct om_interval *i)
{
	return i->roof == OM_ROOF_NONE ? OPCOUNT_MAX : i->high;
}

static void a_meter_more_never_widens(void **unused)
{
	(void)unused;
	state = 2;
	for (int n = 0; n < WORLDS; n++) {
		struct world w;

		world_draw(&w);
		for (unsigned m = 0; m < 1u << METERS; m++)
			for (unsigned bit = 0; bit < METERS; bit++) {
				struct om_interval less = judge(&w, m), more = judge(&w, m | 1u << bit);

				assert_true(more.low >= less.low);
				assert_true(high_of(&more) <= high_of(&less));
			}
	}
}

static void order_does_not_matter(void **unused)
{
	(void)unused;
	state = 3;
	for (int n = 0; n < 2000; n++) {
		struct om_reading r[12];
		struct om_evidence a = { 0 }, b = { 0 };

		memset(r, 0, sizeof(r));
		for (int i = 0; i < 12; i++) {
			r[i].key.meter = (uint8_t)(1 + draw(OM_METER_END - 1));
			r[i].value.exact = draw(1ULL << draw(60));
			r[i].value.low = draw(1ULL << draw(60));
			r[i].value.high = r[i].value.low + draw(1ULL << draw(60));
			r[i].value.mean = (double)draw(1 << 20);
			r[i].value.lost[draw(OM_LOSS_END)] = draw(2) ? UINT64_MAX - draw(9) : draw(9);
			r[i].value.overflow_calls = draw(2) ? UINT64_MAX - draw(9) : draw(9);
			om_evidence_add(&a, &r[i]);
		}
		for (int i = 11; i >= 0; i--)
			om_evidence_add(&b, &r[i]);
		assert_memory_equal(&a, &b, sizeof(a));
	}
}

static void contradicted_work_stays_in_high(void **unused)
{
	struct om_evidence e = { 0 };
	struct om_interval i;

	(void)unused;
	/* 1000 asked for, and a device that can have executed 100 at most. */
	say(&e, OM_METER_SHAPE, 1000, 0, 0, 0);
	say(&e, OM_METER_DEVICE, 0, 50, 100, 0);
	om_reconcile(&e, &i);
	assert_true(i.low == 100 && i.high == 1000 && i.contradicted == 900);
	/* An idle device: nothing of it ran. */
	memset(&e, 0, sizeof(e));
	say(&e, OM_METER_SHAPE, 1000, 0, 0, 0);
	say(&e, OM_METER_DEVICE, 0, 0, 0, 0);
	om_reconcile(&e, &i);
	assert_true(i.low == 0 && i.high == 1000 && i.contradicted == 1000);
}

static void unattributed_is_what_nobody_explains(void **unused)
{
	struct om_evidence e = { 0 };
	struct om_interval i;

	(void)unused;
	say(&e, OM_METER_SHAPE, 1000, 0, 0, 0);
	say(&e, OM_METER_DEVICE, 0, 1250, 1300, 0);
	om_reconcile(&e, &i);
	assert_true(i.unattributed == 0); /* padding explains it */
	say(&e, OM_METER_DEVICE, 0, 500, 500, 0);
	om_reconcile(&e, &i);
	assert_true(i.unattributed == 500);
	assert_true(i.roof == OM_ROOF_DEVICE && i.high == 1000 + 4 * 800);
}

static void extremes(void **unused)
{
	struct om_evidence e = { 0 };
	struct om_interval i;

	(void)unused;
	om_reconcile(&e, &i);
	assert_true(i.low == 0 && i.high == 0 && !i.is_bounded);
	for (uint8_t m = 1; m < OM_METER_END; m++)
		say(&e, m, OPCOUNT_MAX, OPCOUNT_MAX, OPCOUNT_MAX, UINT64_MAX);
	om_reconcile(&e, &i);
	assert_true(i.low == OPCOUNT_MAX && i.high == OPCOUNT_MAX);
	memset(&e, 0, sizeof(e));
	e.sampled_mean = -1;
	e.sampled_variance = 1e300;
	om_reconcile(&e, &i);
	assert_true(i.low == 0 && i.high == OPCOUNT_MAX);
}

static void allocation_alone_is_told(void **unused)
{
	struct om_evidence e = { 0 };
	struct om_interval i;

	(void)unused;
	say(&e, OM_METER_SHAPE, 1000, 0, 0, 0);
	say(&e, OM_METER_ALLOCATION, 0, 0, 50000, 0);
	om_reconcile(&e, &i);
	assert_true(i.roof == OM_ROOF_ALLOCATION && i.asked_high == 1000 && i.high == 1000 + 4 * 49000);
	say(&e, OM_METER_DEVICE, 0, 900, 1100, 0);
	om_reconcile(&e, &i);
	assert_true(i.roof == OM_ROOF_DEVICE && i.high == 1400 && i.low == 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(truth_is_inside),
		cmocka_unit_test(a_meter_more_never_widens),
		cmocka_unit_test(order_does_not_matter),
		cmocka_unit_test(contradicted_work_stays_in_high),
		cmocka_unit_test(unattributed_is_what_nobody_explains),
		cmocka_unit_test(extremes),
		cmocka_unit_test(allocation_alone_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
