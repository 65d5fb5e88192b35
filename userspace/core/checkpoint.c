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

static int record(struct om_ledger *l, const char *note, uint64_t now_ns)
{
	_cleanup_(json_decrefp) json_t *act =
		json_pack("{s:i,s:s,s:s}", "v", 1, "act", "checkpoint", "checkpoint", note);
	_cleanup_free_ char *text = act ? json_dumps(act, JSON_COMPACT) : NULL;

	return text ? om_ledger_append(l, OM_ENTRY_ACT, NULL, text, strlen(text), now_ns, NULL) : -ENOMEM;
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
	r = om_signer_checkpoint(s, &reader, om_tlog_tree_size(t), now_ns, &note, err);
	if (r)
		return r;
	r = record(l, note, now_ns);
	if (r && r != -EROFS)
		return error_set(err, r, "the checkpoint cannot be recorded: %s", strerror(-r));
	if (ret_tree)
		*ret_tree = TAKE_PTR(t);
	*ret_note = TAKE_PTR(note);
	return r == -EROFS;
}

char *om_checkpoint_event(const char *text, const char *source, uint64_t now_ns)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	unsigned char hash[crypto_hash_sha256_BYTES];
	char time[OM_TIME_STRLEN], size[24], id[OM_ID_STRLEN], root[2 * OM_HASH_SIZE + 1];
	struct om_checkpoint c;
	struct om_note note;

	if (om_note_parse(text, strlen(text), &note) || om_checkpoint_parse(note.text, note.text_len, &c))
		return NULL;
	/* Of the text alone: signed anew by another key, it is still the same head. */
	crypto_hash_sha256(hash, (const unsigned char *)note.text, note.text_len);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)c.size);
	for (int i = 0; i < OM_HASH_SIZE; i++)
		snprintf(root + 2 * i, 3, "%02x", c.root[i]);
	o = json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:{s:s,s:s,s:s,s:s}}", "specversion", "1.0", "id",
		      om_id_format((const struct om_id *)hash, id), "source", source, "type",
		      "opmeter.checkpoint.v1", "subject", c.origin, "time", om_time_format(now_ns, time),
		      "datacontenttype", "application/json", "data", "origin", c.origin, "size", size, "root",
		      root, "checkpoint", text);
	return o ? json_dumps(o, JSON_COMPACT) : NULL;
}
