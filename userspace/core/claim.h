/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CLAIM_H
#define OPMETER_CORE_CLAIM_H

/*
 * What a node's devices can have done at most, by what is known of it: the figures under which the fleet
 * refuses a register (fleet/claims.h), and to which a node holds what its own tenants claim, so that none of
 * its registers is ever refused. docs/fleet.md, "What a node can claim", has the figures and why. Pure.
 */

#include <stdbool.h>
#include <stdint.h>

#include "register.h"

/* Of one device, operations a second: some ten times the largest dense peak that is sold (data/peaks.csv). */
#define OM_DEVICE_PEAK_MAX 200000000000000000ULL
/* An agent samples 64 devices, each of 8 instances that count by themselves (agent/device_sampler.c). */
#define OM_DEVICES_MAX 64
#define OM_UNITS_A_DEVICE 8
/* Upper bounds of a device are given to each job that shares it, and of an instance of which nothing more is
 * known to the whole chip: an agent samples eight of one. */
#define OM_CLAIM_SHARED_BY 8
/* An agent that was away puts what it missed into the day on which it is back: so long before the day's
 * beginning a register may have been read from. */
#define OM_CLAIM_AWAY_MAX_NS (7 * 86400000000000ULL)

/* Operations a second. devices_max: of one node; 0: OM_DEVICES_MAX. False: no node tells that. */
bool om_claim_peak(const struct om_node_facts *n, uint32_t devices_max, opcount *ret);
/* How many textbook operations a meter may give for one that is executed. */
unsigned om_claim_factor(uint8_t meter);

/*
 * What one hour's register of a node can have of textbook operations at least, one for one: its peak over the
 * time of the hour that is over, half an hour for what was asked for and not done yet, and the time before
 * the hour that nobody read, at most OM_CLAIM_AWAY_MAX_NS. Over a UTC day that never adds up to more than the
 * fleet takes of a register. from_ns: since when what the register has was read. Unix time.
 */
opcount om_claim_hour(opcount peak_ops_per_s, uint64_t ledger_start_ns, uint64_t from_ns, uint64_t now_ns);

/*
 * Takes out of *delta, which is to be added to *known (one hour's register), what `possible` leaves no room
 * for. From what was done at least it goes to what was done at most; past OM_CLAIM_SHARED_BY times `possible`
 * (launches by name apart, which nobody bounds) it goes nowhere, since no device can have done it, nor does
 * what a counter's mean has no room for. Only shape, launch and counter are held: of the others no tenant
 * says anything.
 */
struct om_claim_over {
	opcount over; /* no longer in exact + low, or in the mean */
	opcount cut;  /* was in no figure but `high` or the mean, and is in none now */
};
struct om_claim_over om_claim_hold(uint8_t meter, const struct om_value *known, struct om_value *delta,
				   opcount possible);

#endif
