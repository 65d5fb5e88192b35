// SPDX-License-Identifier: Apache-2.0
/* What is asked of an act that is recorded now: its dates and its words. Logs hold acts from before this was
 * asked; those are read. */
#include <errno.h>
#include <string.h>

#include "../base/yaml.h"
#include "assignment.h"
#include "case_internal.h"
#include "ownership.h"

#define NS_PER_DAY UINT64_C(86400000000000)

/* YYYY-MM-DD, or a time as in 2026-11-23T18:00:00Z. */
static int day_of(const char *text, int32_t *ret)
{
	uint64_t ns;

	if (date_parse(text, ret) == 0)
		return 0;
	if (om_time_parse(text, &ns))
		return -EINVAL;
	*ret = (int32_t)(ns / NS_PER_DAY);
	return 0;
}

static int32_t today(const json_t *act)
{
	int32_t day = 0;

	return day_of(json_text(act, "at"), &day) ? 0 : day;
}

/* A day that is over or under way. Somewhere it is tomorrow already. */
static int check_past(const json_t *act, const char *key, int32_t *ret, struct error_text *err)
{
	if (day_of(json_text(act, key), ret))
		return error_set(err, -EINVAL,
				 "'%s' is no date (2026-11-23) and no time (2026-11-23T18:00:00Z)",
				 json_text(act, key));
	if (*ret > today(act) + 1)
		return error_set(err, -EINVAL, "%s has not come yet: what is recorded has happened",
				 json_text(act, key));
	return 0;
}

static int check_sre(const json_t *act, struct error_text *err)
{
	const char *s = json_text(act, "sre");
	char name[64];

	for (;; s++) {
		size_t n = strcspn(s, ",");

		snprintf(name, sizeof(name), "%.*s", n < sizeof(name) ? (int)n : 0, s);
		if (!om_person_is_valid(name))
			return error_set(err, -EINVAL,
					 "'%.*s' is no person's name: letters, digits and . _ @ -, at most "
					 "63; several are parted by a comma alone, without blanks",
					 n < 80 ? (int)n : 80, s);
		s += n;
		if (!*s)
			return 0;
	}
}

/* Fields that have a form. */
static int check_fact(const json_t *act, struct error_text *err)
{
	static const char *const dates[] = { "start", "expected_completion", "predicted_crossing" };
	const char *name = json_text(act, "name"), *value = json_text(act, "value");
	int32_t day;

	if (!strcmp(name, "lei") && !lei_is_valid(value))
		return error_set(err, -EINVAL,
				 "'%.40s' is no LEI: 18 letters and digits and two check digits", value);
	for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++)
		if (!strcmp(name, dates[i]) && date_parse(value, &day))
			return error_set(err, -EINVAL, "%s: '%.40s' is no date (2026-11-23)", name, value);
	return 0;
}

/* An answer comes after its question: the oldest that waits. */
static int check_answer(const struct om_case *c, const json_t *act, struct error_text *err)
{
	const json_t *q;
	int32_t day, asked;
	size_t i;
	int r;

	if (!*json_text(act, "answered_at"))
		return 0;
	r = check_past(act, "answered_at", &day, err);
	json_array_foreach(json_object_get(c->record, "inquiries"), i, q)
	{
		const char *sent = *json_text(q, "sent_at") ? json_text(q, "sent_at") : json_text(q, "at");

		if (r || !json_is_null(json_object_get(q, "answer")))
			continue;
		if (day_of(sent, &asked) == 0 && day < asked - 1)
			return error_set(err, -EINVAL, "answered at %s, before it was asked (%s)",
					 json_text(act, "answered_at"), sent);
		break;
	}
	return r;
}

static int check_papers(const json_t *act, struct error_text *err)
{
	const char *expires = json_text(act, "expires"), *review = json_text(act, "next_review");
	int32_t day;

	if (*expires && date_parse(expires, &day))
		return error_set(err, -EINVAL, "'%s' is no date (2026-11-23)", expires);
	if (*expires && day < today(act) && !*json_text(act, "open_items"))
		return error_set(
			err, -EINVAL,
			"the licence ran out on %s: say with --open-items why it is held all the same",
			expires);
	if (*review && date_parse(review, &day) == 0 && day < today(act))
		return error_set(err, -EINVAL, "the next review lies in the past: %s", review);
	return 0;
}

int case_check_new(const struct om_case *c, const json_t *act, struct error_text *err)
{
	int32_t day;

	switch (case_kind_of(act)) {
	case CASE_ASSIGN:
		return check_sre(act, err);
	case CASE_FACT:
		return check_fact(act, err);
	case CASE_EVENT:
		return check_past(act, "date", &day, err);
	case CASE_INQUIRY:
		return *json_text(act, "sent_at") ? check_past(act, "sent_at", &day, err) : 0;
	case CASE_ANSWER:
		return check_answer(c, act, err);
	case CASE_DETERMINE:
		return check_papers(act, err);
	default:
		return 0;
	}
}
