// SPDX-License-Identifier: Apache-2.0
/*
 * Prints what library discovery sees, one line an event: for tests and for a
 * person who wonders why a library is not metered. Ends after --seconds, or at
 * SIGTERM, with the totals.
 */
#include <signal.h>
#include <stdio.h>
#include <time.h>

#include "userspace/agent/discovery.h"
#include "userspace/base/options.h"

static volatile sig_atomic_t is_stopping;

static void on_signal(int sig)
{
	is_stopping = 1;
}

static const char *describe(const struct library *lib)
{
	static char text[PATH_MAX + 256];
	char hash[OM_SHA256_STRLEN];

	/* at: where it is described; the same again means that it was not hashed again. */
	snprintf(text, sizeof(text), "kind=%u entries=%zu proven=%d at=%p sha256=%s path=%s", lib->kind,
		 lib->entry_count, lib->is_proven, (const void *)lib, om_sha256_format(lib->text_hash, hash),
		 lib->display_path);
	return text;
}

static void on_appeared(void *ctx, const struct library *lib)
{
	printf("appeared %s\n", describe(lib));
}

static void on_mapped(void *ctx, const struct library *lib, pid_t tgid, uint64_t mapped_ns)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	printf("mapped pid=%d seen=%s after_us=%ld path=%s\n", tgid, mapped_ns ? "live" : "scan",
	       mapped_ns ? (long)(((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec - mapped_ns) / 1000)
			 : 0,
	       lib->display_path);
}

static void on_released(void *ctx, const struct library *lib)
{
	printf("released %s\n", describe(lib));
}

static void on_refused(void *ctx, const char *path, pid_t tgid, const char *why)
{
	printf("refused pid=%d path=%s: %s\n", tgid, path, why);
}

static int watch(struct discovery *d, uint64_t seconds)
{
	struct discovery_totals t;
	int r = discovery_scan(d);

	alarm((unsigned)seconds);
	printf("ready\n");
	while (!r && !is_stopping)
		r = discovery_step(d, 100);
	discovery_get_totals(d, &t);
	printf("totals events=%lu lost=%lu scans=%lu checked=%lu unopened=%lu refused=%lu libraries=%u "
	       "mappers=%u\n",
	       t.events, t.lost, t.scans, t.checked, t.unopened, t.refused, t.libraries, t.mappers);
	return r;
}

int main(int argc, char **argv)
{
	static const struct discovery_ops ops = { on_appeared, on_mapped, on_released, on_refused };
	_cleanup_discovery_ struct discovery *d = NULL;
	_cleanup_offsets_ struct om_offsets_table *offsets = NULL;
	struct discovery_config config = { 0 };
	struct error_text err = { "" };
	const char *path = NULL;
	uint64_t seconds = 60, ring = 0;
	struct option_list add = { 0 };
	const struct option options[] = {
		{ "offsets", "FILE", OPTION_STRING, &path, "proven builds (none)" },
		{ "linger", "TIME", OPTION_DURATION, &config.linger_ns, "from last mapper to release (10s)" },
		{ "sweep", "TIME", OPTION_DURATION, &config.sweep_ns, "how often mappers are checked (60s)" },
		{ "ring", "BYTES", OPTION_UINT, &ring, "of event ring for each CPU (131072)" },
		{ "add", "PATH", OPTION_STRINGS, &add, "look at this file at the start" },
		{ "seconds", "N", OPTION_UINT, &seconds, "end after this time (60)" },
		{ 0 },
	};
	const struct option_spec spec = { "discovery-watch", NULL, "print which libraries are mapped",
					  options, NULL };
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? 2 : 0;
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGTERM, on_signal);
	signal(SIGALRM, on_signal);
	if (path)
		r = om_offsets_load(path, &offsets, &err);
	config.offsets = offsets;
	config.ring_bytes = ring;
	if (!r)
		r = discovery_open(&config, &ops, NULL, &d, &err);
	for (size_t i = 0; i < add.count && !r; i++)
		r = discovery_add(d, add.item[i], &err);
	if (!r)
		r = watch(d, seconds);
	if (r)
		log_error("%s", err.text[0] ? err.text : "failed");
	return r ? 1 : 0;
}
