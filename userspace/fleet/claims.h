/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_CLAIMS_H
#define OPMETER_FLEET_CLAIMS_H

/*
 * What a node's devices can have done at most, by what its readings say of it: of one register, which is
 * refused if it claims more, and of all its registers of a day together, which raises an alert. Both bounds
 * are above anything an honest node can say; docs/fleet.md, "What a node can claim", has the figures and why.
 * core/claim.h has the figures that a node holds itself to, too. Pure: no clock but the caller's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "../core/register.h"
#include "key_map.h"

/* A clock may be off, and a first drain brings what was done before its ledger was there. */
#define CLAIM_SLACK_NS 86400000000000ULL

/* False: more than the node can have done, or the node is none that there is. now_ns: Unix time. devices_max:
 * of one node, at most CLAIM_DEVICES_SETTABLE; 0: OM_DEVICES_MAX. */
#define CLAIM_DEVICES_SETTABLE 65536
bool claim_is_possible(const struct om_reading *r, uint64_t now_ns, uint32_t devices_max);
/* The part of a register that is a claim of operations: what it has at least; of a correction, what was
 * missed. */
opcount claim_of(const struct om_register_key *key, const struct om_value *v);

/* A node's claims of one UTC day. */
struct claim {
	struct key_node node; /* key: ledger and day */
	struct om_id ledger;
	uint32_t day;
	bool is_over;
	opcount sum[OM_METER_END]; /* by meter: they see the same work */
	opcount possible, claimed; /* of the first meter that was over */
};

#define CLAIMS_NAMED 16
struct claims {
	uint32_t devices_max; /* as above */
	struct key_map days;
	struct claim *last; /* readings of one node come together */
	uint32_t swept_day;
	struct claim *over[CLAIMS_NAMED]; /* the first ones */
	uint64_t over_count;		  /* all */
};
/* Adds what a register grew by. 0; 1: its node's day is now over what it can have done; -ENOMEM. Days of more
 * than a week ago are let go, those that are over apart: what comes for them later counts from nothing. */
int claims_add(struct claims *c, const struct om_reading *r, opcount growth, uint64_t now_ns);
void claims_done(struct claims *c);

/* In the head of a partition: the first days that are over. */
struct claim_told {
	struct om_id ledger;
	uint32_t day; /* UTC, since 1970-01-01 */
	opcount claimed, possible;
};
json_t *claims_encode(const struct claims *c);
/* Returns how many; what is none of them is left. */
size_t claims_decode(const json_t *list, struct claim_told ret[CLAIMS_NAMED]);

#endif
