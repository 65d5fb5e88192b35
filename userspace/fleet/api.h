/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_API_H
#define OPMETER_FLEET_API_H

/*
 * The fleet's figures over HTTP, read-only (docs/api.md). An instance follows the totals and
 * alerts topics and keeps nothing but what it read there: start as many as you like, anywhere.
 */

#include <stdbool.h>
#include <stdint.h>

struct api_config {
	const char *name; /* of the fleet */
	const char *brokers;
	const char *kafka_config; /* NULL: none */
	const char *regimes_dir;
	const char *owners_path;  /* NULL: no families are told */
	const char *tenants_path; /* NULL: any tenant's name is taken; as the aggregators' */
	const char *listen;	  /* ADDRESS:PORT; port 0: any that is free */
	const char *tokens_path;
	const char *tls_cert, *tls_key;	       /* PEM; NULL: plain HTTP, on this machine only */
	uint64_t connections_max, tenants_max; /* at once; of which /metrics tells one by one */
	uint64_t request_ns;		       /* a request that is not complete after that is cut off */
	uint64_t alerts_max;		       /* the latest that are kept */
	uint64_t read_ns;	/* bound of one reading of the topics, for days and registers */
	uint64_t registers_max; /* of one answer's reading */
	uint64_t processes_max; /* whose records are kept */
	uint64_t node_devices;	/* as the fleet has it */
	uint64_t seconds;	/* end after this many; 0: when told to */
};

/* Returns an enum exit_code; the reason of a failure has been logged. */
int api_run(const struct api_config *config);

/* The totals as JSON lines, read once from the topics to their ends, without a server: fn gets each as a loan
 * and returns 0 to go on. 0 or -errno with *err. */
struct error_text;
struct json_t;
int api_totals_once(const struct api_config *config, int (*fn)(void *ctx, struct json_t *total), void *ctx,
		    struct error_text *err);

#endif
