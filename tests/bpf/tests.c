// SPDX-License-Identifier: Apache-2.0
#include "tests.h"
#include "kit.h"

const struct kit_test kit_tests[] = {
	{ "entries_12", test_entries_12 },
	{ "entries_13", test_entries_13 },
	{ "lt_12", test_lt_12 },
	{ "lt_13", test_lt_13 },
	{ "faults", test_faults },
	{ "unproven", test_unproven },
	{ "paged_out", test_paged_out },
	{ "overlay", test_overlay },
	{ "nested", test_nested },
	{ "loader_killed", test_loader_killed },
	{ "upgrade", test_upgrade },
	{ "adopt", test_adopt },
	{ "off", test_off },
	{ "quota", test_quota },
	{ "map_full", test_map_full },
	{ "types_flood", test_types_flood },
	{ "environment", test_environment },
	{ "killed_inside", test_killed_inside },
	{ "killed_calling", test_killed_calling },
	{ "short_lives", test_short_lives },
	{ "cgroup", test_cgroup },
	{ NULL, NULL },
};
