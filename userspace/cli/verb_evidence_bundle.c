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

static int load_keys(const struct option_list *files, struct om_note_key keys[KEYS_MAX], size_t *ret_n)
{
	for (size_t i = 0; i < files->count; i++) {
		_cleanup_free_ char *text = NULL;
		size_t len;
		int r = om_file_get(AT_FDCWD, files->item[i], 4096, &text, &len);

		r = r ?: om_note_key_parse(text, len, &keys[*ret_n]);
		if (r == 0 && keys[(*ret_n)++].has_secret)
			r = -EINVAL;
		if (r) {
			log_error("%s: not a public key: %s", files->item[i],
				  r == -EINVAL ? "it is a private one" : strerror(-r));
			return r;
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

/* A checkpoint alone. */
static int verify_note(const char *path, const char *data, size_t len, const struct om_note_key *keys,
		       size_t n)
{
	struct om_checkpoint c;
	struct om_note note;
	int r = om_note_parse(data, len, &note);

	r = r ?: om_checkpoint_parse(note.text, note.text_len, &c);
	if (r)
		return -EBADMSG;
	r = -ENOKEY;
	for (size_t i = 0; i < n && r == -ENOKEY; i++) {
		r = om_note_check(&note, &keys[i]);
		if (r == 0)
			printf("%s: in order\ncheckpoint of %s: %llu leaves, signed by %s+%08x\n", path,
			       c.origin, (unsigned long long)c.size, keys[i].name, keys[i].id);
	}
	return r;
}

static int verify_file(const char *path, const struct om_note_key *keys, size_t n)
{
	struct om_bundle_report *report = calloc(1, sizeof(*report));
	_cleanup_free_ struct om_bundle_report *owned = report;
	_cleanup_free_ char *data = NULL;
	struct error_text err = { 0 };
	size_t len;
	int r = om_file_get(AT_FDCWD, path, OM_BUNDLE_MAX, &data, &len);

	if (r || !report) {
		log_error("%s: cannot be read: %s", path, strerror(r ? -r : ENOMEM));
		return EXIT_FAILED;
	}
	r = verify_note(path, data, len, keys, n);
	if (r == 0)
		return EXIT_OK;
	if (r == -EBADMSG) {
		r = om_bundle_check((const uint8_t *)data, len, keys, n, report, &err);
		if (r == 0) {
			tell(path, report);
			return EXIT_OK;
		}
	}
	log_error("%s: NOT in order: %s", path,
		  err.text[0]	 ? err.text
		  : r == -ENOKEY ? "signed by other keys than those given"
				 : strerror(-r));
	return r == -ENOMEM ? EXIT_FAILED : EXIT_FINDING;
}

int evidence_verify(int argc, char **argv)
{
	struct option_list files = { 0 };
	const struct option options[] = {
		{ "key", "FILE", OPTION_STRINGS, &files,
		  "a public key that you trust: of the case store, of nodes; may be repeated" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "evidence verify",
		.operands = "FILE",
		.summary = "Verifies a bundle, or a checkpoint, with public keys and nothing else. Exit code "
			   "3, and "
			   "what is wrong, if a byte of it\nis not what was sealed.",
		.options = options,
	};
	struct om_note_key keys[KEYS_MAX];
	size_t n = 0;
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (at + 1 != argc || files.count == 0) {
		log_error("evidence verify: name one FILE and the keys that you trust (--key FILE)");
		return EXIT_USAGE;
	}
	if (sodium_init() < 0)
		return EXIT_FAILED;
	if (load_keys(&files, keys, &n))
		return EXIT_USAGE;
	return verify_file(argv[at], keys, n);
}
