/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_IDENTITY_INTERNAL_H
#define OPMETER_CORE_IDENTITY_INTERNAL_H

#include "identity.h"

struct yaml;

/* Strings are loans from the file. */
struct om_identity_where {
	const char *fact, *like;
};
struct om_identity_rule {
	const char *from, *name; /* one of them */
	struct om_identity_where *where;
	size_t where_count;
	int line;
};
struct om_identity_rule_list {
	struct om_identity_rule *item;
	size_t count;
};

struct om_identity_rules {
	struct yaml *yaml;
	const char **trust;
	size_t trust_count;
	struct om_identity_rule_list tenant, model;
	struct om_identity_kubernetes kubernetes;
	const char *docker_socket;
	bool has_kubernetes, has_slurm, has_docker;
	uint64_t refresh_s, alert_after_s;
};

bool om_identity_trusts(const struct om_identity_rules *r, const char *name);

#endif
