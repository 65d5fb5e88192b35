// SPDX-License-Identifier: Apache-2.0
/* Processes that end in the middle, that live for a moment, and their cgroups. */
#include "kit.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests.h"

static struct blas lib;
static struct lt lt;
static void *sgemm;

static void load(bool with_lt)
{
	static const char *const one[] = { "cublasSgemm_v2", NULL };

	lib = with_lt ? kit_load("13.10.0.20", "libcublasLt.so.13")
		      : kit_load("13.10.0.20", "libcublas.so.13");
	if (with_lt) {
		lt = kit_lt(&lib, 14, 14, 14, 68, false, false, 16, 32, 64, 1);
		return;
	}
	kit_keep_entries(&lib.lib, one);
	sgemm = kit_symbol(&lib, "cublasSgemm_v2");
}

/* --- killed while the probe waits for a page --- */

/* The page never comes: the call stays inside the probe until the process is killed. */
static void call_and_hang(void *arg)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		_exit(EXIT_SKIP);
	range.range.start = (uintptr_t)page;
	range.range.len = 4096;
	check(!ioctl(fd, UFFDIO_API, &api) && !ioctl(fd, UFFDIO_REGISTER, &range), "userfaultfd: %m");
	for (int i = 0; i < 13; i++)
		kit_lt_call(&lt);
	lt.b = page;
	kit_lt_call(&lt);
	_exit(3); /* it has not hung */
}

void test_killed_inside(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct drain_result r;
	struct totals t;
	int status;
	pid_t pid;

	load(true);
	p = kit_open(NULL);
	kit_attach(p, &lib.lib);
	check(!drain_new(p, &d), "drain_new");
	pid = kit_spawn(call_and_hang, NULL);
	kit_sleep_ms(400);
	check(!waitpid(pid, &status, WNOHANG), "the call did not wait inside the probe (status 0x%x)",
	      status);
	t = kit_totals(d, pid);
	check_equal(t.calls, 13, "calls before the end");
	check_equal(t.dead, 0, "dead");
	kill(pid, SIGKILL);
	check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status), "not killed");
	t = kit_totals(d, pid);
	check_equal(t.calls, 13, "calls");
	check_equal(t.lost[OM_LOSS_FAILED_READ], 1, "the call that was cut off");
	kit_read(d, false, &r);
	check_equal(r.dead_count, 1, "dead");
	check(r.processes[r.dead[0]].is_killed && r.processes[r.dead[0]].parent_tgid == (uint32_t)getpid(),
	      "the record of the dead process");
	check_equal(r.shape_count, 1, "the shapes of the dead come without asking");
	check(!drain_commit(d), "commit");
	kit_read(d, true, &r);
	check_equal(r.usage_count + r.shape_count + r.process_count, 0, "what is left");
}

/* --- asleep inside a probe while others use it --- */

/*
 * The page comes late; meanwhile another process calls on the same CPU. Each call
 * must be counted as its caller's: on kernels since 6.13 a program's large frames
 * belong to the CPU, and what sleeps in one finds another's key there.
 */
enum { SLEEPS = 23, MEANWHILE = 1009 };

static struct sleepers {
	char *page; /* mapped in the sleeper, watched by uffd */
	void *b;    /* what it should hold */
	int uffd;
	volatile uint64_t others;
	volatile bool stop;
	bool is_free; /* the other can call meanwhile */
} * sleepers;

static void cpu_zero_only(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(0, &set);
	check(!sched_setaffinity(0, sizeof(set), &set), "sched_setaffinity: %m");
}

/* Gives the page when the other process has called a thousand times meanwhile. On a
 * kernel without has_lockless_uprobes it cannot: its probe waits for ours. */
static void *page_giver(void *arg)
{
	static char content[4096] __attribute__((aligned(4096)));
	struct uffdio_copy copy = { .src = (uintptr_t)content, .len = 4096 };
	struct uffd_msg msg;
	uint64_t from;

	memcpy(content, sleepers->b, 64);
	for (int i = 0; i < SLEEPS; i++) {
		check(read(sleepers->uffd, &msg, sizeof(msg)) == sizeof(msg), "uffd: %m");
		from = sleepers->others;
		for (int ms = 0; sleepers->others < from + MEANWHILE && (sleepers->is_free || ms < 10); ms++)
			kit_sleep_ms(1);
		copy.dst = (uintptr_t)sleepers->page;
		check(!ioctl(sleepers->uffd, UFFDIO_COPY, &copy), "UFFDIO_COPY: %m");
	}
	return NULL;
}

static void sleep_inside(void *arg)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register range = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	pthread_t thread;

	sleepers->page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sleepers->uffd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	if (sleepers->uffd < 0)
		_exit(EXIT_SKIP);
	sleepers->b = lt.b;
	range.range.start = (uintptr_t)sleepers->page;
	range.range.len = 4096;
	check(!ioctl(sleepers->uffd, UFFDIO_API, &api) && !ioctl(sleepers->uffd, UFFDIO_REGISTER, &range),
	      "userfaultfd: %m");
	check(!pthread_create(&thread, NULL, page_giver, NULL), "pthread_create");
	cpu_zero_only();
	lt.b = sleepers->page;
	for (int i = 0; i < SLEEPS; i++) {
		kit_lt_call(&lt);
		madvise(sleepers->page, 4096, MADV_DONTNEED); /* gone again */
	}
	pthread_join(thread, NULL);
}

static void call_meanwhile(void *arg)
{
	struct lt mine = kit_lt(&lib, 0, 0, 0, 68, false, false, 3, 5, 7, 1);

	cpu_zero_only();
	while (!sleepers->stop) {
		kit_lt_call(&mine);
		sleepers->others++;
	}
}

void test_asleep(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	pid_t sleeper, other;
	struct drain_result r;
	struct totals t;

	load(true);
	sleepers = mmap(NULL, sizeof(*sleepers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	check(sleepers != MAP_FAILED, "mmap: %m");
	p = kit_open(NULL);
	kit_attach(p, &lib.lib);
	check(!drain_new(p, &d), "drain_new");
	sleepers->is_free = probes_features(p)->has_lockless_uprobes;
	printf("other probes of the CPU %s meanwhile\n", sleepers->is_free ? "run" : "wait");
	other = kit_spawn(call_meanwhile, NULL);
	sleeper = kit_spawn(sleep_inside, NULL);
	kit_wait(sleeper);
	sleepers->stop = true;
	kit_wait(other);
	t = kit_totals(d, sleeper);
	check_equal(t.calls, SLEEPS, "calls of the one that slept");
	t = kit_totals(d, other);
	check_equal(t.calls, sleepers->others, "calls of the other");
	kit_read(d, true, &r);
	check_equal(kit_shape_calls(&r, sleeper, 16, 32, 64, 1), SLEEPS, "its shape");
	check_equal(kit_shape_calls(&r, other, 3, 5, 7, 1), sleepers->others, "the other's shape");
	for (size_t i = 0; i < OM_LOSS_END; i++)
		check_equal(kit_totals(d, 0).lost[i], 0, om_loss_name(i));
}

/* Calling at full speed when killed: a call more or less for each thread at most. */
static volatile uint64_t *progress;

static void call_for_ever(void *arg)
{
	for (;;) {
		kit_sgemm(sgemm, 3, 5, 7);
		++*progress;
	}
}

void test_killed_calling(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	struct totals t;
	uint64_t done;
	pid_t pid;

	load(false);
	p = kit_open(NULL);
	kit_attach(p, &lib.lib);
	check(!drain_new(p, &d), "drain_new");
	progress = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (unsigned i = 0; i < 20; i++) {
		*progress = 0;
		pid = kit_spawn(call_for_ever, NULL);
		kit_sleep_ms(5 + i);
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		done = *progress;
		t = kit_totals(d, pid);
		check(t.calls == done || t.calls == done + 1, "%llu calls counted of %llu",
		      (unsigned long long)t.calls, (unsigned long long)done);
	}
	check_equal(t.dead, 20, "dead");
}

/* --- ten thousand processes --- */

enum { FORKERS = 2, LIVES = 10007 };

static void live_shortly(void *arg)
{
	unsigned lives = LIVES / FORKERS + (arg ? LIVES % FORKERS : 0);
	pid_t pid;

	for (unsigned i = 0; i < lives; i++) {
		pid = fork();
		check(pid >= 0, "fork: %m");
		if (!pid) {
			kit_sgemm(sgemm, 2, 3, 5);
			kit_sgemm(sgemm, 2, 3, 7);
			_exit(0);
		}
		waitpid(pid, NULL, 0);
	}
}

/* What a ledger does: keeps the dead's counts when they are committed. */
static uint64_t harvest(struct drain *d, uint64_t *ret_processes)
{
	struct drain_result r;
	uint64_t calls = 0;

	check(!drain_read(d, false, &r), "drain_read");
	for (size_t i = 0; i < r.dead_count; i++) {
		const struct drain_process *dead = &r.processes[r.dead[i]];

		++*ret_processes;
		for (size_t u = 0; u < r.usage_count; u++)
			if (r.usage[u].tgid == dead->tgid && r.usage[u].start_ns == dead->start_ns)
				calls += r.usage[u].now.calls;
	}
	check(!drain_commit(d), "drain_commit");
	return calls;
}

void test_short_lives(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	uint64_t calls = 0, processes = 0;
	struct drain_result r;
	struct om_stats stats;
	pid_t forker[FORKERS];
	int running = FORKERS;

	lib = kit_load_built("libnest_blas.so"); /* small: a fork of the real one takes 6 ms */
	sgemm = kit_symbol(&lib, "cublasSgemm_v2");
	p = kit_open(NULL);
	kit_attach(p, &lib.lib);
	check(!drain_new(p, &d), "drain_new");
	for (uintptr_t i = 0; i < FORKERS; i++)
		forker[i] = kit_spawn(live_shortly, (void *)i);
	while (running) {
		kit_sleep_ms(100);
		calls += harvest(d, &processes);
		for (int i = 0; i < FORKERS; i++)
			if (forker[i] && waitpid(forker[i], NULL, WNOHANG) == forker[i]) {
				forker[i] = 0;
				running--;
			}
	}
	calls += harvest(d, &processes);
	check_equal(processes, LIVES, "processes");
	check_equal(calls, 2 * LIVES, "calls");
	check(!probes_stats(p, &stats), "stats");
	check_equal(stats.proc_failed + stats.shape_failed + stats.sum_failed + stats.thread_failed, 0,
		    "failures");
	check(!drain_read(d, true, &r), "drain_read");
	check_equal(r.usage_count + r.process_count, 0, "what is left");
}

/* --- cgroups --- */

static char cgroup_dir[PATH_MAX];

static bool cgroup2_find(char *ret, size_t size)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], point[2048];

	while (f && fgets(line, sizeof(line), f))
		if (strstr(line, " - cgroup2 ") && sscanf(line, "%*s %*s %*s / %2047s", point) == 1) {
			snprintf(ret, size, "%s", point);
			return true;
		}
	return false;
}

static void call_in_cgroup(void *arg)
{
	char procs[PATH_MAX + 16];
	_cleanup_fclose_ FILE *f = NULL;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", cgroup_dir);
	f = fopen(procs, "we");
	check(f && fprintf(f, "%d", getpid()) > 0 && !fflush(f), "%s: %m", procs);
	for (int i = 0; i < 17; i++)
		kit_sgemm(sgemm, 2, 3, 5);
}

void test_cgroup(void)
{
	_cleanup_probes_ struct probes *p = NULL;
	_cleanup_drain_ struct drain *d = NULL;
	const char *path = NULL;
	char root[2048], name[64];
	struct drain_result r;
	struct stat st;

	if (!cgroup2_find(root, sizeof(root)))
		skip("no cgroup2 is mounted");
	load(false);
	p = kit_open(NULL);
	kit_attach(p, &lib.lib);
	check(!drain_new(p, &d), "drain_new");
	snprintf(name, sizeof(name), "/opmeter-test-%d", getpid());
	snprintf(cgroup_dir, sizeof(cgroup_dir), "%s%s", root, name);
	check(!mkdir(cgroup_dir, 0700) && !stat(cgroup_dir, &st), "%s: %m", cgroup_dir);
	kit_run(call_in_cgroup, NULL);
	check(!rmdir(cgroup_dir), "%s: %m", cgroup_dir); /* gone before anybody looked */
	kit_read(d, false, &r);
	check(r.usage_count == 1 && r.usage[0].now.calls == 17, "calls");
	check_equal(r.usage[0].cgroup_id, st.st_ino, "cgroup id");
	for (size_t i = 0; i < r.cgroup_count; i++)
		if (r.cgroups[i].id == st.st_ino)
			path = r.cgroups[i].path;
	check(path && !strcmp(path, name), "path %s, should be %s", path ? path : "(none)", name);
	check(!drain_commit(d), "commit");
	kit_read(d, false, &r);
	for (size_t i = 0; i < r.cgroup_count; i++)
		check(r.cgroups[i].id != st.st_ino, "the record is still there");
}

/* --- opens of GPU devices --- */

/* A node of the driver's major number: the open fails, but was asked for. */
static void open_device(void *path)
{
	int fd;

	check(!mknod(path, S_IFCHR | 0600, makedev(195, 255)), "%s: %m", (char *)path);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd < 0, "there is a driver behind %s", (char *)path);
}

void test_device_open(void)
{
	struct probes_config c = { .device_majors = { 195 } };
	_cleanup_probes_ struct probes *p = kit_open(&c);
	_cleanup_drain_ struct drain *d = NULL;
	char path[PATH_MAX];
	struct drain_result r;

	if (!probes_features(p)->has_fentry)
		skip("this kernel allows no fentry programs (lockdown): opens of devices are not seen");
	check(!drain_new(p, &d), "drain_new");
	snprintf(path, sizeof(path), "%s/nvidia0", kit_dir);
	kit_run(open_device, path);
	kit_read(d, false, &r);
	check_equal(r.process_count, 1, "processes");
	check(r.processes[0].has_opened_device, "the open was not seen");
	check(!drain_commit(d), "drain_commit");
}
