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
	{ NULL, NULL },
};
