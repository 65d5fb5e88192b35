// SPDX-License-Identifier: Apache-2.0
/* Files of owners into the database: every reject with its place, all or nothing, newer files beside older ones. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/base/yaml.h"
#include "userspace/core/owner_import.h"
#include "userspace/core/owner_store_internal.h"

static char dir[64], db[96];

static int set_up(void **state)
{
	/* In memory where that is: a thousand small databases, each written through. */
	snprintf(dir, sizeof(dir), "%s/opmeter-import-XXXXXX", access("/dev/shm", W_OK) ? "/tmp" : "/dev/shm");
	assert_non_null(mkdtemp(dir));
	snprintf(db, sizeof(db), "%s/owners.db", dir);
	return 0;
}

static int tear_down(void **state)
{
	char cmd[96];

	snprintf(cmd, sizeof(cmd), "rm -r '%s'", dir);
	return system(cmd);
}

static int32_t day(const char *s)
{
	int32_t d;

	assert_int_equal(date_parse(s, &d), 0);
	return d;
}

struct told {
	char all[8192];
};

static int on_reject(void *ctx, uint64_t line, const struct owner_reject *r)
{
	struct told *t = ctx;
	size_t n = strlen(t->all);

	snprintf(t->all + n, sizeof(t->all) - n, "%llu %s %s;", (unsigned long long)line, r->column, owner_reject_name(r->kind));
	return 0;
}

struct result {
	int r;
	struct owner_import i;
	struct told told;
	struct error_text err;
};

static struct result import(enum owner_format format, const char *source, const char *as_of, const void *text, size_t len,
			    bool complete, uint64_t lost_max, bool dry)
{
	struct result x = { .i = { .source = source, .file = "f.csv", .by = "", .format = format, .as_of_day = day(as_of),
				   .is_complete = complete, .at_s = 1 } };
	const struct owner_sink sink = { &x.told, NULL, on_reject };
	struct owner_store *s;
	char path[96];
	FILE *f;

	snprintf(path, sizeof(path), "%s/f.csv", dir);
	f = fopen(path, "w");
	fwrite(text, 1, len, f);
	fclose(f);
	assert_int_equal(owner_store_open(db, OWNER_STORE_CREATE, &s, &x.err), 0);
	x.r = owner_import_run(s, path, &x.i, lost_max, dry, &sink, &x.err);
	owner_store_free(s);
	return x;
}

static int64_t count(const char *table)
{
	struct owner_store *s;
	struct error_text err = { 0 };
	int64_t n;

	if (owner_store_open(db, OWNER_STORE_CREATE, &s, &err))
		fail_msg("%s", err.text);
	n = owner_store_count(s, table);
	owner_store_free(s);
	return n;
}

#define A "00TR8NKAEL48RGTZEW89"
#define B "5493001KJTIIGC8Y1R12"
#define LEI_HEAD                                                                                                    \
	"LEI,Entity.LegalName,Entity.HeadquartersAddress.Country,Entity.LegalJurisdiction,Entity.EntityStatus,"         \
	"Registration.RegistrationStatus,Registration.LastUpdateDate\n"
#define LEI_ROW(lei, name, seat, date) lei "," name "," seat ",KY,ACTIVE,ISSUED," date "\n"
#define RR_HEAD                                                                                                                     \
	"Relationship.StartNode.NodeID,Relationship.StartNode.NodeIDType,Relationship.EndNode.NodeID,Relationship.EndNode.NodeIDType," \
	"Relationship.RelationshipType,Relationship.RelationshipStatus,Relationship.Period.1.startDate,Relationship.Period.1.endDate," \
	"Relationship.Period.1.periodType,Relationship.Quantifiers.1.MeasurementMethod,Relationship.Quantifiers.1.QuantifierAmount,"   \
	"Relationship.Quantifiers.1.QuantifierUnits,Registration.LastUpdateDate,Registration.RegistrationStatus\n"
#define RR_ROW(child, parent, type, from, to, amount) \
	child ",LEI," parent ",LEI," type ",ACTIVE," from "," to ",RELATIONSHIP_PERIOD,ACCOUNTING_CONSOLIDATION," amount ",PERCENTAGE,2026-01-02,PUBLISHED\n"
#define IMPORT(format, as_of, text) import(format, "GLEIF", as_of, text, sizeof(text) - 1, false, 0, false)

static void every_reject_has_its_place(void **state)
{
	static const char lei[] = LEI_HEAD LEI_ROW(A, "One", "CW", "2026-01-02T08:00:00.000Z") LEI_ROW(
		"00TR8NKAEL48RGTZEW88", "Two", "US", "2026-01-02") LEI_ROW(B, "Three", "US", "2031-01-01")
		LEI_ROW(B, "Three", "US", "2026-02-30") LEI_ROW(B, "Three", "usa", "2026-01-01")
			LEI_ROW(B, "\xff", "US", "2026-01-01") LEI_ROW(B, "Th\"ree", "US", "2026-01-01") "too,few\n"
		LEI_ROW(A, "One", "CW", "2026-01-02") LEI_ROW(A, "Uno", "CW", "2026-01-02") LEI_ROW(B, "", "US", "2026-01-01");
	struct result x = IMPORT(OWNER_FORMAT_LEI, "2026-11-01", lei);

	assert_int_equal(x.r, 1);
	assert_string_equal(x.told.all,
			    "3 LEI lei-check-digits;4 Registration.LastUpdateDate absurd-date;5 Registration.LastUpdateDate absurd-date;"
			    "6 Entity.HeadquartersAddress.Country malformed;7 field 2 encoding;8 field 2 malformed;9  malformed;"
			    "10  duplicate;11  conflict;12 Entity.LegalName malformed;");
	assert_int_equal(x.i.rows, 11);
	assert_int_equal(count("record"), 0);
	/* Allowed: what is right is taken; one less is not enough. */
	assert_int_equal(import(OWNER_FORMAT_LEI, "G", "2026-11-01", lei, sizeof(lei) - 1, false, 8, false).r, 1);
	assert_int_equal(count("record"), 0);
	assert_int_equal(import(OWNER_FORMAT_LEI, "G", "2026-11-01", lei, sizeof(lei) - 1, false, 9, false).r, 0);
	assert_int_equal(count("record"), 1);
}

static void relationships_are_checked(void **state)
{
	static const char rr[] = RR_HEAD RR_ROW(A, B, "IS_ULTIMATELY_CONSOLIDATED_BY", "2020-01-01", "", "51.5")
		RR_ROW(A, B, "IS_DIRECTLY_CONSOLIDATED_BY", "2020-01-01", "", "100") RR_ROW(A, B, "IS_SUBFUND_OF", "", "", "1.00")
			RR_ROW(A, B, "IS_FEEDER_TO", "", "", "100.01") RR_ROW(A, B, "IS_FEEDER_TO", "2020-01-02", "2020-01-01", "")
				RR_ROW(A, B, "IS_FEEDER_TO", "1200-01-01", "", "") RR_ROW(A, A, "IS_FEEDER_TO", "", "", "")
					RR_ROW(A, B, "IS_FOND_OF", "", "", "") RR_ROW(A, B, "IS_FUND-MANAGED_BY", "", "9999-12-31", "");
	struct result x = import(OWNER_FORMAT_RR, "GLEIF", "2026-11-01", rr, sizeof(rr) - 1, false, 5, false);

	assert_string_equal(x.told.all, "4 Relationship.Quantifiers.1.QuantifierAmount doubtful-amount;"
					"5 Relationship.Quantifiers.1.QuantifierAmount over-100-percent;6 Relationship.Period.1.endDate absurd-date;"
					"7 Relationship.Period.1.startDate absurd-date;8 Relationship.EndNode.NodeID malformed;"
					"9 Relationship.RelationshipType malformed;");
	assert_int_equal(x.r, 0);
	assert_int_equal(x.i.taken, 4);
	assert_int_equal(count("edge"), 4);
}

static void shares_without_a_guess(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint32_t ppb;
		bool rounded;
	} cases[] = {
		{ "51.5%", 0, 515000000, false },   { "100%", 0, 1000000000, false }, { "1.00", 0, 1000000000, false },
		{ "0.515", 0, 515000000, false },   { "51.5", -EINVAL, 0, false },    { "100", -EINVAL, 0, false },
		{ "1.01", -EINVAL, 0, false },	    { "100.0000001%", -ERANGE, 0, false }, { "100.00000001%", -ERANGE, 0, false },
		{ "49.9999999%", 0, 499999999, false }, { "49.99999999%", 0, 499999999, true }, { "16.6666666667 %", 0, 166666666, true },
		{ "0%", 0, 0, false },		    { "-1%", -EINVAL, 0, false },     { "%", -EINVAL, 0, false },
		{ "1e1%", -EINVAL, 0, false },	    { "5,5%", -EINVAL, 0, false },    { "99999999999%", -ERANGE, 0, false },
		{ ".5", 0, 500000000, false },	    { "", -EINVAL, 0, false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint32_t ppb = 0;
		bool rounded = false;
		int r = owner_share_parse(cases[i].text, &ppb, &rounded);

		if (r != cases[i].r || (r == 0 && (ppb != cases[i].ppb || rounded != cases[i].rounded)))
			fail_msg("'%s': %d, %u%s", cases[i].text, r, ppb, rounded ? " rounded" : "");
	}
}

static void a_head_must_fit(void **state)
{
	struct result x = IMPORT(OWNER_FORMAT_LEI, "2026-11-01", "LEI,Entity.LegalName\n");

	assert_int_equal(x.r, -EINVAL);
	assert_non_null(strstr(x.err.text, "f.csv:1: no column 'Entity.HeadquartersAddress.Country'"));
	x = IMPORT(OWNER_FORMAT_REPEX, "2026-11-01", "LEI,LEI,Exception.Category,Exception.Reason.1\n");
	assert_non_null(strstr(x.err.text, "'LEI' stands there twice"));
	assert_int_equal(IMPORT(OWNER_FORMAT_LEI, "2026-11-01", "").r, -EINVAL);
}

static struct owner_answer resolved(const char *entity, const char *when)
{
	struct error_text err = { 0 };
	static struct owners *o;
	struct owner_store *s;
	struct owner_answer a;

	owners_free(o);
	assert_int_equal(owner_store_open(db, OWNER_STORE_READ_ONLY, &s, &err), 0);
	assert_int_equal(owner_store_load(s, entity, &o), 0);
	owner_store_free(s);
	owners_resolve_entity(o, entity, day(when), &a);
	return a;
}

static void a_newer_file_stands_beside_the_older(void **state)
{
	struct result x = IMPORT(OWNER_FORMAT_LEI, "2026-03-01", LEI_HEAD LEI_ROW(A, "One", "US", "2026-01-02") LEI_ROW(B, "Two", "US", "2026-01-02"));
	struct owner_answer a;
	char version[65];

	assert_int_equal(x.i.taken, 2);
	memcpy(version, resolved(A, "2026-05-01").version, 65);
	/* Told again under a new date: the same facts, the same version. */
	x = IMPORT(OWNER_FORMAT_LEI, "2026-04-01", LEI_HEAD LEI_ROW(A, "One", "US", "2026-03-20"));
	assert_int_equal(x.i.confirmed, 1);
	assert_string_equal(version, resolved(A, "2026-05-01").version);
	x = IMPORT(OWNER_FORMAT_LEI, "2026-06-01", LEI_HEAD LEI_ROW(A, "One", "CN", "2026-05-20"));
	assert_int_equal(x.i.taken, 1);
	assert_string_equal(resolved(A, "2026-05-19").path[0].headquarters, "US");
	assert_string_equal(resolved(A, "2026-05-20").path[0].headquarters, "CN");
	assert_string_equal(version, resolved(A, "2026-05-19").version);
	/* An older file after it changes the past only. */
	x = IMPORT(OWNER_FORMAT_LEI, "2026-04-15", LEI_HEAD LEI_ROW(A, "One", "FR", "2026-04-10"));
	assert_string_equal(resolved(A, "2026-04-12").path[0].headquarters, "FR");
	assert_string_equal(resolved(A, "2026-06-12").path[0].headquarters, "CN");
	/* Other facts under the same date are known since the file. */
	x = IMPORT(OWNER_FORMAT_LEI, "2026-07-01", LEI_HEAD LEI_ROW(A, "One", "MO", "2026-05-20"));
	assert_int_equal(x.i.taken, 1);
	assert_string_equal(resolved(A, "2026-06-12").path[0].headquarters, "CN");
	assert_string_equal(resolved(A, "2026-07-01").path[0].headquarters, "MO");
	/* What a complete file leaves out has ended; a lost row ends nothing. */
	x = import(OWNER_FORMAT_LEI, "GLEIF", "2026-08-01", LEI_HEAD LEI_ROW(A, "One", "MO", "2026-05-20") "x\n",
		   sizeof(LEI_HEAD LEI_ROW(A, "One", "MO", "2026-05-20") "x\n") - 1, true, 1, false);
	assert_int_equal(x.i.ended, 0);
	x = import(OWNER_FORMAT_LEI, "GLEIF", "2026-08-02", LEI_HEAD LEI_ROW(A, "One", "MO", "2026-05-20"),
		   sizeof(LEI_HEAD LEI_ROW(A, "One", "MO", "2026-05-20")) - 1, true, 0, false);
	assert_int_equal(x.i.ended, 4); /* B, and the versions of A that were superseded */
	assert_int_equal(resolved(B, "2026-08-01").steps, 1);
	a = resolved(B, "2026-08-02");
	assert_int_equal(a.why, OWNER_WHY_NO_RECORD);
	assert_string_equal(resolved(A, "2026-06-12").path[0].headquarters, "CN");
	assert_string_equal(resolved(A, "2026-09-01").path[0].headquarters, "MO");
	x = import(OWNER_FORMAT_LEI, "GLEIF", "2026-07-15", LEI_HEAD, sizeof(LEI_HEAD) - 1, true, 0, false);
	assert_int_equal(x.r, -EEXIST);
}

static void two_sources_are_both_kept(void **state)
{
	static const char other[] = "id,name,headquarters,as_of,no_parent\n" A ",One,CN,2026-02-01,yes\n";
	struct owner_answer a;

	IMPORT(OWNER_FORMAT_LEI, "2026-03-01", LEI_HEAD LEI_ROW(A, "One", "US", "2026-01-02"));
	assert_int_equal(import(OWNER_FORMAT_ENTITIES, "register", "2026-03-01", other, sizeof(other) - 1, false, 0, false).r, 0);
	a = resolved(A, "2026-05-01");
	assert_int_equal(a.state, OWNER_CONTRADICTION);
	assert_int_equal(a.why, OWNER_WHY_SOURCES_DISAGREE);
	assert_int_equal(count("record"), 2);
	/* A person's word settles it. */
	assert_int_equal(import(OWNER_FORMAT_ENTITIES, "person:jane", "2026-03-01", other, sizeof(other) - 1, false, 0, false).r, 0);
	a = resolved(A, "2026-05-01");
	assert_int_equal(a.state, OWNER_KNOWN);
	assert_string_equal(a.path[0].headquarters, "CN");
}

#define CSL_HEAD "_id,source,entity_number,type,programs,name,addresses,start_date,end_date,alt_names,ids\n"
static const char csl_json[] =
	"{\"total\":2,\"results\":[{\"id\":\"e1\",\"source\":\"Entity List (EL) - Bureau of Industry and Security\",\"type\":\"Entity\","
	"\"name\":\"Huaxin Semiconductor Co., Ltd.\",\"alt_names\":[\"Huaxin Semi\",\"HXS\"],\"addresses\":[{\"address\":\"1, Road\",\"city\":\"X\","
	"\"country\":\"CN\"},{\"country\":\"HK\"}],\"start_date\":\"2024-05-14\",\"end_date\":null,\"ids\":[{\"type\":\"LEI\",\"number\":\"" B "\"}],"
	"\"programs\":[\"A\",\"B\"],\"places\":{\"a\":[1,{}]}},{\"id\":\"e2\",\"source\":\"Unverified List (UVL) - X\",\"name\":\"Other\"}],"
	"\"sources_used\":[]}";
static const char csl_csv[] = CSL_HEAD
	"e1,Entity List (EL) - Bureau of Industry and Security,,Entity,A; B,\"Huaxin Semiconductor Co., Ltd.\",\"1, Road, X, CN; HK\",2024-05-14,,"
	"Huaxin Semi; HXS,\"LEI, " B "\"\ne2,Unverified List (UVL) - X,,,,Other,,,,,\n";

static void a_list_is_the_same_in_csv_and_json(void **state)
{
	struct result x = import(OWNER_FORMAT_CSL_JSON, "US-CSL", "2026-11-01", csl_json, sizeof(csl_json) - 1, true, 0, false);

	assert_int_equal(x.r, 0);
	assert_int_equal(x.i.taken, 2);
	x = import(OWNER_FORMAT_CSL, "US-CSL", "2026-11-02", csl_csv, sizeof(csl_csv) - 1, true, 0, false);
	assert_string_equal(x.told.all, "");
	assert_int_equal(x.i.confirmed, 2);
	assert_int_equal(x.i.taken + x.i.ended, 0);
}

struct hits {
	int count;
	char id[16], word[16], text[256];
};

static int take_hit(void *ctx, const struct owner_hit_row *h)
{
	struct hits *g = ctx;

	g->count++;
	snprintf(g->id, sizeof(g->id), "%s", h->id);
	snprintf(g->word, sizeof(g->word), "%s", h->word);
	snprintf(g->text, sizeof(g->text), "%s %s %d %d %s", h->list, h->listed_name, h->score, h->is_by_id, h->countries);
	return 0;
}

static struct hits screened(void)
{
	struct error_text err = { 0 };
	struct hits g = { 0 };
	struct owner_store *s;
	uint64_t n;

	assert_int_equal(owner_store_open(db, 0, &s, &err), 0);
	assert_int_equal(owner_store_screen(s, 850, &n), 0);
	assert_int_equal(owner_store_each_hit(s, take_hit, &g), 0);
	assert_int_equal(n, g.count);
	owner_store_free(s);
	return g;
}

static void bind_to(const char *entity, int expected)
{
	struct owner_binding_row b = { .tenant = "t", .entity = entity, .how = "lei", .by = "jane", .because = "contract", .from_day = INT32_MIN,
				       .to_day = INT32_MAX, .at_s = 5 };
	struct error_text err = { 0 };
	struct owner_store *s;

	assert_int_equal(owner_store_open(db, 0, &s, &err), 0);
	assert_int_equal(owner_store_bind(s, &b), expected);
	owner_store_free(s);
}

static void decide(const char *hit, const char *word, int expected)
{
	struct error_text err = { 0 };
	struct owner_store *s;

	assert_int_equal(owner_store_open(db, 0, &s, &err), 0);
	assert_int_equal(owner_store_decide(s, hit, word, "jane", "looked", 6), expected);
	owner_store_free(s);
}

static struct owner_answer of_tenant(const char *when)
{
	struct error_text err = { 0 };
	static struct owners *o;
	struct owner_answer a;

	owners_free(o);
	assert_int_equal(owners_load(db, &o, &err), 0);
	owners_resolve(o, "t", day(when), &a);
	return a;
}

static void a_hit_waits_for_a_persons_word(void **state)
{
	struct hits g;

	IMPORT(OWNER_FORMAT_LEI, "2026-03-01", LEI_HEAD LEI_ROW(A, "HUAXIN Semiconductor Limited", "CN", "2026-01-02"));
	import(OWNER_FORMAT_CSL, "US-CSL", "2026-11-02", csl_csv, sizeof(csl_csv) - 1, true, 0, false);
	bind_to(B, -ENOENT);
	bind_to(A, 0);
	assert_false(of_tenant("2026-11-20").is_screened); /* nobody looked since */
	g = screened();
	assert_int_equal(g.count, 1);
	assert_string_equal(g.word, "open");
	assert_string_equal(g.text, "EL Huaxin Semiconductor Co., Ltd. 1000 0 CN\nHK");
	assert_true(of_tenant("2026-11-20").is_screened);
	assert_int_equal(of_tenant("2026-11-20").hits.open, 1);
	assert_int_equal(of_tenant("2024-05-13").hits.open, 0); /* not listed yet */
	decide("no such hit", "dismissed", -ENOENT);
	decide(g.id, "dismissed", 0);
	assert_string_equal(screened().word, "dismissed");
	assert_int_equal(of_tenant("2026-11-20").hits.open, 0);
	decide(g.id, "confirmed", 0);
	assert_int_equal(of_tenant("2026-11-20").hits.confirmed, 1);
	assert_int_equal(count("word"), 2);
	/* Another name: an earlier word settles nothing. */
	IMPORT(OWNER_FORMAT_LEI, "2026-04-01", LEI_HEAD LEI_ROW(A, "Huaxin Semi", "CN", "2026-03-20"));
	g = screened();
	assert_int_equal(g.count, 2);
	assert_int_equal(of_tenant("2026-11-20").hits.open, 1);
	/* By its id, whatever it is called; and the list no longer has it. */
	IMPORT(OWNER_FORMAT_LEI, "2026-05-01", LEI_HEAD LEI_ROW(B, "Something Else", "CN", "2026-03-20"));
	bind_to(B, 0);
	assert_non_null(strstr(screened().text, " 1000 1 "));
	import(OWNER_FORMAT_CSL, "US-CSL", "2026-11-10", CSL_HEAD, sizeof(CSL_HEAD) - 1, true, 0, false);
	screened();
	assert_int_equal(of_tenant("2026-11-09").hits.open, 1);
	assert_int_equal(of_tenant("2026-11-10").hits.open, 0);
}

/* JSON that ends anywhere imports nothing; with any byte changed it is read or told, and every row is accounted for. */
static void a_list_that_breaks_off_imports_nothing(void **state)
{
	for (size_t n = 0; n < sizeof(csl_json) - 1; n += n < 200 ? 1 : 7) {
		struct result x = import(OWNER_FORMAT_CSL_JSON, "US-CSL", "2026-11-01", csl_json, n, true, 1000, false);

		assert_int_equal(x.r, 1);
		assert_true(x.i.rejected[OWNER_REJECT_MALFORMED] >= 1);
	}
	assert_int_equal(count("listing"), 0);
}

static void any_byte_may_be_wrong(void **state)
{
	static const char bytes[] = { '"', ',', '\n', '\r', 0, (char)0xff, 'x' };
	static char text[] = LEI_HEAD LEI_ROW(A, "One", "CW", "2026-01-02") LEI_ROW(B, "\"Two, \"\"quoted\"\"\"", "US", "2026-01-02");
	int refused = 0;

	for (size_t at = sizeof(LEI_HEAD) - 1; at < sizeof(text) - 1; at++) {
		char was = text[at];

		for (size_t b = 0; b < sizeof(bytes); b++) {
			struct result x;
			uint64_t told = 0;

			text[at] = bytes[b];
			x = import(OWNER_FORMAT_LEI, "GLEIF", "2026-11-01", text, sizeof(text) - 1, false, 1000, true);
			assert_int_equal(x.r, 0);
			for (int k = 0; k < OWNER_REJECT_END; k++)
				told += x.i.rejected[k];
			assert_int_equal(x.i.rows, x.i.taken + x.i.confirmed + told);
			refused += told > 0;
		}
		text[at] = was;
	}
	assert_true(refused > 300);
	assert_int_equal(count("record"), 0); /* all of it was dry */
}

static void a_file_that_is_none_of_ours(void **state)
{
	struct error_text err = { 0 };
	struct owner_store *s;
	char cmd[256];
	FILE *f;

	count("record");
	snprintf(cmd, sizeof(cmd), "python3 -c \"import sqlite3; c = sqlite3.connect('%s'); c.execute('PRAGMA user_version = 9'); c.commit()\"", db);
	assert_int_equal(system(cmd), 0);
	assert_int_equal(owner_store_open(db, 0, &s, &err), -EPROTONOSUPPORT);
	assert_non_null(strstr(err.text, "schema version 9"));
	f = fopen(db, "r+");
	fseek(f, 30, SEEK_SET);
	for (int i = 0; i < 4000; i++)
		fputc(0xa5, f);
	fclose(f);
	error_clear(&err);
	assert_true(owner_store_open(db, 0, &s, &err) < 0);
	assert_non_null(strstr(err.text, db));
	f = fopen(db, "w");
	fputs("not a database, and longer than sixteen bytes\n", f);
	fclose(f);
	assert_true(owner_store_open(db, 0, &s, &err) < 0);
}

static sqlite3 *writer;
static unsigned progress;

/* While the first table is read another process changes what is read last. */
static int on_progress(void *ctx)
{
	if (++progress == 10)
		assert_int_equal(sqlite3_exec(writer, "UPDATE record SET headquarters = 'CN'", NULL, NULL, NULL), SQLITE_OK);
	return 0;
}

/* Facts of one time, not some of before and some of after another's import. */
static void what_is_loaded_is_of_one_time(void **state)
{
	struct result x = IMPORT(OWNER_FORMAT_LEI, "2026-03-01", LEI_HEAD LEI_ROW(A, "One", "US", "2026-01-02") LEI_ROW(B, "Two", "US", "2026-01-02"));
	struct error_text err = { 0 };
	struct owners *o = NULL;
	struct owner_store *s;
	struct owner_answer a;

	assert_int_equal(x.i.taken, 2);
	assert_int_equal(owner_store_open(db, OWNER_STORE_CREATE, &s, &err), 0);
	for (int i = 0; i < 20; i++) {
		char tenant[8];

		snprintf(tenant, sizeof(tenant), "t%d", i);
		assert_int_equal(owner_store_bind(s, &(struct owner_binding_row){ .tenant = tenant, .entity = A, .how = "", .by = "jane", .because = "",
										  .from_day = 0, .to_day = INT32_MAX }), 0);
	}
	owner_store_free(s);
	assert_int_equal(sqlite3_open(db, &writer), SQLITE_OK);
	assert_int_equal(sqlite3_exec(writer, "PRAGMA journal_mode = WAL", NULL, NULL, NULL), SQLITE_OK);
	assert_int_equal(owner_store_open(db, OWNER_STORE_READ_ONLY, &s, &err), 0);
	progress = 0;
	sqlite3_progress_handler(s->db, 1, on_progress, NULL);
	assert_int_equal(owner_store_load(s, A, &o), 0);
	assert_true(progress > 10);
	owners_resolve_entity(o, A, day("2026-05-01"), &a);
	assert_string_equal(a.path[0].headquarters, "US");
	owners_free(o);
	assert_int_equal(owner_store_load(s, A, &o), 0);
	owners_resolve_entity(o, A, day("2026-05-01"), &a);
	assert_string_equal(a.path[0].headquarters, "CN");
	owners_free(o);
	owner_store_free(s);
	sqlite3_close(writer);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(what_is_loaded_is_of_one_time),
		TEST(every_reject_has_its_place), TEST(relationships_are_checked), TEST(shares_without_a_guess),
		TEST(a_head_must_fit), TEST(a_newer_file_stands_beside_the_older), TEST(two_sources_are_both_kept),
		TEST(a_list_is_the_same_in_csv_and_json), TEST(a_hit_waits_for_a_persons_word),
		TEST(a_list_that_breaks_off_imports_nothing), TEST(any_byte_may_be_wrong), TEST(a_file_that_is_none_of_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
