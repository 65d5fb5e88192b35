/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_REGS_H
#define OPMETER_BPF_REGS_H

/*
 * A call's arguments at the entry of a function, as one row of words, the same
 * way on every machine: OM_ARG_REGS argument registers, the return address,
 * then the stack arguments. Integer-class argument i is word i, or word i + 1
 * from OM_ARG_REGS on; the loader writes words, not arguments, into call sites.
 */

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#if defined(__TARGET_ARCH_x86)

/* System V: six registers; the return address is on top of the stack, directly
 * below the other arguments, so one read fetches both. */
#define OM_ARG_REGS 6
#define OM_IP(ctx) ((ctx)->ip)
#define OM_SP(ctx) ((ctx)->sp)
#define OM_RESULT(ctx) ((ctx)->ax)
#define OM_STACK_ARGUMENTS(ctx) ((ctx)->sp + 8)

static __always_inline void om_regs_get(u64 *w, struct pt_regs *ctx)
{
	w[0] = ctx->di;
	w[1] = ctx->si;
	w[2] = ctx->dx;
	w[3] = ctx->cx;
	w[4] = ctx->r8;
	w[5] = ctx->r9;
}

/* The return address to w[0], stack arguments after it; `max` of them fit. */
static __always_inline int om_stack_read(u64 *w, struct pt_regs *ctx, u32 words, u32 max)
{
	if (words > max)
		return -1;
	return bpf_copy_from_user(w, (words + 1) * sizeof(u64), (void *)ctx->sp);
}

#elif defined(__TARGET_ARCH_arm64)

/* AAPCS64: eight registers, the return address in x30, stack arguments at sp. */
#define OM_ARG_REGS 8
#define OM_IP(ctx) ((ctx)->user_regs.pc)
#define OM_SP(ctx) ((ctx)->user_regs.sp)
#define OM_RESULT(ctx) ((ctx)->user_regs.regs[0])
#define OM_STACK_ARGUMENTS(ctx) ((ctx)->user_regs.sp)

static __always_inline void om_regs_get(u64 *w, struct pt_regs *ctx)
{
	for (int i = 0; i < OM_ARG_REGS; i++)
		w[i] = ctx->user_regs.regs[i];
}

static __always_inline int om_stack_read(u64 *w, struct pt_regs *ctx, u32 words, u32 max)
{
	w[0] = ctx->user_regs.regs[30];
	if (!words)
		return 0;
	if (words > max)
		return -1;
	return bpf_copy_from_user(w + 1, words * sizeof(u64), (void *)ctx->user_regs.sp);
}

#else
#error "no calling convention for this machine"
#endif

#endif
