// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "assignment.h"
#include "bundle_internal.h"
#include "checkpoint.h"
#include "evidence_key.h"
#include "hex.h"
#include "ledger_evidence.h"

struct making {
	const char *id;
	struct om_tlog_reader reader;
	uint64_t size;
	FILE *lines;
	struct bundle_entry *entry;
	size_t count;
};

static json_t *act_of(const struct making *m, const struct om_leaf_entry *e)
{
	json_t *act;

	if (!e->entry.payload || e->entry.index >= m->size ||
	    (e->entry.kind != OM_ENTRY_CASE && e->entry.kind != OM_ENTRY_ACT) ||
	    !memmem(e->entry.payload, e->entry.len, m->id, strlen(m->id)))
		return NULL;
	act = json_loadb(e->entry.payload, e->entry.len, 0, NULL);
	if (!strcmp(json_text(act, "case"), m->id) && json_object_get(act, "n"))
		return act;
	json_decref(act);
	return NULL;
}

static int put_line(struct making *m, const struct om_leaf_entry *e)
{
	char index[24], time[OM_TIME_STRLEN], leaf[2 * OM_LEAF_SIZE + 1], salt[2 * OM_SALT_SIZE + 1];
	_cleanup_free_ char *payload = om_base64(e->entry.payload, e->entry.len), *text = NULL;
	_cleanup_(json_decrefp) json_t *o = NULL;
	struct om_tlog_proof proof;
	int r = om_tlog_prove_inclusion(&m->reader, m->size, e->entry.index, &proof);

	if (r)
		return r;
	snprintf(index, sizeof(index), "%llu", (unsigned long long)e->entry.index);
	o = json_pack("{s:s,s:i,s:s,s:s,s:s,s:s?,s:o}", "index", index, "kind", e->entry.kind, "time",
		      om_time_format(e->entry.time_ns, time), "leaf", om_hex(e->leaf, OM_LEAF_SIZE, leaf),
		      "salt", om_hex(e->salt, OM_SALT_SIZE, salt), "payload", payload, "proof",
		      om_proof_json(&proof));
	text = o && payload ? json_dumps(o, JSON_COMPACT) : NULL;
	return text && fprintf(m->lines, "%s\n", text) > 0 ? 0 : -ENOMEM;
}

static int take(void *ctx, const struct om_leaf_entry *e)
{
	struct making *m = ctx;
	json_t *act = act_of(m, e);
	struct bundle_entry *bigger;

	if (!act)
		return 0;
	bigger = reallocarray(m->entry, m->count + 1, sizeof(*bigger));
	if (!bigger) {
		json_decref(act);
		return -ENOMEM;
	}
	m->entry = bigger;
	m->entry[m->count++] = (struct bundle_entry){ .index = e->entry.index, .act = act };
	return put_line(m, e);
}

static void making_done(struct making *m)
{
	for (size_t i = 0; i < m->count; i++)
		json_decref(m->entry[i].act);
	free(m->entry);
}

static int add_text(struct om_tar_files *files, const char *name, const char *text)
{
	return om_tar_add(files, name, strdup(text), strlen(text));
}

static int add_consistency(struct making *m, const char *previous, struct om_tar_files *files)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	struct om_tlog_proof proof;
	struct om_checkpoint c;
	struct om_note note;
	char from[24], to[24], *text;
	int r = om_note_parse(previous, strlen(previous), &note);

	r = r ?: om_checkpoint_parse(note.text, note.text_len, &c);
	r = r ?: om_tlog_prove_consistency(&m->reader, c.size, m->size, &proof);
	r = r ?: add_text(files, BUNDLE_PREVIOUS, previous);
	if (r)
		return r;
	snprintf(from, sizeof(from), "%llu", (unsigned long long)c.size);
	snprintf(to, sizeof(to), "%llu", (unsigned long long)m->size);
	o = json_pack("{s:s,s:s,s:o}", "from", from, "to", to, "proof", om_proof_json(&proof));
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	return text ? om_tar_add(files, BUNDLE_CONSISTENCY, text, strlen(text)) : -ENOMEM;
}

static int add_entries(struct making *m, struct om_ledger *l, struct om_tar_files *files)
{
	char *text = NULL;
	size_t len;
	int r;

	m->lines = open_memstream(&text, &len);
	if (!m->lines)
		return -ENOMEM;
	r = om_ledger_each_leaf(l, 0, take, m);
	if (fclose(m->lines) && r == 0)
		r = -ENOMEM;
	if (r)
		free(text);
	return r ?: om_tar_add(files, BUNDLE_ENTRIES, text, len);
}

/* The manifest goes first: who lists the tar sees it first. */
static int seal(struct om_tar_files *files, const char *case_id, const char *keys,
		const struct om_actor *actor, uint8_t **ret, size_t *ret_len, struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	struct bundle_facts facts = { 0 };
	_cleanup_free_ char *text = NULL;
	struct om_tar_file manifest;
	char *note = NULL;
	int r = om_signer_open(keys, &s, err);

	if (r)
		return r;
	snprintf(facts.origin, sizeof(facts.origin), "%s", om_signer_origin(s));
	snprintf(facts.case_id, sizeof(facts.case_id), "%s", case_id);
	snprintf(facts.by, sizeof(facts.by), "%s", actor->by);
	om_time_format(actor->now_ns, facts.made);
	facts.signers = om_signer_keys(s, actor->now_ns, facts.signer);
	text = bundle_manifest(&facts, files);
	r = text ? om_signer_text(s, text, actor->now_ns, &note) : -ENOMEM;
	r = r ?: om_tar_add(files, BUNDLE_MANIFEST, note, strlen(note));
	if (r)
		return r;
	manifest = files->file[files->count - 1];
	memmove(files->file + 1, files->file, (files->count - 1) * sizeof(manifest));
	files->file[0] = manifest;
	return om_tar_write(files, ret, ret_len);
}

int bundle_seal(struct om_ledger *l, const struct om_case *c, const char *keys, const struct om_actor *actor,
		uint8_t **ret, size_t *ret_len, struct error_text *err)
{
	_cleanup_(om_tar_files_done) struct om_tar_files files = { .owns = 1 };
	_cleanup_(om_tlog_tree_freep) struct om_tlog_tree *tree = NULL;
	_cleanup_(making_done) struct making m = { .id = om_case_id(c) };
	_cleanup_free_ char *previous = NULL, *note = NULL;
	struct om_checkpoint head;
	struct om_note n;
	int r;

	if (om_case_state(c) == OM_CASE_ERASED)
		return error_set(err, -EINVAL, "%s is erased: nothing is left to seal", m.id);
	r = om_checkpoint_make(l, keys, actor->now_ns, &tree, &note, err);
	if (r)
		return r;
	m.size = om_tlog_tree_size(tree);
	m.reader = om_tlog_tree_reader(tree);
	r = om_note_parse(note, strlen(note), &n);
	r = r ?: om_checkpoint_parse(n.text, n.text_len, &head);
	/* Before this one, and of its origin: keys of another may have signed the log too. */
	r = r ?: om_checkpoint_find(l, head.origin, m.size - 1, &previous);
	r = r ?: add_text(&files, BUNDLE_CHECKPOINT, note);
	if (r == 0 && previous)
		r = add_consistency(&m, previous, &files);
	r = r ?: add_entries(&m, l, &files);
	r = r ?: bundle_derive(m.id, BUNDLE_RECORD, m.entry, m.count, &files, NULL);
	r = r ?: seal(&files, m.id, keys, actor, ret, ret_len, err);
	return r ? error_set(err, r, "%s: cannot be sealed: %s", m.id, strerror(-r)) : 0;
}

/* As whoever gets it will. */
static int check_own(const char *id, const char *keys, uint64_t now_ns, const uint8_t *data, size_t len,
		     struct error_text *err)
{
	_cleanup_free_ struct om_bundle_report *report = calloc(1, sizeof(*report));
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	struct om_note_key key[OM_SIGNER_KEYS_MAX];
	struct error_text why = { 0 };
	int r = report ? om_signer_open(keys, &s, err) : -ENOMEM;

	if (r)
		return r;
	r = om_bundle_check(data, len, key, om_signer_keys(s, now_ns, key), report, &why);
	return r ? error_set(err, r, "%s: nothing is sealed, as nobody could verify it: %s", id, why.text)
		 : 0;
}

int om_bundle_make(struct om_ledger *l, const struct om_case *c, const char *keys,
		   const struct om_actor *actor, uint8_t **ret, size_t *ret_len, struct error_text *err)
{
	_cleanup_free_ uint8_t *data = NULL;
	size_t len;
	int r = bundle_seal(l, c, keys, actor, &data, &len, err);

	r = r ?: check_own(om_case_id(c), keys, actor->now_ns, data, len, err);
	if (r)
		return r;
	*ret = TAKE_PTR(data);
	*ret_len = len;
	return 0;
}
