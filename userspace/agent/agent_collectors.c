// SPDX-License-Identifier: Apache-2.0
/*
 * What collectors say of themselves, for people: how many measure, why others do not,
 * and what was refused of their readings. A change is one line of the log; the
 * page of metrics has the numbers, by state, reason and cause, never by process.
 *
 * And who speaks: the cgroups of one tenant are one voice, so that no tenant becomes a
 * majority by starting jobs. A cgroup that nobody assigned speaks for itself.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent_internal.h"
#include "counter.h"

#define SAID_MAX 4096 /* processes whose last state is remembered; the kernel keeps as many */
#define OWNERS_MAX 16384

struct said {
	struct om_proc_key key;
	uint32_t reason;
	uint64_t lost[OM_COUNTER_LOST_END];
	bool is_there;
};

struct owner {
	uint64_t cgroup_id, speaks_as; /* the first cgroup seen of the same tenant */
	uint64_t tenant;	       /* hash of the name; 0: nobody's */
};

struct agent_collectors {
	struct said *said;
	size_t said_count;
	struct owner *owners;
	size_t owner_count;
	uint64_t in[AGENT_COLLECTOR_STATES][OM_COUNTER_REASON_END];
	/* Of processes that have ended, and of those that are there. */
	uint64_t lost_before[OM_COUNTER_LOST_END], lost[OM_COUNTER_LOST_END];
};

struct agent_collectors *agent_collectors_new(void)
{
	struct agent_collectors *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->said = calloc(SAID_MAX, sizeof(*c->said));
	c->owners = calloc(OWNERS_MAX, sizeof(*c->owners));
	return c->said && c->owners ? c : agent_collectors_free(c);
}

struct agent_collectors *agent_collectors_free(struct agent_collectors *c)
{
	if (c) {
		free(c->said);
		free(c->owners);
		free(c);
	}
	return NULL;
}

/* --- who speaks --- */

static uint64_t hash_of(const char *text)
{
	uint64_t h = 0xcbf29ce484222325ULL;

	for (; *text; text++)
		h = (h ^ (uint8_t)*text) * 0x100000001b3ULL;
	return h ?: 1;
}

static uint64_t tenant_of(struct agent *a, uint64_t cgroup_id)
{
	struct attribution at;

	tenant_map_attribute(a->tenants, cgroups_path(a->cgroups, cgroup_id), &at);
	return strcmp(at.tenant, "unknown") ? hash_of(at.tenant) : 0;
}

uint64_t agent_collectors_owner(struct agent *a, struct agent_collectors *c, uint64_t cgroup_id)
{
	struct owner new = { cgroup_id, cgroup_id, 0 };

	for (size_t i = 0; i < c->owner_count; i++)
		if (c->owners[i].cgroup_id == cgroup_id)
			return c->owners[i].speaks_as;
	new.tenant = tenant_of(a, cgroup_id);
	for (size_t i = 0; i < c->owner_count && new.tenant; i++) {
		if (c->owners[i].tenant == new.tenant) {
			new.speaks_as = c->owners[i].speaks_as;
			break;
		}
	}
	/* Without room a cgroup speaks for itself until the agent starts again. */
	if (c->owner_count < OWNERS_MAX)
		c->owners[c->owner_count++] = new;
	return new.speaks_as;
}

/* --- what they say of themselves --- */

/* The kernel gives the processes in much the same order each time: `hint` is the place in it. */
static struct said *said_of(struct agent_collectors *c, const struct om_proc_key *key, size_t hint)
{
	if (hint < c->said_count && !memcmp(&c->said[hint].key, key, sizeof(*key)))
		return &c->said[hint];
	for (size_t i = 0; i < c->said_count; i++)
		if (!memcmp(&c->said[i].key, key, sizeof(*key)))
			return &c->said[i];
	if (c->said_count == SAID_MAX)
		return NULL;
	c->said[c->said_count] = (struct said){ .key = *key };
	return &c->said[c->said_count++];
}

static void say_change(struct agent *a, const struct counter_process_row *p)
{
	const struct om_counter_status *s = &p->value.status;
	const char *path = cgroups_path(a->cgroups, p->value.cgroup_id);
	const char *reason = counter_reason_name(s->reason);

	log_info("collector in process %u (%s): %s: %s (CUPTI's result %u)", p->key.tgid,
		 path ?: "a cgroup that is gone", counter_state_name(s->state), reason, s->detail);
}

static void drop_gone(struct agent_collectors *c)
{
	size_t kept = 0;

	for (size_t i = 0; i < c->said_count; i++) {
		if (c->said[i].is_there) {
			c->said[kept++] = c->said[i];
			continue;
		}
		for (int l = 0; l < OM_COUNTER_LOST_END; l++)
			c->lost_before[l] += c->said[i].lost[l];
	}
	c->said_count = kept;
}

void agent_collectors_look(struct agent *a, struct agent_collectors *c, const struct counter_snapshot *s)
{
	memset(c->in, 0, sizeof(c->in));
	memset(c->lost, 0, sizeof(c->lost));
	for (size_t i = 0; i < c->said_count; i++)
		c->said[i].is_there = false;
	for (size_t i = 0; i < s->process_count; i++) {
		const struct counter_process_row *p = &s->processes[i];
		/* The tenant's words: out of the table's range they are none. */
		uint32_t state = p->value.status.state < AGENT_COLLECTOR_STATES ? p->value.status.state : 0;
		uint32_t reason = p->value.status.reason < OM_COUNTER_REASON_END ? p->value.status.reason : 0;
		struct said *said = said_of(c, &p->key, i);

		c->in[state][reason]++;
		for (int l = 0; l < OM_COUNTER_LOST_END; l++)
			c->lost[l] += p->value.lost[l];
		if (!said)
			continue;
		said->is_there = true;
		/* Idle and measuring alternate in normal work: only what a person may act on is told. */
		if (reason != said->reason && reason)
			say_change(a, p);
		said->reason = reason;
		memcpy(said->lost, p->value.lost, sizeof(said->lost));
	}
	drop_gone(c);
}

uint64_t agent_collectors_in(const struct agent_collectors *c, uint32_t state, uint32_t reason)
{
	return c->in[state][reason];
}

uint64_t agent_collectors_lost(const struct agent_collectors *c, int cause)
{
	return c->lost_before[cause] + c->lost[cause];
}
