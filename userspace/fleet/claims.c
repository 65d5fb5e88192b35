// SPDX-License-Identifier: Apache-2.0
#include "claims.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../core/claim.h"

#define SECOND_NS 1000000000ULL
#define DAY_S 86400ULL
#define DAY_NS (DAY_S * SECOND_NS)
#define KEPT_DAYS 8
static uint64_t less(uint64_t a, uint64_t b)
{
	return a > b ? a - b : 0;
}

static uint64_t smaller(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

/* The time that `away` at most before the day's beginning, and its ledger, leave a register of a day. False:
 * its ledger began after all of it. */
static bool span_of(const struct om_reading *r, uint64_t now_ns, uint64_t away_ns, uint64_t *ret)
{
	uint64_t until = smaller(r->value.to_ns, now_ns), day = (uint64_t)r->key.day * DAY_NS;
	uint64_t before = smaller(less(day, r->value.from_ns), away_ns), start = r->node.ledger_start_ns;

	*ret = DAY_NS + before;
	if (start)
		*ret = smaller(*ret, less(until, start));
	*ret += CLAIM_SLACK_NS;
	return until + CLAIM_SLACK_NS > start;
}

/* At most 2^74 x 2^20 x 8. */
static opcount times(opcount peak, uint64_t span_ns, unsigned factor)
{
	return peak * (span_ns / SECOND_NS + 1) * factor;
}

opcount claim_of(const struct om_register_key *key, const struct om_value *v)
{
	return key->meter == OM_METER_CORRECTION ? v->exact : om_value_lower(v);
}

bool claim_is_possible(const struct om_reading *r, uint64_t now_ns, uint32_t devices_max)
{
	const struct om_value *v = &r->value;
	opcount peak, claimed = claim_of(&r->key, v), most, upper;
	uint64_t span;

	if (!om_claim_peak(&r->node, devices_max, &peak))
		return false;
	if (!span_of(r, now_ns, OM_CLAIM_AWAY_MAX_NS, &span))
		return claimed == 0;
	most = times(peak, span, om_claim_factor(r->key.meter));
	if (claimed > most)
		return false;
	upper = times(peak, span, OM_CLAIM_SHARED_BY);
	switch (r->key.meter) {
	case OM_METER_COUNTER:
		return v->mean <= opcount_to_double(most) &&
		       v->variance <= opcount_to_double(upper) * opcount_to_double(upper);
	case OM_METER_LAUNCH:	  /* by names and sizes, which are the tenant's own claims: no bound */
	case OM_METER_CORRECTION: /* what is taken back was claimed once */
		return true;
	default:
		return om_value_upper(v) <= upper;
	}
}

static int let_go(void *ctx, struct key_node *n)
{
	struct claims *c = ctx;
	struct claim *one = (struct claim *)n;

	if (one->is_over || one->day + KEPT_DAYS > c->swept_day)
		return 0;
	key_map_remove(&c->days, n);
	free(one);
	return 0;
}

static struct claim *need(struct claims *c, const struct om_register_key *key)
{
	uint8_t text[sizeof(key->ledger) + sizeof(key->day)];
	struct claim *one = c->last;

	if (one && one->day == key->day && om_id_equal(&one->ledger, &key->ledger))
		return one;
	memcpy(text, key->ledger.byte, sizeof(key->ledger));
	memcpy(text + sizeof(key->ledger), &key->day, sizeof(key->day));
	one = (struct claim *)key_map_find(&c->days, (const char *)text, sizeof(text));
	if (!one) {
		one = calloc(1, sizeof(*one));
		if (!one || key_map_add(&c->days, &one->node, (const char *)text, sizeof(text))) {
			free(one);
			return NULL;
		}
		one->ledger = key->ledger;
		one->day = key->day;
	}
	c->last = one;
	return one;
}

int claims_add(struct claims *c, const struct om_reading *r, opcount growth, uint64_t now_ns)
{
	uint32_t today = (uint32_t)(now_ns / DAY_NS);
	opcount peak, possible;
	struct claim *one;
	uint64_t span;

	if (!growth || r->key.meter >= OM_METER_END)
		return 0;
	if (today > c->swept_day) {
		c->swept_day = today;
		c->last = NULL;
		key_map_each(&c->days, let_go, c);
	}
	one = need(c, &r->key);
	if (!one)
		return -ENOMEM;
	opcount_add_saturating(&one->sum[r->key.meter], growth);
	if (one->is_over || !om_claim_peak(&r->node, c->devices_max, &peak))
		return 0;
	/* A late reading's ledger was younger: a day is a day, whichever of its readings comes last. */
	span_of(r, now_ns, 0, &span);
	one->possible = opcount_max(one->possible, times(peak, span, 1));
	possible = one->possible * om_claim_factor(r->key.meter);
	if (one->sum[r->key.meter] <= possible)
		return 0;
	one->is_over = true;
	one->claimed = one->sum[r->key.meter];
	one->possible = possible;
	if (c->over_count < CLAIMS_NAMED)
		c->over[c->over_count] = one;
	c->over_count++;
	return 1;
}

json_t *claims_encode(const struct claims *c)
{
	json_t *list = json_array();

	for (size_t i = 0; i < CLAIMS_NAMED && i < c->over_count; i++) {
		char ledger[OM_ID_STRLEN], claimed[OPCOUNT_STRLEN], possible[OPCOUNT_STRLEN];
		const struct claim *o = c->over[i];

		json_array_append_new(list, json_pack("{s:s,s:i,s:s,s:s}", "ledger",
						      om_id_format(&o->ledger, ledger), "day", (int)o->day,
						      "claimed", opcount_format(o->claimed, claimed),
						      "possible", opcount_format(o->possible, possible)));
	}
	return list;
}

size_t claims_decode(const json_t *list, struct claim_told ret[CLAIMS_NAMED])
{
	size_t n = 0;

	for (size_t i = 0; i < json_array_size(list) && n < CLAIMS_NAMED; i++) {
		const json_t *o = json_array_get(list, i);
		const char *text[3] = { json_string_value(json_object_get(o, "ledger")) ?: "",
					json_string_value(json_object_get(o, "claimed")) ?: "",
					json_string_value(json_object_get(o, "possible")) ?: "" };
		json_int_t day = json_integer_value(json_object_get(o, "day"));

		if (om_id_parse(text[0], &ret[n].ledger) || opcount_parse(text[1], &ret[n].claimed) ||
		    opcount_parse(text[2], &ret[n].possible) || day < 0 || day > INT32_MAX)
			continue;
		ret[n++].day = (uint32_t)day;
	}
	return n;
}

void claims_done(struct claims *c)
{
	key_map_done(&c->days, key_node_free);
	*c = (struct claims){ 0 };
}
