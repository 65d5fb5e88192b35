// SPDX-License-Identifier: Apache-2.0
/* Rules that make tenant and model of facts: order, trust, hostile values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/identity.h"
#include "userspace/core/totals.h"

static const char rules_text[] = "trust: [namespace, namespace-label/opmeter.example/tenant, slurm-account]\n"
				 "tenant:\n"
				 "  - from: namespace-label/opmeter.example/tenant\n"
				 "  - name: acme\n"
				 "    where: [{fact: slurm-account, like: \"acme-*\"}]\n"
				 "  - from: namespace\n"
				 "    where: [{fact: namespace, like: \"team-*\"}]\n"
				 "model:\n"
				 "  - from: pod-label/opmeter.example/model\n"
				 "  - from: slurm-job-name\n"
				 "kubernetes: {api: \"https://127.0.0.1:6443\", node: n1}\n"
				 "slurm: {}\n"
				 "docker: {socket: /run/d.sock}\n"
				 "refresh-s: 5\n";

static struct om_identity_rules *load(const char *text)
{
	struct om_identity_rules *r = NULL;
	struct error_text err = { 0 };

	if (om_identity_parse("identity.yaml", text, strlen(text), &r, &err))
		fail_msg("%s", err.text);
	return r;
}

#define LABEL "namespace-label/opmeter.example/tenant"
#define MODEL "pod-label/opmeter.example/model"

static const struct {
	const char *facts[9]; /* name, value, ... */
	enum om_identity_outcome outcome;
	const char *tenant, *model;
} cases[] = {
	{ { LABEL, "borealis", "namespace", "team-a" }, OM_IDENTITY_NAMED, "borealis", "" },
	{ { "namespace", "team-a", MODEL, "m-7b" }, OM_IDENTITY_NAMED, "team-a", "m-7b" },
	/* A claim of the right name in the wrong place names nobody. */
	{ { "namespace", "default", "pod-label/opmeter.example/tenant", "acme" }, OM_IDENTITY_UNMATCHED, "unknown", "" },
	{ { "slurm-account", "acme-research", "slurm-job-name", "x" }, OM_IDENTITY_NAMED, "acme", "x" },
	{ { "slurm-account", "other" }, OM_IDENTITY_UNMATCHED, "unknown", "" },
	/* An empty label is as none. */
	{ { LABEL, "", "namespace", "team-b" }, OM_IDENTITY_NAMED, "team-b", "" },
	/* What cannot be a name falls through to nobody: another rule would name the wrong one. */
	{ { LABEL, "a b", "namespace", "team-a" }, OM_IDENTITY_REFUSED, "unknown", "" },
	{ { LABEL, "unknown", "namespace", "team-a" }, OM_IDENTITY_REFUSED, "unknown", "" },
	{ { LABEL, "../../acme" }, OM_IDENTITY_REFUSED, "unknown", "" },
	{ { LABEL, "acme", MODEL, "m\n7" }, OM_IDENTITY_NAMED, "acme", "" },
	{ { NULL }, OM_IDENTITY_UNMATCHED, "unknown", "" },
};

static void rules_apply_in_order(void **state)
{
	struct om_identity_rules *r = load(rules_text);

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct om_facts f = { 0 };
		struct om_identity id;

		for (size_t k = 0; cases[i].facts[k]; k += 2)
			assert_int_equal(om_facts_add(&f, cases[i].facts[k], cases[i].facts[k + 1]), 0);
		om_identity_apply(r, &f, "pod u-1", &id);
		assert_int_equal(id.outcome, cases[i].outcome);
		assert_string_equal(id.tenant, cases[i].tenant);
		assert_string_equal(id.model, cases[i].model);
		om_facts_done(&f);
	}
	om_identity_free(r);
}

static void evidence_tells_rule_and_claims(void **state)
{
	struct om_identity_rules *r = load(rules_text);
	struct om_facts f = { 0 };
	struct om_identity id;

	om_facts_add(&f, "pod-label/tenant", "evil\x1b[2J");
	om_facts_add(&f, MODEL, "m1");
	om_facts_add(&f, LABEL, "acme");
	om_identity_apply(r, &f, "pod u-1", &id);
	assert_non_null(strstr(id.tenant_evidence, "identity.yaml:3: " LABEL "=acme"));
	assert_non_null(strstr(id.tenant_evidence, "claims: pod-label/tenant=evil\\x1b[2J"));
	assert_non_null(strstr(id.model_evidence, "=m1, a claim"));
	/* More claims than there is room for: their number is said, nothing is overrun. */
	for (int i = 0; i < 200; i++) {
		char name[64], value[200];

		snprintf(name, sizeof(name), "pod-label/l%d", i);
		memset(value, 'x', sizeof(value) - 1);
		value[sizeof(value) - 1] = '\0';
		om_facts_add(&f, name, value);
	}
	assert_int_equal(f.count, OM_FACTS_MAX);
	assert_int_equal(f.cut, 203 - OM_FACTS_MAX);
	om_identity_apply(r, &f, "pod u-1", &id);
	assert_true(strlen(id.tenant_evidence) < sizeof(id.tenant_evidence));
	assert_non_null(strstr(id.tenant_evidence, " more"));
	assert_string_equal(id.tenant, "acme");
	om_facts_done(&f);
	om_identity_free(r);
}

static void facts_are_bounded(void **state)
{
	struct om_facts f = { 0 };
	char big[400];

	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	/* Cut, it can be no name: the start of a long value is not who it seems. */
	assert_int_equal(om_facts_add(&f, "pod-label/big", big), 0);
	assert_int_equal(strlen(om_facts_get(&f, "pod-label/big")), OM_FACT_VALUE_MAX - 1);
	assert_non_null(strstr(om_facts_get(&f, "pod-label/big"), " [cut]"));
	assert_int_equal(om_facts_add(&f, big, "x"), -22);
	assert_int_equal(om_facts_add(&f, "pod-label/", "x"), -22);
	assert_int_equal(om_facts_add(&f, "pod-label", "x"), -22);
	assert_int_equal(om_facts_add(&f, "namespace/x", "x"), -22);
	assert_int_equal(om_facts_add(&f, "colour", "x"), -22);
	assert_int_equal(om_facts_add(&f, "pod-label/x", "1"), 0);
	assert_int_equal(om_facts_add(&f, "pod-label/x", "2"), 1); /* the first counts */
	assert_string_equal(om_facts_get(&f, "pod-label/x"), "1");
	om_facts_done(&f);
}

static void sources_and_wants(void **state)
{
	struct om_identity_rules *r = load(rules_text);
	struct om_identity_kubernetes k;
	const char *socket;

	assert_true(om_identity_kubernetes(r, &k));
	assert_string_equal(k.api, "https://127.0.0.1:6443");
	assert_string_equal(k.node, "n1");
	assert_null(k.token);
	assert_true(om_identity_slurm(r));
	assert_true(om_identity_docker(r, &socket));
	assert_string_equal(socket, "/run/d.sock");
	assert_int_equal(om_identity_refresh_s(r), 5);
	assert_int_equal(om_identity_alert_after_s(r), 600);
	assert_true(om_identity_wants(r, MODEL));
	assert_false(om_identity_wants(r, "pod-label/other"));
	assert_true(om_identity_wants_kind(r, "namespace-label"));
	assert_false(om_identity_wants_kind(r, "pod-annotation"));
	assert_int_equal(strlen(om_identity_version(r)), 64);
	om_identity_free(r);
}

static const struct {
	const char *text, *says;
} bad[] = {
	{ "tenant: [{from: pod-label/tenant}]", "not under 'trust'" },
	{ "trust: [slurm-account]\ntenant: [{from: slurm-account, where: [{fact: slurm-job-name, like: x}]}]",
	  "not under 'trust'" },
	{ "trust: [colour]", "is no fact" },
	{ "trust: [namespace]\ntenant: [{from: namespace, name: x}]", "one of them" },
	{ "tenant: [{}]", "one of them" },
	{ "tenant: [{name: acme}]", "would name every job" },
	{ "model: [{name: \"a b\", where: [{fact: unit, like: x}]}]", "1 to 63" },
	{ "kubernetes: {api: \"ftp:x\"}", "must be https" },
	{ "kubernetes: {api: \"https://127.0.0.1@x\"}", "must be https" },
	{ "kubernetes: {api: \"https://127.0.0.1:1/x\"}", "must be https" },
	{ "kubernetes: {api: \"http:" "//10.0.0.1:6443\"}", "token in clear" },
	{ "kubernetes: {api: \"http:" "//localhost:6443\"}", "token in clear" },
	{ "kubernetes: {api: \"http:" "//127.0.0.1.example.org\"}", "token in clear" },
	{ "kubernetes: {api: \"http:" "//[::1].example.org\"}", "token in clear" },
	{ "kubernetes: {colour: red}", "colour" },
	{ "trust: [namespace-label/t]\ntenant: [{from: namespace-label/t}]\nkubernetes: {kubelet: \"http://127.0.0.1:10255\"}",
	  "kubelet does not know" },
	{ "docker: {socket: relative}", "unix socket" },
	{ "refresh-s: 0", "at least 1" },
	{ "refresh-s: soon", "seconds" },
	{ "tenant: x", "list" },
	{ "[]", "key: value" },
	{ "colour: red", "colour" },
};

/* Behind a proxy on the node itself nothing goes over a network. */
static void a_proxy_on_the_node_may_speak_plainly(void **state)
{
	static const char *const good[] = { "http://127.0.0.1:8001", "http://127.0.0.1", "http:" "//[::1]:8001", "https:" "//10.0.0.1:6443" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct om_identity_rules *r = NULL;
		struct error_text err = { 0 };
		char text[100];

		snprintf(text, sizeof(text), "kubernetes: {api: \"%s\"}", good[i]);
		if (om_identity_parse("f.yaml", text, strlen(text), &r, &err))
			fail_msg("%s: %s", good[i], err.text);
		om_identity_free(r);
	}
}

static void bad_files_are_told_with_their_line(void **state)
{
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct om_identity_rules *r = NULL;
		struct error_text err = { 0 };

		assert_int_equal(om_identity_parse("f.yaml", bad[i].text, strlen(bad[i].text), &r, &err), -22);
		if (strncmp(err.text, "f.yaml:", 7) || !strstr(err.text, bad[i].says))
			fail_msg("'%s': %s", bad[i].text, err.text);
	}
}

/* --- whose word holds: the static map's `unknown`, a resolver's late answer, a person's --- */

#define DAY 86400000000000ULL

static struct om_assignment says(const char *tenant, uint64_t from_ns, uint64_t at_ns, const char *person)
{
	struct om_assignment a = { .kind = OM_ASSIGN_TENANT, .from_ns = from_ns, .at_ns = at_ns,
				   .share_low_ppm = 1000000, .share_high_ppm = 1000000 };

	snprintf(a.value, sizeof(a.value), "%s", tenant);
	snprintf(person ? a.person : a.rule, sizeof(a.rule), "%s", person ? person : "a-rule");
	return a;
}

static void a_persons_word_holds_before_resolvers(void **state)
{
	const struct om_assignment words[] = {
		says("unknown", 5 * DAY + 7, 5 * DAY + 7, NULL),   /* the static map, at first sight */
		says("acme", 5 * DAY + 7, 7 * DAY, NULL),	   /* a resolver, two days late */
		says("borealis", 8 * DAY + 3, 8 * DAY + 3, NULL), /* its label has changed */
	};
	static const uint8_t orders[][3] = { { 0, 1, 2 }, { 2, 1, 0 }, { 1, 0, 2 }, { 1, 2, 0 }, { 0, 2, 1 }, { 2, 0, 1 } };
	const struct om_id none = { 0 };

	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
		struct om_totals *t = om_totals_new(100);
		struct om_assignment person = says("cirrus", 5 * DAY + 7, 6 * DAY, "J. Doe");

		for (int k = 0; k < 3; k++)
			assert_true(om_totals_assign(t, &words[orders[i][k]]) >= 0);
		assert_string_equal(om_totals_holds(t, &none, &none, OM_ASSIGN_TENANT, 5)->value, "acme");
		assert_string_equal(om_totals_holds(t, &none, &none, OM_ASSIGN_TENANT, 7)->value, "acme");
		assert_string_equal(om_totals_holds(t, &none, &none, OM_ASSIGN_TENANT, 8)->value, "borealis");
		assert_null(om_totals_holds(t, &none, &none, OM_ASSIGN_TENANT, 4));
		/* Said before the resolver answered, and still. */
		assert_int_equal(om_totals_assign(t, &person), 0);
		for (uint32_t day = 5; day < 10; day++)
			assert_string_equal(om_totals_holds(t, &none, &none, OM_ASSIGN_TENANT, day)->value, "cirrus");
		om_totals_free(t);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules_apply_in_order),	  cmocka_unit_test(evidence_tells_rule_and_claims),
		cmocka_unit_test(facts_are_bounded),	  cmocka_unit_test(sources_and_wants),
		cmocka_unit_test(bad_files_are_told_with_their_line), cmocka_unit_test(a_proxy_on_the_node_may_speak_plainly),
		cmocka_unit_test(a_persons_word_holds_before_resolvers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
