// SPDX-License-Identifier: Apache-2.0
/*
 * What the collective meter costs an ncclAllReduce: the real library, which enters and
 * refuses a handle of zeros, unprobed, probed, and with the meter off. A call that
 * really reduces takes some microseconds of the host besides.
 */
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/bpf/kit.h"
#include "userspace/agent/collective.h"

enum { ROUNDS = 9, CALLS = 100000, ENTRIES = 1000, DRAINS = 20, FLOAT32 = 7 };

static char zeros[64 << 20];
static void *entry;

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double least_ns(void)
{
	int (*all_reduce)(void *, void *, size_t, int, int, void *, void *) = entry;
	double ns[ROUNDS];

	for (int r = 0; r < ROUNDS; r++) {
		uint64_t begun = kit_now_ns();

		for (int i = 0; i < CALLS; i++)
			all_reduce(NULL, NULL, 1000, FLOAT32, 0, zeros, NULL);
		ns[r] = (double)(kit_now_ns() - begun) / CALLS;
	}
	qsort(ns, ROUNDS, sizeof(ns[0]), by_value);
	return ns[0];
}

static void row(const char *what, double ns, double base)
{
	printf("| %-58s | %6.0f | %6.0f | %5.1f |\n", what, ns, ns - base, ns / base);
	fflush(stdout);
}

/* One handle after another, so that each is an entry. */
static void fill(void)
{
	int (*all_reduce)(void *, void *, size_t, int, int, void *, void *) = entry;

	for (int i = 0; i < ENTRIES; i++)
		all_reduce(NULL, NULL, 1000, FLOAT32, 0, zeros + 8 * i, NULL);
}

static void drain_row(struct collective *m, bool with_sums, const char *what)
{
	uint64_t begun = kit_now_ns();
	struct collective_snapshot s;

	for (int i = 0; i < DRAINS; i++)
		check(!collective_read(m, with_sums, &s), "collective_read");
	printf("| %-58s | %zu entries | %.3f ms | |\n", what, s.sum_count, (double)(kit_now_ns() - begun) / DRAINS / 1e6);
}

static void collectives(void)
{
	struct collective_config c = { .pin_dir = kit_pins };
	struct om_control off = { .off = OM_OFF_COLLECTIVE };
	struct blas nccl = kit_load("nccl-cu13-2.32.3", "libnccl.so.2");
	_cleanup_collective_ struct collective *m = NULL;
	struct error_text err = {};
	uint32_t zero = 0;
	double base;

	c.control_fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "control", 4, sizeof(off), 1, NULL);
	entry = kit_symbol(&nccl, "ncclAllReduce");
	printf("| collective, best of %d rounds of %d | ns | over the base | ratio |\n|---|---|---|---|\n", ROUNDS, CALLS);
	base = least_ns();
	row("ncclAllReduce that refuses, no probe", base, base);
	check(!collective_open(&c, &m, &err) && !collective_attach(m, &nccl.lib, &err), "%s", err.text);
	row("probed: counted by process, communicator and kind", least_ns(), base);
	fill();
	drain_row(m, false, "a drain, each second: events only");
	drain_row(m, true, "a drain, each fifth second: with the sums");
	check(!bpf_map_update_elem(c.control_fd, &zero, &off, BPF_ANY), "control: %m");
	row("the same, meter off", least_ns(), base);
}

int main(int argc, char **argv)
{
	static const struct kit_test tests[] = { { "collectives", collectives }, { NULL, NULL } };

	return kit_main(argc, argv, tests);
}
