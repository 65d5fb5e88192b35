/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef OPMETER_BPF_WORK_H
#define OPMETER_BPF_WORK_H

/*
 * What a program needs besides its stack, in the storage of the thread that it
 * runs in.
 *
 * Not on the stack: since e00931c02568 ("bpf: Enable private stack for eligible
 * subprogs", 6.13) a frame of 64 bytes or more lies in memory of the CPU, not of
 * the task. A program that sleeps there, waiting for a page, finds in it what
 * another task has left: one process's call was counted as another's. So every
 * frame stays below 64 bytes (a test looks at what the verifier says), and all
 * that outlives a read of user memory is here. One thread runs one program at a
 * time; nothing is kept from one run to the next.
 */

#include "maps.bpf.h"

#define OM_WORDS_MAX 24 /* cublasGemmStridedBatchedEx: 22 arguments and the return address */

#define OM_OPERANDS 3 /* A, B and the result */

struct lt_matrix {
	u64 rows, cols, batch;
	u32 type, pad;
};

struct om_work {
	struct om_shape_key key;
	struct om_sum_key sum_key;
	struct om_proc_key proc_key;
	u64 cookie;
	u64 product;
	u64 word[OM_WORDS_MAX];		   /* registers, return address, stack arguments */
	u64 bytes[OM_LAYOUT_READ_MAX / 8]; /* one descriptor */
	struct lt_matrix a, b, d;
	u32 compute, transa, transb, pad;
	u64 operand[OM_OPERANDS]; /* addresses of buffers, 0: not known; in a burst their names */
	/* grouped: the arrays of the call */
	u64 group_transa, group_transb, group_m, group_n, group_k, group_size, group_count, value;
	u32 is_wide;
	s32 rc;
};

_Static_assert(sizeof(struct om_work) <= OM_SCRATCH_SIZE, "fits into the storage of a thread");

static __always_inline struct om_work *work_of(struct om_thread *t)
{
	return (struct om_work *)t->scratch;
}

#endif
