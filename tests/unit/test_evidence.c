// SPDX-License-Identifier: Apache-2.0
/* A log's checkpoints as records and events, its keys, and the one spelling of a bundle's tar. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium/core.h>

#include "userspace/core/checkpoint.h"
#include "userspace/core/evidence_key.h"
#include "userspace/core/evidence_tar.h"
#include "userspace/core/ledger_evidence.h"

#define NOW (UINT64_C(20780) * 86400 * 1000000000)
#define HOUR UINT64_C(3600000000000)
#define ORIGIN "example.org/log"

struct place {
	char dir[64], keys[80];
	struct om_ledger *l;
};

static int set_up(void **state)
{
	struct place *p = calloc(1, sizeof(*p));
	uint8_t seed[32] = { 1 };
	struct om_note_key key;

	strcpy(p->dir, "/tmp/opmeter-evidence-XXXXXX");
	assert_non_null(mkdtemp(p->dir));
	snprintf(p->keys, sizeof(p->keys), "%s/keys", p->dir);
	assert_int_equal(om_ledger_open(p->dir, OM_LEDGER_CREATE | OM_LEDGER_KEEP, NOW, &p->l, NULL), 0);
	assert_int_equal(om_signer_make(p->keys, ORIGIN, seed, NOW, 0, &key, NULL), 0);
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

static void append(struct place *p, const char *text)
{
	assert_int_equal(om_ledger_append(p->l, OM_ENTRY_ACT, NULL, text, strlen(text), NOW, NULL), 0);
}

static int sign(struct place *p, uint64_t now, char **ret)
{
	struct error_text err = { 0 };
	int r = om_checkpoint_make(p->l, p->keys, now, NULL, ret, &err);

	assert_true(r == 0 || err.text[0]);
	return r;
}

static void a_checkpoint_is_recorded_found_and_told(void **state)
{
	struct place *p = *state;
	char *note, *found = NULL, *event;
	json_t *o;

	assert_int_equal(om_checkpoint_find(p->l, UINT64_MAX, &found), 0);
	assert_null(found);
	append(p, "{}");
	assert_int_equal(sign(p, NOW, &note), 0);
	assert_int_equal(om_checkpoint_find(p->l, 1, &found), 0);
	assert_string_equal(found, note);
	free(found);
	found = NULL;
	assert_int_equal(om_checkpoint_find(p->l, 0, &found), 0);
	assert_null(found);
	event = om_checkpoint_event(note, "/opmeter/x", NOW);
	o = json_loads(event, 0, NULL);
	assert_string_equal(json_string_value(json_object_get(o, "type")), "opmeter.checkpoint.v1");
	assert_string_equal(json_string_value(json_object_get(o, "subject")), ORIGIN);
	assert_int_equal(strlen(json_string_value(json_object_get(o, "id"))), 32);
	assert_string_equal(json_string_value(json_object_get(json_object_get(o, "data"), "size")), "1");
	assert_string_equal(json_string_value(json_object_get(json_object_get(o, "data"), "checkpoint")), note);
	assert_null(om_checkpoint_event("not a note", "/opmeter/x", NOW));
	json_decref(o);
	free(event);
	free(note);
}

static size_t signatures(const char *note)
{
	struct om_note n;

	assert_int_equal(om_note_parse(note, strlen(note), &n), 0);
	return n.signatures;
}

static void keys_overlap_and_end(void **state)
{
	struct place *p = *state;
	uint8_t seed[32] = { 2 };
	struct om_note_key key;
	char *note;

	append(p, "{}");
	assert_int_equal(om_signer_make(p->keys, "another", seed, NOW, HOUR, &key, NULL), -EEXIST);
	assert_int_equal(om_signer_make(p->keys, ORIGIN, seed, NOW, HOUR, &key, NULL), 0);
	assert_int_equal(sign(p, NOW + HOUR - 1, &note), 0);
	assert_int_equal(signatures(note), 2);
	free(note);
	assert_int_equal(sign(p, NOW + HOUR, &note), 0);
	assert_int_equal(signatures(note), 1);
	free(note);
	/* Before any of them is in force there is nothing to sign with. */
	assert_int_equal(sign(p, NOW - 1, &note), -ENOKEY);
}

static void what_others_can_read_is_not_used(void **state)
{
	struct place *p = *state;
	char *note;

	append(p, "{}");
	assert_int_equal(chmod(p->keys, 0750), 0);
	assert_int_equal(sign(p, NOW, &note), -EPERM);
	assert_int_equal(chmod(p->keys, 0700), 0);
	assert_int_equal(sign(p, NOW, &note), 0);
	free(note);
}

static void a_log_that_does_not_grow_is_not_signed(void **state)
{
	struct place *p = *state, other = { 0 };
	char *note;

	append(p, "{}");
	append(p, "{}");
	assert_int_equal(sign(p, NOW, &note), 0);
	free(note);
	snprintf(other.dir, sizeof(other.dir), "%.50s/o", p->dir);
	strcpy(other.keys, p->keys);
	assert_int_equal(om_ledger_open(other.dir, OM_LEDGER_CREATE, NOW, &other.l, NULL), 0);
	append(&other, "{}");
	assert_int_equal(sign(&other, NOW, &note), -ESTALE);
	append(&other, "{}");
	assert_int_equal(sign(&other, NOW, &note), -EUCLEAN);
	append(&other, "{}");
	append(&other, "{}");
	assert_int_equal(sign(&other, NOW, &note), -EUCLEAN);
	om_ledger_free(other.l);
	assert_int_equal(sign(p, NOW, &note), 0);
	free(note);
}

static void a_tar_has_one_spelling(void **state)
{
	static const char *const bad[] = { "", "/a", "a/", "a//b", "../a", "a/../b", ".a", "a/.b", "a b", "a\\b", "a..b" };
	struct om_tar_files f = { .owns = 1 }, back;
	uint8_t *data;
	size_t len;

	assert_int_equal(om_tar_add(&f, "one.txt", strdup("1"), 1), 0);
	assert_int_equal(om_tar_add(&f, "d/two", calloc(1, 513), 513), 0);
	assert_int_equal(om_tar_add(&f, "empty", calloc(1, 1), 0), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(om_tar_add(&f, bad[i], strdup("x"), 1), -EINVAL);
	assert_int_equal(om_tar_write(&f, &data, &len), 0);
	assert_int_equal(len, 512 * (2 + 3 + 1 + 2));
	assert_int_equal(om_tar_read(data, len, &back), 0);
	assert_int_equal(back.count, 3);
	assert_int_equal(om_tar_find(&back, "d/two")->len, 513);
	om_tar_files_done(&back);
	for (size_t i = 0; i < len; i++) {
		bool is_content = i == 512 || (i >= 512 * 3 && i < 512 * 3 + 513);

		data[i] ^= 1;
		if (om_tar_read(data, len, &back) == 0) {
			om_tar_files_done(&back);

			assert_true(is_content);
		} else {
			assert_false(is_content);
		}
		data[i] ^= 1;
		assert_int_equal(om_tar_read(data, i, &back), -EBADMSG);
	}
	free(data);
	om_tar_files_done(&f);
}

int main(void)
{
#define PLACE_TEST(t) cmocka_unit_test_setup_teardown(t, set_up, tear_down)
	static const struct CMUnitTest tests[] = {
		PLACE_TEST(a_checkpoint_is_recorded_found_and_told),
		PLACE_TEST(keys_overlap_and_end),
		PLACE_TEST(what_others_can_read_is_not_used),
		PLACE_TEST(a_log_that_does_not_grow_is_not_signed),
		cmocka_unit_test(a_tar_has_one_spelling),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
