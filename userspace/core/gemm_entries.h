/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_GEMM_ENTRIES_H
#define OPMETER_CORE_GEMM_ENTRIES_H

/*
 * The one table of library entries that multiply matrices: what the probes
 * attach to, what the tests compare with the vendor's libraries and headers,
 * what docs/counting.md describes.
 *
 * Positions count the integer-class arguments from 0: floating-point ones, which
 * v1 entries take by value, travel in other registers on every supported ABI.
 */

#include <stddef.h>
#include <stdint.h>

#include "../base/opcount.h"

enum om_gemm_class {
	OM_GEMM_LT_MATMUL = 1, /* cublasLtMatmul: sizes in the descriptors */
	OM_GEMM_PLAIN = 2,
	OM_GEMM_BATCHED = 3,
	OM_GEMM_STRIDED = 4,
	OM_GEMM_GROUPED = 5, /* sizes in host arrays, one element a group */
};

enum om_gemm_library { OM_GEMM_IN_CUBLAS = 1, OM_GEMM_IN_CUBLASLT = 2 };

#define OM_ARG_NONE 0xff

struct om_gemm_entry {
	const char *symbol;
	uint8_t library;    /* enum om_gemm_library */
	uint8_t class;	    /* enum om_gemm_class */
	uint8_t size_width; /* bytes of m, n, k, batch: 4 or 8 */
	uint8_t is_v1;	    /* transposition is a letter, no handle */
	uint8_t transa, transb, m, n, k;
	uint8_t batch;				 /* GROUPED: the number of groups; NONE: 1 */
	uint8_t group_size;			 /* GROUPED: array of batch counts */
	uint8_t a_type, b_type, c_type, compute; /* NONE: fixed, as in `types` */
	uint8_t a, b, c; /* addresses of operands and result; NONE: arrays of them, or not read */
	uint32_t types;	 /* cudaDataType of A, B, C and compute type, a byte each, A lowest; 255 not given */
};

extern const struct om_gemm_entry om_gemm_entries[];
extern const size_t om_gemm_entry_count;

/* Exports whose name looks like a product's but which are not counted, and why. */
struct om_gemm_uncounted {
	const char *pattern; /* fnmatch(3) */
	const char *reason;
};
extern const struct om_gemm_uncounted om_gemm_uncounted[];
extern const size_t om_gemm_uncounted_count;

/* Index into om_gemm_entries, or -ENOENT. */
int om_gemm_entry_find(const char *symbol);

/*
 * Operations of `products` = m * n * k * batch scalar products of one number
 * format (core/format.h): a multiply and an add each; for complex operands four
 * multiplies and four adds, whatever algorithm is used. Saturates at OPCOUNT_MAX.
 */
opcount om_gemm_ops(opcount products, uint8_t format);

#endif
