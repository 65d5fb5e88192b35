// SPDX-License-Identifier: Apache-2.0
/*
 * What must be true of this machine before anything is loaded: each with a
 * sentence of its own, as the kernel's errors name none of them.
 */

#include "probes_internal.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#define FILES_NEEDED 128 /* programs, maps, links in the making, the agent's own */

static int check_capabilities(struct error_text *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {};
	uint64_t caps;

	if (syscall(SYS_capget, &head, data))
		return error_set(err, -errno, "cannot read the capabilities of this process: %s",
				 strerror(errno));
	caps = (uint64_t)data[1].effective << 32 | data[0].effective;
	/* CAP_BPF and CAP_PERFMON load programs, but the kernel attaches uprobes for CAP_SYS_ADMIN alone. */
	if (caps & 1ull << CAP_SYS_ADMIN)
		return 0;
	return error_set(err, -EPERM,
			 "no right to attach uprobes: run as root, or with CAP_SYS_ADMIN, CAP_SYS_PTRACE and "
			 "CAP_DAC_READ_SEARCH (CAP_BPF and CAP_PERFMON are not enough)");
}

static int check_bpffs(const char *dir, struct error_text *err)
{
	char path[PATH_MAX];
	struct statfs fs;
	char *slash;

	snprintf(path, sizeof(path), "%s", dir);
	while (statfs(path, &fs) < 0) {
		if (errno != ENOENT)
			return error_set(err, -errno, "%s: %s", path, strerror(errno));
		slash = strrchr(path, '/');
		if (!slash || slash == path)
			return error_set(err, -ENOENT, "%s: no such directory", dir);
		*slash = '\0';
	}
	if (fs.f_type == BPF_FS_MAGIC)
		return 0;
	return error_set(
		err, -ENODEV,
		"%s is not on a BPF file system: mount -t bpf bpf /sys/fs/bpf, or name a directory on one",
		dir);
}

static int check_files(struct error_text *err)
{
	struct rlimit limit;
	rlim_t had;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	if (limit.rlim_cur >= FILES_NEEDED)
		return 0;
	had = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max < FILES_NEEDED ? limit.rlim_max : FILES_NEEDED;
	if (limit.rlim_cur > had && setrlimit(RLIMIT_NOFILE, &limit))
		return -errno;
	if (limit.rlim_cur >= FILES_NEEDED)
		return 0;
	return error_set(
		err, -EMFILE,
		"RLIMIT_NOFILE is %llu and its hard limit too low: %d open files are needed (LimitNOFILE=)",
		(unsigned long long)limit.rlim_cur, FILES_NEEDED);
}

int probes_check_environment(const struct probes_config *c, const char *dir, struct error_text *err)
{
	int rc = check_capabilities(err);

	if (rc)
		return rc;
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return error_set(
			err, -ENOTSUP,
			"the kernel has no BTF (/sys/kernel/btf/vmlinux): it needs CONFIG_DEBUG_INFO_BTF=y");
	rc = check_bpffs(dir, err);
	if (rc)
		return rc;
	return check_files(err);
}
