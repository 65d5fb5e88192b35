/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_RESOLVE_INTERNAL_H
#define OPMETER_AGENT_RESOLVE_INTERNAL_H

/* What the resolvers' own files, their verb and their tests share. */

#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

#include "resolve.h"

/* --- the lines between the child and the agent (docs/formats.md, "Identity answers") --- */

#define RESOLVE_KEY_MAX 128 /* a pod's uid, a container's id, a job's number, a unit */
#define RESOLVE_KEYS_MAX 64 /* of one asking */
#define RESOLVE_ANSWER_MAX (4u << 20)

/* One line, malloc'ed. NULL: out of memory. */
char *resolve_line_fact(const char *key, const struct om_facts *f);
char *resolve_line_end(enum resolve_end end, const char *why);
/* One line. 0: facts of *key; 1: the end, *ret_end and why are set; -EBADMSG, -ENOMEM. */
int resolve_line_read(const char *line, size_t len, char key[RESOLVE_KEY_MAX], struct om_facts *f,
		      enum resolve_end *ret_end, char why[256]);

/* --- an asking: resolve_child.c --- */

struct resolve_child {
	pid_t pid;   /* 0: none */
	pid_t dying; /* killed, not gone yet: no other is started */
	int fd;
	uint64_t since_ns;
	char *answer; /* owned; NULL between askings */
	size_t len, room;
};
/* The child reads the rules from rules_fd, as its descriptor 3: what the agent read, whatever the file says
 * by now. -errno: it could not be started. */
int resolve_child_start(struct resolve_child *c, const char *program, const char *source, int rules_fd,
			const char *const *keys, size_t count, uint64_t now_ns);
/* 0: not yet; 1: it has ended, c->answer is all it said; 2: killed, past its time; 3: killed, it said too
 * much. */
int resolve_child_step(struct resolve_child *c, uint64_t now_ns, uint64_t limit_ns);
void resolve_child_end(struct resolve_child *c);

/* --- the child's side --- */

#define RESOLVE_VERB "identity-resolver"
/* Asks one source of keys and writes lines to out. Returns an exit code. */
int resolve_ask(const char *source, const char *rules_path, char **keys, size_t count, FILE *out);

/* What a source tells of one key goes to `out`; the end of the asking is what the function returns. */
struct resolve_asking {
	const struct om_identity_rules *rules;
	char **keys;
	size_t count;
	FILE *out;
	struct error_text why;
};
enum resolve_end resolve_ask_kubernetes(struct resolve_asking *a);
enum resolve_end resolve_ask_slurm(struct resolve_asking *a);
enum resolve_end resolve_ask_docker(struct resolve_asking *a);
enum resolve_end resolve_say(struct resolve_asking *a, const char *key, const struct om_facts *f);
bool resolve_is_asked(const struct resolve_asking *a, const char *key);
/* Adds a fact with a key of its own ("pod-label", K): those that rules name always, others while less than
 * half of the room is taken. */
int resolve_add(const struct om_identity_rules *rules, struct om_facts *f, const char *kind, const char *key,
		const char *value);

/* --- HTTP: resolve_http.c --- */

#define RESOLVE_BODY_MAX (32u << 20)
struct resolve_http {
	const char *url;
	const char *unix_socket; /* NULL: by network */
	const char *token_path, *ca_path;
	const char *accept;
};
struct resolve_body {
	char *data; /* owned, NUL-terminated */
	size_t len;
	long status;
};
/* 200 is ANSWERED; any other outcome with a sentence in *err. 404 is ANSWERED with its status. */
enum resolve_end resolve_http_get(const struct resolve_http *h, struct resolve_body *ret,
				  struct error_text *err);
static inline void resolve_body_done(struct resolve_body *b)
{
	free(b->data);
	*b = (struct resolve_body){ 0 };
}

/* --- parsers --- */

struct resolve_pod {
	char uid[40], hash[40]; /* of a static pod's mirror: what its cgroup is named by */
	char namespace[64], node[256];
	bool is_of_node; /* owned by a Node: a mirror pod */
	struct om_facts facts;
};
/* Every pod of a PodList. A loan during the call. 0; -EBADMSG with *err; what fn returns. */
int resolve_pods_parse(const char *text, size_t len, const struct om_identity_rules *rules,
		       int (*fn)(void *ctx, struct resolve_pod *p), void *ctx, struct error_text *err);
/* Labels and annotations of the Namespace `name` into *f. 0; -EBADMSG; -ENOMEM. */
int resolve_namespace_parse(const char *text, size_t len, const char *name,
			    const struct om_identity_rules *rules, struct om_facts *f,
			    struct error_text *err);
/* A container as Docker's API gives it. -EBADMSG: also if it is another than `id`. */
int resolve_docker_parse(const char *text, size_t len, const char *id, const struct om_identity_rules *rules,
			 struct om_facts *f, struct error_text *err);
/* The rest of the first line that begins with "ID ". False: there is none, it is empty or (null). */
bool resolve_slurm_line(const char *text, const char *id, char *ret, size_t size);
/* "UID USER PARTITION" into facts. 0; -EBADMSG; -ENOMEM. */
int resolve_slurm_who(const char *line, struct om_facts *f);

#endif
