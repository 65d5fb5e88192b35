// SPDX-License-Identifier: Apache-2.0
/* The text of a fingerprint, the file of known architectures, and a tenant's products as they come, chosen by the first byte. */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/model.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct architectures *known;

static void text(const uint8_t *data, size_t size)
{
	static struct model_fingerprint f, again;
	char *line = calloc(1, size + 1), back[MODEL_TEXT_MAX];

	memcpy(line, data, size);
	if (model_parse(line, &f) == 0) {
		double like = model_similarity(&f, &f);

		if (f.weights && (like < 0 || like > 1))
			abort();
		model_match(known, &f);
		model_format(&f, back);
		if (model_parse(back, &again))
			abort();
	}
	free(line);
}

static void file(const uint8_t *data, size_t size)
{
	struct architectures *a = NULL;
	struct error_text err;
	char path[64];
	int fd = memfd_create("architectures", 0);

	if (fd < 0 || write(fd, data, size) != (ssize_t)size)
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (architectures_load(path, &a, &err) == 0 && !architectures_count(a))
		abort();
	architectures_free(a);
	close(fd);
}

/* Seven bytes a product: dimensions out of a few, so that families form; two calls by thread. */
static void products(const uint8_t *data, size_t size)
{
	static const uint64_t dims[] = { 1, 2, 8, 64, 128, 768, 1024, 2304, 3072, 4096, 50257, 1ull << 31, 1ull << 40, 7, 3, 100 };
	static struct model_fingerprint f;
	_cleanup_(run_done) struct run r = { .has_threads = data[0] & 1 };
	struct phase_judgement p;

	for (size_t i = 1; i + 7 <= size; i += 7) {
		struct run_product x = { .batch = data[i] % 16 ? 1 : 4, .m = dims[data[i + 1] & 15], .n = dims[data[i + 2] & 15],
					 .k = dims[data[i + 3] & 15], .types = 0x440e0e0e, .op = "mm" };

		x.calls_by_thread[data[i + 6] & 7] = data[i + 4];
		x.calls_by_thread[(data[i + 6] >> 3) & 7] += data[i + 5];
		x.calls = (uint64_t)data[i + 4] + data[i + 5];
		if (x.calls && run_add_product(&r, &x) == 0)
			run_add_step(&r, &(struct run_step){ (uint32_t)r.product_count - 1, 1 + data[i + 4] % 5u, data[i + 6] & 7,
							     data[i] & 15, data[i + 4] >> 4, data[i + 5] >> 4 });
	}
	/* The same products again, in windows that begin anywhere: a sample of the order. */
	for (size_t i = 1; r.has_threads && r.product_count && i + 2 <= size; i += 2)
		run_add_step(&r, &(struct run_step){ data[i] % (uint32_t)r.product_count, 1 + (data[i + 1] & 1), data[i + 1] >> 1 & 3,
						     data[i + 1] >> 3 & 7, data[i] >> 4, data[i] & 7, data[i + 1] >> 6 == 3 });
	if (phase_judge(&r, &p))
		return;
	if (p.training_low < 0 || p.training_high > 1.000001 || p.training_low > p.training_high + 1e-9 || p.recompute_low > p.recompute_high + 1e-9) {
		fprintf(stderr, "training %g..%g, recomputed %g..%g\n", p.training_low, p.training_high, p.recompute_low, p.recompute_high);
		abort();
	}
	if (model_judge(&r, &p, known, &f))
		return;
	if (isnan(f.parameters.best) || f.parameters.low > f.parameters.best * 1.0001 || f.parameters.high < f.parameters.best * 0.9999 ||
	    f.tokens.low > f.tokens.high || isnan(f.check)) {
		fprintf(stderr, "parameters %g..%g..%g, tokens %g..%g, check %g\n", f.parameters.low, f.parameters.best, f.parameters.high, f.tokens.low,
			f.tokens.high, f.check);
		abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!known && architectures_load("data/architectures.csv", &known, NULL))
		abort();
	if (size < 2)
		return 0;
	switch (data[0] % 3) {
	case 0:
		text(data + 1, size - 1);
		break;
	case 1:
		file(data + 1, size - 1);
		break;
	default:
		products(data + 1, size - 1);
	}
	return 0;
}
