// SPDX-License-Identifier: Apache-2.0
/* `evidence keygen|checkpoint|tiles`: the keys of a log, its signed heads, and its static files.
 * docs/evidence.md. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sodium/core.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../core/checkpoint.h"
#include "../core/evidence_key.h"
#include "../core/file_io.h"
#include "../core/ledger_evidence.h"
#include "evidence_verbs.h"
#include "store.h"
#include "verbs.h"

#define OVERLAP_NS (30 * 86400 * UINT64_C(1000000000))

static int say(const struct error_text *err, int r)
{
	log_error("%s", err->text[0] ? err->text : strerror(-r));
	return store_exit(r);
}

static int keygen(int argc, char **argv)
{
	const char *keys = KEYS_DEFAULT, *origin = NULL;
	uint64_t overlap_ns = OVERLAP_NS;
	const struct option options[] = {
		{ "keys", "DIR", OPTION_STRING, &keys, "the keys' directory (" KEYS_DEFAULT ")" },
		{ "origin", "NAME", OPTION_STRING, &origin,
		  "the log's name, in the first line of what it signs" },
		{ "overlap", "TIME", OPTION_DURATION, &overlap_ns,
		  "how long the older keys go on signing beside the new one (720h)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "evidence keygen",
		.summary = "Makes an Ed25519 key for a log, and prints what verifiers need. Where there is "
			   "one already, the new one takes\nover: for the overlap both sign.",
		.options = options,
	};
	char text[OM_NOTE_KEY_TEXT_MAX];
	struct error_text err = { 0 };
	struct om_note_key key;
	uint8_t seed[32];
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (!origin) {
		log_error("evidence keygen: give the log's name with --origin, as in "
			  "example.org/opmeter/cases");
		return EXIT_USAGE;
	}
	if (sodium_init() < 0)
		return EXIT_FAILED;
	randombytes_buf(seed, sizeof(seed));
	r = om_signer_make(keys, origin, seed, store_now_ns(), overlap_ns, &key, &err);
	sodium_memzero(seed, sizeof(seed));
	if (r)
		return say(&err, r);
	puts(om_note_key_format(&key, false, text));
	sodium_memzero(&key, sizeof(key));
	return EXIT_OK;
}

static int begin_keys(const char *keys, struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	int r = om_signer_open(keys, &s, err);

	return r ?: om_signer_begin(s, store_now_ns(), err);
}

static int checkpoint(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *keys = KEYS_DEFAULT;
	bool begin = false;
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &dir,
		  "the log: a case store or a ledger (" STORE_DEFAULT ")" },
		{ "keys", "DIR", OPTION_STRING, &keys, "the keys' directory (" KEYS_DEFAULT ")" },
		{ "begin", NULL, OPTION_FLAG, &begin,
		  "your word that these keys have signed nothing, where last.checkpoint is missing" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "evidence checkpoint",
		.summary = "Signs the log's head with every key in force, records that in the log, and "
			   "prints it. Where an agent writes the log, it is signed\nand not recorded. "
			   "Refused, with "
			   "exit code 3, if the log does not grow from what was signed last.",
		.options = options,
	};
	_cleanup_ledger_ struct om_ledger *l = NULL;
	_cleanup_free_ char *note = NULL;
	struct error_text err = { 0 };
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	r = om_ledger_open(dir, OM_LEDGER_KEEP, store_now_ns(), &l, &err);
	if (r == -EWOULDBLOCK) {
		error_clear(&err);
		r = om_ledger_open(dir, OM_LEDGER_READ_ONLY, 0, &l, &err);
	}
	if (r == 0 && begin)
		r = begin_keys(keys, &err);
	r = r ?: om_checkpoint_make(l, keys, store_now_ns(), NULL, &note, &err);
	if (r < 0)
		return say(&err, r);
	if (r)
		log_warn("%s: another process writes this log: the checkpoint is not recorded in it", dir);
	fputs(note, stdout);
	return EXIT_OK;
}

/* --- tiles --- */

struct tiles {
	const char *out;
	uint64_t size, written, left;
	char *bundle; /* entries of the tile under way */
	size_t len;
};

static int put_file(struct tiles *t, const char *name, const void *data, size_t len)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s/%s", t->out, name);
	/* A tile never changes: one that is there stays. */
	if (stat(path, &st) == 0 && (size_t)st.st_size == len) {
		t->left++;
		return 0;
	}
	for (char *s = strchr(path + strlen(t->out) + 1, '/'); s; s = strchr(s + 1, '/')) {
		*s = 0;
		if (mkdir(path, 0755) && errno != EEXIST)
			return -errno;
		*s = '/';
	}
	t->written++;
	return om_file_put(AT_FDCWD, path, data, len, 0644);
}

static int put_hashes(struct tiles *t, const struct om_tlog_reader *r)
{
	uint8_t data[OM_TILE_WIDTH * OM_HASH_SIZE];
	char path[OM_TILE_PATH_MAX];
	int rc = 0;

	for (int level = 0; om_tile_width(t->size, level, 0) && rc == 0; level++) {
		for (uint64_t i = 0; rc == 0; i++) {
			struct om_tile tile = { level, i, om_tile_width(t->size, level, i) };

			if (!tile.width)
				break;
			rc = om_tile_read(r, &tile, data);
			rc = rc ?: put_file(t, om_tile_path(&tile, path), data, tile.width * OM_HASH_SIZE);
		}
	}
	return rc;
}

static int put_entry(void *ctx, const struct om_leaf_entry *e)
{
	struct tiles *t = ctx;
	struct om_tile tile = { OM_TILE_ENTRIES, e->entry.index / OM_TILE_WIDTH, 0 };
	unsigned n = (unsigned)(e->entry.index % OM_TILE_WIDTH) + 1;
	char path[OM_TILE_PATH_MAX];
	int r = 0;

	if (e->entry.index >= t->size)
		return 0;
	t->bundle[t->len++] = 0; /* length of a leaf, big-endian */
	t->bundle[t->len++] = OM_LEAF_SIZE;
	memcpy(t->bundle + t->len, e->leaf, OM_LEAF_SIZE);
	t->len += OM_LEAF_SIZE;
	if (n == OM_TILE_WIDTH || e->entry.index + 1 == t->size) {
		tile.width = n;
		r = put_file(t, om_tile_path(&tile, path), t->bundle, t->len);
		t->len = 0;
	}
	return r;
}

static int write_tiles(struct om_ledger *l, const char *keys, struct tiles *t, struct error_text *err)
{
	_cleanup_(om_tlog_tree_freep) struct om_tlog_tree *tree = NULL;
	_cleanup_free_ char *note = NULL;
	_cleanup_free_ char *bundle = malloc(OM_TILE_WIDTH * (OM_LEAF_SIZE + 2));
	struct om_tlog_reader reader;
	char path[PATH_MAX];
	int r = bundle ? om_checkpoint_make(l, keys, store_now_ns(), &tree, &note, err) : -ENOMEM;

	if (r)
		return r;
	t->bundle = bundle;
	t->size = om_tlog_tree_size(tree);
	reader = om_tlog_tree_reader(tree);
	if (mkdir(t->out, 0755) && errno != EEXIST)
		return error_set(err, -errno, "%s: cannot be made: %m", t->out);
	r = put_hashes(t, &reader);
	r = r ?: om_ledger_each_leaf(l, 0, put_entry, t);
	/* The checkpoint last: whoever reads it finds all it speaks of. */
	snprintf(path, sizeof(path), "%s/checkpoint", t->out);
	r = r ?: om_file_put(AT_FDCWD, path, note, strlen(note), 0644);
	return r ? error_set(err, r, "%s: cannot be written: %s", t->out, strerror(-r)) : 0;
}

static int tiles(int argc, char **argv)
{
	const char *dir = STORE_DEFAULT, *keys = KEYS_DEFAULT;
	struct tiles t = { 0 };
	const struct option options[] = {
		{ "dir", "DIR", OPTION_STRING, &dir,
		  "the log: a case store or a ledger (" STORE_DEFAULT ")" },
		{ "keys", "DIR", OPTION_STRING, &keys, "the keys' directory (" KEYS_DEFAULT ")" },
		{ "out", "DIR", OPTION_STRING, &t.out, "where the files go" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "evidence tiles",
		.summary = "Signs the log's head and writes the log as static files (C2SP tlog-tiles): "
			   "leaves and hashes, no payload.",
		.options = options,
	};
	_cleanup_ledger_ struct om_ledger *l = NULL;
	struct error_text err = { 0 };
	int at, r = options_parse(&spec, argc, argv, &at);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (!t.out) {
		log_error("evidence tiles: say where with --out DIR");
		return EXIT_USAGE;
	}
	r = store_open(dir, false, &l);
	if (r)
		return store_exit(r);
	r = write_tiles(l, keys, &t, &err);
	if (r)
		return say(&err, r);
	printf("%s: %llu leaves, %llu files written, %llu there already\n", t.out, (unsigned long long)t.size,
	       (unsigned long long)t.written, (unsigned long long)t.left);
	return EXIT_OK;
}

int verb_evidence(int argc, char **argv)
{
	static const struct store_act acts[] = {
		{ "keygen", "make a key for a log, or one that takes over", keygen },
		{ "checkpoint", "sign the log's head", checkpoint },
		{ "tiles", "write the log as static files", tiles },
		{ "export", "seal a case into a bundle", evidence_export },
		{ "verify", "is this bundle or checkpoint what was signed?", evidence_verify },
		{ 0 },
	};

	return store_dispatch("evidence", "Seals what a log holds, and verifies what was sealed.", acts, argc,
			      argv);
}
