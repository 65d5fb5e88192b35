// SPDX-License-Identifier: Apache-2.0
/*
 * Steps of a settling: sort the claims; pool each owner's; judge owners by the
 * median; combine those that are left. Sorting first makes every sum one of a fixed
 * order, so the result does not depend on the order of arrival.
 */

#include "calibration.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A claim may be off by that many standard errors, and owners by that many of their spread: one in
 * 15,000 honest ones is left out. */
#define SIGMAS 4.0
#define MAD_TO_SIGMA 1.4826 /* of a normal distribution */
/* Counts are exact, yet a mean is a double, and a deviation comes in whole operations. */
#define ROUNDING 1e-9

struct owner {
	uint64_t id, count;
	double mean, variance; /* of one launch, the owner's own */
	double error;	       /* variance of the mean */
	bool is_rejected;
};

struct om_calibrations {
	struct om_calibration_claim *claim;
	size_t claims, claims_max;
	uint64_t dropped;
	struct om_calibration *all;
	size_t count;
	struct om_calibration_finding *finding;
	size_t findings;
	struct owner *owner; /* room for one key's */
	double *sorted;	     /* likewise */
};

struct om_calibrations *om_calibrations_new(size_t claims_max)
{
	struct om_calibrations *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->claims_max = claims_max;
	c->claim = calloc(claims_max ? claims_max : 1, sizeof(*c->claim));
	return c->claim ? c : om_calibrations_free(c);
}

struct om_calibrations *om_calibrations_free(struct om_calibrations *c)
{
	if (!c)
		return NULL;
	free(c->claim);
	free(c->all);
	free(c->finding);
	free(c->owner);
	free(c->sorted);
	free(c);
	return NULL;
}

/* --- order --- */

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int key_compare(const struct om_calibration_key *a, const struct om_calibration_key *b)
{
	int rc = COMPARE(a->name, b->name);

	for (size_t i = 0; i < 3 && !rc; i++)
		rc = COMPARE(a->grid[i], b->grid[i]);
	for (size_t i = 0; i < 3 && !rc; i++)
		rc = COMPARE(a->block[i], b->block[i]);
	rc = rc ? rc : COMPARE(a->shared, b->shared);
	return rc ? rc : COMPARE(a->metric, b->metric);
}

static int claim_compare(const void *left, const void *right)
{
	const struct om_calibration_claim *a = left, *b = right;
	int rc = key_compare(&a->key, &b->key);

	rc = rc ? rc : COMPARE(a->owner, b->owner);
	rc = rc ? rc : COMPARE(a->process, b->process);
	rc = rc ? rc : COMPARE(b->count, a->count); /* the latest first */
	rc = rc ? rc : COMPARE(a->mean, b->mean);
	return rc ? rc : COMPARE(a->variance, b->variance);
}

static int double_compare(const void *left, const void *right)
{
	return COMPARE(*(const double *)left, *(const double *)right);
}

/* --- claims --- */

static bool is_possible(const struct om_calibration_claim *c)
{
	uint32_t parts = OM_CALIBRATION_PARTS(c->key.metric);

	return c->count && isfinite(c->mean) && c->mean >= 0 && isfinite(c->variance) && c->variance >= 0 &&
	       c->key.name && parts && OM_CALIBRATION_PART(c->key.metric) < parts;
}

/* One claim of a process for each key: the one of most launches. */
static void claims_sort(struct om_calibrations *c)
{
	size_t kept = 0;

	qsort(c->claim, c->claims, sizeof(*c->claim), claim_compare);
	for (size_t i = 0; i < c->claims; i++) {
		const struct om_calibration_claim *last = kept ? &c->claim[kept - 1] : NULL;

		if (last && !key_compare(&last->key, &c->claim[i].key) && last->owner == c->claim[i].owner &&
		    last->process == c->claim[i].process)
			continue;
		c->claim[kept++] = c->claim[i];
	}
	c->claims = kept;
}

static int owner_compare(const void *left, const void *right)
{
	const struct om_calibration_claim *a = left, *b = right;
	int rc = COMPARE(a->owner, b->owner);

	return rc ? rc : claim_compare(a, b);
}

/* The owner with the most claims gives up half of them, so that nobody crowds others out. False: it is
 * the one that asks for more. */
static bool make_room(struct om_calibrations *c, uint64_t owner)
{
	size_t most = 0, from = 0;

	qsort(c->claim, c->claims, sizeof(*c->claim), owner_compare);
	for (size_t i = 0, begin = 0; i < c->claims; i++) {
		if (c->claim[i].owner != c->claim[begin].owner)
			begin = i;
		if (i + 1 - begin > most) {
			most = i + 1 - begin;
			from = begin;
		}
	}
	if (most < 2 || c->claim[from].owner == owner)
		return false;
	most /= 2;
	memmove(&c->claim[from], &c->claim[from + most], (c->claims - from - most) * sizeof(*c->claim));
	c->claims -= most;
	c->dropped += most;
	return true;
}

int om_calibrations_add(struct om_calibrations *c, const struct om_calibration_claim *claim)
{
	if (!is_possible(claim))
		return -EINVAL;
	c->count = c->findings = 0;
	if (c->claims == c->claims_max)
		claims_sort(c);
	if (c->claims == c->claims_max && !make_room(c, claim->owner))
		return -ENOSPC;
	c->claim[c->claims++] = *claim;
	return 0;
}

uint64_t om_calibrations_dropped(const struct om_calibrations *c)
{
	return c->dropped;
}

/* --- one owner --- */

/* Launches of several processes as if one had made them: their own variances and what
 * their means differ by. */
static void owner_pool(const struct om_calibration_claim *claim, size_t count, struct owner *ret)
{
	struct owner o = { .id = claim->owner };
	double squares = 0;

	for (size_t i = 0; i < count; i++) {
		double n = (double)claim[i].count, before = (double)o.count;
		double delta = claim[i].mean - o.mean;

		o.count += claim[i].count;
		o.mean += delta * n / (before + n);
		squares +=
			claim[i].variance * (n > 1 ? n - 1 : 0) + delta * delta * before * n / (before + n);
	}
	o.variance = o.count > 1 ? squares / (double)(o.count - 1) : 0;
	o.error = o.variance / (double)o.count;
	*ret = o;
}

/* --- owners against one another --- */

static double median(double *values, size_t count)
{
	qsort(values, count, sizeof(*values), double_compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

/* Few launches show too little of a kernel's variance, and none a false one: nobody's
 * error is below what the owners' typical variance makes it. */
static void owners_errors(struct om_calibrations *c, struct owner *o, size_t count)
{
	double typical;

	for (size_t i = 0; i < count; i++)
		c->sorted[i] = o[i].variance;
	typical = median(c->sorted, count);
	for (size_t i = 0; i < count; i++)
		if (o[i].error < typical / (double)o[i].count)
			o[i].error = typical / (double)o[i].count;
}

/* How far from the middle this owner's mean may lie. */
static double allowed(const struct owner *o, double middle, double spread)
{
	return SIGMAS * (sqrt(o->error) + spread) + ROUNDING * middle + 1 / sqrt((double)o->count);
}

static void finding_add(struct om_calibrations *c, const struct om_calibration_key *key,
			const struct owner *o, double middle, double limit)
{
	c->finding[c->findings++] = (struct om_calibration_finding){ .key = *key,
								     .owner = o->id,
								     .count = o->count,
								     .claimed = o->mean,
								     .expected = middle,
								     .allowed = limit };
}

/* Marks those that do not belong; how many. Of two, neither can be told. */
static uint32_t owners_judge(struct om_calibrations *c, const struct om_calibration_key *key, struct owner *o,
			     size_t count)
{
	double middle, spread;
	uint32_t rejected = 0;

	if (count < 3)
		return 0;
	for (size_t i = 0; i < count; i++)
		c->sorted[i] = o[i].mean;
	middle = median(c->sorted, count);
	for (size_t i = 0; i < count; i++)
		c->sorted[i] = fabs(o[i].mean - middle);
	spread = MAD_TO_SIGMA * median(c->sorted, count);
	for (size_t i = 0; i < count; i++) {
		double limit = allowed(&o[i], middle, spread);

		o[i].is_rejected = fabs(o[i].mean - middle) > limit;
		if (!o[i].is_rejected)
			continue;
		finding_add(c, key, &o[i], middle, limit);
		rejected++;
	}
	return rejected;
}

static bool do_differ(const struct owner *a, const struct owner *b)
{
	double error = sqrt(a->error + b->error);
	double size = a->mean > b->mean ? a->mean : b->mean;

	return fabs(a->mean - b->mean) > SIGMAS * error + ROUNDING * size + 2;
}

/* --- combination --- */

/* What owners differ by beyond their errors (DerSimonian and Laird). */
static double between(const struct owner *o, size_t count, double floor)
{
	double w = 0, w2 = 0, mean = 0, q = 0;
	size_t kept = 0;

	for (size_t i = 0; i < count; i++) {
		double weight = 1 / (o[i].error + floor);

		if (o[i].is_rejected)
			continue;
		kept++;
		w += weight;
		w2 += weight * weight;
		mean += weight * (o[i].mean - mean) / w;
	}
	for (size_t i = 0; i < count; i++)
		if (!o[i].is_rejected)
			q += (o[i].mean - mean) * (o[i].mean - mean) / (o[i].error + floor);
	if (kept < 2 || q <= (double)(kept - 1) || w - w2 / w <= 0)
		return 0;
	return (q - (double)(kept - 1)) / (w - w2 / w);
}

static void owners_combine(const struct owner *o, size_t count, struct om_calibration *ret)
{
	double w = 0, squares = 0, degrees = 0, floor = 1, tau2;

	/* A kernel that always does the same has no error at all: a floor of one
	 * operation keeps its weight finite. */
	tau2 = between(o, count, floor);
	for (size_t i = 0; i < count; i++) {
		double weight = 1 / (o[i].error + floor + tau2);

		if (o[i].is_rejected)
			continue;
		w += weight;
		ret->mean += weight * (o[i].mean - ret->mean) / w;
		ret->launches += o[i].count;
		squares += o[i].variance * (double)(o[i].count - 1);
		degrees += (double)(o[i].count - 1);
	}
	ret->variance = (degrees > 0 ? squares / degrees : 0) + tau2;
	ret->mean_variance = 1 / w;
}

static uint64_t id_mix(uint64_t h, const void *data, size_t len)
{
	const uint8_t *b = data;

	for (size_t i = 0; i < len; i++)
		h = (h ^ b[i]) * 1099511628211ull;
	return h;
}

static uint64_t id_of(const struct om_calibration *c)
{
	const double values[] = { c->mean, c->variance, c->mean_variance };
	const uint64_t counts[] = { c->launches, c->owners, c->rejected, c->verdict };
	uint64_t h = id_mix(14695981039346656037ull, &c->key, sizeof(c->key));

	h = id_mix(h, values, sizeof(values));
	h = id_mix(h, counts, sizeof(counts));
	return h ? h : 1;
}

/* Two that differ, or a majority that would have to go: nobody is left out, and the
 * interval holds everybody. */
static void owners_contest(const struct owner *o, size_t count, struct om_calibration *ret)
{
	double low = INFINITY, high = 0;

	for (size_t i = 0; i < count; i++) {
		low = o[i].mean < low ? o[i].mean : low;
		high = o[i].mean > high ? o[i].mean : high;
	}
	ret->verdict = OM_CALIBRATION_CONTESTED;
	/* The error of a middle that may lie at either end. */
	ret->mean = (low + high) / 2;
	ret->mean_variance += (high - low) * (high - low) / 4;
	ret->variance += (high - low) * (high - low) / 4;
}

static void key_settle(struct om_calibrations *c, const struct om_calibration_claim *claim, size_t count)
{
	struct om_calibration *ret = &c->all[c->count++];
	size_t owners = 0, findings = c->findings;

	memset(ret, 0, sizeof(*ret));
	ret->key = claim->key;
	for (size_t i = 0, n; i < count; i += n) {
		for (n = 1; i + n < count && claim[i + n].owner == claim[i].owner; n++)
			;
		owner_pool(&claim[i], n, &c->owner[owners++]);
	}
	owners_errors(c, c->owner, owners);
	ret->rejected = owners_judge(c, &claim->key, c->owner, owners);
	ret->verdict = owners > 1 ? OM_CALIBRATION_AGREED : OM_CALIBRATION_ALONE;
	if (ret->rejected * 2 >= owners) {
		for (size_t i = 0; i < owners; i++)
			c->owner[i].is_rejected = false;
		c->findings = findings;
		ret->rejected = 0;
		owners_combine(c->owner, owners, ret);
		owners_contest(c->owner, owners, ret);
	} else {
		owners_combine(c->owner, owners, ret);
		if (owners == 2 && do_differ(&c->owner[0], &c->owner[1]))
			owners_contest(c->owner, owners, ret);
	}
	ret->owners = (uint32_t)owners - ret->rejected;
	ret->id = id_of(ret);
}

static int room_make(struct om_calibrations *c)
{
	size_t n = c->claims ? c->claims : 1;
	void *all = realloc(c->all, n * sizeof(*c->all));
	void *finding, *owner, *sorted;

	c->all = all ? all : c->all;
	finding = realloc(c->finding, n * sizeof(*c->finding));
	c->finding = finding ? finding : c->finding;
	owner = realloc(c->owner, n * sizeof(*c->owner));
	c->owner = owner ? owner : c->owner;
	sorted = realloc(c->sorted, n * sizeof(*c->sorted));
	c->sorted = sorted ? sorted : c->sorted;
	return all && finding && owner && sorted ? 0 : -ENOMEM;
}

int om_calibrations_settle(struct om_calibrations *c)
{
	int rc;

	c->count = c->findings = 0;
	claims_sort(c);
	rc = room_make(c);
	if (rc)
		return rc;
	for (size_t i = 0, n; i < c->claims; i += n) {
		for (n = 1; i + n < c->claims && !key_compare(&c->claim[i].key, &c->claim[i + n].key); n++)
			;
		key_settle(c, &c->claim[i], n);
	}
	return 0;
}

/* --- what came of it --- */

const struct om_calibration *om_calibrations_all(const struct om_calibrations *c, size_t *ret_count)
{
	*ret_count = c->count;
	return c->all;
}

const struct om_calibration_finding *om_calibrations_findings(const struct om_calibrations *c,
							      size_t *ret_count)
{
	*ret_count = c->findings;
	return c->finding;
}

static int find_compare(const void *key, const void *at)
{
	return key_compare(key, &((const struct om_calibration *)at)->key);
}

const struct om_calibration *om_calibrations_find(const struct om_calibrations *c,
						  const struct om_calibration_key *key)
{
	return c->count ? bsearch(key, c->all, c->count, sizeof(*c->all), find_compare) : NULL;
}

int om_calibrations_estimate(const struct om_calibrations *c, const struct om_calibration_key *key,
			     struct om_calibration_estimate *ret)
{
	struct om_calibration_estimate e = { .launches = UINT64_MAX, .is_agreed = true };
	uint32_t parts = OM_CALIBRATION_PARTS(key->metric), found = 0;

	for (uint32_t part = 0; part < parts; part++) {
		struct om_calibration_key k = *key;
		const struct om_calibration *at;

		k.metric = (key->metric & ~0xff00u) | part << 8;
		at = om_calibrations_find(c, &k);
		if (!at)
			continue;
		found++;
		e.mean += at->mean;
		e.variance += at->variance;
		e.mean_variance += at->mean_variance;
		e.id = id_mix(e.id, &at->id, sizeof(at->id));
		e.launches = at->launches < e.launches ? at->launches : e.launches;
		e.is_agreed &= at->verdict == OM_CALIBRATION_AGREED;
	}
	if (!found)
		return -ENOENT;
	if (found < parts)
		return -ENODATA;
	e.id = e.id ? e.id : 1;
	*ret = e;
	return 0;
}

void om_calibration_scale(const struct om_calibration_estimate *e, uint64_t launches, double *ret_mean,
			  double *ret_variance)
{
	double n = (double)launches;

	*ret_mean = n * e->mean;
	*ret_variance = n * n * e->mean_variance + n * e->variance;
}
