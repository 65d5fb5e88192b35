/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_ABI_H
#define OPMETER_BPF_ABI_H

/*
 * A call's arguments at the entry of a function, as one row of words, the same
 * way on every machine: OM_ARG_REGS argument registers, the return address,
 * then the stack arguments. Integer-class argument i is word i, or word i + 1
 * from OM_ARG_REGS on; the loader writes words, not arguments, into call sites.
 */

#define OM_WORDS_MAX 24 /* cublasGemmStridedBatchedEx: 22 arguments and the return address */

struct om_words {
	u64 word[OM_WORDS_MAX];
};

#if defined(__TARGET_ARCH_x86)

/* System V: six registers; the return address is on top of the stack, directly
 * below the other arguments, so one read fetches both. */
#define OM_ARG_REGS 6
#define OM_IP(ctx) ((ctx)->ip)

static __always_inline int om_words_read(struct om_words *w, struct pt_regs *ctx, u32 stack_words)
{
	u32 size = (stack_words + 1) * sizeof(u64);

	w->word[0] = ctx->di;
	w->word[1] = ctx->si;
	w->word[2] = ctx->dx;
	w->word[3] = ctx->cx;
	w->word[4] = ctx->r8;
	w->word[5] = ctx->r9;
	if (size > sizeof(w->word) - OM_ARG_REGS * sizeof(u64))
		return -1;
	return bpf_copy_from_user(&w->word[OM_ARG_REGS], size, (void *)ctx->sp);
}

#elif defined(__TARGET_ARCH_arm64)

/* AAPCS64: eight registers, the return address in x30, stack arguments at sp. */
#define OM_ARG_REGS 8
#define OM_IP(ctx) ((ctx)->user_regs.pc)

static __always_inline int om_words_read(struct om_words *w, struct pt_regs *ctx, u32 stack_words)
{
	u32 size = stack_words * sizeof(u64);

	for (int i = 0; i < OM_ARG_REGS; i++)
		w->word[i] = ctx->user_regs.regs[i];
	w->word[OM_ARG_REGS] = ctx->user_regs.regs[30];
	if (!size)
		return 0;
	if (size > sizeof(w->word) - (OM_ARG_REGS + 1) * sizeof(u64))
		return -1;
	return bpf_copy_from_user(&w->word[OM_ARG_REGS + 1], size, (void *)ctx->user_regs.sp);
}

#else
#error "no calling convention for this machine"
#endif

#define OM_RETURN_ADDRESS(w) ((w)->word[OM_ARG_REGS])

#endif
