// SPDX-License-Identifier: Apache-2.0
#include "player.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "userspace/base/cleanup.h"

#define PRODUCTS_MAX 65536
#define ORDER_MAX (64u << 20)

void program_done(struct program *p)
{
	free(p->product);
	free(p->order);
	free(p->thread);
	free(p->buffers);
	*p = (struct program){ 0 };
}

static int parse_fields(const char *s, uint64_t *f, size_t n, char separator, const char **ret_rest)
{
	for (size_t i = 0; i < n; i++) {
		char *end;

		if (*s < '0' || *s > '9')
			return -EINVAL;
		errno = 0;
		f[i] = strtoull(s, &end, 10);
		if (errno || *end != separator)
			return -EINVAL;
		s = end + 1;
	}
	*ret_rest = s;
	return 0;
}

static int parse_types(const char *s, char end, uint32_t *ret, const char **ret_rest)
{
	char *rest;

	*ret = (uint32_t)strtoul(s, &rest, 16);
	if (rest - s != 8 || *rest != end)
		return -EINVAL;
	*ret_rest = rest + (end ? 1 : 0);
	return 0;
}

int program_parse_product(const char *text, struct product *ret)
{
	uint64_t f[4];
	const char *rest;

	if (parse_fields(text, f, 4, ',', &rest) || parse_types(rest, '\0', &ret->types, &rest))
		return -EINVAL;
	ret->batch = f[0];
	ret->m = f[1];
	ret->n = f[2];
	ret->k = f[3];
	return f[0] && f[1] && f[2] && f[3] ? 0 : -EINVAL;
}

static int add_product(struct program *p, const struct product *product)
{
	if (p->n_products == PRODUCTS_MAX)
		return -E2BIG;
	if (!p->product)
		p->product = calloc(PRODUCTS_MAX, sizeof(*p->product));
	if (!p->product)
		return -ENOMEM;
	p->product[p->n_products++] = *product;
	return 0;
}

static int add_order(struct program *p, uint32_t index, uint64_t times, uint64_t thread,
		     const struct buffers *buffers)
{
	if (index >= p->n_products)
		return -EINVAL;
	if (times > ORDER_MAX - p->n_order)
		return -E2BIG;
	if (!p->order)
		p->order = malloc(ORDER_MAX * sizeof(*p->order)); /* touched as far as it is used */
	if (!p->thread)
		p->thread = malloc(ORDER_MAX);
	if (buffers && !p->buffers)
		p->buffers = malloc(ORDER_MAX * sizeof(*p->buffers));
	if (!p->order || !p->thread || (buffers && !p->buffers))
		return -ENOMEM;
	for (uint64_t i = 0; i < times; i++) {
		p->thread[p->n_order] = thread < 255 ? (uint8_t)thread : 255;
		if (buffers)
			p->buffers[p->n_order] = *buffers;
		p->order[p->n_order++] = index;
	}
	return 0;
}

int program_add(struct program *p, const struct product *product, uint64_t calls)
{
	int r = add_product(p, product);

	return r ? r : add_order(p, (uint32_t)p->n_products - 1, calls, 0, NULL);
}

struct reading {
	struct program *p;
	uint64_t *calls; /* of each product, played in a row if the file gives no order */
	bool has_order;
	int version;
};

/* "p <batch> <m> <n> <k> <types hex> <op> <calls>" */
static int take_product(struct reading *r, const char *s)
{
	struct product p;
	uint64_t f[4], calls;
	const char *rest;

	if (parse_fields(s, f, 4, ' ', &rest) || parse_types(rest, ' ', &p.types, &rest))
		return -EINVAL;
	rest = strchr(rest, ' ');
	if (!rest || parse_fields(rest + 1, &calls, 1, '\0', &rest) || !f[0] || !f[1] || !f[2] || !f[3])
		return -EINVAL;
	p.batch = f[0];
	p.m = f[1];
	p.n = f[2];
	p.k = f[3];
	if (r->p->n_products < PRODUCTS_MAX)
		r->calls[r->p->n_products] = calls;
	return add_product(r->p, &p);
}

/* "s <index of p line> <repeat>", the thread from version 2 on, buffers in version 3 */
static int take_order(struct reading *r, const char *s)
{
	static const int fields[] = { 0, 2, 3, 6 };
	uint64_t f[6] = { 0 };
	struct buffers buffers;
	const char *rest;
	int n = fields[r->version];

	if (parse_fields(s, f, n - 1, ' ', &rest) || parse_fields(rest, &f[n - 1], 1, '\0', &rest))
		return -EINVAL;
	r->has_order = true;
	for (int i = 0; i < 3; i++) {
		if (f[3 + i] > UINT32_MAX)
			return -EINVAL;
		buffers.at[i] = (uint32_t)f[3 + i];
	}
	return add_order(r->p, f[0] > UINT32_MAX ? UINT32_MAX : (uint32_t)f[0], f[1], n > 2 ? f[2] : 0,
			 n > 3 ? &buffers : NULL);
}

static int take_line(struct reading *r, const char *line)
{
	/* The last three are of version 2, and no products. */
	static const char *const known[] = { "name ", "source ", "licence ", "gpu ", "kind ", "c ", "k ", "w " };

	if (!line[0] || line[0] == '#')
		return 0;
	if (!strncmp(line, "p ", 2))
		return take_product(r, line + 2);
	if (!strncmp(line, "s ", 2))
		return take_order(r, line + 2);
	for (size_t i = 0; i < ARRAY_SIZE(known); i++)
		if (!strncmp(line, known[i], strlen(known[i])))
			return 0;
	return -EINVAL;
}

static void gzclosep(gzFile *f)
{
	if (*f)
		gzclose(*f);
}

static int read_lines(gzFile f, const char *path, struct reading *r, struct error_text *err)
{
	static const char *const versions[] = { "", "opmeter-run 1", "opmeter-run 2", "opmeter-run 3" };
	char line[512];
	unsigned number = 0;

	while (gzgets(f, line, sizeof(line))) {
		int rc;

		number++;
		line[strcspn(line, "\n")] = '\0';
		if (number == 1) {
			for (r->version = 3; r->version && strcmp(line, versions[r->version]); r->version--)
				;
			rc = r->version ? 0 : -EINVAL;
		} else
			rc = take_line(r, line);
		if (rc)
			return error_set(err, rc, "%s:%u: %s", path, number,
					 rc == -EINVAL ? "not as in docs/formats.md, \"Recorded run\""
						       : strerror(-rc));
	}
	return gzeof(f) && number ? 0 : error_set(err, -EIO, "%s:%u: can't be read on", path, number);
}

int program_read(const char *path, struct program *ret, struct error_text *err)
{
	_cleanup_(gzclosep) gzFile f = gzopen(path, "rb");
	_cleanup_free_ uint64_t *calls = calloc(PRODUCTS_MAX, sizeof(*calls));
	struct reading r = { .p = ret, .calls = calls };
	int rc;

	if (!f)
		return error_set(err, errno ? -errno : -ENOMEM, "%s: %s", path, strerror(errno));
	if (!calls)
		return -ENOMEM;
	rc = read_lines(f, path, &r, err);
	for (size_t i = 0; !rc && !r.has_order && i < ret->n_products; i++)
		rc = add_order(ret, (uint32_t)i, calls[i], 0, NULL);
	if (!rc && !ret->n_order)
		return error_set(err, -EINVAL, "%s: no products", path);
	return rc ? error_set(err, rc, "%s: %s", path, strerror(-rc)) : 0;
}
