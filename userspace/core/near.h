/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_NEAR_H
#define OPMETER_CORE_NEAR_H

/*
 * Is a subject near a level? Then its registers are published each second instead of each publication
 * interval, so that the crossing is seen soon. A node sees its own totals only, so in a fleet the judge says
 * who is near, by hints on a topic (docs/formats.md, "Near"). A hint costs traffic and moves no total.
 *
 * Pure; times are Unix time in ns unless told otherwise. Not for two threads at once.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "register.h"
#include "regime.h"
#include "totals.h"

/* True if the figure that some level of a threshold regime compares (in force on `day`) is below it by less
 * than a fiftieth of it. */
bool om_near_level(const struct regimes *regimes, const struct om_subject_total *s, int32_t day);

/* Whom a hint is of: a tenant's model, a lineage of several tenants, or all that a tenant does, since tenants
 * of one parent are near together. */
enum om_near_kind { OM_NEAR_MODEL, OM_NEAR_LINEAGE, OM_NEAR_TENANT };
/* The first 16 bytes of a SHA-256, so that who reads the topic learns no name that he does not know already.
 * model: of a model only, else "". */
void om_near_id_of(enum om_near_kind kind, const char *name, const char *model, struct om_id *ret);

#define OM_NEAR_FLEET_MAX 160
#define OM_NEAR_KEY_MAX (OM_NEAR_FLEET_MAX + 34)
/* "<fleet>/<id, 32 hex digits>"; a longer fleet's name is cut. Returns buf. */
const char *om_near_key(const char *fleet, const struct om_id *id, char buf[OM_NEAR_KEY_MAX]);
/* *ret_fleet: the length of the fleet's name, with which the key begins. -EBADMSG. */
int om_near_key_parse(const void *key, size_t len, struct om_id *ret, size_t *ret_fleet);

/* So long a hint holds that is not said again: if the judge is gone, nodes come to rest. */
#define OM_NEAR_HOLDS_NS (2 * 3600 * 1000000000ULL)
struct om_near_hint {
	uint64_t since_ns, until_ns;
};
/* JSON, the caller frees; NULL: out of memory. */
char *om_near_hint_encode(const struct om_near_hint *h);
/* -EBADMSG: damaged; -EPROTONOSUPPORT: of a later version. */
int om_near_hint_decode(const void *value, size_t len, struct om_near_hint *ret);

/* The hints that hold, at most OM_NEAR_MAX of them. */
#define OM_NEAR_MAX 4096
struct om_near_set;
struct om_near_set *om_near_set_new(void); /* NULL: out of memory */
struct om_near_set *om_near_set_free(struct om_near_set *s);
void om_near_set_clear(struct om_near_set *s);
/* A record of the topic; value NULL: a tombstone. None holds for longer than OM_NEAR_HOLDS_NS from now on.
 * 0; -ENOSPC: full; -EBADMSG, -EPROTONOSUPPORT: it is no hint. What it was before then goes on. */
int om_near_set_take(struct om_near_set *s, const void *key, size_t key_len, const void *value,
		     size_t value_len, uint64_t now_ns);
/* One that is known to be near from now on, until it is cleared. 0, -ENOSPC. */
int om_near_set_add(struct om_near_set *s, const struct om_id *id);
bool om_near_set_has(const struct om_near_set *s, const struct om_id *id, uint64_t now_ns);
size_t om_near_set_count(const struct om_near_set *s, uint64_t now_ns);

/* When a node publishes: everything that changed each interval, and between, each second, what is near. */
#define OM_NEAR_INTERVAL_NS 1000000000ULL
struct om_cadence {
	uint64_t all_ns, near_ns; /* not before; the caller's steady clock */
};
enum om_publish { OM_PUBLISH_NOTHING, OM_PUBLISH_NEAR, OM_PUBLISH_ALL };
/* What is due now, and it is taken for done. interval_ns: between two publications of everything. */
enum om_publish om_cadence_step(struct om_cadence *c, uint64_t now_ns, uint64_t interval_ns, bool is_near);
/* When something may be due next. */
uint64_t om_cadence_next(const struct om_cadence *c, uint64_t interval_ns, bool is_near);

#endif
