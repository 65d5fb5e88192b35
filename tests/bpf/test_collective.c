// SPDX-License-Identifier: Apache-2.0
/*
 * The collective meter on the real libnccl of both CUDA lines. Without a GPU its calls
 * refuse after their entry, which is all that the meter sees of them: a communicator's
 * handle is a stretch of zeros here, which the library recognises as none.
 */
#include "kit.h"

#include <bpf/bpf.h>
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <sodium/crypto_generichash.h>

#include "tests.h"
#include "userspace/agent/collective.h"
#include "userspace/agent/collective_entries.h"

#define NCCL_12 "nccl-cu12-2.32.3"
#define NCCL_13 "nccl-cu13-2.32.3"

enum { INT8 = 0, INT32 = 2, INT64 = 4, FLOAT16 = 6, FLOAT32 = 7, FLOAT64 = 8, BFLOAT16 = 9, FLOAT8 = 10 };

struct id {
	uint8_t byte[OM_COLLECTIVE_ID_SIZE];
};

static struct blas nccl;
static char zeros[64 << 20] __attribute__((aligned(4096)));
static const uint8_t key[COLLECTIVE_KEY_SIZE] = { 1, 2, 3, 5, 8, 13 };
static int control = -1;

static struct collective *open_meter(const struct collective_config *more)
{
	struct collective_config c = more ? *more : (struct collective_config){};
	struct error_text err = {};
	struct collective *m = NULL;
	int rc;

	if (control < 0)
		control = bpf_map_create(BPF_MAP_TYPE_ARRAY, "control", 4, sizeof(struct om_control), 1, NULL);
	c.pin_dir = kit_pins;
	c.control_fd = control;
	memcpy(c.key, key, sizeof(key));
	rc = collective_open(&c, &m, &err);
	check(!rc, "collective_open: %d, %s", rc, err.text);
	return m;
}

static void attach(struct collective *m)
{
	struct error_text err = {};
	int rc = collective_attach(m, &nccl.lib, &err);

	check(!rc, "collective_attach: %d, %s", rc, err.text);
}

static struct collective_snapshot read_all(struct collective *m)
{
	struct collective_snapshot s;
	int rc = collective_read(m, true, &s);

	check(!rc, "collective_read: %d", rc);
	return s;
}

static struct om_collective_process process_of(struct collective *m, pid_t pid)
{
	struct collective_snapshot s = read_all(m);

	for (size_t i = 0; i < s.process_count; i++)
		if (s.processes[i].key.tgid == (uint32_t)pid)
			return s.processes[i].value;
	fail("process %d was not seen", pid);
}

static uint64_t lost_of(const struct om_collective_process *p)
{
	uint64_t lost = 0;

	for (int i = 0; i < OM_COLLECTIVE_LOST_END; i++)
		lost += p->lost[i];
	return lost;
}

/* Calls and bytes of one kind, over all communicators (0) or one. */
static uint64_t sum_of(struct collective *m, pid_t pid, uint32_t kind, uint64_t comm, uint64_t *ret_bytes)
{
	struct collective_snapshot s = read_all(m);
	uint64_t calls = 0, bytes = 0;

	for (size_t i = 0; i < s.sum_count; i++) {
		const struct collective_sum_row *r = &s.sums[i];

		if (r->key.tgid != (uint32_t)pid || r->key.kind != kind || (comm && r->key.comm != comm))
			continue;
		calls += r->value.calls;
		bytes += (uint64_t)collective_bytes(&r->value);
	}
	if (ret_bytes)
		*ret_bytes = bytes;
	return calls;
}

static void call(const char *symbol, const uint64_t *arg, size_t count)
{
	uint64_t a[KIT_ARGS] = {};
	void *f = dlsym(nccl.handle, symbol);

	check(f, "%s: not exported", symbol);
	memcpy(a, arg, count * sizeof(*arg));
	kit_call(f, a);
}
#define CALL(symbol, ...) call(symbol, (const uint64_t[]){ __VA_ARGS__ }, sizeof((const uint64_t[]){ __VA_ARGS__ }) / 8)
#define COMM ((uint64_t)zeros)

/* --- every entry --- */

static struct {
	const char *symbol;
	uint32_t kind, type, size, position; /* where the count is; the type follows */
	uint32_t comm;
} const collectives[] = {
	{ "ncclAllReduce", OM_COLLECTIVE_ALL_REDUCE, FLOAT32, 4, 2, 5 },
	{ "ncclAllReduceConfig", OM_COLLECTIVE_ALL_REDUCE, BFLOAT16, 2, 2, 5 },
	{ "ncclReduceScatter", OM_COLLECTIVE_REDUCE_SCATTER, FLOAT64, 8, 2, 5 },
	{ "ncclReduceScatterConfig", OM_COLLECTIVE_REDUCE_SCATTER, FLOAT8, 1, 2, 5 },
	{ "ncclAllGather", OM_COLLECTIVE_ALL_GATHER, FLOAT16, 2, 2, 4 },
	{ "ncclAllGatherConfig", OM_COLLECTIVE_ALL_GATHER, INT8, 1, 2, 4 },
	{ "ncclBroadcast", OM_COLLECTIVE_BROADCAST, INT64, 8, 2, 5 },
	{ "ncclBroadcastConfig", OM_COLLECTIVE_BROADCAST, INT32, 4, 2, 5 },
	{ "ncclBcast", OM_COLLECTIVE_BROADCAST, FLOAT32, 4, 1, 4 },
	{ "ncclReduce", OM_COLLECTIVE_REDUCE, FLOAT32, 4, 2, 6 },
	{ "ncclReduceConfig", OM_COLLECTIVE_REDUCE, INT32, 4, 2, 6 },
	{ "ncclAlltoAll", OM_COLLECTIVE_ALL_TO_ALL, 1, 1, 2, 4 },
	{ "ncclAlltoAllConfig", OM_COLLECTIVE_ALL_TO_ALL, 3, 4, 2, 4 },
	{ "ncclGather", OM_COLLECTIVE_GATHER, 5, 8, 2, 5 },
	{ "ncclGatherConfig", OM_COLLECTIVE_GATHER, FLOAT32, 4, 2, 5 },
	{ "ncclScatter", OM_COLLECTIVE_SCATTER, 11, 1, 2, 5 },
	{ "ncclScatterConfig", OM_COLLECTIVE_SCATTER, FLOAT32, 4, 2, 5 },
	{ "ncclSend", OM_COLLECTIVE_SEND, FLOAT16, 2, 1, 4 },
	{ "ncclRecv", OM_COLLECTIVE_RECV, BFLOAT16, 2, 1, 4 },
	{ "ncclPutSignal", OM_COLLECTIVE_PUT, FLOAT32, 4, 1, 9 },
};
#define COLLECTIVES (sizeof(collectives) / sizeof(collectives[0]))

static uint64_t calls_of(size_t i)
{
	return 3 + i;
}

/* Over 2^32 bytes a call, so that a size cut short would show. */
static uint64_t count_of(size_t i)
{
	return 4294967311ull + 2 * i;
}

static void call_collectives(void *arg)
{
	for (size_t i = 0; i < COLLECTIVES; i++) {
		uint64_t a[12] = {};

		a[collectives[i].position] = count_of(i);
		a[collectives[i].position + 1] = collectives[i].type;
		a[collectives[i].comm] = COMM;
		for (uint64_t n = 0; n < calls_of(i); n++)
			call(collectives[i].symbol, a, 12);
	}
	CALL("ncclAllReduce", 0, 0, 1000, 12, 0, COMM);		     /* no such type */
	CALL("ncclAllReduce", 0, 0, 1000, 0xffffffffull, 0, COMM);   /* nor that */
	CALL("ncclAllReduce", 0, 0, 1ull << 60, FLOAT64, 0, COMM);   /* more than there is */
	CALL("ncclAllReduce", 0, 0, ~0ull, INT8, 0, COMM);
	CALL("ncclAllReduce", 0, 0, 0, FLOAT32, 0, COMM);
	CALL("ncclAllReduce", 0, 0, 17, FLOAT32, 0, 0); /* no communicator */
}

static void check_collectives(struct collective *m, pid_t pid)
{
	struct om_collective_process p = process_of(m, pid);

	for (uint32_t kind = 1; kind < OM_COLLECTIVE_KIND_END; kind++) {
		uint64_t calls = 0, bytes = 0, got_bytes;

		for (size_t i = 0; i < COLLECTIVES; i++) {
			if (collectives[i].kind != kind)
				continue;
			calls += calls_of(i);
			bytes += calls_of(i) * count_of(i) * collectives[i].size;
		}
		calls += kind == OM_COLLECTIVE_ALL_REDUCE ? 5 : 0;
		check_equal(sum_of(m, pid, kind, COMM, &got_bytes), calls, collective_kind_name(kind));
		check_equal(got_bytes, bytes, collective_kind_name(kind));
	}
	check_equal(p.nested, calls_of(8), "ncclBcast calls ncclBroadcast: one call");
	check_equal(p.lost[OM_COLLECTIVE_LOST_TYPE], 2, "unknown datatypes");
	check_equal(p.lost[OM_COLLECTIVE_LOST_ABSURD], 2, "absurd counts");
	check_equal(lost_of(&p), 4, "other losses");
	check_equal(p.duplicates, 0, "duplicates");
}

/* --- communicators --- */

static struct id id_of(unsigned n)
{
	struct id id;

	for (size_t i = 0; i < sizeof(id); i++)
		id.byte[i] = (uint8_t)(n * 37 + i * 11 + 1);
	return id;
}

static void init_rank(unsigned n, int nranks, int rank)
{
	int (*f)(void **, int, struct id, int) = dlsym(nccl.handle, "ncclCommInitRank");
	void *comm = NULL;

	check(f(&comm, nranks, id_of(n), rank), "an initialisation that succeeds without a GPU");
}

static void call_communicators(void *arg)
{
	int (*config)(void **, int, struct id, int, void *) = dlsym(nccl.handle, "ncclCommInitRankConfig");
	struct id ids[3] = { id_of(3), id_of(4), id_of(5) };
	void *comm = NULL;

	init_rank(1, 7, 3);
	config(&comm, 11, id_of(2), 10, NULL);
	CALL("ncclCommInitRankScalable", (uint64_t)&comm, 13, 12, 3, (uint64_t)ids, 0);
	CALL("ncclCommInitAll", (uint64_t)&comm, 0, 0);
	CALL("ncclCommSplit", COMM, (uint64_t)-1, 5, (uint64_t)&comm, 0);
	CALL("ncclCommGrow", 0, 17, (uint64_t)&ids[1], 16, (uint64_t)&comm, 0);
	CALL("ncclCommRevoke", 0, 0);
	CALL("ncclCommFinalize", 0);
	CALL("ncclCommDestroy", 0);
	CALL("ncclCommAbort", 0);
	CALL("ncclCommGrow", 0, 19, 0, (uint64_t)-1, (uint64_t)&comm, 0); /* as ranks do that are there already */
}

static const struct {
	uint32_t kind;
	int32_t nranks, rank;
	unsigned id; /* 0: none */
	uint32_t ids;
	int32_t a, b;
} wanted[] = {
	{ OM_COMMUNICATOR_INIT, 7, 3, 1, 1, 0, 0 },	  { OM_COMMUNICATOR_INIT, 11, 10, 2, 1, 0, 0 },
	{ OM_COMMUNICATOR_INIT, 13, 12, 3, 3, 0, 0 },
	{ OM_COMMUNICATOR_INIT_ALL, 0, 0, 0, 0, 0, 0 }, { OM_COMMUNICATOR_SPLIT, 0, 0, 0, 0, -1, 5 },
	{ OM_COMMUNICATOR_GROW, 17, 16, 4, 1, 0, 0 },	  { OM_COMMUNICATOR_REVOKE, 0, 0, 0, 0, 0, 0 },
	{ OM_COMMUNICATOR_FINALIZE, 0, 0, 0, 0, 0, 0 }, { OM_COMMUNICATOR_DESTROY, 0, 0, 0, 0, 0, 0 },
	{ OM_COMMUNICATOR_ABORT, 0, 0, 0, 0, 0, 0 },	  { OM_COMMUNICATOR_GROW, 19, -1, 0, 1, 0, 0 },
};
#define WANTED (sizeof(wanted) / sizeof(wanted[0]))

static const struct collective_event *event_at(const struct collective_snapshot *s, pid_t pid, uint64_t number)
{
	for (size_t i = 0; i < s->event_count; i++)
		if (s->events[i].key.tgid == (uint32_t)pid && s->events[i].number == number)
			return &s->events[i];
	fail("event %llu of process %d is not there", (unsigned long long)number, pid);
}

static void check_communicators(struct collective *m, pid_t pid)
{
	struct om_collective_process p = process_of(m, pid);
	struct collective_snapshot s = read_all(m);
	uint64_t before = 0;

	for (size_t i = 0; i < WANTED; i++) {
		const struct collective_event *e = event_at(&s, pid, i);
		struct id raw = id_of(wanted[i].id);
		struct om_id id = {};

		if (wanted[i].id)
			crypto_generichash(id.byte, sizeof(id), raw.byte, sizeof(raw), key, sizeof(key));
		check_equal(e->kind, wanted[i].kind, "kind");
		check(e->nranks == wanted[i].nranks && e->rank == wanted[i].rank, "%s %zu: rank %d of %d",
		      collective_kind_name(e->kind), i, e->rank, e->nranks);
		check_equal(e->has_id, wanted[i].id != 0, "has an id");
		check(om_id_equal(&e->id, &id), "%s %zu: the id is another", collective_kind_name(e->kind), i);
		check_equal(e->ids, wanted[i].ids, "ids");
		check(e->a == wanted[i].a && e->b == wanted[i].b, "%s: %d, %d", collective_kind_name(e->kind),
		      e->a, e->b);
		check(e->kind != OM_COMMUNICATOR_SPLIT || e->comm == COMM, "the handle that is split");
		check(e->time_ns >= before && e->cgroup_id, "time or cgroup");
		before = e->time_ns;
	}
	check_equal(p.events, WANTED, "events");
	check_equal(lost_of(&p), 0, "losses");
}

/* The library cannot read it either, and dies of it. */
static void call_unreadable(void *arg)
{
	void *comm = NULL;

	CALL("ncclCommInitRankScalable", (uint64_t)&comm, 13, 12, 3, 4096, 0);
}

static void check_unreadable(struct collective *m)
{
	pid_t pid = kit_spawn(call_unreadable, NULL);
	struct om_collective_process p;
	struct collective_snapshot s;

	waitpid(pid, NULL, 0);
	p = process_of(m, pid);
	s = read_all(m);
	check_equal(p.lost[OM_COLLECTIVE_LOST_READ], 1, "an id that could not be read");
	check_equal(lost_of(&p), 1, "other losses");
	check(!event_at(&s, pid, 0)->has_id && event_at(&s, pid, 0)->nranks == 13, "the event without its id");
}

static void test_version(const char *version)
{
	_cleanup_collective_ struct collective *m = NULL;
	struct collective_snapshot s;
	pid_t pid;

	nccl = kit_load(version, "libnccl.so.2");
	m = open_meter(NULL);
	attach(m);
	check_collectives(m, kit_run(call_collectives, NULL));
	pid = kit_run(call_communicators, NULL);
	check_communicators(m, pid);
	check_unreadable(m);
	check(!collective_taken(m), "collective_taken: %m");
	s = read_all(m);
	for (size_t i = 0; i < s.event_count; i++)
		check(s.events[i].key.tgid != (uint32_t)pid, "an event that was taken is still there");
	while ((s = read_all(m)).process_count) {
		struct om_proc_key k = s.processes[0].key;

		check(!collective_forget(m, &k, 1), "collective_forget: %m");
	}
	check_equal(s.sum_count, 0, "what is left of the forgotten");
	check_equal(s.lost, 0, "nameless losses");
}

void test_collective_12(void)
{
	test_version(NCCL_12);
}

void test_collective_13(void)
{
	test_version(NCCL_13);
}

/* --- quotas --- */

enum { QUOTA = 50, MANY = 211 };

static void call_many(void *arg)
{
	for (unsigned round = 0; round < 2; round++)
		for (uint64_t i = 0; i < MANY; i++) {
			CALL("ncclAllReduce", 0, 0, 5 + i, FLOAT32, 0, COMM + 4096 * (i % 64) + 8 * (i / 64));
			CALL("ncclSend", 0, 5, INT8, 0, COMM + 4096 * (i % 64) + 8 * (i / 64));
		}
	for (int i = 0; i < OM_COMMUNICATORS_WAITING + 7; i++)
		init_rank(1, 7, 3);
}

static void call_few(void *arg)
{
	for (int i = 0; i < 11; i++)
		CALL("ncclAllReduce", 0, 0, 13, FLOAT32, 0, COMM);
	init_rank(2, 2, 1);
}

static void sleep_then_init(void *arg)
{
	int *gate = arg;
	char byte;

	for (int i = 0; i < OM_COMMUNICATORS_WAITING + 1; i++)
		init_rank(1, 7, 3);
	check(read(gate[0], &byte, 1) == 1, "read: %m");
	init_rank(1, 7, 3);
}

static void check_room_again(struct collective *m)
{
	struct om_collective_process p;
	int gate[2];
	pid_t pid;

	check(!pipe(gate), "pipe: %m");
	pid = kit_spawn(sleep_then_init, gate);
	do {
		kit_sleep_ms(10);
		p = read_all(m).process_count ? process_of(m, pid) : (struct om_collective_process){};
	} while (p.events < OM_COMMUNICATORS_WAITING + 1);
	read_all(m);
	check(!collective_taken(m), "collective_taken: %m");
	check(write(gate[1], "x", 1) == 1, "write: %m");
	kit_wait(pid);
	p = process_of(m, pid);
	check_equal(p.lost[OM_COLLECTIVE_LOST_QUOTA], 1, "events lost before there was room again");
	check_equal(p.events, OM_COMMUNICATORS_WAITING + 2, "events");
}

void test_collective_quota(void)
{
	struct collective_config c = { .sums_per_process = QUOTA };
	_cleanup_collective_ struct collective *m = NULL;
	struct om_collective_process p;
	uint64_t bytes;
	pid_t greedy, modest;

	nccl = kit_load(NCCL_13, "libnccl.so.2");
	m = open_meter(&c);
	attach(m);
	greedy = kit_spawn(call_many, NULL);
	modest = kit_spawn(call_few, NULL);
	kit_wait(greedy);
	kit_wait(modest);
	check_equal(sum_of(m, greedy, OM_COLLECTIVE_ALL_REDUCE, 0, &bytes), 2 * MANY, "all-reduces");
	check_equal(bytes, 2ull * 4 * (5 * MANY + MANY * (MANY - 1) / 2), "bytes");
	check_equal(sum_of(m, greedy, OM_COLLECTIVE_SEND, 0, &bytes), 2 * MANY, "sends");
	check(sum_of(m, greedy, OM_COLLECTIVE_SEND, OM_COLLECTIVE_NO_COMM, NULL) >= 2 * (MANY - QUOTA),
	      "beyond the quota communicators are not told apart");
	p = process_of(m, greedy);
	check(p.sums <= QUOTA + OM_COLLECTIVE_KIND_END, "it has %llu entries", (unsigned long long)p.sums);
	check_equal(p.lost[OM_COLLECTIVE_LOST_QUOTA], 7, "events beyond the quota");
	check_equal(lost_of(&p), 7, "other losses");
	p = process_of(m, modest);
	check_equal(lost_of(&p), 0, "losses of the modest one");
	check_equal(sum_of(m, modest, OM_COLLECTIVE_ALL_REDUCE, COMM, NULL), 11, "its all-reduces");
	check_equal(p.events, 1, "its events");
	check_room_again(m);
}

/* Maps that are too small for what is asked of them: every call is counted or lost by cause. */
void test_collective_full(void)
{
	struct collective_config c = { .sums_max = 16, .communicators_max = 8, .processes_max = 2 };
	_cleanup_collective_ struct collective *m = NULL;
	struct om_collective_process p;
	pid_t first;

	nccl = kit_load(NCCL_13, "libnccl.so.2");
	m = open_meter(&c);
	attach(m);
	first = kit_run(call_many, NULL);
	p = process_of(m, first);
	check_equal(sum_of(m, first, OM_COLLECTIVE_ALL_REDUCE, 0, NULL) +
			    sum_of(m, first, OM_COLLECTIVE_SEND, 0, NULL) + p.lost[OM_COLLECTIVE_LOST_FULL] +
			    p.lost[OM_COLLECTIVE_LOST_QUOTA] + read_all(m).event_count,
		    4 * MANY + OM_COMMUNICATORS_WAITING + 7, "counted or lost");
	check(p.lost[OM_COLLECTIVE_LOST_FULL], "the maps were not full");
	for (int i = 0; i < 3; i++)
		kit_run(call_few, NULL);
	check_equal(read_all(m).lost, 2 * 12, "calls of processes for which there was no room");
}

/* --- switch, upgrade, killed agent --- */

static struct {
	bool stop;
	uint64_t calls, inits;
} * shared;

static void worker(void *arg)
{
	while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
		CALL("ncclAllReduce", 0, 0, 3, FLOAT32, 0, COMM);
		__atomic_add_fetch(&shared->calls, 1, __ATOMIC_RELEASE);
	}
}

static void holder(void *salt)
{
	struct collective_config c = { .build_salt = (uintptr_t)salt };

	attach(open_meter(&c));
	pause();
}

void test_collective_upgrade(void)
{
	_cleanup_collective_ struct collective *m = NULL;
	struct om_collective_process p;
	uint64_t bytes;
	pid_t pid;

	nccl = kit_load(NCCL_13, "libnccl.so.2");
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	control = bpf_map_create(BPF_MAP_TYPE_ARRAY, "control", 4, sizeof(struct om_control), 1, NULL);
	m = open_meter(NULL);
	attach(m);
	check_equal(collective_attached_count(m), 1, "files");
	m = collective_free(m);
	pid = kit_spawn(worker, NULL);
	/* builds 1 to 4: each is killed, some of them while they attach; calls go on */
	for (uintptr_t salt = 1; salt < 5; salt++) {
		pid_t loader = kit_spawn(holder, (void *)salt);

		kit_sleep_ms(salt == 2 ? 20 : 700);
		kill(loader, SIGKILL);
		waitpid(loader, NULL, 0);
	}
	m = open_meter(NULL);
	check(collective_was_adopted(m), "the maps were made anew");
	attach(m);
	kit_sleep_ms(300);
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
	kit_wait(pid);
	p = process_of(m, pid);
	check_equal(sum_of(m, pid, OM_COLLECTIVE_ALL_REDUCE, COMM, &bytes), shared->calls, "calls");
	check_equal(bytes, shared->calls * 12, "bytes");
	check_equal(lost_of(&p), 0, "losses");
	printf("%llu calls, %llu under several probes\n", (unsigned long long)shared->calls,
	       (unsigned long long)p.duplicates);
}

/* One file under two names, as an overlay shows it: both have probes, one counts. */
void test_collective_overlay(void)
{
	_cleanup_collective_ struct collective *m = NULL;
	struct om_collective_process p;
	struct error_text err = {};
	struct library other;
	pid_t pid;

	nccl = kit_load(NCCL_13, "libnccl.so.2");
	m = open_meter(NULL);
	attach(m);
	other = nccl.lib;
	other.ino++;
	check(!collective_attach(m, &other, &err), "%s", err.text);
	check_equal(collective_attached_count(m), 2, "names");
	pid = kit_run(call_few, NULL);
	p = process_of(m, pid);
	check_equal(p.duplicates, 12, "probes that found the call counted");
	check_equal(sum_of(m, pid, OM_COLLECTIVE_ALL_REDUCE, COMM, NULL), 11, "calls");
	check_equal(p.events, 1, "events");
	check(!collective_release(m, nccl.lib.dev, other.ino), "release");
	check(collective_release(m, nccl.lib.dev, other.ino) == -ENOENT, "released twice");
	check_equal(collective_attached_count(m), 1, "names that are left");
}

void test_collective_off(void)
{
	static const uint32_t bits[] = { OM_OFF_COLLECTIVE, OM_OFF_NODE, OM_OFF_SHAPE };
	_cleanup_collective_ struct collective *m = NULL;
	uint32_t zero = 0;

	nccl = kit_load(NCCL_13, "libnccl.so.2");
	m = open_meter(NULL);
	attach(m);
	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++) {
		struct om_control state = { .off = bits[i] };
		bool is_ours = bits[i] != OM_OFF_SHAPE;
		struct om_collective_process p;
		pid_t pid;

		check(!bpf_map_update_elem(control, &zero, &state, BPF_ANY), "control: %m");
		pid = kit_run(call_few, NULL);
		p = process_of(m, pid);
		check_equal(p.lost[OM_COLLECTIVE_LOST_OFF], is_ours ? 12 : 0, "calls while it was off");
		check_equal(sum_of(m, pid, OM_COLLECTIVE_ALL_REDUCE, 0, NULL), is_ours ? 0 : 11, "calls");
		check_equal(p.events, !is_ours, "events");
	}
}
