/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CASE_STORE_INTERNAL_H
#define OPMETER_CORE_CASE_STORE_INTERNAL_H

/* What the files of the case store share; nobody else includes it. */

#include "../base/yaml.h"
#include "case_internal.h"
#include "case_store.h"

struct om_case_store {
	struct om_ledger *ledger;
	struct om_case **cases;
	size_t count, room;
};

struct om_case *case_store_exact(const struct om_case_store *s, const char *id);
struct om_case *case_store_add(struct om_case_store *s, const char *id);
/* Fills the act's common fields in, checks it, appends it and takes it into the record. */
int case_store_append(struct om_case_store *s, struct om_case *c, json_t *act, const char *unique,
		      const struct om_actor *actor, uint64_t *ret_entry, struct error_text *err);

#endif
