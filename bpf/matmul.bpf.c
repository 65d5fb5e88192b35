// SPDX-License-Identifier: GPL-2.0-only
/*
 * The shape meter: what processes ask the math libraries to multiply.
 *
 * One program for each way to pass sizes, driven by a table (`sites`); all of
 * them go through the same steps:
 *
 *   control    off? then the call is counted as skipped, and no more
 *   first      several probes may fire on one call (two overlay mounts show one
 *              file as two, an upgrade attaches the new programs beside the
 *              old): the kernel runs the consumers of a probe newest first, so
 *              within one call attachment numbers fall. A number that is not
 *              below the last one at this address in this thread begins a new call.
 *   nested     a return address inside the library, or inside the libcublas that
 *              the thread is in, is the library calling itself: counted apart
 *   read       sizes and types, by copying from user memory; the programs may
 *              sleep, so a page that is swapped out is fetched, not lost
 *   count      one atomic add to the entry of the shape; a new shape is charged
 *              to its process's quota, past which only operations are summed
 *
 * Exactness: nothing is sampled, and whatever cannot be counted is counted as
 * lost, by cause, under the process that it belongs to.
 */

#include "maps.bpf.h"
#include "abi.bpf.h"

#define EEXIST 17

char LICENSE[] SEC("license") = "GPL";

static __always_inline struct om_control *control_get(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&control, &zero);
}

static const struct om_sum no_sum;

static __always_inline struct om_sum *sum_at(void *map, struct om_sum_key *key)
{
	struct om_sum *s = bpf_map_lookup_elem(map, key);

	if (s)
		return s;
	bpf_map_update_elem(map, key, &no_sum, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/* The place of last resort: by cgroup, without the process. */
static __noinline struct om_sum *spill_get(struct om_sum_key *key)
{
	struct om_sum *s;

	om_stat_add(sum_failed);
	key->start_ns = 0;
	key->tgid = 0;
	s = sum_at(&spills, key);
	if (s)
		return s;
	key->types = OM_TYPES_UNKNOWN;
	s = sum_at(&spills, key);
	if (!s)
		om_stat_add(spill_failed);
	return s;
}

/* The sums of a process for one combination of types. How many of them it may
 * have is limited, as types are what the process says they are. */
static __noinline struct om_sum *sum_get(struct om_shape_key *key, u32 types)
{
	struct om_sum_key sum_key = {
		.start_ns = key->start_ns,
		.cgroup_id = key->cgroup_id,
		.tgid = key->tgid,
		.types = types,
	};
	struct om_proc_key proc_key = { .start_ns = key->start_ns, .tgid = key->tgid };
	struct om_sum *s = bpf_map_lookup_elem(&sums, &sum_key);
	struct om_limits *limit = limits_get();
	struct om_proc *p;

	if (s)
		return s;
	p = proc_get(&proc_key);
	if (!p || !limit)
		return spill_get(&sum_key);
	if (__sync_fetch_and_add(&p->sums, 1) >= limit->sums_per_process && types != OM_TYPES_UNKNOWN) {
		om_stat_add(sum_quota);
		sum_key.types = OM_TYPES_UNKNOWN;
	}
	s = sum_at(&sums, &sum_key);
	if (!s)
		return spill_get(&sum_key);
	return s;
}

static __noinline int lose(struct om_shape_key *key, u32 types, u32 cause)
{
	struct om_sum *s = sum_get(key, types);

	if (s && cause < OM_LOST_END)
		__sync_fetch_and_add(&s->lost[cause], 1);
	return 0;
}

/* m * n * k * batch; false if it is negative or not below 2^63. */
static __noinline bool product_of(struct om_shape_key *key, u64 *ret)
{
	u64 limit = 1ULL << 63;
	u64 product = key->m;

	if (key->m >= limit || key->n >= limit || key->k >= limit || key->batch >= limit)
		return false;
	if (!key->m || !key->n || !key->k || !key->batch) {
		*ret = 0;
		return true;
	}
	if (product > (limit - 1) / key->n)
		return false;
	product *= key->n;
	if (product > (limit - 1) / key->k)
		return false;
	product *= key->k;
	if (product > (limit - 1) / key->batch)
		return false;
	*ret = product * key->batch;
	return true;
}

/* Without its shape: no room for one. */
static __noinline int count_sum(struct om_shape_key *key, u64 product)
{
	struct om_sum *s = sum_get(key, key->types);

	if (!s)
		return 0;
	if (key->flags & OM_FLAG_NESTED) {
		__sync_fetch_and_add(&s->nested, 1);
		return 0;
	}
	__sync_fetch_and_add(&s->calls, 1);
	__sync_fetch_and_add(&s->products[0], product & 0xffff);
	__sync_fetch_and_add(&s->products[1], product >> 16 & 0xffff);
	__sync_fetch_and_add(&s->products[2], product >> 32 & 0xffff);
	__sync_fetch_and_add(&s->products[3], product >> 48);
	return 0;
}

/* A shape that the process has not asked for before. */
static __noinline int count_new(struct om_shape_key *key)
{
	struct om_proc_key proc_key = { .start_ns = key->start_ns, .tgid = key->tgid };
	struct om_limits *limit = limits_get();
	u64 product = 0, one = 1, *calls;
	struct om_proc *p;
	/* Not a long: until d7ba4cc900bf ("bpf: return long from bpf_map_ops funcs", 6.4) the
	 * upper half of the register is not the sign's, and -EEXIST did not compare equal. */
	int rc;

	if (!product_of(key, &product))
		return lose(key, key->types, OM_LOST_ABSURD);
	p = proc_get(&proc_key);
	if (!p || !limit)
		return count_sum(key, product);
	if (__sync_fetch_and_add(&p->shapes, 1) >= limit->shapes_per_process) {
		__sync_fetch_and_add(&p->shapes, -1);
		om_stat_add(shape_quota);
		return count_sum(key, product);
	}
	rc = (int)bpf_map_update_elem(&shapes, key, &one, BPF_NOEXIST);
	if (!rc)
		return 0;
	__sync_fetch_and_add(&p->shapes, -1);
	calls = rc == -EEXIST ? bpf_map_lookup_elem(&shapes, key) : NULL;
	if (calls) {
		__sync_fetch_and_add(calls, 1);
		return 0;
	}
	om_stat_add(shape_failed);
	return count_sum(key, product);
}

static __always_inline int count(struct om_shape_key *key)
{
	u64 *calls = bpf_map_lookup_elem(&shapes, key);

	if (!calls)
		return count_new(key);
	__sync_fetch_and_add(calls, 1);
	return 0;
}

/* Notes that this probe fired; false if an earlier one did on the same call. */
static __always_inline bool is_first(struct om_thread *t, u64 ip, u32 seq)
{
	bool same = t->ip == ip && seq < t->seq;

	t->ip = ip;
	t->seq = seq;
	return !same;
}

/*
 * The common beginning: returns the call's site, or NULL if there is nothing
 * more to do; the call is then accounted for.
 */
static __always_inline const struct om_call_site *begin(struct pt_regs *ctx, struct om_shape_key *key,
							struct om_thread **ret_thread)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	struct om_control *c = control_get();
	struct task_struct *task = bpf_get_current_task_btf();
	u32 index = OM_COOKIE_SITE(cookie);
	struct om_thread *t;
	struct om_sum *s;

	if (!c)
		return NULL;
	key->tgid = task->tgid;
	key->start_ns = task->group_leader->start_boottime;
	key->cgroup_id = bpf_get_current_cgroup_id();
	t = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	*ret_thread = t;
	if (!t) {
		om_stat_add(thread_failed);
	} else if (!is_first(t, OM_IP(ctx), OM_COOKIE_SEQ(cookie))) {
		om_stat_add(duplicates);
		s = sum_get(key, OM_TYPES_UNKNOWN);
		if (s)
			__sync_fetch_and_add(&s->duplicates, 1);
		return NULL;
	}
	if (c->off) {
		om_stat_add(off);
		lose(key, OM_TYPES_UNKNOWN, OM_LOST_OFF);
		return NULL;
	}
	return bpf_map_lookup_elem(&sites, &index);
}

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

static __always_inline bool is_nested(struct pt_regs *ctx, struct om_shape_key *key,
				      const struct om_call_site *site, struct om_thread *t, u64 ret_address)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
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

static __noinline int gemm_read(struct pt_regs *ctx, struct om_shape_key *key,
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
	if (is_nested(ctx, key, site, t, OM_RETURN_ADDRESS(&w)))
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

static __noinline int lt_read(struct pt_regs *ctx, struct om_shape_key *key,
			      const struct om_call_site *site, struct om_thread *t)
{
	u32 row = OM_COOKIE_ROW(bpf_get_attach_cookie(ctx));
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
	if (is_nested(ctx, key, site, t, OM_RETURN_ADDRESS(&call)))
		key->flags |= OM_FLAG_NESTED;
	return rc;
}

static __always_inline int finish(struct om_shape_key *key, int rc)
{
	if (!rc)
		return count(key);
	if (rc == LOST(OM_LOST_INCONSISTENT))
		return lose(key, key->types, OM_LOST_INCONSISTENT);
	return lose(key, OM_TYPES_UNKNOWN, rc - 1);
}

SEC("uprobe.s")
int on_lt_matmul(struct pt_regs *ctx)
{
	const struct om_call_site *site;
	struct om_shape_key key = {};
	struct om_thread *t = NULL;

	site = begin(ctx, &key, &t);
	if (!site)
		return 0;
	return finish(&key, lt_read(ctx, &key, site, t));
}

SEC("uprobe.s")
int on_gemm(struct pt_regs *ctx)
{
	const struct om_call_site *site;
	struct om_shape_key key = {};
	struct om_thread *t = NULL;

	site = begin(ctx, &key, &t);
	if (!site)
		return 0;
	return finish(&key, gemm_read(ctx, &key, site, t));
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

static long on_group(u32 index, struct groups *g)
{
	u64 transa = 0, transb = 0, v = 0;
	int rc;

	rc = group_value(g->transa, index, false, &transa);
	if (!rc)
		rc = group_value(g->transb, index, false, &transb);
	if (!rc)
		rc = group_value(g->m, index, g->is_wide, &v);
	g->key.m = v;
	if (!rc)
		rc = group_value(g->n, index, g->is_wide, &v);
	g->key.n = v;
	if (!rc)
		rc = group_value(g->k, index, g->is_wide, &v);
	g->key.k = v;
	if (!rc)
		rc = group_value(g->size, index, g->is_wide, &v);
	g->key.batch = v;
	g->rc = rc;
	if (rc)
		return 1;
	g->key.flags = (g->key.flags & ~15u) | transposition(transa, false) | transposition(transb, false) << 2;
	count(&g->key);
	return 0;
}

static __noinline int groups_read(struct pt_regs *ctx, struct groups *g, const struct om_call_site *site,
				  struct om_thread *t)
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
	if (is_nested(ctx, &g->key, site, t, OM_RETURN_ADDRESS(&w)))
		g->key.flags |= OM_FLAG_NESTED;
	return g->count > GROUPS_MAX ? LOST(OM_LOST_ABSURD) : 0;
}

SEC("uprobe.s")
int on_gemm_grouped(struct pt_regs *ctx)
{
	const struct om_call_site *site;
	struct om_thread *t = NULL;
	struct groups g = {};
	int rc;

	site = begin(ctx, &g.key, &t);
	if (!site)
		return 0;
	rc = groups_read(ctx, &g, site, t);
	if (!rc) {
		bpf_loop(g.count, on_group, &g, 0);
		rc = g.rc;
	}
	return rc ? lose(&g.key, rc == LOST(OM_LOST_ABSURD) ? g.key.types : OM_TYPES_UNKNOWN, rc - 1) : 0;
}
