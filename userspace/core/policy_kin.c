// SPDX-License-Identifier: Apache-2.0
/* What tenants train beside each other, and the families that they are of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "policy_internal.h"

#define NS_PER_DAY 86400000000000ULL

struct kin_tenant {
	char name[130];
	size_t models;
	opcount largest_high; /* of its models */
};

/* What a family has of a tenant: all that was trained while it held it. */
struct stake {
	uint32_t family;
	opcount sum_high; /* over the tenant's models */
	/* Of the model that is put in: what was trained then, and whether the family holds the tenant now. */
	opcount part_high;
	bool is_now;
};

struct family {
	char name[32]; /* "family/<pseudonym>" */
	char parent[128];
	struct om_subject_total total;
	size_t tenants, models;
	opcount largest_high; /* of the tenants' sums */
};

struct kin {
	struct kin_tenant *tenant; /* by name, as om_totals_each() goes */
	size_t tenants, tenant_room;
	struct stake *stake; /* of the last tenant */
	size_t stakes, stake_room;
	struct family *family;
	size_t families, family_room;
	uint32_t *slot; /* families by parent: position + 1, 0: free */
	size_t slots;	/* a power of two, over twice the families */
};

struct kin *kin_new(void)
{
	return calloc(1, sizeof(struct kin));
}

struct kin *kin_free(struct kin *k)
{
	if (!k)
		return NULL;
	free(k->tenant);
	free(k->stake);
	free(k->family);
	free(k->slot);
	free(k);
	return NULL;
}

static int grow(void *array, size_t count, size_t *room, size_t size)
{
	void **p = array, *bigger;

	if (count < *room)
		return 0;
	bigger = reallocarray(*p, *room ? 2 * *room : 16, size);
	if (!bigger)
		return -ENOMEM;
	*room = *room ? 2 * *room : 16;
	*p = bigger;
	return 0;
}

void policy_family_name(const char *parent, char out[32])
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	char hex[65];

	crypto_hash_sha256(hash, (const unsigned char *)parent, strlen(parent));
	sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
	snprintf(out, 32, "family/%.16s", hex);
}

static uint32_t *slot_of(const struct kin *k, const char *parent)
{
	size_t at = 0xcbf29ce484222325ULL;

	for (const char *p = parent; *p; p++)
		at = (at ^ (unsigned char)*p) * 0x100000001b3ULL;
	for (at &= k->slots - 1; k->slot[at] && strcmp(k->family[k->slot[at] - 1].parent, parent) != 0;)
		at = (at + 1) & (k->slots - 1);
	return &k->slot[at];
}

static int grow_slots(struct kin *k)
{
	size_t slots = k->slots ? 2 * k->slots : 64;
	uint32_t *old = k->slot, *bigger;

	if (2 * (k->families + 1) <= k->slots)
		return 0;
	bigger = calloc(slots, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	free(old);
	k->slot = bigger;
	k->slots = slots;
	for (size_t i = 0; i < k->families; i++)
		*slot_of(k, k->family[i].parent) = (uint32_t)i + 1;
	return 0;
}

static int need_family(struct kin *k, const char *parent, uint32_t *ret)
{
	int r = grow_slots(k);
	uint32_t *slot = r ? NULL : slot_of(k, parent);
	struct family *f;

	if (r)
		return r;
	if (*slot) {
		*ret = *slot - 1;
		return 0;
	}
	r = grow(&k->family, k->families, &k->family_room, sizeof(*k->family));
	if (r)
		return r;
	f = &k->family[k->families];
	*f = (struct family){ .total = { .is_bounded = true, .tenant = "", .model = "", .lineage = "" } };
	snprintf(f->parent, sizeof(f->parent), "%s", parent);
	policy_family_name(parent, f->name);
	*ret = (uint32_t)k->families++;
	*slot = *ret + 1;
	return 0;
}

static int need_tenant(struct kin *k, const char *name, struct kin_tenant **ret)
{
	struct kin_tenant *last = k->tenants ? &k->tenant[k->tenants - 1] : NULL;
	int r;

	if (last && !strcmp(last->name, name)) {
		*ret = last;
		return 0;
	}
	r = grow(&k->tenant, k->tenants, &k->tenant_room, sizeof(*k->tenant));
	if (r)
		return r;
	k->stakes = 0;
	*ret = &k->tenant[k->tenants++];
	**ret = (struct kin_tenant){ .models = 0 };
	snprintf((*ret)->name, sizeof((*ret)->name), "%s", name);
	return 0;
}

static int need_stake(struct kin *k, uint32_t family, struct stake **ret)
{
	int r;

	for (size_t i = 0; i < k->stakes; i++) {
		*ret = &k->stake[i];
		if (k->stake[i].family == family)
			return 0;
	}
	r = grow(&k->stake, k->stakes, &k->stake_room, sizeof(*k->stake));
	if (r)
		return r;
	*ret = &k->stake[k->stakes++];
	**ret = (struct stake){ .family = family };
	k->family[family].tenants++;
	return 0;
}

/* What the tenant's owner of a day has of the model: `high` of its training. */
static int hold(struct kin *k, const struct policy *p, const char *tenant, int32_t day, opcount high,
		bool is_now)
{
	struct owner_answer a;
	struct stake *stake;
	uint32_t family;
	int r;

	if (!high && !is_now)
		return 0;
	owners_resolve(p->owners, tenant, day, &a);
	if (a.state != OWNER_KNOWN)
		return 0;
	r = need_family(k, a.path[a.steps - 1].entity, &family);
	r = r ?: need_stake(k, family, &stake);
	if (r)
		return r;
	opcount_add_saturating(&stake->part_high, high);
	stake->is_now |= is_now;
	return 0;
}

static opcount trained(const struct om_until *begin, const struct om_until *end)
{
	bool is_wide = begin->is_wide || end->is_wide;
	opcount before = is_wide ? begin->training_low : begin->training_high;

	return end->training_high > before ? end->training_high - before : 0;
}

/*
 * Whose it was when: each owner of the run holds what was trained while the tenant was its. Where a
 * total does not tell of a day, no less than can have been. 1: it is to be told yet.
 */
static int hold_by_periods(struct kin *k, const struct policy *p, int32_t today,
			   const struct om_subject_total *s)
{
	struct om_until begin = { .day = s->first_day };
	struct om_until all = { .training_low = s->training_low, .training_high = s->training_high };
	int32_t from = (int32_t)s->first_day;
	const int32_t *day;
	size_t n;
	int r = 0;

	day = policy_changes_in_run(p->owners, s->tenant, s->first_day, today, &n);
	for (size_t i = 0; i < n; i++) {
		om_until_on(s, (uint32_t)day[i], &begin);
		if (begin.is_wide && p->is_until_due)
			return 1;
	}
	begin = (struct om_until){ .day = s->first_day };
	for (size_t i = 0; r == 0 && i < n; from = day[i++]) {
		struct om_until end;

		om_until_on(s, (uint32_t)day[i], &end);
		r = hold(k, p, s->tenant, from, trained(&begin, &end), false);
		begin = end;
	}
	return r ?: hold(k, p, s->tenant, today, trained(&begin, &all), true);
}

/* `high`: what of its training is the family's. What no total tells by day counts whole: these are upper
 * bounds. */
static void add_total(struct om_subject_total *to, const struct om_subject_total *s, opcount high)
{
	opcount gap = s->training_ceiling > s->training_high ? s->training_ceiling - s->training_high : 0;

	/* training_low stays 0: one model or several, nobody knows; nothing is certain of a model. */
	opcount_add_saturating(&to->training_high, high);
	opcount_add_saturating(&to->training_ceiling, high);
	opcount_add_saturating(&to->training_ceiling, gap);
	opcount_add_saturating(&to->all_low, high == s->training_high ? s->all_low : 0);
	opcount_add_saturating(&to->all_high, s->all_high);
	opcount_add_saturating(&to->all_ceiling, s->all_ceiling);
	to->is_bounded = to->is_bounded && s->is_bounded;
	to->attempted |= s->attempted;
	to->losses += s->losses;
	to->gap_days += s->gap_days;
	to->is_older |= s->is_older;
	opcount_add_saturating(&to->executed_high, s->executed_high);
	opcount_add_saturating(&to->suspected, s->suspected);
	to->meters |= s->meters;
	to->registers += s->registers;
	if (s->as_of_ns > to->as_of_ns)
		to->as_of_ns = s->as_of_ns;
}

int kin_put(struct kin *k, const struct policy *p, const struct om_subject_total *s)
{
	struct kin_tenant *t;
	int r;

	if (s->group != OM_GROUP_MODEL)
		return 0;
	r = need_tenant(k, s->tenant, &t);
	if (r)
		return r;
	t->models++;
	t->largest_high = opcount_max(t->largest_high, s->training_high);
	if (!p->owners || !strcmp(s->tenant, "unknown"))
		return 0;
	for (size_t i = 0; i < k->stakes; i++) {
		k->stake[i].part_high = 0;
		k->stake[i].is_now = false;
	}
	r = hold_by_periods(k, p, (int32_t)(p->now_ns / NS_PER_DAY), s);
	if (r)
		return r < 0 ? r : 0;
	for (size_t i = 0; i < k->stakes; i++) {
		struct stake *stake = &k->stake[i];
		struct family *f = &k->family[stake->family];

		if (!stake->part_high && !stake->is_now)
			continue;
		opcount_add_saturating(&stake->sum_high, stake->part_high);
		f->models++;
		f->largest_high = opcount_max(f->largest_high, stake->sum_high);
		add_total(&f->total, s, stake->part_high);
	}
	return 0;
}

static int compare_tenant(const void *name, const void *tenant)
{
	return strcmp(name, ((const struct kin_tenant *)tenant)->name);
}

/*
 * Of a lineage of one tenant the members do not say which models it runs through. If none of the
 * tenant's models is as large as the lineage, it runs through several.
 */
void kin_subject_of(const struct kin *k, const struct om_subject_total *s, char name[POLICY_NAME_MAX],
		    struct policy_subject *ret)
{
	opcount largest = 0;
	size_t models = 0;

	policy_subject_of(s, name, ret);
	if (s->group != OM_GROUP_LINEAGE)
		return;
	for (size_t i = 0; i < s->member_count; i++) {
		const struct kin_tenant *t = bsearch(s->members[i].tenant, k->tenant, k->tenants,
						     sizeof(*k->tenant), compare_tenant);

		models += t ? t->models : 1;
		if (t)
			largest = opcount_max(largest, t->largest_high);
	}
	if (largest && largest < s->training_high) {
		ret->models = models;
		if (largest < ret->largest_high)
			ret->largest_high = largest;
	}
}

int kin_judge(const struct kin *k, const struct policy *p, const struct om_subject_total *s,
	      int (*emit)(void *ctx, const struct alert *a), void *ctx)
{
	char name[POLICY_NAME_MAX];
	struct policy_subject subject;

	kin_subject_of(k, s, name, &subject);
	return policy_judge_subject(p, &subject, emit, ctx);
}

int kin_each_family(struct kin *k, int (*fn)(void *ctx, const struct policy_subject *s), void *ctx)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < k->families; i++) {
		struct family *f = &k->family[i];
		struct policy_subject s = { .name = f->name,
					    .group = POLICY_FAMILY,
					    .total = &f->total,
					    .tenants = f->tenants,
					    .models = f->models,
					    .largest_high = f->largest_high };

		if (f->tenants > 1)
			r = fn(ctx, &s);
	}
	return r;
}

struct judging {
	const struct policy *p;
	int (*emit)(void *ctx, const struct alert *a);
	void *ctx;
};

static int judge_family(void *ctx, const struct policy_subject *s)
{
	struct judging *j = ctx;

	return policy_judge_subject(j->p, s, j->emit, j->ctx);
}

int kin_judge_families(struct kin *k, const struct policy *p, int (*emit)(void *ctx, const struct alert *a),
		       void *ctx)
{
	struct judging j = { p, emit, ctx };

	return kin_each_family(k, judge_family, &j);
}
