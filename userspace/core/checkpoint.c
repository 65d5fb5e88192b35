// SPDX-License-Identifier: Apache-2.0
#include "checkpoint.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <sodium/crypto_hash_sha256.h>

#include "assignment.h"
#include "evidence_key.h"
#include "ledger_evidence.h"

static const char *note_of(const json_t *act)
{
	const char *what = json_string_value(json_object_get(act, "act"));

	return what && !strcmp(what, "checkpoint") ? json_string_value(json_object_get(act, "checkpoint"))
						   : NULL;
}

struct search {
	const char *origin;
	uint64_t max;
	char *note;
};

static int look(void *ctx, const struct om_entry *e)
{
	struct search *s = ctx;
	_cleanup_(json_decrefp) json_t *act = NULL;
	struct om_checkpoint c;
	struct om_note note;
	const char *text;

	if (e->kind != OM_ENTRY_ACT || !e->payload)
		return 0;
	act = json_loadb(e->payload, e->len, 0, NULL);
	text = note_of(act);
	if (!text || om_note_parse(text, strlen(text), &note) ||
	    om_checkpoint_parse(note.text, note.text_len, &c) || c.size > s->max ||
	    (s->origin && strcmp(c.origin, s->origin)))
		return 0;
	free(s->note);
	s->note = strdup(text);
	return s->note ? 0 : -ENOMEM;
}

int om_checkpoint_find(struct om_ledger *l, const char *origin, uint64_t max, char **ret_note)
{
	struct search s = { .origin = origin, .max = max };
	int r = om_ledger_each_entry(l, 0, look, &s);

	if (r)
		free(s.note);
	else
		*ret_note = s.note;
	return r;
}

/* Of the text alone: signed anew by another key, it is still the same head. */
static void head_id(const struct om_note *note, char out[OM_ID_STRLEN])
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, (const unsigned char *)note->text, note->text_len);
	om_id_format((const struct om_id *)hash, out);
}

/* Once for each head. 0; 1: it was recorded before. */
static int record(struct om_ledger *l, const char *text, uint64_t now_ns, uint64_t *ret_index)
{
	_cleanup_(json_decrefp) json_t *act =
		json_pack("{s:i,s:s,s:s}", "v", 1, "act", "checkpoint", "checkpoint", text);
	_cleanup_free_ char *payload = act ? json_dumps(act, JSON_COMPACT) : NULL;
	char unique[sizeof(OM_CHECKPOINT_UNIQUE) + OM_ID_STRLEN], id[OM_ID_STRLEN];
	struct om_note note;
	int r = om_note_parse(text, strlen(text), &note);

	if (r || !payload)
		return r ?: -ENOMEM;
	head_id(&note, id);
	snprintf(unique, sizeof(unique), OM_CHECKPOINT_UNIQUE "%s", id);
	return om_ledger_append(l, OM_ENTRY_ACT, unique, payload, strlen(payload), now_ns, ret_index);
}

static int tree_root(void *ctx, uint64_t size, uint8_t ret[OM_HASH_SIZE])
{
	return om_tlog_root(ctx, size, ret);
}

int om_checkpoint_make(struct om_ledger *l, const char *keys, uint64_t now_ns, struct om_tlog_tree **ret_tree,
		       char **ret_note, struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	_cleanup_(om_tlog_tree_freep) struct om_tlog_tree *t = NULL;
	_cleanup_free_ char *note = NULL;
	struct om_tlog_reader reader;
	int r = om_ledger_tree(l, &t);

	r = r ?: om_signer_open(keys, &s, err);
	if (r)
		return r;
	reader = om_tlog_tree_reader(t);
	r = om_signer_checkpoint(s, &(struct om_roots){ tree_root, &reader }, om_tlog_tree_size(t), now_ns,
				 &note, err);
	if (r)
		return r;
	r = record(l, note, now_ns, NULL);
	if (r < 0 && r != -EROFS)
		return error_set(err, r, "the checkpoint cannot be recorded: %s", strerror(-r));
	if (ret_tree)
		*ret_tree = TAKE_PTR(t);
	*ret_note = TAKE_PTR(note);
	return r == -EROFS;
}

static int sign_and_record(struct om_signer *s, const struct om_roots *roots, struct om_ledger_growth *g,
			   uint64_t size, uint64_t now_ns, struct om_checkpoint *ret, struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	struct om_note note;
	int r = om_signer_checkpoint(s, roots, size, now_ns, &text, err);

	r = r ?: om_note_parse(text, strlen(text), &note);
	r = r ?: om_checkpoint_parse(note.text, note.text_len, ret);
	if (r)
		return r;
	r = record(g->ledger, text, now_ns, NULL);
	return r < 0 ? error_set(err, r, "the checkpoint cannot be recorded: %s", strerror(-r)) : 0;
}

int om_checkpoint_advance(struct om_ledger_growth *g, const char *keys, uint64_t now_ns,
			  struct om_checkpoint *ret, struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	_cleanup_free_ char *last = NULL;
	struct om_roots roots = { om_ledger_growth_root, g };
	struct om_tree_head head;
	uint64_t index = UINT64_MAX;
	int r = om_signer_try(keys, &s, err);

	r = r ?: om_ledger_head(g->ledger, &head);
	r = r ?: om_signer_last(s, &roots, head.size, ret, &last, err);
	if (r)
		return r;
	if (ret->size) {
		r = record(g->ledger, last, now_ns, &index);
		if (r < 0)
			return error_set(err, r, "the checkpoint cannot be recorded: %s", strerror(-r));
		r = om_ledger_head(g->ledger, &head);
		if (r)
			return r;
	}
	/* Its own record alone is no news. */
	if (head.size == ret->size || (head.size == ret->size + 1 && index == ret->size))
		return 1;
	return sign_and_record(s, &roots, g, head.size, now_ns, ret, err);
}

char *om_checkpoint_of_act(const void *payload, size_t len, char **ret_origin)
{
	_cleanup_(json_decrefp) json_t *act = json_loadb(payload, len, 0, NULL);
	const char *text = note_of(act);
	struct om_checkpoint c;
	struct om_note note;

	if (!text || om_note_parse(text, strlen(text), &note) ||
	    om_checkpoint_parse(note.text, note.text_len, &c))
		return NULL;
	if (ret_origin && !(*ret_origin = strdup(c.origin)))
		return NULL;
	return strdup(text);
}

char *om_checkpoint_event(const char *text, const char *source, uint64_t now_ns)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	char time[OM_TIME_STRLEN], size[24], id[OM_ID_STRLEN], root[2 * OM_HASH_SIZE + 1];
	struct om_checkpoint c;
	struct om_note note;

	if (om_note_parse(text, strlen(text), &note) || om_checkpoint_parse(note.text, note.text_len, &c))
		return NULL;
	head_id(&note, id);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)c.size);
	for (int i = 0; i < OM_HASH_SIZE; i++)
		snprintf(root + 2 * i, 3, "%02x", c.root[i]);
	o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:{s:s,s:s,s:s,s:s}}", "specversion", "1.0", "id", id,
		      "source", source, "type", "opmeter.checkpoint.v1", "subject", c.origin, "time",
		      om_time_format(now_ns, time), "datacontenttype", "application/json", "data", "origin",
		      c.origin, "size", size, "root", root, "checkpoint", text);
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}
