// SPDX-License-Identifier: Apache-2.0
/*
 * The alerts that were said, as the topics have them: each id once, in the order of their
 * own times, which is the same for every instance. Of more than there is room for the
 * latest stay.
 */
#include "api_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *const api_severity_names[API_SEVERITIES] = { "info", "warning", "critical" };

void api_alerts_init(struct api_alerts *a, size_t max)
{
	*a = (struct api_alerts){ .max = max, .is_sorted = true };
	pthread_mutex_init(&a->lock, NULL);
}

static void free_alert(struct api_alert *one)
{
	free(one->tenant);
	free(one->event);
	free(one->told);
}

void api_alerts_done(struct api_alerts *a)
{
	for (size_t i = 0; i < a->count; i++)
		free_alert(&a->item[i]);
	free(a->item);
	id_set_done(&a->known);
	pthread_mutex_destroy(&a->lock);
}

/* docs/alerts.md, the table. */
static enum api_severity severity_of(enum alert_type type, const json_t *data)
{
	const char *level = json_string_value(json_object_get(data, "level"));

	if (type == ALERT_DATA || type == ALERT_DUTY || type == ALERT_FORECAST)
		return API_WARNING;
	if (type != ALERT_LEVEL || !level || !strcmp(level, "notice"))
		return API_INFO;
	return strcmp(level, "exceeded") ? API_WARNING : API_CRITICAL;
}

/* Whose alert it is, where that is certain: else only those who may see all see it. What could not be metered
 * or attributed is for those who run the machines. Copied. */
static char *tenant_of(enum alert_type type, const json_t *event, const json_t *data)
{
	const char *subject = json_string_value(json_object_get(event, "subject")) ?: "";
	const char *group = json_string_value(json_object_get(data, "group"));
	const char *slash = strchr(subject, '/');

	if (type == ALERT_DATA || type == ALERT_OWNER || !slash || strchr(slash + 1, '/') ||
	    (group && strcmp(group, "model")) ||
	    (!group && (!strncmp(subject, "lineage/", 8) || !strncmp(subject, "family/", 7))))
		return NULL;
	return strndup(subject, (size_t)(slash - subject));
}

/* What the tenant itself is told: the figures and what the law says of them, and nothing of whether somebody
 * looks into it. Cases are restricted so that nobody is warned. malloc'ed. */
static char *told_of(const json_t *event)
{
	_cleanup_(json_decrefp) json_t *copy = json_deep_copy(event);
	json_t *data = json_object_get(copy, "data");

	json_object_del(data, "case");
	json_object_del(data, "findings");
	return copy ? json_dumps(copy, JSON_COMPACT) : NULL;
}

static int compare_alerts(const void *x, const void *y)
{
	const struct api_alert *a = x, *b = y;

	if (a->time_ns != b->time_ns)
		return a->time_ns < b->time_ns ? -1 : 1;
	return strcmp(a->id, b->id);
}

static void sort(struct api_alerts *a)
{
	if (!a->is_sorted && a->count)
		qsort(a->item, a->count, sizeof(*a->item), compare_alerts);
	a->is_sorted = true;
}

/* The oldest go, a tenth at a time. */
static void make_room(struct api_alerts *a)
{
	size_t n = a->max / 10 + 1;

	if (a->count < a->max)
		return;
	sort(a);
	n = n < a->count ? n : a->count;
	for (size_t i = 0; i < n; i++)
		free_alert(&a->item[i]);
	memmove(a->item, a->item + n, (a->count - n) * sizeof(*a->item));
	a->count -= n;
	a->dropped += n;
}

static int append(struct api_alerts *a, struct api_alert *one)
{
	make_room(a);
	if (a->count == a->room) {
		size_t room = a->room ? 2 * a->room : 64;
		struct api_alert *more = reallocarray(a->item, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		a->item = more;
		a->room = room;
	}
	a->is_sorted = a->is_sorted && (!a->count || compare_alerts(&a->item[a->count - 1], one) < 0);
	a->item[a->count++] = *one;
	a->said[one->severity]++;
	return 0;
}

int api_alerts_take(struct api_alerts *a, const json_t *event, bool is_shadow)
{
	const char *id = json_string_value(json_object_get(event, "id"));
	const char *type_name = json_string_value(json_object_get(event, "type"));
	const char *time = json_string_value(json_object_get(event, "time"));
	const json_t *data = json_object_get(event, "data");
	struct api_alert one = { .is_shadow = is_shadow };
	enum alert_type type;
	struct om_id known;
	int r;

	if (!id || !type_name || !time || om_id_parse(id, &known) || alert_type_parse(type_name, &type) ||
	    om_time_parse(time, &one.time_ns) || type == ALERT_HEARTBEAT || type == ALERT_CASE)
		return 1;
	om_id_format(&known, one.id);
	one.type = alert_type_name(type);
	one.severity = severity_of(type, data);
	one.tenant = tenant_of(type, event, data);
	one.event = json_dumps(event, JSON_COMPACT);
	one.told = one.tenant && !is_shadow ? told_of(event) : NULL;
	pthread_mutex_lock(&a->lock);
	r = one.event ? id_set_add(&a->known, &known) : -ENOMEM;
	if (r == 0)
		r = append(a, &one);
	pthread_mutex_unlock(&a->lock);
	if (r)
		free_alert(&one);
	return r;
}

uint64_t api_alerts_dropped(struct api_alerts *a)
{
	uint64_t n;

	pthread_mutex_lock(&a->lock);
	n = a->dropped;
	pthread_mutex_unlock(&a->lock);
	return n;
}

static bool fits(const struct api_alert *one, const struct api_alerts_ask *ask)
{
	if (ask->tenant && (!one->tenant || strcmp(one->tenant, ask->tenant)))
		return false;
	if ((ask->type && strcmp(ask->type, one->type)) ||
	    (ask->has_severity && ask->severity != one->severity))
		return false;
	if (api_token_may_all(ask->token))
		return true;
	/* A shadow verdict is nobody's yet. */
	return one->told && api_token_may_tenant(ask->token, one->tenant);
}

/* The first that is not before a time and id; sorted. */
static size_t first_from(const struct api_alerts *a, const struct api_alert *from)
{
	size_t low = 0, high = a->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (compare_alerts(&a->item[middle], from) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

int api_alerts_each(struct api_alerts *a, const struct api_alerts_ask *ask,
		    int (*fn)(void *ctx, const struct api_alert *alert), void *ctx, bool *ret_more)
{
	struct api_alert from = { .time_ns = ask->since_ns };
	size_t n = 0;
	int r = 0;

	*ret_more = false;
	if (ask->after_id && ask->after_ns >= ask->since_ns) {
		from.time_ns = ask->after_ns;
		snprintf(from.id, sizeof(from.id), "%s", ask->after_id);
	}
	pthread_mutex_lock(&a->lock);
	sort(a);
	for (size_t i = first_from(a, &from); r == 0 && i < a->count; i++) {
		if (!fits(&a->item[i], ask) || (ask->after_id && compare_alerts(&a->item[i], &from) == 0))
			continue;
		if (n++ == ask->limit) {
			*ret_more = true;
			break;
		}
		r = fn(ctx, &a->item[i]);
	}
	pthread_mutex_unlock(&a->lock);
	return r;
}
