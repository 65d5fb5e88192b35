// SPDX-License-Identifier: Apache-2.0
/* One declaration: to JSON and back, strictly. The list of them is in declarations.c. */
#include "declaration.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <sodium/crypto_hash_sha256.h>

#include "assignment.h"

static const char *const kind_names[] = {
	"external-operations", "training-operations", "synthetic-data", "publication", "parent", "fact",
	"withdrawal"
};
/* What `other` is called in the record; NULL: the kind has none. */
static const char *const other_names[] = { "provider", NULL, "generator", NULL, "parent", "fact", "of" };

const char *declaration_kind_name(enum declaration_kind k)
{
	return kind_names[k];
}

int declaration_kind_parse(const char *name, enum declaration_kind *ret)
{
	for (int k = 0; k < DECLARE_END; k++) {
		if (!strcmp(kind_names[k], name)) {
			*ret = (enum declaration_kind)k;
			return 0;
		}
	}
	return -EINVAL;
}

static void make_id(struct declaration *d, const char *prev)
{
	char time[OM_TIME_STRLEN];
	const char *const parts[] = { "opmeter-declaration-v1",
				      kind_names[d->kind],
				      d->subject,
				      d->other,
				      om_time_format(d->at_ns, time),
				      d->by,
				      prev };
	unsigned char hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		crypto_hash_sha256_update(&s, (const unsigned char *)parts[i], strlen(parts[i]) + 1);
	crypto_hash_sha256_final(&s, hash);
	memcpy(&d->id, hash, sizeof(d->id));
}

static bool has_operations(enum declaration_kind k)
{
	return k == DECLARE_EXTERNAL || k == DECLARE_TRAINING || k == DECLARE_SYNTHETIC;
}

static json_t *share_json(uint32_t ppm)
{
	char text[16];

	snprintf(text, sizeof(text), "%u.%06u", ppm / 1000000, ppm % 1000000);
	return json_string(text);
}

static void put_range(json_t *o, const char *name, json_t *low, json_t *high)
{
	json_object_set_new(o, name, json_pack("{s:o,s:o}", "low", low, "high", high));
}

char *declaration_encode(struct declaration *d, const char *prev)
{
	char id[OM_ID_STRLEN], time[OM_TIME_STRLEN], a[OPCOUNT_STRLEN], b[OPCOUNT_STRLEN];
	char *text;
	json_t *o;

	make_id(d, prev);
	o = json_pack("{s:i,s:s,s:s,s:s,s:s,s:s}", "v", 1, "id", om_id_format(&d->id, id), "kind",
		      kind_names[d->kind], "subject", d->subject, "at", om_time_format(d->at_ns, time), "by",
		      d->by);
	if (!o)
		return NULL;
	if (other_names[d->kind])
		json_object_set_new(o, other_names[d->kind], json_string(d->other));
	if (has_operations(d->kind))
		put_range(o, "operations", json_string(opcount_format(d->low, a)),
			  json_string(opcount_format(d->high, b)));
	if (d->kind == DECLARE_SYNTHETIC) {
		put_range(o, "share", share_json(d->share_low_ppm), share_json(d->share_high_ppm));
		json_object_set_new(o, "data_published", json_boolean(d->value));
	}
	if (d->kind == DECLARE_FACT)
		json_object_set_new(o, "value", json_boolean(d->value));
	json_object_set_new(o, "evidence",
			    json_pack("{s:s,s:o}", "what", d->evidence, "sha256",
				      d->digest[0] ? json_string(d->digest) : json_null()));
	json_object_set_new(o, "prev", json_string(prev));
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

static int bad(struct error_text *err, const char *what)
{
	return error_set(err, -EBADMSG, "%s", what);
}

static bool is_plain(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < 0x20 || *s == 0x7f)
			return false;
	return true;
}

static int take_text(const json_t *o, const char *key, bool may_be_empty, char *out, size_t size,
		     struct error_text *err)
{
	const json_t *v = json_object_get(o, key);
	const char *s = json_string_value(v);

	if (!s)
		return error_set(err, -EBADMSG, "'%s' is missing or no text", key);
	if (json_string_length(v) != strlen(s) || strlen(s) >= size || !is_plain(s) || (!*s && !may_be_empty))
		return error_set(err, -EBADMSG, "'%s' is empty, too long or holds control characters", key);
	memcpy(out, s, strlen(s) + 1);
	return 0;
}

static bool is_hex(const char *s, size_t n)
{
	return strlen(s) == n && strspn(s, "0123456789abcdef") == n;
}

/* Decimal text is canonical in the record: no exponent. */
static int take_operations(const json_t *range, const char *key, opcount *ret, struct error_text *err)
{
	const char *s = json_string_value(json_object_get(range, key));

	if (!s || strspn(s, "0123456789") != strlen(s) || opcount_parse(s, ret))
		return bad(err, "'operations' must be {low, high}, decimal text");
	return 0;
}

static int take_share(const json_t *range, const char *key, uint32_t *ret, struct error_text *err)
{
	const char *s = json_string_value(json_object_get(range, key));

	if (!s || strlen(s) != 8 || (s[0] != '0' && s[0] != '1') || s[1] != '.' ||
	    strspn(s + 2, "0123456789") != 6)
		return bad(err, "'share' must be {low, high}, such as 0.120000");
	*ret = (uint32_t)(s[0] - '0') * 1000000 + (uint32_t)strtoul(s + 2, NULL, 10);
	return *ret > 1000000 ? bad(err, "'share' is over 1") : 0;
}

static int take_flag(const json_t *o, const char *key, bool *ret, struct error_text *err)
{
	const json_t *v = json_object_get(o, key);

	if (!json_is_boolean(v))
		return error_set(err, -EBADMSG, "'%s' must be true or false", key);
	*ret = json_is_true(v);
	return 0;
}

static int take_kind_fields(const json_t *o, struct declaration *d, struct error_text *err)
{
	const json_t *ops = json_object_get(o, "operations"), *share = json_object_get(o, "share");
	int r = 0;

	if (other_names[d->kind])
		r = take_text(o, other_names[d->kind], false, d->other, sizeof(d->other), err);
	if (r == 0 && has_operations(d->kind)) {
		r = take_operations(ops, "low", &d->low, err);
		r = r ?: take_operations(ops, "high", &d->high, err);
		if (r == 0 && d->low > d->high)
			r = bad(err, "'operations': low is above high");
	}
	if (r == 0 && d->kind == DECLARE_SYNTHETIC) {
		r = take_share(share, "low", &d->share_low_ppm, err);
		r = r ?: take_share(share, "high", &d->share_high_ppm, err);
		r = r ?: take_flag(o, "data_published", &d->value, err);
		if (r == 0 && d->share_low_ppm > d->share_high_ppm)
			r = bad(err, "'share': low is above high");
	}
	if (r == 0 && d->kind == DECLARE_FACT)
		r = take_flag(o, "value", &d->value, err);
	if (r == 0 && d->kind == DECLARE_WITHDRAWAL && !is_hex(d->other, 32))
		r = bad(err, "'of' must be the id of a record");
	if (r == 0 && d->kind == DECLARE_PARENT && !strcmp(d->subject, d->other))
		r = bad(err, "a model is not its own parent");
	return r;
}

static int take_evidence(const json_t *o, struct declaration *d, struct error_text *err)
{
	const json_t *e = json_object_get(o, "evidence"), *sha = json_object_get(e, "sha256");
	int r = take_text(e, "what", true, d->evidence, sizeof(d->evidence), err);

	if (r == 0 && !json_is_null(sha))
		r = take_text(e, "sha256", false, d->digest, sizeof(d->digest), err);
	if (r == 0 && d->digest[0] && !is_hex(d->digest, 64))
		r = bad(err, "'sha256' must be 64 hexadecimal digits");
	/* It takes a model out of control: that needs more than a word. */
	if (r == 0 && d->kind == DECLARE_PUBLICATION && !d->digest[0])
		r = bad(err, "a publication needs the digest of its evidence");
	return r;
}

static int take_all(const json_t *o, struct declaration *d, char prev[65], struct error_text *err)
{
	char id[OM_ID_STRLEN], kind[32], at[OM_TIME_STRLEN];
	struct declaration check;
	int r = take_text(o, "kind", false, kind, sizeof(kind), err);

	r = r ?: take_text(o, "id", false, id, sizeof(id), err);
	r = r ?: take_text(o, "subject", false, d->subject, sizeof(d->subject), err);
	r = r ?: take_text(o, "at", false, at, sizeof(at), err);
	r = r ?: take_text(o, "by", false, d->by, sizeof(d->by), err);
	r = r ?: take_text(o, "prev", false, prev, 65, err);
	if (r)
		return r;
	if (declaration_kind_parse(kind, &d->kind))
		return error_set(err, -EBADMSG, "no kind of declaration '%.31s'", kind);
	if (om_id_parse(id, &d->id) || om_time_parse(at, &d->at_ns) || !is_hex(prev, 64))
		return bad(err, "'id', 'at' or 'prev' is malformed");
	r = take_kind_fields(o, d, err);
	r = r ?: take_evidence(o, d, err);
	if (r)
		return r;
	check = *d;
	make_id(&check, prev);
	return om_id_equal(&check.id, &d->id) ? 0 : bad(err, "'id' is not that of its record");
}

int declaration_decode(const void *json, size_t len, struct declaration *ret, char ret_prev[65],
		       struct error_text *err)
{
	json_error_t why;
	json_t *o = json_loadb(json, len, JSON_REJECT_DUPLICATES, &why);
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!json_is_object(o))
		r = bad(err, "is no JSON object");
	else if (!json_is_integer(json_object_get(o, "v")))
		r = bad(err, "'v' is missing");
	else if (json_integer_value(json_object_get(o, "v")) != 1)
		r = error_set(err, -EPROTONOSUPPORT, "is of a later version");
	else
		r = take_all(o, ret, ret_prev, err);
	json_decref(o);
	return r;
}
