/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_FLEET_ID_SET_H
#define OPMETER_FLEET_ID_SET_H

#include <stdbool.h>
#include <stddef.h>

#include "../core/register.h"

/* The ids of alerts that are published: a set that only grows. */
struct id_set {
	struct om_id *slot; /* all zero: free */
	size_t slots, count;
};

void id_set_done(struct id_set *s);
bool id_set_has(const struct id_set *s, const struct om_id *id);
int id_set_add(struct id_set *s, const struct om_id *id); /* 0, 1: was there, -ENOMEM */

#endif
