// SPDX-License-Identifier: Apache-2.0
/* `evidence export|verify`: sealed bundles. docs/evidence.md. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/core.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../core/bundle.h"
#include "../core/checkpoint_seen.h"
#include "../core/file_io.h"
#include "case_verbs.h"
#include "evidence_verbs.h"
#include "verbs.h"

#define KEYS_MAX 32

int evidence_export(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *keys = KEYS_DEFAULT, *by = NULL, *out = NULL;
	const struct option options[] = {
		{ "store", "DIR", OPTION_STRING, &dir, "the case store (" STORE_DEFAULT ")" },
		{ "keys", "DIR", OPTION_STRING, &keys, "the keys' directory (" KEYS_DEFAULT ")" },
		{ "by", "PERSON", OPTION_STRING, &by, "who seals it" },
		{ "out", "FILE", OPTION_STRING, &out, "the bundle (CASE.tar)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "evidence export",
		.operands = "CASE",
		.summary =
			"Seals a case: every entry of it with salt and proof, what was gathered, the signed "
			"checkpoint, and what they come to,\nin one tar that is verified with the public key "
			"alone. It holds all the case holds: give it to whom it concerns.",
		.options = options,
	};
	_cleanup_desk_ struct case_desk d = { 0 };
	_cleanup_free_ uint8_t *data = NULL;
	struct error_text err = { 0 };
	char name[64];
	size_t len;
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc || !by) {
		log_error("evidence export: name one CASE and who seals it (--by PERSON)");
		return EXIT_USAGE;
	}
	r = case_desk_open(&d, dir, false, argv[at], by);
	if (r)
		return store_exit(r);
	r = om_bundle_make(d.ledger, d.c, keys, &d.actor, &data, &len, &err);
	if (r)
		return case_say(&err, r);
	snprintf(name, sizeof(name), "%s.tar", om_case_id(d.c));
	out = out ?: name;
	r = om_file_put(AT_FDCWD, out, data, len, 0600);
	if (r) {
		log_error("%s: cannot be written: %s", out, strerror(-r));
		return EXIT_FAILED;
	}
	printf("%s: %zu bytes\n", out, len);
	return EXIT_OK;
}

/* --- verify --- */

int evidence_load_keys(const struct option_list *files, struct om_note_key *keys, size_t *ret_n)
{
	for (size_t i = 0; i < files->count; i++) {
		_cleanup_free_ char *text = NULL;
		size_t len;
		int r = om_file_get(AT_FDCWD, files->item[i], 4096, &text, &len);
		bool is_private = false;

		r = r ?: om_note_key_parse(text, len, &keys[*ret_n]);
		if (r == 0)
			is_private = keys[(*ret_n)++].has_secret;
		if (r || is_private) {
			log_error("%s: not a public key: %s", files->item[i],
				  is_private ? "it is a private one" : strerror(-r));
			return r ?: -EINVAL;
		}
	}
	return 0;
}

static const char *node_words(const struct om_bundle_node *n)
{
	return n->signature == OM_NODE_SIGNED	? "signed by a key given"
	       : n->signature == OM_NODE_NO_KEY ? "its checkpoint is by a key that was not given: not checked"
						: "that log had no checkpoint: as its holder showed it";
}

static void tell(const char *path, const struct om_bundle_report *b)
{
	printf("%s: in order\ncase %s: %s%s%s, sealed at %s\n", path, b->case_id, b->state,
	       b->outcome[0] ? ", " : "", b->outcome, b->made);
	printf("log %s: %llu leaves, signed by %s\n", b->origin, (unsigned long long)b->size, b->key);
	printf("%llu entries in the log, %llu pieces of evidence, %llu files, every byte of them\n",
	       (unsigned long long)b->entries, (unsigned long long)b->evidence, (unsigned long long)b->files);
	if (b->previous)
		printf("grows from a checkpoint of %llu leaves%s\n", (unsigned long long)b->previous,
		       b->previous_is_signed ? "" : ", which is by a key that was not given: not checked");
	for (size_t i = 0; i < b->others; i++)
		printf("also signed by %s\n", b->other[i]);
	for (size_t i = 0; i < b->nodes; i++)
		printf("evidence of ledger %s%s%s: %llu entries; %s\n", b->node[i].ledger,
		       b->node[i].origin[0] ? ", " : "", b->node[i].origin,
		       (unsigned long long)b->node[i].entries, node_words(&b->node[i]));
}

struct verifying {
	struct om_note_key keys[KEYS_MAX];
	size_t n;
	struct om_seen seen;
	bool has_seen;
};

/* Against what came over Kafka. Only a head of just the same size can be compared: a bundle has no others. */
static int compare_head(const struct verifying *v, const struct om_checkpoint *c, size_t *same,
			struct error_text *err)
{
	static const char *const words[] = { "as it was seen", "NOT COMPARED: heads of other sizes were seen",
					     "NOT COMPARED: no head of this log was seen" };
	enum om_seen_answer answer;
	int r = om_seen_compare(&v->seen, c, &answer, err);

	if (r)
		return r;
	printf("head of %s with %llu leaves: %s\n", c->origin, (unsigned long long)c->size, words[answer]);
	*same += answer == OM_SEEN_SAME;
	return 0;
}

static int compare_heads(const struct verifying *v, const struct om_checkpoint *heads, size_t n,
			 struct error_text *err)
{
	size_t same = 0;

	if (!v->has_seen)
		return 0;
	for (size_t i = 0; i < n; i++) {
		int r = compare_head(v, &heads[i], &same, err);

		if (r)
			return r;
	}
	return same ? 0 : error_set(err, -EUCLEAN, "none of its heads is among those that were seen");
}

/* A checkpoint alone. */
static int verify_note(const struct verifying *v, const char *path, const char *data, size_t len,
		       struct error_text *err)
{
	const struct om_note_key *key = NULL;
	struct om_checkpoint c;
	struct om_note note;
	int r = om_note_parse(data, len, &note);

	r = r ?: om_checkpoint_parse(note.text, note.text_len, &c);
	if (r)
		return -EBADMSG;
	r = om_note_check_origin(&note, c.origin, v->keys, v->n, &key);
	r = r ?: compare_heads(v, &c, 1, err);
	if (r == 0)
		printf("%s: in order\ncheckpoint of %s: %llu leaves, signed by %s+%08x\n", path, c.origin,
		       (unsigned long long)c.size, key->name, key->id);
	return r;
}

static int not_in_order(const char *path, int r, const struct error_text *err)
{
	log_error("%s: NOT in order: %s", path,
		  err->text[0]	 ? err->text
		  : r == -ENOKEY ? "signed by other keys than those given"
				 : strerror(-r));
	return r == -ENOMEM ? EXIT_FAILED : EXIT_FINDING;
}

static int read_whole(const char *path, char **ret, size_t *ret_len)
{
	int r = om_file_get(AT_FDCWD, path, OM_BUNDLE_MAX, ret, ret_len);

	if (r)
		log_error("%s: cannot be read: %s", path, strerror(-r));
	return r;
}

static int verify_file(const struct verifying *v, const char *path)
{
	struct om_bundle_report *report = calloc(1, sizeof(*report));
	_cleanup_free_ struct om_bundle_report *owned = report;
	_cleanup_free_ char *data = NULL;
	struct error_text err = { 0 };
	size_t len;
	int r;

	if (!report || read_whole(path, &data, &len))
		return EXIT_FAILED;
	r = verify_note(v, path, data, len, &err);
	if (r == 0)
		return EXIT_OK;
	if (r == -EBADMSG) {
		r = om_bundle_check((const uint8_t *)data, len, v->keys, v->n, report, &err);
		r = r ?: compare_heads(v, report->head, report->heads, &err);
		if (r == 0) {
			if (report->heads_are_cut && v->has_seen)
				log_warn("%s: proved against more than %d heads: the rest is not compared",
					 path, OM_BUNDLE_HEADS_MAX);
			tell(path, report);
			return EXIT_OK;
		}
	}
	return not_in_order(path, r, &err);
}

static int read_seen(struct verifying *v, const char *path)
{
	_cleanup_free_ char *data = NULL;
	struct error_text err = { 0 };
	size_t len;
	int r;

	if (read_whole(path, &data, &len))
		return EXIT_FAILED;
	r = om_seen_read(&v->seen, data, len, v->keys, v->n, &err);
	if (r)
		return not_in_order(path, r, &err);
	v->has_seen = true;
	printf("%s: %llu checkpoints, %zu different heads%s", path, (unsigned long long)v->seen.read,
	       v->seen.count, v->seen.by_others ? "" : "\n");
	if (v->seen.by_others)
		printf("; %llu by keys that were not given: not used\n",
		       (unsigned long long)v->seen.by_others);
	if (v->seen.damaged)
		log_warn("%s: %llu damaged lines in it, the first is line %zu: not used", path,
			 (unsigned long long)v->seen.damaged, v->seen.first_damaged);
	if (v->seen.count == 0) {
		log_error("%s: no checkpoint in it is signed by a key given", path);
		return EXIT_FINDING;
	}
	return EXIT_OK;
}

/* The log of a ledger that is here against all that was seen of it. */
static int verify_log(const struct verifying *v, const char *dir, const char *origin)
{
	_cleanup_ledger_ struct om_ledger *l = NULL;
	struct om_ledger_growth g = { .ledger = NULL };
	struct om_verify_report report;
	struct error_text err = { 0 };
	uint64_t n = 0;
	int r;

	for (size_t i = 0; !origin && i < v->seen.count; i++) {
		if (strcmp(v->seen.item[i].origin, v->seen.item[0].origin)) {
			log_error(
				"heads of several logs were seen: say which this one is with --origin NAME");
			return EXIT_USAGE;
		}
	}
	origin = origin ?: v->seen.item[0].origin;
	r = store_open_reader(dir, &l);
	if (r)
		return store_exit(r);
	g.ledger = l;
	/* The leaves are compared below: that they are still those of what the ledger holds is seen here. */
	r = om_ledger_verify(l, &report, &err);
	r = r ?: om_seen_compare_log(&v->seen, origin, &g, &n, &err);
	if (r == 0 && n == 0)
		r = error_set(&err, -EUCLEAN, "no head of %s was seen", origin);
	if (r)
		return not_in_order(dir, r, &err);
	printf("%s: in order: it grew through %llu heads of %s that were seen\n", dir, (unsigned long long)n,
	       origin);
	return EXIT_OK;
}

int evidence_verify(int argc, char **argv)
{
	const char *seen = NULL, *dir = NULL, *origin = NULL;
	struct option_list files = { 0 };
	const struct option options[] = {
		{ "key", "FILE", OPTION_STRINGS, &files,
		  "a public key that you trust: of the case store, of nodes; may be repeated" },
		{ "seen", "FILE", OPTION_STRING, &seen,
		  "checkpoints that were kept elsewhere: the topic as a consumer prints it, or one note" },
		{ "dir", "DIR", OPTION_STRING, &dir,
		  "a ledger that must have grown through all that was seen" },
		{ "origin", "NAME", OPTION_STRING, &origin,
		  "which of the logs that were seen it is (the only one)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "evidence verify",
		.operands = "[FILE]",
		.summary = "Verifies a bundle, or a checkpoint, with public keys and nothing else; with "
			   "--seen also "
			   "against the checkpoints that\ncame over Kafka, and with --dir a ledger against "
			   "them. "
			   "Exit code 3, and what is wrong, if a byte of it is not what was\nsealed, or two "
			   "heads of "
			   "one size differ (a fork).",
		.options = options,
	};
	struct verifying v = { .n = 0 };
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (argc - at > 1 || files.count == 0 || (at == argc && !seen) || (dir && !seen)) {
		log_error("evidence verify: name one FILE, or --seen FILE, and the keys that you trust "
			  "(--key FILE)");
		return EXIT_USAGE;
	}
	if (sodium_init() < 0)
		return EXIT_FAILED;
	if (evidence_load_keys(&files, v.keys, &v.n))
		return EXIT_USAGE;
	r = seen ? read_seen(&v, seen) : EXIT_OK;
	if (r == EXIT_OK && at < argc)
		r = verify_file(&v, argv[at]);
	if (r == EXIT_OK && dir)
		r = verify_log(&v, dir, origin);
	om_seen_done(&v.seen);
	return r;
}
