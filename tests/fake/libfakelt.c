// SPDX-License-Identifier: Apache-2.0
/*
 * Stands in for a vendor's libcublasLt where a proof is tested: the public
 * functions over structs of its own making. FAKE_KIND chooses how it behaves.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define GOOD 0
#define BENT 1	  /* keeps rows otherwise than they were set */
#define ASLEEP 2  /* never comes back from its constructor */
#define BURGLAR 3 /* tries what a library must not do; proven only if all of it failed */
#define BROKEN 4  /* crashes */
#define LIAR 5	  /* answers in the prover's place, with nonsense */

#if FAKE_KIND == ASLEEP || FAKE_KIND == BURGLAR || FAKE_KIND == BROKEN || FAKE_KIND == LIAR
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#endif

/* Not the order of any real build. */
struct layout {
	uint32_t order, type;
	uint64_t cols, rows;
	int32_t batch;
	uint32_t unused;
	int64_t stride, ld;
};

struct desc {
	uint32_t scale, transb, transa, unused, compute;
};

int cublasLtMatmul(void);
int cublasLtMatrixLayoutInit_internal(struct layout *l, size_t size, int type, uint64_t rows, uint64_t cols,
				      int64_t ld);
int cublasLtMatrixLayoutCreate(struct layout **ret, int type, uint64_t rows, uint64_t cols, int64_t ld);
int cublasLtMatrixLayoutSetAttribute(struct layout *l, int attribute, const void *value, size_t size);
int cublasLtMatmulDescInit_internal(struct desc *d, size_t size, int compute, int scale);
int cublasLtMatmulDescCreate(struct desc **ret, int compute, int scale);
int cublasLtMatmulDescSetAttribute(struct desc *d, int attribute, const void *value, size_t size);
size_t cublasLtGetVersion(void);

static int escaped;

#if FAKE_KIND == ASLEEP
__attribute__((constructor)) static void begin(void)
{
	for (volatile int i = 0;; i++)
		;
}
#elif FAKE_KIND == BROKEN
__attribute__((constructor)) static void begin(void)
{
	volatile int *volatile nowhere = NULL;

	*nowhere = 1;
}
#elif FAKE_KIND == LIAR
__attribute__((constructor)) static void begin(void)
{
	for (int fd = 3; fd < 64; fd++)
		if (write(fd, "proven", 6) == 6)
			_exit(0);
}
#elif FAKE_KIND == BURGLAR
__attribute__((constructor)) static void begin(void)
{
	int pipes[2];
	pid_t pid;

	escaped |= open("/tmp/opmeter-escaped", O_CREAT | O_WRONLY, 0600) >= 0;
	escaped |= unlink("/tmp/opmeter-bait") == 0;
	escaped |= socket(AF_INET, SOCK_STREAM, 0) >= 0;
	escaped |= socket(AF_UNIX, SOCK_STREAM, 0) >= 0;
	escaped |= kill(getppid(), 0) == 0;
	escaped |= pipe(pipes) == 0;
	pid = fork();
	if (pid == 0)
		_exit(0);
	escaped |= pid > 0;
	escaped |= getenv("PATH") != NULL;
}
#endif

int cublasLtMatmul(void)
{
	return 1;
}

int cublasLtMatrixLayoutInit_internal(struct layout *l, size_t size, int type, uint64_t rows, uint64_t cols,
				      int64_t ld)
{
	memset(l, 0, sizeof(*l));
	l->type = (uint32_t)type;
	l->rows = rows + (escaped ? 1 : 0);
	l->cols = cols;
	l->ld = ld;
	l->batch = 1;
	return size < sizeof(*l) ? 7 : 0;
}

int cublasLtMatrixLayoutCreate(struct layout **ret, int type, uint64_t rows, uint64_t cols, int64_t ld)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? cublasLtMatrixLayoutInit_internal(*ret, sizeof(**ret), type, rows, cols, ld) : 3;
}

int cublasLtMatrixLayoutSetAttribute(struct layout *l, int attribute, const void *value, size_t size)
{
	void *to[] = { &l->type, &l->order, &l->rows, &l->cols, &l->ld, &l->batch, &l->stride };
	static const size_t sizes[] = { 4, 4, 8, 8, 8, 4, 8 };

	if (attribute < 0 || attribute > 6 || size != sizes[attribute])
		return 7;
	memcpy(to[attribute], value, size);
	if (FAKE_KIND == BENT && attribute == 2)
		l->rows ^= 0x5a;
	return 0;
}

int cublasLtMatmulDescInit_internal(struct desc *d, size_t size, int compute, int scale)
{
	memset(d, 0, sizeof(*d));
	d->compute = (uint32_t)compute;
	d->scale = (uint32_t)scale;
	return size < sizeof(*d) ? 7 : 0;
}

int cublasLtMatmulDescCreate(struct desc **ret, int compute, int scale)
{
	*ret = calloc(1, sizeof(**ret));
	return *ret ? cublasLtMatmulDescInit_internal(*ret, sizeof(**ret), compute, scale) : 3;
}

int cublasLtMatmulDescSetAttribute(struct desc *d, int attribute, const void *value, size_t size)
{
	void *to[] = { &d->compute, &d->scale, NULL, &d->transa, &d->transb };

	if (attribute < 0 || attribute > 4 || attribute == 2 || size != 4)
		return 7;
	memcpy(to[attribute], value, size);
	return 0;
}

size_t cublasLtGetVersion(void)
{
	return 990102;
}
