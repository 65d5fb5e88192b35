/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_RUN_H
#define OPMETER_CORE_RUN_H

/*
 * A recorded run: the matrix products that reached the GPU, by shape and in
 * order. Read from a Kineto trace with input shapes, or from our compact form
 * (docs/formats.md, "Recorded run").
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "../base/log.h"
#include "../base/opcount.h"

#define RUN_THREADS_MAX 8 /* further ones count as the last */

struct run_product {
	uint64_t batch, m, n, k;
	uint32_t types; /* as in docs/formats.md, "Shape" */
	char op[24];	/* "mm", "addmm", ...: the recorder's name */
	uint64_t calls;
	/* Where `has_threads` of the run says so: calls by thread, their sum is `calls`. */
	uint64_t calls_by_thread[RUN_THREADS_MAX];
};

struct run_step {
	uint32_t product; /* index */
	uint32_t repeat;
	uint32_t thread; /* from 0, in the order of their first products */
	/* Which buffers its operands and its result are: equal numbers stand for equal addresses, 0 for one
	 * that is not known. A is m x k, B k x n, D m x n. Addresses come again for other data, and whoever
	 * runs the program chooses them: they may tell what a model is, never how much was computed. */
	uint32_t a, b, d;
	/* Of a live run: what came before it is not known. Always of the first step, whose run may have begun
	 * long before. */
	bool begins;
};

enum run_collective_kind {
	RUN_ALLREDUCE,
	RUN_REDUCESCATTER,
	RUN_ALLGATHER,
	RUN_ALLTOALL,
	RUN_BROADCAST,
	RUN_REDUCE,
	RUN_SENDRECV,
	RUN_COLLECTIVE_KINDS
};

struct run_collective {
	enum run_collective_kind kind;
	uint64_t bytes, calls; /* bytes that one rank hands over in one call */
};

struct run_launch {
	uint64_t launches;
	char kernel[192];
};

/* What the recorder knows to be true: for tests, never for a judgement. */
struct run_fact {
	char key[24], value[72];
};

struct run {
	char name[128], source[256], licence[64], gpu[64], kind[32];
	struct run_product *products;
	size_t product_count, product_room;
	struct run_step *steps; /* the order of calls, run-length coded */
	size_t step_count, step_room;
	/* A live run: the products have their calls by thread, exactly, and the steps are a sample of the
	 * order, from which no amount can be had. */
	bool has_threads;
	struct run_collective *collectives;
	size_t collective_count, collective_room;
	struct run_launch *launches; /* outside of products */
	size_t launch_count, launch_room;
	/* Of a live run, by core/kernel_role.h: launches of kernels that are named as backward or as an
	 * optimizer's. */
	uint64_t named_backward, named_optimizer;
	struct run_fact *facts;
	size_t fact_count, fact_room;
	/* What was in the recording and is not a matrix product counted here. */
	struct {
		uint64_t kernels, linked, other_ops, no_shapes, graph_launches, graph_aligned;
	} left;
};

void run_done(struct run *r);
/* These add an item; -ENOMEM, or -EOVERFLOW beyond 4 million of a kind. */
int run_add(struct run *r, const struct run_product *p, uint32_t thread); /* one more call, in order */
int run_add_product(struct run *r,
		    const struct run_product *p); /* with its calls; the caller adds its steps */
int run_add_step(struct run *r, const struct run_step *s);
int run_add_collective(struct run *r, const struct run_collective *c);
int run_add_launches(struct run *r, const char *kernel, uint64_t launches);
int run_add_fact(struct run *r, const struct run_fact *f);
/* What the recorder says of KEY; NULL: nothing. */
const char *run_fact(const struct run *r, const char *key);
const char *run_collective_name(enum run_collective_kind kind);
/* Operations of all calls; -EOVERFLOW. */
int run_ops(const struct run *r, opcount *ret);
uint64_t run_calls(const struct run *r);
uint8_t run_format(const struct run_product *p); /* enum om_format */

/* Either form; gzip or plain. -EINVAL/-EBADMSG with FILE and line or byte in *err. */
int run_load(const char *path, struct run *ret, struct error_text *err);
int run_read_compact(const char *path, struct run *ret, struct error_text *err);
int run_read_kineto(const char *path, struct run *ret, struct error_text *err);
int run_write_compact(const struct run *r, FILE *to);

#endif
