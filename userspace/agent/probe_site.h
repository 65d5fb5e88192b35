/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_PROBE_SITE_H
#define OPMETER_AGENT_PROBE_SITE_H

/*
 * Where at the beginning of a function a probe costs least.
 *
 * The kernel executes the instruction it has replaced: a push, a jump or a nop it
 * emulates, anything else it single-steps, which costs ten times as much. The
 * driver's library begins every export with a comparison, which is stepped, and
 * a conditional jump, which is emulated: the probe goes on the jump. What lies
 * before it touches neither argument registers nor the stack, and every call
 * passes it.
 */

#include <stddef.h>
#include <stdint.h>

#define PROBE_SITE_BYTES 24

/* How many bytes behind the function's address the probe belongs; 0: at it, also if
 * nothing cheaper was recognised. code: its first bytes. */
size_t probe_site_offset(const uint8_t *code, size_t len);

#endif
