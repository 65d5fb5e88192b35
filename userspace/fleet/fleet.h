/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_FLEET_H
#define OPMETER_FLEET_FLEET_H

/*
 * The fleet's totals. Instances of one name share the partitions of the readings
 * topic and each reads its own from the beginning: its state is its input. It
 * commits no offset, keeps no file, and can be killed, doubled, frozen or replaced at
 * any moment with the same totals. docs/fleet.md says how.
 */

#include <stdbool.h>
#include <stdint.h>

struct fleet_config {
	const char *name; /* of the fleet: of its group and totals, and part of the ids of its alerts */
	const char *brokers;
	const char *kafka_config; /* NULL: none */
	const char *regimes_dir;
	const char *owners_path;	   /* NULL: owners are not judged */
	const char *declarations_path;	   /* NULL: nothing is declared */
	const char *declaration_keys_path; /* public keys; NULL: their head need not be signed */
	const char *tenants_path;	   /* NULL: any tenant's name is taken */
	const char *log_keys_path; /* public keys of the nodes' logs; NULL: their heads are not compared */
	uint64_t log_history_ns;   /* heads that are older are not read; 0: all are */
	uint64_t log_silent_ns;	   /* a log of a node that works is silent after so long; 0: never */
	uint64_t interval_ns;	   /* how often totals are published and judged */
	uint64_t seal_after_ns;	   /* a day is sealed so long after its end; 0: never */
	uint64_t seconds;	   /* end after this many; 0: when told to */
	uint64_t registers_max;	   /* of one partition */
	uint64_t notice_days;	   /* a threshold is said to be met ahead within so many; 0: never */
	const char *architectures_path; /* open models; NULL: none is known */
	uint64_t jobs_every_ns;		/* how often processes of several nodes are looked at, at most */
	uint64_t processes_max;		/* whose records are kept */
	uint64_t node_devices;		/* that one node has at most; 0: OM_DEVICES_MAX */
	bool create_topics;
	bool once; /* end when everything that was there is read and judged */
	bool json; /* alerts, what is owned, and with `once` totals, as JSON lines */
};

/* A part of topics' keys, of the group's and of the producer's name: 1 to 60 of A-Z a-z 0-9 . _ - */
bool fleet_name_is_valid(const char *name);
/* Returns an enum exit_code; the reason of a failure has been logged. */
int fleet_run(const struct fleet_config *config);

#endif
