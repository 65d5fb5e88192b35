// SPDX-License-Identifier: Apache-2.0
/*
 * A period's figures of a fleet: the list of its models, then each one's series by day. The series is what
 * the server sums from the registers and holds against the total; one that does not agree is no figure.
 */
#include "report_fleet.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "../core/format.h"

#define TRIES 5

void fleet_totals_done(struct fleet_totals *t)
{
	free(t->item);
	json_decref(t->totals);
	t->item = NULL;
	t->totals = NULL;
}

static int keep(void *ctx, const json_t *total)
{
	return json_array_append(ctx, (json_t *)total) ? -ENOMEM : 0;
}

static int list_models(const struct api_client *c, const char *tenant, json_t *totals, struct error_text *err)
{
	_cleanup_free_ char *name = tenant ? api_client_escape(tenant) : NULL, *target = NULL;
	bool is_one = false;
	int r = 0;

	if ((tenant && !name) || asprintf(&target, "/v1/totals?limit=10000&group=model%s%s",
					  name ? "&tenant=" : "", name ?: "") < 0)
		return -ENOMEM;
	for (int i = 0; r == 0 && !is_one && i < TRIES; i++) {
		json_array_clear(totals);
		r = api_client_pages(c, target, "totals", keep, totals, &is_one, err);
	}
	/* Each series is held against its own total: a list of several moments may only lack a model. */
	if (r == 0 && !is_one)
		log_warn("the totals changed from page to page: a model that came meanwhile may be missing");
	return r;
}

static const char *text_of(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key)) ?: "";
}

static int count_of(const json_t *o, const char *key, opcount *ret)
{
	return opcount_parse(text_of(o, key), ret) ? -EBADMSG : 0;
}

static uint64_t number_of(const json_t *o, const char *key)
{
	return strtoull(text_of(o, key), NULL, 10);
}

static int add_bounds(opcount to[3], const json_t *day, const char *key)
{
	static const char *const bounds[] = { "low", "high", "ceiling" };
	const json_t *o = json_object_get(day, key);
	opcount v;

	for (int i = 0; i < 3; i++) {
		if (count_of(o, bounds[i], &v))
			return -EBADMSG;
		opcount_add_saturating(&to[i], v);
	}
	return 0;
}

static int take_days(const json_t *days, struct om_report_total *t)
{
	const json_t *day;
	int32_t at;
	size_t i;

	json_array_foreach(days, i, day)
	{
		if (date_parse(text_of(day, "day"), &at) || add_bounds(t->training, day, "training_day") ||
		    add_bounds(t->all, day, "all_day"))
			return -EBADMSG;
		t->first_day = t->days && t->first_day < at ? t->first_day : at;
		t->last_day = t->days && t->last_day > at ? t->last_day : at;
		t->days++;
	}
	return 0;
}

static int take_total(const json_t *o, struct om_report_total *t)
{
	const json_t *name;
	uint8_t meter;
	size_t i;

	t->tenant = text_of(o, "tenant");
	t->model = text_of(o, "model");
	t->is_bounded = json_is_true(json_object_get(o, "bounded"));
	t->attempted = json_is_true(json_object_get(o, "attempted"));
	t->losses = number_of(o, "losses");
	t->calls = number_of(o, "calls");
	t->registers = number_of(o, "registers");
	json_array_foreach(json_object_get(o, "meters"), i,
			   name) if (om_meter_parse(json_string_value(name) ?: "", &meter) == 0 && meter < 32)
		t->meters |= 1u << meter;
	return count_of(o, "contradicted", &t->contradicted) ?: count_of(o, "unattributed", &t->unattributed);
}

static char *series_target(const struct om_report_total *t, int32_t from_day, int32_t to_day)
{
	_cleanup_free_ char *tenant = api_client_escape(t->tenant), *model = api_client_escape(t->model);
	char from[16], to[16], *target;

	if (!tenant || !model ||
	    asprintf(&target, "/v1/models/%s/%s/series?from=%s&to=%s", tenant, model,
		     date_format(from_day, from), date_format(to_day, to)) < 0)
		return NULL;
	return target;
}

/* While totals grow a series may be between two of them: that is one state of them, too. */
static int ask_series(const struct api_client *c, const char *target, json_t **ret, struct error_text *err)
{
	for (int i = 0; i < TRIES; i++) {
		json_t *o = NULL;
		int r = api_client_get(c, target, &o, err);

		if (r)
			return r;
		if (strcmp(text_of(json_object_get(o, "check"), "agrees"), "no") != 0) {
			*ret = o;
			return 0;
		}
		json_decref(o);
	}
	return error_set(err, -EAGAIN, "%s: its days do not come to its total", target);
}

static int take_model(const struct api_client *c, int32_t from_day, int32_t to_day, const json_t *total,
		      struct fleet_totals *all, struct error_text *err)
{
	struct om_report_total *t = &all->item[all->count];
	_cleanup_(json_decrefp) json_t *series = NULL;
	_cleanup_free_ char *target = NULL;
	const json_t *as_of;
	int r = take_total(total, t);

	if (r == 0 && t->registers) {
		target = series_target(t, from_day, to_day);
		r = target ? ask_series(c, target, &series, err) : -ENOMEM;
		r = r ?: take_days(json_object_get(series, "days"), t);
	}
	if (r == -EBADMSG)
		return error_set(err, -EIO, "%s: an answer that is none of the API's", c->url);
	if (r)
		return r;
	all->count++;
	as_of = json_object_get(series, "as_of");
	if (as_of)
		snprintf(all->as_of, sizeof(all->as_of), "%s", text_of(as_of, "time"));
	if (as_of)
		snprintf(all->fleet, sizeof(all->fleet), "%s", text_of(as_of, "fleet"));
	return 0;
}

int fleet_totals_load(const struct api_client *c, const char *tenant, int32_t from_day, int32_t to_day,
		      struct fleet_totals *ret, struct error_text *err)
{
	const json_t *total;
	size_t i;
	int r = api_client_check(c, err);

	*ret = (struct fleet_totals){ .totals = json_array(), .fleet = "of that server", .as_of = "now" };
	r = r ?: ret->totals ? list_models(c, tenant, ret->totals, err) : -ENOMEM;
	if (r)
		return r;
	ret->item = calloc(json_array_size(ret->totals) + 1, sizeof(*ret->item));
	if (!ret->item)
		return -ENOMEM;
	json_array_foreach(ret->totals, i, total)
	{
		r = take_model(c, from_day, to_day, total, ret, err);
		if (r)
			return r;
	}
	return 0;
}
