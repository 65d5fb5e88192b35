/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CUPTI_WINDOW_INTERNAL_H
#define OPMETER_CUPTI_WINDOW_INTERNAL_H

/* What window.c and session.c share. */

#include "window.h"

uint64_t window_now_ns(void);
void window_sleep_ns(uint64_t ns);
void window_callback(void *user, int domain, uint32_t cbid, const void *data);
/* Disables the profiler, whoever comes first. CUPTI's result. */
int window_disable(struct window *w);

#endif
