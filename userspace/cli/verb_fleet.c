// SPDX-License-Identifier: Apache-2.0
#include "../base/log.h"
#include "../base/options.h"
#include "../core/policy.h"
#include "../fleet/claims.h"
#include "../fleet/fleet.h"
#include "show_model.h"
#include "verbs.h"

#ifndef OPMETER_DATADIR
#define OPMETER_DATADIR "/usr/share/opmeter"
#endif

static bool is_usable(const struct fleet_config *c)
{
	if (!c->brokers) {
		log_error("fleet: --brokers must be given, HOST:PORT");
		return false;
	}
	if (!fleet_name_is_valid(c->name)) {
		log_error("fleet: --name is 1 to 60 of A-Z a-z 0-9 . _ -, not '%s'", c->name);
		return false;
	}
	if (c->declaration_keys_path && !c->declarations_path) {
		log_error("fleet: --declaration-keys is of --declarations, which is not given");
		return false;
	}
	if (c->node_devices > CLAIM_DEVICES_SETTABLE) {
		log_error("fleet: --node-devices is at most %d", CLAIM_DEVICES_SETTABLE);
		return false;
	}
	if (c->notice_days > 3650) {
		log_error("fleet: --notice-days is at most 3650");
		return false;
	}
	return true;
}

static const struct fleet_config defaults = { .name = "fleet",
					      .regimes_dir = OPMETER_DATADIR "/regimes",
					      .interval_ns = 1000000000ULL,
					      .seal_after_ns = 48 * 3600 * 1000000000ULL,
					      .log_history_ns = 720 * 3600 * 1000000000ULL,
					      .log_silent_ns = 26 * 3600 * 1000000000ULL,
					      .notice_days = POLICY_NOTICE_DAYS,
					      .architectures_path = SHOW_MODEL_DEFAULT,
					      .jobs_every_ns = 30 * 1000000000ULL,
					      .processes_max = 100000,
					      .registers_max = 4000000 };

int verb_fleet(int argc, char **argv)
{
	struct fleet_config c = defaults;
	const struct option options[] = {
		{ "brokers", "LIST", OPTION_STRING, &c.brokers,
		  "Kafka bootstrap servers, HOST:PORT,... (must be given)" },
		{ "kafka-config", "FILE", OPTION_STRING, &c.kafka_config,
		  "librdkafka properties, key=value a line (none)" },
		{ "name", "NAME", OPTION_STRING, &c.name,
		  "of the fleet: its instances share the work; part of the ids of its alerts (fleet)" },
		{ "regimes", "DIR", OPTION_STRING, &c.regimes_dir,
		  "regimes to judge by (" OPMETER_DATADIR "/regimes)" },
		{ "owners", "FILE", OPTION_STRING, &c.owners_path,
		  "legal entities and their parents; read anew when it changes (none)" },
		{ "declarations", "FILE", OPTION_STRING, &c.declarations_path,
		  "what people declared (opmeter declare); read anew when it changes (none)" },
		{ "declaration-keys", "FILE", OPTION_STRING, &c.declaration_keys_path,
		  "one of them must have signed the declarations' head (none)" },
		{ "tenants", "FILE", OPTION_STRING, &c.tenants_path,
		  "names of all tenants, one a line; assignments to others are refused; read anew when it "
		  "changes (none)" },
		{ "log-keys", "FILE", OPTION_STRING, &c.log_keys_path,
		  "public keys of the nodes' logs, one a line: their signed heads are compared (none)" },
		{ "log-history", "TIME", OPTION_DURATION, &c.log_history_ns,
		  "heads that are older are not read again at a start (720h; 0: all are)" },
		{ "log-silent-after", "TIME", OPTION_DURATION, &c.log_silent_ns,
		  "a log without a new head for so long, of a node that works, is told (26h; 0: never)" },
		{ "interval", "TIME", OPTION_DURATION, &c.interval_ns,
		  "how often totals are published and judged (1s)" },
		{ "seal-after", "TIME", OPTION_DURATION, &c.seal_after_ns,
		  "how long after its end a day is sealed (48h; 0: never)" },
		{ "registers-max", "N", OPTION_UINT, &c.registers_max,
		  "of one partition: bound of the memory, about 300 bytes each (4000000)" },
		{ "architectures", "FILE", OPTION_STRING, &c.architectures_path,
		  "known open models: that two tenants train one is no finding (" SHOW_MODEL_DEFAULT ")" },
		{ "jobs-every", "TIME", OPTION_DURATION, &c.jobs_every_ns,
		  "how often processes of several nodes are joined into jobs and lineages, at most (30s)" },
		{ "processes-max", "N", OPTION_UINT, &c.processes_max,
		  "processes whose records are kept: 1 to 3 KB each (100000)" },
		{ "node-devices", "N", OPTION_UINT, &c.node_devices,
		  "devices that one node has at most: what claims more than they can do is refused (64)" },
		{ "notice-days", "N", OPTION_UINT, &c.notice_days,
		  "say ahead that a threshold will be met, as soon as it may be within N days (90; 0: "
		  "never)" },
		{ "create-topics", NULL, OPTION_FLAG, &c.create_topics, "create missing topics" },
		{ "once", NULL, OPTION_FLAG, &c.once, "read what is there, judge it once, and end" },
		{ "json", NULL, OPTION_FLAG, &c.json,
		  "alerts, what this instance owns, and with --once totals, as JSON lines" },
		{ "seconds", "N", OPTION_UINT, &c.seconds, "end by itself after N seconds (0: never)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "fleet",
		.summary =
			"Keeps the fleet's totals from the readings and assignments topics and judges "
			"them by policy.\n"
			"Its state is its input: start as many as you like under one name, kill them at any "
			"moment: the totals are the same.",
		.options = options,
	};
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	return is_usable(&c) ? fleet_run(&c) : EXIT_USAGE;
}
