/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_CLEANUP_H
#define OPMETER_BASE_CLEANUP_H

/*
 * Scope-bound ownership. A thing is declared with the destructor that ends it,
 * and leaves its scope by one visible TAKE_PTR() or TAKE_FD().
 *
 * Error convention of the whole project: a function returns 0, or -errno that
 * the caller passes up unchanged; a positive value is a documented outcome that
 * the direct caller must handle. Library code never logs and never exits.
 */

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define _cleanup_(fn) __attribute__((cleanup(fn)))

/* Hands the pointer over and leaves NULL behind, so the destructor does nothing. */
#define TAKE_PTR(p)                                                                                          \
	({                                                                                                   \
		typeof(p) __taken = (p);                                                                     \
		(p) = NULL;                                                                                  \
		__taken;                                                                                     \
	})

#define TAKE_FD(fd)                                                                                          \
	({                                                                                                   \
		int __taken = (fd);                                                                          \
		(fd) = -1;                                                                                   \
		__taken;                                                                                     \
	})

#define SWAP(a, b)                                                                                           \
	do {                                                                                                 \
		typeof(a) __swapped = (a);                                                                   \
		(a) = (b);                                                                                   \
		(b) = __swapped;                                                                             \
	} while (0)

static inline void freep(void *p)
{
	free(*(void **)p);
}

static inline void closep(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void fclosep(FILE **f)
{
	if (*f)
		fclose(*f);
}

#define _cleanup_free_ _cleanup_(freep)
#define _cleanup_close_ _cleanup_(closep)
#define _cleanup_fclose_ _cleanup_(fclosep)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
