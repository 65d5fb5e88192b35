// SPDX-License-Identifier: Apache-2.0
/* What a reading of the topics comes to: subjects with their days, and registers. */
#include "api_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void free_subject(struct key_node *n)
{
	free(((struct study_subject *)n)->day);
	free(n);
}

struct study *study_unref(struct study *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
		return NULL;
	key_map_done(&s->subjects, free_subject);
	key_map_done(&s->names, key_node_free);
	free(s->sorted);
	free(s->reg);
	free(s->job);
	free(s->offset);
	free(s->as_of);
	free(s->brief);
	free(s);
	return NULL;
}

/* One of a name for all who have it; NULL: out of memory. */
static const char *intern(struct study *s, const char *name)
{
	struct key_node *n = key_map_find(&s->names, name, strlen(name) + 1);

	if (n)
		return n->key;
	n = calloc(1, sizeof(*n));
	if (!n || key_map_add(&s->names, n, name, strlen(name) + 1)) {
		free(n);
		return NULL;
	}
	return n->key;
}

void study_figures(const struct om_subject_total *t, opcount ret[STUDY_FIGURES])
{
	const opcount figures[STUDY_FIGURES] = { t->training_low, t->training_high, t->training_ceiling,
						 t->all_low,	  t->all_high,	    t->all_ceiling,
						 t->registers };

	memcpy(ret, figures, sizeof(figures));
}

static size_t subject_key(const char *first, const char *second, char out[2 * 128])
{
	size_t n = strlen(first) + 1, m = strlen(second);

	memcpy(out, first, n);
	memcpy(out + n, second, m);
	return n + m;
}

struct study_subject *study_subject_get(struct study *s, const char *first, const char *second)
{
	char key[2 * 128];
	size_t len = subject_key(first, second, key);
	struct study_subject *u = (struct study_subject *)key_map_find(&s->subjects, key, len);

	if (u)
		return u;
	u = calloc(1, sizeof(*u));
	if (u) {
		u->first = intern(s, first);
		u->second = intern(s, second);
	}
	if (!u || !u->first || !u->second || key_map_add(&s->subjects, &u->node, key, len)) {
		free(u);
		return NULL;
	}
	return u;
}

const struct study_subject *study_find(const struct study *s, const char *first, const char *second)
{
	char key[2 * 128];

	if (strlen(first) >= 128 || strlen(second) >= 128)
		return NULL;
	return (const struct study_subject *)key_map_find(&s->subjects, key, subject_key(first, second, key));
}

/* The day's place; days of one partition ascend, those of the next begin anew. */
struct study_day *study_day_get(struct study_subject *u, uint32_t day)
{
	size_t i = u->days;

	while (i && u->day[i - 1].day > day)
		i--;
	if (i && u->day[i - 1].day == day)
		return &u->day[i - 1];
	if (u->days == u->room) {
		size_t room = u->room ? 2 * u->room : 16;
		struct study_day *more = reallocarray(u->day, room, sizeof(*more));

		if (!more)
			return NULL;
		u->day = more;
		u->room = room;
	}
	memmove(u->day + i + 1, u->day + i, (u->days - i) * sizeof(*u->day));
	u->days++;
	u->day[i] = (struct study_day){ .day = day };
	return &u->day[i];
}

int study_keep_register(struct study *s, const struct om_attributed *a)
{
	struct study_register *g;

	if (s->registers == s->room) {
		size_t room = s->room ? 2 * s->room : 256;

		g = reallocarray(s->reg, room, sizeof(*g));
		if (!g)
			return -ENOMEM;
		s->reg = g;
		s->room = room;
	}
	g = &s->reg[s->registers];
	om_register_key_encode(&a->reading->key, g->key);
	g->reading = *a->reading;
	g->tenant = intern(s, a->tenant);
	g->model = intern(s, a->model);
	g->phase = a->phase;
	if (!g->tenant || !g->model)
		return -ENOMEM;
	s->registers++;
	return 0;
}

int study_keep_job(struct study *s, const struct om_id *ledger, const struct om_id *job,
		   const struct om_subject_total *t)
{
	struct study_job *j;

	if (s->jobs == s->job_room) {
		size_t room = s->job_room ? 2 * s->job_room : 64;

		j = reallocarray(s->job, room, sizeof(*j));
		if (!j)
			return -ENOMEM;
		s->job = j;
		s->job_room = room;
	}
	j = &s->job[s->jobs];
	memcpy(j->key, ledger->byte, STUDY_JOB_SIZE / 2);
	memcpy(j->key + STUDY_JOB_SIZE / 2, job->byte, STUDY_JOB_SIZE / 2);
	j->total = *t;
	j->total.tenant = intern(s, t->tenant);
	j->total.model = intern(s, t->model);
	j->total.lineage = intern(s, t->lineage);
	if (!j->total.tenant || !j->total.model || !j->total.lineage)
		return -ENOMEM;
	s->jobs++;
	return 0;
}

static int compare_jobs(const void *x, const void *y)
{
	const struct study_job *a = x, *b = y;

	return memcmp(a->key, b->key, STUDY_JOB_SIZE) ?: strcmp(a->total.tenant, b->total.tenant);
}

static int compare_registers(const void *x, const void *y)
{
	return memcmp(x, y, OM_REGISTER_KEY_SIZE);
}

static int compare_subjects(const void *x, const void *y)
{
	const struct study_subject *a = *(const struct study_subject *const *)x,
				   *b = *(const struct study_subject *const *)y;

	return strcmp(a->first, b->first) ?: strcmp(a->second, b->second);
}

struct filling {
	struct study_subject **at;
};

static int list_subject(void *ctx, struct key_node *n)
{
	*((struct filling *)ctx)->at++ = (struct study_subject *)n;
	return 0;
}

int study_sort(struct study *s)
{
	struct filling fill;

	s->sorted = calloc(s->subjects.count + 1, sizeof(*s->sorted));
	if (!s->sorted)
		return -ENOMEM;
	fill.at = s->sorted;
	key_map_each(&s->subjects, list_subject, &fill);
	if (s->subjects.count)
		qsort(s->sorted, s->subjects.count, sizeof(*s->sorted), compare_subjects);
	if (s->registers)
		qsort(s->reg, s->registers, sizeof(*s->reg), compare_registers);
	if (s->jobs)
		qsort(s->job, s->jobs, sizeof(*s->job), compare_jobs);
	return 0;
}
