// SPDX-License-Identifier: Apache-2.0
#include "policy_input.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"
#include "../core/ledger.h"

#define DAY_NS 86400000000000ULL
#define LINE_MAX_BYTES 65536

struct loading {
	struct policy_side *side;
	struct assignment_set set;
	crypto_hash_sha256_state digest;
};

void policy_side_done(struct policy_side *s)
{
	regimes_free(s->regimes);
	owners_free(s->owners);
	declarations_free(s->declarations);
	history_free(s->history);
	kin_free(s->kin);
}

static int take_assignment(struct loading *l, const void *json, size_t len)
{
	struct om_assignment a;

	if (om_assignment_decode(json, len, &a))
		return 1;
	if (!assignment_set_has(&l->set, &a)) {
		l->side->left_out++;
		return 0;
	}
	crypto_hash_sha256_update(&l->digest, json, len);
	crypto_hash_sha256_update(&l->digest, (const unsigned char *)"\n", 1);
	return history_assignment(l->side->history, &a);
}

static int take_entry(void *ctx, const struct om_entry *e)
{
	int r = 0;

	if (e->kind == OM_ENTRY_ASSIGNMENT && e->payload)
		r = take_assignment(ctx, e->payload, e->len);
	return r < 0 ? r : 0;
}

static int take_reading(void *ctx, const struct om_reading *r)
{
	return history_reading(((struct loading *)ctx)->side->history, r);
}

static int load_ledger(struct loading *l, const char *dir)
{
	_cleanup_ledger_ struct om_ledger *ledger = NULL;
	struct error_text err = { 0 };
	int r = om_ledger_open(dir, OM_LEDGER_READ_ONLY, 0, &ledger, &err);

	r = r ?: om_ledger_each_entry(ledger, 0, take_entry, l);
	r = r ?: om_ledger_each_register(ledger, take_reading, l);
	if (r)
		log_error("%s: %s", dir, err.text[0] ? err.text : strerror(-r));
	return r;
}

static int load_readings(struct loading *l, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	uint8_t wire[OM_READING_SIZE];
	uint64_t number = 0;
	size_t n;
	int r = 0;

	if (!f) {
		log_error("%s: cannot be read: %s", path, strerror(errno));
		return -EIO;
	}
	while (r == 0 && (n = fread(wire, 1, sizeof(wire), f)) > 0) {
		struct om_reading reading;

		number++;
		r = om_reading_decode(wire, n, &reading);
		if (r) {
			log_error("%s: reading %llu is %s", path, (unsigned long long)number,
				  r == -EPROTONOSUPPORT ? "of a later version" : "cut or damaged");
			return -EINVAL;
		}
		r = history_reading(l->side->history, &reading);
	}
	return r;
}

static int load_assignments(struct loading *l, const char *path)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *line = malloc(LINE_MAX_BYTES);
	unsigned number = 0;

	if (!f || !line) {
		log_error("%s: cannot be read: %s", path, strerror(errno));
		return -EIO;
	}
	while (fgets(line, LINE_MAX_BYTES, f)) {
		size_t len = strcspn(line, "\n");
		int r = len ? take_assignment(l, line, len) : 0;

		number++;
		if (r > 0) {
			log_error("%s:%u: is no assignment", path, number);
			return -EINVAL;
		}
		if (r)
			return r;
	}
	return 0;
}

static int observed(void *ctx, const char *subject, opcount *low, opcount *high)
{
	const struct policy_side *s = ctx;
	const struct history_subject *h = history_find(s->history, subject);

	if (!h)
		return 1;
	*low = h->total.training_low;
	*high = h->total.training_high;
	return 0;
}

int policy_regimes_load(const char *path, struct regimes **ret)
{
	struct error_text err = { 0 };
	int r = regimes_load(path, ret, &err);

	r = r ?: regimes_check_accepted(*ret, (int32_t)(time(NULL) / 86400), &err);
	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r ? EXIT_USAGE : EXIT_OK;
}

static int load_law(const struct policy_input *in, struct policy_side *s)
{
	struct error_text err = { 0 };
	int r = policy_regimes_load(in->regimes, &s->regimes);

	if (r)
		return r;
	if (in->owners)
		r = owners_load(in->owners, &s->owners, &err);
	if (in->owners)
		r = r ?: owners_check_dates(s->owners, (int32_t)(time(NULL) / 86400), &err) ?: owners_prepare(s->owners);
	if (r == 0 && in->declarations)
		r = declarations_load(in->declarations, &s->declarations, &err);
	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r ? EXIT_USAGE : EXIT_OK;
}

static int load_facts(const struct policy_input *in, struct loading *l)
{
	unsigned char hash[crypto_hash_sha256_BYTES];
	int r = 0;

	l->side->history = history_new();
	if (!l->side->history)
		return -ENOMEM;
	crypto_hash_sha256_init(&l->digest);
	if (in->dir)
		r = load_ledger(l, in->dir);
	if (r == 0 && in->readings)
		r = load_readings(l, in->readings);
	if (r == 0 && in->assignments)
		r = load_assignments(l, in->assignments);
	crypto_hash_sha256_final(&l->digest, hash);
	sodium_bin2hex(l->side->set_digest, sizeof(l->side->set_digest), hash, sizeof(hash));
	return r;
}

int policy_side_load(const struct policy_input *in, struct policy_side *ret)
{
	struct loading l = { .side = ret };
	int32_t day;
	int r;

	memset(ret, 0, sizeof(*ret));
	if (!in->dir && !in->readings) {
		log_error("policy: what is to be judged? --dir LEDGER or --readings FILE");
		return EXIT_USAGE;
	}
	if (assignment_set_parse(in->set, &l.set)) {
		log_error("policy: no set of assignments '%s': recorded, rules, people or before:YYYY-MM-DD",
			  in->set);
		return EXIT_USAGE;
	}
	if (in->until && (date_parse(in->until, &day) || day < 0)) {
		log_error("policy: --until must be a date such as 2026-11-23, not '%s'", in->until);
		return EXIT_USAGE;
	}
	r = load_law(in, ret);
	if (r)
		return r;
	r = load_facts(in, &l);
	if (r)
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	ret->until = in->until ? (uint32_t)day : history_last_day(ret->history);
	ret->policy = (struct policy){ .regimes = ret->regimes,
				       .owners = ret->owners,
				       .source = "/opmeter/replay",
				       .declarations = ret->declarations,
				       .observed = observed,
				       .observed_ctx = ret };
	return EXIT_OK;
}

static int compare_names(const void *x, const void *y)
{
	const struct history_subject *const *a = x, *const *b = y;

	return strcmp((*a)->total.tenant, (*b)->total.tenant);
}

/* A history knows what was trained before any day; for kin those matter on which the owner changed. */
static int put_kin(struct policy_side *s, const struct history_subject *h)
{
	struct om_subject_total total = h->total;
	_cleanup_free_ struct om_until *until = NULL;
	const int32_t *day;
	size_t n;

	day = owners_change_days(s->owners, total.tenant, &n);
	if (day && total.group == OM_GROUP_MODEL) {
		until = calloc(n, sizeof(*until));
		if (!until)
			return -ENOMEM;
		for (size_t i = 0, k = 0; i < n; i++) {
			while (k < h->point_count && h->points[k].day < day[i])
				k++;
			until[i].day = (uint32_t)day[i];
			until[i].training_low = k ? h->points[k - 1].low : 0;
			until[i].training_high = k ? h->points[k - 1].high : 0;
		}
		total.until = until;
		total.until_count = n;
	}
	return kin_put(s->kin, &s->policy, &total);
}

int policy_side_day(struct policy_side *s, uint32_t day)
{
	size_t n = history_subjects(s->history);
	_cleanup_free_ const struct history_subject **by_tenant = calloc(n + 1, sizeof(*by_tenant));
	int r = 0;

	s->policy.now_ns = (day + 1ULL) * DAY_NS - 1;
	s->kin = kin_free(s->kin);
	s->kin = kin_new();
	if (!s->kin || !by_tenant)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		by_tenant[i] = history_at(s->history, i);
	qsort(by_tenant, n, sizeof(*by_tenant), compare_names);
	for (size_t i = 0; r == 0 && i < n; i++)
		r = put_kin(s, by_tenant[i]);
	return r;
}

void policy_side_subject(const struct policy_side *s, const struct history_subject *h,
			 char name[POLICY_NAME_MAX], struct policy_subject *ret)
{
	kin_subject_of(s->kin, &h->total, name, ret);
}
