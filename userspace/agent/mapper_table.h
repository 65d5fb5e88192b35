/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_MAPPER_TABLE_H
#define OPMETER_AGENT_MAPPER_TABLE_H

/*
 * Which processes map which libraries (by index below 64). A pidfd for each
 * process tells when its last thread is gone.
 */

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define MAPPER_LIBRARIES_MAX 64
#define MAPPERS_MAX 16384

struct mapper {
	pid_t tgid; /* 0: free */
	int pidfd;  /* -1: none to be had; found gone by a sweep only */
	uint64_t libraries;
};

struct mapper_table;

/* Pidfds are added to this epoll set (a loan) with the process id as data. */
struct mapper_table *mapper_table_new(int epoll);
struct mapper_table *mapper_table_free(struct mapper_table *t);

/* 1: new; 0: known already; -ENOSPC: the table is full; -ESRCH: the process is gone. */
int mapper_add(struct mapper_table *t, pid_t tgid, int library);
const struct mapper *mapper_find(const struct mapper_table *t, pid_t tgid);
/* Sets what it maps; 0 ends it. */
void mapper_set(struct mapper_table *t, pid_t tgid, uint64_t libraries);
/* How many processes map the library. */
unsigned mapper_count(const struct mapper_table *t, int library);
unsigned mapper_total(const struct mapper_table *t);
/* fn may call mapper_set() for the mapper that it is given. */
void mapper_each(struct mapper_table *t, void (*fn)(void *ctx, const struct mapper *m), void *ctx);

#endif
