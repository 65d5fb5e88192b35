// SPDX-License-Identifier: Apache-2.0
/* A log's checkpoints as records and events, its keys, and the one spelling of a bundle's tar. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <cmocka.h>
#include <jansson.h>
#include <sodium/core.h>

#include "userspace/core/bundle.h"
#include "userspace/core/case_gather.h"
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

	assert_int_equal(om_checkpoint_find(p->l, NULL, UINT64_MAX, &found), 0);
	assert_null(found);
	append(p, "{}");
	assert_int_equal(sign(p, NOW, &note), 0);
	assert_int_equal(om_checkpoint_find(p->l, NULL, 1, &found), 0);
	assert_string_equal(found, note);
	free(found);
	found = NULL;
	assert_int_equal(om_checkpoint_find(p->l, NULL, 0, &found), 0);
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

/* --- cases --- */

static const char finding[] =
	"{\"specversion\":\"1.0\",\"id\":\"00112233445566778899aabbccddeeff\",\"source\":\"/opmeter/n1\","
	"\"type\":\"opmeter.case.v1\",\"subject\":\"cirrus\",\"time\":\"2026-11-23T00:00:00Z\",\"data\":{"
	"\"regime\":\"r\",\"version\":\"1\",\"sentence\":\"s\",\"case\":\"case-001122334455\",\"tenant\":\"cirrus\"}}";
static const struct om_actor alice = { .by = "alice", .uid = 1, .now_ns = NOW };

static struct om_case_store *with_case(struct place *p, const struct om_case **ret)
{
	struct om_case_store *s = NULL;
	struct error_text err = { 0 };
	char id[OM_CASE_ID_STRLEN];

	assert_int_equal(om_case_store_load(p->l, &s, &err), 0);
	assert_true(om_case_take(s, finding, strlen(finding), &alice, id, &err) >= 0);
	*ret = om_case_store_find(s, id);
	return s;
}

static struct om_ledger *node(const struct place *p, unsigned n)
{
	struct om_ledger *l = NULL;
	char dir[100];

	snprintf(dir, sizeof(dir), "%s/n%u", p->dir, n);
	assert_int_equal(om_ledger_open(dir, OM_LEDGER_CREATE | OM_LEDGER_KEEP, NOW, &l, NULL), 0);
	return l;
}

static void alert(struct om_ledger *l, const char *text)
{
	assert_int_equal(om_ledger_append(l, OM_ENTRY_ALERT, NULL, text, strlen(text), NOW, NULL), 0);
}

static struct om_gathered gather(struct om_case_store *s, const struct om_case *c, struct om_ledger *l)
{
	struct om_gathered g;
	struct error_text err = { 0 };

	assert_int_equal(om_case_gather(s, c, l, &alice, &g, &err), 0);
	return g;
}

static void what_came_after_the_checkpoint_is_gathered_too(void **state)
{
	struct place *p = *state, other = *p;
	uint8_t seed[32] = { 3 };
	struct om_gathered g;
	struct om_note_key key;
	const struct om_case *c;
	struct om_case_store *s = with_case(p, &c);
	char *note;

	snprintf(other.keys, sizeof(other.keys), "%s/nk", p->dir);
	assert_int_equal(om_signer_make(other.keys, "example.org/node", seed, NOW, 0, &key, NULL), 0);
	other.l = node(p, 0);
	alert(other.l, "{\"subject\":\"cirrus\"}");
	assert_int_equal(sign(&other, NOW, &note), 0);
	alert(other.l, "{\"subject\":\"nimbus\"}"); /* nobody wants it */
	g = gather(s, c, other.l);
	assert_true(g.is_signed);
	assert_int_equal(g.alerts, 1);
	alert(other.l, "{\"subject\":\"cirrus/lm\"}");
	assert_int_equal(om_ledger_append(other.l, OM_ENTRY_NODE, NULL, "{}", 2, NOW, NULL), 0);
	g = gather(s, c, other.l);
	assert_false(g.is_signed);
	assert_int_equal(g.alerts, 1);
	assert_int_equal(g.others, 1);
	assert_int_equal(g.known, 1);
	free(note);
	om_ledger_free(other.l);
	om_case_store_free(s);
}

static int seal(struct place *p, const struct om_case *c, struct om_bundle_report *report, struct error_text *err)
{
	uint8_t *data = NULL, seed[32] = { 1 };
	struct om_note_key key;
	size_t len;
	int r = om_bundle_make(p->l, c, p->keys, &alice, &data, &len, err);

	if (r) {
		assert_null(data);
		return r;
	}
	om_note_key_make(ORIGIN, seed, &key);
	assert_int_equal(om_bundle_check(data, len, &key, 1, report, err), 0);
	free(data);
	return 0;
}

static void a_bundle_grows_from_its_own_origin(void **state)
{
	struct place *p = *state, other = *p;
	static struct om_bundle_report report;
	struct error_text err = { 0 };
	uint8_t seed[32] = { 3 };
	struct om_note_key key;
	const struct om_case *c;
	struct om_case_store *s = with_case(p, &c);
	uint64_t first;
	char *note;

	snprintf(other.keys, sizeof(other.keys), "%s/ok", p->dir);
	assert_int_equal(om_signer_make(other.keys, "another.example/log", seed, NOW, 0, &key, NULL), 0);
	assert_int_equal(sign(&other, NOW, &note), 0);
	free(note);
	assert_int_equal(seal(p, c, &report, &err), 0);
	assert_int_equal(report.previous, 0);
	first = report.size;
	assert_int_equal(sign(&other, NOW, &note), 0);
	free(note);
	assert_int_equal(seal(p, c, &report, &err), 0);
	assert_int_equal(report.previous, first);
	assert_true(report.previous_is_signed);
	om_case_store_free(s);
}

static void what_cannot_be_verified_is_not_sealed(void **state)
{
	static const char forged[] = "{\"v\":1,\"case\":\"case-001122334455\",\"n\":1,\"act\":\"confirm\",\"by\":\"eve\",\"uid\":1,"
				     "\"at\":\"2026-11-23T00:00:00Z\",\"rationale\":\"me\"}";
	static struct om_bundle_report report;
	struct place *p = *state;
	struct error_text err = { 0 };
	const struct om_case *c;
	struct om_case_store *s = with_case(p, &c);

	append(p, forged);
	assert_int_equal(seal(p, c, &report, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "nothing is sealed"));
	assert_non_null(strstr(err.text, "against the rules of a case"));
	om_case_store_free(s);
}

static void no_bundle_is_larger_than_verifiers_read(void **state)
{
	static struct om_bundle_report report;
	struct error_text err = { 0 };
	struct om_note_key key;
	uint8_t seed[32] = { 1 };
	size_t len = (size_t)OM_BUNDLE_MAX + 1;
	uint8_t *data = mmap(NULL, len, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	assert_true(data != MAP_FAILED);
	om_note_key_make(ORIGIN, seed, &key);
	assert_int_equal(om_bundle_check(data, len, &key, 1, &report, &err), -EFBIG);
	munmap(data, len);
}

/* A checkpoint that says it is signed by the key given, and is not. */
static void sign_wrongly(struct place *p, struct om_ledger *l)
{
	uint8_t seed[32] = { 1 };
	struct place other = { .l = l };
	struct om_note_key key;
	json_t *act;
	char *note, *text;

	snprintf(other.keys, sizeof(other.keys), "%s/wk", p->dir);
	assert_int_equal(om_signer_make(other.keys, ORIGIN, seed, NOW, 0, &key, NULL), 0);
	assert_int_equal(sign(&other, NOW, &note), 0);
	text = note + strlen(note) - 10; /* within the signature */
	*text = *text == 'A' ? 'B' : 'A';
	act = json_pack("{s:i,s:s,s:s}", "v", 1, "act", "checkpoint", "checkpoint", note);
	text = json_dumps(act, JSON_COMPACT);
	append(&other, text);
	free(text);
	free(note);
	json_decref(act);
}

static void gather_nodes(struct place *p, struct om_case_store *s, const struct om_case *c, unsigned from, unsigned to)
{
	for (unsigned i = from; i < to; i++) {
		struct om_ledger *l = node(p, i);

		alert(l, "{\"subject\":\"cirrus\"}");
		assert_int_equal(gather(s, c, l).alerts, 1);
		om_ledger_free(l);
	}
}

static void every_node_is_verified_and_told(void **state)
{
	static struct om_bundle_report report;
	struct place *p = *state;
	struct error_text err = { 0 }, full = { 0 };
	const struct om_case *c;
	struct om_case_store *s = with_case(p, &c);

	gather_nodes(p, s, c, 0, OM_BUNDLE_NODES_MAX);
	assert_int_equal(seal(p, c, &report, &err), 0);
	assert_int_equal(report.nodes, OM_BUNDLE_NODES_MAX);
	gather_nodes(p, s, c, OM_BUNDLE_NODES_MAX, OM_BUNDLE_NODES_MAX + 1);
	assert_int_equal(seal(p, c, &report, &full), -E2BIG);
	assert_non_null(strstr(full.text, "evidence of more than"));
	om_case_store_free(s);
}

static void a_wrong_signature_is_found_past_the_last_place(void **state)
{
	static struct om_bundle_report report;
	struct place *p = *state;
	struct error_text err = { 0 };
	const struct om_case *c;
	struct om_case_store *s = with_case(p, &c);
	struct om_ledger *l;

	gather_nodes(p, s, c, 0, OM_BUNDLE_NODES_MAX);
	l = node(p, OM_BUNDLE_NODES_MAX);
	alert(l, "{\"subject\":\"cirrus\"}");
	sign_wrongly(p, l);
	assert_true(gather(s, c, l).is_signed);
	assert_int_equal(seal(p, c, &report, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "the node's checkpoint is wrong"));
	om_ledger_free(l);
	om_case_store_free(s);
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
		PLACE_TEST(what_came_after_the_checkpoint_is_gathered_too),
		PLACE_TEST(a_bundle_grows_from_its_own_origin),
		PLACE_TEST(what_cannot_be_verified_is_not_sealed),
		cmocka_unit_test(no_bundle_is_larger_than_verifiers_read),
		PLACE_TEST(every_node_is_verified_and_told),
		PLACE_TEST(a_wrong_signature_is_found_past_the_last_place),
	};

	if (sodium_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
