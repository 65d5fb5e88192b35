// SPDX-License-Identifier: GPL-2.0-only
/*
 * The collective meter: which communicators processes make with NCCL, and what they
 * send through them.
 *
 * All ranks of a communicator pass the same id to the library, whatever node or
 * account they run under: the calls that make one are kept whole, one by one, until
 * user space has taken them (userspace/core/joining.h). The collectives are only summed, by
 * communicator and kind.
 *
 * An object of its own, as bpf/counter.bpf.c is: `control`, the switch, is the other
 * meters'. Frames stay below 64 bytes and what outlives a read of user memory is in
 * the thread's storage: bpf/work.bpf.h says why.
 */

#include "regs.bpf.h"
#include "collective.h"
#include <bpf/bpf_tracing.h>

#define EEXIST 17

char LICENSE_COLLECTIVE[] SEC("license") = "GPL";

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_control);
} control SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct om_collective_meta);
} collective_meta SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u64);
} collective_lost SEC(".maps");

/* Not pinned: the rows of this build. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OM_COLLECTIVE_SITES_MAX);
	__type(key, u32);
	__type(value, struct om_collective_site);
} collective_sites SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OM_COLLECTIVE_FILES_MAX);
	__type(key, u32);
	__type(value, struct om_collective_file);
} collective_files SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 32768);
	__type(key, struct om_collective_key);
	__type(value, struct om_collective);
} collectives SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct om_communicator_key);
	__type(value, struct om_communicator);
} communicators SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct om_proc_key);
	__type(value, struct om_collective_process);
} collective_processes SEC(".maps");

#define WORDS_MAX 16 /* ncclPutSignal: 11 arguments and the return address */
struct collective_work {
	u64 ip; /* where a probe of this thread fired last, and which */
	u32 seq;
	u32 site;
	u64 word[WORDS_MAX];
	u64 sp;
	u64 size;
	struct om_proc_key process;
	struct om_collective_key key;
	struct om_communicator_key place;
	struct om_communicator event;
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct collective_work);
} collective_threads SEC(".maps");

static const struct om_collective_process no_process;
static const struct om_collective no_collective;

static __noinline struct om_collective_process *process_get(struct collective_work *w)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct om_collective_process *p;

	if (!w)
		return NULL;
	w->process.start_ns = task->group_leader->start_boottime;
	w->process.tgid = task->tgid;
	w->process.pad = 0;
	p = bpf_map_lookup_elem(&collective_processes, &w->process);
	if (p)
		return p;
	bpf_map_update_elem(&collective_processes, &w->process, &no_process, BPF_NOEXIST);
	p = bpf_map_lookup_elem(&collective_processes, &w->process);
	if (p) {
		p->cgroup_id = bpf_get_current_cgroup_id();
		p->first_ns = bpf_ktime_get_boot_ns();
	}
	return p;
}

static __noinline int lose(struct om_collective_process *p, u32 cause)
{
	if (p && cause < OM_COLLECTIVE_LOST_END)
		__sync_fetch_and_add(&p->lost[cause], 1);
	return 0;
}

static __noinline int lose_nameless(void)
{
	u32 zero = 0;
	u64 *lost = bpf_map_lookup_elem(&collective_lost, &zero);

	if (lost)
		__sync_fetch_and_add(lost, 1);
	return 0;
}

static __always_inline bool is_off(void)
{
	u32 zero = 0;
	struct om_control *c = bpf_map_lookup_elem(&control, &zero);

	return c && c->off & (OM_OFF_NODE | OM_OFF_COLLECTIVE);
}

static __always_inline u64 word_at(struct collective_work *w, u32 i)
{
	return i < WORDS_MAX ? w->word[i] : 0;
}

/* Does the library call itself? */
static __noinline bool is_nested(struct collective_work *w)
{
	struct om_collective_file *f;
	u64 back, bias;
	u32 slot, site;

	if (!w)
		return false;
	slot = w->seq % OM_COLLECTIVE_FILES_MAX;
	f = bpf_map_lookup_elem(&collective_files, &slot);
	if (!f || f->seq != w->seq)
		return false;
	back = w->word[OM_ARG_REGS];
	site = w->site;
	bias = w->ip - (site < OM_COLLECTIVE_SITES_MAX ? f->site_vaddr[site] : 0);
	return back >= bias + f->text_start && back < bias + f->text_end;
}

/*
 * What every program begins with. NULL: nothing more to do, the call is accounted for.
 * Several probes may fire on one call (an overlay's two names for a file, an upgrade);
 * the first one counts: bpf/matmul.bpf.c, "first".
 */
static __always_inline struct om_collective_site *
begin(struct pt_regs *ctx, struct collective_work **ret_work, struct om_collective_process **ret_process)
{
	u64 cookie = bpf_get_attach_cookie(ctx);
	struct om_collective_process *p;
	struct om_collective_site *s;
	struct collective_work *w;
	u32 seq = OM_COOKIE_SEQ(cookie);
	bool is_same;

	w = bpf_task_storage_get(&collective_threads, bpf_get_current_task_btf(), NULL,
				 BPF_LOCAL_STORAGE_GET_F_CREATE);
	p = process_get(w);
	if (!w || !p) {
		lose_nameless();
		return NULL;
	}
	is_same = w->ip == OM_IP(ctx) && seq < w->seq;
	w->ip = OM_IP(ctx);
	w->seq = seq;
	w->site = OM_COOKIE_SITE(cookie);
	if (is_same) {
		__sync_fetch_and_add(&p->duplicates, 1);
		return NULL;
	}
	if (is_off()) {
		lose(p, OM_COLLECTIVE_LOST_OFF);
		return NULL;
	}
	s = bpf_map_lookup_elem(&collective_sites, &w->site);
	if (!s || !s->kind)
		return NULL;
	om_regs_get(w->word, ctx);
	if (om_stack_read(&w->word[OM_ARG_REGS], ctx, s->stack_words, WORDS_MAX - OM_ARG_REGS - 1)) {
		lose(p, OM_COLLECTIVE_LOST_READ);
		return NULL;
	}
	if (is_nested(w)) {
		__sync_fetch_and_add(&p->nested, 1);
		return NULL;
	}
	*ret_work = w;
	*ret_process = p;
	return s;
}

/* --- collectives --- */

/* Bytes of one element, by ncclDataType_t: a nibble each, lowest first; 0: not known. */
#define TYPE_SIZES 0x112842884411ULL
static __always_inline u64 type_size(u32 type)
{
	return type < 12 ? TYPE_SIZES >> 4 * type & 15 : 0;
}

static __noinline struct om_collective *sum_new(struct collective_work *w, struct om_collective_process *p)
{
	struct om_collective_meta *meta;
	struct om_collective *c;
	u32 zero = 0;

	meta = bpf_map_lookup_elem(&collective_meta, &zero);
	if (!w || !p || !meta)
		return NULL;
	if (__sync_fetch_and_add(&p->sums, 1) >= meta->quota) {
		/* all that come now are one; as many of it as there are kinds */
		w->key.comm = OM_COLLECTIVE_NO_COMM;
		c = bpf_map_lookup_elem(&collectives, &w->key);
		if (c) {
			__sync_fetch_and_add(&p->sums, -1);
			return c;
		}
	}
	if ((int)bpf_map_update_elem(&collectives, &w->key, &no_collective, BPF_NOEXIST))
		__sync_fetch_and_add(&p->sums, -1);
	return bpf_map_lookup_elem(&collectives, &w->key);
}

static __noinline int collective_add(struct collective_work *w, struct om_collective_process *p)
{
	struct om_collective *c;

	if (!w || !p)
		return 0;
	c = bpf_map_lookup_elem(&collectives, &w->key);
	if (!c)
		c = sum_new(w, p);
	if (!c)
		return lose(p, OM_COLLECTIVE_LOST_FULL);
	__sync_fetch_and_add(&c->calls, 1);
	__sync_fetch_and_add(&c->bytes[0], w->size & 0xffff);
	if (w->size >> 16) {
		__sync_fetch_and_add(&c->bytes[1], w->size >> 16 & 0xffff);
		__sync_fetch_and_add(&c->bytes[2], w->size >> 32 & 0xffff);
	}
	return 0;
}

SEC("uprobe.s")
int on_collective(struct pt_regs *ctx)
{
	struct om_collective_process *p = NULL;
	struct collective_work *w = NULL;
	struct om_collective_site *s = begin(ctx, &w, &p);
	u64 count, unit;

	if (!s || !w || !p)
		return 0;
	w->key.start_ns = w->process.start_ns;
	w->key.tgid = w->process.tgid;
	w->key.cgroup_id = bpf_get_current_cgroup_id();
	w->key.comm = word_at(w, s->comm);
	w->key.kind = s->kind;
	count = word_at(w, s->count);
	unit = type_size(word_at(w, s->type));
	w->size = count * unit;
	if (!unit) {
		lose(p, OM_COLLECTIVE_LOST_TYPE);
	} else if (count >= OM_COLLECTIVE_BYTES_MAX / 8) {
		w->size = 0;
		lose(p, OM_COLLECTIVE_LOST_ABSURD);
	}
	return collective_add(w, p);
}

/* --- communicators --- */

static __noinline int communicator_keep(struct collective_work *w, struct om_collective_process *p)
{
	int rc;

	if (!w || !p)
		return 0;
	w->event.number = __sync_fetch_and_add(&p->events, 1);
	w->place.start_ns = w->process.start_ns;
	w->place.tgid = w->process.tgid;
	w->place.place = w->event.number % OM_COMMUNICATORS_WAITING;
	rc = (int)bpf_map_update_elem(&communicators, &w->place, &w->event, BPF_NOEXIST);
	if (rc)
		return lose(p, rc == -EEXIST ? OM_COLLECTIVE_LOST_QUOTA : OM_COLLECTIVE_LOST_FULL);
	return 0;
}

/* The id, from the stack or by pointer. */
static __noinline int id_read(struct collective_work *w, u32 flags, u64 pointer)
{
	if (!w)
		return 0;
	if (flags & OM_COLLECTIVE_ID_IN_PLACE)
		pointer = w->sp;
	if (!pointer)
		return 0;
	if (bpf_copy_from_user(w->event.id, sizeof(w->event.id), (void *)pointer))
		return -1;
	w->event.flags |= OM_COMMUNICATOR_HAS_ID;
	return 0;
}

SEC("uprobe.s")
int on_communicator(struct pt_regs *ctx)
{
	struct om_collective_process *p = NULL;
	struct collective_work *w = NULL;
	struct om_collective_site *s = begin(ctx, &w, &p);

	if (!s || !w || !p)
		return 0;
	w->event.time_ns = bpf_ktime_get_boot_ns();
	w->event.cgroup_id = bpf_get_current_cgroup_id();
	w->event.comm = word_at(w, s->comm);
	w->event.kind = s->kind;
	w->event.flags = 0;
	w->event.nranks = word_at(w, s->nranks);
	w->event.rank = word_at(w, s->rank);
	w->event.ids = s->id == OM_SLOT_NONE ? 0 : s->ids == OM_SLOT_NONE ? 1 : word_at(w, s->ids);
	w->event.a = word_at(w, s->a);
	w->event.b = word_at(w, s->b);
	w->event.pad = 0;
	for (u32 i = 0; i < OM_COLLECTIVE_ID_SIZE; i++)
		w->event.id[i] = 0;
	w->sp = OM_STACK_ARGUMENTS(ctx);
	if (s->id != OM_SLOT_NONE && id_read(w, s->flags, word_at(w, s->id)))
		lose(p, OM_COLLECTIVE_LOST_READ);
	return communicator_keep(w, p);
}
