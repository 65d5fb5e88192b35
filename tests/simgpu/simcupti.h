/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_TESTS_SIMCUPTI_H
#define OPMETER_TESTS_SIMCUPTI_H

/* What tests ask the stand-in for libcupti. */

#include <stdbool.h>
#include <stdint.h>

/* Each launch of `name` adds that to metrics whose name contains `metric`: ops, and step more or less
 * in turn, so mean ops and a variance that is known. */
void simcupti_kernel(const char *name, const char *metric, double ops, double step);

/* One call of the driver: the callback at its entry, `call` (may be NULL: succeeds), the kernel if that
 * was 0 and nothing captures, the callback at its exit. Returns what `call` did. */
int simcupti_launch(uint32_t cbid, const void *params, const char *name, void *context, int (*call)(void *),
		    void *arg, bool is_captured);
void simcupti_context_destroy(void *context);

uint64_t simcupti_violations(void); /* calls that a real one would refuse or suffer from */
unsigned simcupti_calls(const char *function);
bool simcupti_has_subscriber(void);

/* The calling thread's capture mode, of the stand-in for the driver; 2 without it. */
int simcupti_capture_mode(void);

#endif
