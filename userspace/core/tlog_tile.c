// SPDX-License-Identifier: Apache-2.0
/* The static layout of a log: C2SP tlog-tiles. */
#include "tlog.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *om_tile_path(const struct om_tile *t, char buf[OM_TILE_PATH_MAX])
{
	char number[48] = "";
	uint64_t n = t->index;
	size_t at;

	/* From the last group of three digits to the first: all but the last begin with x. */
	for (int groups = 0; groups == 0 || n; groups++, n /= 1000) {
		char rest[sizeof(number)];

		memcpy(rest, number, sizeof(rest));
		snprintf(number, sizeof(number), "%s%03u%s%.40s", groups ? "x" : "", (unsigned)(n % 1000),
			 groups ? "/" : "", rest);
	}
	if (t->level == OM_TILE_ENTRIES)
		at = (size_t)snprintf(buf, OM_TILE_PATH_MAX, "tile/entries/%s", number);
	else
		at = (size_t)snprintf(buf, OM_TILE_PATH_MAX, "tile/%d/%s", t->level, number);
	if (t->width < OM_TILE_WIDTH && at < OM_TILE_PATH_MAX)
		snprintf(buf + at, OM_TILE_PATH_MAX - at, ".p/%u", t->width);
	return buf;
}

/* Digits without a sign, blank or needless zero; "000" is a group of its own kind. */
static int parse_group(const char **s, uint64_t *n)
{
	for (int i = 0; i < 3; i++) {
		if (**s < '0' || **s > '9' || *n > (UINT64_MAX - 9) / 10)
			return -EINVAL;
		*n = *n * 10 + (uint64_t)(*(*s)++ - '0');
	}
	return 0;
}

int om_tile_parse(const char *path, struct om_tile *ret)
{
	struct om_tile t = { .width = OM_TILE_WIDTH };
	char again[OM_TILE_PATH_MAX];
	const char *s = path;

	if (!strncmp(s, "tile/entries/", 13)) {
		t.level = OM_TILE_ENTRIES;
		s += 13;
	} else if (!strncmp(s, "tile/", 5) && s[5] >= '0' && s[5] <= '7' && s[6] == '/') {
		t.level = s[5] - '0';
		s += 7;
	} else {
		return -EINVAL;
	}
	for (int groups = 0; groups < 6 && *s == 'x'; groups++) {
		s++;
		if (parse_group(&s, &t.index) || *s++ != '/')
			return -EINVAL;
	}
	if (parse_group(&s, &t.index))
		return -EINVAL;
	if (!strncmp(s, ".p/", 3)) {
		t.width = 0;
		for (s += 3; *s >= '0' && *s <= '9' && t.width < OM_TILE_WIDTH; s++)
			t.width = t.width * 10 + (unsigned)(*s - '0');
	}
	/* One path a tile: what is not written back as it was is none. */
	if (*s || t.width == 0 || t.width > OM_TILE_WIDTH || strcmp(om_tile_path(&t, again), path))
		return -EINVAL;
	*ret = t;
	return 0;
}

unsigned om_tile_width(uint64_t size, int level, uint64_t index)
{
	unsigned shift = level == OM_TILE_ENTRIES ? 0 : OM_TILE_LEVELS * (unsigned)level;
	uint64_t n = shift > 63 ? 0 : size >> shift;

	if (index >= n / OM_TILE_WIDTH + (n % OM_TILE_WIDTH != 0))
		return 0;
	n -= index * OM_TILE_WIDTH;
	return n > OM_TILE_WIDTH ? OM_TILE_WIDTH : (unsigned)n;
}

int om_tile_read(const struct om_tlog_reader *r, const struct om_tile *t,
		 uint8_t ret[OM_TILE_WIDTH * OM_HASH_SIZE])
{
	int rc = t->level < 0 || t->width > OM_TILE_WIDTH ? -EINVAL : 0;

	for (unsigned i = 0; i < t->width && rc == 0; i++)
		rc = r->read(r->ctx, OM_TILE_LEVELS * (unsigned)t->level, t->index * OM_TILE_WIDTH + i,
			     ret + i * OM_HASH_SIZE);
	return rc;
}
