/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_AGENT_H
#define OPMETER_AGENT_AGENT_H

/*
 * The wiring of one node: probes -> drain -> attribution -> ledger -> exporters,
 * and in standalone mode totals and policy behind it. All state is in one
 * struct agent; agent_run() owns it from start to end.
 */

#include <stdbool.h>
#include <stdint.h>

#include "../base/options.h"

struct agent_config {
	bool standalone; /* policy is judged here; otherwise the fleet does it */
	const char *dir; /* of the ledger */
	const char *pin_dir;
	const char *tenants_path;	   /* NULL: every job is tenant `unknown` */
	const char *identity_path;	   /* rules of identity and whom to ask; NULL: nobody is asked */
	const char *regimes_dir;	   /* NULL: no policy */
	const char *owners_path;	   /* NULL: every owner is unknown */
	const char *declarations_path;	   /* what people declared; NULL: nothing */
	const char *declaration_keys_path; /* public keys; NULL: its head need not be signed */
	const char *offsets_path;
	const char *kernels_path;     /* NULL: kernels.csv beside the offsets */
	const char *peaks_path;	      /* NULL: peaks.csv beside the offsets */
	const char *nvml_path;	      /* NULL: as the dynamic loader finds it */
	const char *join_key_path;    /* NULL: join.key in the ledger's directory, made if it is not there */
	bool no_devices;	      /* no device meter */
	const char *holders_path;     /* who holds which device, a map; NULL: none */
	const char *kubelet_devices;  /* the kubelet's checkpoint; NULL: where it is by default */
	const char *slurm_node;	      /* this node's name in Slurm; NULL: the host's */
	struct option_list libraries; /* probed from the start, before anything maps them */
	const char *brokers;	      /* NULL: no Kafka */
	const char *kafka_config;
	bool create_topics;
	const char *file_path;	   /* NULL: no JSON-lines file */
	const char *listen;	   /* address:port of the OpenMetrics endpoint, NULL: none */
	const char *evidence_keys; /* keys that the ledger's log is signed with; NULL: it is not */
	uint64_t drain_ns, publish_ns, heartbeat_ns, checkpoint_ns;
	uint64_t seconds; /* end after this many, 0: when told to */
	uint64_t budget;  /* percent of the node's processors that the probes of one meter may take; 0: any */
	bool detach;	  /* at the end also remove probes and maps from the kernel */
	bool json;	  /* alerts to stdout as JSON lines, else as text */
};

/* Runs until SIGTERM or SIGINT. Returns an enum exit_code: the reason
 * of a failure has been logged. */
int agent_run(const struct agent_config *config);

#endif
