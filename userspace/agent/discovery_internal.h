/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_DISCOVERY_INTERNAL_H
#define OPMETER_AGENT_DISCOVERY_INTERNAL_H

/* Between the two files of discovery; nobody else includes this. */

#include "discovery.h"
#include "file_cache.h"
#include "mapper_table.h"
#include "mmap_watch.h"
#include "proc_maps.h"

#define SECOND_NS 1000000000ull
#define NO_LIBRARY FILE_NO_LIBRARY
#define FAILED (-2)

enum slot_state { SLOT_FREE, SLOT_LIVE, SLOT_DORMANT };

struct slot {
	enum slot_state state;
	bool is_pinned; /* named to discovery_add() */
	int fd;		/* LIVE: what open_path leads to */
	struct file_identity identity;
	uint64_t idle_since_ns; /* 0: somebody maps it */
	struct library lib;
};

struct discovery {
	struct discovery_config config;
	struct discovery_ops ops;
	void *ctx;
	int epoll;
	struct mmap_watch *watch;
	struct file_cache *cache;
	struct mapper_table *mappers;
	struct discovery_totals totals;
	bool needs_scan; /* events were lost */
	uint64_t swept_ns, confirmed_ns;
	int64_t budget_ns;
	uint64_t budget_at_ns;
	struct slot slot[MAPPER_LIBRARIES_MAX];
};

/* What led us to a file. */
struct sighting {
	pid_t tgid;
	const struct proc_mapping *mapping;
	uint64_t mapped_ns; /* 0: found by a scan */
	bool trusts_cache;
};

uint64_t discovery_now_ns(void); /* boot time */

/* Which library a mapping is of: the index of a LIVE slot, or NO_LIBRARY. Opens and
 * describes a file that is not known. */
int discovery_judge(struct discovery *d, const struct sighting *s);

/* Takes fd over. As above, or FAILED and *err. */
int discovery_look_at(struct discovery *d, int fd_given, const char *path, struct file_identity *id,
		      struct error_text *err);

void discovery_release(struct discovery *d, struct slot *s);

#endif
