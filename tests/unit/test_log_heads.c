// SPDX-License-Identifier: Apache-2.0
/* Signed heads of many logs compared as they come: forks, logs that go back, copies that anybody may send, and records that are nobody's. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium/core.h>

#include "userspace/base/cleanup.h"
#include "userspace/core/checkpoint.h"
#include "userspace/core/log_heads.h"

#define ORIGIN "example.org/opmeter/node7"
#define OTHER "example.org/opmeter/node8"
#define SECOND UINT64_C(1000000000)

struct logs {
	struct om_note_key key, next, other; /* next: of ORIGIN, too */
	struct om_log_heads *h;
	int64_t offset;
};

static struct om_note_key key_of(const char *name, uint8_t n)
{
	struct om_note_key k;
	uint8_t seed[32] = { n };

	assert_int_equal(om_note_key_make(name, seed, &k), 0);
	return k;
}

static void add_line(char *text, const struct om_note_key *k)
{
	char line[OM_NOTE_KEY_TEXT_MAX];

	sprintf(text + strlen(text), "%s\n", om_note_key_format(k, false, line));
}

static int set_up(void **state)
{
	struct logs *l = calloc(1, sizeof(*l));
	struct error_text err = { 0 };
	char text[2048] = "# nodes\n\n";

	assert_true(sodium_init() >= 0);
	l->key = key_of(ORIGIN, 1);
	l->next = key_of(ORIGIN, 2);
	l->other = key_of(OTHER, 3);
	add_line(text, &l->other);
	add_line(text, &l->key);
	add_line(text, &l->next);
	assert_int_equal(om_log_heads_new(text, strlen(text), &l->h, &err), 0);
	assert_int_equal(om_log_heads_logs(l->h), 2);
	*state = l;
	return 0;
}

static int tear_down(void **state)
{
	struct logs *l = *state;

	om_log_heads_free(l->h);
	free(l);
	return 0;
}

static int take(struct logs *l, const char *key, const char *value, uint64_t time_ns)
{
	struct om_head_record r = { key, value, strlen(key), value ? strlen(value) : 0, l->offset++, time_ns };

	return om_log_heads_take(l->h, &r);
}

static char *note_of(const char *origin, uint64_t size, uint8_t root, const struct om_note_key *keys, size_t n)
{
	struct om_checkpoint c = { .size = size };
	char text[OM_CHECKPOINT_TEXT_MAX];

	snprintf(c.origin, sizeof(c.origin), "%s", origin);
	memset(c.root, root, sizeof(c.root));
	return om_note_sign(om_checkpoint_format(&c, text), keys, n);
}

static int head_at(struct logs *l, const char *origin, uint64_t size, uint8_t root, const struct om_note_key *keys, size_t n, uint64_t time_ns)
{
	_cleanup_free_ char *note = note_of(origin, size, root, keys, n);
	_cleanup_free_ char *event = om_checkpoint_event(note, "/opmeter/x", 5 * SECOND);

	return take(l, origin, event, time_ns);
}

static int head(struct logs *l, uint64_t size, uint8_t root)
{
	return head_at(l, ORIGIN, size, root, &l->key, 1, size * SECOND);
}

struct copy {
	struct om_log_state s;
	bool found;
	const char *origin;
};

static int copy_state(void *ctx, const struct om_log_state *s)
{
	struct copy *c = ctx;

	if (!strcmp(s->origin, c->origin)) {
		c->s = *s;
		c->found = true;
	}
	return 0;
}

static struct om_log_state state_of(struct logs *l, const char *origin)
{
	struct copy c = { .origin = origin };

	assert_int_equal(om_log_heads_each(l->h, copy_state, &c), 0);
	assert_true(c.found);
	return c.s;
}

/* Both notes of a pair are what anybody can verify with the public key alone. */
static void assert_shows(struct logs *l, const struct om_head_pair *p, uint64_t first, uint64_t second)
{
	uint8_t roots[2][OM_HASH_SIZE];

	assert_non_null(p);
	for (int i = 0; i < 2; i++) {
		struct om_checkpoint c;
		struct om_note n;

		assert_int_equal(om_note_parse(p->note[i], strlen(p->note[i]), &n), 0);
		assert_int_equal(om_checkpoint_parse(n.text, n.text_len, &c), 0);
		assert_true(om_note_check(&n, &l->key) == 0 || om_note_check(&n, &l->next) == 0);
		assert_string_equal(c.origin, ORIGIN);
		assert_int_equal(c.size, i ? second : first);
		assert_int_equal(p->size[i], c.size);
		memcpy(roots[i], c.root, sizeof(roots[i]));
	}
	assert_true(first != second || memcmp(roots[0], roots[1], sizeof(roots[0])));
	assert_true(p->offset[0] < p->offset[1]);
}

static void a_log_that_grows_is_in_order(void **state)
{
	struct logs *l = *state;
	struct om_log_state s;

	assert_int_equal(om_log_heads_heard(l->h), 0);
	for (uint64_t i = 1; i < 200; i++)
		assert_int_equal(head(l, 10 * i, (uint8_t)i), OM_HEAD_NEW);
	/* What an agent sends again after a crash. */
	for (uint64_t i = 199; i > 199 - OM_HEADS_KEPT; i--)
		assert_int_equal(head(l, 10 * i, (uint8_t)i), OM_HEAD_KNOWN);
	s = state_of(l, ORIGIN);
	assert_int_equal(s.size, 1990);
	assert_int_equal(s.heard_ns, 1990 * SECOND);
	assert_string_equal(s.source, "/opmeter/x");
	for (int i = 0; i <= OM_HEAD_FORK; i++)
		assert_null(s.first[i]);
	assert_int_equal(s.answers[OM_HEAD_NEW], 199);
	assert_int_equal(om_log_heads_heard(l->h), 1);
	assert_int_equal(state_of(l, OTHER).heard_ns, 0);
}

static void keys_that_rotate_are_of_one_log(void **state)
{
	struct logs *l = *state;
	struct om_note_key both[] = { l->key, l->next };

	assert_int_equal(head(l, 10, 1), OM_HEAD_NEW);
	assert_int_equal(head_at(l, ORIGIN, 20, 2, both, 2, 1), OM_HEAD_NEW);
	assert_int_equal(head_at(l, ORIGIN, 30, 3, &l->next, 1, 1), OM_HEAD_NEW);
	/* The fork of a head that both signed is shown by what the first of them signed. */
	assert_int_equal(head_at(l, ORIGIN, 20, 9, &l->next, 1, 1), OM_HEAD_FORK);
	assert_shows(l, state_of(l, ORIGIN).first[OM_HEAD_FORK], 20, 20);
}

static void a_fork_is_shown_once(void **state)
{
	struct logs *l = *state;
	struct om_log_state s;

	head(l, 10, 1);
	head(l, 20, 2);
	assert_int_equal(head(l, 20, 3), OM_HEAD_FORK);
	assert_int_equal(head(l, 10, 3), OM_HEAD_FORK);
	s = state_of(l, ORIGIN);
	assert_shows(l, s.first[OM_HEAD_FORK], 20, 20);
	assert_int_equal(s.answers[OM_HEAD_FORK], 2);
	/* What was known stays what is compared with. */
	assert_int_equal(head(l, 20, 2), OM_HEAD_KNOWN);
	assert_int_equal(head(l, 30, 2), OM_HEAD_NEW);
	assert_int_equal(state_of(l, OTHER).answers[OM_HEAD_FORK], 0);
}

static void a_log_that_went_back_is_shown(void **state)
{
	struct logs *l = *state;
	struct om_log_state s;

	for (uint64_t i = 1; i <= 5; i++)
		head(l, 10 * i, (uint8_t)i);
	assert_int_equal(head(l, 35, 9), OM_HEAD_BACK);
	assert_int_equal(head(l, 45, 9), OM_HEAD_BACK);
	assert_int_equal(head(l, 35, 9), OM_HEAD_KNOWN);
	assert_int_equal(head(l, 35, 8), OM_HEAD_FORK);
	s = state_of(l, ORIGIN);
	assert_shows(l, s.first[OM_HEAD_BACK], 50, 35);
	assert_int_equal(s.answers[OM_HEAD_BACK], 2);
	assert_int_equal(s.size, 50);
	assert_int_equal(head(l, 60, 6), OM_HEAD_NEW);
}

/* Anybody who may write to the topic can send again what stands there: it accuses nobody of more than it shows. */
static void what_is_older_than_is_remembered_is_told_apart(void **state)
{
	struct logs *l = *state;
	struct om_log_state s;

	for (uint64_t i = 1; i <= OM_HEADS_KEPT + 5; i++)
		head(l, 10 * i, (uint8_t)i);
	for (uint64_t i = 1; i <= 5; i++)
		assert_int_equal(head(l, 10 * i, (uint8_t)i), OM_HEAD_OLD);
	assert_int_equal(head(l, 60, 6), OM_HEAD_KNOWN);
	assert_int_equal(head(l, 55, 1), OM_HEAD_BACK);
	s = state_of(l, ORIGIN);
	assert_int_equal(s.answers[OM_HEAD_OLD], 5);
	assert_shows(l, s.first[OM_HEAD_OLD], 10 * (OM_HEADS_KEPT + 5), 10);
	assert_null(s.first[OM_HEAD_FORK]);
	/* An old head is no sign of life. */
	assert_int_equal(s.heard_ns, 55 * SECOND);
}

static void who_begins_in_the_middle_accuses_nobody_of_what_came_before(void **state)
{
	struct logs *l = *state;

	assert_int_equal(head(l, 100, 1), OM_HEAD_NEW);
	assert_int_equal(head(l, 90, 2), OM_HEAD_OLD);
	assert_int_equal(head(l, 110, 3), OM_HEAD_NEW);
	assert_int_equal(head(l, 105, 3), OM_HEAD_BACK);
}

static void absurd_sizes_take_no_room(void **state)
{
	struct logs *l = *state;
	uint64_t most = (UINT64_C(1) << 63) - 1;

	assert_int_equal(head_at(l, ORIGIN, most, 1, &l->key, 1, 1), OM_HEAD_NEW);
	for (uint64_t i = 1; i < 100; i++)
		assert_int_equal(head_at(l, ORIGIN, most - i, 1, &l->key, 1, 1), OM_HEAD_OLD);
	assert_int_equal(head_at(l, ORIGIN, most + 1, 1, &l->key, 1, 1), OM_HEAD_DAMAGED);
	assert_int_equal(state_of(l, ORIGIN).size, most);
	/* Heads that fall below all that are kept, again and again. */
	assert_int_equal(head_at(l, OTHER, 1000, 1, &l->other, 1, 1), OM_HEAD_NEW);
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(head_at(l, OTHER, 5000 + i, 1, &l->other, 1, 1), OM_HEAD_NEW);
	for (uint64_t i = 0; i < 50; i++)
		assert_int_equal(head_at(l, OTHER, 4000 - i, 1, &l->other, 1, 1), OM_HEAD_OLD);
}

static void back_below_all_that_are_kept(void **state)
{
	struct logs *l = *state;

	head(l, 1, 1);
	for (uint64_t i = 0; i < OM_HEADS_KEPT; i++)
		assert_int_equal(head(l, 100 + i, 1), OM_HEAD_NEW);
	/* Above what was forgotten, below what is kept: it never came, and there is no room for it. */
	assert_int_equal(head(l, 50, 1), OM_HEAD_BACK);
	assert_int_equal(head(l, 50, 1), OM_HEAD_OLD);
	assert_int_equal(head(l, 100, 1), OM_HEAD_KNOWN);
}

static void what_is_nobodys_changes_nothing(void **state)
{
	struct logs *l = *state;
	struct om_note_key stranger = key_of(ORIGIN, 77), unknown = key_of("example.org/x", 5);
	_cleanup_free_ char *note = note_of(ORIGIN, 30, 1, &l->key, 1), *event = om_checkpoint_event(note, "/opmeter/x", SECOND);
	char *wrong, *at;

	assert_int_equal(head(l, 20, 1), OM_HEAD_NEW);
	assert_int_equal(head_at(l, ORIGIN, 90, 1, &stranger, 1, 1), OM_HEAD_STRANGER);
	assert_int_equal(head_at(l, "example.org/x", 90, 1, &unknown, 1, 1), OM_HEAD_STRANGER);
	/* A key that is known, of another log. */
	assert_int_equal(head_at(l, ORIGIN, 90, 1, &l->other, 1, 1), OM_HEAD_STRANGER);
	/* Under another key of the topic; no value; no event. */
	assert_int_equal(take(l, OTHER, event, 1), OM_HEAD_DAMAGED);
	assert_int_equal(take(l, ORIGIN, NULL, 1), OM_HEAD_DAMAGED);
	assert_int_equal(take(l, ORIGIN, "{}", 1), OM_HEAD_DAMAGED);
	/* The signature is of another text. */
	wrong = note_of(ORIGIN, 31, 1, &l->key, 1);
	at = strstr(note, "\xe2\x80\x94");
	strcpy(strstr(wrong, "\xe2\x80\x94"), at);
	{
		_cleanup_free_ char *forged = om_checkpoint_event(wrong, "/opmeter/x", SECOND);

		assert_int_equal(take(l, ORIGIN, forged, 1), OM_HEAD_FORGED);
	}
	free(wrong);
	for (size_t n = 0; n < strlen(event); n++) {
		struct om_head_record r = { ORIGIN, event, strlen(ORIGIN), n, 0, 1 };

		assert_int_equal(om_log_heads_take(l->h, &r), OM_HEAD_DAMAGED);
	}
	assert_int_equal(state_of(l, ORIGIN).size, 20);
	assert_int_equal(state_of(l, ORIGIN).heard_ns, 20 * SECOND);
	assert_int_equal(take(l, ORIGIN, event, 1), OM_HEAD_NEW);
}

static void a_note_with_extensions_is_kept_whole(void **state)
{
	struct logs *l = *state;
	struct om_checkpoint c = { .origin = ORIGIN, .size = 10 };
	char text[8192], *end;
	_cleanup_free_ char *note = NULL, *event = NULL, *huge = NULL, *big = NULL;

	om_checkpoint_format(&c, text);
	strcat(text, "an extension\n");
	note = om_note_sign(text, &l->key, 1);
	event = om_checkpoint_event(note, "/opmeter/x", SECOND);
	assert_int_equal(take(l, ORIGIN, event, 1), OM_HEAD_NEW);
	assert_int_equal(head(l, 10, 5), OM_HEAD_FORK);
	assert_shows(l, state_of(l, ORIGIN).first[OM_HEAD_FORK], 10, 10);
	assert_non_null(strstr(state_of(l, ORIGIN).first[OM_HEAD_FORK]->note[0], "an extension"));
	/* More of them than a log may take. */
	om_checkpoint_format(&c, text);
	end = text + strlen(text);
	memset(end, 'x', 5000);
	strcpy(end + 5000, "\n");
	huge = om_note_sign(text, &l->key, 1);
	big = om_checkpoint_event(huge, "/opmeter/x", SECOND);
	assert_int_equal(take(l, ORIGIN, big, 1), OM_HEAD_DAMAGED);
}

static void keys_are_read_strictly(void **state)
{
	struct logs *l = *state;
	struct om_log_heads *h = NULL;
	char good[OM_NOTE_KEY_TEXT_MAX], secret[OM_NOTE_KEY_TEXT_MAX], text[2048];
	const char *bad[] = { "", "# none\n", "nonsense\n", secret, text };

	om_note_key_format(&l->key, false, good);
	om_note_key_format(&l->key, true, secret);
	snprintf(text, sizeof(text), "%s\n%s x\n", good, good);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct error_text err = { 0 };

		assert_int_equal(om_log_heads_new(bad[i], strlen(bad[i]), &h, &err), -EINVAL);
		assert_true(err.text[0]);
		assert_null(h);
	}
	/* The last line may lack its end, and a key may come twice. */
	snprintf(text, sizeof(text), "%s\n%s", good, good);
	assert_int_equal(om_log_heads_new(text, strlen(text), &h, &(struct error_text){ 0 }), 0);
	assert_int_equal(om_log_heads_logs(h), 1);
	om_log_heads_free(h);
}

#define HEADS_TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		HEADS_TEST(a_log_that_grows_is_in_order),
		HEADS_TEST(keys_that_rotate_are_of_one_log),
		HEADS_TEST(a_fork_is_shown_once),
		HEADS_TEST(a_log_that_went_back_is_shown),
		HEADS_TEST(what_is_older_than_is_remembered_is_told_apart),
		HEADS_TEST(who_begins_in_the_middle_accuses_nobody_of_what_came_before),
		HEADS_TEST(absurd_sizes_take_no_room),
		HEADS_TEST(back_below_all_that_are_kept),
		HEADS_TEST(what_is_nobodys_changes_nothing),
		HEADS_TEST(a_note_with_extensions_is_kept_whole),
		HEADS_TEST(keys_are_read_strictly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
