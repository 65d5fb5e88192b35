// SPDX-License-Identifier: Apache-2.0
/*
 * The longest that a judgement takes: phase and model of one process whose products and buffers are made to be dear. Counts of 65,536
 * different products are what a day of a process may come to; an order has at most four windows of 4,096 steps live, and as many as a file has
 * when one is replayed. Prints rows of a table; compares nothing with a limit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "userspace/core/model.h"

enum { WINDOWS = 4, STEPS = 4096, SHAPES_LIVE = 4096, SHAPES_MAX = 65536 };

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static uint32_t dice(void)
{
	static uint64_t x = 1;

	x = x * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(x >> 33);
}

struct hostile {
	const char *what;
	uint32_t shapes, steps;
	uint32_t sizes;	  /* that a dimension may have */
	uint32_t buffers; /* that a product may read or write */
	uint32_t threads;
	bool is_live;  /* counts by thread and windows; else an order from its beginning */
	bool is_fresh; /* each step reads and writes buffers of its own */
	bool is_ordered; /* the products in turn, forward for the first half of each window, back for the other */
};

static const struct hostile hostile[] = {
	{ "65,536 different products, no order", SHAPES_MAX, 0, 60000, 0, 1 },
	{ "65,536 different products by 8 threads, 4 windows", SHAPES_MAX, WINDOWS *STEPS, 60000, 50, 8, .is_live = true },
	{ "65,536 products of few sizes by 8 threads, 4 windows", SHAPES_MAX, WINDOWS *STEPS, 64, 50, 8, .is_live = true },
	{ "4,096 different products, 4 windows, few buffers", SHAPES_LIVE, WINDOWS *STEPS, 60000, 50, 2, .is_live = true },
	{ "4,096 different products in turn, 4 windows, fresh buffers", SHAPES_LIVE, WINDOWS *STEPS, 60000, 0, 2, .is_live = true, .is_fresh = true, .is_ordered = true },
	{ "one product, 4 windows, fresh buffers", 1, WINDOWS *STEPS, 1, 0, 2, .is_live = true, .is_fresh = true, .is_ordered = true },
	{ "8 products of two sizes, 4 windows, fresh buffers", 8, WINDOWS *STEPS, 2, 0, 2, .is_live = true, .is_fresh = true, .is_ordered = true },
	{ "the same, few buffers", 8, WINDOWS *STEPS, 2, 9, 2, .is_live = true, .is_ordered = true },
	{ "one thread, 4,096 products, an order of 16,384, fresh buffers", SHAPES_LIVE, WINDOWS *STEPS, 60000, 0, 1, .is_fresh = true },
	{ "one thread, 4,096 products of few sizes, an order of 16,384, few buffers", SHAPES_LIVE, WINDOWS *STEPS, 16, 50, 1 },
	{ "one thread, one product, an order of 16,384, fresh buffers", 1, WINDOWS *STEPS, 1, 0, 1, .is_fresh = true },
};

static int fill(const struct hostile *h, struct run *r)
{
	int rc = 0;

	r->has_threads = h->is_live;
	for (uint32_t i = 0; i < h->shapes && rc == 0; i++) {
		struct run_product p = { .batch = 1, .m = 64 * (1 + dice() % h->sizes), .n = 64 * (1 + dice() % h->sizes), .k = 64 * (1 + dice() % h->sizes),
					 .types = 0x440e0e0e, .op = "mm", .calls = 1 + dice() % 1000 };

		for (uint32_t t = 0; t < h->threads && h->is_live; t++)
			p.calls_by_thread[t] = p.calls / h->threads + (t == 0 ? p.calls % h->threads : 0);
		rc = run_add_product(r, &p);
	}
	for (uint32_t i = 0; i < h->steps && rc == 0; i++) {
		struct run_step s = { .product = h->is_ordered ? i % h->shapes : dice() % h->shapes, .repeat = 1, .begins = h->is_live && i % STEPS == 0 };

		s.thread = h->is_ordered ? (i / 64) % h->threads : dice() % h->threads;
		s.a = h->is_fresh ? 3 * i + 1 : 1 + dice() % h->buffers;
		s.b = h->is_fresh ? 3 * i + 2 : 1 + dice() % h->buffers;
		s.d = h->is_fresh ? 3 * i + 3 : 1 + dice() % (100 * h->buffers);
		rc = run_add_step(r, &s);
	}
	return rc;
}

int main(void)
{
	int rc = 0;

	for (size_t i = 0; i < sizeof(hostile) / sizeof(*hostile) && rc == 0; i++) {
		static struct model_fingerprint f;
		struct phase_judgement p;
		struct run r = { 0 };
		double begun, middle;

		rc = fill(&hostile[i], &r);
		begun = cpu_ms();
		rc = rc ?: phase_judge(&r, &p);
		middle = cpu_ms();
		rc = rc ?: model_judge(&r, &p, NULL, &f);
		printf("| %s | phase %.1f ms | model %.1f ms | %s |\n", hostile[i].what, middle - begun, cpu_ms() - middle, rc ? "failed" : phase_verdict_name(p.verdict));
		run_done(&r);
	}
	return rc ? 1 : 0;
}
