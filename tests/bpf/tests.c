// SPDX-License-Identifier: Apache-2.0
#include "kit.h"

#include <stdio.h>
#include <string.h>

#include "tests.h"
#include "userspace/agent/collective_entries.h"
#include "userspace/agent/driver_entries.h"
#include "userspace/core/gemm_entries.h"

static const struct kit_test tests[] = {
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
	{ "order", test_order },
	{ "buffers", test_buffers },
	{ "map_full", test_map_full },
	{ "types_flood", test_types_flood },
	{ "environment", test_environment },
	{ "killed_inside", test_killed_inside },
	{ "killed_calling", test_killed_calling },
	{ "short_lives", test_short_lives },
	{ "cgroup", test_cgroup },
	{ "device_open", test_device_open },
	{ "asleep", test_asleep },
	{ "frames", test_frames },
	{ "launch", test_launch },
	{ "driver", test_driver },
	{ "launch_quota", test_launch_quota },
	{ "graphs", test_graphs },
	{ "graphs_uncertain", test_graphs_uncertain },
	{ "forwarded", test_forwarded },
	{ "products_in_graphs", test_products_in_graphs },
	{ "collective_12", test_collective_12 },
	{ "collective_13", test_collective_13 },
	{ "collective_quota", test_collective_quota },
	{ "collective_full", test_collective_full },
	{ "collective_upgrade", test_collective_upgrade },
	{ "collective_off", test_collective_off },
	{ "collective_overlay", test_collective_overlay },
	{ NULL, NULL },
};

/* For table.py, which compares it with the vendor's headers. */
static int print_table(void)
{
	for (size_t i = 0; i < om_gemm_entry_count; i++) {
		const struct om_gemm_entry *e = &om_gemm_entries[i];

		printf("entry %s %u %u %u %u %u %u %u %u %u %u %u %u %u %u %u %u %u %u %08x\n", e->symbol, e->library,
		       e->class, e->size_width, e->is_v1, e->transa, e->transb, e->m, e->n, e->k, e->batch,
		       e->group_size, e->a_type, e->b_type, e->c_type, e->compute, e->a, e->b, e->c, e->types);
	}
	for (size_t i = 0; i < om_gemm_uncounted_count; i++)
		printf("uncounted %s\n", om_gemm_uncounted[i].pattern);
	return 0;
}

static int print_driver_table(void)
{
	for (size_t i = 0; i < om_driver_entry_count; i++) {
		const struct om_driver_entry *e = &om_driver_entries[i];

		printf("entry %s %u %u", e->symbol, e->op, e->flags);
		for (size_t j = 0; j < OM_DRIVER_ARGS; j++)
			printf(" %u", e->arg[j]);
		printf("\n");
	}
	for (size_t i = 0; i < om_driver_unwatched_count; i++)
		printf("unwatched %s\n", om_driver_unwatched[i].pattern);
	return 0;
}

static int print_collective_table(void)
{
	for (size_t i = 0; i < om_collective_entry_count; i++) {
		const struct om_collective_entry *e = &om_collective_entries[i];

		printf("entry %s %u %u %u %u %u %u %u %u %u %u %u\n", e->symbol, e->kind, e->has_id, e->comm,
		       e->count, e->type, e->id, e->ids, e->nranks, e->rank, e->a, e->b);
	}
	for (size_t i = 0; i < om_collective_unwatched_count; i++)
		printf("unwatched %s\n", om_collective_unwatched[i].pattern);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "--collective-table"))
		return print_collective_table();
	if (argc == 2 && !strcmp(argv[1], "--driver-table"))
		return print_driver_table();
	if (argc == 2 && !strcmp(argv[1], "--table"))
		return print_table();
	return kit_main(argc, argv, tests);
}
