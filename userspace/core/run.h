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

struct run_product {
	uint64_t batch, m, n, k;
	uint32_t types; /* as in docs/formats.md, "Shape" */
	char op[24];	/* "mm", "addmm", ...: the recorder's name */
	uint64_t calls;
};

struct run_step {
	uint32_t product; /* index */
	uint32_t repeat;
};

struct run {
	char name[128], source[256], licence[64], gpu[64], kind[32];
	struct run_product *products;
	size_t product_count, product_room;
	struct run_step *steps; /* the order of calls, run-length coded */
	size_t step_count, step_room;
	/* What was in the recording and is not a matrix product counted here. */
	struct {
		uint64_t kernels, linked, other_ops, no_shapes, graph_launches, graph_aligned;
	} left;
};

void run_done(struct run *r);
/* Counts one more call of a product, in order. -ENOMEM, or -EOVERFLOW. */
int run_add(struct run *r, const struct run_product *p);
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
