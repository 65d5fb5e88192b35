/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_OPCOUNT_H
#define OPMETER_BASE_OPCOUNT_H

/*
 * Operations, exactly. One operation is one multiply or one add of any number
 * format (docs/counting.md). 10^26 needs 87 bits: a 64-bit count overflows in
 * hours and a double steps by 1.7e10 there, so a total is never either of them.
 *
 * Range: 0 .. 2^128-1. Every arithmetic function is overflow-checked and
 * returns -EOVERFLOW with *ret untouched; nothing wraps and nothing saturates
 * unless its name says so.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef unsigned __int128 opcount;

#define OPCOUNT_MAX (~(opcount)0)

/* Enough for 39 decimal digits and the terminating NUL. */
#define OPCOUNT_STRLEN 40

int opcount_add(opcount a, opcount b, opcount *ret);
/* *to + v, or OPCOUNT_MAX where that does not fit. */
void opcount_add_saturating(opcount *to, opcount v);
int opcount_sub(opcount a, opcount b, opcount *ret); /* -ERANGE if b > a */
int opcount_mul(opcount a, opcount b, opcount *ret);

/* a * num / den, rounded down, without an intermediate overflow below 2^128
 * of the result. -EINVAL if den is 0, -EOVERFLOW if the result does not fit. */
int opcount_muldiv(opcount a, uint64_t num, uint64_t den, opcount *ret);

static inline opcount opcount_max(opcount a, opcount b)
{
	return a > b ? a : b;
}

/* Decimal text, no sign, no leading zeros, NUL-terminated. Returns buf. */
const char *opcount_format(opcount v, char buf[OPCOUNT_STRLEN]);

/* As opcount_format but for people: "8.78e+21", three significant digits,
 * rounded down: a figure shown never exceeds the figure kept. */
const char *opcount_human(opcount v, char buf[OPCOUNT_STRLEN]);

/* Parses canonical decimal text or, for configuration files, a mantissa and a
 * power of ten such as "1e26" or "2.5e25" that denotes an exact integer.
 * -EINVAL for anything else (sign, blank, fraction left over), -EOVERFLOW. */
int opcount_parse(const char *s, opcount *ret);

void opcount_put_le(opcount v, uint8_t out[16]);
opcount opcount_get_le(const uint8_t in[16]);

double opcount_to_double(opcount v); /* approximate; for views only */

#endif
