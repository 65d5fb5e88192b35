/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_PROBES_INTERNAL_H
#define OPMETER_AGENT_PROBES_INTERNAL_H

/* What agent/probes*.c share. Nobody else includes this. */

#include <limits.h>
#include <pthread.h>

#include "probes.h"

/* A directory DIR/libraries/SEQ-DEV-INO-BUILD, parsed. One that is to go is
 * renamed to gone-SEQ-... first, under the lock: nobody may keep it any more. */
struct attachment {
	uint32_t seq;
	bool is_going;
	uint64_t dev, ino;
	uint64_t build; /* programs, table, offsets and text: the same number, the same probe */
};
#define ATTACHMENT_NAME_SIZE 96
void attachment_format(const struct attachment *a, char ret[ATTACHMENT_NAME_SIZE]);

/* The releasing thread and its queue of attachments. */
struct releaser {
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint32_t queue[OM_LIBRARIES_MAX]; /* seq */
	size_t queued;
	bool is_busy, is_started, is_stopping;
	char dir[PATH_MAX / 2 + 16]; /* DIR/libraries */
};

struct probes {
	char dir[PATH_MAX / 2];
	struct opmeter_bpf *skel;
	int map_fd[PROBES_MAP_END];
	uint32_t map_capacity[PROBES_MAP_END];
	struct om_features features;
	struct om_id map_id;
	bool was_adopted;
	uint64_t build, salt;
	char build_hex[17];
	int stats_fd;			/* keeps the kernel's run statistics on; -1 */
	uint32_t own[OM_LIBRARIES_MAX]; /* attachments made or kept by this instance: seq */
	size_t own_count;
	struct releaser releaser;
};

/* An exclusive lock over everything below the pin directory; close() ends it. */
int probes_lock(const char *dir, int *ret_fd);

/* Marks it as going. The caller holds the lock. */
int attachment_let_go(const char *dir, struct attachment *a);

/* Attachments that are pinned in DIR/libraries. Returns how many (at most max), or -errno. */
int attachments_list(const char *dir, struct attachment *ret, size_t max);
/* The name of attachment `seq`, or -ENOENT. */
int attachment_find(const char *dir, uint32_t seq, char ret_name[NAME_MAX + 1]);
/* How many probes it has pinned. */
size_t attachment_pins(const char *dir, const struct attachment *a);

int releaser_start(struct releaser *r, const char *dir);
void releaser_stop(struct releaser *r);
int releaser_add(struct releaser *r, uint32_t seq);
int releaser_wait(struct releaser *r, int timeout_ms);
/* Unlinks one attachment's pins; *is_stopping (may be NULL) is looked at between two. */
int attachment_remove(const char *dir, uint32_t seq, const bool *is_stopping);

int probes_perf_type(void); /* of uprobes, as perf_event_open() wants it; or -errno */
/* One probe, pinned and then closed. type: probes_perf_type(); config: 0, or bits of the uprobe device. */
int probe_attach(int type, int prog_fd, const char *path, uint64_t offset, uint64_t cookie, uint64_t config,
		 const char *pin);
/* Brings the page of a probe into memory first: the kernel reads it otherwise, without
 * a lock that ext4 of 6.18 wants to see held, and warns in its log. */
int probe_page_read(int fd, uint64_t offset);
/* Does a return probe leave a process under seccomp alive here? (probes_return.c) */
bool probes_return_is_safe(int prog_fd);

uint64_t fnv64(uint64_t hash, const void *data, size_t len);
#define FNV64_START 14695981039346656037ull

/* The loader's own steps (probes_load.c). */
int probes_check_environment(const struct probes_config *c, const char *dir, struct error_text *err);
int probes_load(struct probes *p, const struct probes_config *c, struct error_text *err);

#endif
