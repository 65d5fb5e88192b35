// SPDX-License-Identifier: Apache-2.0
/*
 * The loaded entities against every list. The lists are read once, as a stream;
 * words of the entities' names are an index, so that an entry is compared only
 * with entities with which it shares a word or the beginning of one.
 */
#include "owner_store_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"
#include "screening.h"

#define KEY_LENGTH 3 /* a slip in the first letters of every word is not found */

struct subject {
	struct name_words words;
	const char *name, *entity;
};

struct key {
	char text[KEY_LENGTH + 1];
	uint32_t subject;
};

struct screening {
	struct owner_store *s;
	struct owners *o;
	struct subject *subjects;
	size_t subject_count, subject_room;
	struct key *keys;
	size_t key_count, key_room;
	uint32_t *seen, stamp; /* which subjects this name was compared with */
	sqlite3_stmt *put;
	int least;
	uint64_t hits;
};

static void screening_done(struct screening *g)
{
	free(g->subjects);
	free(g->keys);
	free(g->seen);
	sqlite3_finalize(g->put);
	owners_free(g->o);
}

static int add_key(struct screening *g, const char *word, uint32_t subject)
{
	if (g->key_count == g->key_room) {
		size_t room = g->key_room ? g->key_room * 2 : 1024;
		struct key *more = reallocarray(g->keys, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		g->keys = more;
		g->key_room = room;
	}
	g->keys[g->key_count] = (struct key){ .subject = subject };
	memcpy(g->keys[g->key_count++].text, word, strnlen(word, KEY_LENGTH));
	return 0;
}

static int add_subject(struct screening *g, const char *entity, const char *name)
{
	struct subject *s;

	if (g->subject_count == g->subject_room) {
		size_t room = g->subject_room ? g->subject_room * 2 : 256;
		struct subject *more = reallocarray(g->subjects, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		g->subjects = more;
		g->subject_room = room;
	}
	s = &g->subjects[g->subject_count];
	name_split(name, &s->words);
	s->name = name;
	s->entity = entity;
	for (size_t i = 0; i < s->words.count; i++) {
		int r = add_key(g, s->words.text + s->words.at[i], (uint32_t)g->subject_count);

		if (r)
			return r;
	}
	g->subject_count++;
	return 0;
}

static int by_key(const void *a, const void *b)
{
	return strcmp(((const struct key *)a)->text, ((const struct key *)b)->text);
}

static int make_subjects(struct screening *g)
{
	int r = owner_store_load(g->s, NULL, &g->o);

	for (size_t i = 0; r == 0 && i < g->o->entities.count; i++) {
		const struct own_entity *e = &g->o->entities.item[i];

		for (size_t k = 0; k < e->records.count && r == 0; k++)
			if (k == 0 || strcmp(e->records.item[k].name, e->records.item[k - 1].name))
				r = add_subject(g, e->id, e->records.item[k].name);
	}
	if (r)
		return r;
	if (g->key_count)
		qsort(g->keys, g->key_count, sizeof(*g->keys), by_key);
	g->seen = calloc(g->subject_count + 1, sizeof(*g->seen));
	return g->seen ? 0 : -ENOMEM;
}

/* The id is of the two names too: when one changes, an earlier word no longer settles it. */
static void hit_id(const char *entity, const char *list, const char *entry, const char *own,
		   const char *listed, char ret[16])
{
	const char *parts[] = { entity, list, entry, own, listed };
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++)
		crypto_hash_sha256_update(&s, (const unsigned char *)parts[i], strlen(parts[i]) + 1);
	crypto_hash_sha256_final(&s, hash);
	sodium_bin2hex(ret, 13, hash, 6);
}

struct entry {
	const char *list, *id, *name;
	int64_t source;
};

static int put_hit(struct screening *g, const struct entry *e, const char *entity, const char *own,
		   const char *listed, int score, bool is_by_id)
{
	char id[16];

	hit_id(entity, e->list, e->id, own, listed, id);
	sqlite3_bind_text(g->put, 1, id, -1, SQLITE_STATIC);
	sqlite3_bind_text(g->put, 2, entity, -1, SQLITE_STATIC);
	sqlite3_bind_text(g->put, 3, e->list, -1, SQLITE_STATIC);
	sqlite3_bind_text(g->put, 4, e->id, -1, SQLITE_STATIC);
	sqlite3_bind_int64(g->put, 5, e->source);
	sqlite3_bind_text(g->put, 6, listed, -1, SQLITE_STATIC);
	sqlite3_bind_text(g->put, 7, own, -1, SQLITE_STATIC);
	sqlite3_bind_int(g->put, 8, score);
	sqlite3_bind_int(g->put, 9, is_by_id);
	g->hits++;
	return owner_store_run(g->s, g->put);
}

static int compare_word(struct screening *g, const struct entry *e, const char *listed,
			const struct name_words *w, const char *word)
{
	struct key wanted = { 0 }, *k, *end = g->keys + g->key_count;
	int r = 0;

	memcpy(wanted.text, word, strnlen(word, KEY_LENGTH));
	k = g->key_count ? bsearch(&wanted, g->keys, g->key_count, sizeof(*k), by_key) : NULL;
	while (k && k > g->keys && !strcmp(k[-1].text, wanted.text))
		k--;
	for (; k && k < end && !strcmp(k->text, wanted.text) && r == 0; k++) {
		const struct subject *s = &g->subjects[k->subject];
		int score;

		if (g->seen[k->subject] == g->stamp)
			continue;
		g->seen[k->subject] = g->stamp;
		score = name_score(&s->words, w);
		if (score >= g->least)
			r = put_hit(g, e, s->entity, s->name, listed, score, false);
	}
	return r;
}

static int compare_name(struct screening *g, const struct entry *e, const char *listed)
{
	struct name_words w;
	int r = 0;

	g->stamp++;
	name_split(listed, &w);
	for (size_t i = 0; i < w.count && r == 0; i++)
		r = compare_word(g, e, listed, &w, w.text + w.at[i]);
	return r;
}

/* An LEI among the entry's ids. */
static int compare_ids(struct screening *g, const struct entry *e, const char *ids)
{
	int r = 0;

	for (const char *s = ids; *s && r == 0;) {
		size_t len = strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
		char lei[21] = { 0 };
		size_t at;

		if (len == 20) {
			memcpy(lei, s, 20);
			at = lei_is_valid(lei) ? owners_find(g->o, lei) : OWNER_NOWHERE;
			if (at != OWNER_NOWHERE) {
				const struct own_entity *x = &g->o->entities.item[at];

				r = put_hit(g, e, x->id, x->records.count ? x->records.item[0].name : x->id,
					    e->name, 1000, true);
			}
		}
		s += len ?: 1;
	}
	return r;
}

/* Ships and aircraft are nobody's legal entity. */
static bool is_thing(const char *type)
{
	return !strcasecmp(type, "vessel") || !strcasecmp(type, "aircraft");
}

static int one_entry(struct screening *g, sqlite3_stmt *q)
{
	struct entry e = { .list = owner_store_text(q, 0),
			   .id = owner_store_text(q, 1),
			   .source = sqlite3_column_int64(q, 2),
			   .name = owner_store_text(q, 3) };
	_cleanup_free_ char *names = strdup(owner_store_text(q, 4));
	int r = names ? compare_name(g, &e, e.name) : -ENOMEM;
	char *rest = NULL;

	if (r == 0)
		for (char *n = strtok_r(names, "\n", &rest); n && r == 0; n = strtok_r(NULL, "\n", &rest))
			r = compare_name(g, &e, n);
	return r ?: compare_ids(g, &e, owner_store_text(q, 6));
}

static int all_entries(struct screening *g)
{
	/* Entries that are listed no more were so once, and the past is judged too. */
	_cleanup_stmt_ sqlite3_stmt *q = owner_store_prepare(
		g->s, "SELECT list, entity, source, name, alt_names, type, ids FROM listing e WHERE since ="
		      " (SELECT MAX(since) FROM listing n WHERE n.list = e.list AND n.entity = e.entity AND "
		      "n.source = e.source)");
	int step, r = 0;

	if (!q)
		return owner_store_errno(g->s) ?: -EIO;
	while ((step = sqlite3_step(q)) == SQLITE_ROW && r == 0)
		if (!is_thing(owner_store_text(q, 5)))
			r = one_entry(g, q);
	return r ?: step == SQLITE_DONE ? 0 : owner_store_errno(g->s) ?: -EIO;
}

int owner_store_screen(struct owner_store *s, int least_score, uint64_t *ret_hits)
{
	_cleanup_(screening_done) struct screening g = { .s = s, .least = least_score };
	int r = owner_store_exec(s, "BEGIN IMMEDIATE");

	if (r)
		return r;
	r = owner_store_exec(s, "DELETE FROM hit");
	g.put = owner_store_prepare(s, "INSERT INTO hit VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)"
				       " ON CONFLICT DO UPDATE SET score = MAX(score, excluded.score),"
				       " by_id = MAX(by_id, excluded.by_id)");
	if (r == 0 && !g.put)
		r = owner_store_errno(s) ?: -EIO;
	r = r ?: make_subjects(&g);
	r = r ?: all_entries(&g);
	r = r
		    ?: owner_store_exec(
			       s, "UPDATE meta SET value = (SELECT value FROM meta WHERE key = 'changed')"
				  " WHERE key = 'screened'");
	r = r ?: owner_store_exec(s, "COMMIT");
	if (r && !sqlite3_get_autocommit(s->db))
		owner_store_exec(s, "ROLLBACK");
	*ret_hits = (uint64_t)owner_store_count(s, "hit");
	return r;
}
