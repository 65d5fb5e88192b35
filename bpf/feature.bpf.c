// SPDX-License-Identifier: GPL-2.0-only
/*
 * What this kernel can do, as named facts. No version is compared anywhere: a
 * distribution's 6.1 may have what another's lacks. CO-RE settles each fact when
 * the program is loaded; the loader runs it once and reads the answers.
 */

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "opmeter.h"

char LICENSE_FEATURE[] SEC("license") = "GPL";

struct om_features features = {};

SEC("syscall")
int read_features(void *ctx)
{
	/* Sleepable programs read user memory that is not resident.
	 * 07be4c4a3e7a ("bpf: Add bpf_copy_from_user() helper.") */
	features.has_copy_from_user = bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_copy_from_user);

	/* One program serves many probes and knows which one fired.
	 * 7adfc6c9b315 ("bpf: Add bpf_get_attach_cookie() BPF helper to access bpf_cookie value") */
	features.has_attach_cookie = bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_get_attach_cookie);

	/* Grouped products: one round for each group.
	 * e6f2dd0f8067 ("bpf: Add bpf_loop helper") */
	features.has_loop = bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop);

	/* A record for each thread that goes with the thread.
	 * 4cf1bc1f1045 ("bpf: Implement task local storage") */
	features.has_task_storage = bpf_core_enum_value_exists(enum bpf_map_type, BPF_MAP_TYPE_TASK_STORAGE);

	/* The process start as /proc shows it.
	 * cf25e24db61c ("time: Rename tsk->real_start_time to ->start_boottime") */
	features.has_start_boottime = bpf_core_field_exists(struct task_struct, start_boottime);

	/* A cgroup's id is one number.
	 * 67c0496e87d1 ("kernfs: convert kernfs_node->id from union kernfs_node_id to u64") */
	features.has_cgroup_id = bpf_core_field_size(((struct kernfs_node *)0)->id) == sizeof(u64);

	/* Until 6.10 a lock of the CPU's, and until 6.12 one of the probe's, was held while
	 * a program ran, asleep or not.
	 * cc01bd044e6a ("uprobes: travers uprobe's consumer list locklessly under SRCU protection") */
	features.has_lockless_uprobes = bpf_core_field_exists(((struct uprobe_consumer *)0)->cons_node);
	return 0;
}
