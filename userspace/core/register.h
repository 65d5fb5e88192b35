/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_REGISTER_H
#define OPMETER_CORE_REGISTER_H

/*
 * Registers: totals that only grow, keyed by facts alone (docs/formats.md,
 * "Register" and "Reading").
 *
 * A reading carries the whole value of its register, not a difference: one
 * that is lost, repeated or late changes nothing. Readings of one register are
 * joined by om_value_join(); totals are sums over registers.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/opcount.h"
#include "format.h"

struct om_id {
	uint8_t byte[16];
};

#define OM_ID_STRLEN 33 /* 32 lower-case hex digits and NUL */
const char *om_id_format(const struct om_id *id, char buf[OM_ID_STRLEN]);
int om_id_parse(const char *hex, struct om_id *ret);
bool om_id_equal(const struct om_id *a, const struct om_id *b);

struct om_register_key {
	struct om_id ledger;
	struct om_id job; /* job instance */
	uint32_t day;	  /* UTC day: days since 1970-01-01 */
	uint8_t format;	  /* enum om_format */
	uint8_t meter;	  /* enum om_meter */
};

/* What could not be counted, by cause; the order is wire format. */
enum om_loss {
	OM_LOSS_FAILED_READ,  /* the tenant's memory could not be read */
	OM_LOSS_INCONSISTENT, /* M, N or K differ between the layouts that carry them */
	OM_LOSS_ABSURD,	      /* negative size, or over 2^64 operations in one call */
	OM_LOSS_REFUSED,      /* no room even in the overflow sums */
	OM_LOSS_UNREAD, /* entry seen, its arguments not readable: unproven library, device-side sizes */
	OM_LOSS_LATE,	/* processes that mapped a library before its probes were on */
	OM_LOSS_OFF,	/* calls made while the meter was switched off */
	OM_LOSS_END,
};
const char *om_loss_name(enum om_loss loss);

/*
 * The uncertainty tuple and what goes with it. All operations in `opcount`;
 * figure = exact + a value in [low, high] + a sampled part of mean and variance.
 * The shape meter fills `exact` only: what the process asked the library for.
 */
struct om_value {
	opcount exact;
	opcount low, high;
	double mean;	      /* operations */
	double variance;      /* operations squared */
	uint64_t calibration; /* 0: none */
	uint64_t calls;
	uint64_t device_time_ns;
	uint64_t nested;	 /* calls made by the library itself: counted apart, no operations */
	uint64_t duplicates;	 /* second and further probes that fired on one call: no operations */
	uint64_t overflow_calls; /* within calls: counted exactly, but without their shape */
	uint64_t lost[OM_LOSS_END];
	uint64_t from_ns, to_ns; /* Unix time the value was read over; 0,0: nothing yet */
};

/* Figures of the node that make an impossible claim visible. */
struct om_node_facts {
	uint64_t ledger_start_ns; /* Unix time the ledger was created */
	uint64_t peak_ops_per_s;  /* sum of the devices' dense peaks; 0: not known */
	uint32_t device_count;
	uint64_t inventory; /* first 8 bytes of SHA-256 over the inventory record; 0: none */
};

bool om_node_facts_equal(const struct om_node_facts *a, const struct om_node_facts *b);

struct om_reading {
	struct om_register_key key;
	struct om_value value;
	struct om_node_facts node;
	uint64_t sequence; /* grows with every publication of this ledger */
	bool attempted;	   /* no device meter stands behind the figure */
};

/* A register only grows. Join: the larger of each counter, the earlier `from`,
 * the later `to`; mean, variance and calibration go with the later `to`.
 * Commutative, associative, idempotent. */
void om_value_join(struct om_value *into, const struct om_value *other);

/* The same for two readings of one register: the values are joined; `attempted` stays only if both say so;
 * the later sequence; node facts go with the later sequence, and what has some before what has none. */
void om_reading_join(struct om_reading *into, const struct om_reading *other);
/* The same value and `attempted`; sequence and node facts have no part in it. */
bool om_reading_equal(const struct om_reading *a, const struct om_reading *b);
/* True if joining a into b changes neither value nor `attempted`. */
bool om_reading_is_within(const struct om_reading *a, const struct om_reading *b);

/* Sum of different registers. -EOVERFLOW leaves *into untouched. */
int om_value_add(struct om_value *into, const struct om_value *other);

/* True if any counter of `next` is below the one of `prev`: not a later value
 * of the same register. */
bool om_value_is_regression(const struct om_value *prev, const struct om_value *next);

/* Bounds of the figure in operations: exact + low, exact + high. Saturating. */
opcount om_value_lower(const struct om_value *v);
opcount om_value_upper(const struct om_value *v);
/* True if something was lost that no bound covers yet. */
bool om_value_has_losses(const struct om_value *v);

/* Wire form, version 1 (docs/formats.md). */
#define OM_REGISTER_KEY_SIZE 40
#define OM_READING_SIZE 320
void om_register_key_encode(const struct om_register_key *k, uint8_t out[OM_REGISTER_KEY_SIZE]);
int om_register_key_decode(const uint8_t *in, size_t len, struct om_register_key *ret);
void om_reading_encode(const struct om_reading *r, uint8_t out[OM_READING_SIZE]);
/* 0; -EBADMSG: not a reading or damaged; -EPROTONOSUPPORT: a later version. After an error *ret says nothing.
 */
int om_reading_decode(const uint8_t *in, size_t len, struct om_reading *ret);

#endif
