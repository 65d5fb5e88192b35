// SPDX-License-Identifier: Apache-2.0
/* Is a bundle what was sealed? Everything in it is either signed, or made again from what is. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "assignment.h"
#include "bundle_internal.h"
#include "case_gather.h"
#include "hex.h"
#include "leaf.h"
#include "tlog.h"

struct checking {
	const struct om_note_key *trusted;
	size_t trusted_count;
	struct om_tar_files files; /* loans of the bundle */
	struct bundle_facts facts;
	struct om_checkpoint head;
	struct bundle_entry *entry;
	size_t count;
	struct om_bundle_report *ret;
	struct error_text *err;
};

static void checking_done(struct checking *k)
{
	for (size_t i = 0; i < k->count; i++)
		json_decref(k->entry[i].act);
	free(k->entry);
	om_tar_files_done(&k->files);
}

/* 0: a trusted key of that origin signed it, *ret tells which; -ENOKEY; -EBADMSG: one did, and wrongly. */
static int check_trusted(const struct checking *k, const struct om_note *n, const char *origin,
			 const struct om_note_key **ret)
{
	return om_note_check_origin(n, origin, k->trusted, k->trusted_count, ret);
}

/* --- the manifest --- */

/* A line's rest after a word, into a text of `size`. */
static int take_word(const char **at, const char *end, const char *word, char *out, size_t size)
{
	const char *line_end = *at < end ? memchr(*at, '\n', (size_t)(end - *at)) : NULL;
	size_t n = strlen(word), len = line_end ? (size_t)(line_end - *at) : 0;

	if (!line_end || len < n || memcmp(*at, word, n) || len - n >= size)
		return -EBADMSG;
	memcpy(out, *at + n, len - n);
	out[len - n] = 0;
	*at = line_end + 1;
	return 0;
}

static int parse_manifest(struct checking *k, const struct om_note *n)
{
	struct bundle_facts *f = &k->facts;
	const char *at = n->text, *end = n->text + n->text_len;
	char key[OM_NOTE_KEY_TEXT_MAX], empty[1];
	int r = take_word(&at, end, "opmeter-bundle v1", empty, sizeof(empty));

	r = r ?: take_word(&at, end, "origin ", f->origin, sizeof(f->origin));
	r = r ?: take_word(&at, end, "case ", f->case_id, sizeof(f->case_id));
	r = r ?: take_word(&at, end, "made ", f->made, sizeof(f->made));
	r = r ?: take_word(&at, end, "by ", f->by, sizeof(f->by));
	while (r == 0 && f->signers < OM_NOTE_SIGNATURES_MAX &&
	       take_word(&at, end, "signer ", key, sizeof(key)) == 0) {
		r = om_note_key_parse(key, strlen(key), &f->signer[f->signers]);
		if (r == 0 && f->signer[f->signers++].has_secret)
			r = -EBADMSG; /* nobody gives a private key away so */
	}
	return r || !om_case_id_is_valid(f->case_id) ? -EBADMSG : 0;
}

/* Every signature by a key that the text names, every key's there: so a changed byte of any is found. */
static int check_signers(const struct checking *k, const struct om_note *n)
{
	if (n->signatures != k->facts.signers)
		return -EBADMSG;
	for (size_t i = 0; i < k->facts.signers; i++) {
		const struct om_note_key *key = &k->facts.signer[i];

		if (n->signature[i].id != key->id || strcmp(n->signature[i].name, key->name) ||
		    om_note_check(n, key))
			return -EBADMSG;
		for (size_t j = 0; j < i; j++)
			if (k->facts.signer[j].id == key->id)
				return -EBADMSG;
	}
	return 0;
}

static void tell_keys(struct checking *k, const struct om_note_key *used)
{
	struct om_bundle_report *r = k->ret;

	snprintf(r->key, sizeof(r->key), "%s+%08x", used->name, used->id);
	for (size_t i = 0; i < k->facts.signers; i++)
		if (k->facts.signer[i].id != used->id)
			om_note_key_format(&k->facts.signer[i], false, r->other[r->others++]);
}

static int check_manifest(struct checking *k)
{
	const struct om_tar_file *f = om_tar_find(&k->files, BUNDLE_MANIFEST);
	const struct om_note_key *used = NULL;
	_cleanup_free_ char *again = NULL;
	struct om_note n;
	int r;

	if (!f || f != k->files.file || om_note_parse(f->data, f->len, &n))
		return error_set(k->err, -EBADMSG, "no manifest, or it is damaged");
	/* It is not yet trusted: that it names an origin only tells whose key must have signed it. */
	if (parse_manifest(k, &n))
		return error_set(k->err, -EBADMSG, "no manifest, or it is damaged");
	r = check_trusted(k, &n, k->facts.origin, &used);
	if (r == -ENOKEY)
		return error_set(k->err, r, "the manifest is signed by other keys than the one given");
	if (r || check_signers(k, &n))
		return error_set(k->err, -EBADMSG, "the manifest's signature is wrong");
	/* Made again from the files as they are, it must be the one that was signed. */
	again = bundle_manifest(&k->facts, &k->files);
	if (!again)
		return -ENOMEM;
	if (strlen(again) != n.text_len || memcmp(again, n.text, n.text_len))
		return error_set(k->err, -EBADMSG, "a file is not the one that the manifest names");
	tell_keys(k, used);
	return 0;
}

/* --- checkpoints --- */

static int parse_checkpoint(const struct om_tar_file *f, struct om_note *n, struct om_checkpoint *c)
{
	if (!f || om_note_parse(f->data, f->len, n) || om_checkpoint_parse(n->text, n->text_len, c))
		return -EBADMSG;
	return 0;
}

static void add_head(struct om_bundle_report *r, const struct om_checkpoint *c)
{
	for (size_t i = 0; i < r->heads; i++)
		if (r->head[i].size == c->size && !strcmp(r->head[i].origin, c->origin) &&
		    !memcmp(r->head[i].root, c->root, sizeof(c->root)))
			return;
	if (r->heads < OM_BUNDLE_HEADS_MAX)
		r->head[r->heads++] = *c;
	else
		r->heads_are_cut = true;
}

static int check_previous(struct checking *k)
{
	const struct om_tar_file *f = om_tar_find(&k->files, BUNDLE_PREVIOUS),
				 *g = om_tar_find(&k->files, BUNDLE_CONSISTENCY);
	_cleanup_(json_decrefp) json_t *o = g ? json_loadb(g->data, g->len, 0, NULL) : NULL;
	struct om_tlog_proof proof;
	struct om_checkpoint c;
	struct om_note n;
	uint64_t from, to;
	int r;

	if (!f && !g)
		return 0;
	r = parse_checkpoint(f, &n, &c);
	r = r ?: om_parse_u64(json_text(o, "from"), &from);
	r = r ?: om_parse_u64(json_text(o, "to"), &to);
	r = r ?: om_proof_parse(json_object_get(o, "proof"), &proof);
	if (r || from != c.size || to != k->head.size || strcmp(c.origin, k->head.origin) ||
	    om_tlog_check_consistency(c.size, c.root, k->head.size, k->head.root, &proof))
		return error_set(k->err, -EBADMSG, "the log does not grow from its previous checkpoint");
	r = check_trusted(k, &n, c.origin, NULL);
	if (r && r != -ENOKEY)
		return error_set(k->err, -EBADMSG, "the previous checkpoint's signature is wrong");
	add_head(k->ret, &c);
	k->ret->previous = c.size;
	k->ret->previous_is_signed = r == 0;
	return 0;
}

static int check_head(struct checking *k)
{
	struct om_note n;
	int r = parse_checkpoint(om_tar_find(&k->files, BUNDLE_CHECKPOINT), &n, &k->head);

	if (r || strcmp(k->head.origin, k->facts.origin))
		return error_set(k->err, -EBADMSG, "no checkpoint of the log, or it is damaged");
	r = check_trusted(k, &n, k->head.origin, NULL);
	if (r)
		return error_set(k->err, r, "the checkpoint is not signed by the key given");
	add_head(k->ret, &k->head);
	return check_previous(k);
}

/* --- entries --- */

static int check_leaf(const struct checking *k, const json_t *o, const uint8_t *payload, size_t len,
		      uint64_t *ret_index, uint64_t *ret_time)
{
	uint8_t raw[OM_LEAF_SIZE], salt[OM_SALT_SIZE], commitment[32], hash[OM_HASH_SIZE];
	struct om_tlog_proof proof;
	struct om_leaf leaf;
	int r = om_unhex(json_text(o, "leaf"), raw, sizeof(raw));

	r = r ?: om_leaf_decode(raw, sizeof(raw), &leaf);
	r = r ?: om_unhex(json_text(o, "salt"), salt, sizeof(salt));
	r = r ?: om_parse_u64(json_text(o, "index"), ret_index);
	r = r ?: om_proof_parse(json_object_get(o, "proof"), &proof);
	if (r || om_time_parse(json_text(o, "time"), ret_time))
		return -EBADMSG;
	om_leaf_commit(salt, payload, len, commitment);
	if (leaf.index != *ret_index || leaf.time_ns != *ret_time || leaf.len != len ||
	    leaf.kind != json_integer_value(json_object_get(o, "kind")) ||
	    memcmp(leaf.commitment, commitment, sizeof(commitment)))
		return -EBADMSG;
	om_merkle_leaf_hash(raw, sizeof(raw), hash);
	return om_tlog_check_inclusion(hash, leaf.index, k->head.size, &proof, k->head.root);
}

/* The act says when it was; so does its leaf. */
static int check_act(const struct checking *k, const json_t *act, uint64_t leaf_time)
{
	struct error_text ignored = { 0 };
	uint64_t at;

	if (om_case_act_form(act, &ignored) || strcmp(json_text(act, "case"), k->facts.case_id) ||
	    om_time_parse(json_text(act, "at"), &at) || at != leaf_time)
		return -EBADMSG;
	return 0;
}

static int check_line(struct checking *k, const char *line, size_t len)
{
	_cleanup_(json_decrefp) json_t *o = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	const json_t *text = json_object_get(o, "payload");
	_cleanup_free_ uint8_t *payload = NULL;
	struct bundle_entry *bigger, e = { 0 };
	uint64_t time = 0;
	size_t n = 0;
	int r = json_is_string(text)
			? om_unbase64(json_string_value(text), json_string_length(text), &payload, &n)
			: -EBADMSG;

	r = r ?: check_leaf(k, o, payload, n, &e.index, &time);
	if (r == 0 && k->count && e.index <= k->entry[k->count - 1].index)
		r = -EBADMSG;
	if (r)
		return r;
	e.act = json_loadb((const char *)payload, n, 0, NULL);
	bigger = reallocarray(k->entry, k->count + 1, sizeof(*bigger));
	if (!bigger) {
		json_decref(e.act);
		return -ENOMEM;
	}
	k->entry = bigger;
	k->entry[k->count++] = e;
	return check_act(k, e.act, time);
}

static int check_entries(struct checking *k)
{
	const struct om_tar_file *f = om_tar_find(&k->files, BUNDLE_ENTRIES);
	const char *at = f ? f->data : NULL, *end = f ? at + f->len : NULL;

	if (!f || f->len == 0)
		return error_set(k->err, -EBADMSG, "no entries");
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		int r = line_end ? check_line(k, at, (size_t)(line_end - at)) : -EBADMSG;

		if (r)
			return error_set(k->err, r,
					 "line %zu of " BUNDLE_ENTRIES " is not what the log holds",
					 k->count + 1);
		at = line_end + 1;
	}
	return 0;
}

/* --- evidence of other logs --- */

static struct om_bundle_node *node_of(struct om_bundle_report *r, const char *ledger)
{
	for (size_t i = 0; i < r->nodes; i++)
		if (!strcmp(r->node[i].ledger, ledger))
			return &r->node[i];
	if (r->nodes == OM_BUNDLE_NODES_MAX)
		return NULL;
	snprintf(r->node[r->nodes].ledger, sizeof(r->node[0].ledger), "%s", ledger);
	r->node[r->nodes].signature = OM_NODE_SIGNED;
	return &r->node[r->nodes++];
}

static int check_node(struct checking *k, const json_t *source)
{
	struct om_bundle_node *node;
	const char *text = json_text(source, "checkpoint");
	struct om_checkpoint c;
	struct om_note n;
	int r;

	/* Whether or not there is a place to tell of it. */
	if (*text && (om_note_parse(text, strlen(text), &n) || om_checkpoint_parse(n.text, n.text_len, &c)))
		return -EBADMSG;
	r = *text ? check_trusted(k, &n, c.origin, NULL) : 0;
	if (r && r != -ENOKEY)
		return r;
	node = node_of(k->ret, json_text(source, "ledger"));
	if (!node)
		return error_set(k->err, -E2BIG, "evidence of more than %d ledgers: the rest is not verified",
				 OM_BUNDLE_NODES_MAX);
	node->entries++;
	if (!*text) {
		node->signature = OM_NODE_UNSIGNED;
		return 0;
	}
	snprintf(node->origin, sizeof(node->origin), "%s", c.origin);
	add_head(k->ret, &c);
	if (r == -ENOKEY && node->signature == OM_NODE_SIGNED)
		node->signature = OM_NODE_NO_KEY;
	return 0;
}

static int check_evidence(struct checking *k)
{
	for (size_t i = 0; i < k->count; i++) {
		const json_t *source = json_object_get(k->entry[i].act, "source");
		int r;

		if (case_kind_of(k->entry[i].act) != CASE_EVIDENCE)
			continue;
		r = om_evidence_check(k->entry[i].act, k->err);
		if (r == 0 && json_is_object(source))
			r = check_node(k, source);
		if (r == -EBADMSG)
			r = error_set(k->err, -EBADMSG,
				      "evidence of entry %llu: the node's checkpoint is wrong",
				      (unsigned long long)k->entry[i].index);
		if (r)
			return r;
		k->ret->evidence++;
	}
	return 0;
}

/* --- what they come to --- */

static int compare(struct checking *k, const struct om_tar_files *made)
{
	for (size_t i = 0; i < made->count; i++) {
		const struct om_tar_file *f = om_tar_find(&k->files, made->file[i].name);

		if (!f || f->len != made->file[i].len || memcmp(f->data, made->file[i].data, f->len))
			return error_set(k->err, -EBADMSG, "%s is not what the entries come to",
					 made->file[i].name);
	}
	for (size_t i = 0; i < k->files.count; i++) {
		const char *name = k->files.file[i].name;

		if (!om_tar_find(made, name) && strcmp(name, BUNDLE_MANIFEST) &&
		    strcmp(name, BUNDLE_ENTRIES) && strcmp(name, BUNDLE_CHECKPOINT) &&
		    strcmp(name, BUNDLE_PREVIOUS) && strcmp(name, BUNDLE_CONSISTENCY))
			return error_set(k->err, -EBADMSG, "%s does not belong to it", name);
	}
	return 0;
}

/* A bundle that was sealed before the record grew has the record of then. What it says of itself is compared
 * whole, so it can choose which version it is held against, and no more. */
static int record_version(const struct checking *k)
{
	const struct om_tar_file *f = om_tar_find(&k->files, "case.json");
	_cleanup_(json_decrefp) json_t *o = f ? json_loadb((const char *)f->data, f->len, 0, NULL) : NULL;

	return json_integer_value(json_object_get(o, "schema_version")) == 1 ? 1 : BUNDLE_RECORD;
}

static int check_derived(struct checking *k)
{
	_cleanup_(om_tar_files_done) struct om_tar_files made = { .owns = 1 };
	_cleanup_(om_case_freep) struct om_case *c = NULL;
	const json_t *irregular;
	int r = bundle_derive(k->facts.case_id, record_version(k), k->entry, k->count, &made, &c);

	r = r ?: compare(k, &made);
	if (r)
		return error_set(k->err, r, "the entries cannot be put together");
	irregular = json_array_get(json_object_get(c->record, "irregular"), 0);
	if (irregular)
		return error_set(k->err, -EBADMSG, "entry %lld is against the rules of a case: %s",
				 (long long)json_integer_value(json_object_get(irregular, "entry")),
				 json_text(irregular, "why"));
	snprintf(k->ret->state, sizeof(k->ret->state), "%s", om_case_state_name(c->state));
	snprintf(k->ret->outcome, sizeof(k->ret->outcome), "%s", json_text(c->record, "outcome"));
	return 0;
}

int om_bundle_check(const uint8_t *data, size_t len, const struct om_note_key *trusted, size_t n,
		    struct om_bundle_report *ret, struct error_text *err)
{
	_cleanup_(checking_done) struct checking k = {
		.trusted = trusted, .trusted_count = n, .ret = ret, .err = err
	};
	int r;

	memset(ret, 0, sizeof(*ret));
	if (len > OM_BUNDLE_MAX)
		return error_set(err, -EFBIG, "%zu bytes, and verifiers read no more than %u", len,
				 OM_BUNDLE_MAX);
	if (om_tar_read(data, len, &k.files))
		return error_set(err, -EBADMSG, "not a bundle, or its frame is damaged");
	r = check_manifest(&k);
	r = r ?: check_head(&k);
	r = r ?: check_entries(&k);
	r = r ?: check_evidence(&k);
	r = r ?: check_derived(&k);
	if (r)
		return error_set(err, r, "cannot be verified: %s", strerror(-r));
	strcpy(ret->case_id, k.facts.case_id);
	strcpy(ret->origin, k.facts.origin);
	strcpy(ret->made, k.facts.made);
	ret->size = k.head.size;
	ret->entries = k.count;
	ret->files = k.files.count;
	return 0;
}
