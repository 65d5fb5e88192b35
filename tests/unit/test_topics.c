// SPDX-License-Identifier: Apache-2.0
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "exporters/topic.h"
#include "userspace/core/register.h"

/* State that a consumer rebuilds must not run out; what is not compacted must say how long it stays. */
static void each_topic_is_kept_as_its_use_needs(void **state)
{
	for (int t = 0; t < OM_TOPIC_END; t++) {
		const struct om_topic_spec *s = om_topic_spec((enum om_topic)t);

		assert_non_null(s->name);
		assert_string_equal(s->name, om_topic_name((enum om_topic)t));
		assert_memory_equal(s->name, "opmeter.", 8);
		assert_non_null(s->holds);
		if (s->is_compacted)
			assert_true(s->retention_ms == 0 && s->compaction_lag_ms >= 0);
		else
			assert_true(s->retention_ms == -1 || s->retention_ms > 0);
		/* Nothing may have to be compacted at a time at which it must not be yet. */
		assert_true(s->compaction_by_ms == 0 || s->compaction_by_ms > s->compaction_lag_ms);
		assert_true(s->segment_ms == 0 || s->segment_ms <= s->compaction_lag_ms);
		for (int u = 0; u < t; u++)
			assert_string_not_equal(s->name, om_topic_name((enum om_topic)u));
	}
	assert_null(om_topic_spec(OM_TOPIC_END));
	assert_true(om_topic_spec(OM_TOPIC_READINGS)->is_compacted);
	assert_true(om_topic_spec(OM_TOPIC_CASES)->is_restricted);
}

/* One copy may be away without stopping writers, and never fewer than one must answer. */
static void in_sync_copies_leave_room_for_one_away(void **state)
{
	assert_int_equal(om_topic_min_insync(1), 1);
	assert_int_equal(om_topic_min_insync(2), 1);
	assert_int_equal(om_topic_min_insync(3), 2);
	assert_int_equal(om_topic_min_insync(5), 2);
}

/* A job's assignments stand where its readings do: the text key gives the partition of the packed one. */
static void a_jobs_records_share_a_partition(void **state)
{
	struct om_register_key k = { .day = 20000, .format = 4, .meter = 1 };
	char ledger[OM_ID_STRLEN], job[OM_ID_STRLEN], text[96];
	uint8_t packed[OM_REGISTER_KEY_SIZE];
	uint32_t a, b, seen = 0, random = 7;

	for (unsigned i = 0; i < 64; i++) {
		for (unsigned j = 0; j < 16; j++) {
			k.ledger.byte[j] = (uint8_t)((random = random * 1103515245 + 12345) >> 16);
			k.job.byte[j] = (uint8_t)((random = random * 1103515245 + 12345) >> 16);
		}
		om_register_key_encode(&k, packed);
		snprintf(text, sizeof(text), "%s/%s/tenant", om_id_format(&k.ledger, ledger),
			 om_id_format(&k.job, job));
		assert_int_equal(om_topic_partition(packed, sizeof(packed), 24, &a), 0);
		assert_int_equal(om_topic_partition(text, strlen(text), 24, &b), 0);
		assert_int_equal(a, b);
		assert_true(a < 24);
		seen |= 1u << a;
	}
	assert_true(__builtin_popcount(seen) > 4);
	assert_int_equal(om_topic_partition("fleet/3/acme", 12, 24, &a), 1);
	assert_int_equal(om_topic_partition(text, 65, 24, &a), 1);
	text[3] = 'x';
	assert_int_equal(om_topic_partition(text, strlen(text), 24, &a), 1);
	assert_int_equal(om_topic_partition("", 0, 24, &a), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_topic_is_kept_as_its_use_needs),
		cmocka_unit_test(a_jobs_records_share_a_partition),
		cmocka_unit_test(in_sync_copies_leave_room_for_one_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
