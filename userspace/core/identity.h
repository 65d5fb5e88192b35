/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_IDENTITY_H
#define OPMETER_CORE_IDENTITY_H

/*
 * Who a job is, by what a scheduler says of it: facts (a pod's namespace and labels, a
 * Slurm job's account) and the operator's rules that make tenant and model of them.
 *
 *     trust:                                      # what the provider sets and tenants cannot
 *       - namespace-label/opmeter.example/tenant
 *       - slurm-account
 *     tenant:                                     # the first that applies counts
 *       - from: namespace-label/opmeter.example/tenant
 *       - name: acme                              # or a name of its own
 *         where: [{fact: slurm-account, like: "acme-*"}]
 *     model:
 *       - from: pod-label/opmeter.example/model
 *     kubernetes: {api: "https://127.0.0.1:6443"}  # whom to ask; docs/identity.md has all of it
 *     slurm: {}
 *     docker: {socket: /run/docker.sock}
 *
 * A fact that is not trusted is a claim: a tenant rule that rests on one is refused when the
 * file is read, a model rule may. Claims go into the evidence as such. Pure: asks nobody.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"

/* --- facts --- */

#define OM_FACTS_MAX 128
#define OM_FACT_NAME_MAX 352 /* "namespace-annotation/" and a prefix of 253, a name of 63 */
#define OM_FACT_VALUE_MAX 256

struct om_fact {
	char *name, *value; /* owned */
};
struct om_facts {
	struct om_fact item[OM_FACTS_MAX];
	size_t count;
	uint64_t cut; /* more than are kept */
};
/* The first of a name counts; a value that is too long ends in " [cut]". 0; 1: no room, or it is there;
 * -EINVAL: a name that is none; -ENOMEM. */
int om_facts_add(struct om_facts *f, const char *name, const char *value);
const char *om_facts_get(const struct om_facts *f, const char *name); /* NULL: not said. A loan. */
void om_facts_done(struct om_facts *f);
/* Names are of a known kind, and have a key after '/' where the kind has keys. */
bool om_fact_name_is_valid(const char *name);

/* --- rules --- */

struct om_identity_rules;
int om_identity_load(const char *path, struct om_identity_rules **ret, struct error_text *err);
int om_identity_parse(const char *name, const void *text, size_t len, struct om_identity_rules **ret,
		      struct error_text *err);
struct om_identity_rules *om_identity_free(struct om_identity_rules *r);
static inline void om_identity_freep(struct om_identity_rules **r)
{
	*r = om_identity_free(*r);
}
const char *om_identity_version(const struct om_identity_rules *r); /* digest of the file, 64 hex digits */
/* Whether a rule or the trust list names the fact: such a fact is never cut for others. */
bool om_identity_wants(const struct om_identity_rules *r, const char *name);
/* Whether any fact of a kind ("namespace-label") is named. */
bool om_identity_wants_kind(const struct om_identity_rules *r, const char *kind);

enum om_identity_outcome {
	OM_IDENTITY_NAMED,
	OM_IDENTITY_UNMATCHED, /* no rule names a tenant */
	OM_IDENTITY_REFUSED,   /* one does, by what cannot be a tenant's name */
};
struct om_identity {
	enum om_identity_outcome outcome;
	char tenant[64]; /* "unknown" unless NAMED */
	char model[64];	 /* empty: not said, or no name */
	char tenant_evidence[512], model_evidence[512];
};
/* `what`: the job in the asked one's words ("pod UID"). Never fails. */
void om_identity_apply(const struct om_identity_rules *r, const struct om_facts *f, const char *what,
		       struct om_identity *ret);

/* --- whom to ask: loans from the rules; NULL: not said --- */

struct om_identity_kubernetes {
	const char *api;     /* https, HOST:PORT: the API server */
	const char *kubelet; /* http or https, HOST:PORT: the node's kubelet: pods are asked of it */
	const char *node, *token, *ca, *kubelet_ca;
};
/* false: that one is not to be asked. */
bool om_identity_kubernetes(const struct om_identity_rules *r, struct om_identity_kubernetes *ret);
bool om_identity_slurm(const struct om_identity_rules *r);
bool om_identity_docker(const struct om_identity_rules *r, const char **ret_socket);
uint64_t om_identity_refresh_s(const struct om_identity_rules *r);     /* how often answers are asked again */
uint64_t om_identity_alert_after_s(const struct om_identity_rules *r); /* how long unknown is no finding */

#endif
