// SPDX-License-Identifier: Apache-2.0
/*
 * Loaders come and go while calls go on: killed at any moment, replaced by another
 * build, switched off. The workers count their own calls; the meter must agree to
 * the last one.
 *
 * That a call is counted once while two builds' probes are attached rests on the
 * kernel running the newest consumer first: were it the other way round, every
 * call under two probes would be counted twice here.
 */
#include "kit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests.h"

enum { PROCESSES = 2, THREADS = 2, SLOTS = PROCESSES * THREADS, BF16 = 14, COMPUTE_32F = 68 };

static struct shared {
	bool stop;
	uint64_t calls[SLOTS][8]; /* a cache line each */
} * shared;

static struct blas lt_lib, cublas;
static struct lt lt;

static void *work(void *arg)
{
	uint64_t *calls = arg;
	void *sgemm = kit_symbol(&cublas, "cublasSgemm_v2");

	while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
		kit_lt_call(&lt);
		kit_sgemm(sgemm, 3, 5, 7);
		*calls += 2;
	}
	return NULL;
}

static void worker(void *arg)
{
	size_t first = (size_t)(uintptr_t)arg * THREADS;
	pthread_t thread[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		check(!pthread_create(&thread[i], NULL, work, shared->calls[first + i]), "pthread_create");
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
}

static void workers_start(pid_t *pid)
{
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(shared != MAP_FAILED, "mmap: %m");
	for (size_t i = 0; i < PROCESSES; i++)
		pid[i] = kit_spawn(worker, (void *)(uintptr_t)i);
}

static uint64_t workers_calls(void)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < SLOTS; i++)
		sum += *(volatile uint64_t *)shared->calls[i];
	return sum;
}

static uint64_t workers_stop(const pid_t *pid)
{
	__atomic_store_n(&shared->stop, true, __ATOMIC_RELEASE);
	for (size_t i = 0; i < PROCESSES; i++)
		kit_wait(pid[i]);
	return workers_calls();
}

static void load_libraries(bool with_all)
{
	static const char *const few[] = { "cublasSgemm_v2", NULL };

	lt_lib = kit_load("13.10.0.20", "libcublasLt.so.13");
	cublas = kit_load("13.10.0.20", "libcublas.so.13");
	if (!with_all)
		kit_keep_entries(&cublas.lib, few);
	lt = kit_lt(&lt_lib, BF16, BF16, BF16, COMPUTE_32F, true, false, 64, 128, 256, 1);
}

static uint32_t *attached; /* how many loaders have attached; shared with them */

/* A loader that is killed while it attaches, or after. */
static void loader(void *salt)
{
	struct probes_config c = { .build_salt = (uintptr_t)salt };
	struct probes *p = kit_open(&c);

	kit_attach(p, &lt_lib.lib);
	kit_attach(p, &cublas.lib);
	__atomic_add_fetch(attached, 1, __ATOMIC_RELEASE);
	pause();
}

/* Killed as soon as it is attached for good. */
static void loader_run_to_end(uintptr_t salt)
{
	pid_t pid = kit_spawn(loader, (void *)salt);

	for (int i = 0; i < 6000 && !__atomic_load_n(attached, __ATOMIC_ACQUIRE); i++)
		kit_sleep_ms(10);
	check(*attached == 1, "the first loader was not attached within a minute");
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void loader_run_and_kill(uintptr_t salt, unsigned ms)
{
	pid_t pid = kit_spawn(loader, (void *)salt);

	kit_sleep_ms(ms);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

void test_loader_killed(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	pid_t pid[PROCESSES];
	struct totals t;
	uint64_t calls;

	load_libraries(true);
	srandom(4711);
	attached = mmap(NULL, sizeof(*attached), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(attached != MAP_FAILED, "mmap: %m");
	loader_run_to_end(1); /* before the first call */
	workers_start(pid);
	for (uintptr_t i = 0; i < 12; i++) /* new builds, killed before, within and after attaching */
		loader_run_and_kill(i & 1 ? 0 : i + 2, 20 + (unsigned)(random() % 400));
	p = kit_open(NULL);
	check(probes_was_adopted(p), "the maps were made anew");
	kit_attach(p, &lt_lib.lib);
	kit_attach(p, &cublas.lib);
	kit_sleep_ms(300);
	calls = workers_stop(pid);
	check(!drain_new(p, &d), "drain_new");
	t = kit_totals(d, 0);
	printf("%llu calls under 13 loaders, %llu duplicates\n", (unsigned long long)calls,
	       (unsigned long long)t.duplicates);
	check_equal(t.calls, calls, "calls");
	check(t.duplicates > 0, "no two probes were ever attached at a time: this test proves nothing");
	check_equal(t.overflow_calls + t.nested + t.lost[OM_LOSS_FAILED_READ], 0,
		    "overflow, nested, failed reads");
}

void test_upgrade(void)
{
	struct probes_config other = { .build_salt = 99 };
	_cleanup_probes_ struct probes *next = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct probes *p;
	pid_t pid[PROCESSES];
	uint64_t calls, begun;
	size_t swept = 0;
	struct totals t;

	load_libraries(true);
	p = kit_open(NULL);
	kit_attach(p, &lt_lib.lib);
	kit_attach(p, &cublas.lib);
	workers_start(pid);
	kit_sleep_ms(200);
	next = kit_open(&other);
	check(probes_was_adopted(next) && om_id_equal(probes_map_id(p), probes_map_id(next)), "other maps");
	kit_attach(next, &lt_lib.lib);
	kit_attach(next, &cublas.lib);
	check_equal(probes_attached_count(next), 2, "attachments that are to stay");
	probes_free(p);
	check(!probes_sweep(next, &swept), "sweep");
	begun = kit_now_ns();
	check(!probes_wait_released(next, 60000), "the old probes are still there");
	printf("released 62 probes in %.2f s\n", (double)(kit_now_ns() - begun) / 1e9);
	kit_sleep_ms(200);
	calls = workers_stop(pid);
	check(!drain_new(next, &d), "drain_new");
	t = kit_totals(d, 0);
	check_equal(t.calls, calls, "calls");
	check(t.duplicates > 0, "no two probes were ever attached at a time");
}

/* The same build keeps its probes: nothing is attached anew. */
void test_adopt(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	struct error_text err = {};
	uint32_t seq[3];
	size_t swept;

	load_libraries(false);
	p = kit_open(NULL);
	check(!probes_was_adopted(p), "adopted what nobody made");
	check(!probes_attach(p, &lt_lib.lib, &seq[0], &err) && !probes_attach(p, &cublas.lib, &seq[1], &err),
	      "%s", err.text);
	check(seq[1] == seq[0] + 1, "numbers do not follow each other");
	probes_free(p);
	p = kit_open(NULL);
	check(probes_was_adopted(p), "not adopted");
	check(!probes_attach(p, &lt_lib.lib, &seq[2], &err), "%s", err.text);
	check_equal(seq[2], seq[0], "number of the kept attachment");
	check_equal(probes_attached_count(p), 2, "attachments");
	check(!probes_sweep(p, &swept), "sweep");
	check_equal(swept, 1, "swept");
	check(!probes_wait_released(p, 5000), "not released");
	check_equal(probes_attached_count(p), 1, "attachments after the sweep");
	check(!probes_release(p, lt_lib.lib.dev, lt_lib.lib.ino), "release");
	check(probes_release(p, lt_lib.lib.dev, lt_lib.lib.ino) == -ENOENT, "released twice");
	check(!probes_wait_released(p, 5000), "not released");
	check_equal(probes_attached_count(p), 0, "attachments after the release");
}

static void wait_for_calls(uint64_t more)
{
	uint64_t from = workers_calls();

	while (workers_calls() < from + more)
		kit_sleep_ms(1);
}

void test_off(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct totals before, after;
	struct error_text err = {};
	pid_t pid[PROCESSES];
	char dir[96];
	uint64_t calls;

	load_libraries(false);
	p = kit_open(NULL);
	kit_attach(p, &lt_lib.lib);
	kit_attach(p, &cublas.lib);
	check(!drain_new(p, &d), "drain_new");
	snprintf(dir, sizeof(dir), "%s/om", kit_pins);
	workers_start(pid);
	wait_for_calls(10000);
	for (int round = 0; round < 5; round++) {
		check(!probes_switch(dir, OM_OFF_NODE, true, &err), "%s", err.text);
		kit_sleep_ms(10);
		check(probes_off(p) == OM_OFF_NODE, "not off");
		before = kit_totals(d, 0);
		wait_for_calls(1000);
		after = kit_totals(d, 0);
		check_equal(after.calls, before.calls, "calls counted 10 ms after the switch");
		check(after.lost[OM_LOSS_OFF] >= before.lost[OM_LOSS_OFF] + 900,
		      "skipped calls are not counted");
		check(!probes_switch(dir, OM_OFF_NODE, false, &err), "%s", err.text);
		wait_for_calls(1000);
	}
	calls = workers_stop(pid);
	after = kit_totals(d, 0);
	check_equal(after.calls + after.lost[OM_LOSS_OFF], calls, "calls, counted or skipped");
	check(probes_switch("/sys/fs/bpf/opmeter-is-not-here", OM_OFF_NODE, true, &err) == -ENOENT && err.text[0],
	      "no error");
}
