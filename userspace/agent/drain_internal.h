/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_DRAIN_INTERNAL_H
#define OPMETER_AGENT_DRAIN_INTERNAL_H

/* What agent/drain*.c share. Nobody else includes this. */

#include "drain.h"
#include "kernel_cache.h"

#define BATCH 8192	  /* entries of shapes, sums and processes for one system call */
#define BATCH_CGROUPS 256 /* half a kilobyte each */

/* A growing array. */
struct list {
	void *at;
	size_t count, room;
};

struct drain {
	struct probes *p;
	struct list usage, shapes, processes, dead, cgroups;
	struct list dead_shapes, dead_sums, dead_procs, cgroup_ids; /* keys to delete */
	uint32_t *usage_index, *process_index;			    /* by hash; 0: free, else index + 1 */
	size_t usage_slots, process_slots;
	void *keys, *values; /* one batch */
	bool is_init_pidns;
	uint64_t reads;
	bool with_shapes, with_launches;
	struct list replayed; /* struct om_shape_usage */
	struct list bursts;   /* struct drain_burst */
	uint64_t shapes_held;
	uint64_t sums_held; /* at least: by the processes' own counts */

	/* drain_launch.c, drain_graph.c */
	struct kernel_cache *kernels;
	int (*on_unbounded)(void *ctx, const struct om_launch_key *k, uint64_t launches);
	void *unbounded_ctx;
	bool had_launches;
	struct list launches;			 /* struct om_launch_usage */
	struct list new_names;			 /* struct om_kernel_name; texts are the cache's */
	struct list segments, contents, replays; /* struct segment, content, replay */
	struct list dead_launches, dead_segments, dead_contents, dead_replays, dead_handles, name_keys;
	uint64_t launches_held, segments_held, handles_held, names_held; /* by the processes' own counts */
	bool has_dead_handles;
	struct drain_graph_stats graph_stats;
};

int drain_list_add(struct list *l, size_t size, const void *item);
uint64_t drain_mix(uint64_t h, uint64_t v);
/* Keeps an index at most half full: 0, 1 if it was emptied and is to be filled anew, -ENOMEM. */
int drain_index_reserve(uint32_t **index, size_t *slots, size_t count);
int drain_usage(struct drain *d, uint32_t tgid, uint64_t start_ns, uint64_t cgroup_id, uint8_t format,
		uint8_t meter, struct om_usage **ret);
uint8_t drain_format_of(uint32_t types);
bool drain_is_dead(const struct drain *d, uint32_t tgid, uint64_t start_ns);
int drain_map_each(struct drain *d, enum probes_map map, uint32_t batch, size_t key_size, size_t value_size,
		   int (*fn)(struct drain *d, const void *key, const void *value));
int drain_keys_delete(struct drain *d, enum probes_map map, struct list *l, size_t key_size);

/* drain_shapes.c: each product by itself. */
bool drain_wants_shapes(const struct drain *d, uint32_t tgid, uint64_t start_ns);
int drain_shape_keep(struct drain *d, const struct om_shape_key *k, uint64_t calls);
int drain_shape_replayed(struct drain *d, const struct om_replay_key *r, const struct om_content_key *c,
			 uint64_t times);
int drain_shapes_finish(struct drain *d);
int drain_bursts_read(struct drain *d);
void drain_bursts_reset(struct drain *d);

/* drain_launch.c: the launch meter's part of each step. */
void drain_launch_process(struct drain *d, const struct om_proc *p, bool is_dead);
int drain_launch_read(struct drain *d);
int drain_launch_commit(struct drain *d);
void drain_launch_reset(struct drain *d);
void drain_launch_free(struct drain *d);
/* One signature, launched `calls` times: into the usage of its process. */
int drain_launch_fold(struct drain *d, const struct om_launch_key *k, uint64_t calls, bool is_certain);

/* drain_graph.c: what replays of graphs add to the usages. */
int drain_graph_fold(struct drain *d);

struct segment {
	struct om_segment_key key;
	struct om_segment value;
};
struct content {
	struct om_content_key key;
	uint64_t count;
};
struct replay {
	struct om_replay_key key;
	uint64_t count;
};

#endif
