// SPDX-License-Identifier: Apache-2.0
/* What a node's devices can have done at most: of one register, which is refused, and of a day, which is
 * said. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/claim.h"
#include "userspace/core/ledger.h"
#include "userspace/fleet/claims.h"

#define SECOND 1000000000ULL
#define DAY_NS (86400 * SECOND)
#define DAY 20780
#define BEGIN (DAY * DAY_NS)
#define NOW (BEGIN + 10 * DAY_NS)
#define PEAK 1000000000ULL

/* Read over the whole of a day that is long over, by a node that is older than it. */
static struct om_reading reading(uint8_t meter)
{
	struct om_reading r = { .key = { .day = DAY, .format = OM_FORMAT_BF16, .meter = meter } };

	memset(r.key.ledger.byte, 0x5a, 16);
	r.value = (struct om_value){ .from_ns = BEGIN, .to_ns = BEGIN + DAY_NS };
	r.node = (struct om_node_facts){ .ledger_start_ns = BEGIN - 300 * DAY_NS,
					 .peak_ops_per_s = PEAK,
					 .device_count = 8 };
	return r;
}

/* The largest claim that is taken. */
static opcount largest(struct om_reading r)
{
	opcount low = 0, high = (opcount)1 << 120;

	r.value.exact = low;
	if (!claim_is_possible(&r, NOW, 0))
		return 0;
	while (high - low > 1) {
		r.value.exact = low + (high - low) / 2;
		if (claim_is_possible(&r, NOW, 0))
			low = r.value.exact;
		else
			high = r.value.exact;
	}
	return low;
}

/* A bound is whole seconds, rounded up. */
static void is_about(opcount got, opcount peak, uint64_t seconds)
{
	assert_true(got >= peak * seconds && got <= peak * (seconds + 1));
}

static void a_register_is_of_one_day(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE);

	is_about(largest(r), PEAK, 2 * 86400); /* the day and the slack, however old the ledger is */
	r.node.ledger_start_ns = 1;
	is_about(largest(r), PEAK, 2 * 86400);
	r.node.ledger_start_ns = 0;
	is_about(largest(r), PEAK, 2 * 86400);
	r.node.ledger_start_ns = BEGIN + 20 * 3600 * SECOND; /* four hours, and the slack */
	is_about(largest(r), PEAK, 86400 + 4 * 3600);
	r.value.to_ns = UINT64_MAX; /* a clock of its own is not believed */
	is_about(largest(r), PEAK, 2 * 86400);
	r.node.ledger_start_ns = NOW + 90 * DAY_NS;
	assert_true(largest(r) == 0);
}

/* The agent was away: what it missed is in the day of its return, and the span that was read tells of it. */
static void who_was_away_brings_more(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE);

	r.value.from_ns = BEGIN - 3 * DAY_NS;
	is_about(largest(r), PEAK, 5 * 86400);
	r.node.ledger_start_ns = BEGIN - DAY_NS;
	is_about(largest(r), PEAK, 3 * 86400);
	r = reading(OM_METER_SHAPE);
	r.value.from_ns = 1;
	is_about(largest(r), PEAK, 9 * 86400);
}

static void what_a_node_does_not_tell_is_bounded_all_the_same(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE);

	r.node.peak_ops_per_s = 0;
	is_about(largest(r), (opcount)8 * OM_DEVICE_PEAK_MAX, 2 * 86400);
	r.node.device_count = 0;
	is_about(largest(r), (opcount)OM_DEVICES_MAX * OM_DEVICE_PEAK_MAX, 2 * 86400);
	r.node.peak_ops_per_s = OM_DEVICES_MAX * OM_DEVICE_PEAK_MAX;
	assert_true(largest(r) > 0);
	r.value.exact = 0;
	r.node.peak_ops_per_s++;
	assert_false(claim_is_possible(&r, NOW, 0));
	r.node = (struct om_node_facts){ .peak_ops_per_s = 2 * OM_DEVICE_PEAK_MAX, .device_count = 2 };
	assert_true(claim_is_possible(&r, NOW, 0));
	r.node.peak_ops_per_s++;
	assert_false(claim_is_possible(&r, NOW, 0));
	r.node = (struct om_node_facts){ .peak_ops_per_s = PEAK,
					 .device_count = OM_UNITS_A_DEVICE * OM_DEVICES_MAX };
	assert_true(claim_is_possible(&r, NOW, 0));
	r.node.device_count++;
	assert_false(claim_is_possible(&r, NOW, 0));
	/* A register that is written back by whoever knows nothing of its node. */
	r = reading(OM_METER_SHAPE);
	r.node = (struct om_node_facts){ 0 };
	r.value.exact = (opcount)8 * OM_DEVICE_PEAK_MAX * 86400;
	assert_true(claim_is_possible(&r, NOW, 0));
}

/* What each meter's fields may be, docs/formats.md: no honest one is refused, whatever it is an upper bound
 * of. */
static void each_meter_is_held_to_what_it_can_say(void **state)
{
	struct om_reading r = reading(OM_METER_ALLOCATION);
	opcount day = (opcount)PEAK * 86400;

	r.value.high = 8 * day; /* eight jobs that share a device are given all of it */
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.high = 17 * day;
	assert_false(claim_is_possible(&r, NOW, 0));
	r = reading(OM_METER_DEVICE);
	r.value.low = 2 * day;
	r.value.high = 16 * day;
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.low += PEAK + 1;
	assert_false(claim_is_possible(&r, NOW, 0));
	r.value.low = 0;
	r.value.high = 17 * day;
	assert_false(claim_is_possible(&r, NOW, 0));
	r = reading(OM_METER_LAUNCH); /* textbook operations: four for one that is executed; above, names
					 alone tell */
	r.value.low = 8 * day;
	r.value.high = OPCOUNT_MAX;
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.low = 8 * day + 4 * PEAK + 1;
	assert_false(claim_is_possible(&r, NOW, 0));
	r = reading(OM_METER_COUNTER);
	r.value.mean = 8.0 * 86400 * PEAK;
	r.value.variance = r.value.mean * r.value.mean;
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.mean *= 1.001;
	assert_false(claim_is_possible(&r, NOW, 0));
	r.value.mean = 0;
	r.value.variance *= 9;
	assert_false(claim_is_possible(&r, NOW, 0));
	r = reading(
		OM_METER_CORRECTION); /* what is taken back was counted once, so it is within what could be */
	r.value.exact = 8 * day;
	r.value.low = r.value.high = OPCOUNT_MAX / 2;
	assert_true(claim_is_possible(&r, NOW, 0));
	r.value.exact = 8 * day + 4 * PEAK + 1;
	assert_false(claim_is_possible(&r, NOW, 0));
}

static int add(struct claims *c, struct om_reading r, uint8_t job, uint8_t ledger, opcount growth)
{
	r.key.job.byte[0] = job;
	r.key.ledger.byte[0] = ledger;
	return claims_add(c, &r, growth, NOW);
}

static void the_jobs_of_a_day_must_fit_together(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE), launched = reading(OM_METER_LAUNCH);
	opcount most = (opcount)PEAK * (2 * 86400 + 1);
	struct claim_told told[CLAIMS_NAMED];
	struct claims c = { 0 };
	json_t *list;

	for (uint8_t job = 0; job < 10; job++)
		assert_int_equal(add(&c, r, job, 1, most / 10), 0);
	assert_int_equal(add(&c, r, 1, 2, most), 0); /* another node */
	r.key.day++;
	assert_int_equal(add(&c, r, 1, 1, most), 0); /* another day */
	r.key.day--;
	assert_int_equal(add(&c, launched, 1, 1, 4 * most), 0); /* another meter sees the same work */
	assert_int_equal(c.over_count, 0);
	assert_int_equal(add(&c, r, 11, 1, most % 10 + 1), 1);
	assert_int_equal(add(&c, r, 12, 1, most), 0); /* once */
	assert_int_equal(add(&c, launched, 1, 1, 4 * most), 0);
	assert_int_equal(c.over_count, 1);
	list = claims_encode(&c);
	json_array_append_new(list, json_null());
	json_array_append_new(list, json_pack("{s:s,s:i}", "ledger", "x", "day", 4));
	assert_int_equal(claims_decode(list, told), 1);
	json_decref(list);
	assert_true(told[0].ledger.byte[0] == 1 && told[0].day == DAY && told[0].possible == most &&
		    told[0].claimed == most + 1);
	assert_int_equal(claims_decode(NULL, told), 0);
	claims_done(&c);
}

/* A ledger that is young in its first reading is not so in its last: order must not make a day shorter. */
static void a_late_reading_makes_no_day_shorter(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE), early;
	struct claims c = { 0 };

	r.node.ledger_start_ns = BEGIN;
	early = r;
	early.value.to_ns = BEGIN + 3600 * SECOND;
	assert_int_equal(add(&c, r, 1, 1, (opcount)PEAK * (2 * 86400 - 3600)), 0);
	assert_int_equal(add(&c, early, 2, 1, (opcount)PEAK * 3600), 0);
	claims_done(&c);
}

static void old_days_are_let_go_and_what_was_said_stays(void **state)
{
	struct om_reading r = reading(OM_METER_SHAPE);
	struct claims c = { 0 };

	assert_int_equal(add(&c, r, 1, 1, 5), 0);
	assert_int_equal(add(&c, r, 1, 2, OPCOUNT_MAX), 1);
	r.key.day += 9;
	assert_int_equal(add(&c, r, 1, 1, 5), 0);
	assert_int_equal(c.days.count, 3);
	r.key.ledger.byte[0] = 1;
	assert_int_equal(claims_add(&c, &r, 5, NOW + DAY_NS), 0);
	assert_int_equal(c.days.count, 2);
	assert_true(c.over_count == 1 && c.over[0]->day == DAY);
	for (unsigned i = 0; i < 3 * CLAIMS_NAMED; i++)
		assert_int_equal(add(&c, r, 1, (uint8_t)(10 + i), OPCOUNT_MAX), 1);
	assert_int_equal(c.over_count, 1 + 3 * CLAIMS_NAMED);
	claims_done(&c);
}

/* --- what a node holds itself to --- */

static char dir[64];

static int make_dir(void **state)
{
	strcpy(dir, "/tmp/opmeter-claims-XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
	char cmd[128];

	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", dir);
	return system(cmd);
}

struct holding {
	struct om_ledger *ledger;
	struct om_node_facts node;
	opcount over, cut, exact, low, high; /* told; published, over all registers of the shape meter */
	uint64_t now_ns;
	size_t registers;
};

static struct om_ledger *open_at(uint64_t now_ns)
{
	struct error_text err = { 0 };
	struct om_ledger *l = NULL;

	if (om_ledger_open(dir, OM_LEDGER_CREATE, now_ns, &l, &err))
		fail_msg("%s", err.text);
	return l;
}

static void on_over(void *ctx, const struct om_usage *u, const struct om_claim_over *over)
{
	struct holding *h = ctx;

	opcount_add_saturating(&h->over, over->over);
	opcount_add_saturating(&h->cut, over->cut);
}

static void on_published(void *ctx, const struct om_reading *r)
{
	struct holding *h = ctx;
	uint8_t wire[OM_READING_SIZE];
	struct om_reading back;

	if (!claim_is_possible(r, h->now_ns, 0)) {
		char e[OPCOUNT_STRLEN], u[OPCOUNT_STRLEN];

		fail_msg("meter %u, day %u: %s at least, %s at most, is refused", r->key.meter, r->key.day,
			 opcount_format(om_value_lower(&r->value), e),
			 opcount_format(om_value_upper(&r->value), u));
	}
	om_reading_encode(r, wire);
	assert_int_equal(om_reading_decode(wire, sizeof(wire), &back), 0); /* no bounds that cross */
	h->registers++;
}

static void publish(struct holding *h)
{
	size_t n;

	assert_int_equal(om_ledger_publish(h->ledger, &h->node, h->now_ns, on_published, h, &n), 0);
}

static int add_shape(void *ctx, const struct om_reading *r)
{
	struct holding *h = ctx;

	if (r->key.meter != OM_METER_SHAPE)
		return 0;
	opcount_add_saturating(&h->exact, r->value.exact);
	opcount_add_saturating(&h->low, om_value_lower(&r->value));
	opcount_add_saturating(&h->high, om_value_upper(&r->value));
	return 0;
}

static struct om_usage usage(uint8_t meter, uint8_t format)
{
	struct om_usage u = { .tgid = 9, .start_ns = 77, .cgroup_id = 5, .format = format, .meter = meter };

	u.job.byte[0] = 1;
	u.now.calls = 1;
	return u;
}

static struct holding begin_at(uint64_t now_ns)
{
	struct holding h = { .ledger = open_at(now_ns), .now_ns = now_ns };

	h.node = (struct om_node_facts){ om_ledger_start_ns(h.ledger), PEAK, 8, 1 };
	return h;
}

static void accrue(struct holding *h, const struct om_usage *u, size_t n, uint64_t since_ns)
{
	om_ledger_hold(h->ledger, &h->node, on_over, h);
	assert_int_equal(om_ledger_accrue(h->ledger, u, n, since_ns, h->now_ns, NULL), 0);
}

/* A tenant that asks for what nobody can do is in the totals all the same: bounded from below and from above.
 */
static void forged_calls_leave_a_job_its_day(void **state)
{
	struct om_usage u = usage(OM_METER_SHAPE, OM_FORMAT_BF16);
	opcount honest = (opcount)PEAK * 600;
	struct holding h = begin_at(BEGIN);

	h.now_ns += 600 * SECOND;
	u.now.exact = honest;
	accrue(&h, &u, 1, BEGIN);
	assert_true(h.over == 0);
	h.now_ns += SECOND;
	u.now.exact += (opcount)1 << 90;
	accrue(&h, &u, 1, h.now_ns - SECOND);
	assert_true(h.over > (opcount)1 << 89);
	publish(&h);
	om_ledger_each_register(h.ledger, add_shape, &h);
	assert_true(h.low >= honest && h.low <= (opcount)PEAK * (601 + 1800));
	assert_true(h.high >= h.low && h.high <= 8 * (opcount)PEAK * (601 + 1800));
	assert_true(h.high + h.cut == u.now.exact); /* what is in no figure is counted */
	/* The next hour is a day like any other. */
	h.now_ns += 3600 * SECOND;
	h.over = h.exact = 0;
	u.now.exact += honest;
	accrue(&h, &u, 1, h.now_ns - 600 * SECOND);
	publish(&h);
	om_ledger_each_register(h.ledger, add_shape, &h);
	assert_true(h.over == 0 && h.exact >= 2 * honest);
	om_ledger_free(h.ledger);
}

/* Hours of a node's whole peak, read in one go: nothing of it is taken for a forgery. */
static void who_was_away_is_not_suspected(void **state)
{
	struct om_usage u = usage(OM_METER_SHAPE, OM_FORMAT_BF16);
	struct holding h = begin_at(BEGIN);

	h.now_ns += 60 * SECOND;
	u.now.exact = (opcount)PEAK * 60;
	accrue(&h, &u, 1, BEGIN);
	om_ledger_free(h.ledger);
	/* Killed; the kernel counts on for seven hours. Whoever comes back does not know since when. */
	h.now_ns = BEGIN + 7 * 3600 * SECOND + 60 * SECOND;
	h.ledger = open_at(h.now_ns);
	u.now.exact = (opcount)PEAK * (7 * 3600 + 60);
	accrue(&h, &u, 1, 0);
	assert_true(h.over == 0);
	for (int i = 0; i < 50; i++) { /* nor what comes after it, in the same hour */
		h.now_ns += 60 * SECOND;
		u.now.exact += (opcount)PEAK * 60;
		accrue(&h, &u, 1, h.now_ns - 60 * SECOND);
	}
	assert_true(h.over == 0);
	/* Not read for two days, by an agent that knows it: the disk was full. */
	h.now_ns += 48 * 3600 * SECOND;
	u.now.exact += (opcount)PEAK * 48 * 3600;
	accrue(&h, &u, 1, h.now_ns - 48 * 3600 * SECOND);
	assert_true(h.over == 0);
	/* Killed again, over a long weekend. */
	om_ledger_free(h.ledger);
	h.now_ns += 80 * 3600 * SECOND;
	h.ledger = open_at(h.now_ns);
	u.now.exact += (opcount)PEAK * 80 * 3600;
	accrue(&h, &u, 1, 0);
	assert_true(h.over == 0);
	publish(&h);
	om_ledger_free(h.ledger);
}

/* Nor is what is only possible cut to the hour of the return: calls whose arguments could not be read. */
static void who_was_away_keeps_upper_bounds(void **state)
{
	struct om_usage u = usage(OM_METER_SHAPE, OM_FORMAT_BF16);
	struct holding h = begin_at(BEGIN);

	h.now_ns += 60 * SECOND;
	u.now.high = (opcount)PEAK * 60;
	accrue(&h, &u, 1, BEGIN);
	om_ledger_free(h.ledger);
	h.now_ns = BEGIN + 30 * 3600 * SECOND;
	h.ledger = open_at(h.now_ns);
	u.now.high = (opcount)PEAK * 30 * 3600;
	accrue(&h, &u, 1, 0);
	assert_true(h.over == 0 && h.cut == 0);
	publish(&h);
	om_ledger_each_register(h.ledger, add_shape, &h);
	assert_true(h.high == u.now.high);
	om_ledger_free(h.ledger);
}

/* Forty minutes of the whole peak, and the clock goes back to the hour's beginning: they were there all the
 * same. */
static void a_clock_set_back_takes_nothing_away(void **state)
{
	struct om_usage u = usage(OM_METER_SHAPE, OM_FORMAT_BF16);
	struct holding h = begin_at(BEGIN - DAY_NS);

	h.now_ns = BEGIN + 2400 * SECOND;
	u.now.exact = (opcount)PEAK * 2400;
	accrue(&h, &u, 1, BEGIN);
	h.now_ns = BEGIN + 10 * SECOND;
	u.now.exact += (opcount)PEAK * 1200;
	accrue(&h, &u, 1, BEGIN + 2400 * SECOND);
	assert_true(h.over == 0);
	publish(&h);
	om_ledger_each_register(h.ledger, add_shape, &h);
	assert_true(h.exact == u.now.exact);
	om_ledger_free(h.ledger);
}

/* The ledger is begun anew, and the kernel's counts are of days before it: an upper bound, and a whole one.
 */
static void what_another_ledger_had_stays_an_upper_bound(void **state)
{
	struct om_usage u = usage(OM_METER_SHAPE, OM_FORMAT_BF16);
	struct holding h = { .now_ns = BEGIN + 20 * 3600 * SECOND };
	struct error_text err = { 0 };

	assert_int_equal(
		om_ledger_open(dir, OM_LEDGER_CREATE | OM_LEDGER_EXPECT_BASELINE, h.now_ns, &h.ledger, &err),
		0);
	h.node = (struct om_node_facts){ om_ledger_start_ns(h.ledger), PEAK, 8, 1 };
	u.now.exact = (opcount)PEAK * 86400; /* the whole peak for a day */
	accrue(&h, &u, 1, 0);
	publish(&h);
	om_ledger_each_register(h.ledger, add_shape, &h);
	assert_true(h.over == 0 && h.low == 0 && h.high == u.now.exact);
	/* What comes after it is counted as ever. */
	h.now_ns += 60 * SECOND;
	u.now.exact += (opcount)PEAK * 60;
	accrue(&h, &u, 1, h.now_ns - 60 * SECOND);
	h.low = 0;
	om_ledger_each_register(h.ledger, add_shape, &h);
	assert_true(h.over == 0 && h.low == (opcount)PEAK * 60);
	om_ledger_free(h.ledger);
}

/* An agent that ends each hour, and a tenant that forges each time: no start makes the day longer than it is.
 */
static void starts_do_not_add_up(void **state)
{
	struct om_usage u = usage(OM_METER_SHAPE, OM_FORMAT_BF16);
	struct holding h = begin_at(BEGIN - DAY_NS);

	h.now_ns = BEGIN;
	for (int hour = 0; hour < 48; hour++) {
		om_ledger_free(h.ledger);
		h.now_ns = BEGIN + (uint64_t)hour * 3600 * SECOND + SECOND;
		h.ledger = open_at(h.now_ns);
		u.now.exact += (opcount)1 << 90;
		accrue(&h, &u, 1, 0);
		h.now_ns += 3598 * SECOND;
		u.now.exact += (opcount)1 << 90;
		accrue(&h, &u, 1, h.now_ns - 3598 * SECOND);
		publish(&h);
	}
	assert_true(h.over > 0);
	om_ledger_free(h.ledger);
}

static uint64_t worlds; /* each test is one of its own */

static uint64_t dice(uint64_t *state)
{
	*state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
	return *state >> 33;
}

/* Any meter, any claims, at any times, with restarts between: no register of the node is ever refused. */
static void nothing_that_is_held_is_refused(void **state)
{
	uint64_t seed = ++worlds;
	static const uint8_t meters[] = { OM_METER_SHAPE, OM_METER_LAUNCH, OM_METER_COUNTER };
	struct om_usage u[6];
	struct holding h = { .now_ns = BEGIN + dice(&seed) % 86400 * SECOND };
	struct error_text err = { 0 };
	uint64_t since = 0;

	assert_int_equal(om_ledger_open(dir, OM_LEDGER_CREATE | (seed % 2 ? OM_LEDGER_EXPECT_BASELINE : 0),
					h.now_ns, &h.ledger, &err),
			 0);
	h.node.ledger_start_ns = om_ledger_start_ns(h.ledger);

	h.node.peak_ops_per_s = dice(&seed) % 3 ? PEAK : 0;
	h.node.device_count = h.node.peak_ops_per_s ? 8 : 0;
	for (size_t i = 0; i < 6; i++)
		u[i] = usage(meters[i % 3], i < 3 ? OM_FORMAT_BF16 : OM_FORMAT_FP16);
	for (int step = 0; step < 60; step++) {
		h.now_ns += (dice(&seed) % 4 ? dice(&seed) % 900 + 1 : dice(&seed) % 40000 + 1) * SECOND;
		for (size_t i = 0; i < 6; i++) {
			unsigned bits = (unsigned)(dice(&seed) % 96);
			opcount more = (opcount)1 << bits;

			u[i].now.calls++;
			if (u[i].meter == OM_METER_COUNTER) {
				u[i].now.mean += opcount_to_double(more);
				u[i].now.variance += opcount_to_double(more) * opcount_to_double(more);
				continue;
			}
			u[i].now.exact += dice(&seed) % 2 ? more : 0;
			u[i].now.low += u[i].meter == OM_METER_LAUNCH ? more : 0;
			u[i].now.high += dice(&seed) % 2 || u[i].meter == OM_METER_LAUNCH ? more : 0;
		}
		accrue(&h, u, 6, since);
		publish(&h);
		since = dice(&seed) % 20 ? h.now_ns : 0;
		if (!since) {
			om_ledger_free(h.ledger);
			h.now_ns += dice(&seed) % 2 ? dice(&seed) % 900000 * SECOND
						    : 0; /* and was away for up to ten days */
			h.ledger = open_at(h.now_ns);
		}
	}
	assert_true(h.over > 0 && h.registers > 100);
	om_ledger_free(h.ledger);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_register_is_of_one_day),
		cmocka_unit_test(who_was_away_brings_more),
		cmocka_unit_test(what_a_node_does_not_tell_is_bounded_all_the_same),
		cmocka_unit_test(each_meter_is_held_to_what_it_can_say),
		cmocka_unit_test(the_jobs_of_a_day_must_fit_together),
		cmocka_unit_test(a_late_reading_makes_no_day_shorter),
		cmocka_unit_test(old_days_are_let_go_and_what_was_said_stays),
		cmocka_unit_test_setup_teardown(forged_calls_leave_a_job_its_day, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(who_was_away_is_not_suspected, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(starts_do_not_add_up, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(who_was_away_keeps_upper_bounds, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(a_clock_set_back_takes_nothing_away, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(what_another_ledger_had_stays_an_upper_bound, make_dir,
						remove_dir),
		cmocka_unit_test_setup_teardown(nothing_that_is_held_is_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(nothing_that_is_held_is_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(nothing_that_is_held_is_refused, make_dir, remove_dir),
		cmocka_unit_test_setup_teardown(nothing_that_is_held_is_refused, make_dir, remove_dir),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
