/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_SCREENING_H
#define OPMETER_CORE_SCREENING_H

/*
 * Names compared: how like is the name of an entity to a name on a list? The
 * score is our own and simple (docs/owners.md): a name becomes a set of words
 * (lower case, Latin letters without marks, no punctuation, no legal forms);
 * each word is matched with its most like one on the other side; the score is
 * what matched, by length, of what there is, in thousandths. A suggestion for a
 * person, never a verdict. Pure.
 */

#include <stdbool.h>
#include <stddef.h>

#define NAME_WORDS_MAX 24
#define NAME_TEXT_MAX 400
struct name_words {
	char text[NAME_TEXT_MAX]; /* the words, each NUL-terminated, in order, each once */
	unsigned short at[NAME_WORDS_MAX], length[NAME_WORDS_MAX];
	size_t count;
};
/* What does not fit is left out. A name of nothing but legal forms keeps them. */
void name_split(const char *name, struct name_words *ret);
/* 0..1000; 1000 only for the same set of words. Symmetric. */
int name_score(const struct name_words *a, const struct name_words *b);

#define NAME_SCORE_LEAST 850 /* from here on it is a hit for a person to look at */

#endif
