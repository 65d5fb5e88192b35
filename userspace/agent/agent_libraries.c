// SPDX-License-Identifier: Apache-2.0
/* What discovery finds: attached, and released when its last mapper is gone. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "agent_internal.h"
#include "proc_maps.h"

static struct agent_library *find(struct agent *a, const struct library *lib)
{
	for (size_t i = 0; i < a->library_count; i++)
		if (a->libraries[i].dev == lib->dev && a->libraries[i].ino == lib->ino)
			return &a->libraries[i];
	return NULL;
}

static void remember(struct agent *a, const struct library *lib, uint64_t attached_ns)
{
	struct agent_library *known = find(a, lib);

	if (!known && a->library_count < ARRAY_SIZE(a->libraries))
		known = &a->libraries[a->library_count++];
	if (known)
		*known = (struct agent_library){ lib->dev, lib->ino, attached_ns };
}

static void say_unproven(struct agent *a, const struct library *lib)
{
	char subject[100], hex[17];

	for (int i = 0; i < 8; i++)
		snprintf(hex + 2 * i, 3, "%02x", lib->text_hash[i]);
	snprintf(subject, sizeof(subject), "library %s", hex);
	log_warn("%s: this build of cuBLASLt (text %s...) is not proven: its cublasLtMatmul calls are "
		 "counted as seen, "
		 "not read; `opmeter prove` a vendor copy of it and add the row to %s",
		 lib->display_path, hex, a->config->offsets_path);
	agent_say(a, "a build of cuBLASLt whose descriptor offsets are not proven", subject,
		  "Run `opmeter prove` on the vendor's package and distribute the new offsets file.");
}

/* Is the meter that this library is for switched off? */
static bool is_off(const struct agent *a, const struct library *lib)
{
	uint32_t meter = lib->kind & LIBRARY_DRIVER	 ? OM_OFF_LAUNCH
			 : lib->kind & LIBRARY_COLLECTOR ? OM_OFF_COUNTER
							 : OM_OFF_SHAPE;

	return a->off & (OM_OFF_NODE | meter);
}

static void appeared(void *ctx, const struct library *lib)
{
	struct agent *a = ctx;
	struct error_text err = { 0 };
	size_t before = probes_attached_count(a->probes);
	int r;

	if (lib->kind & LIBRARY_COLLECTIVE)
		agent_collectives_follow(a, lib);
	if (lib->kind == LIBRARY_COLLECTIVE || is_off(a, lib))
		return;
	if (lib->kind & LIBRARY_COLLECTOR) {
		if (a->counter)
			agent_counter_appeared(a, lib);
		remember(a, lib, 0);
		return;
	}
	r = probes_attach(a->probes, lib, NULL, &err);
	if (r) {
		log_warn("%s: not attached: %s", lib->display_path, err.text);
		agent_say(a, "a library could not be probed", lib->display_path, err.text);
		return;
	}
	remember(a, lib, probes_attached_count(a->probes) > before ? agent_boot_ns() : 0);
	log_info("%s: %zu entries probed", lib->display_path, lib->entry_count);
	if ((lib->kind & LIBRARY_CUBLASLT) && !lib->is_proven)
		say_unproven(a, lib);
}

/* A product library's text in a process: its launches belong to products. */
struct range_search {
	struct agent *a;
	const struct library *lib;
	pid_t tgid;
	uint64_t start_ticks;
};

static int add_range(void *ctx, const struct proc_mapping *m)
{
	struct range_search *s = ctx;
	struct stat st;
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", m->task, (unsigned long long)m->start,
		 (unsigned long long)m->end);
	if (stat(path, &st) || st.st_dev != s->lib->dev || st.st_ino != s->lib->ino)
		return 0;
	if (probes_range_add(s->a->probes, (uint32_t)s->tgid, s->start_ticks, m->start, m->end) == -ENOSPC)
		log_debug("pid %d maps more product libraries than are kept in mind", (int)s->tgid);
	return 0;
}

static void learn_ranges(struct agent *a, const struct library *lib, pid_t tgid)
{
	struct range_search s = { a, lib, tgid, 0 };

	if (lib->kind & (LIBRARY_DRIVER | LIBRARY_COLLECTOR) || proc_start_ticks(tgid, &s.start_ticks))
		return;
	proc_maps_each(tgid, add_range, &s);
}

/* A process that mapped the library before its probes were on may have called
 * it unseen: a loss, bounded by nothing that this meter knows. */
static void mapped(void *ctx, const struct library *lib, pid_t tgid, uint64_t mapped_ns)
{
	struct agent *a = ctx;
	const struct agent_library *known = find(a, lib);
	uint8_t meter = lib->kind & LIBRARY_DRIVER ? OM_METER_LAUNCH : OM_METER_SHAPE;
	uint64_t cgroup;
	int r;

	if (lib->kind & LIBRARY_COLLECTIVE) {
		r = agent_collectives_mapped(a, lib, tgid, mapped_ns);
		if (r && r != -ENOSPC && !a->failed)
			a->failed = r;
	}
	if (lib->kind == LIBRARY_COLLECTIVE)
		return;
	learn_ranges(a, lib, tgid);
	if (known && (known->attached_ns == 0 || (mapped_ns && mapped_ns >= known->attached_ns)))
		return;
	cgroup = cgroups_of_process(a->cgroups, tgid);
	r = agent_lose(a, cgroup, meter, OM_LOSS_LATE, 1);
	if (r && r != -ENOSPC && !a->failed)
		a->failed = r;
}

static void detach(struct agent *a, const struct library *lib)
{
	if (lib->kind == LIBRARY_COLLECTIVE)
		return;
	if (!(lib->kind & LIBRARY_COLLECTOR))
		probes_release(a->probes, lib->dev, lib->ino);
	else if (a->counter)
		agent_counter_released(a, lib);
}

static void released(void *ctx, const struct library *lib)
{
	struct agent *a = ctx;
	struct agent_library *known = find(a, lib);

	if (lib->kind & LIBRARY_COLLECTIVE)
		agent_collectives_released(a, lib);
	detach(a, lib);
	if (known)
		*known = a->libraries[--a->library_count];
	log_info("%s: released: nobody maps it", lib->display_path);
}

static void refused(void *ctx, const char *path, pid_t tgid, const char *why)
{
	log_warn("%s (pid %d): not looked at: %s", path, (int)tgid, why);
	agent_say(ctx, "a file that may be a library could not be looked at", path, why);
}

const struct discovery_ops agent_discovery_ops = {
	.appeared = appeared, .mapped = mapped, .released = released, .refused = refused
};

/* What the switch says now, for one library. */
static int follow_switch(void *ctx, const struct library *lib)
{
	struct agent *a = ctx;
	struct agent_library *known = find(a, lib);

	if (lib->kind & LIBRARY_COLLECTIVE)
		agent_collectives_follow(a, lib);
	if (lib->kind == LIBRARY_COLLECTIVE)
		return 0;
	if (!is_off(a, lib)) {
		if (!known)
			appeared(ctx, lib);
		return 0;
	}
	detach(a, lib);
	if (known)
		*known = a->libraries[--a->library_count];
	return 0;
}

/* The flag is in force in the kernel at once; what hangs on it follows here. */
void agent_switch_probes(struct agent *a)
{
	static const struct {
		uint32_t bit;
		const char *name;
	} meters[] = { { OM_OFF_NODE, "node" },	    { OM_OFF_SHAPE, "shape" },
		       { OM_OFF_LAUNCH, "launch" }, { OM_OFF_COUNTER, "counter" },
		       { OM_OFF_DEVICE, "device" }, { OM_OFF_COLLECTIVE, "collective" } };
	uint32_t off = probes_off(a->probes), changed = off ^ a->off;
	char act[64];

	if (!changed)
		return;
	a->off = off;
	for (size_t i = 0; i < ARRAY_SIZE(meters); i++) {
		bool is_off_now = off & meters[i].bit;

		if (!(changed & meters[i].bit))
			continue;
		log_warn("counting (%s) was switched %s%s", meters[i].name, is_off_now ? "off" : "on",
			 is_off_now ? "; detaching in the background" : "");
		snprintf(act, sizeof(act), "{\"v\":1,\"act\":\"%s\",\"meter\":\"%s\"}",
			 is_off_now ? "off" : "on", meters[i].name);
		if (om_ledger_append(a->ledger, OM_ENTRY_ACT, NULL, act, strlen(act), agent_now_ns(), NULL) <
		    0)
			log_error("the switch could not be written to the ledger");
	}
	discovery_each_library(a->discovery, follow_switch, a);
}
