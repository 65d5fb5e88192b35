// SPDX-License-Identifier: Apache-2.0
/* The counter meter's maps: loading, pinning, reading. Links are in counter_attach.c. */

#include "counter_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define QUOTA_DEFAULT 4096

static const char *const pinned[COUNTER_MAP_END] = { "counter_meta", "counters", "counter_processes" };

/* A pinned struct that changes is another OM_COUNTER_ABI_VERSION. */
_Static_assert(OM_COUNTER_ABI_VERSION == 1 && sizeof(struct om_counter_key) == 64 &&
		       sizeof(struct om_counter) == 56 && sizeof(struct om_counter_reading) == 88 &&
		       sizeof(struct om_counter_status) == 80 && sizeof(struct om_counter_process) == 160,
	       "the counter meter's maps have changed");

static int make_dirs(struct counter *c, const char *pin_dir, struct error_text *err)
{
	static const char *const names[] = { "", "/maps", "/links" };
	char path[PATH_MAX];

	if (mkdir(pin_dir, 0700) && errno != EEXIST)
		return error_set(err, -errno, "%s: %s", pin_dir, strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s%s", c->dir, names[i]);
		if (mkdir(path, 0700) && errno != EEXIST)
			return error_set(err, -errno, "%s: %s", path, strerror(errno));
	}
	return 0;
}

/* Adopts a pinned map of the same shape: 0, 1 there is none, -errno. */
static int map_adopt(struct counter *c, const char *name, struct error_text *err)
{
	struct bpf_map *map = bpf_object__find_map_by_name(c->skel->obj, name);
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/maps/%s", c->dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		return errno == ENOENT ? 1 : error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	if (info.key_size != bpf_map__key_size(map) || info.value_size != bpf_map__value_size(map))
		return error_set(
			err, -EPROTONOSUPPORT,
			"%s: pinned by a build with other entries: let that build drain and remove it", path);
	return bpf_map__reuse_fd(map, fd);
}

static int maps_prepare(struct counter *c, const struct counter_config *config, struct error_text *err)
{
	uint32_t sizes[COUNTER_MAP_END] = { 0, config->counters_max, config->processes_max };
	int rc;

	for (size_t i = 0; i < COUNTER_MAP_END; i++) {
		rc = map_adopt(c, pinned[i], err);
		if (rc < 0)
			return rc;
		c->is_new[i] = rc;
		if (rc && sizes[i])
			bpf_map__set_max_entries(bpf_object__find_map_by_name(c->skel->obj, pinned[i]),
						 sizes[i]);
	}
	if (config->control_fd < 0)
		return 0;
	rc = bpf_map__reuse_fd(c->skel->maps.control, config->control_fd);
	return rc ? error_set(err, rc, "the meters' switch cannot be used: %s", strerror(-rc)) : 0;
}

static int maps_finish(struct counter *c, const struct counter_config *config, struct error_text *err)
{
	struct om_counter_meta meta = { .abi = OM_COUNTER_ABI_VERSION,
					.quota = config->signatures_per_process ?: QUOTA_DEFAULT };
	struct om_counter_meta old;
	char path[PATH_MAX];
	uint32_t zero = 0;

	for (size_t i = 0; i < COUNTER_MAP_END; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(c->skel->obj, pinned[i]);

		c->map_fd[i] = bpf_map__fd(map);
		c->capacity[i] = bpf_map__max_entries(map);
		if (!c->is_new[i])
			continue;
		snprintf(path, sizeof(path), "%s/maps/%s", c->dir, pinned[i]);
		if (bpf_obj_pin(c->map_fd[i], path))
			return error_set(err, -errno, "%s: cannot pin: %s", path, strerror(errno));
	}
	if (!c->is_new[COUNTER_META] && !bpf_map_lookup_elem(c->map_fd[COUNTER_META], &zero, &old) &&
	    old.abi != meta.abi && old.abi)
		return error_set(err, -EPROTONOSUPPORT, "%s: maps of version %u, this build's is %d", c->dir,
				 old.abi, OM_COUNTER_ABI_VERSION);
	return bpf_map_update_elem(c->map_fd[COUNTER_META], &zero, &meta, BPF_ANY) ? -errno : 0;
}

int counter_open(const struct counter_config *config, struct counter **ret, struct error_text *err)
{
	_cleanup_counter_ struct counter *c = calloc(1, sizeof(*c));
	int rc;

	if (!c)
		return -ENOMEM;
	if (snprintf(c->dir, sizeof(c->dir), "%s/counter", config->pin_dir) >= (int)sizeof(c->dir))
		return error_set(err, -ENAMETOOLONG, "%s: the name is too long", config->pin_dir);
	rc = make_dirs(c, config->pin_dir, err);
	if (rc)
		return rc;
	c->skel = counter_bpf__open();
	if (!c->skel)
		return error_set(err, -errno, "cannot open the counter meter's programs: %s",
				 strerror(errno));
	rc = maps_prepare(c, config, err);
	if (rc)
		return rc;
	rc = counter_bpf__load(c->skel);
	if (rc)
		return error_set(err, rc, "the kernel refuses the counter meter's programs: %s",
				 strerror(-rc));
	rc = maps_finish(c, config, err);
	rc = rc ?: counter_build(c);
	if (rc)
		return rc;
	*ret = TAKE_PTR(c);
	return 0;
}

struct counter *counter_free(struct counter *c)
{
	if (!c)
		return NULL;
	counter_bpf__destroy(c->skel);
	free(c->rows);
	free(c->processes);
	free(c);
	return NULL;
}

/* --- reading --- */

/* A key that is added meanwhile may come or not, one that is there comes: nothing is
 * deleted but by us. */
static int map_read(struct counter *c, enum counter_map map, size_t key_size, size_t value_size, void **at,
		    size_t *ret_count)
{
	size_t room = c->capacity[map], count = 0;
	uint8_t key[sizeof(struct om_counter_key)];
	void *previous = NULL;
	int fd = c->map_fd[map];

	if (!*at)
		*at = calloc(room, key_size + value_size);
	if (!*at)
		return -ENOMEM;
	while (count < room && !bpf_map_get_next_key(fd, previous, key)) {
		uint8_t *row = (uint8_t *)*at + count * (key_size + value_size);

		memcpy(row, key, key_size);
		previous = key;
		if (!bpf_map_lookup_elem(fd, key, row + key_size))
			count++;
	}
	*ret_count = count;
	return 0;
}

int counter_read(struct counter *c, struct counter_snapshot *ret)
{
	struct counter_snapshot s = {};
	int rc;

	_Static_assert(sizeof(struct counter_row) ==
			       sizeof(struct om_counter_key) + sizeof(struct om_counter),
		       "a row is a key and its value");
	rc = map_read(c, COUNTER_COUNTERS, sizeof(struct om_counter_key), sizeof(struct om_counter),
		      (void **)&c->rows, &s.row_count);
	rc = rc
		     ?: map_read(c, COUNTER_PROCESSES, sizeof(struct om_proc_key),
				 sizeof(struct om_counter_process), (void **)&c->processes, &s.process_count);
	if (rc)
		return rc;
	s.rows = c->rows;
	s.processes = c->processes;
	s.is_full = s.row_count == c->capacity[COUNTER_COUNTERS] ||
		    s.process_count == c->capacity[COUNTER_PROCESSES];
	*ret = s;
	return 0;
}

double counter_mean(const struct om_counter *c)
{
	return c->count ? (double)c->sum / (double)c->count : 0;
}

double counter_variance(const struct om_counter *c)
{
	return (double)c->deviation * (double)c->deviation;
}

int counter_claim(const struct counter_snapshot *s, uint64_t (*owner_of)(void *ctx, uint64_t cgroup_id),
		  void *ctx, struct om_calibrations *c)
{
	int rc = 0, one;

	for (size_t i = 0; i < s->row_count; i++) {
		const struct om_counter_key *k = &s->rows[i].key;
		struct om_calibration_claim claim = {
			.key = { .name = k->name, .shared = k->shared, .metric = k->metric },
			.owner = owner_of ? owner_of(ctx, k->cgroup_id) : k->cgroup_id,
			/* Start and number of a process: no two share both. */
			.process = k->start_ns ^ (uint64_t)k->tgid << 40,
			.count = s->rows[i].value.count,
			.mean = counter_mean(&s->rows[i].value),
			.variance = counter_variance(&s->rows[i].value),
		};

		memcpy(claim.key.grid, k->grid, sizeof(claim.key.grid));
		memcpy(claim.key.block, k->block, sizeof(claim.key.block));
		/* An entry that is being made has no launches yet. */
		one = claim.count ? om_calibrations_add(c, &claim) : 0;
		if (one == -ENOMEM)
			return one;
		rc = rc ?: one;
	}
	return rc;
}

int counter_forget(struct counter *c, const struct om_proc_key *process)
{
	struct counter_snapshot s;
	int rc = counter_read(c, &s);

	for (size_t i = 0; i < s.row_count && !rc; i++)
		if (s.rows[i].key.tgid == process->tgid && s.rows[i].key.start_ns == process->start_ns &&
		    bpf_map_delete_elem(c->map_fd[COUNTER_COUNTERS], &s.rows[i].key) && errno != ENOENT)
			rc = -errno;
	if (!rc && bpf_map_delete_elem(c->map_fd[COUNTER_PROCESSES], process) && errno != ENOENT)
		rc = -errno;
	return rc;
}

int counter_cost(const struct counter *c, uint64_t *ret_runs, uint64_t *ret_time_ns)
{
	struct bpf_program *prog;
	uint64_t runs = 0, time_ns = 0;

	bpf_object__for_each_program(prog, c->skel->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			return -errno;
		runs += info.run_cnt;
		time_ns += info.run_time_ns;
	}
	*ret_runs = runs;
	*ret_time_ns = time_ns;
	return 0;
}

/* --- for people --- */

const char *counter_lost_name(int cause)
{
	static const char *const names[OM_COUNTER_LOST_END] = {
		[OM_COUNTER_LOST_READ] = "read",     [OM_COUNTER_LOST_VERSION] = "version",
		[OM_COUNTER_LOST_ABSURD] = "absurd", [OM_COUNTER_LOST_DECREASING] = "decreasing",
		[OM_COUNTER_LOST_QUOTA] = "quota",   [OM_COUNTER_LOST_OFF] = "off",
	};

	return cause >= 0 && cause < OM_COUNTER_LOST_END ? names[cause] : "unknown";
}

const char *counter_state_name(uint32_t state)
{
	static const char *const names[] = { "silent", "idle", "measuring", "yielded", "stopped" };

	return state < ARRAY_SIZE(names) ? names[state] : "unknown";
}

const char *counter_reason_name(uint32_t reason)
{
	static const char *const names[OM_COUNTER_REASON_END] = {
		[OM_COUNTER_FINE] = "",
		[OM_COUNTER_NO_LIBRARY] = "the process has no libcupti, and the system's path has none",
		[OM_COUNTER_OLD_LIBRARY] = "its libcupti has no range profiler",
		[OM_COUNTER_NO_DRIVER] = "its libcuda lacks what the collector must ask",
		[OM_COUNTER_UNKNOWN_CHIP] = "no counters are known for this chip",
		[OM_COUNTER_MULTI_PASS] = "the counters do not fit one pass here",
		[OM_COUNTER_PRIVILEGES] = "counters are for administrators only on this node",
		[OM_COUNTER_MIG] = "this MIG slice has no counters",
		[OM_COUNTER_CONFIDENTIAL] = "confidential computing has no counters",
		[OM_COUNTER_MPS] = "under MPS a counter is not one process's",
		[OM_COUNTER_VIRTUAL] = "this virtual GPU has no counters",
		[OM_COUNTER_SUBSCRIBER] = "the tenant's own profiler was there",
		[OM_COUNTER_BUSY] = "another profiler holds the counters",
		[OM_COUNTER_MEMORY] = "no memory",
		[OM_COUNTER_REFUSED] = "CUPTI refuses",
		[OM_COUNTER_OFF] = "switched off in the process's environment",
	};

	return reason < OM_COUNTER_REASON_END ? names[reason] : "unknown";
}
