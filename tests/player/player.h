/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_TESTS_PLAYER_H
#define OPMETER_TESTS_PLAYER_H

/*
 * Plays matrix products into the vendor's real libraries and knows exactly what it
 * asked for. It shares no table with the meter: prototypes come from the vendor's
 * headers, and operations are counted here on their own, so that the two can be
 * compared.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "userspace/base/log.h"
#include "userspace/base/opcount.h"

struct product {
	uint64_t batch, m, n, k;
	uint32_t types; /* cudaDataType of A, B, C and compute type, a byte each, A lowest */
};

/* Numbers of a call's buffers, as recorded: A, B and the result; 0: not known. */
struct buffers {
	uint32_t at[3];
};

/* What is played: an order of products, by index. */
struct program {
	struct product *product;
	size_t n_products;
	uint32_t *order;
	uint8_t *thread; /* of each position, as recorded; further ones than 255 count as that */
	struct buffers *buffers; /* likewise; NULL: nobody wrote them down */
	size_t n_order;
	char name[64];
};

void program_done(struct program *p);
/* "batch,m,n,k,types": the types as eight hexadecimal digits, "440e0e0e". */
int program_parse_product(const char *text, struct product *ret);
int program_add(struct program *p, const struct product *product, uint64_t calls);
/* The compact form of docs/formats.md, "Recorded run", plain or gzip. */
int program_read(const char *path, struct program *ret, struct error_text *err);

/* The libraries, loaded. */
struct libraries {
	void *lt, *blas; /* dlopen; blas may be NULL */
};
int libraries_load(const char *dir, bool needs_blas, struct libraries *ret, struct error_text *err);

/* One way to ask for a product. */
struct call;
struct via {
	const char *name;
	bool is_blas;	  /* needs libcublas */
	bool takes_batch; /* more than one product a call */
	uint32_t types;	  /* fixed by the entry; 0: as given */
	const char *symbol;
	int (*fn)(const struct call *c);
};
extern const struct via vias[];
const struct via *via_find(const char *name);

/* A product made ready: descriptors, and the function. */
struct call {
	const struct via *via;
	struct product product;
	void *function;
	bool transa, transb;
	void *desc, *a, *b, *c, *d; /* cublasLt */
	void *at[3];		    /* addresses of A, B and the result: nothing is there */
};
/* Trans: "NN", "TN", ... -EINVAL with *err if this entry can't take the product. */
int call_prepare(const struct libraries *libs, const struct via *via, const struct product *p,
		 const char *trans, struct call *ret, struct error_text *err);

struct play_config {
	unsigned threads;
	uint64_t calls;	  /* in all, UINT64_MAX: until the time is up */
	uint64_t rate;	  /* calls a second, of all threads together, 0: as fast as can be */
	uint64_t time_ns; /* 0: until all calls are made */
	/* Of each position of the order: the number of the thread that asks, below `threads`, in strict order.
	 * NULL: whichever is free. */
	const uint8_t *thread;
	const struct buffers *buffers; /* likewise, NULL: null pointers */
};

/* Counts by call, and by the status that the library gave. */
#define STATUS_MAX 32
struct tally {
	uint64_t *calls; /* one for each prepared call */
	uint64_t status[STATUS_MAX];
	uint64_t time_ns;
};
/* Plays order[i % n_order] for i = 0 ...; adds up what was done, exactly, also when
 * it is ended early by play_stop(). */
int play(const struct play_config *config, const struct call *calls, size_t n_calls, const uint32_t *order,
	 size_t n_order, struct tally *ret);
void play_stop(void); /* async-signal-safe */

/* Writes the JSON report to path ("-": stdout). */
int report_write(const char *path, const struct program *p, const struct call *calls, size_t n_calls,
		 const struct tally *t, struct error_text *err);

/* collectives.c */
int collectives_load(const char *path, void **ret, struct error_text *err); /* stays loaded */
int collectives_join(void *library, int rank, int ranks);
int collectives_play(void *library, const char *run, struct error_text *err);

/* launches.c: the driver's entries. */
struct launches {
	int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **,
		      void **);
	int (*load)(void **, const void *), (*get)(void **, void *, const char *);
};
int launches_load(const char *driver, struct launches *ret, struct error_text *err);
/* One kernel, so many times. */
int launches_play(const struct launches *l, const char *kernel, unsigned count, struct error_text *err);

#endif
