// SPDX-License-Identifier: Apache-2.0
/* Which records may move a total, and what a reader of the totals topic makes of writers that come, go and do not know it. */
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

#include "golden.h"

#include "exporters/kafka_ended.h"
#include "exporters/topic.h"
#include "userspace/core/total_record.h"
#include "userspace/fleet/fleet_internal.h"

#define DAY 20780
#define NOW ((DAY + 1) * 86400ULL * 1000000000ULL)
#define HOUR 3600000000000ULL
#define PARTITIONS 6

static struct om_reading honest(void)
{
	struct om_reading r = { .key = { .day = DAY, .format = OM_FORMAT_BF16, .meter = OM_METER_SHAPE }, .sequence = 3 };

	memset(r.key.ledger.byte, 0x5a, 16);
	memset(r.key.job.byte, 0x33, 16);
	r.value = (struct om_value){ .exact = 1000000, .calls = 10, .from_ns = NOW - 2 * HOUR, .to_ns = NOW - HOUR };
	r.node = (struct om_node_facts){ .ledger_start_ns = NOW - 48 * HOUR, .peak_ops_per_s = 1000000000, .device_count = 8 };
	return r;
}

static struct wire {
	uint8_t key[OM_REGISTER_KEY_SIZE], value[OM_READING_SIZE];
	char source[64];
} wire;

static struct raw_record record_of(const struct om_reading *r)
{
	char id[OM_ID_STRLEN];

	om_register_key_encode(&r->key, wire.key);
	om_reading_encode(r, wire.value);
	snprintf(wire.source, sizeof(wire.source), "/opmeter/%s", om_id_format(&r->key.ledger, id));
	return (struct raw_record){ wire.key, wire.value, sizeof(wire.key), sizeof(wire.value), wire.source, strlen(wire.source) };
}

static struct admission here(const struct om_reading *r)
{
	struct admission a = { .partitions = PARTITIONS, .now_ns = NOW };
	uint8_t key[OM_REGISTER_KEY_SIZE];

	om_register_key_encode(&r->key, key);
	assert_int_equal(om_topic_partition(key, sizeof(key), PARTITIONS, &a.partition), 0);
	return a;
}

static enum refusal admit(const struct om_reading *r)
{
	struct admission a = here(r);
	struct raw_record m = record_of(r);
	struct om_reading got;

	return admit_reading(&a, &m, &got);
}

static void an_honest_reading_is_taken(void **state)
{
	struct om_reading r = honest(), got;
	struct admission a = here(&r);
	struct raw_record m = record_of(&r);

	assert_int_equal(admit_reading(&a, &m, &got), ADMITTED);
	assert_true(got.value.exact == r.value.exact);
	m.source = NULL; /* a file that was replayed names none */
	assert_int_equal(admit_reading(&a, &m, &got), ADMITTED);
}

static void what_is_cut_or_of_later_make_is_refused_by_name(void **state)
{
	struct om_reading r = honest(), got;
	struct admission a = here(&r);
	struct raw_record m = record_of(&r);

	for (size_t len = 0; len < OM_READING_SIZE; len++) {
		m.value_len = len;
		assert_int_equal(admit_reading(&a, &m, &got), REFUSED_DAMAGED);
	}
	m.value_len = OM_READING_SIZE;
	wire.value[4] = 9;
	assert_int_equal(admit_reading(&a, &m, &got), REFUSED_UNKNOWN_VERSION);
	assert_string_equal(refusal_name(REFUSED_UNKNOWN_VERSION), "unknown-version");
}

static void anothers_name_is_refused(void **state)
{
	struct om_reading r = honest(), got;
	struct admission a = here(&r);
	struct raw_record m = record_of(&r);

	wire.source[12] = wire.source[12] == 'a' ? 'b' : 'a';
	assert_int_equal(admit_reading(&a, &m, &got), REFUSED_FORGED);
	m = record_of(&r);
	wire.key[33] ^= 1; /* another day's register */
	assert_int_equal(admit_reading(&a, &m, &got), REFUSED_FORGED);
	m = record_of(&r);
	m.key_len = 39;
	assert_int_equal(admit_reading(&a, &m, &got), REFUSED_FORGED);
}

static void another_partitions_record_is_no_part_of_this_one(void **state)
{
	struct om_reading r = honest(), got;
	struct admission a = here(&r);
	struct raw_record m = record_of(&r);

	a.partition = (a.partition + 1) % PARTITIONS;
	assert_int_equal(admit_reading(&a, &m, &got), REFUSED_MISPLACED);
	assert_true(got.value.exact == r.value.exact);
}

/* claims.h, which has a test of its own: just below is taken, just above is not, whatever the node tells or leaves out. */
static void more_than_the_devices_can_do_is_impossible(void **state)
{
	struct om_reading r = honest();
	opcount bound = (opcount)r.node.peak_ops_per_s * (48 * 3600 + 1);

	r.value.exact = bound;
	assert_int_equal(admit(&r), ADMITTED);
	r.value.exact = bound + 1;
	assert_int_equal(admit(&r), REFUSED_IMPOSSIBLE);
	r.value.to_ns = UINT64_MAX; /* a clock of its own buys nothing */
	assert_int_equal(admit(&r), REFUSED_IMPOSSIBLE);
	r.node.ledger_start_ns = 1; /* nor does a ledger that is fifty years old, or tells no age */
	assert_int_equal(admit(&r), REFUSED_IMPOSSIBLE);
	r.node.ledger_start_ns = 0;
	assert_int_equal(admit(&r), REFUSED_IMPOSSIBLE);
	r = honest();
	r.node.peak_ops_per_s = UINT64_MAX; /* nor does a peak of its own */
	assert_int_equal(admit(&r), REFUSED_IMPOSSIBLE);
	r.node.device_count = 0; /* of however many devices */
	assert_int_equal(admit(&r), REFUSED_IMPOSSIBLE);
	r = honest();
	r.key.day = DAY + 3;
	assert_int_equal(admit(&r), REFUSED_IMPOSSIBLE);
	r = honest();
	r.node.ledger_start_ns = NOW + 90 * 24 * HOUR;
	assert_int_equal(admit(&r), REFUSED_IMPOSSIBLE);
	r = honest();
	r.node.peak_ops_per_s = 0; /* no peak is known: that of any eight devices there are */
	assert_int_equal(admit(&r), ADMITTED);
	r.value.exact = OPCOUNT_MAX;
	assert_int_equal(admit(&r), REFUSED_IMPOSSIBLE);
}

static enum refusal admit_said(enum om_assignment_kind kind, const char *value, const char *rule, const char *person,
			       const char *key_kind, const struct tenant_names *names)
{
	struct om_reading r = honest();
	struct om_assignment a = { .ledger = r.key.ledger, .job = r.key.job, .kind = kind, .share_low_ppm = 1000000,
				   .share_high_ppm = 1000000, .version = "1" }, got;
	struct admission at = here(&r);
	char key[128], ledger[OM_ID_STRLEN], job[OM_ID_STRLEN], event[2048];
	_cleanup_free_ char *text = NULL;
	struct raw_record m = { .key = key, .value = event };

	snprintf(a.value, sizeof(a.value), "%s", value);
	snprintf(a.rule, sizeof(a.rule), "%s", rule);
	snprintf(a.person, sizeof(a.person), "%s", person);
	text = om_assignment_encode(&a);
	m.key_len = (size_t)snprintf(key, sizeof(key), "%s/%s/%s", om_id_format(&a.ledger, ledger), om_id_format(&a.job, job), key_kind);
	m.value_len = (size_t)snprintf(event, sizeof(event), "{\"specversion\":\"1.0\",\"data\":%s}", text);
	at.tenants = names;
	return admit_assignment(&at, &m, &got);
}

static enum refusal admit_value(enum om_assignment_kind kind, const char *value, const char *key_kind,
				 const struct tenant_names *names)
{
	return admit_said(kind, value, "test", "", key_kind, names);
}

static enum refusal admit_named(const char *tenant, const char *key_kind, const struct tenant_names *names)
{
	return admit_value(OM_ASSIGN_TENANT, tenant, key_kind, names);
}

/* What the reader of totals would not take as a name must not become one. */
static void a_value_must_be_one(void **state)
{
	static const char *const no_model[] = { "", "a/b", "a b", "\xc3\xa4", "a\n" }, *const no_lineage[] = { "", "a\tb", "\x7f", "\n" };

	assert_int_equal(admit_value(OM_ASSIGN_MODEL, "llama-3.1_8B", "model", NULL), ADMITTED);
	for (size_t i = 0; i < ARRAY_SIZE(no_model); i++)
		assert_int_equal(admit_value(OM_ASSIGN_MODEL, no_model[i], "model", NULL), REFUSED_DAMAGED);
	assert_int_equal(admit_value(OM_ASSIGN_LINEAGE, "a run / of \xc3\xa4", "lineage", NULL), ADMITTED);
	for (size_t i = 0; i < ARRAY_SIZE(no_lineage); i++) {
		assert_int_equal(admit_value(OM_ASSIGN_LINEAGE, no_lineage[i], "lineage", NULL), REFUSED_DAMAGED);
		assert_int_equal(admit_value(OM_ASSIGN_FAMILY, no_lineage[i], "family", NULL), REFUSED_DAMAGED);
	}
}

/* That one job serves another is said by the fleet's rule alone. */
static void who_serves_is_not_for_anybody_to_say(void **state)
{
	static const char joined[] = "00112233445566778899aabbccddeeff";

	assert_int_equal(admit_said(OM_ASSIGN_SERVES, joined, OM_RULE_JOINED, "", "serves", NULL), ADMITTED);
	assert_int_equal(admit_said(OM_ASSIGN_SERVES, joined, "test", "", "serves", NULL), REFUSED_DAMAGED);
	assert_int_equal(admit_said(OM_ASSIGN_SERVES, joined, "", "jane", "serves", NULL), REFUSED_DAMAGED);
	assert_int_equal(admit_said(OM_ASSIGN_SERVES, "acme", OM_RULE_JOINED, "", "serves", NULL), REFUSED_DAMAGED);
}

static enum refusal admit_event(const char *data, const char *key, uint32_t partitions, uint32_t partition, struct process_record *ret)
{
	struct admission a = { .partition = partition, .partitions = partitions, .now_ns = 1795500000ULL * 1000000000 };
	char event[8192];
	struct raw_record m = { .key = key, .key_len = strlen(key), .value = event };

	m.value_len = (size_t)snprintf(event, sizeof(event), "{\"specversion\":\"1.0\",\"type\":\"opmeter.process.v1\",\"data\":%s}", data);
	return admit_process(&a, &m, ret);
}

/* What a process does: under its own key, in its place, of a day that has come. */
static void a_process_is_admitted_under_its_own_key(void **state)
{
	static const char key[] = "000102030405060708090a0b0c0d0e0f/a0a1a2a3a4a5a6a7a8a9aaabacadaeaf/c0c1c2c3c4c5c6c7c8c9cacbcccdcecf";
	static struct process_record p;
	_cleanup_free_ char *text = golden_json("process_v1.json");
	char *later;
	struct raw_record m = { .key = key, .key_len = sizeof(key) - 1 };
	struct om_id ledger, job, process;
	uint32_t place;

	assert_int_equal(om_topic_partition(key, sizeof(key) - 1, 7, &place), 0);
	assert_int_equal(admit_event(text, key, 7, place, &p), ADMITTED);
	assert_true(admit_process_key(&m, &ledger, &job, &process));
	assert_true(om_id_equal(&ledger, &p.ledger) && om_id_equal(&job, &p.job) && om_id_equal(&process, &p.process));
	assert_int_equal(admit_event(text, key, 7, (place + 1) % 7, &p), REFUSED_MISPLACED);
	assert_int_equal(admit_event("{}", key, 7, place, &p), REFUSED_DAMAGED);
	assert_int_equal(admit_event("{\"v\":9}", key, 7, place, &p), REFUSED_UNKNOWN_VERSION);
	for (size_t n = 0; n < sizeof(key) - 1; n++) {
		char other[sizeof(key)];

		memcpy(other, key, sizeof(other));
		other[n] = other[n] == '1' ? '2' : '1';
		assert_int_equal(admit_event(text, other, 7, place, &p), REFUSED_FORGED);
		other[n] = '\0';
		m.key = other;
		m.key_len = n;
		assert_false(admit_process_key(&m, &ledger, &job, &process));
	}
	/* One of a day to come would be the latest for ever. */
	later = text;
	memcpy(strstr(later, "\"at\":\"2026-11-23") + 6, "2027-11-23", 10);
	assert_int_equal(admit_event(later, key, 7, place, &p), REFUSED_IMPOSSIBLE);
}

static void a_tenant_must_be_one(void **state)
{
	char path[] = "/tmp/opmeter-tenants-XXXXXX";
	struct tenant_names *names = NULL;
	int fd = mkstemp(path);
	const char text[] = "# ours\nzeta\nacme  # first\n\n";

	assert_int_equal(write(fd, text, sizeof(text) - 1), sizeof(text) - 1);
	close(fd);
	assert_int_equal(tenant_names_load(path, &names), 0);
	unlink(path);
	assert_int_equal(admit_named("acme", "tenant", names), ADMITTED);
	assert_int_equal(admit_named("zeta", "tenant", names), ADMITTED);
	assert_int_equal(admit_named("acm", "tenant", names), REFUSED_NO_SUCH_TENANT);
	assert_int_equal(admit_named("other", "tenant", NULL), ADMITTED);
	assert_int_equal(admit_named("a/b", "tenant", NULL), REFUSED_NO_SUCH_TENANT);
	assert_int_equal(admit_named("", "tenant", NULL), REFUSED_NO_SUCH_TENANT);
	assert_int_equal(admit_named("acme", "phase", names), REFUSED_FORGED);
	assert_int_equal(admit_named("acme", "tenant/0/rule", names), ADMITTED);
	assert_int_equal(admit_named("acme", "tenant/0/person", names), REFUSED_FORGED);
	assert_int_equal(admit_named("acme", "tenant/1/rule", names), REFUSED_FORGED);
	tenant_names_free(names);
	assert_true(tenant_names_load("/nonexistent/tenants", &names) < 0);
}

static void a_map_keeps_what_is_put_and_not_taken(void **state)
{
	struct key_map m = { 0 };
	char key[16];

	for (int i = 0; i < 1000; i++) {
		struct key_node *n = calloc(1, sizeof(*n));

		snprintf(key, sizeof(key), "key-%d", i);
		assert_null(key_map_find(&m, key, strlen(key)));
		assert_int_equal(key_map_add(&m, n, key, strlen(key)), 0);
	}
	for (int i = 0; i < 1000; i += 2) {
		struct key_node *n;

		snprintf(key, sizeof(key), "key-%d", i);
		n = key_map_find(&m, key, strlen(key));
		assert_non_null(n);
		key_map_remove(&m, n);
		free(n);
	}
	assert_int_equal(m.count, 500);
	for (int i = 0; i < 1000; i++) {
		snprintf(key, sizeof(key), "key-%d", i);
		assert_true(!key_map_find(&m, key, strlen(key)) == (i % 2 == 0));
	}
	key_map_done(&m, (void (*)(struct key_node *))free);
}

/* A writer of totals, as publish.c writes them. */
static void put_total(struct view *v, uint32_t partition, struct epoch e, const char *tenant, opcount low, bool is_there)
{
	struct om_subject_total s = { .tenant = tenant, .model = "m", .lineage = "", .registers = 1, .training_low = low,
				      .training_high = low, .training_ceiling = low, .is_bounded = true };
	char key[OM_TOTAL_KEY_MAX];
	_cleanup_free_ char *text = om_total_encode(&s, partition);
	struct view_record m = { .key = key, .epoch = e, .partition = partition };

	assert_int_equal(om_total_key("f", partition, &s, key), 0);
	m.key_len = strlen(key);
	m.value = is_there ? text : NULL;
	m.value_len = is_there ? strlen(text) : 0;
	assert_int_equal(view_take(v, &m), 0);
}

static void put_head(struct view *v, uint32_t partition, struct epoch e, unsigned round, unsigned subjects)
{
	char key[32], text[200];
	struct view_record m = { .key = key, .value = text, .epoch = e, .partition = partition };

	m.key_len = (size_t)snprintf(key, sizeof(key), "f/%u", (unsigned)partition);
	m.value_len = (size_t)snprintf(text, sizeof(text),
				       "{\"v\":2,\"group\":\"head\",\"round\":\"%u\",\"subjects\":\"%u\",\"refused\":{\"damaged\":{\"count\":\"2\","
				       "\"last_ms\":\"5\"}},\"as_of\":\"2026-11-29T00:00:00Z\"}",
				       round, subjects);
	assert_int_equal(view_take(v, &m), 0);
}

static struct wanted {
	const char *tenant;
	opcount low;
} wanted;

static int look(void *ctx, const struct om_subject_total *s)
{
	struct wanted *w = ctx;

	if (!strcmp(s->tenant, w->tenant))
		w->low += s->training_low;
	return 0;
}

static opcount sum_of(struct view *v, const char *tenant)
{
	wanted = (struct wanted){ tenant, 0 };
	assert_int_equal(view_each(v, OM_GROUP_MODEL, look, &wanted), 0);
	return wanted.low;
}

static const struct epoch first = { 1, 7 }, second = { 2, 3 };

static void a_round_counts_when_its_head_comes(void **state)
{
	struct view *v = view_new("f", 2);

	put_total(v, 0, first, "acme", 5, true);
	assert_true(sum_of(v, "acme") == 0);
	assert_false(view_is_whole(v));
	put_head(v, 0, first, 1, 1);
	assert_true(sum_of(v, "acme") == 5);
	assert_false(view_is_whole(v)); /* the other partition has said nothing */
	put_head(v, 1, first, 1, 0);
	assert_true(view_is_whole(v));
	assert_int_equal(view_head(v, 0)->refused[REFUSED_DAMAGED].count, 2);
	/* Work that moves from one tenant to another is never seen at both, nor at none. */
	put_total(v, 0, first, "acme", 5, false);
	put_total(v, 0, first, "zeta", 5, true);
	assert_true(sum_of(v, "acme") == 5 && sum_of(v, "zeta") == 0);
	put_head(v, 0, first, 2, 1);
	assert_true(sum_of(v, "acme") == 0 && sum_of(v, "zeta") == 5);
	view_free(v);
}

static void partitions_add_up(void **state)
{
	struct view *v = view_new("f", 2);

	put_total(v, 0, first, "acme", 5, true);
	put_total(v, 1, second, "acme", 6, true);
	put_head(v, 0, first, 1, 1);
	put_head(v, 1, second, 1, 1);
	assert_true(view_is_whole(v) && sum_of(v, "acme") == 11);
	view_free(v);
}

/* A frozen writer wakes up: what it writes changes nothing, and what it wrote over is missed until the owner mends it. */
/* A golden record as a writer of its version writes it. */
static void put_golden(struct view *v, uint32_t partition, const char *path)
{
	_cleanup_(json_decrefp) json_t *o = json_load_file(path, 0, NULL);
	_cleanup_free_ char *text = NULL;
	char key[64];
	struct view_record m = { .key = key, .epoch = first, .partition = partition };

	assert_non_null(o);
	json_object_set_new(o, "partition", json_integer(partition));
	text = json_dumps(o, JSON_COMPACT);
	m.key_len = (size_t)snprintf(key, sizeof(key), "f/%u/model/acme/lm-7b", (unsigned)partition);
	m.value = text;
	m.value_len = strlen(text);
	assert_int_equal(view_take(v, &m), 0);
	put_head(v, partition, first, 1, 1);
}

static int keep_total(void *ctx, const struct om_subject_total *s)
{
	*(struct om_subject_total *)ctx = *s;
	for (size_t i = 0; i < s->until_count; i++)
		assert_true(s->until[i].is_wide);
	return 0;
}

/* Aggregators of an earlier and of this version at one topic. What the earlier ones do not tell stays unknown. */
static void partitions_of_two_versions_add_up(void **state)
{
	struct view *v = view_new("f", 3);
	struct om_subject_total s = { 0 };

	put_golden(v, 0, "tests/golden/total_v1.json");
	put_golden(v, 1, "tests/golden/total_v2.json");
	put_golden(v, 2, "tests/golden/total_v3.json");
	assert_true(view_is_whole(v));
	assert_int_equal(view_each(v, OM_GROUP_MODEL, keep_total, &s), 0);
	assert_true(s.training_low / 3 == (opcount)10000000000000 * 10000000000000);
	assert_true(s.is_older);
	assert_int_equal(s.first_day, 0); /* a part may have begun before */
	assert_int_equal(s.gap_days, 14);
	assert_true(s.executed_low > 0 && s.executed_high > s.training_high);
	assert_true(s.suspected > 0);
	view_free(v);
}

/* One of a version to come: what it counts is not known here, so nothing is judged. */
static void a_partition_of_a_later_version_is_waited_for(void **state)
{
	struct view *v = view_new("f", 1);
	static const char key[] = "f/0/model/a/m", text[] = "{\"v\":4,\"partition\":0}";
	struct view_record m = { .key = key, .value = text, .key_len = sizeof(key) - 1, .value_len = sizeof(text) - 1, .epoch = first };

	assert_int_equal(view_take(v, &m), 0);
	put_head(v, 0, first, 1, 1);
	assert_false(view_is_whole(v));
	view_free(v);
}

static void a_zombie_is_ignored(void **state)
{
	struct view *v = view_new("f", 1), *later = view_new("f", 1);

	put_total(v, 0, first, "acme", 5, true);
	put_head(v, 0, first, 1, 1);
	put_total(v, 0, second, "acme", 9, true);
	put_head(v, 0, second, 1, 1);
	assert_true(sum_of(v, "acme") == 9);
	put_total(v, 0, first, "acme", 6, true);
	put_head(v, 0, first, 2, 1);
	assert_true(view_is_whole(v) && sum_of(v, "acme") == 9);
	/* One who reads the compacted topic now finds the zombie's record in the place of the owner's: not whole. */
	put_total(later, 0, first, "acme", 6, true);
	put_head(later, 0, second, 1, 1);
	assert_false(view_is_whole(later));
	put_total(later, 0, second, "acme", 9, true);
	put_head(later, 0, second, 2, 1);
	assert_true(view_is_whole(later) && sum_of(later, "acme") == 9);
	view_free(v);
	view_free(later);
}

static void what_the_last_owner_left_goes_with_it(void **state)
{
	struct view *v = view_new("f", 1);

	put_total(v, 0, first, "acme", 5, true);
	put_total(v, 0, first, "gone", 4, true);
	put_head(v, 0, first, 1, 2);
	put_total(v, 0, second, "acme", 5, true);
	put_head(v, 0, second, 1, 1);
	assert_true(view_is_whole(v) && sum_of(v, "gone") == 0 && sum_of(v, "acme") == 5);
	view_free(v);
}

static void noise_on_the_totals_topic_moves_nothing(void **state)
{
	static const char *const keys[] = { "", "f", "f/", "f/x", "f/2", "f/99999999999999999999", "g/0", "f/0/model/a/m", "ff/0" };
	struct view *v = view_new("f", 1);

	put_total(v, 0, first, "acme", 5, true);
	put_head(v, 0, first, 1, 1);
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		static const char *const values[] = { "", "{", "[]", "{\"v\":9}", "{\"v\":2}", "null", NULL };

		for (size_t k = 0; k < ARRAY_SIZE(values); k++) {
			struct view_record m = { keys[i], values[k], strlen(keys[i]), values[k] ? strlen(values[k]) : 0, first, 0 };

			assert_int_equal(view_take(v, &m), 0);
		}
	}
	assert_true(sum_of(v, "acme") == 5);
	view_free(v);
}

static void a_record_in_anothers_partition_is_none(void **state)
{
	static const char text[] = "{\"v\":2,\"group\":\"head\",\"round\":\"1\",\"subjects\":\"0\",\"as_of\":\"2026-11-29T00:00:00Z\"}";
	struct view *v = view_new("f", 2);
	struct view_record m = { "f/1", text, 3, sizeof(text) - 1, second, 0 };

	put_head(v, 0, first, 1, 0);
	assert_int_equal(view_take(v, &m), 0);
	assert_false(view_is_whole(v));
	m.partition = 1;
	assert_int_equal(view_take(v, &m), 0);
	assert_true(view_is_whole(v));
	view_free(v);
}

static struct epoch parsed(const char *text)
{
	return epoch_parse(text, strlen(text), NOW);
}

/* There is always room for one above whatever may stand there. */
static void an_epoch_that_could_wrap_is_none(void **state)
{
	static const char *const none[] = { "", "1", "1.", ".0000000000000007", "1.0000000000000007x", "1.7", "-1.0000000000000007",
					    " 1.0000000000000007", "+1.0000000000000007", "1.0x00000000000007", "1.000000000000000g",
					    "4611686018427387904.0000000000000007", "18446744073709551615.0000000000000007",
					    "99999999999999999999999.0000000000000007", "00000000000000000000000000000000001.0000000000000007" };
	struct epoch e = { 77, 0xabcdef };
	char text[EPOCH_STRLEN];

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_int_equal(parsed(none[i]).number, 0);
	epoch_format(e, text);
	assert_int_equal(epoch_compare(parsed(text), e), 0);
	e.number = epoch_max(NOW);
	epoch_format(e, text);
	assert_true(parsed(text).number == e.number);
	assert_true(epoch_parse(text, strlen(text), NOW - 1000000).number == 0);
}

/* What a part publishes, straight into the view of a reader. Records above a size are refused, as librdkafka does. */
struct reader {
	struct om_exporter base;
	struct view *view;
	size_t room, records, heads, largest;
	struct om_total_record last;
};

static int reader_send(struct om_exporter *e, const struct om_event *ev)
{
	struct reader *r = (struct reader *)e;
	struct view_record m = { ev->key, ev->value, ev->key_len, ev->value_len, { 0 }, ev->partition_plus_1 - 1 };

	if (ev->value_len > r->room)
		return -EMSGSIZE;
	assert_string_equal(ev->headers[0], HEADER_EPOCH);
	m.epoch = parsed(ev->headers[1]);
	r->records++;
	r->largest = ev->value_len > r->largest ? ev->value_len : r->largest;
	r->heads += ev->key_len == strlen("f/0");
	if (ev->value && strstr(ev->value, "\"group\":\"lineage\"")) {
		om_total_record_done(&r->last);
		assert_int_equal(om_total_decode(ev->value, ev->value_len, &r->last), 0);
	}
	return view_take(r->view, &m);
}

static int reader_poll(struct om_exporter *e, int timeout_ms)
{
	return 0;
}

static const struct om_exporter_ops reader_ops = { .name = "reader", .send = reader_send, .poll = reader_poll };

struct bench {
	struct fleet_config config;
	struct fleet fleet;
	struct reader reader;
};

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));

	b->config = (struct fleet_config){ .name = "f", .registers_max = 10000 };
	b->fleet.config = &b->config;
	b->fleet.partitions = 1;
	b->fleet.me.instance = 7;
	b->reader = (struct reader){ .base.ops = &reader_ops, .view = view_new("f", 1), .room = 1000000 };
	b->fleet.producer = &b->reader.base;
	b->fleet.parts[0] = part_new(&b->fleet, 0);
	return b;
}

static void bench_free(struct bench *b)
{
	part_free(b->fleet.parts[0]);
	view_free(b->reader.view);
	om_total_record_done(&b->reader.last);
	free(b);
}

static void assign(struct part *p, const struct om_reading *r, enum om_assignment_kind kind, const char *value)
{
	struct om_assignment a = { .ledger = r->key.ledger, .job = r->key.job, .kind = kind, .share_low_ppm = 1000000,
				   .share_high_ppm = 1000000, .rule = "test", .version = "1", .at_ns = 1 };

	snprintf(a.value, sizeof(a.value), "%s", value);
	assert_int_equal(om_totals_assign(p->totals, &a), 0);
}

static void work(struct part *p, unsigned job, const char *tenant, const char *lineage)
{
	struct om_reading r = honest();

	r.key.job.byte[0] = (uint8_t)(job >> 8);
	r.key.job.byte[1] = (uint8_t)job;
	r.value.exact += job;
	assert_int_equal(om_totals_put(p->totals, &r), 0);
	assign(p, &r, OM_ASSIGN_TENANT, tenant);
	assign(p, &r, OM_ASSIGN_MODEL, "m");
	assign(p, &r, OM_ASSIGN_PHASE, "training");
	if (lineage)
		assign(p, &r, OM_ASSIGN_LINEAGE, lineage);
	p->is_changed = true;
}

/* Another instance wrote and went; what vanished meanwhile is taken back in the first round of the new epoch, too. */
static void what_vanished_is_retracted_in_a_new_epoch(void **state)
{
	struct bench *b = bench_new();
	struct part *p = b->fleet.parts[0];

	work(p, 0, "acme", NULL);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_true(view_is_whole(b->reader.view) && sum_of(b->reader.view, "acme") > 0);
	om_totals_free(p->totals);
	p->totals = om_totals_new(100);
	work(p, 1, "zeta", NULL);
	p->highest = (struct epoch){ 9, 1 };
	p->is_full = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(p->epoch.number, 10);
	assert_int_equal(view_head(b->reader.view, 0)->subjects, 1);
	assert_true(view_is_whole(b->reader.view));
	assert_true(sum_of(b->reader.view, "acme") == 0 && sum_of(b->reader.view, "zeta") > 0);
	bench_free(b);
}

static void who_sees_a_successor_asks_the_group_before_it_writes(void **state)
{
	struct bench *b = bench_new();
	struct part *p = b->fleet.parts[0];

	work(p, 0, "acme", NULL);
	p->highest = (struct epoch){ 3, 1 };
	p->sees_successor = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(b->reader.records, 0);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(b->reader.heads, 1);
	/* One who goes on writing above us is yielded to once, not for ever. */
	p->is_changed = p->sees_successor = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	p->sees_successor = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(b->reader.heads, 2);
	/* Whoever forges the highest epoch there can be is behind us a moment later. */
	p->highest = (struct epoch){ epoch_max(fleet_now_ns(CLOCK_REALTIME)) - EPOCH_MARGIN + 500, UINT64_MAX };
	p->is_changed = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(b->reader.heads, 2);
	assert_true(p->is_changed);
	nanosleep(&(struct timespec){ .tv_nsec = 600000000 }, NULL);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_true(p->epoch.number == p->highest.number + 1 && !p->is_changed);
	bench_free(b);
}

/* An epoch that was none when it was read is one to other readers soon: as soon as it is, we are above it. */
static void an_epoch_to_come_is_looked_at_again(void **state)
{
	struct bench *b = bench_new();
	struct part *p = b->fleet.parts[0];
	uint64_t now = fleet_now_ns(CLOCK_REALTIME);

	work(p, 0, "acme", NULL);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	p->future = epoch_max(now) + 3600000;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(b->reader.heads, 1);
	p->future = epoch_max(now) - EPOCH_MARGIN - 1;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	nanosleep(&(struct timespec){ .tv_nsec = 10000000 }, NULL);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(b->reader.heads, 2);
	assert_true(p->future == 0 && p->epoch.number == epoch_max(now) - EPOCH_MARGIN);
	bench_free(b);
}

/* A record of our partition of the totals topic, under an epoch. */
static void comes_back(struct bench *b, struct epoch e)
{
	union {
		rd_kafka_message_t m;
		uint8_t with_what_the_library_keeps[4096];
	} u;
	rd_kafka_headers_t *headers = rd_kafka_headers_new(1);
	char text[EPOCH_STRLEN];

	memset(&u, 0, sizeof(u));
	u.m = (rd_kafka_message_t){ .key = "f/0", .key_len = 3, .payload = "{}", .len = 2 };
	epoch_format(e, text);
	rd_kafka_header_add(headers, HEADER_EPOCH, -1, text, -1);
	rd_kafka_message_set_headers(&u.m, headers);
	publish_take_total(&b->fleet, b->fleet.parts[0], &u.m);
	rd_kafka_headers_destroy(headers);
}

/* Whoever can write to the topic can copy our epoch from it: one record more than we sent, and all is written above it. */
static void a_record_under_our_own_epoch_is_found(void **state)
{
	for (int forged_first = 0; forged_first < 2; forged_first++) {
		struct bench *b = bench_new();
		struct part *p = b->fleet.parts[0];
		struct epoch own;
		uint64_t sent;

		work(p, 0, "acme", NULL);
		assert_int_equal(publish_part(&b->fleet, p), 0);
		own = p->epoch;
		sent = b->reader.records;
		assert_true(own.number > 0 && sent >= 2 && p->own_sent == sent);
		if (forged_first)
			comes_back(b, own);
		for (uint64_t i = forged_first; i < sent; i++)
			comes_back(b, own);
		assert_true(epoch_compare(p->epoch, own) == 0 && !p->is_changed && !p->is_full);
		comes_back(b, own);
		assert_true(p->epoch.number == 0 && p->is_changed && p->is_full);
		assert_int_equal(publish_part(&b->fleet, p), 0);
		assert_true(epoch_compare(p->epoch, own) > 0);
		assert_int_equal(b->reader.heads, 2);
		assert_true(view_is_whole(b->reader.view) && sum_of(b->reader.view, "acme") > 0);
		/* What comes back of the new epoch is ours again. */
		comes_back(b, p->epoch);
		assert_false(p->is_full);
		bench_free(b);
	}
}

static void a_lineage_of_too_many_tenants_names_the_largest(void **state)
{
	struct bench *b = bench_new();
	struct part *p = b->fleet.parts[0];
	const struct om_subject_total *t = &b->reader.last.total;
	bool has_largest = false;

	for (unsigned i = 0; i < 40; i++) {
		char tenant[24];

		snprintf(tenant, sizeof(tenant), "tenant-%02u", i);
		work(p, i, tenant, "l");
	}
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(t->member_count, 40);
	assert_int_equal(t->members_cut, 0);
	b->reader.room = 2500;
	p->is_full = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_true(t->member_count > 0 && t->member_count < 40);
	assert_int_equal(t->member_count + t->members_cut, 40);
	assert_int_equal(t->registers, 40);
	for (size_t i = 0; i < t->member_count; i++) {
		has_largest |= !strcmp(t->members[i].tenant, "tenant-39");
		assert_true(i == 0 || strcmp(t->members[i - 1].tenant, t->members[i].tenant) < 0);
	}
	assert_true(has_largest && view_is_whole(b->reader.view));
	assert_int_equal(p->left_out, 0);
	bench_free(b);
}

static void a_total_that_no_record_holds_is_left_out_and_counted(void **state)
{
	struct bench *b = bench_new();
	struct part *p = b->fleet.parts[0];
	char name[120];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	work(p, 0, "acme", NULL);
	work(p, 1, name, NULL);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(view_head(b->reader.view, 0)->subjects, 2);
	b->reader.room = b->reader.largest - 1;
	p->is_full = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(p->left_out, 1);
	assert_int_equal(view_head(b->reader.view, 0)->subjects, 1);
	assert_true(view_is_whole(b->reader.view) && sum_of(b->reader.view, name) == 0 && sum_of(b->reader.view, "acme") > 0);
	bench_free(b);
}

/* What the judge says of a view, by cause. */
static struct said {
	char cause[64], subject[64], occasion[64];
	struct om_id id;
} said[8];
static size_t said_count;

static int keep_said(void *ctx, const struct alert *a)
{
	json_t *o = json_loads(a->data, 0, NULL);
	struct said *s = &said[said_count];

	assert_non_null(o);
	if (json_object_get(o, "cause")) {
		assert_true(++said_count < ARRAY_SIZE(said));
		snprintf(s->cause, sizeof(s->cause), "%s", json_string_value(json_object_get(o, "cause")));
		snprintf(s->occasion, sizeof(s->occasion), "%s", json_string_value(json_object_get(o, "occasion")));
		snprintf(s->subject, sizeof(s->subject), "%s", a->subject);
		s->id = a->id;
	}
	json_decref(o);
	return 0;
}

static struct findings judge_of(struct bench *b)
{
	said_count = 0;
	return (struct findings){ .fleet = &b->fleet, .view = b->reader.view, .emit = keep_said, .policy = { .source = "/opmeter/f", .now_ns = NOW } };
}

static void what_is_left_out_or_goes_back_is_said_once_a_day(void **state)
{
	struct bench *b = bench_new();
	struct part *p = b->fleet.parts[0];
	struct findings f;
	struct om_id first_id;

	/* A total that is larger than the head, which must fit. */
	work(p, 0, "acme-of-a-name-that-is-as-long-as-a-name-may-well-be-and-then-some-more-of-it-to-be-certain-of-it-here-0123456789", NULL);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	f = judge_of(b);
	assert_int_equal(findings_losses(&f), 0);
	assert_int_equal(said_count, 0);
	p->regressions = 3;
	p->regressed_ms = NOW / 1000000;
	b->reader.room = b->reader.largest - 1;
	p->is_changed = p->is_full = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(p->left_out, 1);
	f = judge_of(b);
	assert_int_equal(findings_losses(&f), 0);
	assert_int_equal(said_count, 2);
	assert_string_equal(said[0].cause, "regression");
	assert_string_equal(said[0].occasion, "regression/2026-11-24");
	assert_string_equal(said[0].subject, "partition/0");
	assert_string_equal(said[1].cause, "left-out");
	assert_int_equal(view_head(f.view, 0)->lost_words.count + view_head(f.view, 0)->refused_by_broker.count, 0);
	first_id = said[0].id;
	/* More of them on the same day, by whichever judge: the same alert; a day later another one. */
	p->regressions = 4;
	p->regressed_ms += 3600000;
	p->is_changed = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	f = judge_of(b);
	assert_int_equal(findings_losses(&f), 0);
	assert_true(om_id_equal(&said[0].id, &first_id));
	p->regressed_ms += 86400000;
	p->is_changed = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	f = judge_of(b);
	assert_int_equal(findings_losses(&f), 0);
	assert_false(om_id_equal(&said[0].id, &first_id));
	/* What the heads have of the instance and of assignments. */
	p->words.lost = 2;
	p->words.lost_ms = b->fleet.refused_by_broker_ms = p->regressed_ms;
	b->fleet.refused_by_broker = 7;
	b->fleet.unsent = 5;
	b->fleet.settings_unchecked = true;
	p->is_changed = true;
	assert_int_equal(publish_part(&b->fleet, p), 0);
	f = judge_of(b);
	assert_int_equal(findings_losses(&f), 0);
	assert_int_equal(said_count, 4);
	assert_string_equal(said[2].cause, "assignment-lost");
	assert_string_equal(said[3].cause, "refused-by-broker");
	assert_string_equal(said[3].subject, "instance/0000000000000007");
	assert_true(view_head(f.view, 0)->unsent == 5 && view_head(f.view, 0)->settings_unchecked);
	bench_free(b);
}

static void overclaimed(struct bench *b, unsigned nodes)
{
	for (unsigned i = 0; i < nodes; i++) {
		struct om_reading r = honest();

		r.key.ledger.byte[0] = (uint8_t)i;
		assert_int_equal(claims_add(&b->fleet.parts[0]->claims, &r, OPCOUNT_MAX, NOW), 1);
	}
	b->fleet.parts[0]->is_changed = true;
	assert_int_equal(publish_part(&b->fleet, b->fleet.parts[0]), 0);
}

static void nodes_that_claim_too_much_in_a_day_are_named(void **state)
{
	struct bench *b = bench_new();
	struct findings f;

	overclaimed(b, 1);
	f = judge_of(b);
	assert_int_equal(findings_overclaims(&f), 0);
	assert_int_equal(said_count, 1);
	assert_string_equal(said[0].cause, "overclaimed");
	assert_string_equal(said[0].subject, "/opmeter/005a5a5a5a5a5a5a5a5a5a5a5a5a5a5a");
	assert_int_equal(view_head(b->reader.view, 0)->overclaims, 1);
	bench_free(b);
	b = bench_new();
	overclaimed(b, CLAIMS_NAMED + 3);
	assert_int_equal(view_head(b->reader.view, 0)->overclaims, CLAIMS_NAMED + 3);
	assert_int_equal(view_head(b->reader.view, 0)->overclaimed_count, CLAIMS_NAMED);
	bench_free(b);
}

/* Two jobs of one holder, on its devices: what neither is asked for. `part`: percent of what was executed. */
static void execute(struct part *p, unsigned job, const char *tenant, opcount asked, opcount executed)
{
	struct om_reading r = honest();

	r.key.job.byte[1] = (uint8_t)job;
	r.value.exact = asked;
	assert_int_equal(om_totals_put(p->totals, &r), 0);
	r.key.meter = OM_METER_DEVICE;
	r.key.format = OM_FORMAT_UNKNOWN;
	r.value.exact = 0;
	r.value.low = r.value.high = executed;
	assert_int_equal(om_totals_put(p->totals, &r), 0);
	assign(p, &r, OM_ASSIGN_TENANT, tenant);
	assign(p, &r, OM_ASSIGN_MODEL, job % 2 ? "odd" : "even");
	p->is_changed = true;
}

/* Through registers, reconciliation, records and the reader's view: by who holds the devices, over all its models. */
static void work_that_no_meter_explains_is_said_of_its_holder(void **state)
{
	struct bench *b = bench_new();
	struct part *p = b->fleet.parts[0];
	struct error_text err = { 0 };
	struct findings f;

	assert_int_equal(regimes_load("tests/demo/regimes", &b->fleet.law.regimes, &err), 0);
	execute(p, 1, "birch", 1000000, 1100000); /* padding is explained */
	execute(p, 2, "acme", 1000000, 1000000);
	execute(p, 3, "acme", 1, 900000000);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	f = judge_of(b);
	f.policy.regimes = b->fleet.law.regimes;
	f.nodes = &(struct key_map){ 0 };
	assert_int_equal(findings_totals(&f), 0);
	assert_int_equal(said_count, 1);
	assert_string_equal(said[0].cause, "unattributed");
	assert_string_equal(said[0].subject, "acme");
	regimes_free(b->fleet.law.regimes);
	bench_free(b);
}

static void what_the_broker_lost_is_written_again(void **state)
{
	struct bench *b = bench_new();
	struct part *p = b->fleet.parts[0];
	size_t records;

	work(p, 0, "acme", NULL);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	records = b->reader.records;
	fleet_acked(&b->fleet, 0, 0);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(b->reader.records, records);
	fleet_acked(&b->fleet, 0, -EIO);
	assert_int_equal(publish_part(&b->fleet, p), 0);
	assert_int_equal(b->reader.records, 2 * records);
	assert_true(b->fleet.acked == 1 && b->fleet.failed == 1);
	bench_free(b);
}

static void an_end_that_is_told_twice_is_one_end(void **state)
{
	rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(3);

	rd_kafka_topic_partition_list_add(list, "a", 0);
	rd_kafka_topic_partition_list_add(list, "a", 1);
	rd_kafka_topic_partition_list_add(list, "b", 0);
	assert_true(om_kafka_ended(list, "a", 0));
	assert_false(om_kafka_ended(list, "a", 0));
	assert_false(om_kafka_ended(list, "c", 0));
	assert_false(om_kafka_ended(list, "a", 2));
	assert_true(om_kafka_ended(list, "b", 0));
	assert_true(om_kafka_ended(list, "a", 1));
	assert_false(om_kafka_ended(list, "b", 0));
	rd_kafka_topic_partition_list_destroy(list);
}

#define SECOND 1000000000ULL

static int beat(struct key_map *nodes, const char *source, const char *interval, uint64_t sent_ns, uint64_t seen_ns)
{
	char text[256];
	json_t *o;
	int r;

	snprintf(text, sizeof(text), "{\"source\":\"%s\",\"data\":{\"interval_s\":%s,\"peak_ops_per_s\":\"5\"}}", source, interval);
	o = json_loads(text, 0, NULL);
	r = nodes_take(nodes, 2, o, sent_ns, seen_ns);
	json_decref(o);
	return r;
}

#define NODE(x) "/opmeter/0000000000000000000000000000000" x

static void only_nodes_have_heartbeats_and_only_so_many(void **state)
{
	static const char *const none[] = { "", "/opmeter/", "/opmeter/fleet", NODE("g"), NODE("A"), NODE("00"), "x" NODE("1") };
	struct key_map nodes = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(none); i++)
		assert_int_equal(beat(&nodes, none[i], "60", NOW, NOW), 1);
	assert_int_equal(beat(&nodes, NODE("1"), "0", NOW, NOW), 1);
	assert_int_equal(beat(&nodes, NODE("1"), "-5", NOW, NOW), 1);
	assert_int_equal(beat(&nodes, NODE("1"), "9223372036854775807", NOW, NOW), 1);
	assert_int_equal(beat(&nodes, NODE("1"), "\"60\"", NOW, NOW), 1);
	assert_int_equal(nodes_take(&nodes, 2, NULL, NOW, NOW), 1);
	assert_int_equal(nodes.count, 0);
	assert_int_equal(beat(&nodes, NODE("1"), "60", NOW, NOW), 0);
	assert_int_equal(beat(&nodes, NODE("2"), "60", NOW, NOW), 0);
	assert_int_equal(beat(&nodes, NODE("3"), "60", NOW, NOW), 1);
	assert_int_equal(beat(&nodes, NODE("1"), "60", NOW, NOW), 0); /* one that is known is heard on */
	nodes_done(&nodes);
}

static int keep_id(void *ctx, const struct alert *a)
{
	*(struct om_id *)ctx = a->id;
	return 0;
}

static struct om_id silence(struct key_map *nodes, uint64_t now_ns)
{
	struct om_id id = { { 0 } };
	struct findings f = { .emit = keep_id, .ctx = &id, .nodes = nodes, .policy = { .source = "/opmeter/f", .now_ns = now_ns } };

	assert_int_equal(findings_silence(&f), 0);
	return id;
}

/* One judge saw the heartbeat come, the next one reads it an hour later: the same silence, the same alert. */
static void a_silence_is_one_alert_whoever_judges(void **state)
{
	struct key_map watched = { 0 }, read_later = { 0 };
	struct om_id none = { { 0 } }, a, b;

	assert_int_equal(beat(&watched, NODE("1"), "60", NOW, NOW + 7 * SECOND), 0);
	assert_int_equal(beat(&read_later, NODE("1"), "60", NOW, NOW), 0);
	a = silence(&watched, NOW + 186 * SECOND);
	assert_true(om_id_equal(&a, &none)); /* three intervals are counted from when it came */
	a = silence(&watched, NOW + 188 * SECOND);
	b = silence(&read_later, NOW + 3600 * SECOND);
	assert_false(om_id_equal(&a, &none));
	assert_true(om_id_equal(&a, &b));
	/* It came back and fell silent again: that is another one. */
	assert_int_equal(beat(&watched, NODE("1"), "60", NOW + 300 * SECOND, NOW + 300 * SECOND), 0);
	b = silence(&watched, NOW + 600 * SECOND);
	assert_false(om_id_equal(&a, &b) || om_id_equal(&b, &none));
	nodes_done(&watched);
	nodes_done(&read_later);
}

static int beat_of(struct key_map *nodes, const char *source, const char *data, uint64_t now_ns)
{
	char text[512];
	json_t *o;
	int r;

	snprintf(text, sizeof(text), "{\"source\":\"%s\",\"data\":{\"interval_s\":60%s}}", source, data);
	o = json_loads(text, 0, NULL);
	assert_non_null(o);
	r = nodes_take(nodes, 10, o, now_ns, now_ns);
	json_decref(o);
	return r;
}

static opcount ceiling_of(struct key_map *nodes, const char *tenant, uint64_t now_ns, bool *ret_bounded)
{
	struct om_subject_total t = { .group = OM_GROUP_MODEL, .tenant = tenant, .all_ceiling = 7, .training_ceiling = 7, .is_bounded = true };
	struct silence *s = silence_new(nodes, now_ns);

	assert_non_null(s);
	silence_widen(s, &t);
	silence_free(s);
	assert_true(t.all_ceiling == t.training_ceiling && t.all_high == 0);
	if (ret_bounded)
		*ret_bounded = t.is_bounded;
	return t.all_ceiling;
}

/* Nobody knows whose it was: each tenant that ran there is given all of it, and nobody else anything. */
static void silence_is_in_the_ceilings_of_who_ran_there(void **state)
{
	struct om_member members[] = { { .tenant = "acme" }, { .tenant = "birch" }, { .tenant = "cedar" } };
	struct om_subject_total lineage = { .group = OM_GROUP_LINEAGE, .members = members, .member_count = 3 };
	struct om_subject_total dogwood = { .group = OM_GROUP_MODEL, .tenant = "dogwood" }, elm = { .group = OM_GROUP_MODEL, .tenant = "elm" };
	struct key_map nodes = { 0 };
	struct silence_told told;
	json_t *total = json_object();
	struct silence *s;
	bool bounded;

	assert_int_equal(beat_of(&nodes, NODE("1"), ",\"peak_ops_per_s\":\"5\",\"tenants\":[\"acme\",\"birch\"]", NOW), 0);
	assert_int_equal(beat_of(&nodes, NODE("2"), ",\"peak_ops_per_s\":\"3\",\"tenants\":[\"acme\",7,\"\"]", NOW), 0);
	assert_int_equal(beat_of(&nodes, NODE("3"), ",\"tenants\":[\"dogwood\"],\"tenants_more\":true", NOW), 0);
	assert_int_equal(beat_of(&nodes, NODE("4"), ",\"peak_ops_per_s\":\"2\"", NOW), 0);
	assert_true(ceiling_of(&nodes, "acme", NOW + 180 * SECOND, NULL) == 7); /* not silent yet */
	assert_true(ceiling_of(&nodes, "acme", NOW + 200 * SECOND, &bounded) == 7 + 200 * (5 + 3) && bounded);
	assert_true(ceiling_of(&nodes, "birch", NOW + 200 * SECOND, NULL) == 7 + 200 * 5);
	assert_true(ceiling_of(&nodes, "cedar", NOW + 200 * SECOND, NULL) == 7);
	/* A node whose peak is not known bounds nothing; what is not named, or is no name, is nobody known's. */
	assert_true(ceiling_of(&nodes, "dogwood", NOW + 200 * SECOND, &bounded) == 7 && !bounded);
	assert_true(ceiling_of(&nodes, "unknown", NOW + 200 * SECOND, &bounded) == 7 + 200 * (3 + 2) && !bounded);
	s = silence_new(&nodes, NOW + 200 * SECOND);
	silence_widen(s, &lineage);
	assert_true(silence_tell(s, &lineage, &told) && told.nodes == 3 && told.since_ns == NOW && !told.is_unbounded);
	assert_true(told.most == 200 * (5 + 3) + 200 * 5);
	assert_true(silence_tell(s, &dogwood, &told) && told.nodes == 1 && told.most == 0 && told.is_unbounded);
	assert_int_equal(silence_put(s, &elm, total), 0);
	assert_int_equal(json_object_size(total), 0);
	assert_int_equal(silence_put(s, &dogwood, total), 0);
	assert_true(json_is_false(json_object_get(json_object_get(total, "silent"), "bounded")));
	json_decref(total);
	silence_free(s);
	assert_true(lineage.training_ceiling == 200 * (5 + 3) + 200 * 5);
	/* It is heard again; another one is gone for good. */
	assert_int_equal(beat_of(&nodes, NODE("1"), ",\"peak_ops_per_s\":\"5\",\"tenants\":[]", NOW + 199 * SECOND), 0);
	assert_int_equal(beat_of(&nodes, NODE("2"), ",\"retired\":{\"person\":\"x\",\"reason\":\"sold\"}", NOW + 199 * SECOND), 0);
	assert_true(ceiling_of(&nodes, "acme", NOW + 9999 * SECOND, NULL) == 7);
	nodes_done(&nodes);
}

/* Who was away, or has just come, has not listened long enough to say so; the ceilings do not wait. A retirement is said. */
static void only_who_listened_says_that_somebody_is_silent(void **state)
{
	struct om_id none = { { 0 } }, id = none;
	struct key_map nodes = { 0 };
	struct findings f = { .emit = keep_id, .ctx = &id, .nodes = &nodes, .policy = { .source = "/opmeter/f" } };

	assert_int_equal(beat_of(&nodes, NODE("1"), ",\"peak_ops_per_s\":\"5\",\"tenants\":[\"acme\"]", NOW), 0);
	f.policy.now_ns = NOW + 3600 * SECOND;
	f.listening_ns = f.policy.now_ns - 100 * SECOND;
	assert_int_equal(findings_silence(&f), 0);
	assert_true(om_id_equal(&id, &none) && ceiling_of(&nodes, "acme", f.policy.now_ns, NULL) == 7 + 3600 * 5);
	f.listening_ns = f.policy.now_ns - 181 * SECOND;
	assert_int_equal(findings_silence(&f), 0);
	assert_false(om_id_equal(&id, &none));
	assert_int_equal(beat_of(&nodes, NODE("1"), ",\"retired\":{\"person\":\"x\",\"reason\":\"sold\"}", NOW), 0);
	none = id;
	assert_int_equal(findings_silence(&f), 0);
	assert_false(om_id_equal(&id, &none));
	nodes_done(&nodes);
}

/* However long the list: what does not fit is somebody unknown's. */
static void more_tenants_than_are_kept_are_unknown(void **state)
{
	struct key_map nodes = { 0 };
	json_t *list = json_array(), *o;
	char name[64];
	bool bounded;

	for (int i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "tenant-with-a-long-name-%04d", i);
		json_array_append_new(list, json_string(name));
	}
	o = json_pack("{s:s,s:{s:i,s:s,s:o}}", "source", NODE("1"), "data", "interval_s", 60, "peak_ops_per_s", "5", "tenants", list);
	assert_int_equal(nodes_take(&nodes, 10, o, NOW, NOW), 0);
	json_decref(o);
	assert_true(ceiling_of(&nodes, "tenant-with-a-long-name-0000", NOW + 200 * SECOND, NULL) == 7 + 1000);
	assert_true(ceiling_of(&nodes, "tenant-with-a-long-name-1999", NOW + 200 * SECOND, NULL) == 7);
	assert_true(ceiling_of(&nodes, "unknown", NOW + 200 * SECOND, &bounded) == 7 + 1000 && bounded);
	nodes_done(&nodes);
}

static struct tenant_names *names_of(const char *text)
{
	char path[] = "/tmp/opmeter-tenants-XXXXXX";
	struct tenant_names *t = NULL;
	int fd = mkstemp(path);

	assert_true(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
	assert_int_equal(tenant_names_load(path, &t), 0);
	unlink(path);
	return t;
}

/* A copy that stalls, a disk that is full: what reads like a shorter file is none, but one that never had an end has none. */
static void part_of_the_tenants_is_not_taken_for_all(void **state)
{
	static const struct {
		const char *before, *fresh;
		bool is_taken;
	} files[] = {
		{ "acme\nzeta\n", "zeta\n", true }, { "acme\nzeta\n", "acme\nze", false }, { "acme\nzeta\n", "", false },
		{ "acme\nzeta\n", "# none\n", false }, { "acme\nzeta", "acme", true }, { "", "acme\n", true }, { "", "", true },
	};

	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
		struct tenant_names *before = names_of(files[i].before), *fresh = names_of(files[i].fresh);

		assert_int_equal(tenant_names_refuse(before, fresh) == NULL, files[i].is_taken);
		tenant_names_free(before);
		tenant_names_free(fresh);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(silence_is_in_the_ceilings_of_who_ran_there),
		cmocka_unit_test(more_tenants_than_are_kept_are_unknown),
		cmocka_unit_test(only_who_listened_says_that_somebody_is_silent),
		cmocka_unit_test(an_epoch_to_come_is_looked_at_again),
		cmocka_unit_test(an_honest_reading_is_taken),
		cmocka_unit_test(what_is_cut_or_of_later_make_is_refused_by_name),
		cmocka_unit_test(anothers_name_is_refused),
		cmocka_unit_test(another_partitions_record_is_no_part_of_this_one),
		cmocka_unit_test(more_than_the_devices_can_do_is_impossible),
		cmocka_unit_test(a_tenant_must_be_one),
		cmocka_unit_test(a_value_must_be_one),
		cmocka_unit_test(who_serves_is_not_for_anybody_to_say),
		cmocka_unit_test(a_process_is_admitted_under_its_own_key),
		cmocka_unit_test(a_map_keeps_what_is_put_and_not_taken),
		cmocka_unit_test(a_round_counts_when_its_head_comes),
		cmocka_unit_test(partitions_add_up),
		cmocka_unit_test(partitions_of_two_versions_add_up),
		cmocka_unit_test(a_partition_of_a_later_version_is_waited_for),
		cmocka_unit_test(a_zombie_is_ignored),
		cmocka_unit_test(what_the_last_owner_left_goes_with_it),
		cmocka_unit_test(noise_on_the_totals_topic_moves_nothing),
		cmocka_unit_test(a_record_in_anothers_partition_is_none),
		cmocka_unit_test(an_epoch_that_could_wrap_is_none),
		cmocka_unit_test(what_vanished_is_retracted_in_a_new_epoch),
		cmocka_unit_test(who_sees_a_successor_asks_the_group_before_it_writes),
		cmocka_unit_test(a_record_under_our_own_epoch_is_found),
		cmocka_unit_test(a_lineage_of_too_many_tenants_names_the_largest),
		cmocka_unit_test(a_total_that_no_record_holds_is_left_out_and_counted),
		cmocka_unit_test(what_the_broker_lost_is_written_again),
		cmocka_unit_test(what_is_left_out_or_goes_back_is_said_once_a_day),
		cmocka_unit_test(nodes_that_claim_too_much_in_a_day_are_named),
		cmocka_unit_test(work_that_no_meter_explains_is_said_of_its_holder),
		cmocka_unit_test(an_end_that_is_told_twice_is_one_end),
		cmocka_unit_test(only_nodes_have_heartbeats_and_only_so_many),
		cmocka_unit_test(a_silence_is_one_alert_whoever_judges),
		cmocka_unit_test(part_of_the_tenants_is_not_taken_for_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
