// SPDX-License-Identifier: Apache-2.0
#include "declaration_head.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "evidence_key.h"
#include "file_io.h"

#define HEAD_MAX 8192
#define UNSIGNED_ORIGIN "opmeter/declarations"

void declaration_head_done(struct declaration_head *h)
{
	free(h->text);
	h->text = NULL;
}

static int path_of(const char *path, char out[PATH_MAX], struct error_text *err)
{
	if (snprintf(out, PATH_MAX, "%s.head", path) >= PATH_MAX)
		return error_set(err, -ENAMETOOLONG, "%s: the name of its head is too long", path);
	return 0;
}

int declaration_head_read(const char *path, struct declaration_head *ret, struct error_text *err)
{
	char name[PATH_MAX];
	struct om_note note;
	size_t len;
	int r = path_of(path, name, err);

	memset(ret, 0, sizeof(*ret));
	if (r)
		return r;
	r = om_file_get(AT_FDCWD, name, HEAD_MAX, &ret->text, &len);
	if (r == -ENOENT)
		return 0;
	if (r)
		return error_set(err, r, "%s: cannot be read: %s", name, strerror(-r));
	ret->is_there = true;
	ret->is_signed = om_note_parse(ret->text, len, &note) == 0;
	r = ret->is_signed ? om_checkpoint_parse(note.text, note.text_len, &ret->tree)
			   : om_checkpoint_parse(ret->text, len, &ret->tree);
	/* A signature that was cut off would else leave a head that nobody signed. */
	if (r || (!ret->is_signed && strcmp(ret->tree.origin, UNSIGNED_ORIGIN)))
		return error_set(err, -EINVAL, "%s: is no head of declarations", name);
	return 0;
}

int declaration_head_check(const char *path, const struct declaration_head *h, const struct declarations *d,
			   struct error_text *err)
{
	uint8_t root[OM_HASH_SIZE];

	if (!h->is_there)
		return 0;
	if (h->tree.size > declarations_count(d))
		return error_set(err, -EINVAL,
				 "%s: has %zu records, and its head %s.head names %llu: the last were taken "
				 "away",
				 path, declarations_count(d), path, (unsigned long long)h->tree.size);
	declarations_root(d, (size_t)h->tree.size, root);
	if (memcmp(root, h->tree.root, sizeof(root)) != 0)
		return error_set(err, -EINVAL,
				 "%s: its first %llu records are not those that its head %s.head names", path,
				 (unsigned long long)h->tree.size, path);
	return 0;
}

int declaration_head_verify(const char *path, const struct declaration_head *h, const struct declarations *d,
			    const struct om_note_key *keys, size_t count, struct error_text *err)
{
	struct om_note note;
	int r;

	if (!h->is_there)
		return error_set(err, -EINVAL,
				 "%s.head: is not there: whether records are missing is not known", path);
	if (om_note_parse(h->text, strlen(h->text), &note))
		return error_set(err, -EINVAL, "%s.head: is not signed", path);
	r = om_note_check_origin(&note, h->tree.origin, keys, count, NULL);
	if (r)
		return error_set(err, -EINVAL, "%s.head: %s", path,
				 r == -ENOKEY ? "none of the keys that are given signed it"
					      : "its signature is wrong");
	if (h->tree.size != declarations_count(d))
		return error_set(err, -EINVAL, "%s: has %zu records, and only the first %llu are signed",
				 path, declarations_count(d), (unsigned long long)h->tree.size);
	return 0;
}

int declaration_head_keys(const char *path, struct om_note_key ret[DECLARATION_KEYS_MAX], size_t *ret_count,
			  struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	char *rest, *line;
	size_t len;
	int r = om_file_get(AT_FDCWD, path, HEAD_MAX, &text, &len);

	*ret_count = 0;
	if (r)
		return error_set(err, -EINVAL, "%s: cannot be read: %s", path, strerror(-r));
	for (rest = text; (line = strsep(&rest, "\n"));) {
		if (!*line || *line == '#')
			continue;
		if (*ret_count == DECLARATION_KEYS_MAX)
			return error_set(err, -EINVAL, "%s: more than %d keys", path, DECLARATION_KEYS_MAX);
		r = om_note_key_parse(line, strlen(line), &ret[*ret_count]);
		if (r || ret[(*ret_count)++].has_secret)
			return error_set(err, -EINVAL, "%s: key %zu is %s", path, *ret_count + (r != 0),
					 r ? "no key" : "a private one");
	}
	return *ret_count ? 0 : error_set(err, -EINVAL, "%s: has no key", path);
}

static int root_at(void *ctx, uint64_t size, uint8_t ret[OM_HASH_SIZE])
{
	if (size > declarations_count(ctx))
		return -ERANGE;
	declarations_root(ctx, (size_t)size, ret);
	return 0;
}

int declaration_head_may_grow(const char *path, const struct declaration_head *h,
			      const struct declarations *d, const char *keys, struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	struct om_roots roots = { root_at, (void *)d };
	_cleanup_free_ char *note = NULL;
	struct om_checkpoint last;
	int r;

	if (!keys)
		return h->is_signed ? error_set(err, -EINVAL,
						"%s.head: is signed: give the directory of its keys "
						"(--keys), or the next "
						"record stands behind no signature",
						path)
				    : 0;
	r = om_signer_open(keys, &s, err);
	return r ?: om_signer_last(s, &roots, declarations_count(d), &last, &note, err);
}

static int signed_head(const struct declarations *d, const char *keys, uint64_t now_ns, char **ret,
		       struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	struct om_roots roots = { root_at, (void *)d };
	int r = om_signer_open(keys, &s, err);

	return r ?: om_signer_checkpoint(s, &roots, declarations_count(d), now_ns, ret, err);
}

int declaration_head_put(const char *path, const struct declarations *d, const char *keys, uint64_t now_ns,
			 struct error_text *err)
{
	struct om_checkpoint tree = { .origin = UNSIGNED_ORIGIN, .size = declarations_count(d) };
	char name[PATH_MAX], plain[OM_CHECKPOINT_TEXT_MAX];
	_cleanup_free_ char *note = NULL;
	const char *text = plain;
	int r = path_of(path, name, err);

	if (r == 0 && keys) {
		r = signed_head(d, keys, now_ns, &note, err);
		text = note;
	} else if (r == 0) {
		declarations_root(d, (size_t)tree.size, tree.root);
		om_checkpoint_format(&tree, plain);
	}
	if (r)
		return r;
	r = om_file_put(AT_FDCWD, name, text, strlen(text), 0640);
	return r ? error_set(err, r, "%s: cannot be written: %s", name, strerror(-r)) : 0;
}
