/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_ADMIT_H
#define OPMETER_FLEET_ADMIT_H

/*
 * Which records may move a total. Everything on a topic is outside data: whoever may
 * write there may write anything. A record is taken whole or refused under one of the
 * names below; what is refused moves nothing. Pure: no clock but the caller's.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../core/assignment.h"
#include "../core/carry.h"
#include "../core/process_record.h"
#include "../core/register.h"

enum refusal {
	ADMITTED,
	REFUSED_DAMAGED,	 /* not a record of this topic, or cut, or of impossible bounds */
	REFUSED_UNKNOWN_VERSION, /* of a later version: kept for a reader that knows it */
	REFUSED_FORGED,		 /* its key or its source is not the record's own */
	REFUSED_MISPLACED,	 /* of another partition: not counted here */
	REFUSED_IMPOSSIBLE,	 /* more than the node's devices can have done on its day */
	REFUSED_NO_SUCH_TENANT,	 /* the provider has no such tenant, or it is no name */
	REFUSED_BARE_TOMBSTONE,	 /* a null that no carry covers, of a register that nobody knows */
	REFUSED_FULL,		 /* no room: --registers-max */
	REFUSAL_END,
};
/* "damaged" ...: in dead letters, metrics and alerts. */
const char *refusal_name(enum refusal r);
/* What a person is to do about it. */
const char *refusal_what_to_do(enum refusal r);

/* Names of tenants, one a line; `#` begins a comment. */
struct tenant_names;
int tenant_names_load(const char *path, struct tenant_names **ret);
/* NULL: out of memory. */
struct tenant_names *tenant_names_copy(const struct tenant_names *t);
struct tenant_names *tenant_names_free(struct tenant_names *t); /* NULL is fine; returns NULL */
static inline void tenant_names_freep(struct tenant_names **t)
{
	*t = tenant_names_free(*t);
}
bool tenant_names_equal(const struct tenant_names *a, const struct tenant_names *b);
/* Why what a file says now is not taken in place of what it said: part of a file may read like the whole, and
 * whoever is in no file loses all totals. NULL: it is. */
const char *tenant_names_refuse(const struct tenant_names *before, const struct tenant_names *fresh);
/* A loan, in their order; NULL: there are no more. */
const char *tenant_names_at(const struct tenant_names *t, size_t i);
bool tenant_names_has(const struct tenant_names *t, const char *name);

struct admission {
	uint32_t partition, partitions;	    /* where the record was read */
	uint64_t now_ns;		    /* Unix time */
	const struct tenant_names *tenants; /* NULL: any name */
	uint32_t devices_max;		    /* of one node: claims.h */
};
struct raw_record {
	const void *key, *value;
	size_t key_len, value_len;
	const char *source; /* of its ce_source header; a loan; NULL: it has none */
	size_t source_len;
};
/* False: the record's source is another ledger. No source: true. */
bool admit_is_source(const struct raw_record *m, const struct om_id *ledger);
/* REFUSED_MISPLACED and REFUSED_IMPOSSIBLE fill *ret, too: the record is in order but for its place. */
enum refusal admit_reading(const struct admission *a, const struct raw_record *m, struct om_reading *ret);
/* More than the node's devices can have done (claims.h), or of a day to come. For what readings became when
 * they were joined: it is written back as a reading, so it must be one that is taken. */
bool admit_is_impossible(const struct om_reading *r, uint64_t now_ns, uint32_t devices_max);
/* ADMITTED and REFUSED_MISPLACED fill *ret; the caller ends with om_carry_done() in any case. -ENOMEM is
 * taken for damage. */
enum refusal admit_carry(const struct admission *a, const struct raw_record *m, struct om_carry *ret);
/* The value is a CloudEvent in structured mode. -ENOMEM is taken for damage. */
enum refusal admit_assignment(const struct admission *a, const struct raw_record *m,
			      struct om_assignment *ret);

/* The same of what a process does; of a day to come it is impossible. */
enum refusal admit_process(const struct admission *a, const struct raw_record *m, struct process_record *ret);
/* Null: the key of a record that is gone. False: it is none. */
bool admit_process_key(const struct raw_record *m, struct om_id *ret_ledger, struct om_id *ret_job,
		       struct om_id *ret_process);

#endif
