// SPDX-License-Identifier: Apache-2.0
/* What the ranks of a recorded run add up, asked for in the real libnccl: without a communicator each call refuses after its entry. */
#include "player.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/run.h"

#define NCCL_INT8 0
#define NCCL_SUM 0
#define HANDLE_BYTES (64 << 20) /* zeros: a handle that the library recognises as none, however large it looks */

typedef int (*all_reduce)(const void *, void *, size_t, int, int, void *, void *);

int collectives_load(const char *path, void **ret, struct error_text *err)
{
	*ret = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	return *ret ? 0 : error_set(err, -ENOENT, "%s", dlerror());
}

/* With NCCL_COMM_ID all that ask get one id. */
int collectives_join(void *library, int rank, int ranks)
{
	struct id {
		char byte[128];
	} id;
	int (*unique)(struct id *) = (int (*)(struct id *))dlsym(library, "ncclGetUniqueId");
	int (*init)(void **, int, struct id, int) = (int (*)(void **, int, struct id, int))dlsym(library, "ncclCommInitRank");
	void *comm = NULL;

	if (!unique || !init || unique(&id))
		return -ENOENT;
	init(&comm, ranks, id, rank); /* refuses without a GPU, after its entry */
	return 0;
}

int collectives_play(void *library, const char *path, struct error_text *err)
{
	_cleanup_(run_done) struct run r = { 0 };
	_cleanup_free_ void *none = calloc(1, HANDLE_BYTES);
	all_reduce call = (all_reduce)dlsym(library, "ncclAllReduce");
	int rc = none && call ? run_load(path, &r, err) : error_set(err, -ENOENT, "no ncclAllReduce, or no memory");

	for (size_t i = 0; i < r.collective_count && rc == 0; i++)
		for (uint64_t n = 0; n < r.collectives[i].calls && r.collectives[i].kind == RUN_ALLREDUCE; n++)
			call(NULL, NULL, r.collectives[i].bytes, NCCL_INT8, NCCL_SUM, none, NULL);
	return rc;
}
