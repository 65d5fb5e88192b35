// SPDX-License-Identifier: Apache-2.0
/* The compact form of a recorded run: docs/formats.md, "Recorded run". */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "../base/cleanup.h"
#include "run.h"

#define MAGIC "opmeter-run "
#define LINE_MAX_BYTES 1024

static int read_product(struct run *r, const char *line)
{
	struct run_product p = { 0 };
	int end = 0;

	if (sscanf(line, "p %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %8" SCNx32 " %23s %" SCNu64 " %n",
		   &p.batch, &p.m, &p.n, &p.k, &p.types, p.op, &p.calls, &end) != 7 ||
	    line[end] || strchr(line, '-'))
		return -EINVAL;
	return run_add_product(r, &p);
}

/* A number; the spaces around it are skipped. By hand: most lines of a run are of these. */
static bool read_u32(const char **at, uint32_t *ret)
{
	uint64_t v = 0;
	const char *c = *at + strspn(*at, " ");

	if (*c < '0' || *c > '9')
		return false;
	for (; *c >= '0' && *c <= '9'; c++) {
		v = v * 10 + (uint64_t)(*c - '0');
		if (v > UINT32_MAX)
			return false;
	}
	if (*c && *c != ' ')
		return false;
	*at = c + strspn(c, " ");
	*ret = (uint32_t)v;
	return true;
}

static int read_step(struct run *r, int version, const char *line)
{
	static const int fields[] = { 0, 2, 3, 6 };
	struct run_step s = { 0 };
	const char *at = line + 1;
	uint32_t *const to[] = { &s.product, &s.repeat, &s.thread, &s.a, &s.b, &s.d };
	int n = 0;

	while (n < fields[version] && read_u32(&at, to[n]))
		n++;
	if (n != fields[version] || *at || !s.repeat || s.product >= r->product_count)
		return -EINVAL;
	return run_add_step(r, &s);
}

static int read_collective(struct run *r, const char *line)
{
	struct run_collective c = { 0 };
	char kind[16];
	int end = 0;

	if (sscanf(line, "c %15s %" SCNu64 " %" SCNu64 " %n", kind, &c.bytes, &c.calls, &end) != 3 ||
	    line[end] || strchr(line, '-'))
		return -EINVAL;
	while (c.kind < RUN_COLLECTIVE_KINDS && strcmp(kind, run_collective_name(c.kind)))
		c.kind++;
	return c.kind < RUN_COLLECTIVE_KINDS ? run_add_collective(r, &c) : -EINVAL;
}

static int read_launches(struct run *r, const char *line)
{
	uint64_t launches;
	int at = 0;

	if (sscanf(line, "k %" SCNu64 " %n", &launches, &at) != 1 || !at || !line[at])
		return -EINVAL;
	return run_add_launches(r, line + at, launches);
}

static int read_fact(struct run *r, const char *line)
{
	struct run_fact f = { 0 };
	int end = 0;

	if (sscanf(line, "w %23s %71s %n", f.key, f.value, &end) != 2 || line[end])
		return -EINVAL;
	return run_add_fact(r, &f);
}

static int read_line(struct run *r, int version, char *line)
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
	if (line[0] && line[1] == ' ') {
		if (line[0] == 'p')
			return read_product(r, line);
		if (line[0] == 's')
			return read_step(r, version, line);
		if (line[0] == 'c' && version > 1)
			return read_collective(r, line);
		if (line[0] == 'k' && version > 1)
			return read_launches(r, line);
		if (line[0] == 'w' && version > 1)
			return read_fact(r, line);
	}
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

static int version_of(const char *line)
{
	if (strncmp(line, MAGIC, strlen(MAGIC)) || strlen(line) != strlen(MAGIC) + 1)
		return 0;
	return line[strlen(MAGIC)] >= '1' && line[strlen(MAGIC)] <= '3' ? line[strlen(MAGIC)] - '0' : 0;
}

static int read_all(gzFile f, const char *path, struct run *ret, struct error_text *err)
{
	char line[LINE_MAX_BYTES];
	int r, n, zerr, version = 0;

	for (n = 1; gzgets(f, line, sizeof(line)); n++) {
		size_t len = strcspn(line, "\r\n");

		if (line[len] == '\0' && len + 1 == sizeof(line))
			return error_set(err, -EINVAL, "%s:%d: the line is too long", path, n);
		line[len] = '\0';
		if (n == 1)
			version = version_of(line);
		r = n == 1 ? (version ? 0 : -EINVAL) : read_line(ret, version, line);
		if (r == -EINVAL)
			return error_set(err, r, "%s:%d: %s", path, n,
					 n == 1 ? "not an opmeter run of version 1, 2 or 3"
						: "not a line of a run");
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
	char head[12] = "";
	int n;

	if (!f)
		return error_set(err, errno ? -errno : -ENOMEM, "%s: cannot be read: %m", path);
	n = gzread(f, head, sizeof(head) - 1);
	gzclose(f);
	if (n < 0)
		return error_set(err, -EBADMSG,
				 "%s: cannot be read: a directory, or a damaged compressed file", path);
	return strncmp(head, "opmeter-run", 11) ? run_read_kineto(path, ret, err)
						: run_read_compact(path, ret, err);
}

int run_write_compact(const struct run *r, FILE *to)
{
	bool has_addresses = false;

	for (size_t i = 0; i < r->step_count; i++)
		has_addresses |= r->steps[i].a || r->steps[i].b || r->steps[i].d;
	fprintf(to, MAGIC "%d\nname %s\nsource %s\nlicence %s\ngpu %s\nkind %s\n", has_addresses ? 3 : 2,
		r->name, r->source, r->licence, r->gpu, r->kind);
	for (size_t i = 0; i < r->product_count; i++) {
		const struct run_product *p = &r->products[i];

		fprintf(to,
			"p %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %08" PRIx32 " %s %" PRIu64 "\n",
			p->batch, p->m, p->n, p->k, p->types, p->op, p->calls);
	}
	for (size_t i = 0; i < r->step_count; i++) {
		const struct run_step *s = &r->steps[i];

		fprintf(to, "s %" PRIu32 " %" PRIu32 " %" PRIu32, s->product, s->repeat, s->thread);
		if (has_addresses)
			fprintf(to, " %" PRIu32 " %" PRIu32 " %" PRIu32, s->a, s->b, s->d);
		fputc('\n', to);
	}
	for (size_t i = 0; i < r->collective_count; i++)
		fprintf(to, "c %s %" PRIu64 " %" PRIu64 "\n", run_collective_name(r->collectives[i].kind),
			r->collectives[i].bytes, r->collectives[i].calls);
	for (size_t i = 0; i < r->launch_count; i++)
		fprintf(to, "k %" PRIu64 " %s\n", r->launches[i].launches, r->launches[i].kernel);
	for (size_t i = 0; i < r->fact_count; i++)
		fprintf(to, "w %s %s\n", r->facts[i].key, r->facts[i].value);
	return fflush(to) || ferror(to) ? -EIO : 0;
}
