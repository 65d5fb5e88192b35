// SPDX-License-Identifier: Apache-2.0
/*
 * A job's sealed days stand in one block of bytes, ascending, each as its carry has it:
 * day, length (bit 31: the carry is owed), registers. A register takes some forty
 * bytes there instead of three hundred, and nothing is lost of it but node facts.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "totals_internal.h"

#define HEAD 8
#define OWED 0x80000000u

static void put_head(uint8_t *p, uint32_t day, uint32_t size, bool is_owed)
{
	size |= is_owed ? OWED : 0;
	memcpy(p, &day, 4);
	memcpy(p + 4, &size, 4);
}

bool fold_next(const struct job *j, uint32_t *at, struct section *ret)
{
	uint32_t size;

	if (*at >= j->folded_size)
		return false;
	memcpy(&ret->day, j->folded + *at, 4);
	memcpy(&size, j->folded + *at + 4, 4);
	ret->is_owed = size & OWED;
	ret->size = size & ~OWED;
	ret->bytes = j->folded + *at + HEAD;
	*at += HEAD + ret->size;
	return true;
}

bool fold_find(const struct job *j, uint32_t day, struct section *ret)
{
	/* Days are mostly sealed in their order. */
	if (j->folded_size == 0 || day > j->folded_last)
		return false;
	for (uint32_t at = 0; fold_next(j, &at, ret);)
		if (ret->day >= day)
			return ret->day == day;
	return false;
}

bool fold_register(const struct job *j, const struct section *s, uint32_t *at, struct om_reading *ret)
{
	int used;

	if (*at >= s->size)
		return false;
	memset(ret, 0, sizeof(*ret));
	ret->key = (struct om_register_key){ .ledger = j->ledger, .job = j->id, .day = s->day };
	used = om_folded_decode(s->bytes + *at, s->size - *at, ret);
	assert(used >= 0); /* we wrote it ourselves */
	*at += (uint32_t)used;
	return true;
}

bool fold_get(const struct job *j, uint32_t day, uint8_t format, uint8_t meter, struct om_reading *ret)
{
	struct section s;

	if (!fold_find(j, day, &s))
		return false;
	for (uint32_t at = 0; fold_register(j, &s, &at, ret);)
		if (ret->key.format == format && ret->key.meter == meter)
			return true;
	return false;
}

/* Where a day's section begins, or would; *ret_size: how long it is with its head, 0: it is not there. */
static uint32_t place(const struct job *j, uint32_t day, uint32_t *ret_size)
{
	struct section s;
	uint32_t at = 0, begin = 0;

	*ret_size = 0;
	if (j->folded_size == 0 || day > j->folded_last)
		return j->folded_size;
	for (; fold_next(j, &at, &s); begin = at) {
		if (s.day < day)
			continue;
		if (s.day == day)
			*ret_size = at - begin;
		break;
	}
	return begin;
}

static int replace(struct om_totals *t, struct job *j, uint32_t day, const uint8_t *bytes, uint32_t size,
		   bool is_owed)
{
	uint32_t before, begin = place(j, day, &before), after = size + HEAD;
	uint32_t rest = j->folded_size - begin - before;
	uint8_t *block = j->folded;

	if (t->folded_bytes - before + after > t->folded_bytes_max || j->folded_size > INT32_MAX)
		return -ENOSPC;
	if (after > before) {
		block = realloc(block, j->folded_size - before + after);
		if (!block)
			return -ENOMEM;
	}
	memmove(block + begin + after, block + begin + before, rest);
	put_head(block + begin, day, size, is_owed);
	memcpy(block + begin + HEAD, bytes, size);
	j->folded = block;
	if (j->folded_size == 0 || day > j->folded_last)
		j->folded_last = day;
	j->folded_size += after - before;
	t->folded_bytes += after;
	t->folded_bytes -= before;
	return 0;
}

bool fold_owe(struct job *j, uint32_t day)
{
	struct section s;

	if (!fold_find(j, day, &s))
		return false;
	put_head(j->folded + (s.bytes - j->folded) - HEAD, day, s.size, true);
	return true;
}

static void carry_donep(struct om_carry *c)
{
	om_carry_done(c);
}

static uint32_t encode_all(const struct om_carry *c, uint8_t *out)
{
	uint32_t size = 0;

	for (size_t i = 0; i < c->count; i++)
		size += (uint32_t)om_folded_encode(&c->reg[i], out + size);
	return size;
}

/* What is known of the day, and the carry. */
static int join(const struct job *j, const struct section *known, const struct om_carry *c,
		struct om_carry *all)
{
	struct om_reading one;
	int r = 0;

	for (uint32_t at = 0; r == 0 && fold_register(j, known, &at, &one);)
		r = om_carry_put(all, &one);
	for (size_t i = 0; r == 0 && i < c->count; i++)
		r = om_carry_put(all, &c->reg[i]);
	return r;
}

int fold_join(struct om_totals *t, struct job *j, const struct om_carry *c, bool *ret_news, bool *ret_below)
{
	_cleanup_(carry_donep) struct om_carry all = { .ledger = c->ledger, .job = c->job, .day = c->day };
	uint8_t bytes[OM_CARRY_REGISTERS_MAX * OM_FOLDED_SIZE_MAX];
	struct section known = { 0 };
	size_t before = 0;
	uint32_t size;
	int r;

	*ret_news = true;
	*ret_below = false;
	if (!fold_find(j, c->day, &known)) {
		r = replace(t, j, c->day, bytes, encode_all(c, bytes), false);
		t->folded += r ? 0 : c->count;
		return r;
	}
	for (uint32_t at = 0; at < known.size; before++) {
		struct om_reading one;

		fold_register(j, &known, &at, &one);
	}
	r = join(j, &known, c, &all);
	if (r)
		return r;
	size = encode_all(&all, bytes);
	/* The form is canonical: equal bytes are equal registers. */
	*ret_news = size != known.size || memcmp(bytes, known.bytes, size);
	*ret_below = all.count != c->count;
	for (size_t i = 0; !*ret_below && i < all.count; i++)
		*ret_below = !om_reading_equal(&all.reg[i], &c->reg[i]);
	r = replace(t, j, c->day, bytes, size, *ret_below);
	if (r == 0)
		t->folded += all.count - before;
	return r;
}
