/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_LITTLE_ENDIAN_H
#define OPMETER_BASE_LITTLE_ENDIAN_H

/* Numbers of 1 to 8 bytes as files have them, lowest byte first. Where each nanosecond counts (readings,
 * carries) widths are fixed, and these are not used. */

#include <stdint.h>

static inline void le_put(uint8_t *p, uint64_t v, int bytes)
{
	for (int i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static inline uint64_t le_get(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

#endif
