// SPDX-License-Identifier: Apache-2.0
/*
 * Stands in for libcublas on the simulated GPU: a product that launches kernels,
 * which the real library does not do without a device. Two launches for each, as a
 * split-K product has, on the stream that was set. cublasSgemm_v2 of the real
 * header. A test rig, never installed.
 */
#include <stddef.h>
#include <stdint.h>

#include "simgpu.h"

int cuModuleLoadData(void **ret, const void *image);
int cuModuleGetFunction(void **ret, void *module, const char *name);
int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
		   unsigned shared, void *stream, void **params, void **extra);

struct handle {
	void *stream, *gemm, *reduce;
};

int cublasCreate_v2(struct handle *h)
{
	void *module;

	h->stream = NULL;
	return cuModuleLoadData(&module, NULL) || cuModuleGetFunction(&h->gemm, module, "ampere_sgemm_128x64_nn") ||
	       cuModuleGetFunction(&h->reduce, module, "splitKreduce_kernel");
}

int cublasSetStream_v2(struct handle *h, void *stream)
{
	h->stream = stream;
	return 0;
}

int cublasSgemm_v2(struct handle *h, int transa, int transb, int m, int n, int k, const float *alpha, const float *a,
		   int lda, const float *b, int ldb, const float *beta, float *c, int ldc)
{
	unsigned blocks = (unsigned)((m + 127) / 128);

	if (cuLaunchKernel(h->gemm, blocks, 1, 4, 128, 1, 1, 0, h->stream, NULL, NULL))
		return 13;
	return cuLaunchKernel(h->reduce, blocks, 1, 1, 64, 1, 1, 0, h->stream, NULL, NULL) ? 13 : 0;
}
