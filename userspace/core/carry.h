/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CARRY_H
#define OPMETER_CORE_CARRY_H

/*
 * Carries: what one (ledger, job) had in all its registers of one UTC day, in one
 * record (docs/formats.md, "Carry"; docs/fleet.md, "Registers, seals, carries").
 * It holds every register's whole value, so applying one is joining its registers,
 * in any order and as often as one likes; two sealers' carries join by maximum.
 * The same registers are the same bytes, whoever writes them.
 */

#include <stddef.h>
#include <stdint.h>

#include "register.h"

#define OM_CARRY_KEY_SIZE 40
#define OM_CARRY_HEAD_SIZE 96
#define OM_CARRY_DIGEST_AT 64 /* in the head: SHA-256, 32 bytes */
/* Number formats, real and complex, x meters: no day of a job can have more. */
#define OM_CARRY_REGISTERS_MAX 168
/* Of one register: head, twenty-one fields at their longest. */
#define OM_FOLDED_SIZE_MAX 256
#define OM_CARRY_SIZE_MAX (OM_CARRY_HEAD_SIZE + OM_CARRY_REGISTERS_MAX * OM_FOLDED_SIZE_MAX)

struct om_carry {
	struct om_id ledger, job;
	uint32_t day;		/* days since 1970-01-01, UTC */
	struct om_reading *reg; /* owned; ascending by (format, meter), each once. A carry has no node
				 * facts: they are zero in what was decoded */
	size_t count;		/* 1 .. OM_CARRY_REGISTERS_MAX */
};

void om_carry_done(struct om_carry *c);
/* Joins one register of the carry's job and day into it. 0; -EINVAL: of another; -ENOMEM. */
int om_carry_put(struct om_carry *c, const struct om_reading *r);
/* -EBADMSG: damaged, or a key of something else; -EPROTONOSUPPORT: a later version. */
void om_carry_key_encode(const struct om_id *ledger, const struct om_id *job, uint32_t day,
			 uint8_t out[OM_CARRY_KEY_SIZE]);
int om_carry_key_decode(const uint8_t *in, size_t len, struct om_id *ret_ledger, struct om_id *ret_job,
			uint32_t *ret_day);
/* Bytes for the caller to free. -ENOMEM; -EINVAL: no register, or more than there can be. */
int om_carry_encode(const struct om_carry *c, uint8_t **ret, size_t *ret_len);
/* 0, the caller ends with om_carry_done(); -EBADMSG: not a carry, damaged, or not in the one form
 * that its registers have; -EPROTONOSUPPORT: a later version or kind; -ENOMEM. */
int om_carry_decode(const uint8_t *in, size_t len, struct om_carry *ret);

/* One register as a carry has it: for those who keep many. Returns its length, at most
 * OM_FOLDED_SIZE_MAX. */
size_t om_folded_encode(const struct om_reading *r, uint8_t out[OM_FOLDED_SIZE_MAX]);
/* Fills in everything but ledger, job and node; r->key.day is the caller's, set before. Returns the length
 * read, or -EBADMSG. */
int om_folded_decode(const uint8_t *in, size_t len, struct om_reading *r);

/* What is counted from: the first day that must stay open for late readings. Days before it may be
 * sealed. `grace_ns`: how long after its end a day stays open. */
uint32_t om_carry_open_day(uint64_t now_ns, uint64_t grace_ns);

#endif
