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

#endif
