// SPDX-License-Identifier: Apache-2.0
/*
 * May return probes be used on this kernel?
 *
 * From 6.11 on, x86-64 ends a return probe by a system call of its own (63dded8fc4a1,
 * "uprobe: Add uretprobe syscall to speed up return probe"), which the filters of
 * container runtimes did not know: the probed process was killed, until
 * cf6cb56ef244 ("seccomp: passthrough uretprobe systemcall without filtering").
 * So it is tried: a child of ours, under a filter that kills at every system call
 * but the few it needs, returns from a probed function. No tenant is at stake.
 */
#include "probes_internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/perf_event.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define AT_RETURN 1

/* What is probed: nobody else calls it. */
static __attribute__((noinline, noclone)) int return_target(int x)
{
	__asm__ volatile("" : "+r"(x));
	return x + 1;
}

/* Where a function of ours lies in our own file, and that file by the mapping itself: /proc/self/exe is
 * another one if a loader was started with us as its argument. */
static int file_offset_of(uintptr_t address, char *ret_path, size_t size, uint64_t *ret)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start, end, offset;
	char line[512];

	while (f && fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx %*s %lx", &start, &end, &offset) != 3 || address < start ||
		    address >= end)
			continue;
		*ret = address - start + offset;
		snprintf(ret_path, size, "/proc/self/map_files/%lx-%lx", start, end);
		return 0;
	}
	return -ENOENT;
}

static int probe_self(int prog_fd, int *ret_event, int *ret_link)
{
	char path[128] = "";
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.config = AT_RETURN,
		.config1 = (uintptr_t)path,
	};
	int type = probes_perf_type();
	uint64_t offset = 0;
	int rc = file_offset_of((uintptr_t)return_target, path, sizeof(path), &offset);

	if (rc || type < 0)
		return rc ?: type;
	attr.type = (uint32_t)type;
	attr.config2 = offset;
	*ret_event = (int)syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	if (*ret_event < 0)
		return -errno;
	*ret_link = bpf_link_create(prog_fd, *ret_event, BPF_PERF_EVENT, NULL);
	return *ret_link < 0 ? -errno : 0;
}

static int confine(void)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { ARRAY_SIZE(code), code };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) ? -errno : 0;
}

static bool child_survives(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return false;
	if (pid == 0) {
		/* The ledger's lock is not held any longer than by the agent, however that ends. */
		close_range(3, ~0u, 0);
		if (confine())
			_exit(2);
		/* directly: nothing between may need another system call */
		syscall(SYS_exit_group, return_target(41) == 42 ? 0 : 1);
	}
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return false;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

bool probes_return_is_safe(int prog_fd)
{
	_cleanup_close_ int event = -1;
	_cleanup_close_ int link = -1;

	return probe_self(prog_fd, &event, &link) == 0 && child_survives();
}
