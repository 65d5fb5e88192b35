/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_ATTRIBUTION_H
#define OPMETER_CORE_ATTRIBUTION_H

// The static map: which cgroup belongs to which tenant, as the operator says it.
//
//     rules:                      # the first that matches counts
//       - match: {path: "/kubepods.slice/**"}   # **: any, *: within a component, ?: one character
//         tenant: acme
//         model: acme-large       # optional
//         phase: training         # optional, and then somebody must stand for it:
//         declared: {by: "J. Doe, contract 17", date: 2026-11-01}
//       - match: {pod: 6f0c2f3e-*}              # or slurm-job, container, unit, user
//         tenant: borealis
//
// The path begins at the cgroup2 mount. No rule matches: tenant `unknown`,
// metered all the same.

#include <stdbool.h>

#include "../base/log.h"
#include "assignment.h"

struct tenant_map;

int tenant_map_load(const char *path, struct tenant_map **ret, struct error_text *err);
struct tenant_map *tenant_map_free(struct tenant_map *m);
static inline void tenant_map_freep(struct tenant_map **m)
{
	*m = tenant_map_free(*m);
}
size_t tenant_map_rules(const struct tenant_map *m);

struct attribution {
	const char *tenant;  /* never NULL */
	const char *model;   /* NULL: not said */
	enum om_phase phase; /* OM_PHASE_UNKNOWN: not said */
	bool is_matched;     /* a rule names the tenant */
	char evidence[512];
	const char *version;	 /* digest of the map, "none" without one */
	const char *declared_by; /* of the phase; NULL */
};
/* m may be NULL; path may be NULL: not known. Never fails. Loans from m. */
void tenant_map_attribute(const struct tenant_map *m, const char *cgroup_path, struct attribution *ret);

/* Tenants and models are parts of keys and subjects: 1 to 63 of A-Z a-z 0-9 . _ -. */
bool tenant_name_is_valid(const char *name);
/* As patterns of rules match: `*` within a component, `**` any, `?` one character. */
bool tenant_map_like(const char *pattern, const char *text);

#endif
