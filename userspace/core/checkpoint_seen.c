// SPDX-License-Identifier: Apache-2.0
#include "checkpoint_seen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"
#include "alert.h"
#include "hex.h"

void om_seen_done(struct om_seen *s)
{
	free(s->item);
	*s = (struct om_seen){ .item = NULL };
}

static int compare(const struct om_checkpoint *a, const struct om_checkpoint *b)
{
	int c = strcmp(a->origin, b->origin);

	return c ? c : a->size < b->size ? -1 : a->size > b->size;
}

/* Where the head is, or would be. */
static size_t place(const struct om_seen *s, const struct om_checkpoint *c)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (compare(&s->item[mid], c) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int fork_found(const struct om_checkpoint *a, const struct om_checkpoint *b, struct error_text *err)
{
	char x[2 * OM_HASH_SIZE + 1], y[2 * OM_HASH_SIZE + 1];

	om_hex(a->root, OM_HASH_SIZE, x);
	om_hex(b->root, OM_HASH_SIZE, y);
	return error_set(err, -EUCLEAN, "FORK: %s with %llu leaves has root %.16s... here and %.16s... there",
			 a->origin, (unsigned long long)a->size, x, y);
}

static int add(struct om_seen *s, const struct om_checkpoint *c)
{
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		struct om_checkpoint *more = reallocarray(s->item, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		s->item = more;
		s->room = room;
	}
	s->item[s->count++] = *c;
	return 0;
}

static int by_place(const void *a, const void *b)
{
	return compare(a, b);
}

/* In order, each head once. */
static int settle(struct om_seen *s, struct error_text *err)
{
	size_t kept = 0;

	if (s->count)
		qsort(s->item, s->count, sizeof(*s->item), by_place);
	for (size_t i = 0; i < s->count; i++) {
		if (kept && compare(&s->item[kept - 1], &s->item[i]) == 0) {
			if (memcmp(s->item[kept - 1].root, s->item[i].root, OM_HASH_SIZE))
				return fork_found(&s->item[kept - 1], &s->item[i], err);
			continue;
		}
		s->item[kept++] = s->item[i];
	}
	s->count = kept;
	return 0;
}

/* Kept if one of the keys signed it; those by others are counted. */
static int take_note(struct om_seen *s, const struct om_note *note, const struct om_checkpoint *c,
		     const struct om_note_key *keys, size_t n)
{
	int r = om_note_check_origin(note, c->origin, keys, n, NULL);

	s->read++;
	s->by_others += r == -ENOKEY;
	return r == -ENOKEY ? 0 : r ?: add(s, c);
}

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key)) ?: "";
}

/* What the event says beside the note is for those who do not parse notes: it must be the same. */
static bool says_the_same(const json_t *data, const struct om_checkpoint *c)
{
	char size[24], root[2 * OM_HASH_SIZE + 1];

	snprintf(size, sizeof(size), "%llu", (unsigned long long)c->size);
	om_hex(c->root, OM_HASH_SIZE, root);
	return !strcmp(text_of(data, "origin"), c->origin) && !strcmp(text_of(data, "size"), size) &&
	       !strcmp(text_of(data, "root"), root);
}

int om_checkpoint_read_event(const struct json_t *event, struct om_note *ret_note, struct om_checkpoint *ret)
{
	const json_t *data = json_object_get(event, "data");
	const char *text = text_of(data, "checkpoint");
	int r;

	if (strcmp(text_of(event, "type"), "opmeter.checkpoint.v1"))
		return -EBADMSG;
	r = om_note_parse(text, strlen(text), ret_note);
	r = r ?: om_checkpoint_parse(ret_note->text, ret_note->text_len, ret);
	return r ?: says_the_same(data, ret) ? 0 : -EBADMSG;
}

static int read_note(struct om_seen *s, const char *text, const struct om_note_key *keys, size_t n)
{
	struct om_checkpoint c;
	struct om_note note;
	int r = om_note_parse(text, strlen(text), &note);

	r = r ?: om_checkpoint_parse(note.text, note.text_len, &c);
	return r ?: take_note(s, &note, &c, keys, n);
}

/* What the fleet found out about a log has the notes that show it. */
static int read_alert(struct om_seen *s, const json_t *event, const struct om_note_key *keys, size_t n)
{
	const json_t *notes = json_object_get(json_object_get(event, "data"), "checkpoints"), *one;
	size_t i;
	int r = 0;

	s->passed += !json_is_array(notes);
	json_array_foreach(notes, i, one)
	{
		r = r ?: read_note(s, json_string_value(one) ?: "", keys, n);
	}
	return r;
}

static int read_line(struct om_seen *s, const char *line, size_t len, const struct om_note_key *keys,
		     size_t n)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *event = json_object_get(o, "event") ?: o;
	struct om_checkpoint c;
	struct om_note note;
	int r;

	if (!json_is_object(o))
		return -EBADMSG;
	if (!strcmp(text_of(event, "type"), alert_type_name(ALERT_DATA)))
		return read_alert(s, event, keys, n);
	if (strcmp(text_of(event, "type"), "opmeter.checkpoint.v1")) {
		s->passed++;
		return 0;
	}
	r = om_checkpoint_read_event(event, &note, &c);
	return r ?: take_note(s, &note, &c, keys, n);
}

/* Anybody who may write to the topic can put a damaged record there: it is counted and told, and hides no
 * fork that the others show. */
static int read_lines(struct om_seen *s, const char *data, size_t len, const struct om_note_key *keys,
		      size_t n)
{
	const char *at = data, *end = data + len;

	for (size_t line = 1; at < end; line++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at)) ?: end;
		int r = stop > at ? read_line(s, at, (size_t)(stop - at), keys, n) : 0;

		if (r && r != -EBADMSG)
			return r;
		if (r && s->damaged++ == 0)
			s->first_damaged = line;
		at = stop + 1;
	}
	return 0;
}

int om_seen_read(struct om_seen *s, const char *data, size_t len, const struct om_note_key *keys, size_t n,
		 struct error_text *err)
{
	struct om_checkpoint c;
	struct om_note note;
	int r;

	if (len == 0)
		return error_set(err, -EBADMSG, "empty");
	if (*data == '{') {
		r = read_lines(s, data, len, keys, n);
		if (r == 0 && s->damaged && s->count == 0)
			return error_set(
				err, -EBADMSG,
				"line %zu: no event, or its checkpoint is damaged; and no head is left",
				s->first_damaged);
	} else {
		r = om_note_parse(data, len, &note);
		r = r ?: om_checkpoint_parse(note.text, note.text_len, &c);
		r = r ?: take_note(s, &note, &c, keys, n);
		if (r == -EBADMSG)
			return error_set(err, r,
					 "neither a checkpoint nor lines of JSON, or its signature is wrong");
	}
	if (r)
		return error_set(err, r, "%s", strerror(-r));
	return settle(s, err);
}

int om_seen_compare(const struct om_seen *s, const struct om_checkpoint *c, enum om_seen_answer *ret,
		    struct error_text *err)
{
	size_t at = place(s, c);

	if (at < s->count && compare(&s->item[at], c) == 0) {
		*ret = OM_SEEN_SAME;
		return memcmp(s->item[at].root, c->root, OM_HASH_SIZE) ? fork_found(c, &s->item[at], err) : 0;
	}
	*ret = (at < s->count && !strcmp(s->item[at].origin, c->origin)) ||
			       (at > 0 && !strcmp(s->item[at - 1].origin, c->origin))
		       ? OM_SEEN_OTHER_SIZE
		       : OM_SEEN_OTHER_ORIGIN;
	return 0;
}

int om_seen_compare_log(const struct om_seen *s, const char *origin, struct om_ledger_growth *g,
			uint64_t *ret_n, struct error_text *err)
{
	uint8_t root[OM_HASH_SIZE];

	*ret_n = 0;
	for (size_t i = 0; i < s->count; i++) {
		const struct om_checkpoint *c = &s->item[i];
		unsigned long long size = c->size;
		int r;

		if (strcmp(c->origin, origin))
			continue;
		r = om_ledger_growth_root(g, c->size, root);
		if (r == -ESTALE)
			return error_set(
				err, r,
				"a head of %llu leaves was seen of %s, and the log has fewer: it was cut, or "
				"is an old copy",
				size, origin);
		if (r)
			return r;
		if (memcmp(root, c->root, sizeof(root)))
			return error_set(
				err, -EUCLEAN,
				"FORK: the log's first %llu leaves are not those that were seen of %s: it "
				"was rewritten, or is another log",
				size, origin);
		++*ret_n;
	}
	return 0;
}
