// SPDX-License-Identifier: Apache-2.0
/*
 * Assignments from their JSON. A fleet reads one or more for each job whenever it
 * starts, so what its own nodes write (compact, plain ASCII, no escapes, the fields of
 * docs/formats.md in any order) is read in place. Whatever is written otherwise, or is
 * none, goes through the JSON library, which decides. Both fill the same fields, and one
 * function judges them: a fuzzer holds the two to each other.
 */
#include "assignment.h"

#include <errno.h>
#include <string.h>
#include <jansson.h>

#include "../base/cleanup.h"

#define VERSION 2
#define VERSION_SERVES 2 /* the first that has this kind */
#define PPM 1000000u

/* Objects of the record. */
enum object { EVENT, DATA, SHARE, AUTHOR, OBJECT_END };

/* What is read of them. The event's own attributes are known and not looked at. */
enum field {
	FIELD_V,
	FIELD_LEDGER,
	FIELD_JOB,
	FIELD_KIND,
	FIELD_VALUE,
	FIELD_FROM,
	FIELD_TO,
	FIELD_EVIDENCE,
	FIELD_AT,
	FIELD_LOW,
	FIELD_HIGH,
	FIELD_RULE,
	FIELD_VERSION,
	FIELD_PERSON,
	FIELD_READ,
	FIELD_ID = FIELD_READ,
	FIELD_SOURCE,
	FIELD_TYPE,
	FIELD_TIME,
	FIELD_SPEC,
	FIELD_CONTENT,
	FIELD_DATA,
	FIELD_SHARE,
	FIELD_AUTHOR,
	FIELD_END
};

#define NAME(text) text, sizeof(text) - 1
static const struct {
	enum object in;
	const char *name;
	size_t len;
	enum object opens; /* 0: a string or a number */
} fields[FIELD_END] = {
	[FIELD_V] = { DATA, NAME("v"), 0 },
	[FIELD_LEDGER] = { DATA, NAME("ledger"), 0 },
	[FIELD_JOB] = { DATA, NAME("job"), 0 },
	[FIELD_KIND] = { DATA, NAME("kind"), 0 },
	[FIELD_VALUE] = { DATA, NAME("value"), 0 },
	[FIELD_FROM] = { DATA, NAME("from"), 0 },
	[FIELD_TO] = { DATA, NAME("to"), 0 },
	[FIELD_EVIDENCE] = { DATA, NAME("evidence"), 0 },
	[FIELD_AT] = { DATA, NAME("at"), 0 },
	[FIELD_LOW] = { SHARE, NAME("low"), 0 },
	[FIELD_HIGH] = { SHARE, NAME("high"), 0 },
	[FIELD_RULE] = { AUTHOR, NAME("rule"), 0 },
	[FIELD_VERSION] = { AUTHOR, NAME("version"), 0 },
	[FIELD_PERSON] = { AUTHOR, NAME("person"), 0 },
	[FIELD_ID] = { EVENT, NAME("id"), 0 },
	[FIELD_SOURCE] = { EVENT, NAME("source"), 0 },
	[FIELD_TYPE] = { EVENT, NAME("type"), 0 },
	[FIELD_TIME] = { EVENT, NAME("time"), 0 },
	[FIELD_SPEC] = { EVENT, NAME("specversion"), 0 },
	[FIELD_CONTENT] = { EVENT, NAME("datacontenttype"), 0 },
	[FIELD_DATA] = { EVENT, NAME("data"), DATA },
	[FIELD_SHARE] = { DATA, NAME("share"), SHARE },
	[FIELD_AUTHOR] = { DATA, NAME("author"), AUTHOR },
};

enum seen { ABSENT, IS_NULL, IS_STRING, IS_INTEGER, IS_OBJECT, IS_OTHER };

struct record {
	struct {
		enum seen seen;
		const char *at; /* a string's bytes, no zero behind them */
		size_t len;
		long long number;
	} field[FIELD_END];
};

struct cursor {
	const char *at, *end;
};

static bool is_next(struct cursor *c, char ch)
{
	if (c->at == c->end || *c->at != ch)
		return false;
	c->at++;
	return true;
}

static bool read_string(struct cursor *c, const char **ret, size_t *len)
{
	const char *s;

	if (!is_next(c, '"'))
		return false;
	for (s = c->at; s < c->end && *s != '"'; s++)
		if ((unsigned char)*s < ' ' || (unsigned char)*s > '~' || *s == '\\')
			return false;
	*ret = c->at;
	*len = (size_t)(s - c->at);
	c->at = s;
	return is_next(c, '"');
}

static bool read_integer(struct cursor *c, long long *ret)
{
	const char *first = c->at;

	for (*ret = 0; c->at < c->end && *c->at >= '0' && *c->at <= '9' && c->at - first < 9; c->at++)
		*ret = *ret * 10 + *c->at - '0';
	return c->at > first && (*first != '0' || c->at - first == 1);
}

static enum field find_field(enum object in, const char *name, size_t len)
{
	for (int f = 0; f < FIELD_END; f++)
		if (fields[f].in == in && fields[f].len == len && !memcmp(fields[f].name, name, len))
			return (enum field)f;
	return FIELD_END;
}

static bool read_scalar(struct cursor *c, struct record *r, enum field f)
{
	static const char null[] = "null";

	if (c->at < c->end && *c->at == '"') {
		r->field[f].seen = IS_STRING;
		return read_string(c, &r->field[f].at, &r->field[f].len);
	}
	if (c->end - c->at >= 4 && !memcmp(c->at, null, 4)) {
		r->field[f].seen = IS_NULL;
		c->at += 4;
		return true;
	}
	r->field[f].seen = IS_INTEGER;
	return read_integer(c, &r->field[f].number);
}

/* False: not as a node writes it. Objects open only deeper ones, so this ends. */
static bool read_object(struct cursor *c, struct record *r, enum object o)
{
	if (!is_next(c, '{'))
		return false;
	do {
		const char *name;
		size_t len;
		enum field f;

		if (!read_string(c, &name, &len) || !is_next(c, ':'))
			return false;
		f = find_field(o, name, len);
		if (f == FIELD_END || r->field[f].seen)
			return false;
		if (fields[f].opens) {
			r->field[f].seen = IS_OBJECT;
			if (!read_object(c, r, fields[f].opens))
				return false;
		} else if (!read_scalar(c, r, f)) {
			return false;
		}
	} while (is_next(c, ','));
	return is_next(c, '}');
}

static bool read_plain(const char *json, size_t len, enum object o, struct record *r)
{
	struct cursor c = { json, json + len };

	return read_object(&c, r, o) && c.at == c.end;
}

static void take_value(const json_t *v, struct record *r, int f)
{
	switch (v ? json_typeof(v) : JSON_FALSE) {
	case JSON_NULL:
		r->field[f].seen = IS_NULL;
		break;
	case JSON_STRING:
		r->field[f].seen = IS_STRING;
		r->field[f].at = json_string_value(v);
		r->field[f].len = json_string_length(v);
		break;
	case JSON_INTEGER:
		r->field[f].seen = IS_INTEGER;
		r->field[f].number = json_integer_value(v);
		break;
	case JSON_OBJECT:
		r->field[f].seen = IS_OBJECT;
		break;
	default:
		r->field[f].seen = v ? IS_OTHER : ABSENT;
	}
}

static void take_object(const json_t *o, enum object which, struct record *r)
{
	for (int f = 0; f < FIELD_END; f++) {
		const json_t *v;

		if (fields[f].in != which)
			continue;
		v = json_object_get(o, fields[f].name);
		take_value(v, r, f);
		if (fields[f].opens)
			take_object(v, fields[f].opens, r);
	}
}

static int copy(const struct record *r, enum field f, char *to, size_t size)
{
	if (r->field[f].seen != IS_STRING || r->field[f].len >= size)
		return -EBADMSG;
	memcpy(to, r->field[f].at, r->field[f].len);
	to[r->field[f].len] = '\0';
	return 0;
}

static int copy_id(const struct record *r, enum field f, struct om_id *ret)
{
	char id[OM_ID_STRLEN];

	return copy(r, f, id, sizeof(id)) ?: om_id_parse(id, ret);
}

static int copy_time(const struct record *r, enum field f, uint64_t *ret)
{
	char text[64]; /* more digits than nanoseconds have are read and left */

	if (r->field[f].seen == ABSENT || r->field[f].seen == IS_NULL) {
		*ret = 0;
		return 0;
	}
	return copy(r, f, text, sizeof(text)) ?: om_time_parse(text, ret);
}

static int share_parse(const char *s, uint32_t *ret)
{
	uint32_t whole = 0, part = 0, unit = PPM / 10;

	if (*s != '0' && *s != '1')
		return -EBADMSG;
	whole = (uint32_t)(*s++ - '0');
	if (*s == '.')
		for (s++; *s >= '0' && *s <= '9' && unit; s++, unit /= 10)
			part += (uint32_t)(*s - '0') * unit;
	if (*s || whole * PPM + part > PPM)
		return -EBADMSG;
	*ret = whole * PPM + part;
	return 0;
}

static int copy_share(const struct record *r, enum field f, uint32_t *ret)
{
	char text[16];

	return copy(r, f, text, sizeof(text)) ?: share_parse(text, ret);
}

static int copy_kind(const struct record *r, enum om_assignment_kind *ret)
{
	char text[16];

	if (copy(r, FIELD_KIND, text, sizeof(text)))
		return -EBADMSG;
	for (int k = 0; k < OM_ASSIGN_END; k++) {
		if (!strcmp(om_assignment_kind_name((enum om_assignment_kind)k), text)) {
			*ret = (enum om_assignment_kind)k;
			return 0;
		}
	}
	return -EBADMSG;
}

static int copy_author(const struct record *r, struct om_assignment *a)
{
	if (r->field[FIELD_PERSON].seen)
		return copy(r, FIELD_PERSON, a->person, sizeof(a->person));
	return copy(r, FIELD_RULE, a->rule, sizeof(a->rule))
		       ?: copy(r, FIELD_VERSION, a->version, sizeof(a->version));
}

static int judge(const struct record *r, struct om_assignment *ret)
{
	struct om_assignment a = { 0 };
	enum om_phase phase;
	struct om_id joined;
	int rc;

	if (r->field[FIELD_V].seen != IS_INTEGER)
		return -EBADMSG;
	if (r->field[FIELD_V].number > VERSION)
		return -EPROTONOSUPPORT;
	rc = copy_id(r, FIELD_LEDGER, &a.ledger) ?: copy_id(r, FIELD_JOB, &a.job) ?: copy_kind(r, &a.kind);
	rc = rc ?: copy(r, FIELD_VALUE, a.value, sizeof(a.value));
	rc = rc ?: copy_time(r, FIELD_FROM, &a.from_ns) ?: copy_time(r, FIELD_TO, &a.to_ns);
	rc = rc ?: copy_time(r, FIELD_AT, &a.at_ns);
	rc = rc ?: copy(r, FIELD_EVIDENCE, a.evidence, sizeof(a.evidence)) ?: copy_author(r, &a);
	rc = rc ?: copy_share(r, FIELD_LOW, &a.share_low_ppm) ?: copy_share(r, FIELD_HIGH, &a.share_high_ppm);
	if (rc || a.share_low_ppm > a.share_high_ppm ||
	    (a.kind == OM_ASSIGN_PHASE && om_phase_parse(a.value, &phase)) ||
	    (a.kind == OM_ASSIGN_SERVES &&
	     (r->field[FIELD_V].number < VERSION_SERVES || om_id_parse(a.value, &joined))))
		return -EBADMSG;
	*ret = a;
	return 0;
}

static int decode_by_library(const void *json, size_t len, enum object o, struct om_assignment *ret)
{
	_cleanup_(json_decrefp) json_t *j = json_loadb(json, len, JSON_REJECT_DUPLICATES, NULL);
	struct record r = { 0 };

	if (!json_is_object(j))
		return -EBADMSG;
	take_object(j, o, &r);
	return judge(&r, ret);
}

static int decode(const void *json, size_t len, enum object o, struct om_assignment *ret)
{
	struct record r = { 0 };

	return read_plain(json, len, o, &r) ? judge(&r, ret) : decode_by_library(json, len, o, ret);
}

int om_assignment_decode(const void *json, size_t len, struct om_assignment *ret)
{
	return decode(json, len, DATA, ret);
}

int om_assignment_decode_event(const void *json, size_t len, struct om_assignment *ret)
{
	return decode(json, len, EVENT, ret);
}

int om_assignment_decode_slowly(const void *json, size_t len, bool is_event, struct om_assignment *ret)
{
	return decode_by_library(json, len, is_event ? EVENT : DATA, ret);
}
