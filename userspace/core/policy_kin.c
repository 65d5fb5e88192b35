// SPDX-License-Identifier: Apache-2.0
/* What tenants train beside each other, and the families that they are of. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "policy_internal.h"

struct kin_tenant {
	char name[130];
	size_t models;
	opcount sum_high, largest_high; /* of its models */
	uint32_t family;		/* UINT32_MAX: none */
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

/* A name that says nothing of who the parent is, and is the same everywhere. */
static void pseudonym(const char *parent, char out[32])
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
	pseudonym(parent, f->name);
	*ret = (uint32_t)k->families++;
	*slot = *ret + 1;
	return 0;
}

static int need_tenant(struct kin *k, const struct owners *owners, int32_t day, const char *name,
		       struct kin_tenant **ret)
{
	struct kin_tenant *last = k->tenants ? &k->tenant[k->tenants - 1] : NULL;
	struct owner_answer a;
	int r;

	if (last && !strcmp(last->name, name)) {
		*ret = last;
		return 0;
	}
	r = grow(&k->tenant, k->tenants, &k->tenant_room, sizeof(*k->tenant));
	if (r)
		return r;
	*ret = &k->tenant[k->tenants++];
	**ret = (struct kin_tenant){ .family = UINT32_MAX };
	snprintf((*ret)->name, sizeof((*ret)->name), "%s", name);
	if (!owners || !strcmp(name, "unknown"))
		return 0;
	owners_resolve(owners, name, day, &a);
	if (a.state != OWNER_KNOWN)
		return 0;
	r = need_family(k, a.path[a.steps - 1].entity, &(*ret)->family);
	if (r == 0)
		k->family[(*ret)->family].tenants++;
	return r;
}

static void add_total(struct om_subject_total *to, const struct om_subject_total *s)
{
	/* training_low stays 0: one model or several, nobody knows; nothing is certain of a model. */
	opcount_add_saturating(&to->training_high, s->training_high);
	opcount_add_saturating(&to->training_ceiling, s->training_ceiling);
	opcount_add_saturating(&to->all_low, s->all_low);
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

int kin_put(struct kin *k, const struct owners *owners, int32_t day, const struct om_subject_total *s)
{
	struct kin_tenant *t;
	int r;

	if (s->group != OM_GROUP_MODEL)
		return 0;
	r = need_tenant(k, owners, day, s->tenant, &t);
	if (r)
		return r;
	t->models++;
	opcount_add_saturating(&t->sum_high, s->training_high);
	t->largest_high = opcount_max(t->largest_high, s->training_high);
	if (t->family != UINT32_MAX) {
		struct family *f = &k->family[t->family];

		f->models++;
		f->largest_high = opcount_max(f->largest_high, t->sum_high);
		add_total(&f->total, s);
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
