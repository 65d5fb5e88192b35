// SPDX-License-Identifier: Apache-2.0
#include "evidence_key.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"
#include "assignment.h"
#include "file_io.h"

#define LAST "last.checkpoint"
#define NOTE_MAX 8192

struct dated_key {
	struct om_note_key key;
	uint64_t from_ns, until_ns; /* until 0: open */
};

struct om_signer {
	int dir_fd, lock_fd;
	char dir[PATH_MAX];
	size_t count;
	struct dated_key key[OM_SIGNER_KEYS_MAX * 8];
};

struct om_signer *om_signer_free(struct om_signer *s)
{
	if (!s)
		return NULL;
	sodium_memzero(s->key, sizeof(s->key));
	if (s->lock_fd >= 0)
		close(s->lock_fd);
	if (s->dir_fd >= 0)
		close(s->dir_fd);
	free(s);
	return NULL;
}

/* --- files --- */

static bool is_ours_alone(const struct stat *st)
{
	return st->st_uid == geteuid() && !(st->st_mode & 077);
}

static int write_key(const struct om_signer *s, const struct dated_key *k, struct error_text *err)
{
	char text[OM_NOTE_KEY_TEXT_MAX], from[OM_TIME_STRLEN], until[OM_TIME_STRLEN], name[32];
	char file[OM_NOTE_KEY_TEXT_MAX + 2 * OM_TIME_STRLEN + 32];
	int r;

	snprintf(file, sizeof(file), "%s\nfrom %s\nuntil %s\n", om_note_key_format(&k->key, true, text),
		 om_time_format(k->from_ns, from), k->until_ns ? om_time_format(k->until_ns, until) : "-");
	snprintf(name, sizeof(name), "%08x.key", k->key.id);
	r = om_file_put(s->dir_fd, name, file, strlen(file), 0600);
	sodium_memzero(file, sizeof(file));
	sodium_memzero(text, sizeof(text));
	if (r == 0) {
		snprintf(name, sizeof(name), "%08x.pub", k->key.id);
		snprintf(file, sizeof(file), "%s\n", om_note_key_format(&k->key, false, text));
		r = om_file_put(s->dir_fd, name, file, strlen(file), 0644);
	}
	return r ? error_set(err, r, "%s/%s: cannot be written: %s", s->dir, name, strerror(-r)) : 0;
}

static int parse_time_line(const char *line, const char *word, uint64_t *ret)
{
	char time[OM_TIME_STRLEN + 8];
	size_t n = strlen(word), len;

	if (!line || strncmp(line, word, n))
		return -EBADMSG;
	len = strcspn(line + n, "\n");
	if (len >= sizeof(time))
		return -EBADMSG;
	memcpy(time, line + n, len);
	time[len] = 0;
	*ret = 0;
	return !strcmp(time, "-") || om_time_parse(time, ret) == 0 ? 0 : -EBADMSG;
}

static int parse_key_file(char *text, struct dated_key *ret)
{
	char *line = strchr(text, '\n');
	int r;

	if (!line)
		return -EBADMSG;
	r = om_note_key_parse(text, (size_t)(line - text), &ret->key);
	if (r == 0 && !ret->key.has_secret)
		r = -EBADMSG;
	r = r ?: parse_time_line(line + 1, "from ", &ret->from_ns);
	line = strchr(line + 1, '\n');
	return r ?: parse_time_line(line ? line + 1 : NULL, "until ", &ret->until_ns);
}

static int read_key(struct om_signer *s, const char *name, struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t len;
	int r;

	if (s->count == ARRAY_SIZE(s->key))
		return error_set(err, -E2BIG, "%s: more than %zu keys", s->dir, s->count);
	if (fstatat(s->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode) || !is_ours_alone(&st))
		return error_set(err, -EPERM,
				 "%s/%s: others can read this key, or it is not ours: give it to this user "
				 "with mode 0600",
				 s->dir, name);
	r = om_file_get(s->dir_fd, name, 4096, &text, &len);
	r = r ?: strlen(text) == len ? parse_key_file(text, &s->key[s->count]) : -EBADMSG;
	if (text)
		sodium_memzero(text, len);
	if (r)
		return error_set(err, r, "%s/%s: not a key of ours: %s", s->dir, name, strerror(-r));
	if (s->count && strcmp(s->key[s->count].key.name, s->key[0].key.name))
		return error_set(err, -EEXIST, "%s: keys of two origins, %s and %s", s->dir,
				 s->key[0].key.name, s->key[s->count].key.name);
	s->count++;
	return 0;
}

static int by_age(const void *x, const void *y)
{
	const struct dated_key *a = x, *b = y;

	return a->from_ns < b->from_ns ? -1 : a->from_ns > b->from_ns ? 1 : a->key.id < b->key.id ? -1 : 1;
}

static int read_keys(struct om_signer *s, struct error_text *err)
{
	struct dirent *e;
	DIR *d = fdopendir(dup(s->dir_fd));
	int r = 0;

	if (!d)
		return -errno;
	while (r == 0 && (e = readdir(d))) {
		size_t n = strlen(e->d_name);

		if (n == 12 && !strcmp(e->d_name + 8, ".key"))
			r = read_key(s, e->d_name, err);
	}
	closedir(d);
	qsort(s->key, s->count, sizeof(s->key[0]), by_age);
	return r;
}

/* With the lock: two signers must not each think that theirs was the last. */
static int open_dir(const char *dir, int how, struct om_signer **ret, struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = calloc(1, sizeof(*s));
	struct stat st;

	if (!s)
		return -ENOMEM;
	s->dir_fd = s->lock_fd = -1;
	snprintf(s->dir, sizeof(s->dir), "%s", dir);
	s->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->dir_fd < 0 || fstat(s->dir_fd, &st))
		return error_set(err, -errno, "%s: %m: `opmeter evidence keygen` makes keys", dir);
	if (!is_ours_alone(&st))
		return error_set(err, -EPERM,
				 "%s: others can enter the keys' directory, or it is not ours: mode 0700",
				 dir);
	s->lock_fd = openat(s->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (s->lock_fd < 0 || flock(s->lock_fd, how))
		return error_set(err, -errno, "%s/lock: %m", dir);
	*ret = TAKE_PTR(s);
	return 0;
}

static int open_signer(const char *dir, int how, struct om_signer **ret, struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	int r = open_dir(dir, how, &s, err);

	r = r ?: read_keys(s, err);
	if (r == 0 && s->count == 0)
		r = error_set(err, -ENOENT, "%s: no key there: `opmeter evidence keygen` makes one", dir);
	if (r == 0)
		*ret = TAKE_PTR(s);
	return r;
}

int om_signer_open(const char *dir, struct om_signer **ret, struct error_text *err)
{
	return open_signer(dir, LOCK_EX, ret, err);
}

int om_signer_try(const char *dir, struct om_signer **ret, struct error_text *err)
{
	return open_signer(dir, LOCK_EX | LOCK_NB, ret, err);
}

static int put_last(struct om_signer *s, const char *note, struct error_text *err)
{
	int r = om_file_put(s->dir_fd, LAST, note, strlen(note), 0644);

	return r ? error_set(err, r, "%s/" LAST ": cannot be written: %s", s->dir, strerror(-r)) : 0;
}

/* That of the empty log: with it, a file that is missing later is noticed. */
static int put_empty(struct om_signer *s, const struct om_note_key *keys, size_t n, struct error_text *err)
{
	static const struct om_merkle empty;
	struct om_checkpoint c = { .size = 0 };
	char text[OM_CHECKPOINT_TEXT_MAX];
	_cleanup_free_ char *note = NULL;

	om_merkle_root(&empty, c.root);
	snprintf(c.origin, sizeof(c.origin), "%s", keys[0].name);
	note = om_note_sign(om_checkpoint_format(&c, text), keys, n);
	return note ? put_last(s, note, err) : -ENOMEM;
}

static int begin_log(struct om_signer *s, const struct om_note_key *key, struct error_text *err)
{
	if (faccessat(s->dir_fd, LAST, F_OK, 0) == 0)
		return error_set(err, -EEXIST,
				 "%s/" LAST
				 ": something was signed, and no key of it is there: a new log takes a "
				 "new directory",
				 s->dir);
	return put_empty(s, key, 1, err);
}

int om_signer_make(const char *dir, const char *origin, const uint8_t seed[32], uint64_t now_ns,
		   uint64_t overlap_ns, struct om_note_key *ret, struct error_text *err)
{
	_cleanup_(om_signer_freep) struct om_signer *s = NULL;
	struct dated_key k = { .from_ns = now_ns };
	int r = om_note_key_make(origin, seed, &k.key);

	if (r)
		return error_set(err, r, "'%s': an origin has letters, digits and . _ - /, fewer than %d",
				 origin, OM_NOTE_NAME_MAX);
	if (mkdir(dir, 0700) && errno != EEXIST)
		return error_set(err, -errno, "%s: cannot be made: %m", dir);
	r = open_dir(dir, LOCK_EX, &s, err);
	r = r ?: read_keys(s, err);
	if (r)
		return r;
	if (s->count && strcmp(s->key[0].key.name, origin))
		return error_set(err, -EEXIST, "%s: keys of origin %s are there; one directory is one log",
				 dir, s->key[0].key.name);
	/* The new one first: a crash between leaves both in force, which harms nothing. */
	r = write_key(s, &k, err);
	if (r == 0 && s->count == 0)
		r = begin_log(s, &k.key, err);
	for (size_t i = 0; i < s->count && r == 0; i++) {
		uint64_t until = now_ns + overlap_ns;

		if (s->key[i].until_ns && s->key[i].until_ns <= until)
			continue;
		s->key[i].until_ns = until;
		r = write_key(s, &s->key[i], err);
	}
	if (r == 0)
		*ret = k.key;
	sodium_memzero(&k, sizeof(k));
	return r;
}

const char *om_signer_origin(const struct om_signer *s)
{
	return s->key[0].key.name;
}

/* --- signing --- */

/* With their secrets: the caller clears them. */
static size_t in_force(const struct om_signer *s, uint64_t now_ns, struct om_note_key ret[OM_SIGNER_KEYS_MAX])
{
	size_t n = 0;

	for (size_t i = s->count; i-- && n < OM_SIGNER_KEYS_MAX;)
		if (s->key[i].from_ns <= now_ns && (!s->key[i].until_ns || now_ns < s->key[i].until_ns))
			ret[n++] = s->key[i].key;
	return n;
}

size_t om_signer_keys(const struct om_signer *s, uint64_t now_ns, struct om_note_key ret[OM_SIGNER_KEYS_MAX])
{
	size_t n = in_force(s, now_ns, ret);

	for (size_t i = 0; i < n; i++) {
		sodium_memzero(ret[i].seed, sizeof(ret[i].seed));
		ret[i].has_secret = false;
	}
	return n;
}

int om_signer_text(struct om_signer *s, const char *text, uint64_t now_ns, char **ret_note)
{
	struct om_note_key keys[OM_SIGNER_KEYS_MAX];
	size_t n = in_force(s, now_ns, keys);
	char *note = n ? om_note_sign(text, keys, n) : NULL;

	sodium_memzero(keys, sizeof(keys));
	if (n == 0)
		return -ENOKEY;
	if (!note)
		return -ENOMEM;
	*ret_note = note;
	return 0;
}

/* What was signed last, by a key of this directory. */
static int read_last(struct om_signer *s, struct om_checkpoint *ret, char **ret_note, struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	struct om_note note;
	size_t len;
	int r = om_file_get(s->dir_fd, LAST, NOTE_MAX, &text, &len);

	if (r == -ENOENT)
		return error_set(err, -EUCLEAN,
				 "%s/" LAST
				 ": missing, so nobody knows what was signed: nothing is. Put it back "
				 "from a copy; if these keys have never signed: `opmeter evidence checkpoint "
				 "--begin`",
				 s->dir);
	r = r ?: om_note_parse(text, len, &note);
	r = r ?: om_checkpoint_parse(note.text, note.text_len, ret);
	for (size_t i = 0; r == 0 && i < s->count; i++) {
		if (om_note_check(&note, &s->key[i].key) == 0) {
			*ret_note = TAKE_PTR(text);
			return 0;
		}
	}
	return error_set(err, -EUCLEAN,
			 "%s/" LAST ": not a checkpoint that these keys signed: nothing is signed until a "
			 "person has found out why",
			 s->dir);
}

int om_signer_begin(struct om_signer *s, uint64_t now_ns, struct error_text *err)
{
	struct om_note_key keys[OM_SIGNER_KEYS_MAX];
	size_t n;
	int r;

	if (faccessat(s->dir_fd, LAST, F_OK, 0) == 0)
		return error_set(err, -EEXIST, "%s/" LAST ": it is there: these keys have signed", s->dir);
	n = in_force(s, now_ns, keys);
	r = n ? put_empty(s, keys, n, err) : -ENOKEY;
	sodium_memzero(keys, sizeof(keys));
	return r;
}

int om_signer_last(struct om_signer *s, const struct om_roots *r, uint64_t size, struct om_checkpoint *ret,
		   char **ret_note, struct error_text *err)
{
	_cleanup_free_ char *note = NULL;
	uint8_t root[OM_HASH_SIZE];
	int rc = read_last(s, ret, &note, err);

	if (rc)
		return rc;
	if (size < ret->size)
		return error_set(err, -ESTALE,
				 "the log has %llu leaves, and one of %llu was signed: it was cut, or is an "
				 "old copy; nothing is signed",
				 (unsigned long long)size, (unsigned long long)ret->size);
	rc = r->root(r->ctx, ret->size, root);
	if (rc)
		return rc;
	if (memcmp(root, ret->root, sizeof(root)))
		return error_set(err, -EUCLEAN,
				 "the log's first %llu leaves are not those that were signed: it was "
				 "rewritten, or is another log; nothing is signed. A new log takes a new "
				 "origin (`opmeter evidence keygen`)",
				 (unsigned long long)ret->size);
	*ret_note = TAKE_PTR(note);
	return 0;
}

int om_signer_checkpoint(struct om_signer *s, const struct om_roots *r, uint64_t size, uint64_t now_ns,
			 char **ret_note, struct error_text *err)
{
	struct om_checkpoint c = { .size = size }, last;
	char text[OM_CHECKPOINT_TEXT_MAX];
	_cleanup_free_ char *before = NULL;
	_cleanup_free_ char *note = NULL;
	int rc = om_signer_last(s, r, size, &last, &before, err);

	rc = rc ?: r->root(r->ctx, size, c.root);
	if (rc)
		return rc;
	snprintf(c.origin, sizeof(c.origin), "%s", om_signer_origin(s));
	rc = om_signer_text(s, om_checkpoint_format(&c, text), now_ns, &note);
	if (rc == -ENOKEY)
		return error_set(err, rc, "%s: no key is in force: `opmeter evidence keygen` makes one",
				 s->dir);
	rc = rc ?: put_last(s, note, err);
	if (rc == 0)
		*ret_note = TAKE_PTR(note);
	return rc;
}
