/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_ASSIGNMENT_H
#define OPMETER_CORE_ASSIGNMENT_H

/*
 * Assignments: dated judgements about a job instance (docs/formats.md). They
 * never change a register; totals are registers summed under them.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "register.h"

enum om_assignment_kind {
	OM_ASSIGN_TENANT,
	OM_ASSIGN_PHASE,
	OM_ASSIGN_MODEL,
	OM_ASSIGN_LINEAGE,
	OM_ASSIGN_FAMILY,
	OM_ASSIGN_SERVES, /* value: the joined job's name, an id in hex. Version 2 of the record only */
	OM_ASSIGN_END
};
const char *om_assignment_kind_name(enum om_assignment_kind kind);

enum om_phase { OM_PHASE_UNKNOWN, OM_PHASE_TRAINING, OM_PHASE_FROZEN, OM_PHASE_INFERENCE, OM_PHASE_MIXED };
/* Who alone says OM_ASSIGN_SERVES. */
#define OM_RULE_JOINED "job-joined"
const char *om_phase_name(enum om_phase phase);
int om_phase_parse(const char *name, enum om_phase *ret); /* -EINVAL */

struct om_assignment {
	struct om_id ledger, job;
	enum om_assignment_kind kind;
	char value[128];	 /* tenant, model: [A-Za-z0-9._-]; phase: its name; serves: an id */
	uint64_t from_ns, to_ns; /* Unix time; to_ns 0: open */
	uint32_t share_low_ppm, share_high_ppm; /* part of the job's operations, parts per million; of a mixed
						 * phase: the part that trains */
	char evidence[512];
	char rule[64], version[72], person[64]; /* author: rule and version, or person */
	uint64_t at_ns;
	uint64_t record; /* where it was read, for who keeps it; not on the wire. 0: nowhere */
};

/* JSON, one line, malloc'ed: the caller frees. NULL: out of memory. */
char *om_assignment_encode(const struct om_assignment *a);
/* 0, -EBADMSG, -EPROTONOSUPPORT (a later version), -ENOMEM. */
int om_assignment_decode(const void *json, size_t len, struct om_assignment *ret);
/* The same of a CloudEvent in structured mode, whose `data` it is. */
int om_assignment_decode_event(const void *json, size_t len, struct om_assignment *ret);
/* The same by the JSON library alone: what the two above are held to. */
int om_assignment_decode_slowly(const void *json, size_t len, bool is_event, struct om_assignment *ret);

/* RFC 3339 with nanoseconds only where they are not zero. */
#define OM_TIME_STRLEN 36
const char *om_time_format(uint64_t time_ns, char buf[OM_TIME_STRLEN]);
int om_time_parse(const char *s, uint64_t *ret_ns);

#endif
