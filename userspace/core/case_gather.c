// SPDX-License-Identifier: Apache-2.0
#include "case_gather.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>

#include "../base/cleanup.h"
#include "../base/text.h"
#include "assignment.h"
#include "case_internal.h"
#include "checkpoint.h"
#include "file_io.h"
#include "hex.h"
#include "ledger_evidence.h"
#include "totals.h"

/* A register of the tenant's, and the entry that published it last. */
struct wanted {
	uint8_t key[OM_REGISTER_KEY_SIZE];
	uint64_t entry;
	bool is_found;
};

struct gathering {
	struct om_case_store *store;
	const struct om_case *c;
	struct om_ledger *node;
	const struct om_actor *actor;
	struct om_gathered *ret;
	struct error_text *err;
	const char *tenant;
	struct om_totals *totals;
	struct wanted *wanted; /* sorted by key */
	size_t count, room;
	uint64_t node_entry; /* the last inventory; UINT64_MAX: none */
	uint64_t need;	     /* leaves that a tree must have to hold all that is wanted */
	/* What is proved against. */
	struct om_tlog_tree *tree;
	struct om_checkpoint head;
	char *note; /* NULL: no checkpoint covers it */
};

static int load_assignment(void *ctx, const struct om_entry *e)
{
	struct gathering *g = ctx;
	struct om_assignment a;

	if (e->kind == OM_ENTRY_NODE && e->payload)
		g->node_entry = e->index;
	if (!om_entry_assignment(e, &a))
		return 0;
	return om_totals_assign(g->totals, &a) < 0 ? -ENOMEM : 0;
}

static int load_reading(void *ctx, const struct om_reading *r)
{
	return om_totals_put(ctx, r) < 0 ? -ENOMEM : 0;
}

static int want(void *ctx, const struct om_attributed *a)
{
	struct gathering *g = ctx;

	if (strcmp(a->tenant, g->tenant))
		return 0;
	if (g->count == g->room) {
		size_t room = g->room ? 2 * g->room : 64;
		struct wanted *p = reallocarray(g->wanted, room, sizeof(*p));

		if (!p)
			return -ENOMEM;
		g->wanted = p;
		g->room = room;
	}
	g->wanted[g->count] = (struct wanted){ 0 };
	om_register_key_encode(&a->reading->key, g->wanted[g->count++].key);
	return 0;
}

static int by_key(const void *x, const void *y)
{
	return memcmp(x, y, OM_REGISTER_KEY_SIZE);
}

/* Ledger and job: the first 32 bytes of a key. */
static int by_job(const void *x, const void *y)
{
	return memcmp(x, y, 32);
}

static bool is_job(const struct gathering *g, const char *ledger, const char *job)
{
	uint8_t key[32];

	return om_unhex(ledger, key, 16) == 0 && om_unhex(job, key + 16, 16) == 0 && g->count &&
	       bsearch(key, g->wanted, g->count, sizeof(*g->wanted), by_job);
}

static int find_last(void *ctx, const struct om_entry *e)
{
	struct gathering *g = ctx;

	if (e->kind != OM_ENTRY_READINGS || !e->payload)
		return 0;
	for (size_t at = 0; at + OM_READING_SIZE <= e->len; at += OM_READING_SIZE) {
		/* The key's place in a reading is byte 8. */
		const uint8_t *key = (const uint8_t *)e->payload + at + 8;
		struct wanted *w = g->count ? bsearch(key, g->wanted, g->count, sizeof(*w), by_key) : NULL;

		if (w) {
			w->entry = e->index;
			w->is_found = true;
		}
	}
	return 0;
}

static bool is_last_of_some(const struct gathering *g, uint64_t entry)
{
	for (size_t i = 0; i < g->count; i++)
		if (g->wanted[i].is_found && g->wanted[i].entry == entry)
			return true;
	return false;
}

/* Why an entry of the node's log belongs to the case; NULL: it does not. */
static const char *why(const struct gathering *g, const struct om_entry *e)
{
	_cleanup_(json_decrefp) json_t *o = NULL;
	char id[OM_ID_STRLEN];
	const char *subject;
	size_t n = strlen(g->tenant);

	if (e->kind == OM_ENTRY_READINGS)
		return is_last_of_some(g, e->index) ? "readings" : NULL;
	if (e->kind == OM_ENTRY_NODE)
		return e->index == g->node_entry ? "node" : NULL;
	if (e->kind != OM_ENTRY_ASSIGNMENT && e->kind != OM_ENTRY_JOB && e->kind != OM_ENTRY_ALERT &&
	    e->kind != OM_ENTRY_CASE)
		return NULL;
	o = json_loadb(e->payload, e->len, 0, NULL);
	if (e->kind == OM_ENTRY_ASSIGNMENT)
		return is_job(g, json_text(o, "ledger"), json_text(o, "job")) ? "assignment" : NULL;
	if (e->kind == OM_ENTRY_JOB)
		return is_job(g, om_id_format(om_ledger_id(g->node), id), json_text(o, "job")) ? "job" : NULL;
	subject = json_text(o, "subject");
	return !strncmp(subject, g->tenant, n) && (!subject[n] || subject[n] == '/') ? "alert" : NULL;
}

static int find_need(void *ctx, const struct om_entry *e)
{
	struct gathering *g = ctx;

	if (e->payload && why(g, e))
		g->need = e->index + 1;
	return 0;
}

static json_t *source_json(const struct gathering *g, const struct om_leaf_entry *e)
{
	char ledger[OM_ID_STRLEN], index[24], size[24], time[OM_TIME_STRLEN], leaf[2 * OM_LEAF_SIZE + 1],
		salt[2 * OM_SALT_SIZE + 1], root[2 * OM_HASH_SIZE + 1];
	struct om_tlog_reader reader = om_tlog_tree_reader(g->tree);
	struct om_tlog_proof proof;

	if (om_tlog_prove_inclusion(&reader, g->head.size, e->entry.index, &proof))
		return NULL;
	snprintf(index, sizeof(index), "%llu", (unsigned long long)e->entry.index);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)g->head.size);
	return json_pack("{s:s,s:s,s:i,s:s,s:s,s:s,s:s,s:s,s:o,s:s?}", "ledger",
			 om_id_format(om_ledger_id(g->node), ledger), "index", index, "kind", e->entry.kind,
			 "time", om_time_format(e->entry.time_ns, time), "leaf",
			 om_hex(e->leaf, OM_LEAF_SIZE, leaf), "salt", om_hex(e->salt, OM_SALT_SIZE, salt),
			 "size", size, "root", om_hex(g->head.root, OM_HASH_SIZE, root), "proof",
			 om_proof_json(&proof), "checkpoint", g->note);
}

static json_t *evidence_json(const char *what, const char *name, const char *media, const void *data,
			     size_t len, json_t *source)
{
	_cleanup_free_ char *text = om_base64(data, len);
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[65];

	crypto_hash_sha256(hash, data, len);
	return json_pack("{s:s,s:s,s:s,s:s,s:s,s:s?,s:o}", "act", "evidence", "what", what, "name", name,
			 "media_type", media, "sha256", om_hex(hash, sizeof(hash), hex), "data", text,
			 "source", source ?: json_null());
}

static void count(struct om_gathered *ret, const char *what, int r)
{
	uint64_t *n = !strcmp(what, "readings")	    ? &ret->readings
		      : !strcmp(what, "assignment") ? &ret->assignments
		      : !strcmp(what, "alert")	    ? &ret->alerts
		      : !strcmp(what, "job")	    ? &ret->jobs
						    : &ret->others;

	++*(r == 1 ? &ret->known : n);
}

static int gather_entry(void *ctx, const struct om_leaf_entry *e)
{
	struct gathering *g = ctx;
	const char *what = e->entry.payload && e->entry.index < g->head.size ? why(g, &e->entry) : NULL;
	_cleanup_(json_decrefp) json_t *act = NULL;
	char ledger[OM_ID_STRLEN], name[80], unique[120];
	bool is_binary = e->entry.kind == OM_ENTRY_READINGS;
	int r;

	if (!what)
		return 0;
	snprintf(name, sizeof(name), "%.12s-%llu.%s", om_id_format(om_ledger_id(g->node), ledger),
		 (unsigned long long)e->entry.index, is_binary ? "readings" : "json");
	snprintf(unique, sizeof(unique), "%s/%s/%llu", g->c->id, ledger, (unsigned long long)e->entry.index);
	act = evidence_json(what, name, is_binary ? "application/vnd.opmeter.reading.v1" : "application/json",
			    e->entry.payload, e->entry.len, source_json(g, e));
	if (!act)
		return -ENOMEM;
	r = om_case_act(g->store, g->c, act, unique, g->actor, NULL, g->err);
	if (r >= 0)
		count(g->ret, what, r);
	return r < 0 ? r : 0;
}

/* The last checkpoint the node recorded, if nothing that we want came after it; else its log as it stands. */
static int choose_head(struct gathering *g)
{
	struct om_tlog_reader reader;
	struct om_checkpoint c;
	struct om_note n;
	int r = om_ledger_tree(g->node, &g->tree);

	r = r ?: om_checkpoint_find(g->node, NULL, UINT64_MAX >> 1, &g->note);
	if (r)
		return r;
	reader = om_tlog_tree_reader(g->tree);
	g->head.size = om_tlog_tree_size(g->tree);
	r = om_tlog_root(&reader, g->head.size, g->head.root);
	if (r == 0 && g->note && om_note_parse(g->note, strlen(g->note), &n) == 0 &&
	    om_checkpoint_parse(n.text, n.text_len, &c) == 0 && c.size >= g->need && c.size <= g->head.size) {
		r = om_tlog_root(&reader, c.size, g->head.root);
		if (r == 0 && memcmp(c.root, g->head.root, sizeof(c.root)))
			return error_set(g->err, -EUCLEAN,
					 "the node's log is not the one that its own checkpoint names");
		g->head.size = c.size;
		g->ret->is_signed = true;
		return r;
	}
	free(g->note);
	g->note = NULL;
	return r;
}

static void gathering_done(struct gathering *g)
{
	om_totals_free(g->totals);
	om_tlog_tree_free(g->tree);
	free(g->wanted);
	free(g->note);
}

int om_case_gather(struct om_case_store *s, const struct om_case *c, struct om_ledger *node,
		   const struct om_actor *actor, struct om_gathered *ret, struct error_text *err)
{
	_cleanup_(gathering_done) struct gathering g = { .store = s,
							 .c = c,
							 .node = node,
							 .actor = actor,
							 .ret = ret,
							 .err = err,
							 .node_entry = UINT64_MAX };
	int r;

	*ret = (struct om_gathered){ 0 };
	g.tenant = json_text(c->record, "tenant");
	if (!*g.tenant)
		return error_set(err, -EINVAL, "%s names no tenant", c->id);
	g.totals = om_totals_new(4000000);
	r = g.totals ? om_ledger_each_entry(node, 0, load_assignment, &g) : -ENOMEM;
	r = r ?: om_ledger_each_register(node, load_reading, g.totals);
	r = r ?: om_totals_each_register(g.totals, want, &g);
	if (r)
		return error_set(err, r, "the ledger cannot be read: %s", strerror(-r));
	if (g.count)
		qsort(g.wanted, g.count, sizeof(*g.wanted), by_key);
	r = om_ledger_each_entry(node, 0, find_last, &g);
	r = r ?: om_ledger_each_entry(node, 0, find_need, &g);
	r = r ?: choose_head(&g);
	r = r ?: om_ledger_each_leaf(node, 0, gather_entry, &g);
	return r ? error_set(err, r, "%s: not all could be gathered: %s", c->id, strerror(-r)) : 0;
}

int om_case_attach(struct om_case_store *s, const struct om_case *c, const char *what, const char *path,
		   const struct om_actor *actor, struct error_text *err)
{
	const char *slash = strrchr(path, '/');
	_cleanup_(json_decrefp) json_t *act = NULL;
	_cleanup_free_ char *data = NULL;
	char unique[160], name[256];
	size_t len;
	int r = om_file_get(AT_FDCWD, path, OM_ATTACHMENT_MAX, &data, &len);

	if (r)
		return error_set(err, r, "%s: cannot be read: %s", path, strerror(-r));
	snprintf(name, sizeof(name), "%s", slash ? slash + 1 : path);
	for (char *p = name; *p; p++)
		if (!text_is_name(p, 1))
			*p = '_';
	act = evidence_json(what, name, "application/octet-stream", data, len, NULL);
	if (!act)
		return -ENOMEM;
	snprintf(unique, sizeof(unique), "%s/%s/%s", c->id, what, json_text(act, "sha256"));
	return om_case_act(s, c, act, unique, actor, NULL, err);
}
