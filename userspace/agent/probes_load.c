// SPDX-License-Identifier: Apache-2.0
/*
 * Loading: what the kernel can do, and the maps, which are adopted if they are there.
 *
 * The map `meta` is pinned last when maps are made, so a set without it is one
 * whose making was cut short: nothing can have been counted in it, and it is
 * made anew.
 */

#include "probes_internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include "../core/gemm_entries.h"
#include "driver_entries.h"
#include "opmeter.skel.h"

#define DEFAULT_SHAPES_PER_PROCESS 4096
#define DEFAULT_SUMS_PER_PROCESS 64
#define DEFAULT_LAUNCHES_PER_PROCESS 4096
#define DEFAULT_NAMES_PER_PROCESS 4096
#define DEFAULT_HANDLES_PER_PROCESS 16384
#define DEFAULT_CONTENTS_PER_PROCESS 16384

/* Whoever changes one of these makes a new OM_ABI_VERSION. */
_Static_assert(OM_ABI_VERSION == 4 && sizeof(struct om_shape_key) == 64 && sizeof(struct om_sum_key) == 24 &&
		       sizeof(struct om_sum) == 14 * 8 && sizeof(struct om_proc_key) == 16 &&
		       sizeof(struct om_proc) == 152 && sizeof(struct om_thread) == 1264 &&
		       sizeof(struct om_library_facts) == 40 + 8 * OM_CALL_SITES_MAX &&
		       sizeof(struct om_cgroup) == 512 && sizeof(struct om_control) == 8 &&
		       sizeof(struct om_limits) == 44 && sizeof(struct om_meta) == 32 &&
		       sizeof(struct om_launch_key) == 64 && sizeof(struct om_name) == 504 &&
		       sizeof(struct om_handle_key) == 24 && sizeof(struct om_handle) == 24 &&
		       sizeof(struct om_segment) == 24 && sizeof(struct om_content_key) == 64 &&
		       sizeof(struct om_replay_key) == 32 && sizeof(struct om_sampling) == 16 &&
		       sizeof(struct om_burst) == 8 + 20 * OM_BURST_STEPS && sizeof(struct om_ranges) == 96,
	       "the pinned maps have changed");

static const char *const map_names[PROBES_MAP_END] = {
	[PROBES_CONTROL] = "control",	  [PROBES_LIMITS] = "limits",	  [PROBES_META] = "meta",
	[PROBES_SHAPES] = "shapes",	  [PROBES_SUMS] = "sums",	  [PROBES_SPILLS] = "spills",
	[PROBES_PROCS] = "procs",	  [PROBES_LINEAGES] = "lineages", [PROBES_THREADS] = "threads",
	[PROBES_LIBRARIES] = "libraries", [PROBES_CGROUPS] = "cgroups",	  [PROBES_STATS] = "stats",
	[PROBES_LAUNCHES] = "launches",	  [PROBES_NAMES] = "names",	  [PROBES_HANDLES] = "handles",
	[PROBES_SEGMENTS] = "segments",	  [PROBES_CONTENTS] = "contents", [PROBES_REPLAYS] = "replays",
	[PROBES_RANGES] = "ranges",	  [PROBES_ACTIVITY] = "activity", [PROBES_SAMPLING] = "sampling",
	[PROBES_BURSTS] = "bursts",
};

/* The calling convention's translation of an argument's position into a word
 * (bpf/abi.bpf.h): the return address stands between registers and stack. */
#if defined(__x86_64__)
enum { ARG_REGS = 6 };
#elif defined(__aarch64__)
enum { ARG_REGS = 8 };
#endif

/* --- what this kernel can do --- */

static int on_libbpf_line(enum libbpf_print_level level, const char *fmt, va_list args)
{
	char line[2048];
	size_t len;

	vsnprintf(line, sizeof(line), fmt, args);
	len = strlen(line);
	while (len && line[len - 1] == '\n')
		line[--len] = '\0';
	log_debug("libbpf: %s", line);
	return 0;
}

/* Each load makes libbpf read the kernel's types, which takes 0.25 s: so the facts
 * are read by a program of the same load, and separately only to explain why a
 * load has failed. */
static int features_read(struct opmeter_bpf *skel, struct om_features *ret)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	int rc = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.read_features), &run);

	if (!rc)
		*ret = skel->bss->features;
	return rc;
}

static int features_read_alone(struct om_features *ret)
{
	struct opmeter_bpf *skel = opmeter_bpf__open();
	struct bpf_program *prog;
	struct bpf_map *map;
	int rc;

	if (!skel)
		return -errno;
	bpf_object__for_each_program(prog, skel->obj)
		bpf_program__set_autoload(prog, prog == skel->progs.read_features);
	bpf_object__for_each_map(map, skel->obj) bpf_map__set_autocreate(map, bpf_map__is_internal(map));
	rc = opmeter_bpf__load(skel);
	if (!rc)
		rc = features_read(skel, ret);
	opmeter_bpf__destroy(skel);
	return rc;
}

static int load_explain(int load_rc, struct error_text *err)
{
	struct om_features f = {};

	if (features_read_alone(&f))
		return error_set(err, load_rc,
				 "the kernel refuses BPF programs: %s (opmeter -v shows its reasons)",
				 strerror(-load_rc));
	if (f.has_copy_from_user && f.has_attach_cookie && f.has_loop && f.has_task_storage &&
	    f.has_start_boottime && f.has_cgroup_id)
		return error_set(err, load_rc,
				 "the kernel refuses the programs: %s (opmeter -v shows its reasons)",
				 strerror(-load_rc));
	return error_set(err, -ENOTSUP, "the kernel lacks:%s%s%s%s%s%s; Linux 6.1 has them all",
			 f.has_copy_from_user ? "" : " bpf_copy_from_user",
			 f.has_attach_cookie ? "" : " bpf_get_attach_cookie", f.has_loop ? "" : " bpf_loop",
			 f.has_task_storage ? "" : " task storage",
			 f.has_start_boottime ? "" : " start_boottime",
			 f.has_cgroup_id ? "" : " 64-bit cgroup ids");
}

/* --- maps --- */

static int pin_path(const struct probes *p, const char *name, char ret[PATH_MAX])
{
	return snprintf(ret, PATH_MAX, "%s/maps/%s", p->dir, name);
}

/* A look-up writes as many bytes as the kernel's map holds: a struct that grew or
 * shrank under one ABI version by mistake must not become a broken heap. */
static int map_check(const struct bpf_map *map, int fd)
{
	struct bpf_map_info info = {};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	return info.key_size == bpf_map__key_size(map) && info.value_size == bpf_map__value_size(map)
		       ? 0
		       : -EPROTONOSUPPORT;
}

/* 0 adopted, 1 there is no whole set, -errno. */
static int maps_adopt(struct probes *p, struct error_text *err)
{
	/* Of another version it may be larger. */
	union {
		struct om_meta meta;
		uint8_t room[512];
	} u;
	struct om_meta meta;
	uint32_t zero = 0;
	char path[PATH_MAX];
	struct bpf_map *map;
	int rc;

	pin_path(p, "meta", path);
	p->map_fd[PROBES_META] = bpf_obj_get(path);
	if (p->map_fd[PROBES_META] < 0)
		return errno == ENOENT ? 1 : error_set(err, -errno, "%s: %s", path, strerror(errno));
	/* `abi` is the first field in every version. */
	if (bpf_map_lookup_elem(p->map_fd[PROBES_META], &zero, &u))
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	meta = u.meta;
	if (meta.abi != OM_ABI_VERSION)
		return error_set(
			err, -EPROTONOSUPPORT,
			"%s: pinned by a build with maps of version %u, this one has version %d: let that "
			"build drain and remove them first",
			p->dir, meta.abi, OM_ABI_VERSION);
	for (size_t i = 0; i < PROBES_MAP_END; i++) {
		pin_path(p, map_names[i], path);
		if (i != PROBES_META)
			p->map_fd[i] = bpf_obj_get(path);
		if (p->map_fd[i] < 0)
			return error_set(err, -errno, "%s: %s", path, strerror(errno));
		map = bpf_object__find_map_by_name(p->skel->obj, map_names[i]);
		rc = map ? map_check(map, p->map_fd[i]) : -ENOENT;
		if (rc == -EPROTONOSUPPORT)
			return error_set(err, rc,
					 "%s: its entries have another size than this build's: let the build "
					 "that made it "
					 "drain and remove the maps first",
					 path);
		rc = rc ?: bpf_map__reuse_fd(map, p->map_fd[i]);
		if (rc)
			return error_set(err, rc, "%s: cannot be used: %s", path, strerror(-rc));
	}
	memcpy(&p->map_id, meta.id, sizeof(p->map_id));
	p->was_adopted = true;
	return 0;
}

static int maps_size(struct probes *p, const struct probes_config *c)
{
	const struct {
		const char *name;
		uint32_t entries;
	} sizes[] = {
		{ "shapes", c->shapes_max },	 { "sums", c->sums_max },
		{ "spills", c->spills_max },	 { "procs", c->processes_max },
		{ "cgroups", c->cgroups_max },	 { "launches", c->launches_max },
		{ "contents", c->contents_max },
	};
	int rc;

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(p->skel->obj, sizes[i].name);

		rc = sizes[i].entries ? bpf_map__set_max_entries(map, sizes[i].entries) : 0;
		if (rc)
			return rc;
	}
	return 0;
}

static int map_pin(struct probes *p, enum probes_map i, struct error_text *err)
{
	char path[PATH_MAX];

	pin_path(p, map_names[i], path);
	if (unlink(path) && errno != ENOENT)
		return error_set(err, -errno, "%s: %s", path, strerror(errno));
	if (bpf_obj_pin(p->map_fd[i], path))
		return error_set(err, -errno, "%s: cannot pin: %s", path, strerror(errno));
	return 0;
}

static int maps_make(struct probes *p, struct error_text *err)
{
	struct om_meta meta = { .abi = OM_ABI_VERSION, .next_seq = 1 };
	struct om_sampling sampling = { 0 };
	struct timespec now;
	uint32_t zero = 0;
	int rc;

	if (getrandom(meta.id, sizeof(meta.id), 0) != sizeof(meta.id) ||
	    getrandom(&sampling.key, sizeof(sampling.key), 0) != sizeof(sampling.key))
		return -EIO;
	clock_gettime(CLOCK_BOOTTIME, &now);
	meta.created_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	for (size_t i = 0; i < PROBES_MAP_END; i++) {
		struct bpf_map *map = bpf_object__find_map_by_name(p->skel->obj, map_names[i]);

		p->map_fd[i] = dup(bpf_map__fd(map));
		if (p->map_fd[i] < 0)
			return -errno;
	}
	if (bpf_map_update_elem(p->map_fd[PROBES_SAMPLING], &zero, &sampling, BPF_ANY) ||
	    bpf_map_update_elem(p->map_fd[PROBES_META], &zero, &meta, BPF_ANY))
		return -errno;
	for (size_t i = 0; i < PROBES_MAP_END; i++) {
		rc = i == PROBES_META ? 0 : map_pin(p, i, err);
		if (rc)
			return rc;
	}
	memcpy(&p->map_id, meta.id, sizeof(p->map_id));
	return map_pin(p, PROBES_META, err);
}

static int maps_finish(struct probes *p, const struct probes_config *c)
{
	uint32_t zero = 0;
	struct om_limits limits = {};

	for (size_t i = 0; i < PROBES_MAP_END; i++) {
		struct bpf_map_info info = {};
		uint32_t len = sizeof(info);

		if (bpf_obj_get_info_by_fd(p->map_fd[i], &info, &len))
			return -errno;
		p->map_capacity[i] = info.max_entries;
	}
	limits.shapes_per_process =
		c->shapes_per_process ? c->shapes_per_process : DEFAULT_SHAPES_PER_PROCESS;
	limits.sums_per_process = c->sums_per_process ? c->sums_per_process : DEFAULT_SUMS_PER_PROCESS;
	limits.launches_per_process = c->launches_per_process ?: DEFAULT_LAUNCHES_PER_PROCESS;
	limits.names_per_process = c->names_per_process ?: DEFAULT_NAMES_PER_PROCESS;
	limits.handles_per_process = c->handles_per_process ?: DEFAULT_HANDLES_PER_PROCESS;
	limits.contents_per_process = c->contents_per_process ?: DEFAULT_CONTENTS_PER_PROCESS;
	memcpy(limits.device_majors, c->device_majors, sizeof(limits.device_majors));
	return bpf_map_update_elem(p->map_fd[PROBES_LIMITS], &zero, &limits, BPF_ANY) ? -errno : 0;
}

/* --- the table of entries --- */

static uint8_t word_of(uint8_t arg)
{
	return arg == OM_ARG_NONE ? OM_SLOT_NONE : arg < ARG_REGS ? arg : arg + 1;
}

static struct om_call_site site_of(const struct om_gemm_entry *e)
{
	const uint8_t args[] = { e->transa, e->transb, e->m,	  e->n,	      e->k, e->batch, e->group_size,
				 e->a_type, e->b_type, e->c_type, e->compute, e->a, e->b,     e->c };
	struct om_call_site s = {
		.class = e->class,
		.flags = (e->size_width == 8 ? OM_CALL_WIDE : 0) | (e->is_v1 ? OM_CALL_LETTERS : 0) |
			 (e->library == OM_GEMM_IN_CUBLAS ? OM_CALL_IN_CUBLAS : 0),
		.transa = word_of(e->transa),
		.transb = word_of(e->transb),
		.m = word_of(e->m),
		.n = word_of(e->n),
		.k = word_of(e->k),
		.batch = word_of(e->batch),
		.group_size = word_of(e->group_size),
		.a_type = word_of(e->a_type),
		.b_type = word_of(e->b_type),
		.c_type = word_of(e->c_type),
		.compute = word_of(e->compute),
		.a = word_of(e->a),
		.b = word_of(e->b),
		.c = word_of(e->c),
		.types = e->types,
	};

	for (size_t i = 0; i < ARRAY_SIZE(args); i++)
		if (args[i] != OM_ARG_NONE && args[i] >= ARG_REGS && args[i] - ARG_REGS + 1 > s.stack_words)
			s.stack_words = args[i] - ARG_REGS + 1;
	return s;
}

static int sites_fill(struct probes *p)
{
	int fd = bpf_map__fd(p->skel->maps.sites);

	_Static_assert(OM_ARG_NONE == OM_SLOT_NONE, "one mark for both");
	if (om_gemm_entry_count > OM_CALL_SITES_MAX)
		return -E2BIG;
	for (uint32_t i = 0; i < om_gemm_entry_count; i++) {
		struct om_call_site s = site_of(&om_gemm_entries[i]);

		if (bpf_map_update_elem(fd, &i, &s, BPF_ANY))
			return -errno;
		p->build = fnv64(p->build, &s, sizeof(s));
	}
	return 0;
}

static struct om_driver_site driver_site_of(const struct om_driver_entry *e)
{
	struct om_driver_site s = { .op = e->op, .flags = e->flags };

	for (size_t i = 0; i < OM_DRIVER_ARGS; i++) {
		s.arg[i] = word_of(e->arg[i]);
		if (e->arg[i] != OM_SLOT_NONE && e->arg[i] >= ARG_REGS &&
		    e->arg[i] - ARG_REGS + 1 > s.stack_words)
			s.stack_words = e->arg[i] - ARG_REGS + 1;
	}
	return s;
}

static int driver_sites_fill(struct probes *p)
{
	int fd = bpf_map__fd(p->skel->maps.driver_sites);

	for (uint32_t i = 0; i < om_driver_entry_count; i++) {
		struct om_driver_site s = driver_site_of(&om_driver_entries[i]);

		if (bpf_map_update_elem(fd, &i, &s, BPF_ANY))
			return -errno;
		p->build = fnv64(p->build, &s, sizeof(s));
	}
	return 0;
}

/* --- programs --- */

static int build_number(struct probes *p)
{
	struct bpf_program *prog;

	p->build = fnv64(FNV64_START, &p->salt, sizeof(p->salt));
	bpf_object__for_each_program(prog, p->skel->obj)
	{
		struct bpf_prog_info info = {};
		uint32_t len = sizeof(info);

		if (bpf_program__fd(prog) < 0)
			continue;
		if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
			return -errno;
		p->build = fnv64(p->build, info.tag, sizeof(info.tag));
	}
	return 0;
}

/* Attaches one program of process.bpf.c, unless this very program is attached;
 * another build's goes afterwards. Two at a time do no harm: all idempotent. */
static int process_attach(struct probes *p, struct bpf_program *prog, char ret_name[NAME_MAX],
			  struct error_text *err)
{
	const char *name = bpf_program__name(prog);
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);
	struct bpf_link *link;
	char path[PATH_MAX];
	uint64_t tag;
	int rc;

	if (bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len))
		return -errno;
	memcpy(&tag, info.tag, sizeof(tag));
	snprintf(ret_name, NAME_MAX, "%s-%016llx", name, (unsigned long long)(tag ^ p->salt));
	snprintf(path, sizeof(path), "%s/process/%s", p->dir, ret_name);
	if (!access(path, F_OK))
		return 0;
	link = bpf_program__attach(prog);
	if (!link)
		return error_set(err, -errno, "cannot attach %s: %s", name, strerror(errno));
	rc = bpf_link__pin(link, path);
	bpf_link__destroy(link);
	return rc ? error_set(err, rc, "%s: cannot pin: %s", path, strerror(-rc)) : 0;
}

/* Unlinks the pins in DIR/process that are not of these programs. */
static int process_drop_others(struct probes *p, char (*names)[NAME_MAX], size_t count)
{
	char path[PATH_MAX + NAME_MAX];
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/process", p->dir);
	dir = opendir(path);
	if (!dir)
		return -errno;
	while ((e = readdir(dir))) {
		bool is_ours = e->d_name[0] == '.';

		for (size_t i = 0; i < count; i++)
			is_ours |= !strcmp(e->d_name, names[i]);
		snprintf(path, sizeof(path), "%s/process/%s", p->dir, e->d_name);
		if (!is_ours)
			unlink(path);
	}
	closedir(dir);
	return 0;
}

static int programs_attach(struct probes *p, struct error_text *err)
{
	struct bpf_program *progs[] = { p->skel->progs.on_exit,		p->skel->progs.on_exec,
					p->skel->progs.on_fork,		p->skel->progs.on_cgroup_mkdir,
					p->skel->progs.on_cgroup_rmdir, p->skel->progs.on_device_open };
	size_t count = ARRAY_SIZE(progs) - (p->features.has_fentry ? 0 : 1);
	char names[ARRAY_SIZE(progs)][NAME_MAX];
	int rc;

	for (size_t i = 0; i < count; i++) {
		rc = process_attach(p, progs[i], names[i], err);
		if (rc)
			return rc;
	}
	return process_drop_others(p, names, count);
}

static int make_dirs(struct probes *p, struct error_text *err)
{
	static const char *const names[] = { "", "/maps", "/process", "/libraries" };
	char path[PATH_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		snprintf(path, sizeof(path), "%s%s", p->dir, names[i]);
		if (mkdir(path, 0700) && errno != EEXIST)
			return error_set(err, -errno, "%s: %s", path, strerror(errno));
	}
	return 0;
}

static void maps_close(struct probes *p)
{
	for (size_t i = 0; i < PROBES_MAP_END; i++) {
		closep(&p->map_fd[i]);
		p->map_fd[i] = -1;
	}
}

/* Opens, adopts and loads: 0 adopted, 1 loaded with maps to be pinned, -errno. A
 * refusal by the kernel leaves *ret_refused true. */
static int load_try(struct probes *p, const struct probes_config *c, bool with_fentry, bool *ret_refused,
		    struct error_text *err)
{
	int adopted, rc;

	*ret_refused = false;
	opmeter_bpf__destroy(p->skel);
	maps_close(p);
	p->skel = opmeter_bpf__open();
	if (!p->skel)
		return error_set(err, -errno, "cannot open the programs: %s", strerror(errno));
	adopted = maps_adopt(p, err);
	if (adopted < 0)
		return adopted;
	rc = adopted ? maps_size(p, c) : 0;
	if (rc)
		return error_set(err, rc, "cannot set the capacity of the maps: %s", strerror(-rc));
	bpf_program__set_autoload(p->skel->progs.on_device_open, with_fentry);
	rc = opmeter_bpf__load(p->skel);
	*ret_refused = rc;
	return rc ? rc : adopted;
}

static int load_into(struct probes *p, const struct probes_config *c, struct error_text *err)
{
	bool with_fentry = libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_TRACING, NULL) == 1;
	bool is_refused;
	int rc, adopted;

	adopted = load_try(p, c, with_fentry, &is_refused, err);
	if (is_refused && with_fentry) {
		with_fentry = false;
		adopted = load_try(p, c, false, &is_refused, err);
	}
	if (is_refused)
		return load_explain(adopted, err);
	if (adopted < 0)
		return adopted;
	rc = features_read(p->skel, &p->features);
	if (rc)
		return error_set(err, rc, "cannot read the facts of this kernel: %s", strerror(-rc));
	p->features.has_fentry = with_fentry;
	p->features.has_return_probes =
		probes_return_is_safe(bpf_program__fd(p->skel->progs.on_driver_return));
	if (!p->features.has_return_probes)
		log_warn(
			"return probes would kill processes under seccomp on this kernel: kernels' names and "
			"CUDA graphs stay unknown");
	rc = adopted ? maps_make(p, err) : 0;
	if (rc)
		return error_set(err, rc, "cannot make the maps: %s", strerror(-rc));
	rc = maps_finish(p, c);
	if (!rc)
		rc = build_number(p);
	if (!rc)
		rc = sites_fill(p);
	if (!rc)
		rc = driver_sites_fill(p);
	if (rc)
		return error_set(err, rc, "cannot fill the maps: %s", strerror(-rc));
	snprintf(p->build_hex, sizeof(p->build_hex), "%016llx", (unsigned long long)p->build);
	return programs_attach(p, err);
}

int probes_load(struct probes *p, const struct probes_config *c, struct error_text *err)
{
	_cleanup_close_ int lock = -1;
	int rc;

	libbpf_set_print(on_libbpf_line);
	p->salt = c->build_salt;
	rc = make_dirs(p, err);
	if (rc)
		return rc;
	rc = probes_lock(p->dir, &lock);
	if (rc)
		return error_set(err, rc, "%s: cannot lock: %s", p->dir, strerror(-rc));
	return load_into(p, c, err);
}
