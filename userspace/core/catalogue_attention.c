// SPDX-License-Identifier: Apache-2.0
/*
 * What attention kernels compute, from the template parameters in their names and
 * their grids. Names are the tenant's: every number is checked against what the
 * kernel can be before it is used.
 */
#include "catalogue_attention.h"

#include <string.h>

/* --- template parameters, mangled (Li64E, Lb1E) or not (64, true) --- */

#define NUMBERS_MAX 9
#define FLAGS_MAX 12

struct parameters {
	uint32_t number[NUMBERS_MAX];
	size_t numbers;
	bool flag[FLAGS_MAX]; /* the last run of truth values */
	size_t flags;
};

static bool is_word(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

/* A number of up to six digits at `at`: its length, 0 if it is none. */
static size_t number_read(const char *at, uint32_t *ret)
{
	size_t n = 0;

	*ret = 0;
	while (at[n] >= '0' && at[n] <= '9' && n < 7)
		*ret = *ret * 10 + (uint32_t)(at[n++] - '0');
	return n > 6 ? 0 : n;
}

static void flag_add(struct parameters *p, bool value, bool goes_on)
{
	if (!goes_on)
		p->flags = 0;
	if (p->flags < FLAGS_MAX)
		p->flag[p->flags++] = value;
}

/* One parameter at `at`: its length, 0 if there is none. Says whether it was a flag. */
static size_t parameter_read(const char *at, bool is_begin, uint32_t *ret_number, int *ret_flag)
{
	size_t n;

	*ret_flag = -1;
	if (at[0] == 'L' && at[1] == 'b' && (at[2] == '0' || at[2] == '1') && at[3] == 'E') {
		*ret_flag = at[2] == '1';
		return 4;
	}
	if (at[0] == 'L' && at[1] == 'i') {
		n = number_read(at + 2, ret_number);
		return n && at[2 + n] == 'E' ? n + 3 : 0;
	}
	if (!is_begin)
		return 0;
	if (!strncmp(at, "true", 4) && !is_word(at[4])) {
		*ret_flag = 1;
		return 4;
	}
	if (!strncmp(at, "false", 5) && !is_word(at[5])) {
		*ret_flag = 0;
		return 5;
	}
	n = number_read(at, ret_number);
	return n && !is_word(at[n]) ? n : 0;
}

/* `enough`: ends behind the first run of so many flags; 0: reads the whole name. */
static void parameters_read(const char *at, size_t enough, struct parameters *ret)
{
	bool is_begin = false, goes_on = false;

	memset(ret, 0, sizeof(*ret));
	while (*at) {
		uint32_t number;
		int flag;
		size_t n = parameter_read(at, is_begin, &number, &flag);

		if (n && flag >= 0) {
			flag_add(ret, flag, goes_on);
			goes_on = true;
		} else if (n) {
			if (enough && ret->flags >= enough)
				return;
			if (ret->numbers < NUMBERS_MAX)
				ret->number[ret->numbers++] = number;
			goes_on = false;
		} else {
			/* between two: only commas and blanks, or nothing at all */
			if (*at != ',' && *at != ' ')
				goes_on = false;
			if (enough && !goes_on && ret->flags >= enough)
				return;
			n = 1;
		}
		is_begin = at[n - 1] == '<' || at[n - 1] == ' ' || at[n - 1] == ',';
		at += n;
	}
}

/* --- formulas --- */

static opcount multiply(const uint64_t *factor, size_t n)
{
	opcount r = 1;

	for (size_t i = 0; i < n; i++)
		if (opcount_mul(r, factor[i], &r))
			return OPCOUNT_MAX;
	return r;
}

/* FlashAttention 2, csrc/flash_attn/src/flash_fwd_launch_template.h and kernel_traits.h:
 * Flash_fwd_kernel_traits<head dimension, queries a block, keys a block, ...>, then the
 * flags of the kernel: dropout, causal, local, ... The grid is (blocks of queries, batch,
 * heads). The number of keys shows nowhere: as many as queries, or more, if it is causal
 * (a query without a key makes no sense); else one at least. */
enum { FA2_CAUSAL = 1, FA2_LOCAL = 2, FA2_FLAGS_MIN = 5 };

struct attention {
	uint64_t low_rows, high_rows; /* queries (forward) or keys (backward) */
	uint64_t heads;		      /* batch x heads */
	uint64_t dimension;
	bool is_causal, is_local;
};

static bool attention_read(const struct om_signature *s, const char *traits, size_t block_index,
			   struct attention *ret)
{
	const char *at = strstr(s->name, traits);
	struct parameters p;

	if (!at)
		return false;
	parameters_read(at + strlen(traits), 0, &p);
	if (p.numbers < 3 || p.flags < FA2_FLAGS_MIN || !p.number[0] || p.number[0] > 512 ||
	    !p.number[block_index] || p.number[block_index] > 1024)
		return false;
	if (!s->grid[0] || !s->grid[1] || !s->grid[2])
		return false;
	*ret = (struct attention){
		.low_rows = (uint64_t)(s->grid[0] - 1) * p.number[block_index] + 1,
		.high_rows = (uint64_t)s->grid[0] * p.number[block_index],
		.heads = (uint64_t)s->grid[1] * s->grid[2],
		.dimension = p.number[0],
		.is_causal = p.flag[FA2_CAUSAL],
		.is_local = p.flag[FA2_LOCAL],
	};
	return true;
}

/* The head dimension is rounded up to the next that there is a kernel for: 32, 64, 96,
 * 128, 160, 192, 224, 256; so at least 31 less. */
#define DIMENSION_STEP 32

static uint64_t dimension_low(uint64_t d)
{
	return d > DIMENSION_STEP ? d - DIMENSION_STEP + 1 : 1;
}

bool om_fa2_forward(const struct om_signature *s, struct om_kernel_estimate *ret)
{
	struct attention a;

	if (!attention_read(s, "Flash_fwd_kernel_traits", 1, &a))
		return false;
	/* Causal: half of the square, the pairs that are used (docs/counting.md). */
	ret->low = multiply((uint64_t[]){ a.is_causal && !a.is_local ? 2 : 4, a.heads, a.low_rows,
					  a.is_causal && !a.is_local ? a.low_rows : 1,
					  dimension_low(a.dimension) },
			    5);
	ret->high = multiply((uint64_t[]){ 4, a.heads, a.high_rows, a.high_rows, a.dimension }, 5);
	/* Keys beyond the number of queries show nowhere. */
	return true;
}

/* As above, Flash_bwd_kernel_traits<head dimension, queries a block, keys a block, ...>;
 * the grid is (blocks of keys, batch, heads). A deterministic launch has fewer: about
 * as many blocks as multiprocessors in all, so a grid well above that is none. */
#define MULTIPROCESSORS_MAX 256

bool om_fa2_backward(const struct om_signature *s, struct om_kernel_estimate *ret)
{
	struct attention a;

	if (!attention_read(s, "Flash_bwd_kernel_traits", 2, &a))
		return false;
	if (s->grid[0] * a.heads <= MULTIPROCESSORS_MAX + a.heads || !a.is_causal)
		return false;
	ret->low = multiply((uint64_t[]){ 4, a.heads, a.low_rows, dimension_low(a.dimension) }, 4);
	ret->high = multiply((uint64_t[]){ 10, a.heads, a.high_rows, a.high_rows, a.dimension }, 5);
	return true;
}

/*
 * FlashAttention 3, hopper/flash_bwd_launch_template.h and tile_scheduler.hpp: with
 * SingleTileScheduler<varlen, split, packed, keys a block> the grid is (blocks of the
 * longest sequence's keys, heads, sequences); other schedulers show nothing in it. The
 * flags behind the architecture are causal, local, softcap, varlen. Causal or local: a
 * query beyond the keys has none to look at, so the square of the keys is the most.
 * Of sequences of several lengths each has one key at least.
 */
enum { FA3_CAUSAL, FA3_LOCAL, FA3_SOFTCAP, FA3_VARLEN, FA3_FLAGS_MIN };
#define FA3_DIMENSION_MAX 256 /* where the mangled name abbreviates the head dimension */
#define FA3_DIMENSION_AT 8    /* the ninth number, where it does not */

bool om_fa3_backward(const struct om_signature *s, struct om_kernel_estimate *ret)
{
	const char *loop = strstr(s->name, "CollectiveMainloopBwdSm");
	const char *scheduler = loop ? strstr(loop, "SingleTileScheduler") : NULL;
	struct parameters kernel, tile;
	uint64_t rows, heads, dimension;

	if (!scheduler || !s->grid[0] || !s->grid[1] || !s->grid[2])
		return false;
	parameters_read(loop + strlen("CollectiveMainloopBwdSm90"), FA3_FLAGS_MIN, &kernel);
	parameters_read(scheduler + strlen("SingleTileScheduler"), 0, &tile);
	if (kernel.flags < FA3_FLAGS_MIN || !(kernel.flag[FA3_CAUSAL] || kernel.flag[FA3_LOCAL]) ||
	    !tile.numbers || !tile.number[0] || tile.number[0] > 1024)
		return false;
	dimension = kernel.numbers > FA3_DIMENSION_AT ? kernel.number[FA3_DIMENSION_AT] : FA3_DIMENSION_MAX;
	if (!dimension || dimension > FA3_DIMENSION_MAX)
		return false;
	rows = (uint64_t)s->grid[0] * tile.number[0];
	heads = (uint64_t)s->grid[1] * s->grid[2];
	ret->low = multiply((uint64_t[]){ 8, heads }, 2);
	ret->high = multiply((uint64_t[]){ 10, heads, rows, rows, dimension }, 5);
	return true;
}
