// SPDX-License-Identifier: Apache-2.0
#include "evidence_tar.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

#define BLOCK 512

void om_tar_files_done(struct om_tar_files *f)
{
	for (size_t i = 0; f->owns && i < f->count; i++)
		free((void *)f->file[i].data);
	free(f->file);
	f->file = NULL;
	f->count = 0;
}

static bool name_is_valid(const char *name, size_t len)
{
	static const char set[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/";

	if (len == 0 || len > OM_TAR_NAME_MAX || name[0] == '/' || name[len - 1] == '/')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!name[i] || !strchr(set, name[i]) ||
		    (name[i] == '.' && (i == 0 || name[i - 1] == '/' || name[i - 1] == '.')) ||
		    (name[i] == '/' && name[i + 1] == '/'))
			return false;
	return true;
}

int om_tar_add(struct om_tar_files *f, const char *name, void *data, size_t len)
{
	int r = !data ? -ENOMEM : !name_is_valid(name, strlen(name)) ? -EINVAL : 0;
	struct om_tar_file *bigger;

	if (r == 0 && f->count == OM_TAR_FILES_MAX)
		r = -E2BIG;
	bigger = r ? NULL : reallocarray(f->file, f->count + 1, sizeof(*f->file));
	if (!bigger) {
		if (f->owns)
			free(data);
		return r ?: -ENOMEM;
	}
	f->file = bigger;
	f->file[f->count] = (struct om_tar_file){ .data = data, .len = len };
	strcpy(f->file[f->count++].name, name);
	return 0;
}

const struct om_tar_file *om_tar_find(const struct om_tar_files *f, const char *name)
{
	for (size_t i = 0; i < f->count; i++)
		if (!strcmp(f->file[i].name, name))
			return &f->file[i];
	return NULL;
}

static void write_header(const struct om_tar_file *f, uint8_t block[BLOCK])
{
	unsigned sum = 0;
	char size[13];

	memset(block, 0, BLOCK);
	memcpy(block, f->name, strlen(f->name));
	memcpy(block + 100, "0000644", 8);
	memcpy(block + 108, "0000000", 8);
	memcpy(block + 116, "0000000", 8);
	snprintf(size, sizeof(size), "%011llo", (unsigned long long)f->len);
	memcpy(block + 124, size, 12);
	memcpy(block + 136, "00000000000", 12);
	memset(block + 148, ' ', 8);
	block[156] = '0';
	memcpy(block + 257,
	       "ustar\0"
	       "00",
	       8);
	for (int i = 0; i < BLOCK; i++)
		sum += block[i];
	snprintf((char *)block + 148, 8, "%06o", sum);
	block[155] = ' ';
}

static size_t padded(size_t len)
{
	return (len + BLOCK - 1) / BLOCK * BLOCK;
}

int om_tar_write(const struct om_tar_files *f, uint8_t **ret, size_t *ret_len)
{
	size_t total = 2 * BLOCK, at = 0;
	uint8_t *out;

	for (size_t i = 0; i < f->count; i++)
		total += BLOCK + padded(f->file[i].len);
	out = calloc(1, total);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < f->count; i++) {
		write_header(&f->file[i], out + at);
		memcpy(out + at + BLOCK, f->file[i].data, f->file[i].len);
		at += BLOCK + padded(f->file[i].len);
	}
	*ret = out;
	*ret_len = total;
	return 0;
}

static int parse_size(const uint8_t *s, size_t *ret)
{
	size_t v = 0;

	for (int i = 0; i < 11; i++) {
		if (s[i] < '0' || s[i] > '7')
			return -EBADMSG;
		v = v * 8 + (size_t)(s[i] - '0');
	}
	*ret = v;
	return 0;
}

static bool is_zero(const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (p[i])
			return false;
	return true;
}

/* One file at `at`; *at moves behind it. */
static int read_one(const uint8_t *data, size_t len, size_t *at, struct om_tar_files *files)
{
	char name[OM_TAR_NAME_MAX + 1] = "";
	uint8_t again[BLOCK];
	struct om_tar_file f;
	size_t size;

	if (len - *at < BLOCK || parse_size(data + *at + 124, &size) || size > len - *at - BLOCK ||
	    padded(size) > len - *at - BLOCK)
		return -EBADMSG;
	memcpy(name, data + *at, OM_TAR_NAME_MAX);
	if (!name_is_valid(name, strlen(name)) || om_tar_find(files, name))
		return -EBADMSG;
	f.len = size;
	strcpy(f.name, name);
	write_header(&f, again);
	if (memcmp(again, data + *at, BLOCK) || !is_zero(data + *at + BLOCK + size, padded(size) - size))
		return -EBADMSG;
	size = om_tar_add(files, name, (void *)(data + *at + BLOCK), f.len) ? SIZE_MAX : size;
	*at += BLOCK + padded(f.len);
	return size == SIZE_MAX ? -EBADMSG : 0;
}

int om_tar_read(const uint8_t *data, size_t len, struct om_tar_files *ret)
{
	struct om_tar_files files = { 0 };
	size_t at = 0;
	int r = len % BLOCK || len < 2 * BLOCK ? -EBADMSG : 0;

	while (r == 0 && at < len && data[at])
		r = read_one(data, len, &at, &files);
	if (r == 0 && (len - at != 2 * BLOCK || !is_zero(data + at, len - at)))
		r = -EBADMSG;
	if (r) {
		om_tar_files_done(&files);
		return r;
	}
	*ret = files;
	return 0;
}
