/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_FLEET_H
#define OPMETER_FLEET_FLEET_H

/*
 * The fleet's totals, first form: one instance reads every partition of the
 * readings and assignments topics from their beginning and joins what it reads.
 * Its state is its input: it commits no offset, keeps no file, and can be
 * killed at any moment; the next one comes to the same totals. An alert is
 * published once, because the ids that are in the alerts topics already are
 * read before anything is judged, and nothing is judged before every partition
 * was read to its end.
 */

#include <stdbool.h>
#include <stdint.h>

struct fleet_config {
	const char *name; /* of the fleet: part of the source and the ids of its alerts */
	const char *brokers;
	const char *kafka_config; /* NULL: none */
	const char *regimes_dir;
	const char *owners_path; /* NULL: owners are not judged */
	uint64_t interval_ns;	 /* how often is judged */
	uint64_t seconds;	 /* end after this many; 0: when told to */
	uint64_t registers_max;
	bool create_topics;
	bool once; /* end when everything that was there is read and judged */
	bool json; /* totals and alerts as JSON lines */
};

/* Returns an enum exit_code; the reason of a failure has been logged. */
int fleet_run(const struct fleet_config *config);

#endif
