// SPDX-License-Identifier: Apache-2.0
/* Totals judged: which regimes hold today, and for whom. What they make of it is in policy_*.c. */
#include "policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"
#include "policy_internal.h"

#define NS_PER_DAY 86400000000000ULL

int policy_judge_subject(const struct policy *p, const struct policy_subject *s,
			 int (*emit)(void *ctx, const struct alert *a), void *ctx)
{
	struct judgement j = {
		.p = p, .s = s, .day = (int32_t)(p->now_ns / NS_PER_DAY), .emit = emit, .ctx = ctx
	};
	struct owner_finding owner;
	int r = policy_judge_owners(&j, &owner);

	for (size_t i = 0; r == 0 && i < regimes_count(p->regimes); i++) {
		const struct regime *g = regimes_at(p->regimes, i);

		if ((g->kind == REGIME_THRESHOLD || g->kind == REGIME_FRACTION) && regime_holds_on(g, j.day))
			r = policy_judge_level(&j, g, &owner);
	}
	return r;
}

int policy_judge(const struct policy *p, const struct om_subject_total *s,
		 int (*emit)(void *ctx, const struct alert *a), void *ctx)
{
	char name[300];
	struct policy_subject subject = { .name = name,
					  .group = POLICY_MODEL,
					  .total = s,
					  .tenants = 1,
					  .models = 1,
					  .largest_high = s->training_high,
					  .tenant = s->tenant };

	snprintf(name, sizeof(name), "%s/%s", s->tenant, s->model);
	return policy_judge_subject(p, &subject, emit, ctx);
}

struct family {
	char name[32]; /* "family/<pseudonym>" */
	char parent[128];
	struct om_subject_total total;
	char last_tenant[130];
	size_t tenants, models;
	opcount tenant_high, largest_high; /* of the tenant that is being put; of the largest so far */
};

struct families {
	struct family *item;
	size_t count, room;
};

struct families *families_new(void)
{
	return calloc(1, sizeof(struct families));
}

struct families *families_free(struct families *f)
{
	if (f)
		free(f->item);
	free(f);
	return NULL;
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

static struct family *need_family(struct families *f, const char *parent)
{
	struct family *bigger;

	for (size_t i = 0; i < f->count; i++)
		if (!strcmp(f->item[i].parent, parent))
			return &f->item[i];
	if (f->count == f->room) {
		size_t room = f->room ? 2 * f->room : 16;

		bigger = reallocarray(f->item, room, sizeof(*bigger));
		if (!bigger)
			return NULL;
		f->item = bigger;
		f->room = room;
	}
	f->item[f->count] = (struct family){ .total = { .is_bounded = true } };
	snprintf(f->item[f->count].parent, sizeof(f->item[0].parent), "%s", parent);
	pseudonym(parent, f->item[f->count].name);
	return &f->item[f->count++];
}

static void add_saturating(opcount *to, opcount v)
{
	if (opcount_add(*to, v, to))
		*to = OPCOUNT_MAX;
}

static void add_total(struct om_subject_total *to, const struct om_subject_total *s)
{
	add_saturating(&to->training_low, s->training_low);
	add_saturating(&to->training_high, s->training_high);
	add_saturating(&to->training_ceiling, s->training_ceiling);
	add_saturating(&to->all_low, s->all_low);
	add_saturating(&to->all_high, s->all_high);
	add_saturating(&to->all_ceiling, s->all_ceiling);
	to->is_bounded = to->is_bounded && s->is_bounded;
	to->attempted |= s->attempted;
	to->losses += s->losses;
	to->meters |= s->meters;
	to->registers += s->registers;
	if (s->as_of_ns > to->as_of_ns)
		to->as_of_ns = s->as_of_ns;
}

int families_put(struct families *f, const struct owners *owners, int32_t day,
		 const struct om_subject_total *s)
{
	struct owner_answer a;
	struct family *fam;

	if (!owners || !strcmp(s->tenant, "unknown"))
		return 0;
	owners_resolve(owners, s->tenant, day, &a);
	if (a.state != OWNER_KNOWN)
		return 0;
	fam = need_family(f, a.path[a.steps - 1].entity);
	if (!fam)
		return -ENOMEM;
	if (strcmp(fam->last_tenant, s->tenant)) { /* a tenant's models come one after the other */
		snprintf(fam->last_tenant, sizeof(fam->last_tenant), "%s", s->tenant);
		fam->tenants++;
		fam->tenant_high = 0;
	}
	fam->models++;
	add_saturating(&fam->tenant_high, s->training_high);
	fam->largest_high = opcount_max(fam->largest_high, fam->tenant_high);
	add_total(&fam->total, s);
	return 0;
}

int families_judge(struct families *f, const struct policy *p, int (*emit)(void *ctx, const struct alert *a),
		   void *ctx)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < f->count; i++) {
		struct family *fam = &f->item[i];
		struct policy_subject s = { .name = fam->name,
					    .group = POLICY_FAMILY,
					    .total = &fam->total,
					    .tenants = fam->tenants,
					    .models = fam->models,
					    .largest_high = fam->largest_high };

		if (fam->tenants < 2)
			continue;
		/* One model or several: nobody knows. What is certain of a model is nothing. */
		fam->total.training_low = 0;
		fam->total.tenant = "several";
		fam->total.model = "several";
		r = policy_judge_subject(p, &s, emit, ctx);
	}
	return r;
}
