// SPDX-License-Identifier: Apache-2.0
/*
 * The entries, by the prototypes of cublas_api.h, cublas.h and cublasLt.h. The
 * handle is null and there is no device memory behind the pointers: the entry is
 * passed with the real arguments, and the library returns "not initialized".
 */
#include "player.h"

#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "userspace/base/cleanup.h"

#define R_32F 0
#define R_64F 1
#define R_16F 2
#define C_32F 4
#define C_64F 5
#define R_32I 10
#define TYPES(a, b, c, compute)                                                                              \
	((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(compute) << 24)
#define ALL(t) TYPES(t, t, t, 0xff)

#define A_TYPE(c) ((int)((c)->product.types & 0xff))
#define B_TYPE(c) ((int)((c)->product.types >> 8 & 0xff))
#define C_TYPE(c) ((int)((c)->product.types >> 16 & 0xff))
#define COMPUTE(c) ((int)((c)->product.types >> 24))

/* Leading dimensions as a caller of column-major matrices gives them. */
#define LDA(c) ((c)->transa ? (c)->product.k : (c)->product.m)
#define LDB(c) ((c)->transb ? (c)->product.n : (c)->product.k)
#define LDC(c) ((c)->product.m)
#define INT(x) ((int)(x))
#define SIZES(c, type) (type)(c)->product.m, (type)(c)->product.n, (type)(c)->product.k

static const double one[2] = { 1.0, 0.0 };

static int call_lt(const struct call *c)
{
	int (*f)(void *handle, void *desc, const void *alpha, const void *a, void *a_desc, const void *b,
		 void *b_desc, const void *beta, const void *c, void *c_desc, void *d, void *d_desc,
		 const void *algo, void *workspace, size_t workspace_size, void *stream) = c->function;

	return f(NULL, c->desc, one, c->at[0], c->a, c->at[1], c->b, one, c->at[2], c->c, c->at[2], c->d, NULL, NULL, 0,
		 NULL);
}

static int call_gemm_ex(const struct call *c)
{
	int (*f)(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type,
		 int lda, const void *b, int b_type, int ldb, const void *beta, void *cc, int c_type, int ldc,
		 int compute, int algo) = c->function;

	return f(NULL, c->transa, c->transb, SIZES(c, int), one, c->at[0], A_TYPE(c), INT(LDA(c)), c->at[1],
		 B_TYPE(c), INT(LDB(c)), one, c->at[2], C_TYPE(c), INT(LDC(c)), COMPUTE(c), -1);
}

static int call_gemm_ex_64(const struct call *c)
{
	int (*f)(void *h, int ta, int tb, int64_t m, int64_t n, int64_t k, const void *alpha, const void *a,
		 int a_type, int64_t lda, const void *b, int b_type, int64_t ldb, const void *beta, void *cc,
		 int c_type, int64_t ldc, int compute, int algo) = c->function;

	return f(NULL, c->transa, c->transb, SIZES(c, int64_t), one, c->at[0], A_TYPE(c), (int64_t)LDA(c), c->at[1],
		 B_TYPE(c), (int64_t)LDB(c), one, c->at[2], C_TYPE(c), (int64_t)LDC(c), COMPUTE(c), -1);
}

/* All of cublas{S,D,C,Z,H}gemm: pointers hide the type. */
static int call_gemm(const struct call *c)
{
	int (*f)(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int lda,
		 const void *b, int ldb, const void *beta, void *cc, int ldc) = c->function;

	return f(NULL, c->transa, c->transb, SIZES(c, int), one, c->at[0], INT(LDA(c)), c->at[1], INT(LDB(c)), one,
		 c->at[2], INT(LDC(c)));
}

static int call_sgemm_v1(const struct call *c)
{
	void (*f)(char ta, char tb, int m, int n, int k, float alpha, const float *a, int lda, const float *b,
		  int ldb, float beta, float *cc, int ldc) = c->function;

	f(c->transa ? 't' : 'n', c->transb ? 't' : 'n', SIZES(c, int), 1, NULL, INT(LDA(c)), NULL,
	  INT(LDB(c)), 1, NULL, INT(LDC(c)));
	return 0;
}

static int call_batched_ex(const struct call *c)
{
	int (*f)(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *const *a,
		 int a_type, int lda, const void *const *b, int b_type, int ldb, const void *beta,
		 void *const *cc, int c_type, int ldc, int batch, int compute, int algo) = c->function;

	return f(NULL, c->transa, c->transb, SIZES(c, int), one, NULL, A_TYPE(c), INT(LDA(c)), NULL,
		 B_TYPE(c), INT(LDB(c)), one, NULL, C_TYPE(c), INT(LDC(c)), INT(c->product.batch), COMPUTE(c),
		 -1);
}

static int call_strided_ex(const struct call *c)
{
	int (*f)(void *h, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int a_type,
		 int lda, long long stride_a, const void *b, int b_type, int ldb, long long stride_b,
		 const void *beta, void *cc, int c_type, int ldc, long long stride_c, int batch, int compute,
		 int algo) = c->function;
	const struct product *p = &c->product;

	return f(NULL, c->transa, c->transb, SIZES(c, int), one, c->at[0], A_TYPE(c), INT(LDA(c)),
		 (long long)(p->m * p->k), c->at[1], B_TYPE(c), INT(LDB(c)), (long long)(p->k * p->n), one, c->at[2],
		 C_TYPE(c), INT(LDC(c)), (long long)(p->m * p->n), INT(p->batch), COMPUTE(c), -1);
}

/* One group of `batch` products. */
static int call_grouped_ex(const struct call *c)
{
	int (*f)(void *h, const int *ta, const int *tb, const int *m, const int *n, const int *k,
		 const void *alpha, const void *const *a, int a_type, const int *lda, const void *const *b,
		 int b_type, const int *ldb, const void *beta, void *const *cc, int c_type, const int *ldc,
		 int groups, const int *group_size, int compute) = c->function;
	const struct product *p = &c->product;
	int ta = c->transa, tb = c->transb, m = INT(p->m), n = INT(p->n), k = INT(p->k);
	int lda = INT(LDA(c)), ldb = INT(LDB(c)), ldc = INT(LDC(c)), size = INT(p->batch);

	return f(NULL, &ta, &tb, &m, &n, &k, one, NULL, A_TYPE(c), &lda, NULL, B_TYPE(c), &ldb, one, NULL,
		 C_TYPE(c), &ldc, 1, &size, COMPUTE(c));
}

const struct via vias[] = {
	{ "lt", false, true, 0, "cublasLtMatmul", call_lt },
	{ "gemmex", true, false, 0, "cublasGemmEx", call_gemm_ex },
	{ "gemmex64", true, false, 0, "cublasGemmEx_64", call_gemm_ex_64 },
	{ "stridedbatched", true, true, 0, "cublasGemmStridedBatchedEx", call_strided_ex },
	{ "batched", true, true, 0, "cublasGemmBatchedEx", call_batched_ex },
	{ "grouped", true, true, 0, "cublasGemmGroupedBatchedEx", call_grouped_ex },
	{ "sgemm", true, false, ALL(R_32F), "cublasSgemm_v2", call_gemm },
	{ "dgemm", true, false, ALL(R_64F), "cublasDgemm_v2", call_gemm },
	{ "cgemm", true, false, ALL(C_32F), "cublasCgemm_v2", call_gemm },
	{ "zgemm", true, false, ALL(C_64F), "cublasZgemm_v2", call_gemm },
	{ "hgemm", true, false, ALL(R_16F), "cublasHgemm", call_gemm },
	{ "sgemm_v1", true, false, ALL(R_32F), "cublasSgemm", call_sgemm_v1 },
	{ 0 },
};

const struct via *via_find(const char *name)
{
	for (const struct via *v = vias; v->name; v++)
		if (!strcmp(v->name, name))
			return v;
	return NULL;
}

static int load_one(const char *dir, const char *pattern, void **ret, struct error_text *err)
{
	char path[PATH_MAX];
	glob_t g = { 0 };

	snprintf(path, sizeof(path), "%s/%s", dir, pattern);
	if (glob(path, 0, NULL, &g) || g.gl_pathc != 1) {
		globfree(&g);
		return error_set(err, -ENOENT, "%s: there must be exactly one", path);
	}
	*ret = dlopen(g.gl_pathv[0], RTLD_NOW | RTLD_GLOBAL);
	globfree(&g);
	return *ret ? 0 : error_set(err, -ENOEXEC, "%s", dlerror());
}

int libraries_load(const char *dir, bool needs_blas, struct libraries *ret, struct error_text *err)
{
	int r = load_one(dir, "libcublasLt.so.[0-9]*", &ret->lt, err);

	ret->blas = NULL;
	if (!r && needs_blas)
		r = load_one(dir, "libcublas.so.[0-9]*", &ret->blas, err);
	return r;
}

/* What cublasLtMatmulDescCreate takes for alpha and beta with a compute type. */
static int scale_type(const struct product *p)
{
	switch (p->types >> 24) {
	case 64: /* 16F and its pedantic form */
	case 65:
		return R_16F;
	case 70: /* 64F */
	case 71:
	case 79:
		return R_64F;
	case 72: /* 32I */
	case 73:
		return R_32I;
	default:
		return R_32F;
	}
}

static int layout_new(const struct libraries *libs, int type, uint64_t rows, uint64_t cols, uint64_t batch,
		      void **ret)
{
	int (*create)(void **, int, uint64_t, uint64_t, int64_t) =
		dlsym(libs->lt, "cublasLtMatrixLayoutCreate");
	int (*set)(void *, int, const void *, size_t) = dlsym(libs->lt, "cublasLtMatrixLayoutSetAttribute");
	int32_t count = (int32_t)batch;
	int64_t stride = (int64_t)(rows * cols);

	if (!create || !set || create(ret, type, rows, cols, (int64_t)rows))
		return -EINVAL;
	return batch > 1 && (set(*ret, 5, &count, sizeof(count)) || set(*ret, 6, &stride, sizeof(stride)))
		       ? -EINVAL
		       : 0;
}

static int prepare_lt(const struct libraries *libs, struct call *c)
{
	int (*create)(void **, int, int) = dlsym(libs->lt, "cublasLtMatmulDescCreate");
	int (*set)(void *, int, const void *, size_t) = dlsym(libs->lt, "cublasLtMatmulDescSetAttribute");
	const struct product *p = &c->product;
	int ta = c->transa, tb = c->transb, r;

	if (!create || !set || create(&c->desc, COMPUTE(c), scale_type(p)) ||
	    set(c->desc, 3, &ta, sizeof(ta)) || set(c->desc, 4, &tb, sizeof(tb)))
		return -EINVAL;
	r = layout_new(libs, A_TYPE(c), ta ? p->k : p->m, ta ? p->m : p->k, p->batch, &c->a);
	if (!r)
		r = layout_new(libs, B_TYPE(c), tb ? p->n : p->k, tb ? p->k : p->n, p->batch, &c->b);
	if (!r)
		r = layout_new(libs, C_TYPE(c), p->m, p->n, p->batch, &c->c);
	return r ? r : layout_new(libs, C_TYPE(c), p->m, p->n, p->batch, &c->d);
}

int call_prepare(const struct libraries *libs, const struct via *via, const struct product *p,
		 const char *trans, struct call *ret, struct error_text *err)
{
	*ret = (struct call){
		.via = via, .product = *p, .transa = trans[0] == 'T', .transb = trans[1] == 'T'
	};
	if (via->types)
		ret->product.types = via->types;
	if (p->batch > 1 && !via->takes_batch)
		return error_set(err, -EINVAL, "%s takes no batch of %llu", via->name,
				 (unsigned long long)p->batch);
	if (via->is_blas && via->fn != call_gemm_ex_64 && (p->m | p->n | p->k | p->batch) > INT32_MAX)
		return error_set(err, -EINVAL, "%s takes sizes of 32 bits only", via->name);
	ret->function = dlsym(via->is_blas ? libs->blas : libs->lt, via->symbol);
	if (!ret->function)
		return error_set(err, -ENOENT, "%s is not in this library", via->symbol);
	if (!via->is_blas && prepare_lt(libs, ret))
		return error_set(err, -EINVAL,
				 "cublasLt refuses the descriptors of %llu x %llu x %llu, types %08x",
				 (unsigned long long)p->m, (unsigned long long)p->n, (unsigned long long)p->k,
				 p->types);
	return 0;
}
