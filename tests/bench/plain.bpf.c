// SPDX-License-Identifier: GPL-2.0-only
/*
 * The meter as it would be with plain uprobes, to see what sleeping ones cost. It
 * loses every read of a page that is not in memory: for the bench only.
 */
#include "bpf/maps.bpf.h"

#define bpf_copy_from_user bpf_probe_read_user
#include "bpf/matmul.bpf.c"

/* The trap alone. */
SEC("uprobe")
int on_nothing(struct pt_regs *ctx)
{
	return 0;
}
