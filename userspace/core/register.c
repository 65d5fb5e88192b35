// SPDX-License-Identifier: Apache-2.0
#include "register.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define READING_MAGIC "OPRD"
#define READING_VERSION 1
#define KEY_VERSION 1

const char *om_id_format(const struct om_id *id, char buf[OM_ID_STRLEN])
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 16; i++) {
		buf[2 * i] = hex[id->byte[i] >> 4];
		buf[2 * i + 1] = hex[id->byte[i] & 15];
	}
	buf[32] = '\0';
	return buf;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return -1;
}

int om_id_parse(const char *hex, struct om_id *ret)
{
	struct om_id id;

	if (strlen(hex) != 32)
		return -EINVAL;
	for (int i = 0; i < 16; i++) {
		int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

		if (high < 0 || low < 0)
			return -EINVAL;
		id.byte[i] = (uint8_t)(high << 4 | low);
	}
	*ret = id;
	return 0;
}

bool om_id_equal(const struct om_id *a, const struct om_id *b)
{
	return !memcmp(a, b, sizeof(*a));
}

const char *om_loss_name(enum om_loss loss)
{
	static const char *const names[OM_LOSS_END] = {
		[OM_LOSS_FAILED_READ] = "failed-read",
		[OM_LOSS_INCONSISTENT] = "inconsistent",
		[OM_LOSS_ABSURD] = "absurd",
		[OM_LOSS_REFUSED] = "refused",
		[OM_LOSS_UNREAD] = "unread",
		[OM_LOSS_LATE] = "late",
		[OM_LOSS_OFF] = "off",
	};

	return loss < OM_LOSS_END ? names[loss] : "invalid";
}

bool om_node_facts_equal(const struct om_node_facts *a, const struct om_node_facts *b)
{
	return a->ledger_start_ns == b->ledger_start_ns && a->peak_ops_per_s == b->peak_ops_per_s &&
	       a->device_count == b->device_count && a->inventory == b->inventory;
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/* The counters of a value, in one place: what join, add and regression mean
 * must never differ in the fields they know. */
struct counters {
	opcount *wide[3];
	uint64_t *narrow[5 + OM_LOSS_END];
};

static struct counters counters_of(struct om_value *v)
{
	struct counters c = {
		.wide = { &v->exact, &v->low, &v->high },
		.narrow = { &v->calls, &v->device_time_ns, &v->nested, &v->duplicates, &v->overflow_calls },
	};

	for (int i = 0; i < OM_LOSS_END; i++)
		c.narrow[5 + i] = &v->lost[i];
	return c;
}

#define COUNTERS_WIDE 3
#define COUNTERS_NARROW (5 + OM_LOSS_END)

static uint64_t earlier(uint64_t a, uint64_t b)
{
	if (!a || !b)
		return a ? a : b;
	return a < b ? a : b;
}

/* True if the sampled part of b replaces the one of a: later, or at the same
 * time the larger bytes, so that the join does not depend on order. */
static bool sampled_part_wins(const struct om_value *a, const struct om_value *b)
{
	uint64_t x[3], y[3];

	if (a->to_ns != b->to_ns)
		return b->to_ns > a->to_ns;
	memcpy(&x[0], &a->mean, 8);
	memcpy(&x[1], &a->variance, 8);
	memcpy(&y[0], &b->mean, 8);
	memcpy(&y[1], &b->variance, 8);
	x[2] = a->calibration;
	y[2] = b->calibration;
	for (int i = 0; i < 3; i++)
		if (x[i] != y[i])
			return y[i] > x[i];
	return false;
}

void om_value_join(struct om_value *into, const struct om_value *other)
{
	struct om_value o = *other;
	struct counters a = counters_of(into), b = counters_of(&o);

	for (int i = 0; i < COUNTERS_WIDE; i++)
		*a.wide[i] = opcount_max(*a.wide[i], *b.wide[i]);
	for (int i = 0; i < COUNTERS_NARROW; i++)
		*a.narrow[i] = max_u64(*a.narrow[i], *b.narrow[i]);
	if (sampled_part_wins(into, &o)) {
		into->mean = o.mean;
		into->variance = o.variance;
		into->calibration = o.calibration;
	}
	into->from_ns = earlier(into->from_ns, o.from_ns);
	into->to_ns = max_u64(into->to_ns, o.to_ns);
}

static int compare_u64(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* A total order, so that the order of arrival has no part in what stands. */
static int compare_nodes(const struct om_reading *a, const struct om_reading *b)
{
	const struct om_node_facts *x = &a->node, *y = &b->node;
	int r = compare_u64(x->ledger_start_ns != 0, y->ledger_start_ns != 0);

	r = r ?: compare_u64(a->sequence, b->sequence);
	r = r ?: compare_u64(x->ledger_start_ns, y->ledger_start_ns);
	r = r ?: compare_u64(x->peak_ops_per_s, y->peak_ops_per_s);
	r = r ?: compare_u64(x->device_count, y->device_count);
	return r ?: compare_u64(x->inventory, y->inventory);
}

void om_reading_join(struct om_reading *into, const struct om_reading *other)
{
	om_value_join(&into->value, &other->value);
	/* A device meter that came to stand behind the figure does not leave it again. */
	into->attempted = into->attempted && other->attempted;
	if (compare_nodes(into, other) < 0)
		into->node = other->node;
	into->sequence = max_u64(into->sequence, other->sequence);
}

static bool double_equal(double a, double b)
{
	return !memcmp(&a, &b, sizeof(a));
}

bool om_reading_equal(const struct om_reading *a, const struct om_reading *b)
{
	const struct om_value *x = &a->value, *y = &b->value;

	return x->exact == y->exact && x->low == y->low && x->high == y->high && x->calls == y->calls &&
	       x->to_ns == y->to_ns && x->from_ns == y->from_ns && x->device_time_ns == y->device_time_ns &&
	       x->nested == y->nested && x->duplicates == y->duplicates &&
	       x->overflow_calls == y->overflow_calls && x->calibration == y->calibration &&
	       double_equal(x->mean, y->mean) && double_equal(x->variance, y->variance) &&
	       !memcmp(x->lost, y->lost, sizeof(x->lost)) && a->attempted == b->attempted;
}

bool om_reading_is_within(const struct om_reading *a, const struct om_reading *b)
{
	struct om_reading joined = *b;

	om_reading_join(&joined, a);
	return om_reading_equal(&joined, b);
}

int om_value_add(struct om_value *into, const struct om_value *other)
{
	struct om_value sum = *into, o = *other;
	struct counters a = counters_of(&sum), b = counters_of(&o);

	for (int i = 0; i < COUNTERS_WIDE; i++)
		if (opcount_add(*a.wide[i], *b.wide[i], a.wide[i]))
			return -EOVERFLOW;
	for (int i = 0; i < COUNTERS_NARROW; i++)
		if (__builtin_add_overflow(*a.narrow[i], *b.narrow[i], a.narrow[i]))
			return -EOVERFLOW;
	sum.mean += o.mean;
	/* Errors that share a calibration add in full, others as variances:
	 * the caller groups by calibration; here they are independent. */
	sum.variance += o.variance;
	if (sum.calibration != o.calibration)
		sum.calibration = sum.calibration ? sum.calibration : o.calibration;
	sum.from_ns = earlier(sum.from_ns, o.from_ns);
	sum.to_ns = max_u64(sum.to_ns, o.to_ns);
	*into = sum;
	return 0;
}

bool om_value_is_regression(const struct om_value *prev, const struct om_value *next)
{
	/* Through pointers that are not written through; without copies, as every reading comes by here. */
	struct counters a = counters_of((struct om_value *)prev), b = counters_of((struct om_value *)next);
	bool is_below = false;

	for (int i = 0; i < COUNTERS_WIDE; i++)
		is_below |= *b.wide[i] < *a.wide[i];
	for (int i = 0; i < COUNTERS_NARROW; i++)
		is_below |= *b.narrow[i] < *a.narrow[i];
	return is_below;
}

static opcount saturating_add(opcount a, opcount b)
{
	opcount r;

	return opcount_add(a, b, &r) ? OPCOUNT_MAX : r;
}

opcount om_value_lower(const struct om_value *v)
{
	return saturating_add(v->exact, v->low);
}

opcount om_value_upper(const struct om_value *v)
{
	return saturating_add(v->exact, v->high);
}

bool om_value_has_losses(const struct om_value *v)
{
	for (int i = 0; i < OM_LOSS_END; i++)
		if (v->lost[i])
			return true;
	return false;
}

static void put16(uint8_t *p, uint16_t v)
{
	for (int i = 0; i < 2; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void put64(uint8_t *p, uint64_t v)
{
	for (int i = 0; i < 8; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static void put_double(uint8_t *p, double d)
{
	uint64_t v;

	memcpy(&v, &d, 8);
	put64(p, v);
}

static uint16_t get16(const uint8_t *p)
{
	return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t get64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

static double get_double(const uint8_t *p)
{
	uint64_t v = get64(p);
	double d;

	memcpy(&d, &v, 8);
	return d;
}

void om_register_key_encode(const struct om_register_key *k, uint8_t out[OM_REGISTER_KEY_SIZE])
{
	memcpy(out, k->ledger.byte, 16);
	memcpy(out + 16, k->job.byte, 16);
	put32(out + 32, k->day);
	out[36] = k->format;
	out[37] = k->meter;
	put16(out + 38, KEY_VERSION);
}

static int check_enums(const struct om_register_key *k)
{
	if (!om_format_is_valid(k->format) || k->meter == 0 || k->meter >= OM_METER_END)
		return -EBADMSG;
	return 0;
}

int om_register_key_decode(const uint8_t *in, size_t len, struct om_register_key *ret)
{
	struct om_register_key k;

	if (len != OM_REGISTER_KEY_SIZE)
		return -EBADMSG;
	if (get16(in + 38) > KEY_VERSION)
		return -EPROTONOSUPPORT;
	memcpy(k.ledger.byte, in, 16);
	memcpy(k.job.byte, in + 16, 16);
	k.day = get32(in + 32);
	k.format = in[36];
	k.meter = in[37];
	if (get16(in + 38) != KEY_VERSION || check_enums(&k))
		return -EBADMSG;
	*ret = k;
	return 0;
}

void om_reading_encode(const struct om_reading *r, uint8_t out[OM_READING_SIZE])
{
	const struct om_value *v = &r->value;

	memset(out, 0, OM_READING_SIZE);
	memcpy(out, READING_MAGIC, 4);
	put16(out + 4, READING_VERSION);
	put16(out + 6, OM_READING_SIZE);
	memcpy(out + 8, r->key.ledger.byte, 16);
	memcpy(out + 24, r->key.job.byte, 16);
	put32(out + 40, r->key.day);
	out[44] = r->key.format;
	out[45] = r->key.meter;
	put16(out + 46, r->attempted ? 1 : 0);
	put64(out + 48, r->sequence);
	opcount_put_le(v->exact, out + 56);
	opcount_put_le(v->low, out + 72);
	opcount_put_le(v->high, out + 88);
	put_double(out + 104, v->mean);
	put_double(out + 112, v->variance);
	put64(out + 120, v->calibration);
	put64(out + 128, v->calls);
	put64(out + 136, v->device_time_ns);
	put64(out + 144, v->nested);
	put64(out + 152, v->duplicates);
	put64(out + 160, v->overflow_calls);
	for (int i = 0; i < OM_LOSS_END; i++)
		put64(out + 168 + 8 * i, v->lost[i]);
	put64(out + 224, v->from_ns);
	put64(out + 232, v->to_ns);
	put64(out + 240, r->node.ledger_start_ns);
	put64(out + 248, r->node.peak_ops_per_s);
	put32(out + 256, r->node.device_count);
	put64(out + 264, r->node.inventory);
}

static void decode_value(const uint8_t *in, struct om_value *v)
{
	v->exact = opcount_get_le(in + 56);
	v->low = opcount_get_le(in + 72);
	v->high = opcount_get_le(in + 88);
	v->mean = get_double(in + 104);
	v->variance = get_double(in + 112);
	v->calibration = get64(in + 120);
	v->calls = get64(in + 128);
	v->device_time_ns = get64(in + 136);
	v->nested = get64(in + 144);
	v->duplicates = get64(in + 152);
	v->overflow_calls = get64(in + 160);
	for (int i = 0; i < OM_LOSS_END; i++)
		v->lost[i] = get64(in + 168 + 8 * i);
	v->from_ns = get64(in + 224);
	v->to_ns = get64(in + 232);
}

/* Straight into where it belongs: a fleet reads millions of these, and a copy beside it is a tenth of the
 * work. */
int om_reading_decode(const uint8_t *in, size_t len, struct om_reading *ret)
{
	if (len < 8 || memcmp(in, READING_MAGIC, 4) || get16(in + 4) == 0)
		return -EBADMSG;
	if (get16(in + 4) > READING_VERSION)
		return -EPROTONOSUPPORT;
	if (len != OM_READING_SIZE || get16(in + 6) != OM_READING_SIZE)
		return -EBADMSG;
	memcpy(ret->key.ledger.byte, in + 8, 16);
	memcpy(ret->key.job.byte, in + 24, 16);
	ret->key.day = get32(in + 40);
	ret->key.format = in[44];
	ret->key.meter = in[45];
	ret->attempted = get16(in + 46) & 1;
	ret->sequence = get64(in + 48);
	decode_value(in, &ret->value);
	ret->node.ledger_start_ns = get64(in + 240);
	ret->node.peak_ops_per_s = get64(in + 248);
	ret->node.device_count = get32(in + 256);
	ret->node.inventory = get64(in + 264);
	/* A value no honest meter makes: bounds crossed, a sampled part that is no number. */
	if (check_enums(&ret->key) || ret->value.low > ret->value.high || !(ret->value.variance >= 0) ||
	    !(ret->value.mean > -1e300 && ret->value.mean < 1e300))
		return -EBADMSG;
	return 0;
}
