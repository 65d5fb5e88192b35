// SPDX-License-Identifier: Apache-2.0
#include "screening.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../base/cleanup.h"

/* U+00C0..U+017F without their marks; two letters where one became two. */
static const char *const plain[] = {
	"a", "a", "a",	"a",  "a", "a", "ae", "c",  "e",  "e", "e", "e", "i",  "i",  "i", "i", "d", "n",
	"o", "o", "o",	"o",  "o", "",	"o",  "u",  "u",  "u", "u", "y", "th", "ss", "a", "a", "a", "a",
	"a", "a", "ae", "c",  "e", "e", "e",  "e",  "i",  "i", "i", "i", "d",  "n",  "o", "o", "o", "o",
	"o", "",  "o",	"u",  "u", "u", "u",  "y",  "th", "y", "a", "a", "a",  "a",  "a", "a", "c", "c",
	"c", "c", "c",	"c",  "c", "c", "d",  "d",  "d",  "d", "e", "e", "e",  "e",  "e", "e", "e", "e",
	"e", "e", "g",	"g",  "g", "g", "g",  "g",  "g",  "g", "h", "h", "h",  "h",  "i", "i", "i", "i",
	"i", "i", "i",	"i",  "i", "i", "ij", "ij", "j",  "j", "k", "k", "k",  "l",  "l", "l", "l", "l",
	"l", "l", "l",	"l",  "l", "n", "n",  "n",  "n",  "n", "n", "n", "n",  "n",  "o", "o", "o", "o",
	"o", "o", "oe", "oe", "r", "r", "r",  "r",  "r",  "r", "s", "s", "s",  "s",  "s", "s", "s", "s",
	"t", "t", "t",	"t",  "t", "t", "u",  "u",  "u",  "u", "u", "u", "u",  "u",  "u", "u", "u", "u",
	"w", "w", "y",	"y",  "y", "z", "z",  "z",  "z",  "z", "z", "s",
};
_Static_assert(ARRAY_SIZE(plain) == 0x180 - 0xc0, "a letter each");

static const char *const forms[] = {
	"ab",	"ag",		"and",		 "as",	       "bhd",  "bv",	"co",	   "company",
	"corp", "corporation",	"enterprise",	 "foundation", "gmbh", "group", "holding", "holdings",
	"inc",	"incorporated", "international", "jsc",	       "kg",   "kk",	"limited", "llc",
	"llp",	"lp",		"ltd",		 "ltda",       "nv",   "oao",	"of",	   "ooo",
	"oy",	"pao",		"pjsc",		 "plc",	       "pt",   "pte",	"pty",	   "pvt",
	"sa",	"sarl",		"sas",		 "sdn",	       "se",   "spa",	"srl",	   "the",
	"zao",
};

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static bool is_form(const char *word)
{
	return bsearch(&word, forms, ARRAY_SIZE(forms), sizeof(*forms), by_text) != NULL;
}

/* The next letters of a name as plain text; *ret_text "": a place between words. */
static size_t take_letter(const char *s, char ret_text[8])
{
	const uint8_t *u = (const uint8_t *)s;
	size_t len;

	memset(ret_text, 0, 8);
	if (u[0] < 0x80) {
		char c = u[0] >= 'A' && u[0] <= 'Z' ? (char)(u[0] + 32) : (char)u[0];

		if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'))
			ret_text[0] = c;
		return 1;
	}
	if (u[0] >= 0xc3 && u[0] <= 0xc5 && u[1] >= 0x80) {
		unsigned code = (unsigned)(u[0] & 31) << 6 | (u[1] & 63);

		memcpy(ret_text, plain[code - 0xc0], strlen(plain[code - 0xc0]));
		return 2;
	}
	len = u[0] >= 0xf0 ? 4 : u[0] >= 0xe0 ? 3 : 2;
	for (size_t i = 0; i < len; i++) {
		if (!s[i])
			return i ?: 1;
		ret_text[i] = s[i];
	}
	/* General punctuation, and the spaces and full stops of CJK, part words. */
	if ((u[0] == 0xe2 && u[1] == 0x80) || (u[0] == 0xe3 && u[1] == 0x80) || (u[0] == 0xc2))
		memset(ret_text, 0, 8);
	return len;
}

static bool is_joined(const char *s)
{
	return *s == '.' || *s == '\'' || !strncmp(s, "\xe2\x80\x99", 3); /* S.A., O'Neil */
}

/* Words one after the other into text; returns how many. */
static size_t cut_words(const char *name, char *text, const char *words[NAME_WORDS_MAX])
{
	size_t n = 0, count = 0;
	bool inside = false;

	while (*name && n + 10 < NAME_TEXT_MAX) {
		char letters[8];
		size_t len = take_letter(name, letters);

		if (letters[0]) {
			if (!inside && count == NAME_WORDS_MAX)
				break;
			if (!inside)
				words[count++] = text + n;
			inside = true;
			memcpy(text + n, letters, strlen(letters));
			n += strlen(letters);
		} else if (inside && !is_joined(name)) {
			text[n++] = '\0';
			inside = false;
		}
		name += len;
	}
	text[n] = '\0';
	return count;
}

void name_split(const char *name, struct name_words *ret)
{
	const char *words[NAME_WORDS_MAX];
	char text[NAME_TEXT_MAX];
	size_t count = cut_words(name, text, words), n = 0;
	bool all_forms = true;

	memset(ret, 0, sizeof(*ret));
	for (size_t i = 0; i < count; i++)
		all_forms &= is_form(words[i]);
	if (count)
		qsort(words, count, sizeof(*words), by_text);
	for (size_t i = 0; i < count; i++) {
		size_t len = strlen(words[i]);

		if ((i && !strcmp(words[i], words[i - 1])) || (!all_forms && is_form(words[i])))
			continue;
		memcpy(ret->text + n, words[i], len + 1);
		ret->at[ret->count] = (unsigned short)n;
		ret->length[ret->count++] = (unsigned short)len;
		n += len + 1;
	}
}

/* Edit distance with neighbours exchanged, of two words of up to 31 bytes; more than 2 is 3. */
static int distance(const char *a, size_t n, const char *b, size_t m)
{
	int rows[3][32];

	if (n > 31 || m > 31 || (n > m ? n - m : m - n) > 2)
		return 3;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (int)j;
	for (size_t i = 1; i <= n; i++) {
		int *row = rows[i % 3], *above = rows[(i + 2) % 3], *two = rows[(i + 1) % 3], least = 99;

		row[0] = (int)i;
		for (size_t j = 1; j <= m; j++) {
			int best = above[j - 1] + (a[i - 1] != b[j - 1]);

			if (above[j] + 1 < best)
				best = above[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    two[j - 2] + 1 < best)
				best = two[j - 2] + 1;
			row[j] = best;
			if (best < least)
				least = best;
		}
		if (least > 2 && (int)i > 2)
			return 3;
	}
	return rows[n % 3][m];
}

/* Thousandths: the same, one slip in five letters or more, two in nine or more. */
static int word_score(const char *a, size_t n, const char *b, size_t m)
{
	size_t shorter = n < m ? n : m;
	int d;

	if (n == m && !memcmp(a, b, n))
		return 1000;
	if (shorter < 5)
		return 0;
	d = distance(a, n, b, m);
	return d == 1 ? 900 : d == 2 && shorter >= 9 ? 800 : 0;
}

/* What of a is found in b, by length. */
static long found_in(const struct name_words *a, const struct name_words *b, long *ret_all)
{
	long found = 0;

	*ret_all = 0;
	for (size_t i = 0; i < a->count; i++) {
		int best = 0;

		for (size_t k = 0; k < b->count; k++) {
			int s = word_score(a->text + a->at[i], a->length[i], b->text + b->at[k],
					   b->length[k]);

			if (s > best)
				best = s;
		}
		found += (long)best * a->length[i];
		*ret_all += a->length[i];
	}
	return found;
}

int name_score(const struct name_words *a, const struct name_words *b)
{
	long all_a, all_b, found = found_in(a, b, &all_a) + found_in(b, a, &all_b);

	return all_a + all_b ? (int)(found / (all_a + all_b)) : 0;
}
