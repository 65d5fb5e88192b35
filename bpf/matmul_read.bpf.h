/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_MATMUL_READ_H
#define OPMETER_BPF_MATMUL_READ_H

/*
 * Reading a call: its sizes, types and flags into the key of its shape, and
 * whether the library has called itself. Nothing here counts.
 */

#include "maps.bpf.h"
#include "abi.bpf.h"

/* The process's last libcublas, for threads that have not entered it yet. */
static __noinline int cublas_share(struct om_shape_key *key, struct om_thread *t, u64 start, u64 end)
{
	struct om_proc_key proc_key = { .start_ns = key->start_ns, .tgid = key->tgid };
	struct om_proc *p = proc_get(&proc_key);

	if (!p || !t)
		return 0;
	if (end) {
		p->cublas_start = start;
		p->cublas_end = end;
	}
	t->cublas_start = p->cublas_start;
	t->cublas_end = p->cublas_end;
	return 0;
}

static __always_inline bool is_nested(struct pt_regs *ctx, u64 cookie, struct om_shape_key *key,
				      const struct om_call_site *site, struct om_thread *t, u64 ret_address)
{
	u32 slot = OM_COOKIE_SEQ(cookie) % OM_LIBRARIES_MAX;
	u32 index = OM_COOKIE_SITE(cookie);
	struct om_library_facts *lib = bpf_map_lookup_elem(&libraries, &slot);
	u64 bias, start, end;

	if (!lib || lib->seq != OM_COOKIE_SEQ(cookie) || index >= OM_CALL_SITES_MAX) {
		om_stat_add(library_missing);
		return false;
	}
	bias = OM_IP(ctx) - lib->site_vaddr[index];
	start = bias + lib->text_start;
	end = bias + lib->text_end;
	if (ret_address >= start && ret_address < end)
		return true;
	if (!t)
		return false;
	if (site->flags & OM_CALL_IN_CUBLAS) {
		if (t->cublas_start != start)
			cublas_share(key, t, start, end);
		return false;
	}
	if (!t->cublas_end)
		cublas_share(key, t, 0, 0);
	return ret_address >= t->cublas_start && ret_address < t->cublas_end;
}

static __always_inline u32 type_byte(u32 type)
{
	return type < OM_TYPE_NONE ? type : OM_TYPE_NONE;
}

/* cublasOperation_t, or the letter of v1 */
static __always_inline u32 transposition(u64 value, bool is_letter)
{
	u32 v = (u32)value;

	if (!is_letter)
		return v < 3 ? v : 3;
	v = (v & 0xff) | 0x20;
	return v == 'n' ? 0 : v == 't' ? 1 : v == 'c' ? 2 : 3;
}

/*
 * The readers: fill in the key's sizes, types and flags. Each returns 0, or one
 * more than the cause of the loss. They have frames of their own, as all frames
 * that are open at one time share 512 bytes.
 */
#define LOST(cause) (1 + (int)(cause))

#define WORD(w, slot) ((slot) < OM_WORDS_MAX ? (w).word[slot] : 0)

static __always_inline u64 size_of(u64 word, bool is_wide)
{
	return is_wide ? word : (u64)(s64)(s32)word;
}

static __always_inline u32 types_of(const struct om_call_site *site, struct om_words *w)
{
	u32 types = site->types;

	if (site->a_type != OM_SLOT_NONE)
		types = (types & ~0xffu) | type_byte(WORD(*w, site->a_type));
	if (site->b_type != OM_SLOT_NONE)
		types = (types & ~0xff00u) | type_byte(WORD(*w, site->b_type)) << 8;
	if (site->c_type != OM_SLOT_NONE)
		types = (types & ~0xff0000u) | type_byte(WORD(*w, site->c_type)) << 16;
	if (site->compute != OM_SLOT_NONE)
		types = (types & ~0xff000000u) | type_byte(WORD(*w, site->compute)) << 24;
	return types;
}

static __noinline int gemm_read(struct pt_regs *ctx, u64 cookie, struct om_shape_key *key,
				const struct om_call_site *site, struct om_thread *t)
{
	struct om_words w = {};
	bool is_wide, is_letter;

	if (!site || !key)
		return LOST(OM_LOST_UNREAD);
	is_wide = site->flags & OM_CALL_WIDE;
	is_letter = site->flags & OM_CALL_LETTERS;
	if (om_words_read(&w, ctx, site->stack_words))
		return LOST(OM_LOST_FAILED_READ);
	key->m = size_of(WORD(w, site->m), is_wide);
	key->n = size_of(WORD(w, site->n), is_wide);
	key->k = size_of(WORD(w, site->k), is_wide);
	key->batch = site->batch == OM_SLOT_NONE ? 1 : size_of(WORD(w, site->batch), is_wide);
	key->types = types_of(site, &w);
	key->flags = (u32)site->class << 8 | transposition(WORD(w, site->transa), is_letter) |
		     transposition(WORD(w, site->transb), is_letter) << 2;
	if (is_nested(ctx, cookie, key, site, t, OM_RETURN_ADDRESS(&w)))
		key->flags |= OM_FLAG_NESTED;
	return 0;
}

struct lt_matrix {
	u64 rows, cols, batch;
	u32 type, pad;
};

/* Offsets are data; the masks keep them inside what was read, and aligned. */
#define FIELD32(bytes, offset) (*(u32 *)((u8 *)(bytes) + ((offset) & (sizeof(bytes) - 4))))
#define FIELD64(bytes, offset) (*(u64 *)((u8 *)(bytes) + ((offset) & (sizeof(bytes) - 8))))
#define LT_MODE_GROUPED 2

static __noinline int lt_matrix_read(const struct om_offsets *o, u64 address, struct lt_matrix *ret)
{
	u64 b[OM_LAYOUT_READ_MAX / 8] = {};
	u32 size;

	if (!o || !ret)
		return LOST(OM_LOST_UNREAD);
	size = o->layout_size;
	if (!size)
		return LOST(OM_LOST_UNREAD);
	barrier_var(size); /* two comparisons: the verifier does not see through one merged range check */
	if (size > sizeof(b))
		return LOST(OM_LOST_UNREAD);
	if (bpf_copy_from_user(b, size, (void *)address))
		return LOST(OM_LOST_FAILED_READ);
	if (o->layout_mode != OM_OFFSET_NONE && (FIELD32(b, o->layout_mode) & 0xffff) == LT_MODE_GROUPED)
		return LOST(OM_LOST_UNREAD);
	ret->rows = FIELD64(b, o->layout_rows);
	ret->cols = FIELD64(b, o->layout_cols);
	ret->batch = size_of(FIELD32(b, o->layout_batch), false);
	ret->type = FIELD32(b, o->layout_type);
	return 0;
}

struct lt_desc {
	u32 compute, transa, transb, pad;
};

static __noinline int lt_desc_read(const struct om_offsets *o, u64 address, struct lt_desc *ret)
{
	u64 b[OM_DESC_READ_MAX / 8] = {};
	u32 size;

	if (!o || !ret)
		return LOST(OM_LOST_UNREAD);
	size = o->desc_size;
	if (!size)
		return LOST(OM_LOST_UNREAD);
	barrier_var(size); /* two comparisons: the verifier does not see through one merged range check */
	if (size > sizeof(b))
		return LOST(OM_LOST_UNREAD);
	if (bpf_copy_from_user(b, size, (void *)address))
		return LOST(OM_LOST_FAILED_READ);
	ret->compute = FIELD32(b, o->desc_compute);
	ret->transa = transposition(FIELD32(b, o->desc_transa), false);
	ret->transb = transposition(FIELD32(b, o->desc_transb), false);
	return 0;
}

/* cublasLtMatmul(handle, desc, alpha, A, Adesc, B, Bdesc, beta, C, Cdesc, D, Ddesc, ...) */
enum { LT_DESC = 1, LT_A = 4, LT_B = 6, LT_D = 11 };
#define LT_WORD(call, arg) ((call).word[(arg) < OM_ARG_REGS ? (arg) : (arg) + 1])

#define LT_STACK_WORDS (LT_D + 1 - OM_ARG_REGS)

struct lt_call {
	u64 word[OM_ARG_REGS + 1 + LT_STACK_WORDS];
};

/* M, N and K each stand in two layouts, which must agree: a wrong offset, or a
 * call that the library will refuse, shows at once. */
static __always_inline int lt_shape(struct om_shape_key *key, const struct lt_desc *desc,
				    const struct lt_matrix *a, const struct lt_matrix *b,
				    const struct lt_matrix *d)
{
	bool is_ta = desc->transa, is_tb = desc->transb;

	key->m = d->rows;
	key->n = d->cols;
	key->k = is_ta ? a->rows : a->cols;
	key->batch = d->batch;
	key->types = type_byte(a->type) | type_byte(b->type) << 8 | type_byte(d->type) << 16 |
		     type_byte(desc->compute) << 24;
	key->flags = OM_CLASS_LT_MATMUL << 8 | desc->transa | desc->transb << 2;
	if (key->m != (is_ta ? a->cols : a->rows) || key->n != (is_tb ? b->rows : b->cols) ||
	    key->k != (is_tb ? b->cols : b->rows))
		return LOST(OM_LOST_INCONSISTENT);
	return 0;
}

static __noinline int lt_read(struct pt_regs *ctx, u64 cookie, struct om_shape_key *key,
			      const struct om_call_site *site, struct om_thread *t)
{
	u32 row = OM_COOKIE_ROW(cookie);
	struct om_offsets *o = bpf_map_lookup_elem(&offsets, &row);
	struct lt_matrix a = {}, b = {}, d = {};
	struct lt_desc desc = {};
	struct lt_call call = {};
	int rc;

	if (!o || !key || !site)
		return LOST(OM_LOST_UNREAD);
	om_regs_get(call.word, ctx);
	if (om_stack_read(&call.word[OM_ARG_REGS], ctx, LT_STACK_WORDS, LT_STACK_WORDS))
		return LOST(OM_LOST_FAILED_READ);
	rc = lt_desc_read(o, LT_WORD(call, LT_DESC), &desc);
	if (rc)
		return rc;
	rc = lt_matrix_read(o, LT_WORD(call, LT_A), &a);
	if (rc)
		return rc;
	rc = lt_matrix_read(o, LT_WORD(call, LT_B), &b);
	if (rc)
		return rc;
	rc = lt_matrix_read(o, LT_WORD(call, LT_D), &d);
	if (rc)
		return rc;
	rc = lt_shape(key, &desc, &a, &b, &d);
	if (is_nested(ctx, cookie, key, site, t, OM_RETURN_ADDRESS(&call)))
		key->flags |= OM_FLAG_NESTED;
	return rc;
}

/* --- grouped: sizes are in host arrays, one element a group. Each group counts
 * as a call of its own shape, with its size as the batch. --- */

#define GROUPS_MAX (1 << 16)

struct groups {
	struct om_shape_key key;
	u64 transa, transb, m, n, k, size; /* addresses */
	u64 count;
	bool is_wide;
	int rc;
};

static __always_inline int group_value(u64 array, u32 index, bool is_wide, u64 *ret)
{
	u64 v = 0;

	if (bpf_copy_from_user(&v, is_wide ? 8 : 4, (void *)(array + (u64)index * (is_wide ? 8 : 4))))
		return LOST(OM_LOST_FAILED_READ);
	*ret = size_of(v, is_wide);
	return 0;
}

static __noinline int groups_read(struct pt_regs *ctx, u64 cookie, struct groups *g,
				  const struct om_call_site *site, struct om_thread *t)
{
	struct om_words w = {};

	if (!g || !site)
		return LOST(OM_LOST_UNREAD);
	if (om_words_read(&w, ctx, site->stack_words))
		return LOST(OM_LOST_FAILED_READ);
	g->is_wide = site->flags & OM_CALL_WIDE;
	g->transa = WORD(w, site->transa);
	g->transb = WORD(w, site->transb);
	g->m = WORD(w, site->m);
	g->n = WORD(w, site->n);
	g->k = WORD(w, site->k);
	g->size = WORD(w, site->group_size);
	g->count = size_of(WORD(w, site->batch), g->is_wide);
	g->key.types = types_of(site, &w);
	g->key.flags = (u32)site->class << 8;
	if (is_nested(ctx, cookie, &g->key, site, t, OM_RETURN_ADDRESS(&w)))
		g->key.flags |= OM_FLAG_NESTED;
	return g->count > GROUPS_MAX ? LOST(OM_LOST_ABSURD) : 0;
}

#endif
