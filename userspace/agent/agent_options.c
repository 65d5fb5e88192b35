// SPDX-License-Identifier: Apache-2.0
#include "agent_options.h"

#include <errno.h>

#include "../base/log.h"

#ifndef OPMETER_DATADIR
#define OPMETER_DATADIR "/usr/share/opmeter"
#endif

static int check_config(const struct agent_config *c)
{
	if (c->drain_ns < 10000000ULL || c->publish_ns < c->drain_ns) {
		log_error("--drain must be at least 10ms, and --publish at least --drain");
		return -EINVAL;
	}
	if (c->heartbeat_ns < 1000000000ULL || c->heartbeat_ns > 3600000000000ULL) {
		log_error("--heartbeat is 1s to 1h: the fleet takes longer ones for none");
		return -EINVAL;
	}
	if (c->checkpoint_ns < c->drain_ns) {
		log_error("--checkpoint must be at least --drain");
		return -EINVAL;
	}
	if (c->declaration_keys_path && !c->declarations_path) {
		log_error("--declaration-keys is of --declarations, which is not given");
		return -EINVAL;
	}
	if (!c->standalone && !c->brokers && !c->file_path) {
		log_error("agent: readings have nowhere to go: give --brokers HOST:PORT or --file PATH, "
			  "or run `opmeter standalone`");
		return -EINVAL;
	}
	return 0;
}

static void set_defaults(struct agent_config *c)
{
	c->dir = "/var/lib/opmeter";
	c->pin_dir = "/sys/fs/bpf/opmeter";
	c->offsets_path = OPMETER_DATADIR "/offsets.csv";
	c->budget = 5;
	c->drain_ns = 1000000000ULL;
	c->publish_ns = 15000000000ULL;
	c->heartbeat_ns = 60000000000ULL;
	c->checkpoint_ns = 3600000000000ULL;
	if (c->standalone)
		c->regimes_dir = OPMETER_DATADIR "/regimes";
}

/* Of the options the last four are cut off for `agent`: owners never reach nodes. */
static const char footer[] =
	"Counting goes on in the kernel while the agent is stopped or replaced; --detach ends it.\n"
	"Needs root, or CAP_SYS_ADMIN, CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH.";

int agent_options_parse(const char *verb, const char *summary, int argc, char **argv, struct agent_config *c)
{
	bool debug = false;
	struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &c->dir, "the ledger's directory (/var/lib/opmeter)" },
		{ "pin-dir", "DIR", OPTION_STRING, &c->pin_dir,
		  "maps and probes on bpffs (/sys/fs/bpf/opmeter)" },
		{ "tenants", "FILE", OPTION_STRING, &c->tenants_path,
		  "static map of cgroups to tenants (none: all `unknown`)" },
		{ "identity", "FILE", OPTION_STRING, &c->identity_path,
		  "rules of whose jobs are, and whom to ask: Kubernetes, Slurm, Docker (nobody)" },
		{ "offsets", "FILE", OPTION_STRING, &c->offsets_path,
		  "proven descriptor offsets (" OPMETER_DATADIR "/offsets.csv)" },
		{ "kernels", "FILE", OPTION_STRING, &c->kernels_path,
		  "what kernels compute (kernels.csv beside the offsets)" },
		{ "peaks", "FILE", OPTION_STRING, &c->peaks_path,
		  "what chips can do at most (peaks.csv beside the offsets)" },
		{ "nvml", "PATH", OPTION_STRING, &c->nvml_path,
		  "NVIDIA's management library (libnvidia-ml.so.1)" },
		{ "no-devices", NULL, OPTION_FLAG, &c->no_devices, "no device meter: `attempted`" },
		{ "holders", "FILE", OPTION_STRING, &c->holders_path, "who holds which device (none)" },
		{ "kubelet-devices", "FILE", OPTION_STRING, &c->kubelet_devices, "its checkpoint" },
		{ "slurm-node", "NAME", OPTION_STRING, &c->slurm_node, "this node in Slurm (the host)" },
		{ "join-key", "FILE", OPTION_STRING, &c->join_key_path,
		  "key that jobs over several nodes are joined by (DIR/join.key, made)" },
		{ "library", "PATH", OPTION_STRINGS, &c->libraries,
		  "probe this library before anything maps it; may be repeated" },
		{ "drain", "TIME", OPTION_DURATION, &c->drain_ns,
		  "how often counts are read and committed (1s)" },
		{ "publish", "TIME", OPTION_DURATION, &c->publish_ns,
		  "how often changed registers are logged and sent (15s); near a level each second" },
		{ "heartbeat", "TIME", OPTION_DURATION, &c->heartbeat_ns,
		  "how often a sign of life is sent (60s)" },
		{ "evidence-keys", "DIR", OPTION_STRING, &c->evidence_keys,
		  "keys to sign the log with (none)" },
		{ "checkpoint", "TIME", OPTION_DURATION, &c->checkpoint_ns, "how often it is signed (1h)" },
		{ "brokers", "LIST", OPTION_STRING, &c->brokers, "Kafka servers, HOST:PORT,... (none)" },
		{ "kafka-config", "FILE", OPTION_STRING, &c->kafka_config, "librdkafka properties (none)" },
		{ "create-topics", NULL, OPTION_FLAG, &c->create_topics, "create missing topics" },
		{ "file", "PATH", OPTION_STRING, &c->file_path,
		  "also append events to this JSON-lines file (none)" },
		{ "listen", "ADDR:PORT", OPTION_STRING, &c->listen, "OpenMetrics endpoint (none)" },
		{ "seconds", "N", OPTION_UINT, &c->seconds, "end by itself after N seconds (0: never)" },
		{ "budget", "PERCENT", OPTION_UINT, &c->budget,
		  "of the processors for a meter's probes; over it, the meter goes off (5; 0: no guard)" },
		{ "detach", NULL, OPTION_FLAG, &c->detach, "at the end also remove the probes" },
		{ "json", NULL, OPTION_FLAG, &c->json, "print alerts as JSON lines" },
		{ "debug", NULL, OPTION_FLAG, &debug, "log more" },
		{ "regimes", "DIR", OPTION_STRING, &c->regimes_dir,
		  "regimes to judge by (" OPMETER_DATADIR "/regimes)" },
		{ "owners", "FILE", OPTION_STRING, &c->owners_path, "legal entities and parents (none)" },
		{ "declarations", "FILE", OPTION_STRING, &c->declarations_path,
		  "what people declared, as `opmeter declare` writes it (none)" },
		{ "declaration-keys", "FILE", OPTION_STRING, &c->declaration_keys_path,
		  "one of them must have signed the declarations' head (none)" },
		{ 0 },
	};
	struct option_spec spec = { .verb = verb, .summary = summary, .options = options, .footer = footer };
	int operand, r;

	set_defaults(c);
	if (!c->standalone)
		options[sizeof(options) / sizeof(options[0]) - 5].name = NULL;
	r = options_parse(&spec, argc, argv, &operand);
	if (r)
		return r;
	if (debug)
		log_set_level(LOG_DEBUG);
	return check_config(c);
}
