// SPDX-License-Identifier: Apache-2.0
#include "log_heads.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"

#define SOURCE_SIZE 64
#define TEXT_MAX 4096 /* of a note, with its extensions */

struct kept_head {
	uint64_t size;
	int64_t offset;
	const struct om_note_key *key;
	char *text; /* of a note with more than three lines; NULL: it is made from size and root */
	uint8_t root[OM_HASH_SIZE];
	uint8_t signature[OM_NOTE_SIGNATURE_SIZE];
};

struct one_log {
	const struct om_note_key *keys; /* that have its origin as their name */
	size_t key_count;
	struct kept_head *kept; /* by size */
	size_t count, room;
	uint64_t floor; /* heads up to that size may have come and be forgotten */
	uint64_t heard_ns;
	uint64_t answers[OM_HEAD_END];
	struct om_head_pair *first[OM_HEAD_FORK + 1];
	char source[SOURCE_SIZE];
};

struct om_log_heads {
	struct om_note_key *keys;
	struct one_log *logs;
	size_t key_count, log_count;
};

static void free_pair(struct om_head_pair *p)
{
	if (!p)
		return;
	free(p->note[0]);
	free(p->note[1]);
	free(p);
}

struct om_log_heads *om_log_heads_free(struct om_log_heads *h)
{
	if (!h)
		return NULL;
	for (size_t i = 0; i < h->log_count; i++) {
		struct one_log *l = &h->logs[i];

		for (size_t k = 0; k < l->count; k++)
			free(l->kept[k].text);
		free(l->kept);
		for (size_t k = 0; k < ARRAY_SIZE(l->first); k++)
			free_pair(l->first[k]);
	}
	free(h->logs);
	free(h->keys);
	free(h);
	return NULL;
}

/* --- keys --- */

static int add_key(struct om_log_heads *h, size_t *room, const struct om_note_key *key)
{
	if (h->key_count == *room) {
		size_t more = *room ? 2 * *room : 16;
		struct om_note_key *keys = reallocarray(h->keys, more, sizeof(*keys));

		if (!keys)
			return -ENOMEM;
		h->keys = keys;
		*room = more;
	}
	h->keys[h->key_count++] = *key;
	return 0;
}

static int read_keys(struct om_log_heads *h, const char *text, size_t len, struct error_text *err)
{
	const char *at = text, *end = text + len;
	size_t room = 0;

	for (size_t line = 1; at < end; line++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at)) ?: end;
		struct om_note_key key;

		if (stop > at && *at != '#') {
			if (h->key_count == OM_HEADS_KEYS_MAX)
				return error_set(err, -EINVAL, "line %zu: more than %d keys", line,
						 OM_HEADS_KEYS_MAX);
			if (om_note_key_parse(at, (size_t)(stop - at), &key) || key.has_secret)
				return error_set(err, -EINVAL,
						 "line %zu: no public key of a log, as `opmeter evidence "
						 "keygen` prints it",
						 line);
			if (add_key(h, &room, &key))
				return -ENOMEM;
		}
		at = stop + 1;
	}
	return h->key_count ? 0 : error_set(err, -EINVAL, "no key is in it");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct om_note_key *)a)->name, ((const struct om_note_key *)b)->name);
}

static int make_logs(struct om_log_heads *h)
{
	qsort(h->keys, h->key_count, sizeof(*h->keys), by_name);
	h->logs = calloc(h->key_count, sizeof(*h->logs));
	if (!h->logs)
		return -ENOMEM;
	for (size_t i = 0; i < h->key_count; i++) {
		if (!h->log_count || by_name(h->logs[h->log_count - 1].keys, &h->keys[i]))
			h->logs[h->log_count++].keys = &h->keys[i];
		h->logs[h->log_count - 1].key_count++;
	}
	return 0;
}

int om_log_heads_new(const char *keys, size_t len, struct om_log_heads **ret, struct error_text *err)
{
	_cleanup_(om_log_heads_freep) struct om_log_heads *h = calloc(1, sizeof(*h));
	int r = h ? read_keys(h, keys, len, err) : -ENOMEM;

	r = r ?: make_logs(h);
	if (r == 0)
		*ret = TAKE_PTR(h);
	return r;
}

size_t om_log_heads_logs(const struct om_log_heads *h)
{
	return h->log_count;
}

size_t om_log_heads_heard(const struct om_log_heads *h)
{
	size_t n = 0;

	for (size_t i = 0; i < h->log_count; i++)
		n += h->logs[i].count > 0;
	return n;
}

static int compare_origin(const void *origin, const void *l)
{
	return strcmp(origin, ((const struct one_log *)l)->keys->name);
}

static struct one_log *find_log(const struct om_log_heads *h, const char *origin)
{
	return bsearch(origin, h->logs, h->log_count, sizeof(*h->logs), compare_origin);
}

/* --- heads --- */

/* Where the size is, or would be. */
static size_t place(const struct one_log *l, uint64_t size)
{
	size_t at = l->count;

	/* Nearly always behind the last. */
	while (at && l->kept[at - 1].size >= size)
		at--;
	return at;
}

static const char *text_of(const struct one_log *l, const struct kept_head *k,
			   char buf[OM_CHECKPOINT_TEXT_MAX])
{
	struct om_checkpoint c = { .size = k->size };

	if (k->text)
		return k->text;
	strcpy(c.origin, l->keys->name);
	memcpy(c.root, k->root, sizeof(c.root));
	return om_checkpoint_format(&c, buf);
}

static char *note_of(const struct one_log *l, const struct kept_head *k)
{
	char buf[OM_CHECKPOINT_TEXT_MAX];
	const char *text = text_of(l, k, buf);

	return om_note_compose(text, strlen(text), k->key, k->signature);
}

/* What is verified of a record: what is kept of it. -ENOMEM. */
static int make_head(const struct one_log *l, const struct om_note *note, const struct om_checkpoint *c,
		     const struct om_note_key *key, int64_t offset, struct kept_head *ret)
{
	struct kept_head k = { .size = c->size, .offset = offset, .key = key };
	char buf[OM_CHECKPOINT_TEXT_MAX];

	memcpy(k.root, c->root, sizeof(k.root));
	for (size_t i = 0; i < note->signatures; i++) {
		if (note->signature[i].id != key->id || strcmp(note->signature[i].name, key->name))
			continue;
		memcpy(k.signature, note->signature[i].signature, sizeof(k.signature));
		break; /* the one that was checked */
	}
	text_of(l, &k, buf);
	if (strlen(buf) != note->text_len || memcmp(buf, note->text, note->text_len)) {
		k.text = strndup(note->text, note->text_len);
		if (!k.text)
			return -ENOMEM;
	}
	*ret = k;
	return 0;
}

/* The first of its kind is what is shown. */
static int show(struct one_log *l, enum om_head_answer what, const struct kept_head *before,
		const struct kept_head *now)
{
	struct om_head_pair *p;

	if (l->first[what])
		return 0;
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	*p = (struct om_head_pair){ { before->size, now->size },
				    { note_of(l, before), note_of(l, now) },
				    { before->offset, now->offset } };
	if (!p->note[0] || !p->note[1]) {
		free_pair(p);
		return -ENOMEM;
	}
	l->first[what] = p;
	return 0;
}

/* Takes k->text over, also on failure. */
static int keep(struct one_log *l, size_t at, const struct kept_head *k)
{
	if (l->count == OM_HEADS_KEPT && at == 0) {
		l->floor = k->size;
		free(k->text);
		return 0;
	}
	if (l->count == OM_HEADS_KEPT) {
		if (l->kept[0].size > l->floor)
			l->floor = l->kept[0].size;
		free(l->kept[0].text);
		l->count--;
		at--;
		memmove(l->kept, l->kept + 1, l->count * sizeof(*l->kept));
	}
	if (l->count == l->room) {
		size_t room = l->room ? 2 * l->room : 1;
		struct kept_head *more = reallocarray(l->kept, room, sizeof(*more));

		if (!more) {
			free(k->text);
			return -ENOMEM;
		}
		l->kept = more;
		l->room = room;
	}
	memmove(l->kept + at + 1, l->kept + at, (l->count - at) * sizeof(*l->kept));
	l->kept[at] = *k;
	/* Whoever begins to read in the middle does not know what came before. */
	if (l->count++ == 0)
		l->floor = k->size;
	return 0;
}

/* A head that the log's key signed and that is not known. */
static int take_head(struct one_log *l, size_t at, const struct kept_head *k)
{
	enum om_head_answer what = OM_HEAD_NEW;
	int r = 0;

	if (at < l->count && l->kept[at].size == k->size)
		what = OM_HEAD_FORK;
	else if (l->count && k->size <= l->floor)
		what = OM_HEAD_OLD;
	else if (at < l->count)
		what = OM_HEAD_BACK;
	if (what == OM_HEAD_FORK)
		r = show(l, what, &l->kept[at], k);
	else if (what != OM_HEAD_NEW)
		r = show(l, what, &l->kept[l->count - 1], k);
	if (r || what == OM_HEAD_FORK || what == OM_HEAD_OLD)
		free(k->text);
	else
		r = keep(l, at, k);
	return r ?: (int)what;
}

static int check_and_take(struct one_log *l, const struct om_note *note, const struct om_checkpoint *c,
			  const struct om_head_record *record, const char *source)
{
	const struct om_note_key *key;
	struct kept_head k;
	size_t at = place(l, c->size);
	int r;

	/* A copy of what is known does nothing, whoever sent it: it is not verified again. */
	if (at < l->count && l->kept[at].size == c->size && !memcmp(l->kept[at].root, c->root, OM_HASH_SIZE))
		return OM_HEAD_KNOWN;
	r = om_note_check_origin(note, c->origin, l->keys, l->key_count, &key);
	if (r)
		return r == -ENOKEY ? OM_HEAD_STRANGER : OM_HEAD_FORGED;
	r = make_head(l, note, c, key, record->offset, &k);
	r = r ?: take_head(l, at, &k);
	if (r == OM_HEAD_NEW && strlen(source) < sizeof(l->source))
		strcpy(l->source, source);
	/* An old one may have been sent by anybody. */
	if (r >= 0 && r != OM_HEAD_OLD)
		l->heard_ns = record->time_ns;
	return r;
}

int om_log_heads_take(struct om_log_heads *h, const struct om_head_record *record)
{
	_cleanup_(json_decrefp) json_t *event = NULL;
	struct om_checkpoint c;
	struct om_note note;
	struct one_log *l;
	int r;

	if (!record->value || record->len > OM_HEADS_RECORD_MAX)
		return OM_HEAD_DAMAGED;
	event = json_loadb(record->value, record->len, JSON_REJECT_DUPLICATES, NULL);
	if (om_checkpoint_read_event(event, &note, &c) || note.text_len > TEXT_MAX || !record->key ||
	    record->key_len != strlen(c.origin) || memcmp(record->key, c.origin, record->key_len))
		return OM_HEAD_DAMAGED;
	l = find_log(h, c.origin);
	if (!l)
		return OM_HEAD_STRANGER;
	r = check_and_take(l, &note, &c, record, json_string_value(json_object_get(event, "source")) ?: "");
	if (r >= 0)
		l->answers[r]++;
	return r;
}

int om_log_heads_each(const struct om_log_heads *h, int (*fn)(void *ctx, const struct om_log_state *s),
		      void *ctx)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < h->log_count; i++) {
		const struct one_log *l = &h->logs[i];
		struct om_log_state s = { .origin = l->keys->name,
					  .source = l->source,
					  .size = l->count ? l->kept[l->count - 1].size : 0,
					  .heard_ns = l->heard_ns };

		memcpy(s.answers, l->answers, sizeof(s.answers));
		for (size_t k = 0; k < ARRAY_SIZE(l->first); k++)
			s.first[k] = l->first[k];
		r = fn(ctx, &s);
	}
	return r;
}
