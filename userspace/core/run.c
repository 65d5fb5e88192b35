// SPDX-License-Identifier: Apache-2.0
#include "run.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../base/cleanup.h"
#include "format.h"
#include "gemm_entries.h"

#define MAGIC "opmeter-run 1"
#define ITEMS_MAX 4000000
#define LINE_MAX_BYTES 1024

void run_done(struct run *r)
{
	free(r->products);
	free(r->steps);
	memset(r, 0, sizeof(*r));
}

static bool same_product(const struct run_product *a, const struct run_product *b)
{
	return a->batch == b->batch && a->m == b->m && a->n == b->n && a->k == b->k && a->types == b->types &&
	       !strcmp(a->op, b->op);
}

static int new_product(struct run *r, const struct run_product *p)
{
	if (r->product_count == r->product_room) {
		size_t room = r->product_room ? 2 * r->product_room : 64;
		struct run_product *more;

		if (r->product_count >= ITEMS_MAX)
			return -EOVERFLOW;
		more = reallocarray(r->products, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->products = more;
		r->product_room = room;
	}
	r->products[r->product_count] = *p;
	r->products[r->product_count++].calls = 0;
	return 0;
}

static int add_step(struct run *r, uint32_t product, uint32_t repeat)
{
	if (r->step_count && r->steps[r->step_count - 1].product == product &&
	    r->steps[r->step_count - 1].repeat <= UINT32_MAX - repeat) {
		r->steps[r->step_count - 1].repeat += repeat;
		return 0;
	}
	if (r->step_count == r->step_room) {
		size_t room = r->step_room ? 2 * r->step_room : 256;
		struct run_step *more;

		if (r->step_count >= ITEMS_MAX)
			return -EOVERFLOW;
		more = reallocarray(r->steps, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		r->steps = more;
		r->step_room = room;
	}
	r->steps[r->step_count++] = (struct run_step){ product, repeat };
	return 0;
}

int run_add(struct run *r, const struct run_product *p)
{
	size_t i = 0;
	int rc;

	/* A run has tens to hundreds of shapes: a search is cheaper than an index. */
	while (i < r->product_count && !same_product(&r->products[i], p))
		i++;
	if (i == r->product_count) {
		rc = new_product(r, p);
		if (rc)
			return rc;
	}
	r->products[i].calls++;
	return add_step(r, (uint32_t)i, 1);
}

uint8_t run_format(const struct run_product *p)
{
	return om_format_from_cuda(p->types & 255, p->types >> 8 & 255, p->types >> 24);
}

static int product_ops(const struct run_product *p, opcount *ret)
{
	opcount v;

	if (opcount_mul((opcount)p->m * p->n, p->k, &v) || opcount_mul(v, p->batch, &v) ||
	    opcount_mul(v, p->calls, &v) || v > OPCOUNT_MAX / 8)
		return -EOVERFLOW;
	*ret = om_gemm_ops(v, run_format(p));
	return 0;
}

int run_ops(const struct run *r, opcount *ret)
{
	opcount sum = 0, ops;

	for (size_t i = 0; i < r->product_count; i++)
		if (product_ops(&r->products[i], &ops) || opcount_add(sum, ops, &sum))
			return -EOVERFLOW;
	*ret = sum;
	return 0;
}

uint64_t run_calls(const struct run *r)
{
	uint64_t n = 0;

	for (size_t i = 0; i < r->product_count; i++)
		n += r->products[i].calls;
	return n;
}

static int read_product(struct run *r, const char *line)
{
	struct run_product p = { 0 };
	uint64_t calls;
	int end = 0, rc;

	if (sscanf(line, "p %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %8" SCNx32 " %23s %" SCNu64 " %n",
		   &p.batch, &p.m, &p.n, &p.k, &p.types, p.op, &calls, &end) != 7 ||
	    line[end] || strchr(line, '-'))
		return -EINVAL;
	rc = new_product(r, &p);
	if (rc == 0)
		r->products[r->product_count - 1].calls = calls;
	return rc;
}

static int read_step(struct run *r, const char *line)
{
	uint32_t product, repeat;
	int end = 0;

	if (sscanf(line, "s %" SCNu32 " %" SCNu32 " %n", &product, &repeat, &end) != 2 || line[end] ||
	    !repeat || product >= r->product_count)
		return -EINVAL;
	return add_step(r, product, repeat);
}

static int read_line(struct run *r, char *line)
{
	struct {
		const char *word;
		char *to;
		size_t size;
	} texts[] = { { "name ", r->name, sizeof(r->name) },
		      { "source ", r->source, sizeof(r->source) },
		      { "licence ", r->licence, sizeof(r->licence) },
		      { "gpu ", r->gpu, sizeof(r->gpu) },
		      { "kind ", r->kind, sizeof(r->kind) } };

	if (!line[0] || line[0] == '#')
		return 0;
	if (line[0] == 'p' && line[1] == ' ')
		return read_product(r, line);
	if (line[0] == 's' && line[1] == ' ')
		return read_step(r, line);
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		size_t n = strlen(texts[i].word);

		if (strncmp(line, texts[i].word, n))
			continue;
		if (strlen(line + n) >= texts[i].size)
			return -EINVAL;
		strcpy(texts[i].to, line + n);
		return 0;
	}
	return -EINVAL;
}

/* The order, where it is given, must make the calls that the products say. */
static int check_steps(const struct run *r)
{
	_cleanup_free_ uint64_t *calls = calloc(r->product_count + 1, sizeof(*calls));

	if (!calls)
		return -ENOMEM;
	for (size_t i = 0; i < r->step_count; i++)
		calls[r->steps[i].product] += r->steps[i].repeat;
	for (size_t i = 0; r->step_count && i < r->product_count; i++)
		if (calls[i] != r->products[i].calls)
			return -EINVAL;
	return 0;
}

static int read_all(gzFile f, const char *path, struct run *ret, struct error_text *err)
{
	char line[LINE_MAX_BYTES];
	int r, n, zerr;

	for (n = 1; gzgets(f, line, sizeof(line)); n++) {
		size_t len = strcspn(line, "\r\n");

		if (line[len] == '\0' && len + 1 == sizeof(line))
			return error_set(err, -EINVAL, "%s:%d: the line is too long", path, n);
		line[len] = '\0';
		r = n == 1 ? (strcmp(line, MAGIC) ? -EINVAL : 0) : read_line(ret, line);
		if (r == -EINVAL)
			return error_set(err, r, "%s:%d: %s", path, n,
					 n == 1 ? "not an opmeter run, version 1" : "not a line of a run");
		if (r)
			return error_set(err, r, "%s:%d: %s", path, n, strerror(-r));
	}
	gzerror(f, &zerr);
	if (zerr != Z_OK && zerr != Z_STREAM_END)
		return error_set(err, -EBADMSG,
				 "%s: the compressed file is damaged or cut short after line %d", path,
				 n - 1);
	r = check_steps(ret);
	return r == -EINVAL ? error_set(err, r, "%s: its s lines do not make the calls of its p lines", path)
			    : r;
}

int run_read_compact(const char *path, struct run *ret, struct error_text *err)
{
	gzFile f = gzopen(path, "rbe");
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!f)
		return error_set(err, errno ? -errno : -ENOMEM, "%s: cannot be read: %m", path);
	r = read_all(f, path, ret, err);
	gzclose(f);
	if (r)
		run_done(ret);
	return r;
}

int run_load(const char *path, struct run *ret, struct error_text *err)
{
	gzFile f = gzopen(path, "rbe");
	char head[sizeof(MAGIC)] = "";
	int n;

	if (!f)
		return error_set(err, errno ? -errno : -ENOMEM, "%s: cannot be read: %m", path);
	n = gzread(f, head, sizeof(MAGIC) - 1);
	gzclose(f);
	if (n < 0)
		return error_set(err, -EBADMSG,
				 "%s: cannot be read: a directory, or a damaged compressed file", path);
	return strncmp(head, "opmeter-run", 11) ? run_read_kineto(path, ret, err)
						: run_read_compact(path, ret, err);
}

int run_write_compact(const struct run *r, FILE *to)
{
	fprintf(to, MAGIC "\nname %s\nsource %s\nlicence %s\ngpu %s\nkind %s\n", r->name, r->source,
		r->licence, r->gpu, r->kind);
	for (size_t i = 0; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i];

		fprintf(to,
			"p %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %08" PRIx32 " %s %" PRIu64 "\n",
			p->batch, p->m, p->n, p->k, p->types, p->op, p->calls);
	}
	for (size_t i = 0; i < r->step_count; i++)
		fprintf(to, "s %" PRIu32 " %" PRIu32 "\n", r->steps[i].product, r->steps[i].repeat);
	return fflush(to) || ferror(to) ? -EIO : 0;
}
