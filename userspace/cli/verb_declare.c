// SPDX-License-Identifier: Apache-2.0
/* `declare`: a person says what the fleet cannot see. One record, appended to an append-only file. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"
#include "../base/options.h"
#include "../core/assignment.h"
#include "../core/declaration.h"
#include "../core/declaration_head.h"
#include "declare_facts.h"
#include "evidence_verbs.h"
#include "policy_input.h"
#include "store.h"
#include "verbs.h"

#define DEFAULT_FILE "/var/lib/opmeter/declarations.jsonl"

struct declaring {
	const char *file, *by, *operations, *share, *provider, *generator, *parent, *fact, *value, *of,
		*evidence, *evidence_file, *keys, *regimes;
	struct option_list public_keys;
	bool is_published, is_list, is_new_fact;
};

static int bad_usage(const char *what)
{
	log_error("declare: %s", what);
	return -EINVAL;
}

static int set_name(char *to, size_t size, const char *from, const char *what)
{
	if (!from || !*from || strlen(from) >= size) {
		log_error("declare: %s must be given, and be shorter than %zu bytes", what, size);
		return -EINVAL;
	}
	/* A blank is nobody's name, and one at an end makes two names of one. */
	if (from[0] == ' ' || from[strlen(from) - 1] == ' ') {
		log_error("declare: %s must neither begin nor end with a blank", what);
		return -EINVAL;
	}
	memcpy(to, from, strlen(from) + 1);
	return 0;
}

/* "1e25" or "1e25..2e25" */
static int parse_operations(const char *s, struct declaration *d)
{
	const char *dots = s ? strstr(s, "..") : NULL;
	char low[64];

	if (!s)
		return bad_usage("--operations must be given, such as 6.5e25 or 6e25..7e25");
	snprintf(low, sizeof(low), "%.*s", (int)(dots ? dots - s : 60), s);
	if (opcount_parse(low, &d->low) || opcount_parse(dots ? dots + 2 : low, &d->high) || d->low > d->high)
		return bad_usage("--operations is a whole number or a range of them, such as 6e25..7e25");
	return 0;
}

static int parse_percent(const char *s, uint32_t *ret)
{
	char *end;
	double v = strtod(s, &end);

	if (end == s || strcmp(end, "%") || !(v >= 0 && v <= 100))
		return -EINVAL;
	*ret = (uint32_t)(v * 1e4 + 0.5);
	return 0;
}

/* "12%" or "10%..12%" */
static int parse_share(const char *s, struct declaration *d)
{
	const char *dots = s ? strstr(s, "..") : NULL;
	char low[64];

	if (!s)
		return bad_usage("--share must be given, such as 12% or 10%..12%");
	snprintf(low, sizeof(low), "%.*s", (int)(dots ? dots - s : 60), s);
	if (parse_percent(low, &d->share_low_ppm) ||
	    parse_percent(dots ? dots + 2 : low, &d->share_high_ppm) || d->share_low_ppm > d->share_high_ppm)
		return bad_usage("--share is a percentage up to 100%, or a range of them");
	return 0;
}

/* The digest of what stands behind it, so that it can be asked for later. */
static int hash_evidence(const char *path, char out[65])
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	unsigned char hash[crypto_hash_sha256_BYTES], block[65536];
	crypto_hash_sha256_state s;
	size_t n;

	if (!f) {
		log_error("%s: cannot be read: %s", path, strerror(errno));
		return -EIO;
	}
	crypto_hash_sha256_init(&s);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		crypto_hash_sha256_update(&s, block, n);
	if (ferror(f)) {
		log_error("%s: cannot be read: %s", path, strerror(errno));
		return -EIO;
	}
	crypto_hash_sha256_final(&s, hash);
	sodium_bin2hex(out, 65, hash, sizeof(hash));
	return 0;
}

static int take_value(const char *s, bool *ret)
{
	if (!s || (strcmp(s, "true") && strcmp(s, "false")))
		return bad_usage("--value must be true or false");
	*ret = !strcmp(s, "true");
	return 0;
}

static int fill_kind(const struct declaring *c, struct declaration *d)
{
	int r = 0;

	switch (d->kind) {
	case DECLARE_EXTERNAL:
		r = set_name(d->other, sizeof(d->other), c->provider, "--provider");
		return r ?: parse_operations(c->operations, d);
	case DECLARE_TRAINING:
		return parse_operations(c->operations, d);
	case DECLARE_SYNTHETIC:
		d->value = c->is_published;
		r = set_name(d->other, sizeof(d->other), c->generator, "--generator");
		r = r ?: parse_share(c->share, d);
		return r ?: parse_operations(c->operations, d);
	case DECLARE_PARENT:
		return set_name(d->other, sizeof(d->other), c->parent, "--parent");
	case DECLARE_FACT:
		r = set_name(d->other, sizeof(d->other), c->fact, "--fact");
		return r ?: take_value(c->value, &d->value);
	case DECLARE_WITHDRAWAL:
		return set_name(d->other, sizeof(d->other), c->of, "--of");
	default:
		return 0;
	}
}

static int declare(const struct declaring *c, const char *kind, const char *subject)
{
	struct declaration d = { .at_ns = (uint64_t)time(NULL) * 1000000000ULL };
	struct error_text err = { 0 };
	char id[OM_ID_STRLEN];
	int r;

	if (declaration_kind_parse(kind, &d.kind)) {
		log_error("declare: no kind '%s': external-operations, training-operations, synthetic-data, "
			  "publication, parent, fact or withdrawal",
			  kind);
		return EXIT_USAGE;
	}
	r = set_name(d.subject, sizeof(d.subject), subject, "a subject");
	r = r ?: set_name(d.by, sizeof(d.by), c->by, "--by");
	r = r ?: fill_kind(c, &d);
	snprintf(d.evidence, sizeof(d.evidence), "%s", c->evidence ? c->evidence : "");
	if (r == 0 && c->evidence_file)
		r = hash_evidence(c->evidence_file, d.digest);
	if (r)
		return r == -EIO ? EXIT_FAILED : EXIT_USAGE;
	if (d.kind == DECLARE_FACT && !c->is_new_fact) {
		r = declare_check_fact(c->regimes, d.other);
		if (r)
			return r;
	}
	r = declarations_append(c->file, &d, c->keys, store_now_ns(), &err);
	if (r < 0) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
	}
	if (r)
		log_error("%s: the record stands, and the head does not name it yet; the next one will",
			  err.text);
	printf("%s  %s of %s, declared by %s%s\n", om_id_format(&d.id, id), kind, subject, c->by,
	       d.digest[0]		? ""
	       : d.kind != DECLARE_FACT ? "; without evidence it counts in the upper bound only"
	       : d.value		? "; without evidence: it raises, and never lowers"
					: "; without evidence it lowers nothing: the condition stays open");
	return r ? EXIT_FAILED : EXIT_OK;
}

static void print_foot(const struct declaration_head *h, size_t count, bool is_verified)
{
	printf("%zu records, in order; ", count);
	if (!h->is_there)
		printf("no head: whether the last were taken away is not known\n");
	else if (is_verified)
		printf("the head names all of them, signed for %s by a key that is given\n", h->tree.origin);
	else
		printf("the head names %llu, %s\n", (unsigned long long)h->tree.size,
		       h->is_signed ? "its signature was not checked (--key)" : "not signed");
}

static int list(const struct declaring *c)
{
	_cleanup_(declaration_head_done) struct declaration_head head = { .text = NULL };
	_cleanup_(declarations_freep) struct declarations *all = NULL;
	struct om_note_key keys[OPTION_LIST_MAX];
	struct error_text err = { 0 };
	size_t n = 0;
	int r = evidence_load_keys(&c->public_keys, keys, &n);

	if (r)
		return EXIT_USAGE;
	r = declaration_head_read(c->file, &head, &err);
	r = r ?: declarations_load(c->file, &all, &err);
	if (r == 0 && n)
		r = declaration_head_verify(c->file, &head, all, keys, n, &err);
	if (r) {
		log_error("%s", err.text[0] ? err.text : strerror(-r));
		return r == -EINVAL ? EXIT_FINDING : EXIT_FAILED;
	}
	for (size_t i = 0; i < declarations_count(all); i++) {
		const struct declaration *d = declarations_at(all, i);
		char id[OM_ID_STRLEN], at[OM_TIME_STRLEN], low[OPCOUNT_STRLEN], high[OPCOUNT_STRLEN];

		printf("%s  %s  %-20s %s %s %s..%s by %s%s%s\n", om_id_format(&d->id, id),
		       om_time_format(d->at_ns, at), declaration_kind_name(d->kind), d->subject, d->other,
		       opcount_human(d->low, low), opcount_human(d->high, high), d->by,
		       d->digest[0] ? "" : " (no evidence)", d->withdrawn_ns ? " (withdrawn)" : "");
	}
	print_foot(&head, declarations_count(all), n > 0);
	return EXIT_OK;
}

int verb_declare(int argc, char **argv)
{
	struct declaring c = { .file = DEFAULT_FILE, .regimes = POLICY_REGIMES };
	const struct option options[] = {
		{ "file", "FILE", OPTION_STRING, &c.file,
		  "append-only file of declarations (" DEFAULT_FILE ")" },
		{ "by", "NAME", OPTION_STRING, &c.by, "the person who declares it (must be given)" },
		{ "operations", "N[..M]", OPTION_STRING, &c.operations,
		  "operations, such as 6.5e25 or 6e25..7e25" },
		{ "provider", "NAME", OPTION_STRING, &c.provider, "external-operations: where" },
		{ "share", "P%[..Q%]", OPTION_STRING, &c.share,
		  "synthetic-data: part of the subject's operations" },
		{ "generator", "MODEL", OPTION_STRING, &c.generator, "synthetic-data: what made it" },
		{ "data-published", NULL, OPTION_FLAG, &c.is_published,
		  "synthetic-data: the data is published" },
		{ "parent", "MODEL", OPTION_STRING, &c.parent, "parent: what it was trained on from" },
		{ "fact", "NAME", OPTION_STRING, &c.fact, "fact: what a regime asks for" },
		{ "value", "BOOL", OPTION_STRING, &c.value, "fact: true or false" },
		{ "regimes", "DIR", OPTION_STRING, &c.regimes,
		  "fact: one of these regimes must ask for it (" POLICY_REGIMES ")" },
		{ "new-fact", NULL, OPTION_FLAG, &c.is_new_fact, "fact: no regime asks for it yet" },
		{ "of", "ID", OPTION_STRING, &c.of, "withdrawal: the record that it undoes" },
		{ "evidence", "TEXT", OPTION_STRING, &c.evidence, "what it rests on, in words" },
		{ "evidence-file", "FILE", OPTION_STRING, &c.evidence_file,
		  "that itself: its SHA-256 goes into the record; without it a figure counts in the upper "
		  "bound "
		  "only" },
		{ "keys", "DIR", OPTION_STRING, &c.keys,
		  "keys that sign the file's head (none: it is not signed)" },
		{ "list", NULL, OPTION_FLAG, &c.is_list, "check the file and print what is in it" },
		{ "key", "FILE", OPTION_STRINGS, &c.public_keys,
		  "list: the head must name all and be signed by this public key (may be repeated)" },
		{ 0 },
	};
	const struct option_spec spec = {
		.verb = "declare",
		.operands = "[KIND SUBJECT]",
		.summary = "Appends what the fleet cannot see and a person declares: external-operations, "
			   "training-operations, synthetic-data,\npublication, parent, fact or withdrawal. "
			   "SUBJECT is TENANT/MODEL, lineage/NAME, or a model elsewhere.",
		.options = options,
	};
	int operand, r = options_parse(&spec, argc, argv, &operand);

	if (r)
		return r < 0 ? EXIT_USAGE : EXIT_OK;
	if (c.is_list && operand == argc)
		return list(&c);
	if (c.is_list || argc - operand != 2) {
		bad_usage("a kind and a subject must be given, or --list alone");
		return EXIT_USAGE;
	}
	return declare(&c, argv[operand], argv[operand + 1]);
}
