// SPDX-License-Identifier: Apache-2.0
/*
 * An agent's judgements without its probes: ledger, totals, static map and resolvers as the agent wires them, over
 * real cgroups; what they compute is said on stdin instead of counted. So whose a job is can be
 * tested where no probe can be attached, and beside other tests.
 *
 *     rig DIR IDENTITY [TENANTS]      then lines "PATH OPERATIONS"; each is answered by "done"
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/agent/agent_internal.h"
#include "userspace/agent/resolve.h"
#include "userspace/base/cleanup.h"

static int open_all(struct agent *a, struct error_text *err)
{
	char id[OM_ID_STRLEN];
	int r = a->config->tenants_path ? tenant_map_load(a->config->tenants_path, &a->tenants, err) : 0;

	r = r ?: agent_identity_open(a, err);
	r = r ?: om_ledger_open(a->config->dir, OM_LEDGER_CREATE, agent_now_ns(), &a->ledger, err);
	r = r ?: cgroups_open(&a->cgroups, err);
	if (r)
		return r;
	resolve_use_cgroups(a->resolve, a->cgroups);
	snprintf(a->source, sizeof(a->source), "/opmeter/%s", om_id_format(om_ledger_id(a->ledger), id));
	a->node.ledger_start_ns = om_ledger_start_ns(a->ledger);
	return agent_load_totals(a);
}

static int work(struct agent *a, const char *path, const char *ops)
{
	struct om_register_key key = { .format = OM_FORMAT_BF16, .meter = OM_METER_SHAPE };
	struct om_value delta = { .calls = 1, .from_ns = agent_now_ns() };
	uint64_t id = cgroups_of_path(a->cgroups, path);
	int r = id ? opcount_parse(ops, &delta.exact) : -ENOENT;

	r = r ?: agent_job(a, id, &key.job);
	r = r ?: om_ledger_add(a->ledger, &key, &delta, agent_now_ns());
	return r ?: agent_publish(a);
}

static int loop(struct agent *a)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	char line[4096], path[3072], ops[64];
	int r = 0;

	while (r == 0) {
		if (poll(&in, 1, 50) < 0 && errno != EINTR)
			return -errno;
		r = agent_identity_step(a);
		if (!in.revents || r)
			continue;
		if (!fgets(line, sizeof(line), stdin))
			return 0;
		r = sscanf(line, "%3071s %63s", path, ops) == 2 ? work(a, path, ops) : -EINVAL;
		if (r == 0)
			printf("done\n");
		fflush(stdout);
	}
	return r;
}

int main(int argc, char **argv)
{
	struct agent *a = calloc(1, sizeof(*a));
	struct agent_config config = { 0 };
	struct error_text err = { 0 };
	int r;

	if (argc < 3 || !a)
		return 2;
	config.dir = argv[1];
	config.identity_path = argv[2];
	config.tenants_path = argc > 3 ? argv[3] : NULL;
	a->config = &config;
	setvbuf(stdin, NULL, _IONBF, 0); /* poll() must see what is left */
	r = open_all(a, &err);
	if (r == 0) {
		printf("ready\n");
		fflush(stdout);
		r = loop(a);
	}
	if (r)
		fprintf(stderr, "rig: %s\n", err.text[0] ? err.text : strerror(-r));
	agent_free(a);
	return r ? 1 : 0;
}
