// SPDX-License-Identifier: Apache-2.0
/* What discovery finds: attached, and released when its last mapper is gone. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "agent_internal.h"

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

static void appeared(void *ctx, const struct library *lib)
{
	struct agent *a = ctx;
	struct error_text err = { 0 };
	size_t before = probes_attached_count(a->probes);
	int r;

	if (a->is_off)
		return;
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

/* A process that mapped the library before its probes were on may have called
 * it unseen: a loss, bounded by nothing that this meter knows. */
static void mapped(void *ctx, const struct library *lib, pid_t tgid, uint64_t mapped_ns)
{
	struct agent *a = ctx;
	const struct agent_library *known = find(a, lib);
	uint64_t cgroup;
	int r;

	if (known && (known->attached_ns == 0 || (mapped_ns && mapped_ns >= known->attached_ns)))
		return;
	cgroup = cgroups_of_process(a->cgroups, tgid);
	r = agent_lose(a, cgroup, OM_LOSS_LATE, 1);
	if (r && r != -ENOSPC && !a->failed)
		a->failed = r;
}

static void released(void *ctx, const struct library *lib)
{
	struct agent *a = ctx;
	struct agent_library *known = find(a, lib);

	probes_release(a->probes, lib->dev, lib->ino);
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

static int attach_again(void *ctx, const struct library *lib)
{
	appeared(ctx, lib);
	return 0;
}

static int detach(void *ctx, const struct library *lib)
{
	struct agent *a = ctx;

	probes_release(a->probes, lib->dev, lib->ino);
	return 0;
}

/* The flag is in force in the kernel at once; what hangs on it follows here. */
void agent_switch_probes(struct agent *a)
{
	bool off = probes_is_off(a->probes);
	const char *act = off ? "{\"v\":1,\"act\":\"off\"}" : "{\"v\":1,\"act\":\"on\"}";

	if (off == a->is_off)
		return;
	a->is_off = off;
	log_warn("counting was switched %s%s", off ? "off" : "on",
		 off ? "; detaching in the background" : "");
	if (om_ledger_append(a->ledger, OM_ENTRY_ACT, NULL, act, strlen(act), agent_now_ns(), NULL) < 0)
		log_error("the switch could not be written to the ledger");
	discovery_each_library(a->discovery, off ? detach : attach_again, a);
	if (off)
		a->library_count = 0;
}
