/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_OWNERSHIP_H
#define OPMETER_CORE_OWNERSHIP_H

/*
 * Legal entities, who holds them, and which tenant is which entity, as dated
 * facts with sources (owners.yaml). The answer for a tenant at a date is its
 * ultimate parent, or why that is not known. `unknown` is never clear.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"

struct owners;

int owners_load(const char *path, struct owners **ret, struct error_text *err);
struct owners *owners_free(struct owners *o);
static inline void owners_freep(struct owners **o)
{
	*o = owners_free(*o);
}

enum owner_state {
	OWNER_KNOWN,	      /* the path ends at an entity that somebody says has no parent */
	OWNER_NO_ENTITY,      /* nobody bound the tenant to an entity */
	OWNER_PARENT_UNKNOWN, /* the path ends at an entity of which no parent is known, nor that there is
				 none */
	OWNER_CYCLE,
	OWNER_CONTRADICTION, /* two parents of 50 % or more at the same date */
};
const char *owner_state_text(enum owner_state s);

#define OWNER_PATH_MAX 16
struct owner_step {
	const char *entity, *name, *headquarters; /* country */
	const char *source;			  /* of the edge that led here; of the entity for the first */
	int32_t as_of_day;
	uint32_t share_ppm; /* held of the step before; 0 for the first */
};
struct owner_answer {
	enum owner_state state;
	struct owner_step path[OWNER_PATH_MAX]; /* from the tenant's entity up */
	size_t steps;
	/* SHA-256 over the facts of the path: changes when, and only when, they do. 64 hex digits. */
	char version[65];
};
/* o may be NULL: every owner is unknown. Strings are loans. */
void owners_resolve(const struct owners *o, const char *tenant, int32_t day, struct owner_answer *ret);

/* ISO 17442: 18 letters and digits and two check digits (ISO 7064 MOD 97-10). */
bool lei_is_valid(const char *lei);

#endif
