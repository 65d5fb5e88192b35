// SPDX-License-Identifier: Apache-2.0
#include "opcount.h"

#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

int opcount_add(opcount a, opcount b, opcount *ret)
{
	opcount r;

	if (__builtin_add_overflow(a, b, &r))
		return -EOVERFLOW;
	*ret = r;
	return 0;
}

void opcount_add_saturating(opcount *to, opcount v)
{
	if (__builtin_add_overflow(*to, v, to))
		*to = OPCOUNT_MAX;
}

int opcount_sub(opcount a, opcount b, opcount *ret)
{
	if (b > a)
		return -ERANGE;
	*ret = a - b;
	return 0;
}

int opcount_mul(opcount a, opcount b, opcount *ret)
{
	opcount r;

	if (__builtin_mul_overflow(a, b, &r))
		return -EOVERFLOW;
	*ret = r;
	return 0;
}

int opcount_muldiv(opcount a, uint64_t num, uint64_t den, opcount *ret)
{
	/* a = q*den + r, so a*num/den = q*num + r*num/den, and r*num < 2^128. */
	opcount whole, sum;

	if (den == 0)
		return -EINVAL;
	if (opcount_mul(a / den, num, &whole))
		return -EOVERFLOW;
	if (opcount_add(whole, (a % den) * num / den, &sum))
		return -EOVERFLOW;
	*ret = sum;
	return 0;
}

/* Two digits a step, from the end of buf forwards; returns where they begin. */
static char *put_digits(uint64_t v, char *end)
{
	for (; v >= 100; v /= 100) {
		unsigned pair = (unsigned)(v % 100);

		*--end = (char)('0' + pair % 10);
		*--end = (char)('0' + pair / 10);
	}
	if (v >= 10) {
		*--end = (char)('0' + v % 10);
		v /= 10;
	}
	*--end = (char)('0' + v);
	return end;
}

const char *opcount_format(opcount v, char buf[OPCOUNT_STRLEN])
{
	const uint64_t chunk =
		10000000000000000000ULL; /* 10^19: a division of 128 bits costs as much as many of 64 */
	char digits[OPCOUNT_STRLEN], *end = digits + sizeof(digits), *at = end;

	while (v >> 64) {
		char *from = put_digits((uint64_t)(v % chunk), at);

		v /= chunk;
		while (from > at - 19)
			*--from = '0';
		at = from;
	}
	at = put_digits((uint64_t)v, at);
	memcpy(buf, at, (size_t)(end - at));
	buf[end - at] = '\0';
	return buf;
}

const char *opcount_human(opcount v, char buf[OPCOUNT_STRLEN])
{
	char exact[OPCOUNT_STRLEN];
	size_t n;

	opcount_format(v, exact);
	n = strlen(exact);
	if (n <= 4)
		return strcpy(buf, exact);
	n--;
	memcpy(buf,
	       (char[]){ exact[0], '.', exact[1], exact[2], 'e', '+', (char)('0' + n / 10),
			 (char)('0' + n % 10), 0 },
	       9);
	return buf;
}

static int append_digit(opcount *v, char digit)
{
	if (opcount_mul(*v, 10, v))
		return -EOVERFLOW;
	return opcount_add(*v, (opcount)(digit - '0'), v);
}

/* The exponent after 'e': 1 to 2 digits, an optional plus sign, nothing behind. */
static int parse_exponent(const char *s, int *ret)
{
	int e = 0, n = 0;

	if (*s == '+')
		s++;
	for (; *s >= '0' && *s <= '9' && n < 3; s++, n++)
		e = e * 10 + (*s - '0');
	if (n == 0 || n > 2 || *s)
		return -EINVAL;
	*ret = e;
	return 0;
}

int opcount_parse(const char *s, opcount *ret)
{
	opcount v = 0;
	int digits = 0, fraction = 0, exponent = 0, r;
	bool in_fraction = false;
	const char *start = s;

	for (; (*s >= '0' && *s <= '9') || (*s == '.' && !in_fraction); s++) {
		if (*s == '.') {
			in_fraction = true;
			continue;
		}
		r = append_digit(&v, *s);
		if (r)
			return r;
		digits++;
		fraction += in_fraction;
	}
	if (digits == 0 || (in_fraction && fraction == 0))
		return -EINVAL;
	if (*s == 'e' || *s == 'E') {
		r = parse_exponent(s + 1, &exponent);
		if (r)
			return r;
	} else if (*s || in_fraction || (start[0] == '0' && digits > 1)) {
		return -EINVAL; /* plain decimal text is canonical */
	}
	if (fraction > exponent)
		return -EINVAL;
	for (exponent -= fraction; exponent > 0; exponent--) {
		r = opcount_mul(v, 10, &v);
		if (r)
			return r;
	}
	*ret = v;
	return 0;
}

void opcount_put_le(opcount v, uint8_t out[16])
{
	for (int i = 0; i < 16; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

opcount opcount_get_le(const uint8_t in[16])
{
	uint64_t low, high;

	memcpy(&low, in, 8);
	memcpy(&high, in + 8, 8);
	return (opcount)le64toh(high) << 64 | le64toh(low);
}

double opcount_to_double(opcount v)
{
	return (double)v;
}
