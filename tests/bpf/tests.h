/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_TESTS_BPF_TESTS_H
#define OPMETER_TESTS_BPF_TESTS_H

/* Each runs in a process of its own and returns if it has passed. */
void test_entries_12(void);
void test_entries_13(void);
void test_lt_12(void);
void test_lt_13(void);
void test_faults(void);
void test_unproven(void);
void test_paged_out(void);
void test_overlay(void);
void test_nested(void);
void test_loader_killed(void);
void test_upgrade(void);
void test_adopt(void);
void test_off(void);
void test_quota(void);
void test_order(void);
void test_buffers(void);
void test_map_full(void);
void test_types_flood(void);
void test_environment(void);
void test_killed_inside(void);
void test_killed_calling(void);
void test_short_lives(void);
void test_cgroup(void);
void test_device_open(void);
void test_asleep(void);
void test_frames(void);
void test_launch(void);
void test_driver(void);
void test_launch_quota(void);
void test_graphs(void);
void test_graphs_uncertain(void);
void test_forwarded(void);
void test_products_in_graphs(void);
void test_collective_12(void);
void test_collective_13(void);
void test_collective_quota(void);
void test_collective_full(void);
void test_collective_upgrade(void);
void test_collective_off(void);
void test_collective_overlay(void);

#endif
