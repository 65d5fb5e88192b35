/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_MATMUL_READ_H
#define OPMETER_BPF_MATMUL_READ_H

/*
 * Reading a call: its sizes, types and flags into the key of its shape, and
 * whether the library has called itself. Nothing here counts. The readers return
 * 0, or LOST(cause).
 */

#include "abi.bpf.h"

#define LOST(cause) (1 + (int)(cause))

/* --- nested calls --- */

/* The process's last libcublas, for threads that have not entered it yet. */
static __noinline int cublas_share(struct om_thread *t, u64 start, u64 end)
{
	struct om_proc *p;

	if (!t)
		return 0;
	p = proc_get(&work_of(t)->proc_key);
	if (!p)
		return 0;
	if (end) {
		p->cublas_start = start;
		p->cublas_end = end;
	}
	t->cublas_start = p->cublas_start;
	t->cublas_end = p->cublas_end;
	return 0;
}

static __noinline bool is_nested(struct pt_regs *ctx, struct om_thread *t, const struct om_call_site *site)
{
	u64 bias, start, end, ret_address;
	struct om_library_facts *lib;
	u32 slot, index;

	if (!t || !site)
		return false;
	slot = OM_COOKIE_SEQ(work_of(t)->cookie) % OM_LIBRARIES_MAX;
	index = OM_COOKIE_SITE(work_of(t)->cookie);
	lib = bpf_map_lookup_elem(&libraries, &slot);
	if (!lib || lib->seq != OM_COOKIE_SEQ(work_of(t)->cookie) || index >= OM_CALL_SITES_MAX) {
		om_stat_add(library_missing);
		return false;
	}
	ret_address = OM_RETURN_ADDRESS(work_of(t));
	bias = OM_IP(ctx) - lib->site_vaddr[index];
	start = bias + lib->text_start;
	end = bias + lib->text_end;
	if (ret_address >= start && ret_address < end)
		return true;
	if (site->flags & OM_CALL_IN_CUBLAS) {
		if (t->cublas_start != start)
			cublas_share(t, start, end);
		return false;
	}
	if (!t->cublas_end)
		cublas_share(t, 0, 0);
	return ret_address >= t->cublas_start && ret_address < t->cublas_end;
}

/* --- arguments --- */

#define WORD(w, slot) ((slot) < OM_WORDS_MAX ? (w)->word[slot] : 0)

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

static __always_inline u64 size_of(u64 word, bool is_wide)
{
	return is_wide ? word : (u64)(s64)(s32)word;
}

static __noinline int types_read(struct om_thread *t, const struct om_call_site *site)
{
	struct om_work *w;
	u32 types;

	if (!t || !site)
		return 0;
	w = work_of(t);
	types = site->types;
	if (site->a_type != OM_SLOT_NONE)
		types = (types & ~0xffu) | type_byte(WORD(w, site->a_type));
	if (site->b_type != OM_SLOT_NONE)
		types = (types & ~0xff00u) | type_byte(WORD(w, site->b_type)) << 8;
	if (site->c_type != OM_SLOT_NONE)
		types = (types & ~0xff0000u) | type_byte(WORD(w, site->c_type)) << 16;
	if (site->compute != OM_SLOT_NONE)
		types = (types & ~0xff000000u) | type_byte(WORD(w, site->compute)) << 24;
	w->key.types = types;
	return 0;
}

static __always_inline void operands_set(struct om_thread *t, u64 a, u64 b, u64 d)
{
	struct om_work *w = work_of(t);

	w->operand[0] = a;
	w->operand[1] = b;
	w->operand[2] = d;
}

static __noinline int gemm_read(struct pt_regs *ctx, struct om_thread *t, const struct om_call_site *site)
{
	bool is_wide, is_letter;
	struct om_work *w;

	if (!t || !site)
		return LOST(OM_LOST_UNREAD);
	w = work_of(t);
	is_wide = site->flags & OM_CALL_WIDE;
	is_letter = site->flags & OM_CALL_LETTERS;
	if (om_words_read(w, ctx, site->stack_words))
		return LOST(OM_LOST_FAILED_READ);
	w->key.m = size_of(WORD(w, site->m), is_wide);
	w->key.n = size_of(WORD(w, site->n), is_wide);
	w->key.k = size_of(WORD(w, site->k), is_wide);
	w->key.batch = site->batch == OM_SLOT_NONE ? 1 : size_of(WORD(w, site->batch), is_wide);
	w->key.flags = (u32)site->class << 8 | transposition(WORD(w, site->transa), is_letter) |
		       transposition(WORD(w, site->transb), is_letter) << 2;
	types_read(t, site);
	operands_set(t, WORD(w, site->a), WORD(w, site->b), WORD(w, site->c));
	if (is_nested(ctx, t, site))
		w->key.flags |= OM_FLAG_NESTED;
	return 0;
}

/* --- cublasLtMatmul: everything is in the descriptors --- */

/* Offsets are data; the masks keep them inside what was read. */
#define FIELD32(bytes, offset) (*(u32 *)((u8 *)(bytes) + ((offset) & (OM_LAYOUT_READ_MAX - 4))))
#define FIELD64(bytes, offset) (*(u64 *)((u8 *)(bytes) + ((offset) & (OM_LAYOUT_READ_MAX - 8))))
#define LT_MODE_GROUPED 2

static __always_inline int descriptor_read(struct om_work *w, u32 size, u64 address)
{
	if (!size)
		return LOST(OM_LOST_UNREAD);
	barrier_var(size); /* two comparisons: the verifier does not see through one merged range check */
	if (size > sizeof(w->bytes))
		return LOST(OM_LOST_UNREAD);
	return bpf_copy_from_user(w->bytes, size, (void *)address) ? LOST(OM_LOST_FAILED_READ) : 0;
}

static __noinline int lt_matrix_read(struct om_thread *t, const struct om_offsets *o, u64 address,
				     struct lt_matrix *ret)
{
	struct om_work *w;
	int rc;

	if (!t || !o || !ret)
		return LOST(OM_LOST_UNREAD);
	w = work_of(t);
	rc = descriptor_read(w, o->layout_size, address);
	if (rc)
		return rc;
	if (o->layout_mode != OM_OFFSET_NONE &&
	    (FIELD32(w->bytes, o->layout_mode) & 0xffff) == LT_MODE_GROUPED)
		return LOST(OM_LOST_UNREAD);
	ret->rows = FIELD64(w->bytes, o->layout_rows);
	ret->cols = FIELD64(w->bytes, o->layout_cols);
	ret->batch = size_of(FIELD32(w->bytes, o->layout_batch), false);
	ret->type = FIELD32(w->bytes, o->layout_type);
	return 0;
}

static __noinline int lt_desc_read(struct om_thread *t, const struct om_offsets *o, u64 address)
{
	struct om_work *w;
	int rc;

	if (!t || !o)
		return LOST(OM_LOST_UNREAD);
	w = work_of(t);
	rc = descriptor_read(w, o->desc_size, address);
	if (rc)
		return rc;
	w->compute = FIELD32(w->bytes, o->desc_compute);
	w->transa = transposition(FIELD32(w->bytes, o->desc_transa), false);
	w->transb = transposition(FIELD32(w->bytes, o->desc_transb), false);
	return 0;
}

/* M, N and K each stand in two layouts, which must agree: a wrong offset, or a
 * call that the library will refuse, shows at once. */
static __noinline int lt_shape(struct om_thread *t)
{
	struct om_work *w;

	if (!t)
		return LOST(OM_LOST_UNREAD);
	w = work_of(t);
	w->key.m = w->d.rows;
	w->key.n = w->d.cols;
	w->key.k = w->transa ? w->a.rows : w->a.cols;
	w->key.batch = w->d.batch;
	w->key.types = type_byte(w->a.type) | type_byte(w->b.type) << 8 | type_byte(w->d.type) << 16 |
		       type_byte(w->compute) << 24;
	w->key.flags = OM_CLASS_LT_MATMUL << 8 | w->transa | w->transb << 2;
	if (w->key.m != (w->transa ? w->a.cols : w->a.rows) ||
	    w->key.n != (w->transb ? w->b.rows : w->b.cols) ||
	    w->key.k != (w->transb ? w->b.cols : w->b.rows))
		return LOST(OM_LOST_INCONSISTENT);
	return 0;
}

/* cublasLtMatmul(handle, desc, alpha, A, Adesc, B, Bdesc, beta, C, Cdesc, D, Ddesc, ...) */
enum { LT_DESC = 1, LT_A = 4, LT_B = 6, LT_D = 11, LT_AT_A = 3, LT_AT_B = 5, LT_AT_D = 10 };
#define LT_WORD(w, arg) ((w)->word[(arg) < OM_ARG_REGS ? (arg) : (arg) + 1])
#define LT_STACK_WORDS (LT_D + 1 - OM_ARG_REGS)

static __noinline int lt_read(struct pt_regs *ctx, struct om_thread *t, const struct om_call_site *site)
{
	struct om_offsets *o;
	struct om_work *w;
	u32 row;
	int rc;

	if (!t || !site)
		return LOST(OM_LOST_UNREAD);
	w = work_of(t);
	row = OM_COOKIE_ROW(w->cookie);
	o = bpf_map_lookup_elem(&offsets, &row);
	if (om_words_read(w, ctx, LT_STACK_WORDS))
		return LOST(OM_LOST_FAILED_READ);
	rc = lt_desc_read(t, o, LT_WORD(w, LT_DESC));
	if (!rc)
		rc = lt_matrix_read(t, o, LT_WORD(w, LT_A), &w->a);
	if (!rc)
		rc = lt_matrix_read(t, o, LT_WORD(w, LT_B), &w->b);
	if (!rc)
		rc = lt_matrix_read(t, o, LT_WORD(w, LT_D), &w->d);
	if (!rc)
		rc = lt_shape(t);
	operands_set(t, LT_WORD(w, LT_AT_A), LT_WORD(w, LT_AT_B), LT_WORD(w, LT_AT_D));
	if (!rc && is_nested(ctx, t, site))
		w->key.flags |= OM_FLAG_NESTED;
	return rc;
}

/* --- grouped: sizes are in host arrays, one element a group. Each group counts
 * as a call of its own shape, with its size as the batch. --- */

#define GROUPS_MAX (1 << 16)

static __noinline int groups_read(struct pt_regs *ctx, struct om_thread *t, const struct om_call_site *site)
{
	struct om_work *w;

	if (!t || !site)
		return LOST(OM_LOST_UNREAD);
	w = work_of(t);
	if (om_words_read(w, ctx, site->stack_words))
		return LOST(OM_LOST_FAILED_READ);
	w->is_wide = !!(site->flags & OM_CALL_WIDE);
	w->group_transa = WORD(w, site->transa);
	w->group_transb = WORD(w, site->transb);
	w->group_m = WORD(w, site->m);
	w->group_n = WORD(w, site->n);
	w->group_k = WORD(w, site->k);
	w->group_size = WORD(w, site->group_size);
	w->group_count = size_of(WORD(w, site->batch), w->is_wide);
	operands_set(t, 0, 0, 0); /* arrays of addresses, on the device */
	w->key.flags = (u32)site->class << 8;
	types_read(t, site);
	if (is_nested(ctx, t, site))
		w->key.flags |= OM_FLAG_NESTED;
	return w->group_count > GROUPS_MAX ? LOST(OM_LOST_ABSURD) : 0;
}

/* One element of one array to w->value. */
static __noinline int group_value(struct om_thread *t, u64 array, u32 index, bool is_wide)
{
	struct om_work *w;

	if (!t)
		return LOST(OM_LOST_FAILED_READ);
	w = work_of(t);
	w->value = 0;
	if (bpf_copy_from_user(&w->value, is_wide ? 8 : 4, (void *)(array + (u64)index * (is_wide ? 8 : 4))))
		return LOST(OM_LOST_FAILED_READ);
	w->value = size_of(w->value, is_wide);
	return 0;
}

static __noinline int group_read(struct om_thread *t, u32 index)
{
	struct om_work *w;
	int rc;

	if (!t)
		return LOST(OM_LOST_FAILED_READ);
	w = work_of(t);
	w->key.flags &= ~15u;
	rc = group_value(t, w->group_transa, index, false);
	w->key.flags |= transposition(w->value, false);
	if (!rc)
		rc = group_value(t, w->group_transb, index, false);
	w->key.flags |= transposition(w->value, false) << 2;
	if (!rc)
		rc = group_value(t, w->group_m, index, w->is_wide);
	w->key.m = w->value;
	if (!rc)
		rc = group_value(t, w->group_n, index, w->is_wide);
	w->key.n = w->value;
	if (!rc)
		rc = group_value(t, w->group_k, index, w->is_wide);
	w->key.k = w->value;
	if (!rc)
		rc = group_value(t, w->group_size, index, w->is_wide);
	w->key.batch = w->value;
	return rc;
}

#endif
