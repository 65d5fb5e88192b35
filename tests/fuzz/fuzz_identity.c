// SPDX-License-Identifier: Apache-2.0
/* What schedulers answer: a pod list, a namespace, a container, lines of squeue and of the resolver's child,
 * and the rules' file; the first byte says which. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/agent/resolve_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char rules_text[] = "trust: [namespace, namespace-label/t, slurm-account, container-label/t]\n"
				 "tenant: [{from: namespace-label/t}, {from: slurm-account}, {from: "
				 "container-label/t}, {from: namespace}]\n"
				 "model: [{from: pod-label/m}, {from: pod-annotation/m}]\n";

/* However hostile the facts: names are names, texts end. */
static void judge(const struct om_identity_rules *rules, const struct om_facts *f)
{
	struct om_identity id;

	om_identity_apply(rules, f, "pod x", &id);
	if (strlen(id.tenant) >= sizeof(id.tenant) ||
	    strlen(id.tenant_evidence) >= sizeof(id.tenant_evidence) ||
	    strlen(id.model_evidence) >= sizeof(id.model_evidence) || strpbrk(id.tenant, " /\n") ||
	    strpbrk(id.model, " /\n") || (id.outcome != OM_IDENTITY_NAMED) != !strcmp(id.tenant, "unknown"))
		abort();
}

static int on_pod(void *ctx, struct resolve_pod *p)
{
	if (!p->uid[0] || !p->namespace[0])
		abort();
	judge(ctx, &p->facts);
	return 0;
}

/* What the child writes is read back as it was said. */
static void round_trip(const struct om_facts *f)
{
	struct om_facts back = { 0 };
	char key[RESOLVE_KEY_MAX], why[256], *line = resolve_line_fact("k", f);
	enum resolve_end end;

	if (!line || resolve_line_read(line, strlen(line), key, &back, &end, why) || strcmp(key, "k"))
		abort();
	free(line);
	om_facts_done(&back);
}

static void lines(const char *text, size_t size, struct om_facts *f)
{
	char key[RESOLVE_KEY_MAX], why[256], value[40];
	enum resolve_end end;

	if (resolve_line_read(text, size, key, f, &end, why) == 0 && strlen(key) >= sizeof(key))
		abort();
	if (resolve_slurm_line(text, "17", value, sizeof(value)) && strlen(value) >= sizeof(value))
		abort();
	resolve_slurm_who(text, f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct om_identity_rules *rules;
	struct om_identity_rules *own = NULL;
	struct om_facts f = { 0 };
	struct error_text err = { 0 };
	char *text;

	if (!rules && om_identity_parse("rules", rules_text, strlen(rules_text), &rules, &err))
		abort();
	if (!size)
		return 0;
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 5) {
	case 0:
		resolve_pods_parse(text, size - 1, rules, on_pod, rules, &err);
		break;
	case 1:
		resolve_namespace_parse(text, size - 1, "a", rules, &f, &err);
		break;
	case 2:
		resolve_docker_parse(text, size - 1, "0123", rules, &f, &err);
		break;
	case 3:
		lines(text, size - 1, &f);
		break;
	default:
		if (om_identity_parse("file", text, size - 1, &own, &err) == 0)
			judge(own, &f);
		om_identity_free(own);
	}
	judge(rules, &f);
	round_trip(&f);
	om_facts_done(&f);
	free(text);
	return 0;
}
