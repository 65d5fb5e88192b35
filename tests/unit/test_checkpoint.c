// SPDX-License-Identifier: Apache-2.0
/* What an agent does with its log's head: signs what is new, once; lets out what a crash held back; signs nothing that does not grow from what
 * was signed. And the heads that were kept elsewhere, whatever their file holds. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium/core.h>

#include "userspace/core/checkpoint.h"
#include "userspace/core/checkpoint_seen.h"
#include "userspace/core/evidence_key.h"

#define NOW (UINT64_C(20780) * 86400 * 1000000000)
#define ORIGIN "example.org/node"

struct place {
	char dir[64], keys[80];
	struct om_note_key key;
	struct om_ledger *l;
	struct om_ledger_growth growth;
	int exporter;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	uint8_t seed[32] = { 1 };

	strcpy(p->dir, "/tmp/opmeter-checkpoint-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->keys, sizeof(p->keys), "%s/keys", p->dir);
	assert_int_equal(om_ledger_open(p->dir, OM_LEDGER_CREATE | OM_LEDGER_KEEP, NOW, &p->l, NULL), 0);
	assert_int_equal(om_signer_make(p->keys, ORIGIN, seed, NOW, 0, &p->key, NULL), 0);
	assert_int_equal(om_ledger_exporter(p->l, "first", &p->exporter), 0);
	p->growth.ledger = p->l;
	*state = p;
	return 0;
}

static int tear_down(void **state)
{
	struct place *p = *state;
	char command[100];

	om_ledger_free(p->l);
	snprintf(command, sizeof(command), "rm -rf %s", p->dir);
	assert_int_equal(system(command), 0);
	free(p);
	return 0;
}

static void append(struct place *p, int n)
{
	for (int i = 0; i < n; i++)
		assert_int_equal(om_ledger_append(p->l, OM_ENTRY_ACT, NULL, "{}", 2, NOW, NULL), 0);
}

static int advance(struct place *p, uint64_t *ret_size)
{
	struct error_text err = { 0 };
	struct om_checkpoint c = { .size = 0 };
	int r = om_checkpoint_advance(&p->growth, p->keys, NOW + 1, &c, &err);

	assert_true(r >= 0 || err.text[0]);
	*ret_size = c.size;
	return r;
}

struct waiting {
	uint64_t sizes[16];
	size_t count;
};

static int take(void *ctx, const struct om_outbox_item *item)
{
	struct waiting *w = ctx;
	char *origin = NULL, *note = om_checkpoint_of_act(item->payload, item->len, &origin);
	struct om_checkpoint c;

	assert_int_equal(item->kind, OM_ENTRY_ACT);
	assert_non_null(note);
	assert_string_equal(origin, ORIGIN);
	assert_int_equal(om_checkpoint_parse(note, (size_t)(strstr(note, "\n\n") + 1 - note), &c), 0);
	w->sizes[w->count++] = c.size;
	free(note);
	free(origin);
	return 0;
}

static struct waiting outbox(struct place *p, int exporter)
{
	struct waiting w = { .count = 0 };

	om_ledger_unsend(p->l, exporter);
	assert_int_equal(om_ledger_outbox(p->l, exporter, 100, take, &w), 0);
	return w;
}

static void what_is_new_is_signed_once(void **state)
{
	struct place *p = *state;
	struct waiting w;
	uint64_t size;
	int later;

	assert_int_equal(advance(p, &size), 1); /* an empty log */
	assert_int_equal(size, 0);
	append(p, 3);
	assert_int_equal(advance(p, &size), 0);
	assert_int_equal(size, 3);
	/* The record of it is entry 3, and no news. */
	for (int i = 0; i < 3; i++) {
		assert_int_equal(advance(p, &size), 1);
		assert_int_equal(size, 3);
	}
	append(p, 1);
	assert_int_equal(advance(p, &size), 0);
	assert_int_equal(size, 5);
	/* Checkpoints leave the node, other acts stay; so it is for an exporter that comes later. */
	w = outbox(p, p->exporter);
	assert_int_equal(w.count, 2);
	assert_int_equal(w.sizes[0], 3);
	assert_int_equal(w.sizes[1], 5);
	assert_int_equal(om_ledger_exporter(p->l, "second", &later), 0);
	assert_int_equal(outbox(p, later).count, 2);
}

static void what_a_crash_held_back_goes_out(void **state)
{
	struct place *p = *state;
	struct om_signer *s;
	struct error_text err = { 0 };
	struct om_roots roots = { om_ledger_growth_root, &p->growth };
	struct waiting w;
	uint64_t size;
	char *note;

	append(p, 4);
	/* Signed and on the disk, and then the process was gone. */
	assert_int_equal(om_signer_open(p->keys, &s, &err), 0);
	assert_int_equal(om_signer_checkpoint(s, &roots, 4, NOW, &note, &err), 0);
	om_signer_free(s);
	free(note);
	assert_int_equal(outbox(p, p->exporter).count, 0);
	p->growth = (struct om_ledger_growth){ .ledger = p->l };
	assert_int_equal(advance(p, &size), 1); /* the same head, recorded now; nothing came since */
	assert_int_equal(size, 4);
	assert_int_equal(advance(p, &size), 1);
	w = outbox(p, p->exporter);
	assert_int_equal(w.count, 1);
	assert_int_equal(w.sizes[0], 4);
	/* What came since is signed after it. */
	append(p, 1);
	assert_int_equal(advance(p, &size), 0);
	assert_int_equal(size, 6);
	w = outbox(p, p->exporter);
	assert_int_equal(w.count, 2);
	assert_int_equal(w.sizes[1], 6);
}

static void open_other(struct place *p, const char *name, struct place *ret)
{
	*ret = *p;
	snprintf(ret->dir, sizeof(ret->dir), "%.50s/%s", p->dir, name);
	assert_int_equal(mkdir(ret->dir, 0700), 0);
	assert_int_equal(om_ledger_open(ret->dir, OM_LEDGER_CREATE | OM_LEDGER_KEEP, NOW, &ret->l, NULL), 0);
	ret->growth = (struct om_ledger_growth){ .ledger = ret->l };
}

static void only_what_grows_is_signed(void **state)
{
	struct place *p = *state, other;
	struct om_tree_head before, after;
	uint64_t size;

	append(p, 5);
	assert_int_equal(advance(p, &size), 0);
	open_other(p, "other", &other);
	append(&other, 2);
	assert_int_equal(om_ledger_head(other.l, &before), 0);
	assert_int_equal(advance(&other, &size), -ESTALE);
	append(&other, 20);
	assert_int_equal(advance(&other, &size), -EUCLEAN);
	assert_int_equal(om_ledger_head(other.l, &after), 0);
	assert_int_equal(after.size, before.size + 20); /* nothing was recorded in it */
	om_ledger_free(other.l);
	append(p, 1);
	assert_int_equal(advance(p, &size), 0);
}

static void without_the_memory_nothing_is_signed(void **state)
{
	struct place *p = *state;
	struct error_text err = { 0 };
	char path[120];
	struct om_signer *s;
	uint64_t size;

	snprintf(path, sizeof(path), "%s/last.checkpoint", p->keys);
	append(p, 2);
	assert_int_equal(unlink(path), 0); /* also that of the empty log */
	assert_int_equal(advance(p, &size), -EUCLEAN);
	assert_int_equal(om_signer_open(p->keys, &s, &err), 0);
	assert_int_equal(om_signer_begin(s, NOW, &err), 0);
	assert_int_equal(om_signer_begin(s, NOW, &err), -EEXIST);
	om_signer_free(s);
	assert_int_equal(advance(p, &size), 0);
	assert_int_equal(size, 2);
}

static void keys_that_are_in_use_are_not_waited_for(void **state)
{
	struct place *p = *state;
	struct error_text err = { 0 };
	struct om_signer *s;
	uint64_t size;

	append(p, 1);
	assert_int_equal(om_signer_open(p->keys, &s, &err), 0);
	assert_int_equal(advance(p, &size), -EWOULDBLOCK);
	om_signer_free(s);
	assert_int_equal(advance(p, &size), 0);
}

static void roots_are_those_of_the_ledger(void **state)
{
	struct place *p = *state;
	struct om_tree_head head;
	uint8_t root[OM_HASH_SIZE], early[OM_HASH_SIZE];

	for (int i = 1; i < 40; i++) {
		append(p, 1);
		assert_int_equal(om_ledger_head(p->l, &head), 0);
		assert_int_equal(om_ledger_growth_root(&p->growth, (uint64_t)i, root), 0);
		assert_memory_equal(root, head.root, sizeof(root));
		if (i == 7)
			memcpy(early, root, sizeof(root));
	}
	assert_int_equal(om_ledger_growth_root(&p->growth, 40, root), -ESTALE);
	assert_int_equal(om_ledger_growth_root(&p->growth, 7, root), 0); /* anew, from the first leaf */
	assert_memory_equal(root, early, sizeof(root));
}

/* --- what was seen --- */

static char *event_of(const char *origin, uint64_t size, uint8_t root, const struct om_note_key *key)
{
	struct om_checkpoint c = { .size = size };
	char text[OM_CHECKPOINT_TEXT_MAX], *note, *event;

	snprintf(c.origin, sizeof(c.origin), "%s", origin);
	memset(c.root, root, sizeof(c.root));
	note = om_note_sign(om_checkpoint_format(&c, text), key, 1);
	event = om_checkpoint_event(note, "/opmeter/x", NOW);
	free(note);
	return event;
}

static int seen(struct om_seen *s, const struct om_note_key *key, const char *text)
{
	struct error_text err = { 0 };
	int r = om_seen_read(s, text, strlen(text), key, 1, &err);

	assert_true(r == 0 || err.text[0]);
	return r;
}

static void heads_are_read_and_compared(void **state)
{
	struct om_note_key key, stranger;
	struct om_checkpoint c = { .origin = ORIGIN, .size = 9 };
	struct om_seen s = { .count = 0 };
	struct error_text err = { 0 };
	enum om_seen_answer answer;
	char *nine, *five, *other, *by_stranger, text[8192];
	uint8_t seed[32] = { 3 };

	assert_int_equal(om_note_key_make(ORIGIN, seed, &key), 0);
	seed[0] = 4;
	assert_int_equal(om_note_key_make("elsewhere", seed, &stranger), 0);
	nine = event_of(ORIGIN, 9, 1, &key);
	five = event_of(ORIGIN, 5, 2, &key);
	by_stranger = event_of("elsewhere", 9, 7, &stranger);
	/* Out of order, repeated, beside other events, as a consumer prints it and as --file writes it. */
	snprintf(text, sizeof(text), "%s\n{\"type\":\"opmeter.heartbeat.v1\"}\n\n{\"topic\":\"t\",\"event\":%s}\n%s\n%s", nine, five, nine, by_stranger);
	assert_int_equal(seen(&s, &key, text), 0);
	assert_true(s.count == 2 && s.read == 4 && s.by_others == 1 && s.passed == 1);
	memset(c.root, 1, sizeof(c.root));
	assert_int_equal(om_seen_compare(&s, &c, &answer, &err), 0);
	assert_int_equal(answer, OM_SEEN_SAME);
	c.size = 7;
	assert_int_equal(om_seen_compare(&s, &c, &answer, &err), 0);
	assert_int_equal(answer, OM_SEEN_OTHER_SIZE);
	snprintf(c.origin, sizeof(c.origin), "elsewhere");
	assert_int_equal(om_seen_compare(&s, &c, &answer, &err), 0);
	assert_int_equal(answer, OM_SEEN_OTHER_ORIGIN);
	c = (struct om_checkpoint){ .origin = ORIGIN, .size = 5 };
	assert_int_equal(om_seen_compare(&s, &c, &answer, &err), -EUCLEAN);
	assert_non_null(strstr(err.text, "FORK"));
	/* Both signed by the true key: that they differ is enough. */
	other = event_of(ORIGIN, 9, 3, &key);
	assert_int_equal(seen(&s, &key, other), -EUCLEAN);
	om_seen_done(&s);
	free(nine);
	free(five);
	free(other);
	free(by_stranger);
}

/* Trusted for one log, it says nothing of another: neither a head of it nor a fork. */
static void a_key_speaks_for_its_own_log(void **state)
{
	struct om_note_key keys[2];
	struct om_seen s = { .count = 0 };
	struct error_text err = { 0 };
	char *own, *foreign, text[4096];
	uint8_t seed[32] = { 3 };

	assert_int_equal(om_note_key_make(ORIGIN, seed, &keys[0]), 0);
	seed[0] = 4;
	assert_int_equal(om_note_key_make("example.org/cases", seed, &keys[1]), 0);
	own = event_of(ORIGIN, 9, 1, &keys[0]);
	foreign = event_of(ORIGIN, 9, 2, &keys[1]);
	snprintf(text, sizeof(text), "%s\n%s\n", own, foreign);
	assert_int_equal(om_seen_read(&s, text, strlen(text), keys, 2, &err), 0);
	assert_true(s.count == 1 && s.read == 2 && s.by_others == 1 && s.item[0].root[0] == 1);
	om_seen_done(&s);
	free(own);
	free(foreign);
}

/* Whoever can write to the topic can put it there. */
static void a_damaged_line_hides_no_fork(void **state)
{
	struct om_note_key key;
	struct om_seen s = { .count = 0 };
	uint8_t seed[32] = { 3 };
	char *one, *five, *other, text[8192];

	assert_int_equal(om_note_key_make(ORIGIN, seed, &key), 0);
	one = event_of(ORIGIN, 9, 1, &key);
	five = event_of(ORIGIN, 5, 1, &key);
	other = event_of(ORIGIN, 9, 2, &key);
	snprintf(text, sizeof(text), "%s\n{nonsense\n{\"type\":\"opmeter.checkpoint.v1\"}\n%s\n", one, five);
	assert_int_equal(seen(&s, &key, text), 0);
	assert_true(s.count == 2 && s.damaged == 2 && s.first_damaged == 2);
	om_seen_done(&s);
	snprintf(text, sizeof(text), "%s\n{nonsense\n%s\n", one, other);
	assert_int_equal(seen(&s, &key, text), -EUCLEAN);
	om_seen_done(&s);
	free(one);
	free(five);
	free(other);
}

/* An alert of the fleet has the notes that show what it says: it is evidence by itself. */
static void an_alert_shows_a_fork(void **state)
{
	static const char form[] = "{\"type\":\"opmeter.alert.data.v1\",\"data\":{\"checkpoints\":[%s]}}\n";
	struct om_note_key key;
	struct om_seen s = { .count = 0 };
	uint8_t seed[32] = { 3 };
	char *events[2], text[8192], notes[4096] = "";

	assert_int_equal(om_note_key_make(ORIGIN, seed, &key), 0);
	for (int i = 0; i < 2; i++) {
		json_t *o;
		char *note;

		events[i] = event_of(ORIGIN, 9, (uint8_t)i, &key);
		o = json_loads(events[i], 0, NULL);
		note = json_dumps(json_object_get(json_object_get(o, "data"), "checkpoint"), JSON_ENCODE_ANY);
		sprintf(notes + strlen(notes), "%s%s", i ? "," : "", note);
		snprintf(text, sizeof(text), form, notes);
		assert_int_equal(seen(&s, &key, text), i ? -EUCLEAN : 0);
		assert_true(s.read == 1 + (uint64_t)i || s.read == 3);
		json_decref(o);
		free(note);
		free(events[i]);
	}
	om_seen_done(&s);
	/* Other alerts are passed over; one whose notes are none is damaged. */
	assert_int_equal(seen(&s, &key, "{\"type\":\"opmeter.alert.data.v1\",\"data\":{}}\n"), 0);
	assert_int_equal(s.passed, 1);
	assert_int_equal(seen(&s, &key, "{\"type\":\"opmeter.alert.data.v1\",\"data\":{\"checkpoints\":[1]}}\n"), -EBADMSG);
	om_seen_done(&s);
}

static char *replaced(const char *text, const char *what, const char *by)
{
	char *at = strstr(text, what), *out = malloc(strlen(text) + strlen(by) + 1);

	assert_non_null(at);
	sprintf(out, "%.*s%s%s", (int)(at - text), text, by, at + strlen(what));
	return out;
}

static void what_is_no_checkpoint_is_refused(void **state)
{
	static const char *const bad[] = { "", "no note", "{", "{}x", "[1]", "{\"type\":\"opmeter.checkpoint.v1\"}", "{\"type\":1,\"type\":2}",
					   "{\"type\":\"opmeter.checkpoint.v1\",\"data\":{\"checkpoint\":\"x\"}}", "{\"a\":\"\xff\"}" };
	struct om_note_key key;
	struct om_seen s = { .count = 0 };
	uint8_t seed[32] = { 3 };
	char *good, *text;

	assert_int_equal(om_note_key_make(ORIGIN, seed, &key), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(seen(&s, &key, bad[i]), -EBADMSG);
	good = event_of(ORIGIN, 9, 1, &key);
	/* What the event says beside the note is not what the note says; a note that was changed. */
	const char *const changes[][2] = { { "\"size\":\"9\"", "\"size\":\"8\"" }, { "\"root\":\"01", "\"root\":\"02" },
					   { "\"origin\":\"example", "\"origin\":\"exemple" }, { "\\n9\\n", "\\n8\\n" } };
	for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
		text = replaced(good, changes[i][0], changes[i][1]);
		assert_int_equal(seen(&s, &key, text), -EBADMSG);
		free(text);
	}
	for (size_t n = 1; n < strlen(good); n++) {
		struct error_text err = { 0 };

		assert_int_equal(om_seen_read(&s, good, n, &key, 1, &err), -EBADMSG);
	}
	om_seen_done(&s);
	assert_int_equal(seen(&s, &key, good), 0);
	om_seen_done(&s);
	free(good);
}

static void a_log_is_compared_with_all_that_was_seen(void **state)
{
	struct place *p = *state, other;
	struct om_seen s = { .count = 0 };
	struct error_text err = { 0 };
	struct om_ledger_growth g = { .ledger = p->l };
	uint64_t size, n;

	for (int i = 0; i < 3; i++) {
		char *note = NULL, *event;

		append(p, 2);
		assert_int_equal(advance(p, &size), 0);
		assert_int_equal(om_checkpoint_find(p->l, ORIGIN, UINT64_MAX >> 1, &note), 0);
		event = om_checkpoint_event(note, "/opmeter/x", NOW);
		assert_int_equal(seen(&s, &p->key, event), 0);
		free(note);
		free(event);
	}
	assert_int_equal(om_seen_compare_log(&s, ORIGIN, &g, &n, &err), 0);
	assert_int_equal(n, 3);
	open_other(p, "fork", &other);
	append(&other, 3);
	g = (struct om_ledger_growth){ .ledger = other.l };
	assert_int_equal(om_seen_compare_log(&s, ORIGIN, &g, &n, &err), -EUCLEAN);
	g = (struct om_ledger_growth){ .ledger = other.l };
	om_seen_done(&s);
	om_ledger_free(other.l);
}

int main(void)
{
#define WITH_PLACE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		WITH_PLACE(what_is_new_is_signed_once),
		WITH_PLACE(what_a_crash_held_back_goes_out),
		WITH_PLACE(only_what_grows_is_signed),
		WITH_PLACE(without_the_memory_nothing_is_signed),
		WITH_PLACE(keys_that_are_in_use_are_not_waited_for),
		WITH_PLACE(roots_are_those_of_the_ledger),
		cmocka_unit_test(heads_are_read_and_compared),
		cmocka_unit_test(a_key_speaks_for_its_own_log),
		cmocka_unit_test(a_damaged_line_hides_no_fork),
		cmocka_unit_test(an_alert_shows_a_fork),
		cmocka_unit_test(what_is_no_checkpoint_is_refused),
		WITH_PLACE(a_log_is_compared_with_all_that_was_seen),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
