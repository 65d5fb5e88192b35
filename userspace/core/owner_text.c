// SPDX-License-Identifier: Apache-2.0
/* Names, shares and days of ownership facts. */
#include "owner_fact.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "../base/cleanup.h"
#include "../base/yaml.h"

static const char *const format_names[] = {
	[OWNER_FORMAT_LEI] = "gleif-lei",     [OWNER_FORMAT_RR] = "gleif-rr",
	[OWNER_FORMAT_REPEX] = "gleif-repex", [OWNER_FORMAT_ENTITIES] = "entities",
	[OWNER_FORMAT_HOLDINGS] = "holdings", [OWNER_FORMAT_CSL] = "csl",
	[OWNER_FORMAT_CSL_JSON] = "csl-json",
};

const char *owner_format_name(enum owner_format f)
{
	return format_names[f];
}

int owner_format_parse(const char *name, enum owner_format *ret)
{
	for (enum owner_format f = 0; f < OWNER_FORMAT_END; f++) {
		if (!strcmp(format_names[f], name)) {
			*ret = f;
			return 0;
		}
	}
	return -EINVAL;
}

const char *owner_reject_name(enum owner_reject_kind k)
{
	static const char *const names[] = {
		[OWNER_REJECT_MALFORMED] = "malformed",	 [OWNER_REJECT_ENCODING] = "encoding",
		[OWNER_REJECT_DATE] = "absurd-date",	 [OWNER_REJECT_PERCENT] = "over-100-percent",
		[OWNER_REJECT_LEI] = "lei-check-digits", [OWNER_REJECT_CONFLICT] = "conflict",
		[OWNER_REJECT_DUPLICATE] = "duplicate",	 [OWNER_REJECT_AMOUNT] = "doubtful-amount",
	};

	return names[k];
}

bool owner_reject_is_loss(enum owner_reject_kind k)
{
	return k != OWNER_REJECT_DUPLICATE && k != OWNER_REJECT_AMOUNT;
}

/* Digits with at most one point, to parts per 10^9 of `whole`; the rest is cut. */
static int parse_decimal(const char *s, size_t len, uint64_t whole, uint64_t *ret, bool *ret_rounded)
{
	uint64_t value = 0, unit = whole;
	size_t i = 0, digits = 0;

	*ret_rounded = false;
	for (; i < len && isdigit((unsigned char)s[i]); i++, digits++) {
		if (digits == 9)
			return -ERANGE;
		value = value * 10 + (uint64_t)(s[i] - '0');
	}
	value *= whole;
	if (i < len && s[i] == '.') {
		for (i++; i < len && isdigit((unsigned char)s[i]); i++, digits++) {
			unit /= 10;
			value += (uint64_t)(s[i] - '0') * unit;
			*ret_rounded |= unit == 0 && s[i] != '0';
		}
	}
	if (i != len || digits == 0)
		return -EINVAL;
	*ret = value;
	return 0;
}

int owner_share_parse(const char *s, uint32_t *ret_ppb, bool *ret_rounded)
{
	size_t len = strlen(s);
	bool is_percent = len && s[len - 1] == '%';
	uint64_t v;
	int r;

	while (is_percent && len > 1 && s[len - 2] == ' ')
		len--;
	r = parse_decimal(s, is_percent ? len - 1 : len, is_percent ? 10000000 : 1000000000, &v, ret_rounded);
	if (r)
		return is_percent ? r : -EINVAL;
	if (v > 1000000000 || (v == 1000000000 && *ret_rounded))
		return is_percent ? -ERANGE : -EINVAL;
	*ret_ppb = (uint32_t)v;
	return 0;
}

/* "T15:53:00", "T15:53:00.000Z", "T15:53:00+02:00". */
static bool is_time(const char *s)
{
	static const char form[] = "T99:99:99";

	for (size_t i = 0; form[i]; i++, s++)
		if (form[i] == '9' ? !isdigit((unsigned char)*s) : *s != form[i])
			return false;
	if (*s == '.') {
		size_t digits = strspn(s + 1, "0123456789");

		if (digits == 0)
			return false;
		s += 1 + digits;
	}
	if (*s == '+' || *s == '-')
		return strlen(s) == 6 && isdigit((unsigned char)s[1]) && isdigit((unsigned char)s[2]) &&
		       s[3] == ':' && isdigit((unsigned char)s[4]) && isdigit((unsigned char)s[5]);
	return !*s || !strcmp(s, "Z");
}

int owner_day_parse(const char *s, int32_t *ret)
{
	char day[11];

	if (strlen(s) < 10 || (s[10] && !is_time(s + 10)))
		return -EINVAL;
	memcpy(day, s, 10);
	day[10] = '\0';
	return date_parse(day, ret);
}
