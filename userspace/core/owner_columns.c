// SPDX-License-Identifier: Apache-2.0
/* Rows of the CSV formats as facts. The column names are the publishers' own. */
#include "owner_fact.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"
#include "country.h"

#define DAY_1600 (-135140)
#define DAY_2000 10957
#define DAY_2200 84006
#define DAY_9999_12_31 2932896

struct column {
	const char *name;
	bool is_needed;
};

enum {
	L_LEI,
	L_NAME,
	L_SEAT,
	L_LEGAL,
	L_JURISDICTION,
	L_CATEGORY,
	L_STATUS,
	L_REGISTRATION,
	L_UPDATED,
	L_AUTHORITY,
	L_NUMBER
};
static const struct column lei_columns[] = {
	[L_LEI] = { "LEI", true },
	[L_NAME] = { "Entity.LegalName", true },
	[L_SEAT] = { "Entity.HeadquartersAddress.Country", true },
	[L_LEGAL] = { "Entity.LegalAddress.Country", false },
	[L_JURISDICTION] = { "Entity.LegalJurisdiction", false },
	[L_CATEGORY] = { "Entity.EntityCategory", false },
	[L_STATUS] = { "Entity.EntityStatus", true },
	[L_REGISTRATION] = { "Registration.RegistrationStatus", true },
	[L_UPDATED] = { "Registration.LastUpdateDate", false },
	[L_AUTHORITY] = { "Entity.RegistrationAuthority.RegistrationAuthorityID", false },
	[L_NUMBER] = { "Entity.RegistrationAuthority.RegistrationAuthorityEntityID", false },
	{ NULL, false },
};

#define PERIODS 5
enum {
	R_START,
	R_START_TYPE,
	R_END,
	R_END_TYPE,
	R_TYPE,
	R_STATUS,
	R_REGISTRATION,
	R_UPDATED,
	R_PERIODS,
	R_AMOUNTS = R_PERIODS + 3 * PERIODS
};
static const struct column rr_columns[] = {
	[R_START] = { "Relationship.StartNode.NodeID", true },
	[R_START_TYPE] = { "Relationship.StartNode.NodeIDType", true },
	[R_END] = { "Relationship.EndNode.NodeID", true },
	[R_END_TYPE] = { "Relationship.EndNode.NodeIDType", true },
	[R_TYPE] = { "Relationship.RelationshipType", true },
	[R_STATUS] = { "Relationship.RelationshipStatus", true },
	[R_REGISTRATION] = { "Registration.RegistrationStatus", true },
	[R_UPDATED] = { "Registration.LastUpdateDate", false },
#define PERIOD(n)                                                                                            \
	{ "Relationship.Period." #n ".startDate", n == 1 },                                                  \
		{ "Relationship.Period." #n ".endDate", n == 1 },                                            \
	{                                                                                                    \
		"Relationship.Period." #n ".periodType", n == 1                                              \
	}
	[R_PERIODS] = PERIOD(1),
	PERIOD(2),
	PERIOD(3),
	PERIOD(4),
	PERIOD(5),
#define AMOUNT(n)                                                                                            \
	{ "Relationship.Quantifiers." #n ".QuantifierAmount", false },                                       \
	{                                                                                                    \
		"Relationship.Quantifiers." #n ".QuantifierUnits", false                                     \
	}
	[R_AMOUNTS] = AMOUNT(1),
	AMOUNT(2),
	AMOUNT(3),
	AMOUNT(4),
	AMOUNT(5),
	{ NULL, false },
};

enum { X_LEI, X_CATEGORY, X_REASON, X_REFERENCE = X_REASON + PERIODS };
static const struct column repex_columns[] = {
	[X_LEI] = { "LEI", true },
	[X_CATEGORY] = { "Exception.Category", true },
	[X_REASON] = { "Exception.Reason.1", true },
	{ "Exception.Reason.2", false },
	{ "Exception.Reason.3", false },
	{ "Exception.Reason.4", false },
	{ "Exception.Reason.5", false },
	[X_REFERENCE] = { "Exception.Reference.1", false },
	{ NULL, false },
};

enum {
	E_ID,
	E_NAME,
	E_SEAT,
	E_AS_OF,
	E_JURISDICTION,
	E_CATEGORY,
	E_STATUS,
	E_AUTHORITY,
	E_NUMBER,
	E_NO_PARENT
};
static const struct column entities_columns[] = {
	[E_ID] = { "id", true },
	[E_NAME] = { "name", true },
	[E_SEAT] = { "headquarters", true },
	[E_AS_OF] = { "as_of", true },
	[E_JURISDICTION] = { "jurisdiction", false },
	[E_CATEGORY] = { "category", false },
	[E_STATUS] = { "status", false },
	[E_AUTHORITY] = { "registration_authority", false },
	[E_NUMBER] = { "registration_number", false },
	[E_NO_PARENT] = { "no_parent", false },
	{ NULL, false },
};

enum { H_CHILD, H_PARENT, H_SHARE, H_AS_OF, H_TIE, H_FROM, H_TO };
static const struct column holdings_columns[] = {
	[H_CHILD] = { "child", true }, [H_PARENT] = { "parent", true },
	[H_SHARE] = { "share", true }, [H_AS_OF] = { "as_of", true },
	[H_TIE] = { "tie", false },    [H_FROM] = { "from", false },
	[H_TO] = { "to", false },      { NULL, false },
};

enum { C_ID, C_SOURCE, C_NAME, C_TYPE, C_PROGRAMS, C_ADDRESSES, C_START, C_END, C_ALT, C_IDS, C_URL };
static const struct column csl_columns[] = {
	[C_ID] = { "_id", true },
	[C_SOURCE] = { "source", true },
	[C_NAME] = { "name", true },
	[C_TYPE] = { "type", true },
	[C_PROGRAMS] = { "programs", false },
	[C_ADDRESSES] = { "addresses", true },
	[C_START] = { "start_date", true },
	[C_END] = { "end_date", true },
	[C_ALT] = { "alt_names", true },
	[C_IDS] = { "ids", true },
	[C_URL] = { "source_list_url", false },
	{ NULL, false },
};

static const struct column *const all_columns[OWNER_FORMAT_END] = {
	[OWNER_FORMAT_LEI] = lei_columns,	    [OWNER_FORMAT_RR] = rr_columns,
	[OWNER_FORMAT_REPEX] = repex_columns,	    [OWNER_FORMAT_ENTITIES] = entities_columns,
	[OWNER_FORMAT_HOLDINGS] = holdings_columns, [OWNER_FORMAT_CSL] = csl_columns,
};
_Static_assert(R_AMOUNTS + 2 * PERIODS <= OWNER_COLUMNS_MAX, "a row of column places");

int owner_columns_init(struct owner_columns *c, enum owner_format format, int32_t as_of_day,
		       char *const *head, size_t count, struct error_text *err)
{
	const struct column *columns = all_columns[format];

	*c = (struct owner_columns){ .format = format, .as_of_day = as_of_day, .fields = count };
	for (size_t i = 0; columns[i].name; i++) {
		c->at[i] = -1;
		for (size_t k = 0; k < count; k++) {
			if (strcmp(head[k], columns[i].name))
				continue;
			if (c->at[i] >= 0)
				return error_set(err, -EINVAL, "the column '%s' stands there twice",
						 columns[i].name);
			c->at[i] = (int)k;
		}
		if (c->at[i] < 0 && columns[i].is_needed)
			return error_set(err, -EINVAL, "no column '%s': is this a file of format %s?",
					 columns[i].name, owner_format_name(format));
	}
	return 0;
}

void owner_columns_done(struct owner_columns *c)
{
	free(c->joined);
	c->joined = NULL;
}

struct reading {
	struct owner_columns *c;
	char **field;
	struct owner_fact *f;
	struct owner_reject *note;
};

static const char *text(const struct reading *r, int column)
{
	int at = r->c->at[column];

	return at < 0 ? "" : r->field[at];
}

static int reject(struct reading *r, int column, enum owner_reject_kind kind, const char *reason)
{
	r->note->kind = kind;
	snprintf(r->note->column, sizeof(r->note->column), "%s", all_columns[r->c->format][column].name);
	snprintf(r->note->reason, sizeof(r->note->reason), "%s", reason);
	return 1;
}

static int read_lei(struct reading *r, int column, const char **ret)
{
	*ret = text(r, column);
	if (!lei_is_valid(*ret))
		return reject(r, column, OWNER_REJECT_LEI,
			      strlen(*ret) == 20 ? "no LEI: its check digits are wrong"
						 : "no LEI: not 20 letters and digits");
	return 0;
}

/* An LEI, or an id of the owner's own that can't be taken for one. */
static int read_id(struct reading *r, int column, const char **ret)
{
	const char *s = *ret = text(r, column);
	size_t len = strlen(s);

	if (len == 20 && strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == 20)
		return read_lei(r, column, ret);
	if (len == 0 || len > 64 ||
	    strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:/-") != len)
		return reject(r, column, OWNER_REJECT_MALFORMED,
			      "no id: up to 64 letters, digits and . _ : / -");
	return 0;
}

static int read_country(struct reading *r, int column, const char **ret)
{
	*ret = text(r, column);
	if (!country_is_code(*ret))
		return reject(r, column, OWNER_REJECT_MALFORMED,
			      "no country: a code of ISO 3166-1, two capital letters");
	return 0;
}

static int read_day(struct reading *r, int column, int32_t least, int32_t most, int32_t *ret)
{
	const char *s = text(r, column);
	int32_t day;

	if (!*s)
		return 0;
	if (owner_day_parse(s, &day))
		return reject(r, column,
			      strspn(s, "0123456789-") >= 8 ? OWNER_REJECT_DATE : OWNER_REJECT_MALFORMED,
			      "no date that exists: YYYY-MM-DD");
	if (day < least || day > most)
		return reject(r, column, OWNER_REJECT_DATE,
			      day > most ? "a date after any that it can be"
					 : "a date before any that it can be");
	*ret = day;
	return 0;
}

/* When the source said so: not after the file, and not before such files were made. */
static int read_as_of(struct reading *r, int column)
{
	r->f->since = r->c->as_of_day;
	return read_day(r, column, DAY_2000, r->c->as_of_day + 1, &r->f->since);
}

static int read_period(struct reading *r, int from, int to)
{
	int rc = read_day(r, from, DAY_1600, r->c->as_of_day + 366, &r->f->from);

	if (!strncmp(text(r, to), "9999-12-31", 10))
		return rc;
	rc = rc ?: read_day(r, to, DAY_1600, DAY_2200, &r->f->to);
	if (rc == 0 && r->f->to < r->f->from)
		return reject(r, to, OWNER_REJECT_DATE, "it ends before it begins");
	return rc;
}

static int need_text(struct reading *r, int column, size_t most, const char **ret)
{
	*ret = text(r, column);
	if (!**ret || strlen(*ret) > most)
		return reject(r, column, OWNER_REJECT_MALFORMED,
			      **ret ? "the text is too long" : "it is empty");
	return 0;
}

static int read_level_1(struct reading *r)
{
	struct owner_fact *f = r->f;
	int rc = read_lei(r, L_LEI, &f->entity);

	f->kind = OWNER_FACT_RECORD;
	rc = rc ?: need_text(r, L_NAME, 1024, &f->name);
	rc = rc ?: read_country(r, L_SEAT, &f->headquarters);
	rc = rc ?: need_text(r, L_STATUS, 32, &f->status);
	rc = rc ?: need_text(r, L_REGISTRATION, 32, &f->registration);
	rc = rc ?: read_as_of(r, L_UPDATED);
	f->jurisdiction = text(r, L_JURISDICTION);
	f->category = text(r, L_CATEGORY);
	f->authority = text(r, L_AUTHORITY);
	f->number = text(r, L_NUMBER);
	return rc;
}

static const struct {
	const char *name;
	enum owner_tie tie;
} relationship_types[] = {
	{ "IS_DIRECTLY_CONSOLIDATED_BY", OWNER_TIE_DIRECT },
	{ "IS_ULTIMATELY_CONSOLIDATED_BY", OWNER_TIE_ULTIMATE },
	{ "IS_INTERNATIONAL_BRANCH_OF", OWNER_TIE_BRANCH },
	{ "IS_SUBFUND_OF", OWNER_TIE_SUBFUND },
	{ "IS_FUND-MANAGED_BY", OWNER_TIE_MANAGES },
	{ "IS_FEEDER_TO", OWNER_TIE_FEEDER },
};

static int read_type(struct reading *r)
{
	const char *type = text(r, R_TYPE);

	for (size_t i = 0; i < ARRAY_SIZE(relationship_types); i++) {
		if (!strcmp(type, relationship_types[i].name)) {
			r->f->tie = relationship_types[i].tie;
			return 0;
		}
	}
	return reject(r, R_TYPE, OWNER_REJECT_MALFORMED, "no relationship that is known");
}

static int read_periods(struct reading *r)
{
	bool found = false;
	int rc = 0;

	for (int i = 0; i < PERIODS && rc == 0; i++) {
		int at = R_PERIODS + 3 * i;

		if (strcmp(text(r, at + 2), "RELATIONSHIP_PERIOD"))
			continue;
		if (found)
			return reject(r, at + 2, OWNER_REJECT_MALFORMED, "two relationship periods");
		found = true;
		rc = read_period(r, at, at + 1);
	}
	return rc;
}

/* What an accounting consolidation measures is no share of ownership: it is
 * checked and never used as one. A figure of up to 1 may be a fraction. */
static int read_amounts(struct reading *r)
{
	for (int i = 0; i < PERIODS; i++) {
		int at = R_AMOUNTS + 2 * i;
		const char *s = text(r, at);
		char *end;
		double v;

		if (!*s)
			continue;
		if (strspn(s, "0123456789.") != strlen(s) || strlen(s) > 24)
			return reject(r, at, OWNER_REJECT_MALFORMED, "no amount");
		v = strtod(s, &end);
		if (*end || end == s)
			return reject(r, at, OWNER_REJECT_MALFORMED, "no amount");
		if (v > 100 && !strcmp(text(r, at + 1), "PERCENTAGE"))
			return reject(r, at, OWNER_REJECT_PERCENT, "more than 100 %");
		if (v > 0 && v <= 1)
			reject(r, at, OWNER_REJECT_AMOUNT,
			       "1.00 may be 1 % or all: the row is taken, the figure is not");
	}
	return 0;
}

static int read_relationship(struct reading *r)
{
	struct owner_fact *f = r->f;
	int rc = read_lei(r, R_START, &f->entity) ?: read_lei(r, R_END, &f->parent);

	f->kind = OWNER_FACT_EDGE;
	rc = rc ?: read_type(r);
	if (rc == 0 && (strcmp(text(r, R_START_TYPE), "LEI") || strcmp(text(r, R_END_TYPE), "LEI")))
		return reject(r, R_START_TYPE, OWNER_REJECT_MALFORMED, "a node that is not named by an LEI");
	if (rc == 0 && !strcmp(f->entity, f->parent))
		return reject(r, R_END, OWNER_REJECT_MALFORMED, "an entity as its own parent");
	rc = rc ?: need_text(r, R_STATUS, 32, &f->status);
	rc = rc ?: need_text(r, R_REGISTRATION, 32, &f->registration);
	rc = rc ?: read_as_of(r, R_UPDATED);
	rc = rc ?: read_periods(r);
	rc = rc ?: read_amounts(r);
	f->is_active = rc == 0 && !strcmp(f->status, "ACTIVE");
	if (rc == 0 && !f->is_active && strcmp(f->status, "INACTIVE") && strcmp(f->status, "NULL"))
		return reject(r, R_STATUS, OWNER_REJECT_MALFORMED, "neither ACTIVE nor INACTIVE");
	return rc;
}

static int read_exception(struct reading *r)
{
	struct owner_fact *f = r->f;
	const char *category = text(r, X_CATEGORY);
	int rc = read_lei(r, X_LEI, &f->entity);

	f->kind = OWNER_FACT_EXCEPTION;
	f->since = r->c->as_of_day; /* such rows have no date of their own */
	f->is_ultimate = !strcmp(category, "ULTIMATE_ACCOUNTING_CONSOLIDATION_PARENT");
	if (rc == 0 && !f->is_ultimate && strcmp(category, "DIRECT_ACCOUNTING_CONSOLIDATION_PARENT"))
		return reject(r, X_CATEGORY, OWNER_REJECT_MALFORMED, "no category that is known");
	rc = rc ?: need_text(r, X_REASON, 48, &f->reason);
	for (int i = 0; i < PERIODS && rc == 0; i++) {
		const char *s = text(r, X_REASON + i);

		if (strlen(s) > 48 || strspn(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != strlen(s))
			return reject(r, X_REASON + i, OWNER_REJECT_MALFORMED,
				      "no reason: capital letters and _");
		/* Of several, one that leaves the parent unknown. */
		if (*s && strcmp(s, "NATURAL_PERSONS") && strcmp(s, "NO_KNOWN_PERSON"))
			f->reason = s;
	}
	f->reference = text(r, X_REFERENCE);
	return rc;
}

static int read_entity(struct reading *r)
{
	const char *no_parent = text(r, E_NO_PARENT);
	struct owner_fact *f = r->f;
	int rc = read_id(r, E_ID, &f->entity);

	f->kind = OWNER_FACT_RECORD;
	rc = rc ?: need_text(r, E_NAME, 1024, &f->name);
	rc = rc ?: read_country(r, E_SEAT, &f->headquarters);
	if (rc == 0 && !*text(r, E_AS_OF))
		return reject(r, E_AS_OF, OWNER_REJECT_MALFORMED, "it is empty: when the source said so");
	rc = rc ?: read_as_of(r, E_AS_OF);
	f->no_parent = !strcmp(no_parent, "yes");
	if (rc == 0 && *no_parent && !f->no_parent && strcmp(no_parent, "no"))
		return reject(r, E_NO_PARENT, OWNER_REJECT_MALFORMED, "neither yes nor no");
	f->jurisdiction = text(r, E_JURISDICTION);
	f->category = text(r, E_CATEGORY);
	f->status = text(r, E_STATUS);
	f->authority = text(r, E_AUTHORITY);
	f->number = text(r, E_NUMBER);
	return rc;
}

static int read_share(struct reading *r)
{
	const char *s = text(r, H_SHARE);
	int rc;

	if (!*s)
		return 0; /* held, and nobody says how much */
	if (r->f->tie != OWNER_TIE_HOLDS)
		return reject(r, H_SHARE, OWNER_REJECT_MALFORMED, "a share of a tie that is no holding");
	rc = owner_share_parse(s, &r->f->share_ppb, &r->f->is_rounded);
	if (rc == -ERANGE)
		return reject(r, H_SHARE, OWNER_REJECT_PERCENT, "more than 100 %");
	if (rc)
		return reject(r, H_SHARE, OWNER_REJECT_MALFORMED, "no share: \"51.5%\" or a fraction of 1");
	r->f->has_share = true;
	return 0;
}

static int read_holding(struct reading *r)
{
	struct owner_fact *f = r->f;
	int rc = read_id(r, H_CHILD, &f->entity) ?: read_id(r, H_PARENT, &f->parent);

	f->kind = OWNER_FACT_EDGE;
	f->tie = OWNER_TIE_HOLDS;
	f->is_active = true;
	if (rc == 0 && *text(r, H_TIE) && owner_tie_parse(text(r, H_TIE), &f->tie))
		return reject(r, H_TIE, OWNER_REJECT_MALFORMED, "no tie that is known");
	if (rc == 0 && !strcmp(f->entity, f->parent))
		return reject(r, H_PARENT, OWNER_REJECT_MALFORMED, "an entity as its own parent");
	if (rc == 0 && !*text(r, H_AS_OF))
		return reject(r, H_AS_OF, OWNER_REJECT_MALFORMED, "it is empty: when the source said so");
	rc = rc ?: read_share(r);
	rc = rc ?: read_as_of(r, H_AS_OF);
	return rc ?: read_period(r, H_FROM, H_TO);
}

/* "a; b" as lines, and of addresses "street, city, CN; ..." the countries, into room of our own. */
static int join(struct owner_columns *c, const struct reading *r, const char *ret[3])
{
	const char *from[3] = { text(r, C_ALT), text(r, C_IDS), text(r, C_ADDRESSES) };
	size_t need = strlen(from[0]) + strlen(from[1]) + strlen(from[2]) + 3;
	char *out;

	if (need > c->joined_room) {
		char *more = realloc(c->joined, need);

		if (!more)
			return -ENOMEM;
		c->joined = more;
		c->joined_room = need;
	}
	out = c->joined;
	for (int i = 0; i < 3; i++) {
		ret[i] = out;
		for (const char *s = from[i]; *s;) {
			size_t len = strcspn(s, ";"), skip = 0;

			for (size_t k = 0; i == 2 && k < len; k++)
				if (s[k] == ',')
					skip = k + 1;
			while (skip < len && s[skip] == ' ')
				skip++;
			if (i < 2 || len - skip == 2) {
				memcpy(out, s + skip, len - skip);
				out += len - skip;
				*out++ = '\n';
			}
			s += len + (s[len] == ';');
		}
		out[out > ret[i] ? -1 : 0] = '\0';
		out += out == ret[i];
	}
	return 0;
}

static int read_listing(struct reading *r)
{
	const char *lists[3];
	struct owner_csl e = { .id = text(r, C_ID),
			       .source = text(r, C_SOURCE),
			       .type = text(r, C_TYPE),
			       .programs = text(r, C_PROGRAMS),
			       .name = text(r, C_NAME),
			       .start_date = text(r, C_START),
			       .end_date = text(r, C_END),
			       .source_list_url = text(r, C_URL) };
	int rc = join(r->c, r, lists);

	e.alt_names = lists[0];
	e.ids = lists[1];
	e.countries = lists[2];
	return rc ?: owner_csl_read(&e, r->c->as_of_day, r->f, r->note);
}

int owner_fact_read(struct owner_columns *c, char **field, size_t count, struct owner_fact *ret,
		    struct owner_reject *ret_note)
{
	static int (*const readers[OWNER_FORMAT_END])(struct reading *) = {
		[OWNER_FORMAT_LEI] = read_level_1,	[OWNER_FORMAT_RR] = read_relationship,
		[OWNER_FORMAT_REPEX] = read_exception,	[OWNER_FORMAT_ENTITIES] = read_entity,
		[OWNER_FORMAT_HOLDINGS] = read_holding, [OWNER_FORMAT_CSL] = read_listing,
	};
	struct reading r = { c, field, ret, ret_note };

	*ret = (struct owner_fact){
		.from = INT32_MIN, .to = INT32_MAX, .start = INT32_MIN, .end = INT32_MAX
	};
	*ret_note = (struct owner_reject){ .kind = OWNER_REJECT_END };
	if (count != c->fields) {
		ret_note->kind = OWNER_REJECT_MALFORMED;
		snprintf(ret_note->reason, sizeof(ret_note->reason), "%zu fields where the head has %zu",
			 count, c->fields);
		return 1;
	}
	return readers[c->format](&r);
}
