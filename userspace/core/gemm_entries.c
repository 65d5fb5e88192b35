// SPDX-License-Identifier: Apache-2.0
/*
 * Every GEMM that libcublas 12.x and 13.x export, and cublasLtMatmul. The
 * prototypes are those of cublas.h (v1), cublas_api.h and cublasLt.h; a test
 * reads them again and compares each position, and compares the names with the
 * libraries' export tables.
 */

#include "gemm_entries.h"
#include "format.h"

#include <errno.h>
#include <string.h>

/* cudaDataType (library_types.h) */
enum { R32F = 0, R64F = 1, R16F = 2, C32F = 4, C64F = 5, R8U = 8 };

#define NONE OM_ARG_NONE
#define ALL(type) ((uint32_t)(type) | (uint32_t)(type) << 8 | (uint32_t)(type) << 16 | 0xff000000u)
#define GIVEN 0xffffffffu

/* handle, transa, transb, m, n, k: where almost all of them begin */
#define HEAD .library = OM_GEMM_IN_CUBLAS, .transa = 1, .transb = 2, .m = 3, .n = 4, .k = 5
#define FIXED(type) .a_type = NONE, .b_type = NONE, .c_type = NONE, .compute = NONE, .types = ALL(type)

/* Where the operands' and the result's addresses are; NOWHERE: descriptors' entry has them elsewhere, others
 * have arrays, and v1 is not looked at. */
#define AT(a_at, b_at, c_at) .a = a_at, .b = b_at, .c = c_at
#define NOWHERE AT(NONE, NONE, NONE)

/* 32-bit sizes under the plain name, 64-bit ones under name_64 */
#define BOTH(name, wide_name, ...)                                                                           \
	{ .symbol = name, .size_width = 4, HEAD, __VA_ARGS__ },                                              \
	{                                                                                                    \
		.symbol = wide_name, .size_width = 8, HEAD, __VA_ARGS__                                      \
	}
#define PAIR(name, ...) BOTH(#name, #name "_64", __VA_ARGS__)

#define PLAIN .class = OM_GEMM_PLAIN, .batch = NONE, .group_size = NONE
/* ..., alpha, A, lda, B, ldb, beta, C, ldc */
#define GEMM(name, type) PAIR(name, PLAIN, AT(7, 9, 12), FIXED(type))
/* ..., alpha, A, Atype, lda, B, Btype, ldb, beta, C, Ctype, ldc */
#define GEMM_EX(name, compute_arg)                                                                           \
	PAIR(name, PLAIN, AT(7, 10, 14), .a_type = 8, .b_type = 11, .c_type = 15, .compute = compute_arg,    \
	     .types = GIVEN)
/* ..., alpha, A[], lda, B[], ldb, beta, C[], ldc, batch */
#define BATCHED(name, type)                                                                                  \
	PAIR(name, .class = OM_GEMM_BATCHED, NOWHERE, .batch = 14, .group_size = NONE, FIXED(type))
/* ..., alpha, A, lda, strideA, B, ldb, strideB, beta, C, ldc, strideC, batch */
#define STRIDED(name, type)                                                                                  \
	PAIR(name, .class = OM_GEMM_STRIDED, AT(7, 10, 14), .batch = 17, .group_size = NONE, FIXED(type))
/* ..., alpha[], A[], lda[], B[], ldb[], beta[], C[], ldc[], groups, sizes[] */
#define GROUPED(name, type)                                                                                  \
	PAIR(name, .class = OM_GEMM_GROUPED, NOWHERE, .batch = 14, .group_size = 15, FIXED(type))
/* v1: transa, transb, m, n, k, (alpha), A, lda, B, ldb, (beta), C, ldc */
#define V1(name, type)                                                                                       \
	{                                                                                                    \
		.symbol = #name, .library = OM_GEMM_IN_CUBLAS, .size_width = 4, .is_v1 = 1, PLAIN,           \
		.transa = 0, .transb = 1, .m = 2, .n = 3, .k = 4, NOWHERE, FIXED(type)                       \
	}

const struct om_gemm_entry om_gemm_entries[] = {
	{ .symbol = "cublasLtMatmul",
	  .library = OM_GEMM_IN_CUBLASLT,
	  .class = OM_GEMM_LT_MATMUL,
	  .size_width = 8,
	  .transa = NONE,
	  .transb = NONE,
	  .m = NONE,
	  .n = NONE,
	  .k = NONE,
	  .batch = NONE,
	  .group_size = NONE,
	  .a_type = NONE,
	  .b_type = NONE,
	  .c_type = NONE,
	  .compute = NONE,
	  NOWHERE,
	  .types = GIVEN },

	V1(cublasSgemm, R32F),
	V1(cublasDgemm, R64F),
	V1(cublasCgemm, C32F),
	V1(cublasZgemm, C64F),

	GEMM(cublasSgemm_v2, R32F),
	GEMM(cublasDgemm_v2, R64F),
	GEMM(cublasCgemm_v2, C32F),
	GEMM(cublasZgemm_v2, C64F),
	GEMM(cublasHgemm, R16F),
	GEMM(cublasCgemm3m, C32F),
	GEMM(cublasZgemm3m, C64F),

	GEMM_EX(cublasGemmEx, 17),
	GEMM_EX(cublasSgemmEx, NONE),
	GEMM_EX(cublasCgemmEx, NONE),
	GEMM_EX(cublasCgemm3mEx, NONE),

	/* handle, transa, transb, transc, m, n, k, A, A_bias, lda, ... */
	{ .symbol = "cublasUint8gemmBias",
	  .library = OM_GEMM_IN_CUBLAS,
	  .size_width = 4,
	  PLAIN,
	  .transa = 1,
	  .transb = 2,
	  .m = 4,
	  .n = 5,
	  .k = 6,
	  AT(7, 10, 13),
	  FIXED(R8U) },

	BATCHED(cublasSgemmBatched, R32F),
	BATCHED(cublasDgemmBatched, R64F),
	BATCHED(cublasCgemmBatched, C32F),
	BATCHED(cublasZgemmBatched, C64F),
	BATCHED(cublasHgemmBatched, R16F),
	BATCHED(cublasCgemm3mBatched, C32F),
	/* ..., alpha, A[], Atype, lda, B[], Btype, ldb, beta, C[], Ctype, ldc, batch, compute, algo */
	PAIR(cublasGemmBatchedEx, .class = OM_GEMM_BATCHED, NOWHERE, .group_size = NONE, .a_type = 8,
	     .b_type = 11, .c_type = 15, .batch = 17, .compute = 18, .types = GIVEN),

	STRIDED(cublasSgemmStridedBatched, R32F),
	STRIDED(cublasDgemmStridedBatched, R64F),
	STRIDED(cublasCgemmStridedBatched, C32F),
	STRIDED(cublasZgemmStridedBatched, C64F),
	STRIDED(cublasHgemmStridedBatched, R16F),
	STRIDED(cublasCgemm3mStridedBatched, C32F),
	/* ..., alpha, A, Atype, lda, strideA, B, Btype, ldb, strideB, beta, C, Ctype, ldc, strideC,
	 * batch, compute, algo */
	PAIR(cublasGemmStridedBatchedEx, .class = OM_GEMM_STRIDED, AT(7, 11, 16), .group_size = NONE,
	     .a_type = 8, .b_type = 12, .c_type = 17, .batch = 20, .compute = 21, .types = GIVEN),

	GROUPED(cublasSgemmGroupedBatched, R32F),
	GROUPED(cublasDgemmGroupedBatched, R64F),
	/* ..., alpha[], A[], Atype, lda[], B[], Btype, ldb[], beta[], C[], Ctype, ldc[], groups,
	 * sizes[], compute */
	PAIR(cublasGemmGroupedBatchedEx, .class = OM_GEMM_GROUPED, NOWHERE, .a_type = 8, .b_type = 11,
	     .c_type = 15, .batch = 17, .group_size = 18, .compute = 19, .types = GIVEN),
};
const size_t om_gemm_entry_count = sizeof(om_gemm_entries) / sizeof(om_gemm_entries[0]);

const struct om_gemm_uncounted om_gemm_uncounted[] = {
	{ "cublasXt[SDCZ]gemm", "cublasXt splits one product over devices and issues the parts through "
				"_v2 entries on its own threads; host-memory BLAS, not a training path" },
	{ "cublasLt[A-Z][A-Z][A-Z]Matmul", "private entry by which libcublas reaches libcublasLt" },
	{ "cublasLtLegacyGemm*", "private entry by which libcublas reaches libcublasLt" },
	{ "cublasLt*Matmul*Algo*", "asks for an algorithm, multiplies nothing" },
	{ "cublasLtMatmulDesc*", "describes, multiplies nothing" },
	{ "cublasLtMatmulPreference*", "describes, multiplies nothing" },
};
const size_t om_gemm_uncounted_count = sizeof(om_gemm_uncounted) / sizeof(om_gemm_uncounted[0]);

int om_gemm_entry_find(const char *symbol)
{
	for (size_t i = 0; i < om_gemm_entry_count; i++)
		if (!strcmp(om_gemm_entries[i].symbol, symbol))
			return (int)i;
	return -ENOENT;
}

opcount om_gemm_ops(opcount products, uint8_t format)
{
	opcount ops;

	return opcount_mul(products, format & OM_FORMAT_COMPLEX ? 8 : 2, &ops) ? OPCOUNT_MAX : ops;
}
