// SPDX-License-Identifier: Apache-2.0
/* What the aggregator takes from topics: a reading, an assignment and a carry with their keys, records of the totals topic, heartbeats. The
 * first byte says how long the key is. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/fleet/fleet_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *ctx, const struct om_subject_total *s)
{
	++*(size_t *)ctx;
	return 0;
}

static void take_heartbeat(const struct raw_record *m)
{
	json_t *o = json_loadb(m->value, m->value_len, 0, NULL);
	struct om_subject_total t = { .group = OM_GROUP_MODEL, .tenant = "unknown" };
	struct key_map nodes = { 0 };
	struct silence *s;

	nodes_take(&nodes, 1, o, 1000000000, 1000000000);
	s = silence_new(&nodes, UINT64_MAX);
	if (s)
		silence_widen(s, &t);
	silence_free(s);
	nodes_done(&nodes);
	json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct admission a = { .partition = 1, .partitions = 3, .now_ns = 1795456800000000000ULL };
	struct raw_record m = { 0 };
	struct om_assignment assignment;
	struct om_carry carry;
	struct om_reading r;
	struct view *v;
	size_t n = 0;

	if (size < 2 || (size_t)data[0] + 1 > size)
		return 0;
	m = (struct raw_record){ data + 1, data + 1 + data[0], data[0], size - 1 - data[0], NULL, 0 };
	if (admit_reading(&a, &m, &r) == ADMITTED)
		assert(om_value_lower(&r.value) <= om_value_upper(&r.value));
	admit_assignment(&a, &m, &assignment);
	if (admit_carry(&a, &m, &carry) == ADMITTED)
		assert(carry.count <= OM_CARRY_REGISTERS_MAX);
	om_carry_done(&carry);
	take_heartbeat(&m);
	v = view_new("f", 3);
	if (v) {
		struct view_record t = { m.key, m.value, m.key_len, m.value_len, { 1, 1 }, data[0] % 3 };

		view_take(v, &t);
		t.key = "f/1";
		t.key_len = 3;
		t.partition = 1;
		view_take(v, &t);
		view_each(v, OM_GROUP_MODEL, count, &n);
		view_each(v, OM_GROUP_LINEAGE, count, &n);
	}
	view_free(v);
	return 0;
}
