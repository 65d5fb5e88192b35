// SPDX-License-Identifier: Apache-2.0
/*
 * The form is canonical: sorted registers, no field that is zero, the shortest
 * LEB128. So bytes can be compared instead of values, and two sealers that know
 * the same write the same.
 */
#include "carry.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>

#include "../base/cleanup.h"

#define MAGIC "OPCY"
#define VERSION 1
#define KIND_DAY 1
#define KEY_VERSION 1
#define DAY_NS 86400000000000ULL
#define FIELDS 21
#define FIELD_MEAN 3
#define FIELD_VARIANCE 4
#define FOLDED_HEAD 8

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint64_t bits_of(double d)
{
	uint64_t v;

	memcpy(&v, &d, 8);
	return v;
}

static double double_of(uint64_t bits)
{
	double d;

	memcpy(&d, &bits, 8);
	return d;
}

/* A register's fields, in the order of their bits. */
static void fields_of(const struct om_reading *r, opcount out[FIELDS])
{
	const struct om_value *v = &r->value;

	out[0] = v->exact;
	out[1] = v->low;
	out[2] = v->high;
	out[FIELD_MEAN] = bits_of(v->mean);
	out[FIELD_VARIANCE] = bits_of(v->variance);
	out[5] = v->calibration;
	out[6] = v->calls;
	out[7] = v->device_time_ns;
	out[8] = v->nested;
	out[9] = v->duplicates;
	out[10] = v->overflow_calls;
	for (int i = 0; i < OM_LOSS_END; i++)
		out[11 + i] = v->lost[i];
	out[18] = v->from_ns - r->key.day * DAY_NS;
	out[18] = (uint64_t)out[18];
	out[19] = (uint64_t)(v->to_ns - v->from_ns);
	out[20] = r->sequence;
}

static void set_fields(struct om_reading *r, const opcount in[FIELDS])
{
	struct om_value *v = &r->value;

	v->exact = in[0];
	v->low = in[1];
	v->high = in[2];
	v->mean = double_of((uint64_t)in[FIELD_MEAN]);
	v->variance = double_of((uint64_t)in[FIELD_VARIANCE]);
	v->calibration = (uint64_t)in[5];
	v->calls = (uint64_t)in[6];
	v->device_time_ns = (uint64_t)in[7];
	v->nested = (uint64_t)in[8];
	v->duplicates = (uint64_t)in[9];
	v->overflow_calls = (uint64_t)in[10];
	for (int i = 0; i < OM_LOSS_END; i++)
		v->lost[i] = (uint64_t)in[11 + i];
	v->from_ns = (uint64_t)in[18] + r->key.day * DAY_NS;
	v->to_ns = (uint64_t)in[19] + v->from_ns;
	r->sequence = (uint64_t)in[20];
}

static bool is_double(int field)
{
	return field == FIELD_MEAN || field == FIELD_VARIANCE;
}

size_t om_folded_encode(const struct om_reading *r, uint8_t out[OM_FOLDED_SIZE_MAX])
{
	opcount field[FIELDS];
	uint32_t mask = 0;
	size_t n = FOLDED_HEAD;

	fields_of(r, field);
	out[0] = r->key.format;
	out[1] = r->key.meter;
	out[2] = r->attempted;
	out[3] = 0;
	for (int i = 0; i < FIELDS; i++) {
		opcount v = field[i];

		if (!v)
			continue;
		mask |= 1u << i;
		if (is_double(i)) {
			put32(out + n, (uint32_t)v);
			put32(out + n + 4, (uint32_t)(v >> 32));
			n += 8;
			continue;
		}
		for (; v >> 7; v >>= 7)
			out[n++] = (uint8_t)(v & 0x7f) | 0x80;
		out[n++] = (uint8_t)v;
	}
	put32(out + 4, mask);
	return n;
}

/* LEB128 of at most `bits` bits, not zero, in its shortest form. Returns what was read, or -EBADMSG. */
static int take_number(const uint8_t *in, size_t len, unsigned bits, opcount *ret)
{
	opcount v = 0;

	for (unsigned i = 0, shift = 0; i < len && shift < bits; i++, shift += 7) {
		opcount part = in[i] & 0x7f;

		if (shift + 7 > bits && part >> (bits - shift))
			return -EBADMSG;
		v |= part << shift;
		if (in[i] & 0x80)
			continue;
		if (!in[i]) /* zero has no field; a last byte of zero is not the shortest form */
			return -EBADMSG;
		*ret = v;
		return (int)i + 1;
	}
	return -EBADMSG;
}

static int take_double(const uint8_t *in, size_t len, opcount *ret)
{
	if (len < 8)
		return -EBADMSG;
	*ret = (opcount)get32(in) | (opcount)get32(in + 4) << 32;
	return *ret ? 8 : -EBADMSG;
}

/* As for a reading: nothing that no honest meter makes. */
static bool is_plausible(const struct om_reading *r)
{
	const struct om_value *v = &r->value;

	return om_format_is_valid(r->key.format) && r->key.meter && r->key.meter < OM_METER_END &&
	       v->low <= v->high && v->variance >= 0 && v->mean > -1e300 && v->mean < 1e300;
}

int om_folded_decode(const uint8_t *in, size_t len, struct om_reading *r)
{
	opcount field[FIELDS] = { 0 };
	size_t n = FOLDED_HEAD;
	uint32_t mask;

	if (len < FOLDED_HEAD || in[2] > 1 || in[3])
		return -EBADMSG;
	mask = get32(in + 4);
	if (mask >> FIELDS)
		return -EBADMSG;
	for (int i = 0; i < FIELDS; i++) {
		int used;

		if (!(mask >> i & 1))
			continue;
		used = is_double(i) ? take_double(in + n, len - n, &field[i])
				    : take_number(in + n, len - n, i < FIELD_MEAN ? 128 : 64, &field[i]);
		if (used < 0)
			return used;
		n += (size_t)used;
	}
	r->key.format = in[0];
	r->key.meter = in[1];
	r->attempted = in[2];
	set_fields(r, field);
	return is_plausible(r) ? (int)n : -EBADMSG;
}

void om_carry_done(struct om_carry *c)
{
	free(c->reg);
	*c = (struct om_carry){ 0 };
}

static int compare(const struct om_register_key *a, const struct om_register_key *b)
{
	if (a->format != b->format)
		return a->format < b->format ? -1 : 1;
	return a->meter < b->meter ? -1 : a->meter > b->meter;
}

int om_carry_put(struct om_carry *c, const struct om_reading *r)
{
	struct om_reading *bigger;
	size_t i = 0;

	if (!om_id_equal(&c->ledger, &r->key.ledger) || !om_id_equal(&c->job, &r->key.job) ||
	    c->day != r->key.day)
		return -EINVAL;
	while (i < c->count && compare(&c->reg[i].key, &r->key) < 0)
		i++;
	if (i < c->count && compare(&c->reg[i].key, &r->key) == 0) {
		om_reading_join(&c->reg[i], r);
		return 0;
	}
	bigger = reallocarray(c->reg, c->count + 1, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	c->reg = bigger;
	memmove(&c->reg[i + 1], &c->reg[i], (c->count - i) * sizeof(*c->reg));
	c->reg[i] = *r;
	c->count++;
	return 0;
}

void om_carry_key_encode(const struct om_id *ledger, const struct om_id *job, uint32_t day,
			 uint8_t out[OM_CARRY_KEY_SIZE])
{
	memset(out, 0, OM_CARRY_KEY_SIZE);
	memcpy(out, ledger, 16);
	memcpy(out + 16, job, 16);
	put32(out + 32, day);
	out[38] = KEY_VERSION;
}

int om_carry_key_decode(const uint8_t *in, size_t len, struct om_id *ret_ledger, struct om_id *ret_job,
			uint32_t *ret_day)
{
	unsigned version;

	if (len != OM_CARRY_KEY_SIZE || in[36] || in[37])
		return -EBADMSG;
	version = in[38] | (unsigned)in[39] << 8;
	if (version != KEY_VERSION)
		return version > KEY_VERSION ? -EPROTONOSUPPORT : -EBADMSG;
	memcpy(ret_ledger, in, 16);
	memcpy(ret_job, in + 16, 16);
	*ret_day = get32(in + 32);
	return 0;
}

static void digest(const uint8_t *in, size_t len, uint8_t out[32])
{
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, in, 64);
	crypto_hash_sha256_update(&s, in + OM_CARRY_HEAD_SIZE, len - OM_CARRY_HEAD_SIZE);
	crypto_hash_sha256_final(&s, out);
}

int om_carry_encode(const struct om_carry *c, uint8_t **ret, size_t *ret_len)
{
	_cleanup_free_ uint8_t *out = NULL;
	size_t n = OM_CARRY_HEAD_SIZE;

	if (c->count == 0 || c->count > OM_CARRY_REGISTERS_MAX)
		return -EINVAL;
	out = calloc(1, OM_CARRY_HEAD_SIZE + c->count * OM_FOLDED_SIZE_MAX);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < c->count; i++)
		n += om_folded_encode(&c->reg[i], out + n);
	memcpy(out, MAGIC, 4);
	out[4] = VERSION;
	out[6] = KIND_DAY;
	put32(out + 8, (uint32_t)n);
	put32(out + 12, (uint32_t)c->count);
	memcpy(out + 16, &c->ledger, 16);
	memcpy(out + 32, &c->job, 16);
	put32(out + 48, c->day);
	digest(out, n, out + 64);
	*ret = TAKE_PTR(out);
	*ret_len = n;
	return 0;
}

static int check_head(const uint8_t *in, size_t len)
{
	static const uint8_t zero[12];
	unsigned version, kind;

	if (len < 8 || memcmp(in, MAGIC, 4))
		return -EBADMSG;
	version = in[4] | (unsigned)in[5] << 8;
	kind = in[6] | (unsigned)in[7] << 8;
	if (version == 0 || kind == 0)
		return -EBADMSG;
	if (version > VERSION || kind > KIND_DAY)
		return -EPROTONOSUPPORT;
	if (len < OM_CARRY_HEAD_SIZE || len > OM_CARRY_SIZE_MAX || get32(in + 8) != len ||
	    memcmp(in + 52, zero, sizeof(zero)))
		return -EBADMSG;
	return get32(in + 12) && get32(in + 12) <= OM_CARRY_REGISTERS_MAX ? 0 : -EBADMSG;
}

static void carry_donep(struct om_carry *c)
{
	om_carry_done(c);
}

int om_carry_decode(const uint8_t *in, size_t len, struct om_carry *ret)
{
	_cleanup_(carry_donep) struct om_carry c = { 0 };
	uint8_t want[32];
	size_t n = OM_CARRY_HEAD_SIZE, count;
	int r = check_head(in, len);

	if (r)
		return r;
	digest(in, len, want);
	if (memcmp(want, in + 64, sizeof(want)))
		return -EBADMSG;
	memcpy(&c.ledger, in + 16, 16);
	memcpy(&c.job, in + 32, 16);
	c.day = get32(in + 48);
	count = get32(in + 12);
	c.reg = calloc(count, sizeof(*c.reg));
	if (!c.reg)
		return -ENOMEM;
	for (; c.count < count; c.count++, n += (size_t)r) {
		struct om_reading *reg = &c.reg[c.count];

		reg->key = (struct om_register_key){ .ledger = c.ledger, .job = c.job, .day = c.day };
		r = om_folded_decode(in + n, len - n, reg);
		if (r < 0 || (c.count && compare(&reg[-1].key, &reg->key) >= 0))
			return -EBADMSG;
	}
	if (n != len)
		return -EBADMSG;
	*ret = c;
	c = (struct om_carry){ 0 };
	return 0;
}

uint32_t om_carry_open_day(uint64_t now_ns, uint64_t grace_ns)
{
	return now_ns > grace_ns ? (uint32_t)((now_ns - grace_ns) / DAY_NS) : 0;
}
