/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
#ifndef __VMLINUX_H__
#define __VMLINUX_H__

/*
 * The kernel's types, by hand: exactly the fields that we read, no more. Their
 * offsets come from the running kernel's BTF at load time (CO-RE), so neither
 * the order here nor what is left out matters. The macro above is the name that
 * libbpf's headers look for.
 */

typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef unsigned long long __u64;
typedef signed char __s8;
typedef short __s16;
typedef int __s32;
typedef long long __s64;
typedef __u16 __be16;
typedef __u32 __be32;
typedef __u32 __wsum;
typedef __u8 u8;
typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s32 s32;
typedef __s64 s64;
typedef _Bool bool;
enum { false = 0, true = 1 };
#define NULL ((void *)0)

/* Numbers of the system call's interface (include/uapi/linux/bpf.h). */
enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_ARRAY = 2,
	BPF_MAP_TYPE_PERCPU_ARRAY = 6,
	BPF_MAP_TYPE_LRU_HASH = 9,
	BPF_MAP_TYPE_TASK_STORAGE = 29,
};
enum bpf_func_id {
	BPF_FUNC_copy_from_user = 148,
	BPF_FUNC_get_attach_cookie = 174,
	BPF_FUNC_loop = 181,
};
enum {
	BPF_ANY = 0,
	BPF_NOEXIST = 1,
	BPF_F_NO_PREALLOC = 1,
	BPF_LOCAL_STORAGE_GET_F_CREATE = 1,
};

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
	int counter;
} atomic_t;

struct signal_struct {
	atomic_t live; /* threads that have not begun to exit */
};

struct task_struct {
	int pid;
	int tgid;
	int exit_code;
	u64 start_boottime; /* since cf25e24db61c ("time: Rename tsk->real_start_time to ->start_boottime") */
	struct task_struct *group_leader;
	struct task_struct *real_parent;
	struct signal_struct *signal;
};

struct kernfs_node {
	u64 id; /* a plain u64 since 67c0496e87d1 ("kernfs: convert kernfs_node->id from union ... to u64") */
};

struct cgroup_root {
	int hierarchy_id; /* 0: cgroup2 */
};

struct cgroup {
	struct kernfs_node *kn;
	struct cgroup_root *root;
};

struct inode {
	u32 i_rdev;
};

struct file;

struct list_head {
	struct list_head *next;
};

struct uprobe_consumer {
	struct list_head cons_node; /* whether it is there */
};

/* What a uprobe gets. */
#if defined(__TARGET_ARCH_x86)
struct pt_regs {
	unsigned long r9;
	unsigned long r8;
	unsigned long ax;
	unsigned long cx;
	unsigned long dx;
	unsigned long si;
	unsigned long di;
	unsigned long ip;
	unsigned long sp;
};
#elif defined(__TARGET_ARCH_arm64)
struct user_pt_regs {
	u64 regs[31];
	u64 sp;
	u64 pc;
	u64 pstate;
};
struct pt_regs {
	struct user_pt_regs user_regs;
};
#endif

#pragma clang attribute pop

#endif
