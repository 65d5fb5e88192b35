// SPDX-License-Identifier: Apache-2.0
/* The file of declarations: its chain, what holds of it at a time, and appending to it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"
#include "declaration.h"
#include "declaration_head.h"

#define FILE_MAX (64u << 20)

struct declarations {
	struct declaration *item;      /* in the file's order */
	uint32_t *by_subject;	       /* positions: by subject, kind, other, then the latest first */
	uint8_t (*leaf)[OM_HASH_SIZE]; /* of the lines */
	size_t count, room;
	char last[65]; /* digest of the last line */
};

struct declarations *declarations_free(struct declarations *d)
{
	if (!d)
		return NULL;
	free(d->item);
	free(d->by_subject);
	free(d->leaf);
	free(d);
	return NULL;
}

size_t declarations_count(const struct declarations *d)
{
	return d ? d->count : 0;
}

const struct declaration *declarations_at(const struct declarations *d, size_t i)
{
	return &d->item[i];
}

bool declarations_continue(const struct declarations *d, const struct declarations *before)
{
	size_t n = before->count;

	if (d->count <= n)
		return d->count == n && !strcmp(d->last, before->last);
	/* An id covers the digest of the line before it. */
	return n == 0 || om_id_equal(&d->item[n - 1].id, &before->item[n - 1].id);
}

void declarations_root(const struct declarations *d, size_t size, uint8_t ret[OM_HASH_SIZE])
{
	struct om_merkle tree = { .size = 0 };

	for (size_t i = 0; i < size; i++)
		om_merkle_append(&tree, d->leaf[i]);
	om_merkle_root(&tree, ret);
}

static void digest_line(const void *line, size_t len, char out[65])
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256(hash, line, len);
	sodium_bin2hex(out, 65, hash, sizeof(hash));
}

static struct declaration *find_id(struct declarations *d, const char *hex)
{
	struct om_id id;

	if (om_id_parse(hex, &id))
		return NULL;
	for (size_t i = 0; i < d->count; i++)
		if (om_id_equal(&d->item[i].id, &id))
			return &d->item[i];
	return NULL;
}

static int make_room(struct declarations *d)
{
	size_t room = d->room ? 2 * d->room : 64;
	struct declaration *bigger;
	uint8_t(*leaf)[OM_HASH_SIZE];

	if (d->count < d->room)
		return 0;
	bigger = reallocarray(d->item, room, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	d->item = bigger;
	leaf = reallocarray(d->leaf, room, sizeof(*leaf));
	if (!leaf)
		return -ENOMEM;
	d->leaf = leaf;
	d->room = room;
	return 0;
}

/* Whether a new record may stand behind those that are there. */
static int check_record(struct declarations *d, const struct declaration *new, const char *prev,
			struct error_text *err)
{
	const struct declaration *of = new->kind == DECLARE_WITHDRAWAL ? find_id(d, new->other) : NULL;

	if (strcmp(prev, d->last))
		return error_set(err, -EBADMSG,
				 "the line before it is not the one that it was written behind");
	if (new->kind != DECLARE_WITHDRAWAL)
		return 0;
	if (!of)
		return error_set(err, -EBADMSG, "withdraws %s, and there is no such record before it",
				 new->other);
	if (of->kind == DECLARE_WITHDRAWAL || of->withdrawn_ns)
		return error_set(err, -EBADMSG, "withdraws what is a withdrawal or withdrawn");
	if (strcmp(of->subject, new->subject))
		return error_set(err, -EBADMSG, "withdraws a record of another subject");
	return 0;
}

static int add_line(struct declarations *d, const char *line, size_t len, unsigned number,
		    struct error_text *err)
{
	struct declaration new;
	char prev[65];
	int r = declaration_decode(line, len, &new, prev, err);

	r = r ?: check_record(d, &new, prev, err);
	if (r == 0 && d->count == DECLARATIONS_MAX)
		r = error_set(err, -E2BIG, "more than %d records", DECLARATIONS_MAX);
	r = r ?: make_room(d);
	if (r)
		return r;
	new.line = number;
	om_merkle_leaf_hash(line, len, d->leaf[d->count]);
	d->item[d->count++] = new;
	if (new.kind == DECLARE_WITHDRAWAL)
		find_id(d, new.other)->withdrawn_ns = new.at_ns;
	digest_line(line, len, d->last);
	return 0;
}

static int compare_keys(const struct declaration *a, const struct declaration *b)
{
	int r = strcmp(a->subject, b->subject);

	if (r == 0)
		r = (int)a->kind - (int)b->kind;
	return r ?: strcmp(a->other, b->other);
}

static int compare_index(const void *x, const void *y, void *ctx)
{
	const struct declarations *d = ctx;
	uint32_t i = *(const uint32_t *)x, k = *(const uint32_t *)y;
	const struct declaration *a = &d->item[i], *b = &d->item[k];
	int r = compare_keys(a, b);

	if (r)
		return r;
	if (a->at_ns != b->at_ns)
		return a->at_ns > b->at_ns ? -1 : 1;
	return i > k ? -1 : 1; /* the later line */
}

static int make_index(struct declarations *d)
{
	d->by_subject = calloc(d->count + 1, sizeof(*d->by_subject));
	if (!d->by_subject)
		return -ENOMEM;
	for (size_t i = 0; i < d->count; i++)
		d->by_subject[i] = (uint32_t)i;
	qsort_r(d->by_subject, d->count, sizeof(*d->by_subject), compare_index, d);
	return 0;
}

int declarations_parse(const char *name, const void *text, size_t len, struct declarations **ret,
		       struct error_text *err)
{
	_cleanup_(declarations_freep) struct declarations *d = calloc(1, sizeof(*d));
	const char *at = text, *end = at + len;
	unsigned number = 0;
	int r = 0;

	if (!d)
		return -ENOMEM;
	memset(d->last, '0', 64);
	while (at < end) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		struct error_text why = { 0 };

		number++;
		if (!stop) /* cut while it was written: the chain cannot go on behind it */
			return error_set(err, -EINVAL, "%s:%u: the line has no end", name, number);
		r = add_line(d, at, (size_t)(stop - at), number, &why);
		if (r == -ENOMEM)
			return r;
		if (r)
			return error_set(err, -EINVAL, "%s:%u: %s", name, number, why.text);
		at = stop + 1;
	}
	r = make_index(d);
	if (r)
		return r;
	*ret = TAKE_PTR(d);
	return 0;
}

static int read_all(int fd, const char *path, char **ret, size_t *ret_len, struct error_text *err)
{
	_cleanup_free_ char *text = NULL;
	struct stat st;
	size_t at = 0;
	ssize_t n;

	if (fstat(fd, &st))
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	if (st.st_size > FILE_MAX)
		return error_set(err, -EFBIG, "%s: over 64 MiB", path);
	text = malloc((size_t)st.st_size + 1);
	if (!text)
		return -ENOMEM;
	while (at < (size_t)st.st_size &&
	       (n = pread(fd, text + at, (size_t)st.st_size - at, (off_t)at)) != 0) {
		if (n < 0)
			return error_set(err, -errno, "%s: cannot be read: %m", path);
		at += (size_t)n;
	}
	*ret_len = at;
	*ret = TAKE_PTR(text);
	return 0;
}

/* What is there with its head; the file is locked by the caller, or may grow meanwhile. */
static int load_open(int fd, const char *path, const struct declaration_head *head, struct declarations **ret,
		     size_t *ret_len, struct error_text *err)
{
	_cleanup_(declarations_freep) struct declarations *d = NULL;
	_cleanup_free_ char *text = NULL;
	int r = read_all(fd, path, &text, ret_len, err);

	r = r ?: declarations_parse(path, text, *ret_len, &d, err);
	r = r ?: declaration_head_check(path, head, d, err);
	if (r == 0)
		*ret = TAKE_PTR(d);
	return r;
}

int declarations_load(const char *path, struct declarations **ret, struct error_text *err)
{
	_cleanup_(declaration_head_done) struct declaration_head head = { .text = NULL };
	_cleanup_close_ int fd = -1;
	size_t len;
	int r = declaration_head_read(path, &head, err);

	if (r)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	return load_open(fd, path, &head, ret, &len, err);
}

/* Between a record and its head the head names one less. Whoever may read the file may hold its lock: nobody
 * is waited for without end. */
static int lock_shared(int fd, const char *path, bool wait, struct error_text *err)
{
	for (int tries = wait ? 250 : 1; flock(fd, LOCK_SH | LOCK_NB); usleep(20000)) {
		if (errno != EWOULDBLOCK)
			return error_set(err, -errno, "%s: cannot be locked: %m", path);
		if (--tries == 0)
			return error_set(err, -EAGAIN, "%s: is locked: is a record being written?", path);
	}
	return 0;
}

int declarations_load_signed(const char *path, const char *keys, bool wait, struct declarations **ret,
			     struct error_text *err)
{
	_cleanup_(declaration_head_done) struct declaration_head head = { .text = NULL };
	_cleanup_(declarations_freep) struct declarations *d = NULL;
	struct om_note_key key[DECLARATION_KEYS_MAX];
	_cleanup_close_ int fd = -1;
	size_t len, count;
	int r = declaration_head_keys(keys, key, &count, err);

	if (r)
		return r;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	r = lock_shared(fd, path, wait, err);
	if (r)
		return r;
	r = declaration_head_read(path, &head, err);
	r = r ?: load_open(fd, path, &head, &d, &len, err);
	r = r ?: declaration_head_verify(path, &head, d, key, count, err);
	if (r == 0)
		*ret = TAKE_PTR(d);
	return r;
}

static size_t first_of(const struct declarations *d, const char *subject)
{
	size_t lo = 0, hi = d->count;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (strcmp(d->item[d->by_subject[mid]].subject, subject) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

bool declarations_concern(const struct declarations *d, const char *subject)
{
	size_t i = d && d->count ? first_of(d, subject) : 0;

	return d && i < d->count && !strcmp(d->item[d->by_subject[i]].subject, subject);
}

static bool holds(const struct declaration *c, uint64_t now_ns)
{
	return c->at_ns <= now_ns && (!c->withdrawn_ns || c->withdrawn_ns > now_ns);
}

const struct declaration *declarations_next(const struct declarations *d, const char *subject,
					    enum declaration_kind kind, uint64_t now_ns,
					    const struct declaration *after)
{
	const struct declaration *c;

	if (!d || !d->count)
		return NULL;
	for (size_t i = first_of(d, subject); i < d->count; i++) {
		c = &d->item[d->by_subject[i]];
		if (strcmp(c->subject, subject))
			return NULL;
		/* The first that holds of a key is the latest; the others of that key are passed over. */
		if (c->kind != kind || !holds(c, now_ns))
			continue;
		if (after && strcmp(c->other, after->other) <= 0)
			continue;
		return c;
	}
	return NULL;
}

/* A directory entry that is not synced may be gone after a crash, and the file with it. */
static int sync_directory(const char *path)
{
	_cleanup_free_ char *dir = strdup(path);
	_cleanup_close_ int fd = -1;
	char *slash = dir ? strrchr(dir, '/') : NULL;

	if (!dir)
		return -ENOMEM;
	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 || fsync(fd) ? -errno : 0;
}

/* The whole line behind the `end` bytes that are there, or nothing: half a line would make the file
 * unreadable. */
static int write_line(int fd, const char *path, size_t end, const char *line, struct error_text *err)
{
	size_t len = strlen(line), at = 0;
	int r = 0;

	while (r == 0 && at < len) {
		ssize_t n = write(fd, line + at, len - at);

		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR)
			r = error_set(err, -errno, "%s: cannot be written: %m", path);
	}
	if (r == 0 && fsync(fd))
		r = error_set(err, -errno, "%s: cannot be synced: %m", path);
	if (r == 0 && end == 0 && sync_directory(path))
		r = error_set(err, -EIO, "%s: its directory cannot be synced: %m", path);
	if (r && ftruncate(fd, (off_t)end))
		return error_set(err, r, "%s: the disk took half a line and does not give it back: %m", path);
	return r;
}

/* The record behind those that are known, checked as it will be read: what would not be read back is not
 * written. *ret: the line with its end. */
static int line_of(struct declarations *known, struct declaration *d, char **ret, struct error_text *err)
{
	_cleanup_free_ char *line = declaration_encode(d, known->last);
	struct declaration check;
	struct error_text why = { 0 };
	char prev[65], *with_end;
	int r;

	if (!line)
		return -ENOMEM;
	r = declaration_decode(line, strlen(line), &check, prev, &why);
	r = r ?: check_record(known, &check, prev, &why);
	if (r)
		return error_set(err, r == -ENOMEM ? r : -EINVAL, "%s", why.text);
	with_end = realloc(line, strlen(line) + 2);
	if (!with_end)
		return -ENOMEM;
	line = NULL;
	*ret = strcat(with_end, "\n");
	return 0;
}

int declarations_append(const char *path, struct declaration *d, const char *keys, uint64_t now_ns,
			struct error_text *err)
{
	_cleanup_(declaration_head_done) struct declaration_head head = { .text = NULL };
	_cleanup_(declarations_freep) struct declarations *known = NULL;
	_cleanup_close_ int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0640);
	_cleanup_free_ char *line = NULL;
	size_t len;
	int r;

	if (fd < 0)
		return error_set(err, -errno, "%s: cannot be opened: %m", path);
	if (flock(fd, LOCK_EX))
		return error_set(err, -errno, "%s: cannot be locked: %m", path);
	r = declaration_head_read(path, &head, err);
	r = r ?: load_open(fd, path, &head, &known, &len, err);
	r = r ?: declaration_head_may_grow(path, &head, known, keys, err);
	r = r ?: line_of(known, d, &line, err);
	r = r ?: write_line(fd, path, len, line, err);
	if (r)
		return r;
	r = add_line(known, line, strlen(line) - 1, (unsigned)known->count + 1, err);
	r = r ?: declaration_head_put(path, known, keys, now_ns, err);
	return r ? 1 : 0;
}
