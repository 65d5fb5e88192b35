// SPDX-License-Identifier: Apache-2.0
/* An owner that changed in mid-run: what was trained until then, and what is made of it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/law.h"
#include "userspace/core/policy.h"
#include "userspace/core/totals.h"

#define DAY_NS 86400000000000ULL
#define FIRST 20454 /* 2026-01-01 */
#define CHANGE 20524 /* 2026-03-12 */
#define TODAY 20600
#define NOW (TODAY * DAY_NS + DAY_NS / 2)

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

static void assign(struct om_totals *t, uint8_t job, enum om_assignment_kind kind, const char *value, uint32_t from)
{
	struct om_assignment a = { .ledger = id(1), .job = id(job), .kind = kind, .from_ns = from * DAY_NS, .at_ns = from + 1,
				   .share_low_ppm = 900000, .share_high_ppm = 1000000, .rule = "r" };

	snprintf(a.value, sizeof(a.value), "%s", value);
	assert_in_range(om_totals_assign(t, &a), 0, 1);
}

static int apply_carry(void *ctx, const struct om_carry *c)
{
	struct om_totals **to = ctx;

	for (size_t i = 0; to[i]; i++)
		assert_in_range(om_totals_carry(to[i], c), 0, 1);
	return 0;
}

static const int32_t *days_of_a(void *ctx, const char *tenant, size_t *ret_count)
{
	static const int32_t days[] = { FIRST - 5, FIRST + 3, FIRST + 9, FIRST + 10, FIRST + 60 };

	*ret_count = 5;
	return tenant && strcmp(tenant, "a") ? NULL : days;
}

struct told {
	char name[16];
	opcount low, high;
	struct om_until until[8];
	size_t count;
};
struct all_told {
	struct told item[16];
	size_t count;
};

static int tell(void *ctx, const struct om_subject_total *s)
{
	struct all_told *a = ctx;
	struct told *t = &a->item[a->count++];

	snprintf(t->name, sizeof(t->name), "%s%s", s->group == OM_GROUP_MODEL ? s->tenant : "~", s->group == OM_GROUP_MODEL ? s->model : s->lineage);
	t->low = s->training_low;
	t->high = s->training_high;
	t->count = s->until_count;
	assert_true(s->until_count <= 8);
	if (s->until_count)
		memcpy(t->until, s->until, s->until_count * sizeof(*s->until));
	return 0;
}

static const struct told *find(const struct all_told *a, const char *name)
{
	for (size_t i = 0; i < a->count; i++)
		if (!strcmp(a->item[i].name, name))
			return &a->item[i];
	return NULL;
}

/* Some days stay live, some are in carries, some in both. */
static void seal_some(struct om_totals *t)
{
	struct om_totals *to[] = { t, NULL };

	assert_int_equal(om_totals_seal(t, FIRST + 8, apply_carry, to), 0);
	for (uint8_t job = 1; job <= 6; job++)
		for (uint32_t d = FIRST; d < FIRST + 6; d++) {
			struct om_register_key key = { id(1), id(job), d, 4, OM_METER_SHAPE };
			struct om_reading r;

			if (om_totals_get(t, &key, &r))
				om_totals_null(t, &key);
		}
}

static void put_job(struct om_totals *t, struct om_totals **part, uint8_t job, const int32_t *day)
{
	uint32_t moves = FIRST + draw(15);

	for (size_t i = 0; i <= 5; i++) {
		struct om_totals *to = i < 5 ? part[i] : t;

		assign(to, job, OM_ASSIGN_TENANT, job % 3 ? "a" : "b", FIRST);
		if (job == 2)
			assign(to, job, OM_ASSIGN_TENANT, "b", moves);
		assign(to, job, OM_ASSIGN_MODEL, job % 2 ? "m" : "n", FIRST);
		assign(to, job, OM_ASSIGN_LINEAGE, "l", FIRST);
		assign(to, job, OM_ASSIGN_PHASE, job == 4 ? "inference" : "training", FIRST);
	}
	for (uint32_t d = FIRST; d < FIRST + 15; d++) {
		struct om_reading r = { .key = { id(1), id(job), d, 4, OM_METER_SHAPE },
					.value = { .exact = 1 + draw(1u << 30), .from_ns = d * DAY_NS, .to_ns = d * DAY_NS + 1 },
					.sequence = 1 };

		if (draw(4) == 0)
			continue;
		assert_int_equal(om_totals_put(t, &r), 0);
		for (size_t i = 0; i < 5; i++)
			if ((int32_t)d < day[i])
				assert_int_equal(om_totals_put(part[i], &r), 0);
	}
}

/* Seeded worlds: what is told of a day is the total of another instance that was given the days before it alone. */
static void what_is_told_by_day_is_a_total_of_its_own(void **ctx)
{
	for (unsigned seed = 1; seed <= 60; seed++) {
		struct om_totals *t = om_totals_new(10000), *part[5];
		const int32_t *day;
		size_t days, all[5] = { 0 };
		struct all_told whole = { .count = 0 };

		state = seed;
		day = days_of_a(NULL, "a", &days);
		om_totals_set_days(t, days_of_a, NULL);
		for (size_t i = 0; i < 5; i++)
			part[i] = om_totals_new(10000);
		for (uint8_t job = 1; job <= 6; job++)
			put_job(t, part, job, day);
		if (seed % 2)
			seal_some(t);
		assert_int_equal(om_totals_each(t, tell, &whole), 0);
		assert_int_equal(om_totals_each_lineage(t, tell, &whole), 0);
		for (size_t i = 0; i < 5; i++) {
			struct all_told before = { .count = 0 };

			assert_int_equal(om_totals_each(part[i], tell, &before), 0);
			assert_int_equal(om_totals_each_lineage(part[i], tell, &before), 0);
			for (size_t k = 0; k < whole.count; k++) {
				const struct told *w = &whole.item[k], *b = find(&before, w->name);

				assert_true(w->name[0] != 'b' || w->count == 0);
				for (size_t u = 0; u < w->count; u++)
					if ((int32_t)w->until[u].day == day[i]) {
						assert_true(w->until[u].training_low == (b ? b->low : 0));
						assert_true(w->until[u].training_high == (b ? b->high : 0));
						all[i]++;
					}
			}
			om_totals_free(part[i]);
		}
		assert_true(all[0] == 0 && all[1] > 0 && all[4] > 0);
		om_totals_free(t);
	}
}

static void put(struct om_totals *t, uint8_t job, uint32_t day, opcount v)
{
	struct om_reading r = { .key = { id(1), id(job), day, 4, OM_METER_SHAPE },
				.value = { .exact = v, .from_ns = day * DAY_NS, .to_ns = day * DAY_NS + 1 },
				.sequence = 1 };

	assert_int_equal(om_totals_put(t, &r), 0);
}

static struct om_subject_total kept;
static struct om_until kept_until[OM_UNTIL_MAX];

static int keep(void *ctx, const struct om_subject_total *s)
{
	kept = *s;
	assert_true(s->until_count <= OM_UNTIL_MAX);
	if (s->until_count)
		memcpy(kept_until, s->until, s->until_count * sizeof(*s->until));
	kept.until = kept_until;
	return 0;
}

/* One partition has the jobs of the tenant whose owner changed, the other those of another one at the same lineage. */
static void a_lineage_of_two_partitions_tells_of_both(void **ctx)
{
	const struct om_subject_total *part[2];
	struct om_subject_total first;
	struct om_until own[OM_UNTIL_MAX], *until;
	size_t n, exact = 0;

	for (uint8_t p = 0; p < 2; p++) {
		struct om_totals *t = om_totals_new(1000);

		om_totals_set_days(t, days_of_a, NULL);
		assign(t, 1 + p, OM_ASSIGN_TENANT, p ? "b" : "a", FIRST);
		assign(t, 1 + p, OM_ASSIGN_LINEAGE, "l", FIRST);
		for (uint32_t d = FIRST; d < FIRST + 20; d++)
			put(t, 1 + p, d, p ? 1000 : 10);
		assert_int_equal(om_totals_each_lineage(t, keep, NULL), 0);
		if (p == 0) {
			first = kept;
			memcpy(own, kept_until, sizeof(own));
			first.until = own;
		}
		om_totals_free(t);
	}
	part[0] = &first;
	part[1] = &kept;
	assert_int_equal(om_until_fold(part, 2, &until, &n), 0);
	assert_int_equal(n, 4);
	for (size_t i = 0; i < n; i++) {
		uint32_t days = until[i].day < FIRST + 20 ? until[i].day - FIRST : 20;

		exact += !until[i].is_wide;
		assert_true(until[i].training_high == (opcount)days * 1010);
	}
	assert_int_equal(exact, 4);
	free(until);
}

/* Where a part does not tell of a day, what it tells of others bounds it; of many days none is dropped. */
static void what_is_not_told_is_bounded(void **ctx)
{
	struct om_until told[] = { { .day = FIRST + 10, .training_low = 100, .training_high = 120 },
				   { .day = FIRST + 30, .training_low = 300, .training_high = 360 } };
	struct om_until many[OM_UNTIL_MAX], other[OM_UNTIL_MAX], *until, u;
	struct om_subject_total some = { .training_low = 900, .training_high = 990, .first_day = FIRST, .until = told, .until_count = 2 };
	struct om_subject_total silent = { .training_low = 5000, .training_high = 6000, .first_day = FIRST };
	struct om_subject_total late = { .training_low = 7, .training_high = 7, .first_day = FIRST + 25 };
	const struct om_subject_total *part[] = { &some, &silent, &late }, *two[] = { &some, &silent };
	size_t n;

	om_until_on(&some, FIRST + 10, &u);
	assert_true(!u.is_wide && u.training_low == 100 && u.training_high == 120);
	om_until_on(&some, FIRST + 5, &u);
	assert_true(u.is_wide && u.training_low == 0 && u.training_high == 120);
	om_until_on(&some, FIRST + 20, &u);
	assert_true(u.is_wide && u.training_low == 100 && u.training_high == 360);
	om_until_on(&some, FIRST + 40, &u);
	assert_true(u.is_wide && u.training_low == 300 && u.training_high == 990);
	om_until_on(&some, FIRST, &u);
	assert_true(!u.is_wide && u.training_low == 0 && u.training_high == 0);
	assert_int_equal(om_until_fold(part, 3, &until, &n), 0);
	assert_int_equal(n, 2);
	assert_true(until[0].is_wide && until[0].training_low == 100 && until[0].training_high == 6120);
	assert_true(until[1].is_wide && until[1].training_low == 300 && until[1].training_high == 6367);
	free(until);
	/* Two parts that tell of 64 days each, none of them the same. */
	for (uint32_t i = 0; i < OM_UNTIL_MAX; i++) {
		many[i] = (struct om_until){ .day = FIRST + 1 + 2 * i, .training_low = i, .training_high = i };
		other[i] = (struct om_until){ .day = FIRST + 2 + 2 * i, .training_low = i, .training_high = i };
	}
	some.until = many;
	silent.until = other;
	some.until_count = silent.until_count = OM_UNTIL_MAX;
	assert_int_equal(om_until_fold(two, 2, &until, &n), 0);
	assert_int_equal(n, 2 * OM_UNTIL_MAX);
	assert_true(until[n - 1].day == FIRST + 2 * OM_UNTIL_MAX && until[n - 1].training_low == 2 * (OM_UNTIL_MAX - 1));
	free(until);
}

static struct owners *owners_of(const char *text)
{
	char path[] = "/tmp/opmeter-periods-XXXXXX";
	struct error_text err = { 0 };
	struct owners *o = NULL;
	FILE *f = fdopen(mkstemp(path), "w");

	fputs(text, f);
	fclose(f);
	if (owners_load(path, &o, &err))
		fail_msg("%s", err.text);
	unlink(path);
	assert_int_equal(owners_prepare(o), 0);
	return o;
}

/* Until the change of a Chinese parent, from then on of an Irish one. */
#define OWNERS                                                                                                                    \
	"entities:\n"                                                                                                             \
	"  - {id: sub, name: sub, headquarters: US, source: s, as-of: 2026-01-01, parents: [{entity: cn, share: 100%, source: s, " \
	"as-of: 2026-01-01, to: 2026-03-12}, {entity: ie, share: 100%, source: s, as-of: 2026-01-01, from: 2026-03-12}]}\n"       \
	"  - {id: cn, name: cn, headquarters: CN, source: s, as-of: 2026-01-01, no-parent: true}\n"                               \
	"  - {id: ie, name: ie, headquarters: IE, source: s, as-of: 2026-01-01, no-parent: true}\n"                               \
	"tenants:\n  - {tenant: t, entity: sub}\n  - {tenant: other, entity: ie}\n"

struct found {
	int owners, cases, possible;
	char data[8192];
};

static int collect(void *ctx, const struct alert *a)
{
	struct found *f = ctx;

	f->owners += a->type == ALERT_OWNER;
	f->possible += a->type == ALERT_OWNER && strstr(a->data, "\"material\":\"possible\"");
	if (a->type == ALERT_CASE && strstr(a->data, "material-training")) {
		f->cases++;
		snprintf(f->data, sizeof(f->data), "%s", a->data);
	}
	return 0;
}

static bool is_until_due;

static struct found judge(const struct owners *o, bool live, uint32_t first_day, const struct om_until *u, opcount high)
{
	struct error_text err = { 0 };
	struct regimes *g = NULL;
	struct policy p = { .owners = o, .source = "/opmeter/test", .now_ns = NOW, .is_live = live, .is_until_due = is_until_due };
	struct om_subject_total s = { .tenant = "t", .model = "m", .lineage = "", .training_low = high, .training_high = high,
				      .training_ceiling = high, .meters = 2, .first_day = first_day, .until = u, .until_count = u ? 1 : 0 };
	struct found f = { 0 };

	if (regimes_load("tests/demo/regimes", &g, &err))
		fail_msg("%s", err.text);
	p.regimes = g;
	assert_int_equal(policy_judge(&p, &s, collect, &f), 0);
	regimes_free(g);
	return f;
}

static void an_earlier_owner_is_judged_by_what_it_was_owner_of(void **ctx)
{
	struct owners *o = owners_of(OWNERS);
	const opcount half = 5000000000000000; /* of the demo's threshold */
	struct om_until below = { CHANGE, half - 1, half - 1, false }, at = { CHANGE, half, half, false };
	struct om_until wide = { CHANGE, half - 1, 2 * half, true }, certain = { CHANGE, half, 2 * half, true };
	const int32_t *day;
	struct found f;
	size_t n;

	day = owners_change_days(o, "t", &n);
	assert_int_equal(n, 1);
	assert_int_equal(day[0], CHANGE);
	assert_null(owners_change_days(o, "other", &n));
	assert_null(owners_change_days(o, "nobody", &n));
	day = owners_change_days(o, NULL, &n); /* of all tenants */
	assert_true(n == 1 && day[0] == CHANGE);
	/* Today's owner is clear: a replay, which plays each day by itself, finds nothing on the last one. */
	f = judge(o, false, FIRST, &at, 2 * half);
	assert_true(f.owners == 0 && f.cases == 0);
	/* Whoever judges now alone finds the earlier owner: an event, and a case if what it owned was material. */
	f = judge(o, true, FIRST, &below, 2 * half);
	assert_true(f.owners == 1 && f.cases == 0);
	f = judge(o, true, FIRST, &at, 2 * half);
	assert_true(f.owners == 1 && f.cases == 1);
	assert_non_null(strstr(f.data, "\"observed\":{\"low\":\"5000000000000000\",\"high\":\"5000000000000000\"}"));
	assert_non_null(strstr(f.data, "\"owner_until\":\"2026-03-12\",\"owner_until_told\":true"));
	assert_non_null(strstr(f.data, "\"from\":\"2026-01-01\",\"to\":\"2026-03-12\""));
	assert_non_null(strstr(f.data, "\"from\":\"2026-03-12\",\"to\":null"));
	/* Where it is told in bounds only, there is a case if the lower one is material; where no total tells it, none. */
	f = judge(o, true, FIRST, &wide, 3 * half);
	assert_true(f.owners == 2 && f.possible == 1 && f.cases == 0);
	f = judge(o, true, FIRST, &certain, 3 * half);
	assert_true(f.owners == 1 && f.cases == 1);
	assert_non_null(strstr(f.data, "\"owner_until_told\":false"));
	assert_non_null(strstr(f.data, "\"training\":{\"low\":\"5000000000000000\",\"high\":\"10000000000000000\"},\"told\":false"));
	f = judge(o, true, FIRST, NULL, 3 * half);
	assert_true(f.owners == 2 && f.possible == 1 && f.cases == 0);
	f = judge(o, true, FIRST, NULL, half - 1);
	assert_true(f.owners == 1 && f.possible == 0 && f.cases == 0);
	/* A total that tells it may be on its way: the earlier owner is left for later, today's is not. */
	is_until_due = true;
	f = judge(o, true, FIRST, NULL, half);
	assert_true(f.owners == 0 && f.cases == 0);
	f = judge(o, true, FIRST, &at, 2 * half);
	assert_true(f.owners == 1 && f.cases == 1);
	is_until_due = false;
	/* Who began under the new owner has nothing to do with the old one; so it is where the beginning is not known. */
	f = judge(o, true, CHANGE, NULL, 2 * half);
	assert_true(f.owners == 0 && f.cases == 0);
	f = judge(o, true, 0, NULL, 2 * half);
	assert_true(f.owners == 0 && f.cases == 0);
	owners_free(o);
}

static int look_at_family(void *ctx, const struct policy_subject *s)
{
	assert_int_equal(s->tenants, 2);
	assert_true(s->total->is_older);
	*(int *)ctx += 1;
	return 0;
}

/* A family of which one record is of an earlier version does not tell of it all either. */
static void a_family_is_as_old_as_its_oldest(void **ctx)
{
	struct owners *o = owners_of(OWNERS);
	struct kin *k = kin_new();
	struct om_subject_total s = { .tenant = "other", .model = "m", .lineage = "", .is_older = true };
	struct policy p = { .owners = o, .now_ns = NOW };
	int seen = 0;

	assert_int_equal(kin_put(k, &p, &s), 0);
	s.tenant = "t";
	s.is_older = false;
	assert_int_equal(kin_put(k, &p, &s), 0);
	assert_int_equal(kin_each_family(k, look_at_family, &seen), 0);
	assert_int_equal(seen, 1);
	kin_free(k);
	owners_free(o);
}

struct families {
	opcount cn, ie;
	size_t cn_tenants, ie_tenants;
};

static int keep_family(void *ctx, const struct policy_subject *s)
{
	struct families *f = ctx;
	/* SHA-256 of "ie", as the name of a family says it. */
	bool is_ie = !strcmp(s->name, "family/292c1980ba280551");

	*(is_ie ? &f->ie : &f->cn) = s->total->training_high;
	*(is_ie ? &f->ie_tenants : &f->cn_tenants) = s->tenants;
	return 0;
}

/* t's total, with what is told of the day of its change, beside one tenant that is of each family all the time. */
static struct families families(const struct owners *o, bool due, uint32_t first_day, const struct om_until *u, opcount high)
{
	struct policy p = { .owners = o, .now_ns = NOW, .is_until_due = due };
	struct om_subject_total s = { .tenant = "other", .model = "m", .lineage = "", .first_day = FIRST };
	struct families f = { 0 };
	struct kin *k = kin_new();

	s.training_high = s.training_ceiling = 1;
	assert_int_equal(kin_put(k, &p, &s), 0);
	s.tenant = "t";
	s.first_day = first_day;
	s.training_high = s.training_ceiling = high;
	s.until = u;
	s.until_count = u ? 1 : 0;
	assert_int_equal(kin_put(k, &p, &s), 0);
	s.tenant = "third";
	s.first_day = FIRST;
	s.training_high = s.training_ceiling = 1;
	s.until_count = 0;
	assert_int_equal(kin_put(k, &p, &s), 0);
	assert_int_equal(kin_each_family(k, keep_family, &f), 0);
	kin_free(k);
	return f;
}

static void a_family_has_what_was_trained_while_it_was_the_owner(void **ctx)
{
	struct owners *o = owners_of(OWNERS "  - {tenant: third, entity: cn}\n");
	struct om_until told = { CHANGE, 30, 40, false }, wide = { CHANGE, 30, 40, true }, nothing = { CHANGE, 0, 0, false };
	struct families f = families(o, false, FIRST, &told, 100);

	assert_true(f.cn == 41 && f.ie == 61 && f.cn_tenants == 2 && f.ie_tenants == 2);
	/* Known within bounds only: each has what it may have. */
	f = families(o, false, FIRST, &wide, 100);
	assert_true(f.cn == 41 && f.ie == 71);
	f = families(o, false, FIRST, NULL, 100);
	assert_true(f.cn == 101 && f.ie == 101);
	/* It may be on its way: nothing of the tenant is said yet, for what is said stays. */
	f = families(o, true, FIRST, NULL, 100);
	assert_true(f.cn == 0 && f.ie == 0);
	f = families(o, true, FIRST, &told, 100);
	assert_true(f.cn == 41 && f.ie == 61);
	/* Who trained nothing then was never of that family; today's owner is the owner. */
	f = families(o, false, FIRST, &nothing, 100);
	assert_true(f.cn == 0 && f.ie == 101 && f.ie_tenants == 2);
	f = families(o, false, CHANGE, NULL, 100);
	assert_true(f.cn == 0 && f.ie == 101);
	f = families(o, false, 0, NULL, 100);
	assert_true(f.cn == 0 && f.ie == 101);
	owners_free(o);
}

static void write_text(const char *path, const char *text, size_t len)
{
	FILE *f = fopen(path, "w");

	assert_int_equal(fwrite(text, 1, len, f), len);
	fclose(f);
}

/* False: what is there is refused, and what was read before stays. */
static bool takes(struct law *l, enum law_file which, const char *text, size_t len)
{
	static uint64_t now;
	struct law_news news;

	write_text(l->file[which].path, text, len);
	law_look(l, now += 1000000000, TODAY, true, &news);
	assert_true(news.is_any != l->file[which].has_failed);
	return news.is_any;
}

static void a_bad_file_changes_nothing(void **ctx)
{
	char path[] = "/tmp/opmeter-law-XXXXXX";
	struct error_text err = { 0 };
	struct law_news news;
	struct law l;
	size_t n;

	close(mkstemp(path));
	write_text(path, OWNERS, strlen(OWNERS));
	assert_int_equal(law_open(&l, (const char *const[LAW_FILES]){ [LAW_OWNERS] = path }, 0, TODAY, &err), 0);
	write_text(path, "entities: nonsense\n", 19);
	law_look(&l, 1000000000, TODAY, false, &news);
	assert_false(news.is_any);
	law_look(&l, 3000000000, TODAY, false, &news);
	assert_true(!news.is_any && news.is_worth[LAW_OWNERS] && l.file[LAW_OWNERS].has_failed);
	assert_non_null(strstr(l.file[LAW_OWNERS].error.text, ":1:"));
	assert_non_null(law_days(&l, "t", &n)); /* what was read before */
	assert_true(takes(&l, LAW_OWNERS, "entities: []\ntenants: []\n...\n", 29));
	assert_null(law_days(&l, "t", &n));
	law_close(&l);
	unlink(path);
}

/* A copy that stalls: each part of the file is refused, or says what the whole says of every tenant. */
static void owners_that_are_cut_are_refused(void **ctx)
{
	static const char marked[] = OWNERS "...\n";
	char path[] = "/tmp/opmeter-law-XXXXXX";
	struct error_text err = { 0 };
	size_t len = strlen(OWNERS);
	struct law l;

	close(mkstemp(path));
	write_text(path, OWNERS, len);
	assert_int_equal(law_open(&l, (const char *const[LAW_FILES]){ [LAW_OWNERS] = path }, 0, TODAY, &err), 0);
	for (size_t i = 0; i < len; i++)
		assert_false(takes(&l, LAW_OWNERS, OWNERS, i));
	/* A tenant that goes: it may be meant, and is told so by the end of the document. */
	assert_false(takes(&l, LAW_OWNERS, OWNERS, len - strlen("  - {tenant: other, entity: ie}\n")));
	assert_non_null(strstr(l.file[LAW_OWNERS].error.text, "'other'"));
	assert_true(takes(&l, LAW_OWNERS, OWNERS, len));
	assert_true(takes(&l, LAW_OWNERS, marked, strlen(marked)));
	/* Who ends it so once is held to it. */
	for (size_t i = 0; i < strlen(marked); i++)
		assert_false(takes(&l, LAW_OWNERS, marked, i));
	assert_true(takes(&l, LAW_OWNERS, "entities: []\ntenants: []\n...\n", 29));
	law_close(&l);
	unlink(path);
}

static void declarations_only_grow(void **ctx)
{
	char path[] = "/tmp/opmeter-law-XXXXXX", text[65536], *other;
	struct error_text err = { 0 };
	FILE *f = fopen("tests/golden/declarations_v1.jsonl", "r");
	size_t len = fread(text, 1, sizeof(text) - 1, f), first;
	struct law l;

	fclose(f);
	text[len] = '\0';
	first = (size_t)(strchr(text, '\n') - text) + 1;
	close(mkstemp(path));
	write_text(path, text, first);
	assert_int_equal(law_open(&l, (const char *const[LAW_FILES]){ [LAW_DECLARATIONS] = path }, 0, TODAY, &err), 0);
	assert_true(takes(&l, LAW_DECLARATIONS, text, len));
	for (size_t i = 0; i < len; i++)
		assert_false(takes(&l, LAW_DECLARATIONS, text, i));
	assert_non_null(strstr(l.file[LAW_DECLARATIONS].error.text, path));
	assert_true(declarations_count(l.declarations) > 1);
	/* Another last line at the same place. */
	other = strrchr(text, '}');
	memmove(other + 1, other, strlen(other) + 1);
	*other = ' ';
	assert_false(takes(&l, LAW_DECLARATIONS, text, len + 1));
	law_close(&l);
	unlink(path);
}

static void write_regime(const char *dir, const char *file, const char *version, const char *rest)
{
	char path[128], text[1000];

	snprintf(path, sizeof(path), "%s/%s", dir, file);
	snprintf(text, sizeof(text),
		 "# SPDX-License-Identifier: Apache-2.0\nid: law\nversion: \"%s\"\ntitle: \"t\"\nkind: threshold\ncitation: \"none\"\nevidence: design\n"
		 "sources: [\"none\"]\n%s\nthreshold: {operations: 1e20, comparator: \">=\", figure: training}\n"
		 "levels:\n  - {name: exceeded, share: 100%%, bound: lower}\n",
		 version, rest);
	write_text(path, text, strlen(text));
}

/* Another file of the directory, however it came there, is a change; a law is taken whole or not at all. */
static void regimes_are_read_anew(void **ctx)
{
	char dir[] = "/tmp/opmeter-law-XXXXXX", path[64];
	struct error_text err = { 0 };
	struct law_news news;
	struct law l;

	assert_non_null(mkdtemp(dir));
	write_regime(dir, "a.yaml", "1", "mode: notice");
	assert_int_equal(law_open(&l, (const char *const[LAW_FILES]){ [LAW_REGIMES] = dir }, 0, TODAY, &err), 0);
	assert_int_equal(regimes_count(l.regimes), 1);
	law_look(&l, RELOAD_REST_NS, TODAY, false, &news);
	assert_false(news.is_any);
	write_regime(dir, "a.yaml", "1", "mode: notice\nto: 2026-03-12");
	write_regime(dir, "b.yaml", "2", "mode: notice\nfrom: 2026-03-12");
	law_look(&l, 2 * RELOAD_REST_NS, TODAY, false, &news); /* it does not rest yet */
	assert_false(news.is_any);
	law_look(&l, 3 * RELOAD_REST_NS, TODAY, false, &news);
	assert_true(news.is_read[LAW_REGIMES] && news.is_any && news.is_worth[LAW_REGIMES] && !news.is_read[LAW_OWNERS]);
	assert_int_equal(regimes_count(l.regimes), 2);
	assert_true(!strcmp(regimes_on(l.regimes, "law", CHANGE)->version, "2"));
	/* A version that is gone, two that hold on one day, one that nobody accepted, none at all: each is refused. */
	snprintf(path, sizeof(path), "%s/a.yaml", dir);
	unlink(path);
	law_look(&l, 0, TODAY, true, &news);
	assert_true(!news.is_any && strstr(l.file[LAW_REGIMES].error.text, "version 1 is gone"));
	write_regime(dir, "a.yaml", "1", "mode: notice");
	law_look(&l, 0, TODAY, true, &news);
	assert_true(!news.is_any && news.is_worth[LAW_REGIMES]);
	write_regime(dir, "a.yaml", "1", "mode: enforce\nto: 2026-03-12");
	law_look(&l, 0, TODAY, true, &news);
	assert_true(!news.is_any && l.file[LAW_REGIMES].has_failed);
	assert_int_equal(regimes_count(l.regimes), 2);
	write_regime(dir, "a.yaml", "1", "mode: off\nto: 2026-03-12");
	law_look(&l, 0, TODAY, true, &news);
	assert_true(news.is_read[LAW_REGIMES] && !l.file[LAW_REGIMES].has_failed);
	assert_int_equal(l.file[LAW_REGIMES].failures_total, 3);
	unlink(path);
	snprintf(path, sizeof(path), "%s/b.yaml", dir);
	unlink(path);
	rmdir(dir);
	law_look(&l, 0, TODAY, true, &news);
	assert_true(!news.is_any && regimes_count(l.regimes) == 2);
	law_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_told_by_day_is_a_total_of_its_own),
		cmocka_unit_test(a_lineage_of_two_partitions_tells_of_both),
		cmocka_unit_test(what_is_not_told_is_bounded),
		cmocka_unit_test(an_earlier_owner_is_judged_by_what_it_was_owner_of),
		cmocka_unit_test(regimes_are_read_anew),
		cmocka_unit_test(a_family_is_as_old_as_its_oldest),
		cmocka_unit_test(a_family_has_what_was_trained_while_it_was_the_owner),
		cmocka_unit_test(a_bad_file_changes_nothing),
		cmocka_unit_test(owners_that_are_cut_are_refused),
		cmocka_unit_test(declarations_only_grow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
