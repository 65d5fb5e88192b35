// SPDX-License-Identifier: Apache-2.0
/* The collective meter's maps: loading, pinning, reading. Links are in collective_attach.c. */

#include "collective_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <sodium/core.h>
#include <sodium/crypto_generichash.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>

#include "collective_entries.h"

#define QUOTA_DEFAULT 1024

const char *const collective_pinned[COLLECTIVE_MAP_END] = {
	[COLLECTIVE_META] = "collective_meta",	      [COLLECTIVE_LOST] = "collective_lost",
	[COLLECTIVE_FILES] = "collective_files",      [COLLECTIVE_SUMS] = "collectives",
	[COLLECTIVE_COMMUNICATORS] = "communicators", [COLLECTIVE_PROCESSES] = "collective_processes",
	[COLLECTIVE_THREADS] = "collective_threads",
};

/* A pinned struct that changes is another OM_COLLECTIVE_ABI_VERSION. */
_Static_assert(OM_COLLECTIVE_ABI_VERSION == 1 && sizeof(struct om_collective_key) == 32 &&
		       sizeof(struct om_collective) == 32 && sizeof(struct om_communicator_key) == 16 &&
		       sizeof(struct om_communicator) == 192 && sizeof(struct om_collective_process) == 104 &&
		       sizeof(struct om_collective_file) == 536 && sizeof(struct om_collective_meta) == 32,
	       "the collective meter's maps have changed");

static int make_dirs(struct collective *c, const char *pin_dir, struct error_text *err)
{
	static const char *const names[] = { "", "/maps", "/libraries" };
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
static int map_adopt(struct collective *c, const char *name, struct error_text *err)
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

static int maps_prepare(struct collective *c, const struct collective_config *config, struct error_text *err)
{
	uint32_t sizes[COLLECTIVE_MAP_END] = { [COLLECTIVE_SUMS] = config->sums_max,
					       [COLLECTIVE_COMMUNICATORS] = config->communicators_max,
					       [COLLECTIVE_PROCESSES] = config->processes_max };
	int rc;

	for (size_t i = 0; i < COLLECTIVE_MAP_END; i++) {
		rc = map_adopt(c, collective_pinned[i], err);
		if (rc < 0)
			return rc;
		c->is_new[i] = rc;
		if (rc && sizes[i])
			bpf_map__set_max_entries(
				bpf_object__find_map_by_name(c->skel->obj, collective_pinned[i]), sizes[i]);
	}
	if (config->control_fd < 0)
		return 0;
	rc = bpf_map__reuse_fd(c->skel->maps.control, config->control_fd);
	return rc ? error_set(err, rc, "the meters' switch cannot be used: %s", strerror(-rc)) : 0;
}

static int meta_finish(struct collective *c, const struct collective_config *config, struct error_text *err)
{
	struct om_collective_meta meta;
	uint32_t zero = 0;
	int fd = c->map_fd[COLLECTIVE_META];

	if (bpf_map_lookup_elem(fd, &zero, &meta))
		return -errno;
	if (meta.abi && meta.abi != OM_COLLECTIVE_ABI_VERSION)
		return error_set(err, -EPROTONOSUPPORT, "%s: maps of version %u, this build's is %d", c->dir,
				 meta.abi, OM_COLLECTIVE_ABI_VERSION);
	if (!meta.abi)
		randombytes_buf(meta.id, sizeof(meta.id));
	memcpy(c->map_id.byte, meta.id, sizeof(meta.id));
	meta.abi = OM_COLLECTIVE_ABI_VERSION;
	meta.quota = config->sums_per_process ?: QUOTA_DEFAULT;
	return bpf_map_update_elem(fd, &zero, &meta, BPF_ANY) ? -errno : 0;
}

static int maps_finish(struct collective *c, const struct collective_config *config, struct error_text *err)
{
	char path[PATH_MAX];

	for (size_t i = 0; i < COLLECTIVE_MAP_END; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(c->skel->obj, collective_pinned[i]);

		c->map_fd[i] = bpf_map__fd(map);
		c->capacity[i] = bpf_map__max_entries(map);
		if (!c->is_new[i])
			continue;
		snprintf(path, sizeof(path), "%s/maps/%s", c->dir, collective_pinned[i]);
		if (bpf_obj_pin(c->map_fd[i], path))
			return error_set(err, -errno, "%s: cannot pin: %s", path, strerror(errno));
	}
	return meta_finish(c, config, err);
}

/* The rows of this build, and the build's name: programs and table. */
static int sites_store(struct collective *c, uint64_t salt)
{
	int fd = bpf_map__fd(c->skel->maps.collective_sites);
	struct bpf_program *prog;

	c->build = fnv64(FNV64_START, &salt, sizeof(salt));
	bpf_object__for_each_program(prog, c->skel->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			return -errno;
		c->build = fnv64(c->build, info.tag, sizeof(info.tag));
	}
	for (uint32_t i = 0; i < om_collective_entry_count; i++) {
		struct om_collective_site site;

		om_collective_entry_site(&om_collective_entries[i], &site);
		c->build = fnv64(c->build, &site, sizeof(site));
		if (bpf_map_update_elem(fd, &i, &site, BPF_ANY))
			return -errno;
	}
	return 0;
}

static int load(struct collective *c, const struct collective_config *config, struct error_text *err)
{
	_cleanup_close_ int lock = -1;
	int rc = probes_lock(c->dir, &lock);

	if (rc)
		return error_set(err, rc, "%s: cannot lock: %s", c->dir, strerror(-rc));
	c->skel = collective_bpf__open();
	if (!c->skel)
		return error_set(err, -errno, "cannot open the collective meter's programs: %s",
				 strerror(errno));
	rc = maps_prepare(c, config, err);
	if (rc)
		return rc;
	rc = collective_bpf__load(c->skel);
	if (rc)
		return error_set(err, rc, "the kernel refuses the collective meter's programs: %s",
				 strerror(-rc));
	rc = maps_finish(c, config, err);
	return rc ?: sites_store(c, config->build_salt);
}

int collective_open(const struct collective_config *config, struct collective **ret, struct error_text *err)
{
	_cleanup_collective_ struct collective *c = calloc(1, sizeof(*c));
	char path[PATH_MAX];
	int rc;

	if (!c)
		return -ENOMEM;
	if (sodium_init() < 0)
		return error_set(err, -EIO, "libsodium cannot be initialised");
	memcpy(c->key, config->key, sizeof(c->key));
	if (snprintf(c->dir, sizeof(c->dir), "%s/collective", config->pin_dir) >= (int)sizeof(c->dir))
		return error_set(err, -ENAMETOOLONG, "%s: the name is too long", config->pin_dir);
	rc = make_dirs(c, config->pin_dir, err);
	rc = rc ?: load(c, config, err);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/libraries", c->dir);
	rc = releaser_start(&c->releaser, path);
	if (rc)
		return rc;
	*ret = TAKE_PTR(c);
	return 0;
}

struct collective *collective_free(struct collective *c)
{
	if (!c)
		return NULL;
	releaser_stop(&c->releaser);
	collective_bpf__destroy(c->skel);
	sodium_memzero(c->key, sizeof(c->key));
	free(c->sums);
	free(c->processes);
	free(c->events);
	free(c);
	return NULL;
}

const struct om_id *collective_map_id(const struct collective *c)
{
	return &c->map_id;
}

bool collective_was_adopted(const struct collective *c)
{
	return !c->is_new[COLLECTIVE_META];
}

/* --- reading --- */

/* A key that is added meanwhile may come or not, one that is there comes: nothing is
 * deleted but by us. */
static int map_read(struct collective *c, enum collective_map map, size_t key_size, size_t value_size,
		    void **at, size_t *ret_count)
{
	size_t room = c->capacity[map], count = 0;
	uint8_t key[sizeof(struct om_collective_key)];
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

static void event_from(const struct collective *c, const struct om_communicator_key *key,
		       const struct om_communicator *m, struct collective_event *ret)
{
	*ret = (struct collective_event){
		.key = *key,
		.time_ns = m->time_ns,
		.cgroup_id = m->cgroup_id,
		.comm = m->comm,
		.number = m->number,
		.kind = m->kind,
		.has_id = m->flags & OM_COMMUNICATOR_HAS_ID,
		.ids = m->ids,
		.nranks = (int32_t)m->nranks,
		.rank = (int32_t)m->rank,
		.a = (int32_t)m->a,
		.b = (int32_t)m->b,
	};
	if (ret->has_id)
		crypto_generichash(ret->id.byte, sizeof(ret->id.byte), m->id, sizeof(m->id), c->key,
				   sizeof(c->key));
}

static int events_read(struct collective *c)
{
	int fd = c->map_fd[COLLECTIVE_COMMUNICATORS];
	size_t room = c->capacity[COLLECTIVE_COMMUNICATORS];
	struct om_communicator_key key;
	struct om_communicator m;
	void *previous = NULL;

	if (!c->events)
		c->events = calloc(room, sizeof(*c->events));
	if (!c->events)
		return -ENOMEM;
	c->event_count = 0;
	while (c->event_count < room && !bpf_map_get_next_key(fd, previous, &key)) {
		previous = &key;
		if (!bpf_map_lookup_elem(fd, &key, &m))
			event_from(c, &key, &m, &c->events[c->event_count++]);
	}
	sodium_memzero(&m, sizeof(m));
	return 0;
}

int collective_read(struct collective *c, bool with_sums, struct collective_snapshot *ret)
{
	struct collective_snapshot s = {};
	uint32_t zero = 0;
	int rc;

	_Static_assert(sizeof(struct collective_sum_row) ==
			       sizeof(struct om_collective_key) + sizeof(struct om_collective),
		       "a row is a key and its value");
	c->sum_count = 0;
	rc = events_read(c);
	/* Sums before processes: a loss that is read belongs to calls that were not counted. */
	if (!rc && with_sums)
		rc = map_read(c, COLLECTIVE_SUMS, sizeof(struct om_collective_key),
			      sizeof(struct om_collective), (void **)&c->sums, &c->sum_count);
	if (!rc && with_sums)
		rc = map_read(c, COLLECTIVE_PROCESSES, sizeof(struct om_proc_key),
			      sizeof(struct om_collective_process), (void **)&c->processes, &s.process_count);
	if (rc)
		return rc;
	if (bpf_map_lookup_elem(c->map_fd[COLLECTIVE_LOST], &zero, &s.lost))
		return -errno;
	s.sums = c->sums;
	s.sum_count = c->sum_count;
	s.processes = c->processes;
	s.events = c->events;
	s.event_count = c->event_count;
	*ret = s;
	return 0;
}

opcount collective_bytes(const struct om_collective *sum)
{
	return (opcount)sum->bytes[0] + ((opcount)sum->bytes[1] << 16) + ((opcount)sum->bytes[2] << 32);
}

int collective_taken(struct collective *c)
{
	int rc = 0;

	for (size_t i = 0; i < c->event_count && !rc; i++)
		if (bpf_map_delete_elem(c->map_fd[COLLECTIVE_COMMUNICATORS], &c->events[i].key) &&
		    errno != ENOENT)
			rc = -errno;
	if (!rc)
		c->event_count = 0;
	return rc;
}

static int by_process(const void *x, const void *y)
{
	const struct om_proc_key *a = x, *b = y;

	if (a->start_ns != b->start_ns)
		return a->start_ns < b->start_ns ? -1 : 1;
	return a->tgid < b->tgid ? -1 : a->tgid > b->tgid;
}

int collective_forget(struct collective *c, struct om_proc_key *processes, size_t count)
{
	int rc = 0;

	qsort(processes, count, sizeof(*processes), by_process);
	for (size_t i = 0; count && i < c->sum_count && !rc; i++) {
		struct om_proc_key who = { .start_ns = c->sums[i].key.start_ns, .tgid = c->sums[i].key.tgid };

		if (bsearch(&who, processes, count, sizeof(who), by_process) &&
		    bpf_map_delete_elem(c->map_fd[COLLECTIVE_SUMS], &c->sums[i].key) && errno != ENOENT)
			rc = -errno;
	}
	for (size_t i = 0; i < count && !rc; i++)
		if (bpf_map_delete_elem(c->map_fd[COLLECTIVE_PROCESSES], &processes[i]) && errno != ENOENT)
			rc = -errno;
	return rc;
}

int collective_cost(const struct collective *c, uint64_t *ret_runs, uint64_t *ret_time_ns)
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

bool collective_run_kind(uint32_t kind, enum run_collective_kind *ret)
{
	static const struct {
		uint32_t from;
		enum run_collective_kind to;
	} kinds[] = {
		{ OM_COLLECTIVE_ALL_REDUCE, RUN_ALLREDUCE },
		{ OM_COLLECTIVE_REDUCE_SCATTER, RUN_REDUCESCATTER },
		{ OM_COLLECTIVE_ALL_GATHER, RUN_ALLGATHER },
		{ OM_COLLECTIVE_BROADCAST, RUN_BROADCAST },
		{ OM_COLLECTIVE_REDUCE, RUN_REDUCE },
		{ OM_COLLECTIVE_ALL_TO_ALL, RUN_ALLTOALL },
		{ OM_COLLECTIVE_SEND, RUN_SENDRECV },
		{ OM_COLLECTIVE_RECV, RUN_SENDRECV },
	};

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (kinds[i].from == kind) {
			*ret = kinds[i].to;
			return true;
		}
	return false;
}

bool collective_to_tally(const struct om_collective_usage *u, struct om_tally_collective *ret)
{
	*ret = (struct om_tally_collective){ .job = u->who.job,
					     .tgid = u->who.tgid,
					     .start_ns = u->who.start_ns,
					     .comm = u->comm,
					     .calls = u->calls,
					     .bytes = u->bytes };
	return collective_run_kind(u->kind, &ret->kind);
}

const char *collective_kind_name(uint32_t kind)
{
	static const char *const names[OM_COMMUNICATOR_KIND_END] = {
		[OM_COLLECTIVE_ALL_REDUCE] = "all-reduce",
		[OM_COLLECTIVE_REDUCE_SCATTER] = "reduce-scatter",
		[OM_COLLECTIVE_ALL_GATHER] = "all-gather",
		[OM_COLLECTIVE_BROADCAST] = "broadcast",
		[OM_COLLECTIVE_REDUCE] = "reduce",
		[OM_COLLECTIVE_ALL_TO_ALL] = "all-to-all",
		[OM_COLLECTIVE_GATHER] = "gather",
		[OM_COLLECTIVE_SCATTER] = "scatter",
		[OM_COLLECTIVE_SEND] = "send",
		[OM_COLLECTIVE_RECV] = "recv",
		[OM_COLLECTIVE_PUT] = "put",
		[OM_COMMUNICATOR_INIT] = "init",
		[OM_COMMUNICATOR_INIT_ALL] = "init-all",
		[OM_COMMUNICATOR_SPLIT] = "split",
		[OM_COMMUNICATOR_GROW] = "grow",
		[OM_COMMUNICATOR_SHRINK] = "shrink",
		[OM_COMMUNICATOR_REVOKE] = "revoke",
		[OM_COMMUNICATOR_FINALIZE] = "finalize",
		[OM_COMMUNICATOR_DESTROY] = "destroy",
		[OM_COMMUNICATOR_ABORT] = "abort",
	};

	return kind < OM_COMMUNICATOR_KIND_END && names[kind] ? names[kind] : "unknown";
}

const char *collective_lost_name(uint32_t cause)
{
	static const char *const names[OM_COLLECTIVE_LOST_END] = { "read", "type", "absurd", "quota",
								   "full", "off",  "late" };

	return cause < OM_COLLECTIVE_LOST_END ? names[cause] : "unknown";
}
