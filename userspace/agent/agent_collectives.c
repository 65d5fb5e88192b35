// SPDX-License-Identifier: Apache-2.0
/*
 * The collective meter's part in the wiring: events of communicators are written down at
 * each drain, since the kernel keeps few of them; sums and losses every few seconds,
 * those that have changed. The kernel forgets what the ledger has.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../core/ledger_collectives.h"
#include "agent_internal.h"
#include "collective.h"
#include "proc_maps.h"

#define SUMS_EVERY_NS 5000000000ULL
#define SLOTS (1u << 17)
#define FILES_MAX 256

/* What of a sum the ledger has: one that has not changed is not written again. */
struct written {
	struct om_collective_key key;
	uint64_t calls;
};

struct file {
	uint64_t dev, ino;
	uint64_t attached_ns; /* boot time; 0: its probes were there before us */
};

struct agent_collectives {
	struct collective *meter;
	struct written *written;
	size_t written_count;
	struct file files[FILES_MAX];
	size_t file_count;
	struct om_proc_key *known; /* processes of the last read with sums */
	size_t known_count;
	struct om_proc_key *dead; /* those that had ended before this one */
	size_t dead_count;
	uint64_t next_sums_ns; /* boot time */
	uint64_t events, nameless;
	uint64_t lost[OM_COLLECTIVE_LOST_END];
};

struct agent_collectives *agent_collectives_free(struct agent_collectives *c)
{
	if (!c)
		return NULL;
	collective_free(c->meter);
	free(c->written);
	free(c->known);
	free(c->dead);
	free(c);
	return NULL;
}

int agent_collectives_open(struct agent *a, struct error_text *err)
{
	struct collective_config config = { .pin_dir = a->config->pin_dir,
					    .control_fd = probes_map_fd(a->probes, PROBES_CONTROL) };
	struct agent_collectives *c = calloc(1, sizeof(*c));
	char path[PATH_MAX];
	int r;

	if (!c)
		return -ENOMEM;
	snprintf(path, sizeof(path), "%s/join.key", a->config->dir);
	c->written = calloc(SLOTS, sizeof(*c->written));
	r = c->written ? 0 : -ENOMEM;
	r = r
		    ?: collective_key_load(a->config->join_key_path ?: path, !a->config->join_key_path,
					   config.key, err);
	r = r ?: collective_open(&config, &c->meter, err);
	if (r) {
		agent_collectives_free(c);
		return r;
	}
	a->collectives = c;
	return 0;
}

bool agent_collectives_has(const struct agent *a, const struct om_id *map)
{
	return a->collectives && om_id_equal(map, collective_map_id(a->collectives->meter));
}

/* --- libraries --- */

static struct file *file_find(struct agent_collectives *c, const struct library *lib)
{
	for (size_t i = 0; i < c->file_count; i++)
		if (c->files[i].dev == lib->dev && c->files[i].ino == lib->ino)
			return &c->files[i];
	return NULL;
}

static void file_drop(struct agent_collectives *c, const struct library *lib)
{
	struct file *f = file_find(c, lib);

	if (f)
		*f = c->files[--c->file_count];
}

void agent_collectives_follow(struct agent *a, const struct library *lib)
{
	struct agent_collectives *c = a->collectives;
	struct error_text err = { 0 };
	size_t before;

	if (!c)
		return;
	if (a->off & (OM_OFF_NODE | OM_OFF_COLLECTIVE)) {
		agent_collectives_released(a, lib);
		return;
	}
	if (file_find(c, lib))
		return;
	before = collective_attached_count(c->meter);
	if (collective_attach(c->meter, lib, &err)) {
		log_warn("%s: its collectives are not seen: %s", lib->display_path, err.text);
		agent_say(a, "a library could not be probed", lib->display_path, err.text);
		return;
	}
	log_info("%s: NCCL: its communicators and collectives are seen", lib->display_path);
	if (c->file_count < FILES_MAX)
		c->files[c->file_count++] =
			(struct file){ lib->dev, lib->ino,
				       collective_attached_count(c->meter) > before ? agent_boot_ns() : 0 };
}

void agent_collectives_released(struct agent *a, const struct library *lib)
{
	if (!a->collectives)
		return;
	collective_release(a->collectives->meter, lib->dev, lib->ino);
	file_drop(a->collectives, lib);
}

int agent_collectives_sweep(struct agent *a)
{
	size_t swept;

	return a->collectives ? collective_sweep(a->collectives->meter, &swept) : 0;
}

static int who_of(struct agent *a, uint32_t tgid, uint64_t start_ns, uint64_t cgroup_id,
		  struct om_collective_who *ret)
{
	*ret = (struct om_collective_who){ .boot = *cgroups_boot_id(a->cgroups),
					   .map = *collective_map_id(a->collectives->meter),
					   .tgid = tgid,
					   .start_ns = start_ns,
					   .cgroup_id = cgroup_id };
	return agent_job(a, cgroup_id, &ret->job);
}

/* A process that mapped the library before its probes were on may have made communicators unseen. */
int agent_collectives_mapped(struct agent *a, const struct library *lib, pid_t tgid, uint64_t mapped_ns)
{
	struct om_collective_loss loss = { .cause = OM_COLLECTIVE_LOST_LATE, .count = 1 };
	struct file *f = a->collectives ? file_find(a->collectives, lib) : NULL;
	uint64_t ticks;
	int r;

	if (!f || f->attached_ns == 0 || (mapped_ns && mapped_ns >= f->attached_ns) ||
	    proc_start_ticks(tgid, &ticks))
		return 0;
	r = who_of(a, (uint32_t)tgid, ticks * OM_RANGE_TICK_NS, cgroups_of_process(a->cgroups, tgid),
		   &loss.who);
	a->collectives->lost[OM_COLLECTIVE_LOST_LATE]++;
	return r ?: om_ledger_store_collective_losses(a->ledger, &loss, 1);
}

/* --- events --- */

static int store_events(struct agent *a, const struct collective_snapshot *s)
{
	_cleanup_free_ struct om_communicator_event *rows = NULL;
	uint64_t unix_ns = agent_now_ns(), boot_ns = agent_boot_ns();
	int r = 0;

	if (!s->event_count)
		return 0;
	rows = calloc(s->event_count, sizeof(*rows));
	if (!rows)
		return -ENOMEM;
	for (size_t i = 0; i < s->event_count && r == 0; i++) {
		const struct collective_event *e = &s->events[i];

		rows[i] = (struct om_communicator_event){
			.number = e->number,
			.time_ns = unix_ns - (boot_ns > e->time_ns ? boot_ns - e->time_ns : 0),
			.comm = e->comm,
			.kind = e->kind,
			.has_id = e->has_id,
			.id = e->id,
			.ids = e->ids,
			.nranks = e->nranks,
			.rank = e->rank,
			.a = e->a,
			.b = e->b,
		};
		r = who_of(a, e->key.tgid, e->key.start_ns, e->cgroup_id, &rows[i].who);
		r = r ?: agent_joins_event(a, &rows[i]);
	}
	return r ?: om_ledger_store_communicators(a->ledger, rows, s->event_count);
}

/* --- sums --- */

/* The place of a sum, perhaps a free one. The key is the tenant's in part: mixed. */
static struct written *written_slot(struct agent_collectives *c, const struct om_collective_key *key)
{
	uint64_t word[sizeof(*key) / sizeof(uint64_t)], h = 0;
	size_t i;

	memcpy(word, key, sizeof(word));
	for (size_t w = 0; w < ARRAY_SIZE(word); w++) {
		h = (h ^ word[w]) * 0x9e3779b97f4a7c15ULL;
		h ^= h >> 29;
	}
	for (i = h & (SLOTS - 1); c->written[i].key.kind; i = (i + 1) & (SLOTS - 1))
		if (!memcmp(&c->written[i].key, key, sizeof(*key)))
			break;
	return &c->written[i];
}

/* What has changed is put in front of the others; how many. */
static int sums_changed(struct agent *a, const struct collective_snapshot *s,
			struct om_collective_usage *rows, size_t *ret_count)
{
	struct agent_collectives *c = a->collectives;
	int r = 0;

	*ret_count = 0;
	for (size_t i = 0; i < s->sum_count && r == 0; i++) {
		const struct om_collective_key *k = &s->sums[i].key;
		struct om_collective_usage *u = &rows[*ret_count];

		if (written_slot(c, k)->calls == s->sums[i].value.calls)
			continue;
		*u = (struct om_collective_usage){ .comm = k->comm,
						   .kind = k->kind,
						   .calls = s->sums[i].value.calls,
						   .bytes = collective_bytes(&s->sums[i].value) };
		r = who_of(a, k->tgid, k->start_ns, k->cgroup_id, &u->who);
		r = r ?: agent_phases_collective(a, u);
		(*ret_count)++;
	}
	return r;
}

static void sums_written(struct agent_collectives *c, const struct collective_snapshot *s)
{
	if (c->written_count + s->sum_count > SLOTS / 2) {
		memset(c->written, 0, SLOTS * sizeof(*c->written));
		c->written_count = 0;
	}
	for (size_t i = 0; i < s->sum_count; i++) {
		struct written *w = written_slot(c, &s->sums[i].key);

		c->written_count += !w->key.kind;
		*w = (struct written){ s->sums[i].key, s->sums[i].value.calls };
	}
}

static int store_sums(struct agent *a, const struct collective_snapshot *s, uint64_t now_ns)
{
	_cleanup_free_ struct om_collective_usage *rows = calloc(s->sum_count + 1, sizeof(*rows));
	size_t count;
	int r;

	if (!rows)
		return -ENOMEM;
	r = sums_changed(a, s, rows, &count);
	r = r ?: om_ledger_store_collectives(a->ledger, rows, count, now_ns);
	if (r == 0)
		sums_written(a->collectives, s);
	return r;
}

static int store_losses(struct agent *a, const struct collective_snapshot *s)
{
	struct agent_collectives *c = a->collectives;
	uint64_t late = c->lost[OM_COLLECTIVE_LOST_LATE];
	int r = 0;

	memset(c->lost, 0, sizeof(c->lost));
	c->lost[OM_COLLECTIVE_LOST_LATE] = late;
	for (size_t i = 0; i < s->process_count && r == 0; i++) {
		const struct collective_process_row *p = &s->processes[i];
		struct om_collective_loss loss[OM_COLLECTIVE_LOST_END];
		size_t n = 0;

		for (uint32_t l = 0; l < OM_COLLECTIVE_LOST_END && r == 0; l++) {
			c->lost[l] += p->value.lost[l];
			if (!p->value.lost[l])
				continue;
			loss[n] = (struct om_collective_loss){ .cause = l, .count = p->value.lost[l] };
			r = who_of(a, p->key.tgid, p->key.start_ns, p->value.cgroup_id, &loss[n++].who);
		}
		r = r ?: om_ledger_store_collective_losses(a->ledger, loss, n);
	}
	return r;
}

/* --- the dead --- */

static bool is_dead(const struct om_proc_key *p)
{
	uint64_t ticks, start = p->start_ns / OM_RANGE_TICK_NS;

	if (proc_start_ticks((pid_t)p->tgid, &ticks))
		return true;
	return ticks > start + 1 || ticks + 1 < start;
}

/* Before the read, so that what is read of them is all there will ever be. */
static int find_dead(struct agent_collectives *c)
{
	free(c->dead);
	c->dead_count = 0;
	c->dead = calloc(c->known_count + 1, sizeof(*c->dead));
	if (!c->dead)
		return -ENOMEM;
	for (size_t i = 0; i < c->known_count; i++)
		if (is_dead(&c->known[i]))
			c->dead[c->dead_count++] = c->known[i];
	return 0;
}

static int remember_processes(struct agent_collectives *c, const struct collective_snapshot *s)
{
	struct om_proc_key *known = calloc(s->process_count + 1, sizeof(*known));

	if (!known)
		return -ENOMEM;
	for (size_t i = 0; i < s->process_count; i++)
		known[i] = s->processes[i].key;
	free(c->known);
	c->known = known;
	c->known_count = s->process_count;
	return 0;
}

/* --- one drain --- */

int agent_collectives_drain(struct agent *a, bool with_all, uint64_t now_ns)
{
	struct agent_collectives *c = a->collectives;
	struct collective_snapshot s;
	bool with_sums;
	int r = 0;

	if (!c)
		return 0;
	with_sums = with_all || agent_boot_ns() >= c->next_sums_ns;
	if (with_sums)
		r = find_dead(c);
	r = r ?: collective_read(c->meter, with_sums, &s);
	r = r ?: store_events(a, &s);
	if (r)
		return r;
	c->events += s.event_count;
	c->nameless = s.lost;
	r = collective_taken(c->meter);
	if (r || !with_sums)
		return r;
	r = store_sums(a, &s, now_ns);
	r = r ?: store_losses(a, &s);
	r = r ?: remember_processes(c, &s);
	r = r ?: collective_forget(c->meter, c->dead, c->dead_count);
	if (r == 0)
		c->next_sums_ns = agent_boot_ns() + SUMS_EVERY_NS;
	return r;
}

int agent_collectives_cost(const struct agent *a, struct probes_cost *ret)
{
	*ret = (struct probes_cost){ 0 };
	return a->collectives ? collective_cost(a->collectives->meter, &ret->runs, &ret->time_ns) : 0;
}

uint64_t agent_collectives_events(const struct agent *a)
{
	return a->collectives ? a->collectives->events : 0;
}

uint64_t agent_collectives_lost(const struct agent *a)
{
	uint64_t lost = a->collectives ? a->collectives->nameless : 0;

	for (int i = 0; a->collectives && i < OM_COLLECTIVE_LOST_END; i++)
		lost += a->collectives->lost[i];
	return lost;
}
