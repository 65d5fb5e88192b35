// SPDX-License-Identifier: Apache-2.0
/*
 * The loader's public face: opening, the switch, statistics, cost. Loading and
 * adopting is in probes_load.c, attaching in probes_attach.c, releasing in
 * probes_release.c.
 */

#include "probes_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "opmeter.skel.h"

uint64_t fnv64(uint64_t hash, const void *data, size_t len)
{
	const uint8_t *b = data;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ b[i]) * 1099511628211ull;
	return hash;
}

int probes_lock(const char *dir, int *ret_fd)
{
	_cleanup_close_ int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	if (flock(fd, LOCK_EX) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

int probes_open(const struct probes_config *config, struct probes **ret, struct error_text *err)
{
	_cleanup_probes_ struct probes *p = NULL;
	const char *dir = config->pin_dir ? config->pin_dir : PROBES_PIN_DIR;
	char libraries[sizeof(p->releaser.dir)];
	int rc;

	rc = probes_check_environment(config, dir, err);
	if (rc)
		return rc;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	for (size_t i = 0; i < PROBES_MAP_END; i++)
		p->map_fd[i] = -1;
	p->stats_fd = -1;
	if (snprintf(p->dir, sizeof(p->dir), "%s", dir) >= (int)sizeof(p->dir))
		return error_set(err, -ENAMETOOLONG, "%s: the name is too long", dir);
	rc = probes_load(p, config, err);
	if (rc)
		return rc;
	snprintf(libraries, sizeof(libraries), "%s/libraries", p->dir);
	rc = releaser_start(&p->releaser, libraries);
	if (rc)
		return error_set(err, rc, "cannot start the releasing thread: %s", strerror(-rc));
	*ret = TAKE_PTR(p);
	return 0;
}

struct probes *probes_free(struct probes *p)
{
	if (!p)
		return NULL;
	releaser_stop(&p->releaser);
	closep(&p->stats_fd);
	for (size_t i = 0; i < PROBES_MAP_END; i++)
		closep(&p->map_fd[i]);
	opmeter_bpf__destroy(p->skel);
	free(p);
	return NULL;
}

const struct om_id *probes_map_id(const struct probes *p)
{
	return &p->map_id;
}

bool probes_was_adopted(const struct probes *p)
{
	return p->was_adopted;
}

const char *probes_build(const struct probes *p)
{
	return p->build_hex;
}

const struct om_features *probes_features(const struct probes *p)
{
	return &p->features;
}

int probes_map_fd(const struct probes *p, enum probes_map map)
{
	return p->map_fd[map];
}

uint32_t probes_map_capacity(const struct probes *p, enum probes_map map)
{
	return p->map_capacity[map];
}

/* One write, and no lock: an attachment of 60 probes must be in nobody's way when
 * counting has to stop within 10 ms. Two that switch at once: the later one wins. */
static int control_switch(int fd, uint32_t meters, bool is_off)
{
	struct om_control c;
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(fd, &zero, &c))
		return -errno;
	/* What handles came to mean meanwhile was not seen. */
	if (!is_off && c.off & (OM_OFF_NODE | OM_OFF_LAUNCH))
		c.epoch++;
	c.off = is_off ? c.off | meters : c.off & ~meters;
	return bpf_map_update_elem(fd, &zero, &c, BPF_ANY) ? -errno : 0;
}

int probes_set_off(struct probes *p, uint32_t meters, bool is_off)
{
	return control_switch(p->map_fd[PROBES_CONTROL], meters, is_off);
}

uint32_t probes_off(const struct probes *p)
{
	struct om_control c = {};
	uint32_t zero = 0;

	return bpf_map_lookup_elem(p->map_fd[PROBES_CONTROL], &zero, &c) ? 0 : c.off;
}

int probes_switch(const char *pin_dir, uint32_t meters, bool is_off, struct error_text *err)
{
	const char *dir = pin_dir ? pin_dir : PROBES_PIN_DIR;
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];
	int rc;

	snprintf(path, sizeof(path), "%s/maps/control", dir);
	fd = bpf_obj_get(path);
	if (fd < 0 && errno == ENOENT)
		return error_set(err, -ENOENT, "%s: no meter is installed there", dir);
	rc = fd < 0 ? -errno : control_switch(fd, meters, is_off);
	return rc ? error_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}

int probes_range_add(struct probes *p, uint32_t tgid, uint64_t start_ticks, uint64_t start, uint64_t end)
{
	struct om_proc_key key = { .start_ns = start_ticks, .tgid = tgid };
	struct om_ranges r = {};

	bpf_map_lookup_elem(p->map_fd[PROBES_RANGES], &key, &r);
	for (size_t i = 0; i < OM_RANGES_MAX; i++) {
		if (r.at[i].start == start && r.at[i].end == end)
			return 0;
		if (r.at[i].end)
			continue;
		r.at[i].start = start;
		r.at[i].end = end;
		return bpf_map_update_elem(p->map_fd[PROBES_RANGES], &key, &r, BPF_ANY) ? -errno : 0;
	}
	return -ENOSPC;
}

int probes_stats(const struct probes *p, struct om_stats *ret)
{
	_cleanup_free_ struct om_stats *cpu = NULL;
	int cpus = libbpf_num_possible_cpus();
	uint64_t *sum = (uint64_t *)ret;
	uint32_t zero = 0;

	if (cpus < 0)
		return cpus;
	cpu = calloc((size_t)cpus, sizeof(*cpu));
	if (!cpu)
		return -ENOMEM;
	if (bpf_map_lookup_elem(p->map_fd[PROBES_STATS], &zero, cpu))
		return -errno;
	memset(ret, 0, sizeof(*ret));
	for (int i = 0; i < cpus; i++)
		for (size_t f = 0; f < sizeof(*ret) / sizeof(uint64_t); f++)
			sum[f] += ((uint64_t *)&cpu[i])[f];
	return 0;
}

int probes_set_measured(struct probes *p, bool is_measured)
{
	if (!is_measured) {
		closep(&p->stats_fd);
		p->stats_fd = -1;
		return 0;
	}
	if (p->stats_fd >= 0)
		return 0;
	p->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	return p->stats_fd < 0 ? -errno : 0;
}

static uint32_t meter_of(const struct bpf_program *prog)
{
	const char *name = bpf_program__name(prog);

	if (!strncmp(name, "on_launch", 9) || !strncmp(name, "on_graph", 8) || !strncmp(name, "on_driver", 9))
		return OM_OFF_LAUNCH;
	if (!strncmp(name, "on_window", 9))
		return OM_OFF_COUNTER;
	return strstr(name, "gemm") || strstr(name, "matmul") ? OM_OFF_SHAPE : 0;
}

int probes_cost(const struct probes *p, uint32_t meters, struct probes_cost *ret)
{
	struct bpf_program *prog;
	struct probes_cost sum = {};

	bpf_object__for_each_program(prog, p->skel->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);
		int fd = bpf_program__fd(prog);

		if (fd < 0 || !(meters & (OM_OFF_NODE | meter_of(prog))))
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &len))
			return -errno;
		sum.runs += info.run_cnt;
		sum.time_ns += info.run_time_ns;
	}
	*ret = sum;
	return 0;
}
