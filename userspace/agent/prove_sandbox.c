// SPDX-License-Identifier: Apache-2.0
/*
 * The cage in which a vendor's library is loaded. Three walls, the last of which
 * holds alone:
 *  1. namespaces of its own, without a network (where the kernel allows it);
 *  2. limits of memory, time, files and processes; no capabilities; no new ones;
 *  3. a system call filter: a list of what is allowed, all else is refused. Files can
 *     be opened for reading only, and only result_fd can be written to: there is no
 *     socket, no process, no signal, no change to a file.
 */
#include "prove_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "../base/cleanup.h"

#if defined(__x86_64__)
#define ARCH_HERE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH_HERE AUDIT_ARCH_AARCH64
#endif

/* What the dynamic loader, the C library and static constructors need. */
static const uint16_t allowed[] = {
	SYS_read,	   SYS_pread64,
	SYS_close,	   SYS_fstat,
	SYS_newfstatat,	   SYS_statx,
	SYS_lseek,	   SYS_mmap,
	SYS_mprotect,	   SYS_munmap,
	SYS_mremap,	   SYS_madvise,
	SYS_brk,	   SYS_futex,
	SYS_rt_sigaction,  SYS_rt_sigprocmask,
	SYS_rt_sigreturn,  SYS_sigaltstack,
	SYS_getpid,	   SYS_gettid,
	SYS_getuid,	   SYS_geteuid,
	SYS_getgid,	   SYS_getegid,
	SYS_exit,	   SYS_exit_group,
	SYS_clock_gettime, SYS_clock_getres,
	SYS_gettimeofday,  SYS_getrandom,
	SYS_sysinfo,	   SYS_uname,
	SYS_readlinkat,	   SYS_faccessat,
	SYS_getcwd,	   SYS_getdents64,
	SYS_getrlimit,	   SYS_sched_getaffinity,
	SYS_sched_yield,   SYS_set_robust_list,
	SYS_rseq,
#if defined(__x86_64__) /* calls that later architectures never had */
	SYS_open,	   SYS_stat,
	SYS_lstat,	   SYS_access,
	SYS_readlink,	   SYS_arch_prctl,
	SYS_time,
#endif
};

#define FILTER_MAX 256
#define ARG_LOW(n) (offsetof(struct seccomp_data, args) + (n)*8) /* little-endian: the low word */
#define WRITE_FLAGS (O_ACCMODE | O_CREAT | O_TRUNC | O_APPEND | (O_TMPFILE & ~O_DIRECTORY))

struct filter {
	struct sock_filter op[FILTER_MAX];
	unsigned short n;
};

static void add(struct filter *f, struct sock_filter op)
{
	f->op[f->n++] = op;
}

#define LOAD(f, off) add(f, (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(off)))
#define RETURN(f, what) add(f, (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, (uint32_t)(what)))
/* Skips the next `over` operations unless the value is k. */
#define UNLESS(f, k, over)                                                                                   \
	add(f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(k), 0, over))

/* Allows `nr` if its argument, under the mask, is `want`. The accumulator holds the
 * number of the call before and after. */
static void allow_if(struct filter *f, int nr, int arg, uint32_t mask, uint32_t want)
{
	UNLESS(f, nr, 5);
	LOAD(f, ARG_LOW(arg));
	add(f, (struct sock_filter)BPF_STMT(BPF_ALU | BPF_AND | BPF_K, mask));
	UNLESS(f, want, 1);
	RETURN(f, SECCOMP_RET_ALLOW);
	RETURN(f, SECCOMP_RET_ERRNO | EPERM);
}

static int install_filter(int result_fd)
{
	struct filter f = { .n = 0 };
	struct sock_fprog prog;

	LOAD(&f, offsetof(struct seccomp_data, arch));
	UNLESS(&f, ARCH_HERE, 1);
	add(&f, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JA, 1, 0, 0));
	RETURN(&f, SECCOMP_RET_KILL_PROCESS);
	LOAD(&f, offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < ARRAY_SIZE(allowed); i++) {
#if defined(__x86_64__)
		if (allowed[i] == SYS_open) {
			allow_if(&f, SYS_open, 1, WRITE_FLAGS, 0);
			continue;
		}
#endif
		UNLESS(&f, allowed[i], 1);
		RETURN(&f, SECCOMP_RET_ALLOW);
	}
	allow_if(&f, SYS_openat, 2, WRITE_FLAGS, 0);
	allow_if(&f, SYS_prlimit64, 2, ~0u, 0); /* reading a limit: no new one */
	allow_if(&f, SYS_write, 0, ~0u, (uint32_t)result_fd);
	RETURN(&f, SECCOMP_RET_ERRNO | EPERM);
	prog = (struct sock_fprog){ .len = f.n, .filter = f.op };
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) ? -errno : 0;
}

static int limit(int what, uint64_t value)
{
	struct rlimit r = { value, value };

	return setrlimit(what, &r) ? -errno : 0;
}

/* Bytes of addresses in use: a sanitizer takes terabytes before we begin. */
static uint64_t addresses_used(void)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long pages = 0;

	if (!f || fscanf(f, "%llu", &pages) != 1)
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static int set_limits(uint64_t cpu_seconds_max)
{
	int r = limit(RLIMIT_CORE, 0);

	if (!r)
		r = limit(RLIMIT_FSIZE, 0);
	if (!r)
		r = limit(RLIMIT_CPU, cpu_seconds_max);
	if (!r)
		r = limit(RLIMIT_AS, addresses_used() + (8ull << 30)); /* a libcublasLt takes 1 GiB */
	return r;
}

static int drop_capabilities(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct none[2] = { 0 };

	return syscall(SYS_capset, &head, none) ? -errno : 0;
}

/* Best effort: an unprivileged user may need a user namespace first, and a host may
 * forbid that; the filter keeps the network away in any case. */
static void leave_namespaces(void)
{
	const int flags = CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS;

	if (unshare(flags) && unshare(CLONE_NEWUSER | flags))
		return;
}

int prove_confine(int result_fd, uint64_t cpu_seconds_max)
{
	int r;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	clearenv(); /* settings of loggers and loaders */
	leave_namespaces();
	r = set_limits(cpu_seconds_max);
	if (!r && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		r = -errno;
	if (!r)
		r = drop_capabilities();
	return r ? r : install_filter(result_fd);
}
