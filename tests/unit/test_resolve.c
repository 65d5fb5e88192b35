// SPDX-License-Identifier: Apache-2.0
/* What schedulers answer, read; and askings that end well, late, badly or never. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/agent/resolve_internal.h"

#define UID "6f0c2f3e-7a55-4c8e-9d0e-0a1b2c3d4e5f"
#define UID2 "6f0c2f3e-7a55-4c8e-9d0e-0a1b2c3d4e60"
#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define SECOND 1000000000ULL

static const char rules_text[] = "trust: [namespace-label/opmeter.example/tenant, namespace, slurm-account]\n"
				 "tenant:\n"
				 "  - from: namespace-label/opmeter.example/tenant\n"
				 "  - from: namespace\n"
				 "  - from: slurm-account\n"
				 "model: [{from: pod-annotation/model}, {from: pod-label/model}]\n"
				 "kubernetes: {api: \"https://127.0.0.1:1\", node: n1}\nslurm: {}\n"
				 "refresh-s: 100\n";

static struct om_identity_rules *rules(void)
{
	struct om_identity_rules *r = NULL;
	struct error_text err = { 0 };

	if (om_identity_parse("r.yaml", rules_text, strlen(rules_text), &r, &err))
		fail_msg("%s", err.text);
	return r;
}

/* --- pods --- */

struct seen {
	size_t count;
	char text[4096];
};

static int see(void *ctx, struct resolve_pod *p)
{
	struct seen *s = ctx;
	size_t n = strlen(s->text);

	s->count++;
	n += (size_t)snprintf(s->text + n, sizeof(s->text) - n, "[%s %s %s %s %d", p->uid, p->hash,
			      p->namespace, p->node, p->is_of_node);
	for (size_t i = 0; i < p->facts.count; i++)
		n += (size_t)snprintf(s->text + n, sizeof(s->text) - n, " %s=%s", p->facts.item[i].name,
				      p->facts.item[i].value);
	snprintf(s->text + n, sizeof(s->text) - n, "]");
	return 0;
}

static int pods(const char *text, struct seen *s)
{
	struct om_identity_rules *r = rules();
	struct error_text err = { 0 };
	int rc;

	*s = (struct seen){ 0 };
	rc = resolve_pods_parse(text, strlen(text), r, see, s, &err);
	om_identity_free(r);
	return rc;
}

static void a_pod_list_is_read(void **state)
{
	struct seen s;

	assert_int_equal(pods("{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":"
			      "\"7\"},\"items\":["
			      "{\"metadata\":{\"name\":\"train-0\",\"namespace\":\"team-a\",\"uid\":\"" UID
			      "\",\"labels\":{\"app\":\"x\",\"model\":\"m1\"},"
			      "\"annotations\":{\"model\":\"m2\",\"long\":\"y\",\"kubernetes.io/"
			      "config.hash\":\"abc\"},"
			      "\"ownerReferences\":[{\"kind\":\"Other\",\"name\":\"o\"},{\"apiVersion\":"
			      "\"batch/v1\",\"kind\":\"Job\","
			      "\"name\":\"train\",\"controller\":true}],\"managedFields\":[{\"fieldsV1\":{"
			      "\"f:a\":{}}}]},"
			      "\"spec\":{\"nodeName\":\"n1\",\"serviceAccountName\":\"sa\",\"containers\":[{"
			      "\"name\":\"c\"}]},"
			      "\"status\":{\"phase\":\"Running\"}},"
			      "{\"metadata\":{\"uid\":\"" UID2 "\",\"namespace\":\"b\",\"labels\":null}},"
			      "{\"metadata\":{\"name\":\"no-uid\",\"namespace\":\"b\"}},17,null]}",
			      &s),
			 0);
	assert_int_equal(s.count, 2);
	assert_string_equal(
		s.text,
		"[" UID " abc team-a n1 0 pod=train-0 namespace=team-a pod-label/app=x pod-label/model=m1 "
		"pod-annotation/model=m2 pod-owner=Job/train service-account=sa]"
		"[" UID2 "  b  0 namespace=b]");
	assert_int_equal(pods("{\"kind\":\"PodList\",\"items\":[]}", &s), 0);
	assert_int_equal(s.count, 0);
	/* The order of fields is nobody's promise. */
	assert_int_equal(pods("{\"items\":[{\"spec\":{\"nodeName\":\"n1\"},\"metadata\":{\"namespace\":\"b\","
			      "\"uid\":\"" UID "\"}}],\"kind\":\"PodList\"}",
			      &s),
			 0);
	assert_int_equal(s.count, 1);
}

static void answers_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",
		"<html>502 Bad Gateway</html>",
		"{\"kind\":\"Status\",\"status\":\"Failure\"}",
		"{\"kind\":\"PodList\"}",
		"{\"kind\":\"NodeList\",\"items\":[]}",
		"[]",
		"null",
		"\"PodList\"",
		"{\"kind\":\"PodList\",\"items\":[{\"metadata\":{\"uid\":\"" UID,
		"{\"kind\":\"PodList\",\"items\":[{\"metadata\":{\"uid\"}}]}",
		"{\"kind\":\"PodList\",\"items\":[]}{}",
		"{\"kind\":\"PodList\",\"items\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["
		"[[[[[[[[[[[[",
	};
	struct seen s;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (pods(bad[i], &s) != -EBADMSG)
			fail_msg("taken: %s", bad[i]);
	/* A uid that is too long is none: cut it would be another's. */
	assert_int_equal(
		pods("{\"kind\":\"PodList\",\"items\":[{\"metadata\":{\"namespace\":\"b\",\"uid\":\"" UID UID
		     "\"}}]}",
		     &s),
		0);
	assert_int_equal(s.count, 0);
}

static void a_namespace_is_read(void **state)
{
	static const char text[] =
		"{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"team-a\",\"labels\":{"
		"\"opmeter.example/tenant\":\"acme\",\"x\":\"y\",\"n\":7},\"annotations\":{\"z\":\"1\"}}}";
	struct om_identity_rules *r = rules();
	struct om_facts f = { 0 };
	struct error_text err = { 0 };

	assert_int_equal(resolve_namespace_parse(text, strlen(text), "team-a", r, &f, &err), 0);
	assert_int_equal(f.count, 2);
	assert_string_equal(om_facts_get(&f, "namespace-label/opmeter.example/tenant"), "acme");
	om_facts_done(&f);
	/* Another one's labels would name another tenant. */
	assert_int_equal(resolve_namespace_parse(text, strlen(text), "team-b", r, &f, &err), -EBADMSG);
	om_facts_done(&f);
	assert_int_equal(resolve_namespace_parse("{}", 2, "team-b", r, &f, &err), -EBADMSG);
	om_facts_done(&f);
	om_identity_free(r);
}

static void many_labels_leave_room_for_those_that_rules_name(void **state)
{
	char *text = malloc(1 << 16);
	struct om_identity_rules *r = rules();
	struct om_facts f = { 0 };
	struct error_text err = { 0 };
	int n = sprintf(text, "{\"kind\":\"Namespace\",\"metadata\":{\"name\":\"a\",\"labels\":{");

	for (int i = 0; i < 500; i++)
		n += sprintf(text + n, "\"l%d\":\"v\",", i);
	n += sprintf(text + n, "\"opmeter.example/tenant\":\"acme\"}}}");
	assert_int_equal(resolve_namespace_parse(text, (size_t)n, "a", r, &f, &err), 0);
	assert_string_equal(om_facts_get(&f, "namespace-label/opmeter.example/tenant"), "acme");
	assert_int_equal(f.count, OM_FACTS_MAX / 2 + 1);
	assert_int_equal(f.cut, 500 - OM_FACTS_MAX / 2);
	om_facts_done(&f);
	om_identity_free(r);
	free(text);
}

/* --- Docker, Slurm --- */

static void a_container_is_read(void **state)
{
	static const char text[] =
		"{\"Id\":\"" ID "\",\"Name\":\"/web\",\"Config\":{\"Image\":\"img:1\",\"Labels\":{"
		"\"tenant\":\"evil\",\"n\":1}}}";
	struct om_identity_rules *r = rules();
	struct om_facts f = { 0 };
	struct error_text err = { 0 };
	static const char *const bad[] = { "",
					   "[]",
					   "{}",
					   "{\"Id\":7}",
					   "{\"Id\":\"0123\"}",
					   "{\"message\":\"No such container\"}",
					   "{\"Id\":\"" ID };

	assert_int_equal(resolve_docker_parse(text, strlen(text), ID, r, &f, &err), 0);
	assert_int_equal(f.count, 3);
	assert_string_equal(om_facts_get(&f, "container-name"), "web");
	assert_string_equal(om_facts_get(&f, "container-label/tenant"), "evil");
	om_facts_done(&f);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(resolve_docker_parse(bad[i], strlen(bad[i]), ID, r, &f, &err), -EBADMSG);
	assert_int_equal(f.count, 0);
	om_identity_free(r);
}

static void lines_of_squeue(void **state)
{
	struct om_facts f = { 0 };
	char v[16];

	/* An array's tasks come together; a name with line breaks names nobody else's job. */
	assert_true(resolve_slurm_line("18 other\n17 acme\n17 evil\n", "17", v, sizeof(v)));
	assert_string_equal(v, "acme");
	assert_true(resolve_slurm_line("17 a very long name of a job\n", "17", v, sizeof(v)));
	assert_int_equal(strlen(v), sizeof(v) - 1);
	assert_false(resolve_slurm_line("17 (null)\n", "17", v, sizeof(v)));
	assert_false(resolve_slurm_line("170 acme\n 17 acme\n17\n17 \n", "17", v, sizeof(v)));
	assert_false(resolve_slurm_line("", "17", v, sizeof(v)));
	assert_int_equal(resolve_slurm_who("1000 jane gpu", &f), 0);
	assert_string_equal(om_facts_get(&f, "slurm-user"), "jane");
	assert_string_equal(om_facts_get(&f, "slurm-partition"), "gpu");
	om_facts_done(&f);
	assert_int_equal(resolve_slurm_who("1000 jane", &f), -EBADMSG);
	om_facts_done(&f);
	assert_int_equal(resolve_slurm_who("jane 1000 gpu", &f), -EBADMSG);
	assert_int_equal(resolve_slurm_who("1000 jane gpu root", &f), -EBADMSG);
	om_facts_done(&f);
}

/* --- lines between child and agent --- */

static void lines_survive_and_forgeries_do_not(void **state)
{
	static const char *const bad[] = { "",
					   "x",
					   "[]",
					   "{}",
					   "{\"key\":\"a\"}",
					   "{\"key\":7,\"facts\":{},\"cut\":0}",
					   "{\"key\":\"a\",\"facts\":{\"pod\":1},\"cut\":0}",
					   "{\"key\":\"a\",\"facts\":{\"colour\":\"red\"},\"cut\":0}",
					   "{\"key\":\"a\",\"facts\":{},\"cut\":-1}",
					   "{\"end\":\"fine\",\"why\":\"\"}",
					   "{\"end\":\"answered\"}" };
	struct om_facts f = { 0 }, g = { 0 };
	char key[RESOLVE_KEY_MAX], why[256], *line;
	enum resolve_end end;

	om_facts_add(&f, "pod", "a\"b\n\x1b\xff");
	om_facts_add(&f, "pod-label/x", "\xc3\xa4");
	f.cut = 3;
	line = resolve_line_fact(UID, &f);
	assert_int_equal(resolve_line_read(line, strlen(line), key, &g, &end, why), 0);
	assert_null(strchr(line, '\n'));
	free(line);
	assert_string_equal(key, UID);
	assert_string_equal(om_facts_get(&g, "pod"), "a\"b\\x0a\\x1b\\xff");
	assert_string_equal(om_facts_get(&g, "pod-label/x"), "\xc3\xa4");
	assert_int_equal(g.cut, 3);
	om_facts_done(&f);
	om_facts_done(&g);
	line = resolve_line_end(RESOLVE_REFUSED, "HTTP 403\x1b");
	assert_int_equal(resolve_line_read(line, strlen(line), key, &g, &end, why), 1);
	free(line);
	assert_int_equal(end, RESOLVE_REFUSED);
	assert_string_equal(why, "HTTP 403\\x5cx1b");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(resolve_line_read(bad[i], strlen(bad[i]), key, &g, &end, why), -EBADMSG);
		om_facts_done(&g);
	}
}

/* --- askings: the verb's place is taken by a shell script, for what a child can do --- */

struct world {
	char dir[64], program[128], rules[128];
	struct resolve *r;
	uint64_t now;
	size_t answers;
	char tenant[64], evidence[512];
	bool is_first;
	int fails;
};

static int on_answer(void *ctx, const struct resolve_answer *a)
{
	struct world *w = ctx;

	if (w->fails) {
		w->fails--;
		return -ENOSPC;
	}
	w->answers++;
	w->is_first = a->is_first;
	strcpy(w->tenant, a->identity->tenant);
	strcpy(w->evidence, a->identity->tenant_evidence);
	return 0;
}

static void program_is(struct world *w, const char *script)
{
	FILE *f = fopen(w->program, "w");

	assert_non_null(f);
	fprintf(f, "#!/bin/sh\n%s\n", script);
	fclose(f);
	assert_int_equal(chmod(w->program, 0755), 0);
}

static void world_begin(struct world *w, uint64_t limit_ns)
{
	struct resolve_config c = { .limit_ns = limit_ns };
	struct error_text err = { 0 };
	FILE *f;

	*w = (struct world){ .now = 1000 * SECOND };
	strcpy(w->dir, "/tmp/opmeter-test-resolve-XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->program, sizeof(w->program), "%s/program", w->dir);
	snprintf(w->rules, sizeof(w->rules), "%s/rules.yaml", w->dir);
	f = fopen(w->rules, "w");
	fputs(rules_text, f);
	fclose(f);
	c.rules_path = w->rules;
	c.program = w->program;
	if (resolve_open(&c, &w->r, &err))
		fail_msg("%s", err.text);
}

static void world_end(struct world *w)
{
	resolve_free(w->r);
	unlink(w->program);
	unlink(w->rules);
	rmdir(w->dir);
}

static void want(struct world *w, uint8_t id, const char *path)
{
	struct resolve_wish wish = {
		.job = { { id } }, .cgroup_id = id, .first_seen_ns = 5, .path = path, .wants_tenant = true
	};

	assert_int_equal(resolve_want(w->r, &wish, w->now), 0);
}

/* Steps until the asking that runs, or that begins now, has ended. */
static void until_ended(struct world *w, enum resolve_source s)
{
	struct resolve_totals t, before;
	uint64_t sum = 0, sum_before = 0;

	resolve_get_totals(w->r, &before);
	for (int i = 0; i < 4000 && sum == sum_before; i++) {
		assert_int_equal(resolve_step(w->r, w->now, on_answer, w), 0);
		resolve_get_totals(w->r, &t);
		sum = sum_before = 0;
		for (int e = 0; e < RESOLVE_ENDS; e++) {
			sum += t.ends[s][e];
			sum_before += before.ends[s][e];
		}
		usleep(5000);
	}
	assert_true(sum > sum_before);
}

static struct resolve_totals totals(const struct world *w)
{
	struct resolve_totals t;

	resolve_get_totals(w->r, &t);
	return t;
}

#define POD_PATH "/kubepods/burstable/pod" UID "/" ID
#define SAYS_POD                                                                                             \
	"echo '{\"key\":\"" UID                                                                              \
	"\",\"facts\":{\"namespace\":\"team-a\",\"pod-label/tenant\":\"evil\"},\"cut\":0}'\n"
#define SAYS_END "echo '{\"end\":\"answered\",\"why\":\"\"}'\n"

static void an_answer_comes_late(void **state)
{
	struct world w;

	world_begin(&w, 0);
	program_is(&w, "test \"$1 $2 $4\" = 'identity-resolver kubernetes " UID "' || exit 1\n"
		       "echo '{\"end\":\"refused\",\"why\":\"HTTP 403\"}'\n");
	want(&w, 1, POD_PATH);
	want(&w, 1, POD_PATH); /* again: nothing new */
	want(&w, 2, POD_PATH); /* another container of the pod: one key */
	want(&w, 3, "/user.slice");
	until_ended(&w, RESOLVE_KUBERNETES);
	assert_int_equal(totals(&w).ends[RESOLVE_KUBERNETES][RESOLVE_REFUSED], 1);
	assert_int_equal(totals(&w).jobs[RESOLVE_KUBERNETES][RESOLVE_WAITING], 2);
	assert_int_equal(totals(&w).unasked, 1);
	assert_true(totals(&w).is_down[RESOLVE_KUBERNETES]);
	assert_string_equal(totals(&w).why[RESOLVE_KUBERNETES], "HTTP 403");
	/* Not before its pause is over. */
	program_is(&w, SAYS_POD SAYS_END);
	resolve_step(w.r, w.now + SECOND, on_answer, &w);
	assert_int_equal(w.answers, 0);
	w.now += 3 * SECOND;
	until_ended(&w, RESOLVE_KUBERNETES);
	assert_int_equal(w.answers, 2);
	assert_string_equal(w.tenant, "team-a");
	assert_true(w.is_first);
	assert_non_null(strstr(w.evidence, "claims: pod-label/tenant=evil"));
	assert_int_equal(totals(&w).jobs[RESOLVE_KUBERNETES][RESOLVE_NAMED], 2);
	assert_false(totals(&w).is_down[RESOLVE_KUBERNETES]);
	/* Asked again at the refresh, not before; what changed is told. */
	w.now += 50 * SECOND;
	resolve_step(w.r, w.now, on_answer, &w);
	assert_int_equal(w.answers, 2);
	program_is(&w,
		   "echo '{\"key\":\"" UID "\",\"facts\":{\"namespace\":\"team-b\"},\"cut\":0}'\n" SAYS_END);
	w.now += 51 * SECOND;
	until_ended(&w, RESOLVE_KUBERNETES);
	assert_int_equal(w.answers, 4);
	assert_string_equal(w.tenant, "team-b");
	assert_false(w.is_first);
	world_end(&w);
}

/* What is on disk by then may be others: then facts would be missing that the agent's rules name. */
static void a_child_has_the_rules_that_are_applied(void **state)
{
	struct world w;
	FILE *f;

	world_begin(&w, 0);
	f = fopen(w.rules, "w");
	fputs("trust: []\n", f);
	fclose(f);
	program_is(&w, "grep -q 'refresh-s: 100' $3 || exit 1\n" SAYS_POD SAYS_END);
	want(&w, 1, POD_PATH);
	until_ended(&w, RESOLVE_KUBERNETES);
	assert_int_equal(w.answers, 1);
	world_end(&w);
}

static const struct {
	const char *script;
	enum resolve_end end;
} hostile[] = {
	{ "touch $0.on; sleep 600", RESOLVE_TIMEOUT },
	{ "touch $0.on; sleep 600 & sleep 600", RESOLVE_TIMEOUT },
	{ "exit 3", RESOLVE_BAD },
	{ "kill -SEGV $$", RESOLVE_BAD },
	/* No end, or not even the end's line: it was cut short. */
	{ SAYS_POD, RESOLVE_BAD },
	{ SAYS_POD "printf '{\"end\":\"answered\",\"why\":\"\"}'", RESOLVE_BAD },
	{ SAYS_POD "echo '{\"end\":\"bad\",\"why\":\"x\"}'", RESOLVE_BAD },
	{ "head -c 2000 /dev/urandom", RESOLVE_BAD },
	{ "exec cat /dev/zero", RESOLVE_TOO_LARGE },
	{ "yes '{\"key\":\"x\",\"facts\":{},\"cut\":0}'", RESOLVE_TOO_LARGE },
};

/* Time stands still until the child is there: only then may its time run out. */
static void let_hang(struct world *w)
{
	char on[160];

	snprintf(on, sizeof(on), "%s.on", w->program);
	for (int i = 0; i < 4000 && access(on, F_OK); i++) {
		resolve_step(w->r, w->now, on_answer, w);
		usleep(5000);
	}
	assert_int_equal(unlink(on), 0);
	w->now += SECOND;
}

static void an_asking_that_ends_badly_says_nothing(void **state)
{
	struct world w;

	world_begin(&w, SECOND / 2);
	want(&w, 1, POD_PATH);
	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++) {
		uint64_t before = totals(&w).ends[RESOLVE_KUBERNETES][hostile[i].end];

		program_is(&w, hostile[i].script);
		w.now += 400 * SECOND;
		if (hostile[i].end == RESOLVE_TIMEOUT)
			let_hang(&w);
		until_ended(&w, RESOLVE_KUBERNETES);
		if (totals(&w).ends[RESOLVE_KUBERNETES][hostile[i].end] != before + 1)
			fail_msg("'%s' did not end as %s", hostile[i].script,
				 resolve_end_name(hostile[i].end));
	}
	assert_int_equal(w.answers, 0);
	/* And then it answers. */
	program_is(&w, SAYS_POD SAYS_END);
	w.now += 400 * SECOND;
	until_ended(&w, RESOLVE_KUBERNETES);
	assert_int_equal(w.answers, 1);
	world_end(&w);
}

static int count_unknown(void *ctx, const struct om_id *job, enum resolve_source s, enum resolve_state state)
{
	(*(size_t *)ctx)++;
	return 0;
}

static void what_is_not_known_is_asked_for_again(void **state)
{
	struct world w;
	size_t unknown = 0;

	world_begin(&w, 0);
	program_is(&w, SAYS_END);
	want(&w, 1, POD_PATH);
	for (int i = 0; i < 5; i++) {
		until_ended(&w, RESOLVE_KUBERNETES);
		w.now += 400 * SECOND;
	}
	assert_int_equal(totals(&w).ends[RESOLVE_KUBERNETES][RESOLVE_ANSWERED], 5);
	assert_int_equal(totals(&w).jobs[RESOLVE_KUBERNETES][RESOLVE_WAITING], 1);
	assert_int_equal(resolve_each_unknown(w.r, w.now, 600 * SECOND, count_unknown, &unknown), 0);
	assert_int_equal(resolve_each_unknown(w.r, w.now, 600 * SECOND, count_unknown, &unknown), 0);
	assert_int_equal(unknown, 1); /* once */
	/* An answer about others is none; what could not be kept is asked for again. */
	program_is(&w, "echo '{\"key\":\"" UID2
		       "\",\"facts\":{\"namespace\":\"b\"},\"cut\":0}'\n" SAYS_POD SAYS_END);
	w.fails = 1;
	resolve_step(w.r, w.now, on_answer, &w);
	for (int i = 0; i < 400 && w.fails; i++) {
		resolve_step(w.r, w.now, on_answer, &w);
		usleep(5000);
	}
	assert_int_equal(w.answers, 0);
	w.now += 400 * SECOND;
	until_ended(&w, RESOLVE_KUBERNETES);
	assert_int_equal(w.answers, 1);
	assert_string_equal(w.tenant, "team-a");
	world_end(&w);
}

static void units_need_no_asking(void **state)
{
	struct world w;

	world_begin(&w, 0);
	want(&w, 1, "/system.slice/train.service");
	want(&w, 2, "/user.slice/user-1000.slice");
	assert_int_equal(resolve_step(w.r, w.now, on_answer, &w), 0);
	assert_int_equal(w.answers, 2);
	assert_string_equal(w.tenant, "unknown");
	assert_non_null(strstr(w.evidence, "uid=1000"));
	assert_int_equal(totals(&w).jobs[RESOLVE_SYSTEMD][RESOLVE_UNMATCHED], 2);
	world_end(&w);
}

static void the_table_has_an_end(void **state)
{
	struct world w;

	world_begin(&w, 0);
	program_is(&w, "sleep 600");
	for (unsigned i = 0; i < RESOLVE_JOBS_MAX + 10; i++) {
		struct resolve_wish wish = { .cgroup_id = i + 1, .path = POD_PATH, .wants_tenant = true };

		memcpy(&wish.job, &i, sizeof(i));
		assert_int_equal(resolve_want(w.r, &wish, w.now), 0);
	}
	assert_int_equal(totals(&w).no_room, 10);
	world_end(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pod_list_is_read),
		cmocka_unit_test(answers_that_are_none),
		cmocka_unit_test(a_namespace_is_read),
		cmocka_unit_test(many_labels_leave_room_for_those_that_rules_name),
		cmocka_unit_test(a_container_is_read),
		cmocka_unit_test(lines_of_squeue),
		cmocka_unit_test(lines_survive_and_forgeries_do_not),
		cmocka_unit_test(an_answer_comes_late),
		cmocka_unit_test(a_child_has_the_rules_that_are_applied),
		cmocka_unit_test(an_asking_that_ends_badly_says_nothing),
		cmocka_unit_test(what_is_not_known_is_asked_for_again),
		cmocka_unit_test(units_need_no_asking),
		cmocka_unit_test(the_table_has_an_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
