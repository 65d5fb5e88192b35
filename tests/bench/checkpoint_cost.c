// SPDX-License-Identifier: Apache-2.0
/*
 * What signing a ledger's log costs: the first time, when all of it is hashed, and each time after, when only what came since is; against
 * appending the one entry that records it, which is a commit on the disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <sodium/core.h>

#include "userspace/core/checkpoint.h"
#include "userspace/core/evidence_key.h"

enum { LEAVES = 100000, PAYLOAD = 640, ROUNDS = 50 };
#define NOW (UINT64_C(20780) * 86400 * 1000000000)

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void must(int r, const char *what)
{
	if (r < 0) {
		fprintf(stderr, "%s: %s\n", what, strerror(-r));
		exit(1);
	}
}

static void fill(struct om_ledger *l)
{
	char payload[PAYLOAD];

	memset(payload, 'r', sizeof(payload));
	for (int i = 0; i < LEAVES; i++)
		must(om_ledger_append(l, OM_ENTRY_ACT, NULL, payload, sizeof(payload), NOW, NULL), "append");
}

static void shell(const char *command)
{
	if (system(command))
		exit(1);
}

int main(void)
{
	char made[] = "/dev/shm/opmeter-bench-XXXXXX", dir[] = "/var/tmp/opmeter-bench-XXXXXX", keys[64], command[128];
	struct om_ledger_growth g = { .ledger = NULL };
	struct error_text err = { 0 };
	struct om_checkpoint c;
	struct om_note_key key;
	uint8_t seed[32] = { 1 };
	double first, each = 0, each_cpu = 0, append = 0, begun, cpu;
	struct rusage before, after;

	if (sodium_init() < 0 || !mkdtemp(made) || !mkdtemp(dir))
		return 1;
	snprintf(keys, sizeof(keys), "%s/keys", dir);
	must(om_signer_make(keys, "bench.example/log", seed, NOW, 0, &key, &err), err.text);
	/* Filled in memory, where a commit costs nothing; signed on the disk. */
	must(om_ledger_open(made, OM_LEDGER_CREATE | OM_LEDGER_KEEP, NOW, &g.ledger, &err), err.text);
	fill(g.ledger);
	om_ledger_free(g.ledger);
	snprintf(command, sizeof(command), "cp %s/ledger.db %s/ && rm -rf %s", made, dir, made);
	shell(command);
	must(om_ledger_open(dir, OM_LEDGER_KEEP, NOW, &g.ledger, &err), err.text);
	getrusage(RUSAGE_SELF, &before);
	begun = seconds(CLOCK_MONOTONIC);
	must(om_checkpoint_advance(&g, keys, NOW, &c, &err), err.text);
	first = seconds(CLOCK_MONOTONIC) - begun;
	getrusage(RUSAGE_SELF, &after);
	for (int i = 0; i < ROUNDS; i++) {
		begun = seconds(CLOCK_MONOTONIC);
		must(om_ledger_append(g.ledger, OM_ENTRY_ACT, NULL, "{}", 2, NOW, NULL), "append");
		append += seconds(CLOCK_MONOTONIC) - begun;
		begun = seconds(CLOCK_MONOTONIC);
		cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
		must(om_checkpoint_advance(&g, keys, NOW, &c, &err), err.text);
		each += seconds(CLOCK_MONOTONIC) - begun;
		each_cpu += seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	}
	printf("checkpoints: a log of %d entries of %d bytes\n", LEAVES, PAYLOAD);
	printf("  appending one entry                      %8.2f ms\n", append * 1e3 / ROUNDS);
	printf("  signing and recording what came since    %8.2f ms  ratio %.1f  (%.2f ms of CPU time)\n", each * 1e3 / ROUNDS, each / append,
	       each_cpu * 1e3 / ROUNDS);
	printf("  the first time, the whole log            %8.2f ms  %.2f us a leaf, %ld KiB more memory\n", first * 1e3, first * 1e6 / LEAVES,
	       after.ru_maxrss - before.ru_maxrss);
	om_ledger_free(g.ledger);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	shell(command);
	return 0;
}
