// SPDX-License-Identifier: Apache-2.0
/* The figures of a report: registers of a period summed under assignments, with what the sums do not tell. */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "assignment.h"
#include "report_internal.h"

#define REGISTERS_MAX 4000000

int report_figures_new(struct report_figures *f, int32_t from_day, int32_t to_day, const char *tenant)
{
	*f = (struct report_figures){
		.from_day = from_day, .to_day = to_day, .tenant = tenant, .first_entry = UINT64_MAX
	};
	f->totals = om_totals_new(REGISTERS_MAX);
	return f->totals ? 0 : -ENOMEM;
}

void report_figures_done(struct report_figures *f)
{
	om_totals_free(f->totals);
	free(f->row);
	f->totals = NULL;
	f->row = NULL;
}

static int take_readings(struct report_figures *f, uint64_t entry, const uint8_t *data, size_t len)
{
	for (size_t at = 0; at + OM_READING_SIZE <= len; at += OM_READING_SIZE) {
		struct om_reading r;
		int rc = om_reading_decode(data + at, OM_READING_SIZE, &r);

		if (rc)
			return rc;
		if ((int32_t)r.key.day < f->from_day || (int32_t)r.key.day > f->to_day)
			continue;
		rc = om_totals_put(f->totals, &r);
		if (rc < 0)
			return rc;
		if (entry < f->first_entry)
			f->first_entry = entry;
		if (entry > f->last_entry)
			f->last_entry = entry;
	}
	return 0;
}

int report_take(struct report_figures *f, enum om_entry_kind kind, uint64_t entry, const void *payload,
		size_t len)
{
	struct om_assignment a;

	if (kind == OM_ENTRY_READINGS)
		return take_readings(f, entry, payload, len);
	if (kind != OM_ENTRY_ASSIGNMENT || om_assignment_decode(payload, len, &a))
		return 0;
	return om_totals_assign(f->totals, &a) < 0 ? -ENOMEM : 0;
}

static int take_subject(void *ctx, const struct om_subject_total *s)
{
	struct report_figures *f = ctx;
	struct report_row *bigger, *r;

	if (s->registers == 0 || (f->tenant && strcmp(s->tenant, f->tenant)))
		return 0;
	bigger = reallocarray(f->row, f->rows + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	f->row = bigger;
	r = &f->row[f->rows++];
	*r = (struct report_row){ .training_low = s->training_low,
				  .training_high = s->training_high,
				  .training_ceiling = s->training_ceiling,
				  .all_low = s->all_low,
				  .all_high = s->all_high,
				  .all_ceiling = s->all_ceiling,
				  .contradicted = s->contradicted,
				  .unattributed = s->unattributed,
				  .is_bounded = s->is_bounded,
				  .attempted = s->attempted,
				  .meters = s->meters,
				  .calls = s->calls,
				  .registers = s->registers,
				  .first_day = INT32_MAX,
				  .last_day = INT32_MIN };
	snprintf(r->tenant, sizeof(r->tenant), "%s", s->tenant);
	snprintf(r->model, sizeof(r->model), "%s", s->model);
	return 0;
}

/* Which days of which row have a register. */
struct day_seen {
	size_t row;
	int32_t day;
};
struct day_list {
	struct report_figures *f;
	struct day_seen *seen;
	size_t count, room;
};

static int take_register(void *ctx, const struct om_attributed *a)
{
	struct day_list *d = ctx;
	size_t i = 0;

	while (i < d->f->rows &&
	       (strcmp(d->f->row[i].tenant, a->tenant) || strcmp(d->f->row[i].model, a->model)))
		i++;
	if (i == d->f->rows)
		return 0;
	for (int k = 0; k < OM_LOSS_END; k++)
		d->f->row[i].lost[k] += a->reading->value.lost[k];
	if (d->count == d->room) {
		size_t room = d->room ? 2 * d->room : 256;
		struct day_seen *p = reallocarray(d->seen, room, sizeof(*p));

		if (!p)
			return -ENOMEM;
		d->seen = p;
		d->room = room;
	}
	d->seen[d->count++] = (struct day_seen){ i, (int32_t)a->reading->key.day };
	return 0;
}

int report_take_totals(struct report_figures *f, const struct om_report_request *q)
{
	f->row = calloc(q->total_count + 1, sizeof(*f->row));
	if (!f->row)
		return -ENOMEM;
	for (size_t i = 0; i < q->total_count; i++) {
		const struct om_report_total *t = &q->totals[i];
		struct report_row *r = &f->row[f->rows];

		if (!t->days || (q->tenant && strcmp(q->tenant, t->tenant)))
			continue;
		f->rows++;
		*r = (struct report_row){ .training_low = t->training[0],
					  .training_high = t->training[1],
					  .training_ceiling = t->training[2],
					  .all_low = t->all[0],
					  .all_high = t->all[1],
					  .all_ceiling = t->all[2],
					  .contradicted = t->contradicted,
					  .unattributed = t->unattributed,
					  .is_bounded = t->is_bounded,
					  .attempted = t->attempted,
					  .meters = t->meters,
					  .calls = t->calls,
					  .registers = t->registers,
					  .first_day = t->first_day,
					  .last_day = t->last_day,
					  .days = t->days,
					  .is_total = true,
					  .losses = t->losses };
		snprintf(r->tenant, sizeof(r->tenant), "%s", t->tenant);
		snprintf(r->model, sizeof(r->model), "%s", t->model);
	}
	return 0;
}

static int by_row_and_day(const void *x, const void *y)
{
	const struct day_seen *a = x, *b = y;

	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	return a->day < b->day ? -1 : a->day > b->day;
}

int report_sum(struct report_figures *f)
{
	struct day_list d = { .f = f };
	int r = om_totals_each(f->totals, take_subject, f);

	r = r ?: om_totals_each_register(f->totals, take_register, &d);
	if (r == 0 && d.count)
		qsort(d.seen, d.count, sizeof(*d.seen), by_row_and_day);
	for (size_t i = 0; i < d.count && r == 0; i++) {
		struct report_row *row = &f->row[d.seen[i].row];

		if (i && !by_row_and_day(&d.seen[i], &d.seen[i - 1]))
			continue;
		row->days++;
		row->first_day = d.seen[i].day < row->first_day ? d.seen[i].day : row->first_day;
		row->last_day = d.seen[i].day > row->last_day ? d.seen[i].day : row->last_day;
	}
	free(d.seen);
	return r;
}

/* --- cells --- */

json_t *report_new(const char *name, uint64_t now_ns)
{
	char time[OM_TIME_STRLEN];

	return json_pack("{s:i,s:s,s:s,s:[],s:[]}", "v", 3, "report", name, "made",
			 om_time_format(now_ns, time), "columns", "rows");
}

void report_scope(json_t *report, const char *text)
{
	json_object_set_new(report, "scope", json_string(text));
}

void report_text_new(struct report_text *t)
{
	*t = (struct report_text){ 0 };
	t->f = open_memstream(&t->text, &t->len);
}

void report_say(struct report_text *t, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	if (t->f)
		vfprintf(t->f, fmt, args);
	va_end(args);
}

void report_said(struct report_text *t, json_t *row, const char *column, const char *none)
{
	bool is_whole = t->f && !ferror(t->f);

	is_whole = t->f && fclose(t->f) == 0 && is_whole;
	report_cell(row, column, !is_whole ? "out of memory: not told" : t->len ? t->text : none);
	free(t->text);
	*t = (struct report_text){ 0 };
}

void report_cell(json_t *row, const char *column, const char *text)
{
	json_object_set_new(row, column, json_string(text ? text : ""));
}

void report_ops(json_t *row, const char *column, opcount v)
{
	char text[OPCOUNT_STRLEN];

	report_cell(row, column, opcount_format(v, text));
}

void report_add(json_t *report, json_t *row, bool is_none)
{
	json_t *columns = json_object_get(report, "columns");
	const char *key;
	json_t *v;

	if (json_array_size(columns) == 0)
		json_object_foreach(row, key, v) json_array_append_new(columns, json_string(key));
	if (is_none)
		json_decref(row);
	else
		json_array_append_new(json_object_get(report, "rows"), row);
}

/* What a total tells of all days together is no figure of the period: it says so. */
#define OF_ALL "of all days: "
static void said(json_t *row, const char *column, const struct report_row *of, const char *text)
{
	char buf[600];

	snprintf(buf, sizeof(buf), "%s%s", of->is_total ? OF_ALL : "", text);
	report_cell(row, column, buf);
}

static void number(json_t *row, const char *column, const struct report_row *of, uint64_t v)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)v);
	said(row, column, of, text);
}

static void ops_of(json_t *row, const char *column, const struct report_row *of, opcount v)
{
	char text[OPCOUNT_STRLEN];

	said(row, column, of, opcount_format(v, text));
}

static const char *meters_text(uint32_t mask, char out[128])
{
	size_t at = 0;

	out[0] = 0;
	for (int m = 1; m < 8; m++)
		if (mask >> m & 1)
			at += (size_t)snprintf(out + at, at < 128 ? 128 - at : 0, "%s%s", at ? " " : "",
					       om_meter_name((uint8_t)m));
	return out;
}

static void losses_text(const struct report_row *r, char *out, size_t size)
{
	size_t at = 0;

	if (r->is_total && r->losses) {
		snprintf(out, size, "%llu, causes are in the nodes' ledgers", (unsigned long long)r->losses);
		return;
	}
	snprintf(out, size, "none known");
	for (int k = 0; k < OM_LOSS_END; k++)
		if (r->lost[k] && at < size)
			at += (size_t)snprintf(out + at, size - at, "%s%s %llu", at ? ", " : "",
					       om_loss_name((enum om_loss)k), (unsigned long long)r->lost[k]);
}

/* In a word whether the figures can be whole; losses and gaps say by how much they are not. */
static const char *coverage_text(const struct report_row *r)
{
	bool has_gap = r->days && (int64_t)r->last_day - r->first_day + 1 != r->days,
	     has_loss = r->losses != 0;

	for (int k = 0; k < OM_LOSS_END; k++)
		has_loss |= r->lost[k] != 0;
	if (has_loss || !r->is_bounded)
		return has_gap ? "incomplete: something could not be counted, and days are without a reading"
			       : "incomplete: something could not be counted";
	return has_gap ? "no loss known; days are without a reading: idle, or not seen"
		       : "no loss known, a reading on every day from first to last";
}

static void gaps_text(const struct report_row *r, char *out, size_t size)
{
	int64_t span = r->days ? (int64_t)r->last_day - r->first_day + 1 : 0;

	if (r->days == span)
		snprintf(out, size, "none between its first and last day");
	else
		snprintf(out, size, "%lld of %lld days without a reading", (long long)(span - r->days),
			 (long long)span);
}

void report_figure_cells(json_t *row, const struct report_row *r)
{
	char text[512], day[16];

	report_cell(row, "tenant", r->tenant);
	report_cell(row, "model", r->model);
	report_cell(row, "first_day", r->days ? date_format(r->first_day, day) : "");
	report_cell(row, "last_day", r->days ? date_format(r->last_day, day) : "");
	report_ops(row, "training_low", r->training_low);
	report_ops(row, "training_high", r->training_high);
	report_ops(row, "training_ceiling", r->training_ceiling);
	report_ops(row, "all_low", r->all_low);
	report_ops(row, "all_high", r->all_high);
	report_ops(row, "all_ceiling", r->all_ceiling);
	ops_of(row, "contradicted", r, r->contradicted);
	ops_of(row, "unattributed", r, r->unattributed);
	said(row, "bounded", r, r->is_bounded ? "yes" : "no: some work has no upper bound");
	said(row, "attempted", r, r->attempted ? "yes: no device meter behind some of it" : "no");
	report_cell(row, "coverage", coverage_text(r));
	said(row, "meters", r, meters_text(r->meters, text));
	losses_text(r, text, sizeof(text));
	said(row, "losses", r, text);
	gaps_text(r, text, sizeof(text));
	report_cell(row, "gaps", text);
	number(row, "calls", r, r->calls);
	number(row, "registers", r, r->registers);
}

/* In thousandths of a percent, rounded down; saturated where the product passes 2^128. */
static void percent(opcount figure, opcount threshold, char out[48])
{
	opcount ppm = OPCOUNT_MAX;

	if (figure <= OPCOUNT_MAX / 100000)
		ppm = figure * 100000 / threshold;
	snprintf(out, 48, "%s%llu.%03u %%", ppm > 99999999 ? "over " : "",
		 (unsigned long long)((ppm > 99999999 ? 99999999 : ppm) / 1000),
		 (unsigned)(ppm > 99999999 ? 999 : ppm % 1000));
}

void report_threshold_cell(json_t *row, const struct report_row *r, const struct om_report_request *q)
{
	char low[48], high[48], figure[OPCOUNT_STRLEN];
	struct report_text t;

	report_text_new(&t);
	for (size_t i = 0; q->regimes && i < regimes_count(q->regimes); i++) {
		const struct regime *g = regimes_at(q->regimes, i);

		if (g->kind != REGIME_THRESHOLD || !regime_holds_on(g, q->to_day) || !g->threshold)
			continue;
		/* A threshold that the law has not set is no number. */
		if (g->threshold_missing) {
			report_say(&t, "%s%s %s (%s, digest %.12s): conditional(%s)",
				   report_has(&t) ? "; " : "", g->id, g->version, regime_mode_name(g->mode),
				   g->digest, g->threshold_missing);
			continue;
		}
		percent(r->training_low, g->threshold, low);
		percent(r->training_high, g->threshold, high);
		report_say(&t, "%s%s %s (%s, digest %.12s): %s to %s of %s", report_has(&t) ? "; " : "",
			   g->id, g->version, regime_mode_name(g->mode), g->digest, low, high,
			   opcount_human(g->threshold, figure));
	}
	report_said(&t, row, "regimes", q->regimes ? "none holds" : "not asked for");
}
