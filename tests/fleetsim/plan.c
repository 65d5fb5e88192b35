// SPDX-License-Identifier: Apache-2.0
#include "fleetsim.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "userspace/base/cleanup.h"

#define NEVER UINT32_MAX
#define SCHEDULE_MAX 4096
#define CLOCK_STEP_MAX_S (6 * 3600) /* so that a day's register stays within what the node can do in a day */

enum { STREAM_LEDGER = 1, STREAM_RESTORED, STREAM_VICTIM, STREAM_PLACE, STREAM_JOB, STREAM_INSTANCE, STREAM_RATE };

struct scheduled {
	uint32_t start_s, duration_s, gpus;
	char tenant[SIM_NAME];
};

const char *sim_fault_name(enum sim_fault f)
{
	static const char *const names[SIM_FAULTS] = { "duplicate", "shuffle", "replay", "regress",
						       "restore",   "clock",   "torn",	 "late",
						       "move",	    "hold",    "die",	 "forge" };

	return f < SIM_FAULTS ? names[f] : "invalid";
}

uint64_t sim_hash(const struct sim_config *c, uint64_t stream, uint64_t n)
{
	uint64_t z = c->seed * 0x9e3779b97f4a7c15ULL + stream * 0xd1342543de82ef95ULL + n * 0x2545f4914f6cdd1dULL;

	for (int i = 0; i < 2; i++) {
		z += 0x9e3779b97f4a7c15ULL;
		z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
		z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
		z ^= z >> 31;
	}
	return z;
}

struct om_id sim_id(const struct sim_config *c, uint64_t stream, uint64_t n)
{
	uint64_t a = sim_hash(c, stream, 2 * n), b = sim_hash(c, stream, 2 * n + 1);
	struct om_id id;

	memcpy(id.byte, &a, 8);
	memcpy(id.byte + 8, &b, 8);
	return id;
}

uint64_t sim_tick_s(const struct sim *s, uint32_t tick)
{
	return s->begin_s + tick * s->config.tick_s;
}

static int read_schedule(const char *path, struct scheduled *to, size_t *ret_count, struct error_text *err)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char line[256];
	size_t n = 0;

	if (!f)
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	while (n < SCHEDULE_MAX && fgets(line, sizeof(line), f)) {
		struct scheduled *j = &to[n];

		if (sscanf(line, "%u,%u,%u,%38[A-Za-z0-9._-]", &j->start_s, &j->duration_s, &j->gpus, j->tenant) == 4)
			n++;
	}
	*ret_count = n;
	return n ? 0 : error_set(err, -EINVAL, "%s: no job in it", path);
}

static uint32_t between(uint64_t h, uint32_t ticks, uint32_t from_8th, uint32_t to_8th)
{
	uint32_t from = ticks * from_8th / 8, width = ticks * to_8th / 8 - from;

	return from + (width ? (uint32_t)(h % width) : 0);
}

/* One fault a node at most, so that what each does can be told. */
static void hurt(struct sim *s, struct sim_node *n, enum sim_fault fault, uint64_t h)
{
	uint32_t ticks = s->ticks, early = between(h, ticks, 2, 4), later = between(h >> 16, ticks, 5, 8);

	switch (fault) {
	case SIM_REGRESS:
		n->image_tick = early;
		n->replay_tick = later;
		break;
	case SIM_RESTORE:
		n->restore_tick = later;
		break;
	case SIM_CLOCK:
		n->clock_tick[0] = early;
		n->clock_tick[1] = later;
		n->clock_step_s = (int64_t)(h >> 20) % CLOCK_STEP_MAX_S;
		if (h & 1)
			n->clock_step_s = -n->clock_step_s;
		break;
	case SIM_TORN:
		n->torn_tick = between(h, ticks, 2, 7);
		break;
	case SIM_HOLD:
		n->hold_tick = early;
		break;
	case SIM_DIE:
		n->die_tick = later;
		break;
	default:
		break;
	}
}

static void plan_nodes(struct sim *s)
{
	static const enum sim_fault of_nodes[] = { SIM_REGRESS, SIM_RESTORE, SIM_CLOCK, SIM_TORN, SIM_HOLD, SIM_DIE };
	enum sim_fault on[ARRAY_SIZE(of_nodes)];
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_SIZE(of_nodes); i++)
		if (s->config.has_fault[of_nodes[i]])
			on[count++] = of_nodes[i];
	for (size_t i = 0; i < s->config.nodes; i++) {
		struct sim_node *n = &s->node[i];
		uint64_t h = sim_hash(&s->config, STREAM_VICTIM, i), kind = h % 100 / 8;

		*n = (struct sim_node){ .ledger = sim_id(&s->config, STREAM_LEDGER, i),
					.restored = sim_id(&s->config, STREAM_RESTORED, i),
					.start_ns = (s->begin_s - 2 * SIM_DAY_S + h % SIM_DAY_S) * SIM_NS,
					.die_tick = NEVER, .hold_tick = NEVER, .image_tick = NEVER,
					.replay_tick = NEVER, .restore_tick = NEVER, .torn_tick = NEVER,
					.clock_tick = { NEVER, NEVER } };
		/* The first nodes are victims of one each, so that each fault has some. */
		if (i < count || kind < count)
			hurt(s, n, on[i < count ? i : kind], sim_hash(&s->config, STREAM_VICTIM, i + (1ULL << 32)));
	}
}

static void plan_phase(struct sim_job *j, uint64_t h)
{
	static const enum om_phase phases[10] = { OM_PHASE_TRAINING,  OM_PHASE_TRAINING,  OM_PHASE_TRAINING,
						  OM_PHASE_TRAINING,  OM_PHASE_TRAINING,  OM_PHASE_FROZEN,
						  OM_PHASE_INFERENCE, OM_PHASE_INFERENCE, OM_PHASE_MIXED,
						  OM_PHASE_UNKNOWN };

	j->phase = phases[h % 10];
	j->share_low_ppm = j->share_high_ppm = 1000000;
	if (j->phase == OM_PHASE_MIXED) {
		j->share_low_ppm = (uint32_t)(h >> 8) % 500000;
		j->share_high_ppm = j->share_low_ppm + (uint32_t)(h >> 32) % 500000;
	}
}

static void plan_job(struct sim *s, struct sim_job *j, const struct scheduled *from, uint64_t n)
{
	uint64_t h = sim_hash(&s->config, STREAM_JOB, n), day = sim_hash(&s->config, STREAM_JOB, n + (1ULL << 40)) % s->config.days;
	uint64_t tick_s = s->config.tick_s, start = (day * SIM_DAY_S + from->start_s) / tick_s;
	uint64_t end = start + (from->duration_s + tick_s - 1) / tick_s;

	*j = (struct sim_job){ .start_tick = (uint32_t)start, .gpus = from->gpus, .move_tick = NEVER };
	j->end_tick = (uint32_t)(end < s->ticks ? end : s->ticks);
	if (h % 32 && s->config.tenants)
		snprintf(j->tenant, sizeof(j->tenant), "t%u", (unsigned)((h >> 24) % s->config.tenants));
	else if (h % 32)
		snprintf(j->tenant, sizeof(j->tenant), "%s", from->tenant);
	if (h >> 5 & 7)
		snprintf(j->model, sizeof(j->model), "m%u", (unsigned)(h >> 8 & 3));
	if (h >> 10 & 1)
		snprintf(j->lineage, sizeof(j->lineage), "line-%u", (unsigned)(h >> 11) % 5);
	plan_phase(j, h >> 16);
	if (!s->config.is_plain && h >> 56 & 1)
		j->meters |= 1 << OM_METER_LAUNCH;
	if (!s->config.is_plain && h >> 57 & 1)
		j->meters |= 1 << OM_METER_DEVICE;
	if (!s->config.is_plain && h >> 58 & 1)
		j->meters |= 1 << OM_METER_ALLOCATION;
	if (s->config.has_more && h >> 60 & 1)
		j->meters |= 1 << OM_METER_COUNTER;
	if (s->config.has_more && h >> 61 & 1)
		j->meters |= 1 << OM_METER_CORRECTION;
	j->is_contradicted = (h >> 59 & 7) == 0;
	j->tell_tick = j->start_tick;
	if (s->config.has_fault[SIM_LATE] && (h >> 40 & 3) == 0)
		j->tell_tick = between(h >> 42, s->ticks - j->start_tick, 1, 8) + j->start_tick;
	else if (s->config.has_fault[SIM_MOVE] && (h >> 40 & 3) == 1 && j->end_tick > j->start_tick + 1 && j->tenant[0]) {
		j->move_tick = j->start_tick + 1 + (uint32_t)(h >> 42) % (j->end_tick - j->start_tick - 1);
		snprintf(j->moved_to, sizeof(j->moved_to), "bought-%.20s", from->tenant);
	}
}

static void plan_giant(struct sim *s, struct sim_job *j)
{
	*j = (struct sim_job){ .tenant = "giant", .model = "frontier", .lineage = "line-frontier",
			       .phase = OM_PHASE_TRAINING, .share_low_ppm = 1000000, .share_high_ppm = 1000000,
			       .end_tick = s->ticks, .move_tick = NEVER,
			       .gpus = (uint32_t)(s->config.nodes * SIM_GPUS * s->config.giant_percent / 100) };
}

static int by_start(const void *x, const void *y)
{
	const struct sim_job *a = x, *b = y;

	return a->start_tick < b->start_tick ? -1 : a->start_tick > b->start_tick;
}

/* Small clusters ran those jobs: on a large fleet each is made larger until four fifths of it are busy. */
static void scale_jobs(struct sim *s)
{
	uint64_t asked = 0, there = s->config.nodes * SIM_GPUS * (100 - s->config.giant_percent) / 100 * s->ticks * 4 / 5;
	uint64_t factor;

	for (size_t i = 0; i < s->job_count; i++)
		asked += (uint64_t)s->job[i].gpus * (s->job[i].end_tick - s->job[i].start_tick);
	factor = asked ? there / asked : 1;
	for (size_t i = 0; i < s->job_count && factor > 1; i++)
		s->job[i].gpus = (uint32_t)(s->job[i].gpus * factor);
}

static int plan_jobs(struct sim *s, struct error_text *err)
{
	_cleanup_free_ struct scheduled *from = calloc(SCHEDULE_MAX, sizeof(*from));
	size_t count = 0, giant = s->config.giant_percent ? 1 : 0;
	int r;

	if (!from)
		return -ENOMEM;
	r = read_schedule(s->config.schedule_path, from, &count, err);
	if (r)
		return r;
	s->job = calloc(s->config.jobs + 1, sizeof(*s->job));
	if (!s->job)
		return -ENOMEM;
	for (size_t i = 0; i < s->config.jobs; i++)
		plan_job(s, &s->job[i], &from[s->config.jobs == count ? i : sim_hash(&s->config, STREAM_PLACE, i) % count], i);
	s->job_count = s->config.jobs;
	scale_jobs(s);
	if (giant)
		plan_giant(s, &s->job[s->job_count++]);
	qsort(s->job, s->job_count, sizeof(*s->job), by_start);
	return 0;
}

static int add_instance(struct sim *s, uint32_t job, uint32_t node, uint32_t gpus)
{
	uint64_t n = s->instance_count, h = sim_hash(&s->config, STREAM_RATE, n);

	if (s->instance_count == s->instance_room) {
		size_t room = s->instance_room ? 2 * s->instance_room : 256;
		struct sim_instance *more = reallocarray(s->instance, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->instance = more;
		s->instance_room = room;
	}
	s->instance[s->instance_count++] = (struct sim_instance){
		.node = node, .job = job, .gpus = gpus, .id = sim_id(&s->config, STREAM_INSTANCE, n),
		/* 20 to 50 % of what the devices can do: a training's usual share. */
		.ops_per_s = s->config.node_peak / SIM_GPUS * gpus / 100 * (20 + h % 31),
	};
	return 0;
}

/* Takes free GPUs, from where the last job ended on; a job that finds too few runs with what it finds. */
static int place(struct sim *s, uint32_t job, uint32_t *free_at, size_t *at)
{
	const struct sim_job *j = &s->job[job];
	uint32_t want = j->gpus;
	int r = 0;

	for (size_t i = 0; r == 0 && want && i < s->config.nodes; i++) {
		size_t node = (*at + i) % s->config.nodes;
		uint32_t got = 0;

		for (int g = 0; g < SIM_GPUS && got < want; g++)
			if (free_at[node * SIM_GPUS + g] <= j->start_tick) {
				free_at[node * SIM_GPUS + g] = j->end_tick;
				got++;
			}
		if (!got)
			continue;
		want -= got;
		r = add_instance(s, job, (uint32_t)node, got);
		if (want == 0)
			*at = node;
	}
	s->not_placed += want == j->gpus;
	return r;
}

int sim_plan(struct sim *s, struct error_text *err)
{
	_cleanup_free_ uint32_t *free_at = calloc(s->config.nodes * SIM_GPUS, sizeof(*free_at));
	uint64_t today = (uint64_t)time(NULL) / SIM_DAY_S;
	size_t at = 0;
	int r;

	s->begin_s = (today - s->config.age_days - s->config.days) * SIM_DAY_S;
	s->ticks = (uint32_t)(s->config.days * SIM_DAY_S / s->config.tick_s);
	s->node = calloc(s->config.nodes, sizeof(*s->node));
	if (!free_at || !s->node)
		return -ENOMEM;
	plan_nodes(s);
	r = plan_jobs(s, err);
	for (uint32_t i = 0; r == 0 && i < s->job_count; i++)
		if (s->job[i].end_tick > s->job[i].start_tick)
			r = place(s, i, free_at, &at);
	return r;
}

void sim_done(struct sim *s)
{
	for (size_t i = 0; i < s->instance_count; i++)
		free(s->instance[i].reg);
	for (size_t i = 0; s->node && i < s->config.nodes; i++)
		free(s->node[i].told);
	free(s->instance);
	free(s->job);
	free(s->node);
	free(s->crossed_ms);
}
