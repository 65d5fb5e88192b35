/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_KINETO_INTERNAL_H
#define OPMETER_CORE_KINETO_INTERNAL_H

/* What kineto_read.c takes out of a trace for kineto.c. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"
#include "run.h"

/* Operators with operations of their own; the first kinds are matrix products. */
enum op_kind {
	OP_MM,
	OP_ADDMM,
	OP_BMM,
	OP_BADDBMM,
	OP_SCALED_MM,
	OP_PRODUCT_END,
	OP_OTHER = OP_PRODUCT_END,
	OP_NONE
};

enum event_kind { EVENT_OP, EVENT_LAUNCH, EVENT_CAPTURE_BEGIN, EVENT_CAPTURE_END, EVENT_KERNEL, EVENT_NONE };

struct event {
	double ts, dur; /* microseconds */
	uint64_t correlation;
	uint32_t thread, order; /* order: place in the file, to break ties */
	enum event_kind kind;
	enum op_kind op;
	bool has_correlation, is_graph_launch, is_kernel_launch, ran, outer, has_shape, counted;
	struct run_product product; /* of a matrix product with shapes */
	int32_t owner;		    /* of a launch: position of the operator; -1 none */
};

/* A name beyond the table's bound is NAMES_MAX: its launches are counted as "(other kernels)". */
#define KERNEL_NAMES_MAX 8192
#define KERNEL_NAME_LEN 192

struct kernel_name {
	char text[KERNEL_NAME_LEN];
	uint64_t launches; /* outside of products, as far as counted */
};

struct kernel {
	uint64_t correlation;
	uint32_t name; /* place in the table */
	bool of_product;
};

struct trace {
	struct event *events;
	size_t count, room;
	char **threads;
	size_t thread_count;
	struct kernel *kernels; /* sorted by correlation later */
	size_t kernel_count, kernel_room;
	struct kernel_name *names; /* each once; in a hash table of NAMES_MAX places */
	size_t name_count;
	uint64_t kernels_without;
	char gpu[64];
};

void kineto_trace_done(struct trace *t);
/* Reads all of a file's events into *ret, which the caller frees in any case. 0, -EBADMSG with *err, -ENOMEM.
 */
int kineto_trace_read(const char *path, struct trace *ret, struct error_text *err);

#endif
