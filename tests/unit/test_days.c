// SPDX-License-Identifier: Apache-2.0
/* What was trained on each day: out of live, sealed and late registers, as a history of the same registers has it; and its record. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/days_record.h"
#include "userspace/core/history.h"
#include "userspace/core/totals.h"
#include "tests/unit/golden.h"

#define DAY_NS 86400000000000ULL
#define FIRST 20454 /* 2026-01-01 */
#define DAYS 20
#define JOBS 7

static uint64_t state;

static uint32_t draw(uint32_t below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(state >> 33) % below;
}

static struct om_id id(uint8_t n)
{
	struct om_id v = { { n, 0xbb } };

	return v;
}

/* Everything that is told of some jobs, so that it can be told again in another order. */
struct world {
	struct om_assignment assignment[JOBS * 12];
	struct om_reading reading[JOBS * DAYS * 4];
	size_t assignments, readings;
};

static void assign(struct world *w, uint8_t job, enum om_assignment_kind kind, const char *value, uint32_t from, bool is_person)
{
	struct om_assignment *a = &w->assignment[w->assignments++];

	*a = (struct om_assignment){ .ledger = id(1), .job = id(job), .kind = kind, .from_ns = from * DAY_NS, .at_ns = w->assignments,
				     .share_low_ppm = 400000 + draw(200000), .share_high_ppm = 700000 + draw(300000) };
	snprintf(a->value, sizeof(a->value), "%s", value);
	snprintf(is_person ? a->person : a->rule, 2, "x");
}

static void make_job(struct world *w, uint8_t job)
{
	static const char *const phases[] = { "training", "mixed", "inference", "unknown" };

	assign(w, job, OM_ASSIGN_TENANT, job % 3 ? "a" : "b", FIRST, false);
	assign(w, job, OM_ASSIGN_MODEL, job % 2 ? "m" : "n", FIRST, false);
	assign(w, job, OM_ASSIGN_LINEAGE, "l", FIRST + draw(4), false);
	assign(w, job, OM_ASSIGN_PHASE, phases[draw(4)], FIRST, false);
	/* In mid-run it is another's, or somebody says that it was all the time. */
	if (draw(2))
		assign(w, job, OM_ASSIGN_TENANT, "b", FIRST + draw(DAYS), draw(2));
	if (draw(2))
		assign(w, job, OM_ASSIGN_MODEL, "other", FIRST + draw(DAYS), true);
	if (draw(2))
		assign(w, job, OM_ASSIGN_PHASE, phases[draw(4)], FIRST + draw(DAYS), true);
	for (uint32_t d = FIRST; d < FIRST + DAYS; d++) {
		for (uint32_t again = 0, n = draw(3); again < n; again++) {
			struct om_reading *r = &w->reading[w->readings++];

			*r = (struct om_reading){ .key = { id(1), id(job), d, 4, draw(3) ? OM_METER_SHAPE : OM_METER_DEVICE }, .sequence = again + 1 };
			r->value = (struct om_value){ .from_ns = d * DAY_NS, .to_ns = d * DAY_NS + 1 + again };
			r->value.exact = r->key.meter == OM_METER_SHAPE ? ((opcount)(again + 1) << 80) + draw(1u << 30) : 0;
			if (r->key.meter == OM_METER_DEVICE) {
				r->value.low = ((opcount)(again + 1) << 79) + draw(1u << 30);
				r->value.high = r->value.low << 1;
			}
		}
	}
}

static void shuffle(void *base, size_t n, size_t size)
{
	char *b = base, swap[1024];

	assert_true(size <= sizeof(swap));
	for (size_t i = n; i > 1; i--) {
		size_t k = draw((uint32_t)i);

		memcpy(swap, b + (i - 1) * size, size);
		memcpy(b + (i - 1) * size, b + k * size, size);
		memcpy(b + k * size, swap, size);
	}
}

static int apply_carry(void *ctx, const struct om_carry *c)
{
	return om_totals_carry(ctx, c) < 0 ? -EIO : 0;
}

/* In some order; some of it sealed, some of what was sealed gone from the topic, the rest late. */
static struct om_totals *totals_of(const struct world *made)
{
	struct om_totals *t = om_totals_new(10000);
	_cleanup_free_ struct world *w = malloc(sizeof(*w));
	size_t early;

	*w = *made;
	shuffle(w->reading, w->readings, sizeof(*w->reading));
	shuffle(w->assignment, w->assignments, sizeof(*w->assignment));
	early = draw((uint32_t)w->readings);
	for (size_t i = 0; i < w->readings; i++) {
		if (i == early) {
			assert_int_equal(om_totals_seal(t, FIRST + draw(DAYS), apply_carry, t), 0);
			for (size_t k = 0; k < early; k++)
				if (draw(2))
					assert_in_range(om_totals_null(t, &w->reading[k].key), 0, 1);
		}
		assert_in_range(om_totals_put(t, &w->reading[i]), 0, 3);
		if (i < w->assignments)
			assert_in_range(om_totals_assign(t, &w->assignment[i]), 0, 1);
	}
	for (size_t i = w->readings; i < w->assignments; i++)
		assert_in_range(om_totals_assign(t, &w->assignment[i]), 0, 1);
	return t;
}

/* The largest value of each register is what a ledger has. */
static struct history *history_of(struct om_totals *t, const struct world *w)
{
	struct history *h = history_new();

	for (size_t i = 0; i < w->readings; i++) {
		const struct om_reading *r = &w->reading[i];
		struct om_reading now;
		bool is_first = true;

		for (size_t k = 0; k < i; k++)
			is_first &= memcmp(&w->reading[k].key, &r->key, sizeof(r->key)) != 0;
		if (!is_first)
			continue;
		assert_true(om_totals_get(t, &r->key, &now));
		assert_int_equal(history_reading(h, &now), 0);
	}
	for (size_t i = 0; i < w->assignments; i++)
		assert_int_equal(history_assignment(h, &w->assignment[i]), 0);
	return h;
}

static int no_day(void *ctx, uint32_t day)
{
	return 0;
}

static size_t compare(struct om_totals *t, const struct history *h, uint32_t before)
{
	size_t points = 0;

	for (size_t i = 0; i < history_subjects(h); i++) {
		const struct history_subject *s = history_at(h, i);
		_cleanup_free_ struct om_day *day = NULL;
		opcount low = 0, high = 0;
		size_t n;

		assert_int_equal(om_totals_days(t, &s->total, before, &day, &n), 0);
		assert_int_equal(n, s->point_count);
		for (size_t k = 0; k < n; k++) {
			low += day[k].training_low;
			high += day[k].training_high;
			assert_int_equal(day[k].day, s->points[k].day);
			assert_true(low == s->points[k].low && high == s->points[k].high);
		}
		points += n;
	}
	return points;
}

static void days_are_those_of_a_history(void **unused)
{
	size_t points = 0;

	for (uint64_t seed = 1; seed < 200; seed++) {
		_cleanup_free_ struct world *w = calloc(1, sizeof(*w));
		_cleanup_(om_totals_freep) struct om_totals *t = NULL;
		_cleanup_(history_freep) struct history *h = NULL;
		uint32_t until;

		state = seed;
		for (uint8_t job = 1; job <= JOBS; job++)
			make_job(w, job);
		t = totals_of(w);
		h = history_of(t, w);
		until = FIRST + draw(DAYS + 3);
		assert_int_equal(history_play(h, until, no_day, NULL), 0);
		points += compare(t, h, until + 1);
	}
	assert_true(points > 10000);
}

static void a_subject_that_is_not_there_has_no_days(void **unused)
{
	_cleanup_(om_totals_freep) struct om_totals *t = om_totals_new(100);
	struct om_subject_total model = { .tenant = "a", .model = "m", .lineage = "" };
	struct om_subject_total lineage = { .group = OM_GROUP_LINEAGE, .tenant = "", .model = "", .lineage = "l" };
	struct om_reading r = { .key = { id(1), id(1), FIRST, 4, OM_METER_SHAPE }, .value = { .exact = 5, .to_ns = 1 } };
	struct om_day *day;
	size_t n;

	assert_int_equal(om_totals_days(t, &model, UINT32_MAX, &day, &n), 0);
	assert_true(day == NULL && n == 0);
	assert_int_equal(om_totals_put(t, &r), 0);
	assert_int_equal(om_totals_days(t, &lineage, UINT32_MAX, &day, &n), 0);
	assert_true(day == NULL && n == 0);
	model.tenant = "unknown";
	assert_int_equal(om_totals_days(t, &model, UINT32_MAX, &day, &n), 0);
	assert_true(day == NULL && n == 0);
	model.model = "unassigned";
	assert_int_equal(om_totals_days(t, &model, FIRST, &day, &n), 0);
	assert_int_equal(n, 0);
	free(day);
	assert_int_equal(om_totals_days(t, &model, FIRST + 1, &day, &n), 0);
	assert_true(n == 1 && day[0].day == FIRST && day[0].training_low == 0 && day[0].training_high == 5);
	free(day);
}

static void records_are_their_golden_text(void **unused)
{
	static const struct {
		const char *file, *key;
		enum om_days_kind kind;
	} cases[] = {
		{ "days_v3.json", "f/3/days/model/acme/lm-7b", OM_DAYS_TOLD },
		{ "days_lineage_v3.json", "f/3/days/lineage/l-6f1c", OM_DAYS_TOLD },
		{ "ask_v3.json", "f/3/ask/model/acme/lm-7b", OM_DAYS_ASK },
	};

	for (size_t i = 0; i < 3; i++) {
		_cleanup_free_ char *text = golden_json(cases[i].file), *again = NULL;
		char key[OM_TOTAL_KEY_MAX];
		enum om_days_kind kind;
		struct om_days d;
		size_t at;

		assert_int_equal(om_days_decode(text, strlen(text), cases[i].kind, &d), 0);
		assert_int_equal(d.partition, 3);
		assert_int_equal(om_days_key("f", 3, cases[i].kind, &d.of, key), 0);
		assert_string_equal(key, cases[i].key);
		assert_int_equal(om_days_key_kind(key + 4, strlen(key) - 4, &kind, &at), 0);
		assert_int_equal(kind, cases[i].kind);
		assert_string_equal(strchr(cases[i].key + 4, '/') + 1, key + 4 + at);
		/* What was folded is in the first day, and is said again when it is folded again only. */
		assert_int_equal(d.is_folded, i == 1);
		again = cases[i].kind == OM_DAYS_ASK ? om_days_ask_encode(&d.of, 3) : om_days_encode(&d.of, 3, d.day, d.count, OM_DAYS_MAX);
		if (i != 1)
			assert_string_equal(again, text);
		om_days_done(&d);
		assert_int_equal(om_days_decode(text, strlen(text), cases[i].kind == OM_DAYS_ASK ? OM_DAYS_TOLD : OM_DAYS_ASK, &d), -EBADMSG);
		for (size_t n = 0; n < strlen(text); n++)
			assert_int_equal(om_days_decode(text, n, cases[i].kind, &d), -EBADMSG);
	}
}

static void what_is_no_record_is_refused(void **unused)
{
	static const struct {
		const char *name, *value;
		int r;
	} cases[] = {
		{ "v", "4", -EPROTONOSUPPORT }, { "v", "2", -EBADMSG }, { "v", "\"3\"", -EBADMSG }, { "partition", "-1", -EBADMSG },
		{ "partition", "\"0\"", -EBADMSG }, { "group", "\"model\"", -EBADMSG }, { "of", "\"days\"", -EBADMSG }, { "of", "null", -EBADMSG },
		{ "tenant", "\"\"", -EBADMSG }, { "model", "7", -EBADMSG }, { "folded", "false", -EBADMSG }, { "days", "{}", -EBADMSG },
		{ "days", "[[\"2026-11-21\",\"1\"]]", -EBADMSG }, { "days", "[[\"2026-11-31\",\"1\",\"1\"]]", -EBADMSG },
		{ "days", "[[\"2026-11-21\",\"2\",\"1\"]]", -EBADMSG }, { "days", "[[\"2026-11-21\",1,1]]", -EBADMSG },
		{ "days", "[[\"2026-11-21\",\"1e3\",\"1e3\"]]", -EBADMSG }, { "days", "[[\"2026-11-21\",\"-1\",\"1\"]]", -EBADMSG },
		{ "days", "[[\"2026-11-22\",\"1\",\"1\"],[\"2026-11-22\",\"1\",\"1\"]]", -EBADMSG }, { "days", "[]", 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		json_t *o = json_load_file("tests/golden/days_v3.json", 0, NULL);
		_cleanup_free_ char *text = NULL;
		struct om_days d;

		json_object_set_new(o, cases[i].name, json_loads(cases[i].value, JSON_DECODE_ANY, NULL));
		text = json_dumps(o, JSON_COMPACT);
		json_decref(o);
		if (om_days_decode(text, strlen(text), OM_DAYS_TOLD, &d) != cases[i].r)
			fail_msg("%s", text);
		if (cases[i].r == 0)
			om_days_done(&d);
	}
}

static void more_days_than_a_record_holds_are_folded(void **unused)
{
	struct om_subject_total of = { .tenant = "a", .model = "m", .lineage = "" };
	_cleanup_free_ struct om_day *day = calloc(OM_DAYS_MAX + 100, sizeof(*day));
	_cleanup_free_ char *text = NULL, *few = NULL;
	opcount sum = 0;
	struct om_days d;

	for (uint32_t i = 0; i < OM_DAYS_MAX + 100; i++)
		day[i] = (struct om_day){ FIRST + i, OPCOUNT_MAX >> 20, OPCOUNT_MAX >> 20 };
	text = om_days_encode(&of, 0, day, OM_DAYS_MAX + 100, OM_DAYS_MAX);
	assert_true(strlen(text) < 1000000 - 10000); /* Kafka's message.max.bytes is 1048588 unless somebody changed it */
	assert_int_equal(om_days_decode(text, strlen(text), OM_DAYS_TOLD, &d), 0);
	assert_true(d.is_folded && d.count == OM_DAYS_MAX && d.day[0].day == FIRST + 100);
	for (size_t i = 0; i < d.count; i++)
		sum += d.day[i].training_low;
	assert_true(sum == (OPCOUNT_MAX >> 20) * (OM_DAYS_MAX + 100));
	om_days_done(&d);
	few = om_days_encode(&of, 0, day, 3, 1);
	assert_int_equal(om_days_decode(few, strlen(few), OM_DAYS_TOLD, &d), 0);
	assert_true(d.is_folded && d.count == 1 && d.day[0].day == FIRST + 2 && d.day[0].training_low == 3 * (OPCOUNT_MAX >> 20));
	om_days_done(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(days_are_those_of_a_history),
		cmocka_unit_test(a_subject_that_is_not_there_has_no_days),
		cmocka_unit_test(records_are_their_golden_text),
		cmocka_unit_test(what_is_no_record_is_refused),
		cmocka_unit_test(more_days_than_a_record_holds_are_folded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
