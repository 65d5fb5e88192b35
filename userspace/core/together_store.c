// SPDX-License-Identifier: Apache-2.0
/*
 * Records by their keys. One is 20 KB, most of it room for weights and communicators that are not there, so
 * it is kept with its runs of zeros taken out, whatever its fields are.
 */
#include "together_internal.h"

#include <errno.h>
#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define ZEROS_WORTH 8 /* shorter runs cost more than they save */
#define RUN_MAX UINT16_MAX
#define GO_AT_ONCE 32 /* a 32nd part of the room is made at once */
#define ROOM_MIN 32768

/* --- packing: (zeros, bytes, the bytes) until all is there --- */

static size_t zeros_at(const uint8_t *from, size_t size)
{
	size_t n = 0;

	while (n < size && n < RUN_MAX && !from[n])
		n++;
	return n;
}

/* Up to where it pays to begin another run. */
static size_t bytes_at(const uint8_t *from, size_t size)
{
	size_t n = 0, zeros = 0;

	while (n < size && n < RUN_MAX && zeros < ZEROS_WORTH)
		zeros = from[n++] ? 0 : zeros + 1;
	return zeros == ZEROS_WORTH ? n - zeros : n;
}

/* to NULL: only how much it takes. */
static size_t pack(const uint8_t *from, size_t size, uint8_t *to)
{
	size_t out = 0;

	for (size_t at = 0; at < size;) {
		uint16_t zeros = (uint16_t)zeros_at(from + at, size - at),
			 bytes = (uint16_t)bytes_at(from + at + zeros, size - at - zeros);

		if (to) {
			memcpy(to + out, &zeros, sizeof(zeros));
			memcpy(to + out + 2, &bytes, sizeof(bytes));
			memcpy(to + out + 4, from + at + zeros, bytes);
		}
		out += 4u + bytes;
		at += (size_t)zeros + bytes;
	}
	return out;
}

static void unpack(const uint8_t *from, size_t size, uint8_t *to, size_t to_size)
{
	size_t out = 0;

	memset(to, 0, to_size);
	for (size_t at = 0; at < size;) {
		uint16_t zeros, bytes;

		memcpy(&zeros, from + at, sizeof(zeros));
		memcpy(&bytes, from + at + 2, sizeof(bytes));
		out += zeros;
		memcpy(to + out, from + at + 4, bytes);
		out += bytes;
		at += 4u + bytes;
	}
}

/* A copy in which nothing is that is not told of. */
static void clear_rest(struct process_record *p)
{
	struct model_fingerprint *f = &p->model;

	if (!p->has_model)
		memset(f, 0, sizeof(*f));
	memset(&f->weight[f->weights], 0, (MODEL_WEIGHTS_MAX - f->weights) * sizeof(f->weight[0]));
	memset(&p->claim[p->claims], 0, (PROCESS_CLAIMS_MAX - p->claims) * sizeof(p->claim[0]));
	memset(&p->group[p->groups], 0, (PROCESS_GROUPS_MAX - p->groups) * sizeof(p->group[0]));
}

void together_record(const struct together *t, const struct together_process *p, struct process_record *ret)
{
	const struct held *h = (const struct held *)p;

	(void)t;
	unpack(h->packed, h->packed_size, (uint8_t *)ret, sizeof(*ret));
	ret->phase.suspicion = ret->suspicion[0] ? ret->suspicion : NULL;
}

size_t together_claims(const struct together *t, const struct held *h, struct om_join_claim *ret)
{
	if (!h->claims)
		return 0;
	together_record(t, &h->told, t->scratch);
	memcpy(ret, t->scratch->claim, h->claims * sizeof(*ret));
	return h->claims;
}

/* --- the tree --- */

int together_by_key(const struct om_id *ledger, const struct om_id *job, const struct om_id *process,
		    const struct together_process *b)
{
	int r = memcmp(process, &b->process, sizeof(*process));

	r = r ?: memcmp(ledger, &b->ledger, sizeof(*ledger));
	return r ?: memcmp(job, &b->job, sizeof(*job));
}

static int compare_held(const void *x, const void *y)
{
	const struct together_process *a = x, *b = y;

	return together_by_key(&a->ledger, &a->job, &a->process, b);
}

static struct held *find(const struct together *t, const struct om_id *ledger, const struct om_id *job,
			 const struct om_id *process)
{
	const struct together_process key = { .ledger = *ledger, .job = *job, .process = *process };
	struct held *const *at = tfind(&key, &t->by_key, compare_held);

	return at ? *at : NULL;
}

static void held_free(struct held *h)
{
	free(h->names);
	free(h->packed);
	free(h);
}

static size_t size_of(const struct held *h)
{
	return sizeof(*h) + h->packed_size;
}

static size_t charge_of(const struct held *h)
{
	return size_of(h) > TOGETHER_CHARGE ? size_of(h) : TOGETHER_CHARGE;
}

static void forget(struct together *t, struct held *h)
{
	tdelete(&h->told, &t->by_key, compare_held);
	t->all[h->at] = t->all[--t->count];
	t->all[h->at]->at = h->at;
	t->bytes -= size_of(h);
	t->charged -= charge_of(h);
	held_free(h);
	together_unmake(t);
}

struct together *together_new(size_t processes_max)
{
	struct together *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	if (processes_max > SIZE_MAX / TOGETHER_CHARGE)
		processes_max = SIZE_MAX / TOGETHER_CHARGE;
	t->charged_max = processes_max * TOGETHER_CHARGE;
	if (t->charged_max < ROOM_MIN)
		t->charged_max = ROOM_MIN;
	t->scratch = calloc(1, sizeof(*t->scratch));
	return t->scratch ? t : together_free(t);
}

struct together *together_free(struct together *t)
{
	if (!t)
		return NULL;
	together_unmake(t);
	while (t->count)
		forget(t, t->all[t->count - 1]);
	free(t->all);
	free(t->scratch);
	free(t);
	return NULL;
}

/* --- room --- */

static int by_tenant(const void *x, const void *y)
{
	const struct held *a = *(struct held *const *)x, *b = *(struct held *const *)y;
	int r = strcmp(a->told.tenant, b->told.tenant);

	if (r)
		return r;
	if (a->told.has_ended != b->told.has_ended)
		return a->told.has_ended ? -1 : 1;
	if (a->told.at_ns != b->told.at_ns)
		return a->told.at_ns < b->told.at_ns ? -1 : 1;
	return compare_held(&a->told, &b->told);
}

/* What one tenant has: a range of the sorted. */
struct tenants_part {
	size_t first, charge;
};

static int by_charge(const void *x, const void *y)
{
	const struct tenants_part *a = x, *b = y;

	if (a->charge != b->charge)
		return a->charge > b->charge ? -1 : 1;
	return a->first < b->first ? -1 : 1;
}

/* What each tenant keeps at most, so that `go` goes of those who have more. Parts are sorted. */
static size_t level_of(const struct tenants_part *part, size_t count, size_t go)
{
	size_t sum = 0;

	for (size_t i = 0; i < count; i++) {
		size_t next = i + 1 < count ? part[i + 1].charge : 0;

		sum += part[i].charge;
		if (sum - (i + 1) * next >= go)
			return (sum - go) / (i + 1);
	}
	return 0;
}

/* Whoever has most makes room, and the next, down to what all have, so that nobody can crowd another out.
 * Sorting pays for many that come. */
static int make_room(struct together *t, size_t more)
{
	_cleanup_free_ struct held **sorted = calloc(t->count + 1, sizeof(struct held *));
	_cleanup_free_ struct tenants_part *part = calloc(t->count + 1, sizeof(*part));
	size_t parts = 0, level, go = t->charged_max / GO_AT_ONCE + more, kept = t->charged;

	if (!sorted || !part)
		return -ENOMEM;
	go = go < t->charged ? go : t->charged;
	memcpy(sorted, t->all, t->count * sizeof(struct held *));
	qsort(sorted, t->count, sizeof(struct held *), by_tenant);
	for (size_t i = 0; i < t->count; i++) {
		if (!i || strcmp(sorted[i]->told.tenant, sorted[i - 1]->told.tenant) != 0)
			part[parts++] = (struct tenants_part){ .first = i };
		part[parts - 1].charge += charge_of(sorted[i]);
	}
	qsort(part, parts, sizeof(*part), by_charge);
	level = level_of(part, parts, go);
	kept -= go;
	for (size_t i = 0; i < parts; i++)
		for (size_t at = part[i].first; part[i].charge > level && t->charged > kept; at++) {
			part[i].charge -= charge_of(sorted[at]);
			forget(t, sorted[at]);
			t->forgotten++;
		}
	return 0;
}

static int keep(struct together *t, struct held *h)
{
	if (charge_of(h) > t->charged_max - t->charged && make_room(t, charge_of(h)))
		return -ENOMEM;
	if (t->count == t->room) {
		size_t room = t->room ? 2 * t->room : 64;
		struct held **bigger = reallocarray(t->all, room, sizeof(struct held *));

		if (!bigger)
			return -ENOMEM;
		t->all = bigger;
		t->room = room;
	}
	if (!tsearch(h, &t->by_key, compare_held))
		return -ENOMEM;
	h->at = t->count;
	t->all[t->count++] = h;
	t->bytes += size_of(h);
	t->charged += charge_of(h);
	return 0;
}

/* --- what comes and goes --- */

static uint64_t earliest(const struct process_record *p)
{
	uint64_t at = p->begun_ns ?: p->from_ns;

	for (size_t i = 0; i < p->claims; i++)
		if (p->claim[i].time_ns && p->claim[i].time_ns < at)
			at = p->claim[i].time_ns;
	return at;
}

/* Of two that were judged at one time the one whose bytes are greater holds, whichever came first. */
static bool is_greater(const struct held *h, const uint8_t *packed, size_t size)
{
	if (size != h->packed_size)
		return size > h->packed_size;
	return memcmp(packed, h->packed, size) > 0;
}

/* All but the key, in place of what is there. 1: what is there holds. */
static int fill(struct together *t, struct held *h, const struct process_record *p)
{
	size_t tenant = strlen(p->tenant) + 1, model = strlen(p->model_name) + 1,
	       lineage = strlen(p->lineage) + 1;
	char *names = malloc(tenant + model + lineage);
	uint8_t *packed;
	size_t size;

	process_record_copy(t->scratch, p);
	clear_rest(t->scratch);
	size = pack((uint8_t *)t->scratch, sizeof(*t->scratch), NULL);
	packed = malloc(size);
	if (!names || !packed) {
		free(names);
		free(packed);
		return -ENOMEM;
	}
	pack((uint8_t *)t->scratch, sizeof(*t->scratch), packed);
	if (h->packed && p->at_ns == h->told.at_ns && !is_greater(h, packed, size)) {
		free(names);
		free(packed);
		return 1;
	}
	free(h->names);
	free(h->packed);
	h->names = names;
	h->packed = packed;
	h->packed_size = size;
	h->claims = (uint32_t)p->claims;
	h->claims_left_out = p->claims_left_out;
	h->is_suspected = p->suspicion[0];
	h->told.tenant = memcpy(names, p->tenant, tenant);
	h->told.model_name = memcpy(names + tenant, p->model_name, model);
	h->told.lineage = memcpy(names + tenant + model, p->lineage, lineage);
	h->told.to_ns = p->to_ns;
	h->told.at_ns = p->at_ns;
	h->told.has_ended = p->has_ended;
	h->told.has_model = p->has_model && p->model.weights;
	h->told.verdict = p->phase.verdict;
	h->told.executed = p->phase.executed;
	return 0;
}

static int replace(struct together *t, struct held *h, const struct process_record *p)
{
	uint64_t first = earliest(p);
	size_t before = size_of(h), charged = charge_of(h);
	int r;

	if (first < h->told.from_ns) {
		h->told.from_ns = first;
		together_unmake(t);
	}
	r = p->at_ns < h->told.at_ns ? 1 : fill(t, h, p);
	if (r)
		return r;
	t->bytes += size_of(h) - before;
	t->charged += charge_of(h) - charged;
	together_unmake(t);
	return t->charged > t->charged_max ? make_room(t, t->charged - t->charged_max) : 0;
}

int together_put(struct together *t, const struct process_record *p)
{
	struct held *h = find(t, &p->ledger, &p->job, &p->process);

	if (h)
		return replace(t, h, p);
	h = calloc(1, sizeof(*h));
	if (!h)
		return -ENOMEM;
	h->told.ledger = p->ledger;
	h->told.job = p->job;
	h->told.process = p->process;
	h->told.from_ns = earliest(p);
	if (fill(t, h, p) || keep(t, h)) {
		held_free(h);
		return -ENOMEM;
	}
	together_unmake(t);
	return 0;
}

void together_drop(struct together *t, const struct om_id *ledger, const struct om_id *job,
		   const struct om_id *process)
{
	struct held *h = find(t, ledger, job, process);

	if (h)
		forget(t, h);
}

void together_expire(struct together *t, uint64_t before_ns)
{
	for (size_t i = t->count; i > 0; i--)
		if (t->all[i - 1]->told.at_ns < before_ns)
			forget(t, t->all[i - 1]);
}

void together_count(const struct together *t, struct together_counts *ret)
{
	*ret = (struct together_counts){ t->count, t->is_made ? t->jobs : 0, t->forgotten, t->bytes };
}
