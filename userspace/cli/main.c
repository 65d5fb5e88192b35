// SPDX-License-Identifier: Apache-2.0
/*
 * opmeter: one binary, verbs like git's. Finds the verb and calls it; only
 * this file turns a result into the process's exit code.
 */
#include <stdio.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/log.h"
#include "../agent/device.h"
#include "../agent/holders.h"
#include "../agent/resolve_internal.h"
#include "verbs.h"

static const struct verb {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *help;
} verbs[] = {
	{ "standalone", verb_standalone,
	  "meter this machine: probes, ledger, policy and alerts in one process" },
	{ "agent", verb_agent, "meter this node and send readings to Kafka" },
	{ "fleet", verb_fleet, "keep the fleet's totals from Kafka and judge them by policy" },
	{ "api", verb_api, "serve the fleet's figures over HTTP, and make tokens for it" },
	{ "topics", verb_topics, "the topics on Kafka: list, create, check" },
	{ "totals", verb_totals, "print the fleet's totals, from the API or from Kafka" },
	{ "top", verb_top, "show what tenants compute, as it happens" },
	{ "forecast", verb_forecast, "say when each model will meet each threshold" },
	{ "explain", verb_explain, "say why a job counts as it does" },
	{ "lineage", verb_lineage, "which runs are of one model: list, join, part" },
	{ "replay", verb_replay, "count the operations of a recorded run" },
	{ "ledger", verb_ledger, "verify, show or export the node's ledger" },
	{ "case", verb_case, "what reviewers work on: findings, acts of people, determinations" },
	{ "report", verb_report, "tables of figures, of a case or a period, as JSON or CSV" },
	{ "evidence", verb_evidence, "keys, checkpoints and sealed bundles: make and verify" },
	{ "prove", verb_prove, "prove the descriptor offsets of a cuBLASLt library" },
	{ "policy", verb_policy, "the law as data: check, explain, diff, replay" },
	{ "declare", verb_declare, "say what the fleet cannot see: other providers, parents, publication" },
	{ "owners", verb_owners, "legal entities: import, resolve, screen, bind tenants to them" },
	{ "tpp", verb_tpp, "what an inventory could do, against caps on capacity" },
	{ "off", verb_off, "stop counting at once; detaching follows in the background" },
	{ "on", verb_on, "start counting again" },
};

static void usage(FILE *to)
{
	fprintf(to, "usage: opmeter VERB [OPTION ...]\n\n"
		    "An electricity meter for training operations.\n\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		fprintf(to, "  %-11s %s\n", verbs[i].name, verbs[i].help);
	fprintf(to, "\n`opmeter VERB --help` tells the rest. `--version` prints the version.\n"
		    "Exit codes: 0 done, 1 failed, 2 bad flag or file, 3 finding, 4 not permitted.\n");
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		usage(stderr);
		return EXIT_USAGE;
	}
	if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") || !strcmp(argv[1], "help")) {
		usage(stdout);
		return EXIT_OK;
	}
	if (!strcmp(argv[1], "--version")) {
		printf("opmeter %s\n", OPMETER_VERSION);
		return EXIT_OK;
	}
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	if (!strcmp(argv[1], DEVICE_SAMPLER_VERB))
		return verb_device_sampler(argc - 1, argv + 1);
	if (!strcmp(argv[1], HOLDERS_SLURM_VERB))
		return verb_slurm_holders(argc - 1, argv + 1);
	if (!strcmp(argv[1], RESOLVE_VERB))
		return verb_identity_resolver(argc - 1, argv + 1);
	log_error("no verb '%s': `opmeter --help` lists them", argv[1]);
	return EXIT_USAGE;
}
