// SPDX-License-Identifier: Apache-2.0
#include "api_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium.h>

#define BLOCK_SIZE 65536

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	_Alignas(16) char data[];
};

static void *arena_take(struct arena_block **a, size_t size, size_t align)
{
	size_t at = *a ? ((*a)->used + align - 1) / align * align : 0;

	if (!*a || at + size > (*a)->size) {
		size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
		struct arena_block *b = malloc(sizeof(*b) + room);

		if (!b)
			return NULL;
		*b = (struct arena_block){ .next = *a, .size = room };
		*a = b;
		at = 0;
	}
	(*a)->used = at + size;
	return (*a)->data + at;
}

static const char *arena_text(struct arena_block **a, const char *text)
{
	size_t len = strlen(text) + 1;
	char *copy = arena_take(a, len, 1);

	return copy ? memcpy(copy, text, len) : NULL;
}

struct copying {
	struct snapshot *s;
	size_t room[2];
};

static int copy_members(struct snapshot *s, struct om_subject_total *t)
{
	struct om_member *m = arena_take(&s->strings, (t->member_count + 1) * sizeof(*m), 16);

	if (!m)
		return -ENOMEM;
	for (size_t i = 0; i < t->member_count; i++) {
		m[i] = t->members[i];
		m[i].tenant = arena_text(&s->strings, m[i].tenant);
		if (!m[i].tenant)
			return -ENOMEM;
	}
	t->members = m;
	return 0;
}

static int copy_total(void *ctx, const struct om_subject_total *from)
{
	struct copying *c = ctx;
	struct snapshot *s = c->s;
	enum om_group g = from->group;
	struct om_subject_total *t;

	if (s->count[g] == c->room[g]) {
		size_t room = c->room[g] ? 2 * c->room[g] : 256;

		t = reallocarray(s->total[g], room, sizeof(*t));
		if (!t)
			return -ENOMEM;
		s->total[g] = t;
		c->room[g] = room;
	}
	t = &s->total[g][s->count[g]];
	*t = *from;
	t->tenant = arena_text(&s->strings, from->tenant);
	t->model = arena_text(&s->strings, from->model);
	t->lineage = arena_text(&s->strings, from->lineage);
	if (!t->tenant || !t->model || !t->lineage)
		return -ENOMEM;
	if (t->until) {
		struct om_until *u = arena_take(&s->strings, t->until_count * sizeof(*u), 16);

		if (!u)
			return -ENOMEM;
		t->until = memcpy(u, from->until, t->until_count * sizeof(*u));
	}
	s->count[g]++;
	return t->members ? copy_members(s, t) : 0;
}

static int compare_sizes(const void *x, const void *y, void *ctx)
{
	const struct om_subject_total *t = ctx;
	uint32_t i = *(const uint32_t *)x, j = *(const uint32_t *)y;

	if (t[i].all_high != t[j].all_high)
		return t[i].all_high < t[j].all_high ? 1 : -1;
	return i < j ? -1 : 1;
}

static int rank(struct snapshot *s)
{
	size_t n = s->count[OM_GROUP_MODEL];

	s->by_size = calloc(n + 1, sizeof(*s->by_size));
	if (!s->by_size)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		s->by_size[i] = i;
	if (n)
		qsort_r(s->by_size, n, sizeof(*s->by_size), compare_sizes, s->total[OM_GROUP_MODEL]);
	return 0;
}

static int prepare_texts(struct snapshot *s)
{
	for (int g = 0; g < 2; g++) {
		s->text[g] = calloc(s->count[g] + 1, sizeof(*s->text[g]));
		if (!s->text[g])
			return -ENOMEM;
	}
	return 0;
}

json_t *snapshot_json(const struct snapshot *s, const struct om_subject_total *t)
{
	json_t *o = om_total_json(t, -1);

	if (o && silence_put(s->silence, t, o)) {
		json_decref(o);
		o = NULL;
	}
	return o;
}

/* Two that make it at once make the same. */
const char *snapshot_text(const struct snapshot *s, const struct om_subject_total *t)
{
	_Atomic(char *) *at = &s->text[t->group][t - s->total[t->group]];
	char *text = atomic_load(at), *none = NULL;
	json_t *o;

	if (text)
		return text;
	o = snapshot_json(s, t);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (text && !atomic_compare_exchange_strong(at, &none, text)) {
		free(text);
		text = none;
	}
	return text;
}

static int take_heads(struct snapshot *s, struct view *v, const int64_t *offsets)
{
	s->head = calloc(s->partitions, sizeof(*s->head));
	if (!s->head)
		return -ENOMEM;
	for (uint32_t i = 0; i < s->partitions; i++) {
		const struct view_head *h = view_head(v, i);

		s->head[i] = (struct snapshot_head){ .epoch = h->epoch,
						     .round = h->round,
						     .time_ns = h->time_ns,
						     .offset = offsets[i],
						     .registers = h->registers };
		s->head[i].regressed = h->regressed;
		s->head[i].left_out = h->left_out;
		s->head[i].overclaims = h->overclaims;
		s->head[i].lost_words = h->lost_words;
		s->head[i].refused_by_broker = h->refused_by_broker;
		s->head[i].unsent = h->unsent;
		s->head[i].failed = h->failed;
		s->head[i].settings_unchecked = h->settings_unchecked;
		memcpy(s->head[i].refused, h->refused, sizeof(h->refused));
		if (h->time_ns > s->time_ns)
			s->time_ns = h->time_ns;
	}
	return 0;
}

/* Which state of which partition the figures are of: enough to find it again in the topic, and to say that
 * two answers are of the same one. */
static int cite(struct snapshot *s, const char *fleet)
{
	crypto_hash_sha256_state hash;
	unsigned char digest[crypto_hash_sha256_BYTES];
	char time[OM_TIME_STRLEN], epoch[EPOCH_STRLEN];
	size_t len;
	_cleanup_(json_decrefp) json_t *name = json_string(fleet);
	_cleanup_free_ char *quoted = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
	FILE *f = quoted ? open_memstream(&s->as_of, &len) : NULL;

	if (!f)
		return -ENOMEM;
	crypto_hash_sha256_init(&hash);
	for (uint32_t i = 0; i < s->partitions; i++) {
		char line[160];
		int n = snprintf(line, sizeof(line), "%s/%" PRIu32 " %s %" PRIu64 "\n", i ? "" : fleet, i,
				 (epoch_format(s->head[i].epoch, epoch), epoch), s->head[i].round);

		crypto_hash_sha256_update(&hash, (unsigned char *)line, (size_t)n);
	}
	crypto_hash_sha256_final(&hash, digest);
	sodium_bin2hex(s->view, sizeof(s->view), digest, (sizeof(s->view) - 1) / 2);
	fprintf(f, "{\"view\":\"%s\",\"fleet\":%s,\"time\":\"%s\",\"partitions\":[", s->view, quoted,
		om_time_format(s->time_ns, time));
	for (uint32_t i = 0; i < s->partitions; i++) {
		const struct snapshot_head *h = &s->head[i];

		epoch_format(h->epoch, epoch);
		fprintf(f,
			"%s{\"partition\":%" PRIu32 ",\"epoch\":\"%s\",\"round\":\"%" PRIu64
			"\",\"offset\":\"%" PRId64 "\",\"time\":\"%s\"}",
			i ? "," : "", i, epoch, h->round, h->offset, om_time_format(h->time_ns, time));
	}
	fputs("]}", f);
	if (fclose(f) || asprintf(&s->brief, "{\"view\":\"%s\",\"fleet\":%s,\"time\":\"%s\"}", s->view,
				  quoted, om_time_format(s->time_ns, time)) < 0)
		return -ENOMEM;
	return 0;
}

int snapshot_make(struct view *v, const char *fleet, uint32_t partitions, const int64_t *offsets,
		  struct silence *silence, struct snapshot **ret)
{
	struct snapshot *s = silence ? calloc(1, sizeof(*s)) : NULL;
	struct copying c = { .s = s };
	int r;

	if (!s) {
		silence_free(silence);
		return -ENOMEM;
	}
	s->silence = silence;
	atomic_init(&s->refs, 1);
	s->partitions = partitions;
	r = view_each(v, OM_GROUP_MODEL, copy_total, &c);
	r = r ?: view_each(v, OM_GROUP_LINEAGE, copy_total, &c);
	r = r ?: rank(s);
	r = r ?: prepare_texts(s);
	r = r ?: take_heads(s, v, offsets);
	r = r ?: cite(s, fleet);
	if (r)
		s = snapshot_unref(s);
	*ret = s;
	return r;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
	if (s)
		atomic_fetch_add(&s->refs, 1);
	return s;
}

struct snapshot *snapshot_unref(struct snapshot *s)
{
	if (!s || atomic_fetch_sub(&s->refs, 1) > 1)
		return NULL;
	while (s->strings) {
		struct arena_block *b = s->strings;

		s->strings = b->next;
		free(b);
	}
	for (int g = 0; g < 2; g++) {
		for (size_t i = 0; s->text[g] && i < s->count[g]; i++)
			free(s->text[g][i]);
		free(s->text[g]);
		free(s->total[g]);
	}
	silence_free(s->silence);
	free(s->by_size);
	free(s->head);
	free(s->as_of);
	free(s->brief);
	free(s);
	return NULL;
}

static int compare_names(const struct om_subject_total *t, const char *first, const char *second)
{
	int r = strcmp(t->group == OM_GROUP_MODEL ? t->tenant : t->lineage, first);

	return r ?: strcmp(t->group == OM_GROUP_MODEL ? t->model : "", second);
}

size_t snapshot_at(const struct snapshot *s, enum om_group group, const char *first, const char *second)
{
	size_t low = 0, high = s->count[group];

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_names(&s->total[group][middle], first, second) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

const struct om_subject_total *snapshot_find(const struct snapshot *s, enum om_group group, const char *first,
					     const char *second)
{
	size_t i = snapshot_at(s, group, first, second);

	if (i == s->count[group] || compare_names(&s->total[group][i], first, second))
		return NULL;
	return &s->total[group][i];
}
