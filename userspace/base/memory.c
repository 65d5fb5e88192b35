// SPDX-License-Identifier: Apache-2.0
#include "memory.h"

#include <malloc.h>

#define KEPT (2 << 20)

void memory_keep_freed(void)
{
	/* Both have to be said: glibc moves the one with the other, until somebody sets either. */
	mallopt(M_TRIM_THRESHOLD, KEPT);
	mallopt(M_MMAP_THRESHOLD, KEPT);
}
