/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_RESOLVE_H
#define OPMETER_AGENT_RESOLVE_H

/*
 * Identity resolvers: whose job a cgroup is, asked of Kubernetes, Slurm, Docker; systemd's
 * units are in the path already. Answers may come late, or never: counting does not wait.
 *
 * Each asking is a child process of ours (a verb that is not listed) that reads the token anew, asks,
 * parses, writes what it was told as lines, and ends. So a server that hangs, lies or answers
 * 100 MB costs a process that is killed after its time, never the agent; and nothing that a
 * server says is parsed in the agent but those lines, which are bounded.
 *
 * A job that is not known yet is asked for again with growing pauses; a source that fails
 * likewise. Jobs that were answered are asked for again each refresh while their cgroup is
 * there: a tenant may change. One thread; nothing here waits.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"
#include "../core/cgroup_path.h"
#include "../core/identity.h"
#include "../core/register.h"
#include "cgroups.h"

enum resolve_source { RESOLVE_KUBERNETES, RESOLVE_SLURM, RESOLVE_DOCKER, RESOLVE_SYSTEMD, RESOLVE_SOURCES };
const char *resolve_source_name(enum resolve_source s);

enum resolve_state {
	RESOLVE_WAITING,   /* not answered yet */
	RESOLVE_NAMED,	   /* a rule names its tenant */
	RESOLVE_UNMATCHED, /* answered, and no rule names one, or by what is no name */
	RESOLVE_STATES
};
const char *resolve_state_name(enum resolve_state s);

/* What became of an asking. */
enum resolve_end {
	RESOLVE_ANSWERED,
	RESOLVE_REFUSED,     /* 401, 403: token or rights */
	RESOLVE_UNREACHABLE, /* no connection, no such program, an error of the server's */
	RESOLVE_BAD,	     /* an answer that is none */
	RESOLVE_TOO_LARGE,
	RESOLVE_TIMEOUT,
	RESOLVE_ENDS
};
const char *resolve_end_name(enum resolve_end e);

struct resolve_config {
	const char *rules_path;
	const char *program;			 /* that has the verb; NULL: this one */
	uint64_t limit_ns, first_ns, longest_ns; /* one asking's time (30 s), first and longest pause (2 s,
						  * 300 s); 0: those */
};

/* A job that was answered. Strings are loans during the call. */
struct resolve_answer {
	const struct om_id *job;
	enum resolve_source source;
	uint64_t first_seen_ns;
	bool wants_tenant, wants_model;
	bool is_first; /* since this was opened */
	const struct om_identity *identity;
};
typedef int resolve_fn(void *ctx, const struct resolve_answer *a);

struct resolve_totals {
	uint64_t jobs[RESOLVE_SOURCES][RESOLVE_STATES];
	uint64_t ends[RESOLVE_SOURCES][RESOLVE_ENDS];
	uint64_t unasked;  /* jobs whose source is not configured, or whose path names none */
	uint64_t no_room;  /* jobs beyond RESOLVE_JOBS_MAX */
	uint64_t given_up; /* jobs that were dropped unanswered, after RESOLVE_KEEP_NS */
	bool is_down[RESOLVE_SOURCES];
	uint64_t down_since_ns[RESOLVE_SOURCES]; /* on the caller's clock */
	char why[RESOLVE_SOURCES][256];		 /* of the last failure */
};

#define RESOLVE_JOBS_MAX 8192
#define RESOLVE_KEEP_NS (24ULL * 3600 * 1000000000)

struct resolve;
/* 0; -EINVAL or -errno with *err: the rules. */
int resolve_open(const struct resolve_config *config, struct resolve **ret, struct error_text *err);
struct resolve *resolve_free(struct resolve *r); /* ends the children; NULL is fine; returns NULL */
static inline void resolve_freep(struct resolve **r)
{
	*r = resolve_free(*r);
}
/* A loan; without one every cgroup is taken to be there. */
void resolve_use_cgroups(struct resolve *r, struct cgroups *cgroups);
const struct om_identity_rules *resolve_rules(const struct resolve *r);

/* A job to resolve, with what is wanted of it. Repeated: nothing new. is_known: it was answered before,
 * by an agent before us: asked to see whether that still holds. now_ns: monotonic. */
struct resolve_wish {
	struct om_id job;
	uint64_t cgroup_id, first_seen_ns;
	const char *path;
	bool wants_tenant, wants_model, is_known;
};
int resolve_want(struct resolve *r, const struct resolve_wish *w, uint64_t now_ns); /* 0; -ENOMEM */
/* Wants a call each second. Never waits. The first error of fn, passed on. */
int resolve_step(struct resolve *r, uint64_t now_ns, resolve_fn *fn, void *ctx);
void resolve_get_totals(const struct resolve *r, struct resolve_totals *ret);
/* Jobs without a tenant for longer than after_ns, each once, while their source answers. */
int resolve_each_unknown(struct resolve *r, uint64_t now_ns, uint64_t after_ns,
			 int (*fn)(void *ctx, const struct om_id *job, enum resolve_source s,
				   enum resolve_state state),
			 void *ctx);

#endif
