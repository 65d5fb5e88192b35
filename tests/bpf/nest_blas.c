// SPDX-License-Identifier: Apache-2.0
/*
 * A stand-in for libcublas that calls itself and libcublasLt, as the real one does
 * when it has a GPU. Built without sibling calls: each call leaves a return address.
 */
#include <stddef.h>

int cublasLtMatmul(void *handle, void *desc, const void *alpha, const void *a, void *a_desc, const void *b,
		   void *b_desc, const void *beta, const void *c, void *c_desc, void *d, void *d_desc,
		   const void *algo, void *workspace, size_t size, void *stream);
int cublasSgemm_v2(void *handle, int transa, int transb, int m, int n, int k, const float *alpha,
		   const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc);
void cublasSgemm(char transa, char transb, int m, int n, int k, float alpha, const float *a, int lda,
		 const float *b, int ldb, float beta, float *c, int ldc);
int cublasGemmEx(void *handle, int transa, int transb, int m, int n, int k);
int nest_multiply(void *desc, void *a, void *b, void *d);
int cublasHgemm(void *desc, int transa, int transb, int m, int n, int k, void *a, void *b, int lda, void *d);

int cublasSgemm_v2(void *handle, int transa, int transb, int m, int n, int k, const float *alpha,
		   const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc)
{
	return m + n + k;
}

void cublasSgemm(char transa, char transb, int m, int n, int k, float alpha, const float *a, int lda,
		 const float *b, int ldb, float beta, float *c, int ldc)
{
	cublasSgemm_v2(NULL, transa == 't', transb == 't', m, n, k, &alpha, a, lda, b, ldb, &beta, c, ldc);
}

int cublasGemmEx(void *handle, int transa, int transb, int m, int n, int k)
{
	return m + n - k;
}

/* Not an entry with a probe. */
int nest_multiply(void *desc, void *a, void *b, void *d)
{
	return 1 + cublasLtMatmul(NULL, desc, NULL, NULL, a, NULL, b, NULL, NULL, d, NULL, d, NULL, NULL, 0,
				  NULL);
}

/* An entry with a probe. */
int cublasHgemm(void *desc, int transa, int transb, int m, int n, int k, void *a, void *b, int lda, void *d)
{
	return 1 + cublasLtMatmul(NULL, desc, NULL, NULL, a, NULL, b, NULL, NULL, d, NULL, d, NULL, NULL, 0,
				  NULL);
}
