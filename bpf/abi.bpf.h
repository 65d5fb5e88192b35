/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_ABI_H
#define OPMETER_BPF_ABI_H

/* The words of a call (bpf/regs.bpf.h) in the room of the thread that makes it. */

#include "regs.bpf.h"
#include "work.bpf.h"

#define OM_RETURN_ADDRESS(w) ((w)->word[OM_ARG_REGS])

static __always_inline int om_words_read(struct om_work *w, struct pt_regs *ctx, u32 stack_words)
{
	om_regs_get(w->word, ctx);
	return om_stack_read(&w->word[OM_ARG_REGS], ctx, stack_words, OM_WORDS_MAX - OM_ARG_REGS - 1);
}

#endif
