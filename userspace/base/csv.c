// SPDX-License-Identifier: Apache-2.0
#include "csv.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "cleanup.h"
#include "text.h"

#define BUFFER_SIZE (1u << 16)

struct csv {
	int fd; /* -1: memory */
	const uint8_t *at, *end;
	uint8_t *buffer;
	uint64_t read, size;
	uint64_t line; /* of the next byte */
	char *row;
	size_t len, room;
	size_t *start; /* of each field in the row */
	size_t count;
	char *field[CSV_FIELDS_MAX];
	int error;
	bool begun, is_utf16;
	crypto_hash_sha256_state hash;
};

static int new_reader(struct csv **ret)
{
	_cleanup_(csv_freep) struct csv *c = calloc(1, sizeof(*c));

	if (!c)
		return -ENOMEM;
	c->fd = -1;
	c->line = 1;
	c->room = 4096;
	c->row = malloc(c->room);
	c->start = malloc(CSV_FIELDS_MAX * sizeof(*c->start));
	if (!c->row || !c->start)
		return -ENOMEM;
	crypto_hash_sha256_init(&c->hash);
	*ret = TAKE_PTR(c);
	return 0;
}

int csv_open(const char *path, struct csv **ret, struct error_text *err)
{
	_cleanup_(csv_freep) struct csv *c = NULL;
	struct stat st;
	int r = new_reader(&c);

	if (r)
		return r;
	c->buffer = malloc(BUFFER_SIZE);
	if (!c->buffer)
		return -ENOMEM;
	c->fd = strcmp(path, "-") ? open(path, O_RDONLY | O_CLOEXEC) : dup(STDIN_FILENO);
	if (c->fd < 0 || fstat(c->fd, &st))
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, -EISDIR, "%s: is a directory", path);
	c->size = S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	*ret = TAKE_PTR(c);
	return 0;
}

int csv_memory(const void *text, size_t len, struct csv **ret)
{
	int r = new_reader(ret);

	if (r)
		return r;
	(*ret)->at = text;
	(*ret)->end = (*ret)->at + len;
	(*ret)->size = (*ret)->read = len;
	crypto_hash_sha256_update(&(*ret)->hash, text, len);
	return 0;
}

struct csv *csv_free(struct csv *c)
{
	if (!c)
		return NULL;
	if (c->fd >= 0)
		close(c->fd);
	free(c->buffer);
	free(c->row);
	free(c->start);
	free(c);
	return NULL;
}

uint64_t csv_offset(const struct csv *c)
{
	return c->read - (uint64_t)(c->end - c->at);
}

uint64_t csv_size(const struct csv *c)
{
	return c->size;
}

void csv_digest(struct csv *c, char ret[65])
{
	unsigned char hash[crypto_hash_sha256_BYTES];

	crypto_hash_sha256_final(&c->hash, hash);
	sodium_bin2hex(ret, 65, hash, sizeof(hash));
}

/* True if a byte is there. */
static bool fill(struct csv *c)
{
	ssize_t n;

	if (c->fd < 0 || c->error)
		return false;
	do
		n = read(c->fd, c->buffer, BUFFER_SIZE);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		c->error = -errno;
	if (n <= 0)
		return false;
	crypto_hash_sha256_update(&c->hash, c->buffer, (size_t)n);
	c->read += (uint64_t)n;
	c->at = c->buffer;
	c->end = c->at + n;
	return true;
}

static inline int peek(struct csv *c)
{
	return c->at < c->end || fill(c) ? *c->at : -1;
}

static int put(struct csv *c, char byte)
{
	if (c->len == c->room) {
		char *more;

		if (c->room >= CSV_ROW_MAX)
			return -E2BIG;
		more = realloc(c->row, c->room * 2);
		if (!more)
			return -ENOMEM;
		c->row = more;
		c->room *= 2;
	}
	c->row[c->len++] = byte;
	return 0;
}

/* Takes a line end of any kind. */
static void take_line_end(struct csv *c)
{
	if (*c->at++ == '\r' && peek(c) == '\n')
		c->at++;
	c->line++;
}

static bool is_field_end(int byte)
{
	return byte < 0 || byte == ',' || byte == '\n' || byte == '\r';
}

/* Its byte order mark, or every other byte a zero: what spreadsheets save as "Unicode". */
static bool is_utf16(const uint8_t *at, size_t len)
{
	return len >= 2 &&
	       ((at[0] == 0xff && at[1] == 0xfe) || (at[0] == 0xfe && at[1] == 0xff) || !at[0] != !at[1]);
}

static const char *put_or_say(struct csv *c, int byte)
{
	int r;

	if (byte == 0)
		return "a NUL byte";
	r = put(c, (char)byte);
	if (r == -E2BIG)
		return "a row of over 1 MiB (a quote that never closes?)";
	if (r)
		c->error = r;
	return r ? "out of memory" : NULL;
}

static const char *read_quoted(struct csv *c)
{
	const char *problem = NULL;

	c->at++;
	while (!problem) {
		int byte = peek(c);

		if (byte < 0)
			return "a quote that never closes";
		if (byte == '"') {
			c->at++;
			if (peek(c) != '"')
				return is_field_end(peek(c)) ? NULL : "text after a closing quote";
		}
		/* A line end inside is kept as it is; CR LF counts once. */
		if (byte == '\n')
			c->line++;
		c->at++;
		if (byte == '\r' && peek(c) != '\n')
			c->line++;
		problem = put_or_say(c, byte);
	}
	return problem;
}

static const char *read_plain(struct csv *c)
{
	const char *problem = NULL;
	int byte;

	while (!problem && !is_field_end(byte = peek(c))) {
		if (byte == '"')
			return "a quote inside a field that does not begin with one";
		c->at++;
		problem = put_or_say(c, byte);
	}
	return problem;
}

/* One row, to its line end. NULL, or what is wrong. */
static const char *read_row(struct csv *c)
{
	const char *problem;

	for (;;) {
		if (c->count == CSV_FIELDS_MAX)
			return "more than 1024 fields";
		c->start[c->count++] = c->len;
		problem = peek(c) == '"' ? read_quoted(c) : read_plain(c);
		if (problem || put(c, '\0'))
			return problem ?: "a row of over 1 MiB";
		if (peek(c) != ',')
			return NULL;
		c->at++;
	}
}

static void skip_to_line_end(struct csv *c)
{
	int byte;

	while ((byte = peek(c)) >= 0 && byte != '\n' && byte != '\r')
		c->at++;
}

static void pass_mark(struct csv *c)
{
	static const uint8_t mark[] = { 0xef, 0xbb, 0xbf };

	c->begun = true;
	/* The first buffer of a file or a pipe holds three bytes, or there are no more. */
	if (peek(c) == mark[0] && c->end - c->at >= 3 && !memcmp(c->at, mark, 3))
		c->at += 3;
	c->is_utf16 = is_utf16(c->at, (size_t)(c->end - c->at));
}

static void check_encoding(struct csv *c, struct csv_row *ret)
{
	for (size_t i = 0; i < c->count; i++) {
		if (text_is_utf8(c->field[i]))
			continue;
		ret->problem = "text that is not UTF-8";
		ret->problem_column = i + 1;
		ret->is_encoding = true;
		return;
	}
}

int csv_next(struct csv *c, struct csv_row *ret)
{
	if (!c->begun)
		pass_mark(c);
	memset(ret, 0, sizeof(*ret));
	while (peek(c) == '\n' || peek(c) == '\r')
		take_line_end(c);
	if (peek(c) < 0)
		return c->error ?: CSV_END;
	c->len = c->count = 0;
	ret->line = c->line;
	ret->problem = read_row(c);
	if (c->is_utf16) {
		ret->problem = "the file is UTF-16, not UTF-8";
		ret->is_encoding = true;
	}
	if (ret->problem) {
		ret->problem_column = c->count;
		skip_to_line_end(c);
	}
	if (c->error)
		return c->error;
	ret->last_line = c->line;
	if (peek(c) >= 0)
		take_line_end(c);
	if (ret->problem)
		return CSV_BAD;
	for (size_t i = 0; i < c->count; i++)
		c->field[i] = c->row + c->start[i];
	ret->field = c->field;
	ret->count = c->count;
	check_encoding(c, ret);
	return ret->problem ? CSV_BAD : CSV_ROW;
}
