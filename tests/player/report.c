// SPDX-License-Identifier: Apache-2.0
#include "player.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/format.h"

struct sum {
	opcount ops;
	uint64_t calls;
};

/* One multiply and one add of each of m n k batch elements; a complex multiply is
 * four and two real ones, a complex add two. */
static int operations(const struct call *c, uint64_t calls, uint8_t *ret_format, opcount *ret)
{
	const struct product *p = &c->product;
	unsigned compute = p->types >> 24;
	opcount v = calls;
	int r;

	*ret_format =
		om_format_from_cuda(p->types & 0xff, p->types >> 8 & 0xff, compute == 0xff ? 0 : compute);
	r = opcount_mul(v, *ret_format & OM_FORMAT_COMPLEX ? 8 : 2, &v);
	r = r ?: opcount_mul(v, p->m, &v);
	r = r ?: opcount_mul(v, p->n, &v);
	r = r ?: opcount_mul(v, p->k, &v);
	r = r ?: opcount_mul(v, p->batch, &v);
	*ret = v;
	return r;
}

static json_t *sum_json(const struct sum *s)
{
	char text[OPCOUNT_STRLEN];

	return json_pack("{s:s, s:I}", "ops", opcount_format(s->ops, text), "calls", (json_int_t)s->calls);
}

static int fill(json_t *root, const struct call *calls, size_t n_calls, const struct tally *t)
{
	struct sum total = { 0 }, by_format[256] = { 0 };
	json_t *formats = json_object(), *shapes = json_array(), *status = json_object();
	char text[OPCOUNT_STRLEN];
	int r = 0;

	for (size_t i = 0; i < n_calls && !r; i++) {
		const struct product *p = &calls[i].product;
		uint8_t format;
		opcount ops;

		r = operations(&calls[i], t->calls[i], &format, &ops);
		by_format[format].ops += ops;
		by_format[format].calls += t->calls[i];
		total.ops += ops;
		total.calls += t->calls[i];
		snprintf(text, sizeof(text), "%08x", p->types);
		json_array_append_new(shapes, json_pack("[I,I,I,I,s,s,I]", (json_int_t)p->batch,
							(json_int_t)p->m, (json_int_t)p->n, (json_int_t)p->k,
							text, calls[i].via->name, (json_int_t)t->calls[i]));
	}
	for (unsigned i = 0; i < 256; i++)
		if (by_format[i].calls)
			json_object_set_new(formats, om_format_name((uint8_t)i), sum_json(&by_format[i]));
	for (unsigned i = 0; i < STATUS_MAX; i++) {
		snprintf(text, sizeof(text), "%u", i);
		if (t->status[i])
			json_object_set_new(status, text, json_integer((json_int_t)t->status[i]));
	}
	json_object_set_new(root, "ops", json_string(opcount_format(total.ops, text)));
	json_object_set_new(root, "calls", json_integer((json_int_t)total.calls));
	json_object_set_new(root, "formats", formats);
	json_object_set_new(root, "status", status);
	json_object_set_new(root, "shapes", shapes);
	return r;
}

int report_write(const char *path, const struct program *p, const struct call *calls, size_t n_calls,
		 const struct tally *t, struct error_text *err)
{
	json_t *root = json_pack("{s:s, s:i, s:f}", "name", p->name, "pid", (int)getpid(), "seconds",
				 (double)t->time_ns / 1e9);
	char part[4096];
	int r = root ? fill(root, calls, n_calls, t) : -ENOMEM;

	if (r)
		return error_set(err, r, "the report: %s", strerror(-r));
	/* A reader never sees half a report. */
	snprintf(part, sizeof(part), "%s.part", path);
	if (!strcmp(path, "-"))
		r = json_dumpf(root, stdout, JSON_COMPACT | JSON_REAL_PRECISION(6)) || puts("") < 0;
	else
		r = json_dump_file(root, part, JSON_COMPACT | JSON_REAL_PRECISION(6)) || rename(part, path);
	json_decref(root);
	return r ? error_set(err, -EIO, "%s: can't be written", path) : 0;
}
