// SPDX-License-Identifier: Apache-2.0
#include "collective_entries.h"

#include <errno.h>
#include <string.h>

#define NONE OM_SLOT_NONE
/* clang-format off */
#define COLLECTIVE(symbol, kind, count, type, comm)                                                          \
	{ symbol, OM_COLLECTIVE_##kind, OM_ID_NONE, comm, count, type, NONE, NONE, NONE, NONE, NONE, NONE }
/* A later form takes a configuration behind its other arguments. */
#define TWO_FORMS(symbol, ...)                                                                               \
	COLLECTIVE(symbol, __VA_ARGS__),                                                                     \
	COLLECTIVE(symbol "Config", __VA_ARGS__)
#define COMMUNICATOR(symbol, kind, has_id, comm, id, ids, nranks, rank, a, b)                                \
	{ symbol, OM_COMMUNICATOR_##kind, has_id, comm, NONE, NONE, id, ids, nranks, rank, a, b }

/*            symbol                 kind        count type comm */
const struct om_collective_entry om_collective_entries[] = {
	TWO_FORMS("ncclAllReduce", ALL_REDUCE, 2, 3, 5),
	TWO_FORMS("ncclReduceScatter", REDUCE_SCATTER, 2, 3, 5),
	TWO_FORMS("ncclAllGather", ALL_GATHER, 2, 3, 4),
	TWO_FORMS("ncclBroadcast", BROADCAST, 2, 3, 5),
	COLLECTIVE("ncclBcast", BROADCAST, 1, 2, 4),
	TWO_FORMS("ncclReduce", REDUCE, 2, 3, 6),
	TWO_FORMS("ncclAlltoAll", ALL_TO_ALL, 2, 3, 4),
	TWO_FORMS("ncclGather", GATHER, 2, 3, 5),
	TWO_FORMS("ncclScatter", SCATTER, 2, 3, 5),
	COLLECTIVE("ncclSend", SEND, 1, 2, 4),
	COLLECTIVE("ncclRecv", RECV, 1, 2, 4),
	COLLECTIVE("ncclPutSignal", PUT, 1, 2, 9),

	/*           symbol                     kind      id                comm id   ids   nranks rank a     b */
	COMMUNICATOR("ncclCommInitRank",         INIT,     OM_ID_BY_VALUE,   0,   2,    NONE, 1,    3,    NONE, NONE),
	COMMUNICATOR("ncclCommInitRankConfig",   INIT,     OM_ID_BY_VALUE,   0,   2,    NONE, 1,    3,    NONE, NONE),
	COMMUNICATOR("ncclCommInitRankScalable", INIT,     OM_ID_BY_POINTER, 0,   4,    3,    1,    2,    NONE, NONE),
	COMMUNICATOR("ncclCommInitAll",          INIT_ALL, OM_ID_NONE,       0,   NONE, NONE, 1,    NONE, NONE, NONE),
	COMMUNICATOR("ncclCommSplit",            SPLIT,    OM_ID_NONE,       0,   NONE, NONE, NONE, NONE, 1,    2),
	COMMUNICATOR("ncclCommGrow",             GROW,     OM_ID_BY_POINTER, 0,   2,    NONE, 1,    3,    NONE, NONE),
	COMMUNICATOR("ncclCommShrink",           SHRINK,   OM_ID_NONE,       0,   NONE, NONE, NONE, NONE, 2,    5),
	COMMUNICATOR("ncclCommRevoke",           REVOKE,   OM_ID_NONE,       0,   NONE, NONE, NONE, NONE, 1,    NONE),
	COMMUNICATOR("ncclCommFinalize",         FINALIZE, OM_ID_NONE,       0,   NONE, NONE, NONE, NONE, NONE, NONE),
	COMMUNICATOR("ncclCommDestroy",          DESTROY,  OM_ID_NONE,       0,   NONE, NONE, NONE, NONE, NONE, NONE),
	COMMUNICATOR("ncclCommAbort",            ABORT,    OM_ID_NONE,       0,   NONE, NONE, NONE, NONE, NONE, NONE),
};
/* clang-format on */
const size_t om_collective_entry_count = sizeof(om_collective_entries) / sizeof(om_collective_entries[0]);

_Static_assert(sizeof(om_collective_entries) / sizeof(om_collective_entries[0]) <= OM_COLLECTIVE_SITES_MAX,
	       "room in the map");

const struct om_collective_unwatched om_collective_unwatched[] = {
	{ "pnccl*", "the same functions under the names that a profiler calls them by" },
	{ "ncclCommGetUniqueId", "an id is told when it is used: by ncclCommGrow" },
	{ "ncclGetUniqueId", "likewise: by ncclCommInitRank" },
	{ "ncclComm*Register", "memory" },
	{ "ncclComm*Deregister", "memory" },
	{ "ncclCommSuspend", "memory given back for a while; the communicator stays" },
	{ "ncclCommResume", "likewise" },
	{ "ncclCommMemStats", "asks" },
	{ "ncclCommCount", "asks" },
	{ "ncclCommCuDevice", "asks" },
	{ "ncclCommUserRank", "asks" },
	{ "ncclCommGetAsyncError", "asks" },
	{ "ncclCommQueryProperties", "asks" },
	{ "ncclSignal", "moves no data" },
	{ "ncclWaitSignal", "moves no data" },
	{ "ncclGroup*", "encloses calls that are counted one by one" },
	{ "ncclRedOp*", "an operator for later calls" },
	{ "ncclMem*", "memory" },
	{ "ncclGet*", "asks" },
	{ "ncclParam*", "parameters of the library" },
	{ "ncclWin*", "asks" },
	{ "ncclTeam*", "for kernels of the tenant's own" },
	{ "ncclDevComm*", "communicators for kernels of the tenant's own, made of one that is known" },
	{ "ncclGin*", "likewise" },
	{ "ncclLsa*", "likewise" },
	{ "ncclLLA2A*", "likewise" },
	{ "ncclResetDebugInit*", "messages" },
	{ "ncclSetEncryption", "a setting" },
	/* Of earlier versions. */
	{ "ncclRedOpCreate*", "an operator for later calls" },
	{ "ncclProfilerPlugin*", "data for a profiler" },
};
const size_t om_collective_unwatched_count =
	sizeof(om_collective_unwatched) / sizeof(om_collective_unwatched[0]);

int om_collective_entry_find(const char *symbol)
{
	for (size_t i = 0; i < om_collective_entry_count; i++)
		if (!strcmp(om_collective_entries[i].symbol, symbol))
			return (int)i;
	return -ENOENT;
}

#if defined(__x86_64__)
#define REGISTERS 6
#else
#define REGISTERS 8
#endif

/* x86-64: an id that is passed by value takes no register; it is the first thing on the stack. */
static uint8_t word_of(const struct om_collective_entry *e, uint8_t position, uint8_t *stack_words)
{
	if (position == NONE)
		return NONE;
#if defined(__x86_64__)
	if (e->has_id == OM_ID_BY_VALUE && position > e->id)
		position--;
#else
	(void)e;
#endif
	if (position < REGISTERS)
		return position;
	if (position - REGISTERS + 1 > *stack_words)
		*stack_words = (uint8_t)(position - REGISTERS + 1);
	return position + 1; /* behind the return address */
}

void om_collective_entry_site(const struct om_collective_entry *e, struct om_collective_site *ret)
{
	struct om_collective_site s = { .kind = e->kind };

	s.comm = word_of(e, e->comm, &s.stack_words);
	s.count = word_of(e, e->count, &s.stack_words);
	s.type = word_of(e, e->type, &s.stack_words);
	s.id = word_of(e, e->id, &s.stack_words);
	s.ids = word_of(e, e->ids, &s.stack_words);
	s.nranks = word_of(e, e->nranks, &s.stack_words);
	s.rank = word_of(e, e->rank, &s.stack_words);
	s.a = word_of(e, e->a, &s.stack_words);
	s.b = word_of(e, e->b, &s.stack_words);
#if defined(__x86_64__)
	if (e->has_id == OM_ID_BY_VALUE)
		s.flags |= OM_COLLECTIVE_ID_IN_PLACE;
#endif
	*ret = s;
}
