// SPDX-License-Identifier: Apache-2.0
/*
 * Jobs wait in one table until the source that their path names has answered. What comes
 * back is buffered to its end: an asking that ends badly has said nothing.
 */
#include "resolve.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "resolve_internal.h"

#define SECOND_NS 1000000000ULL
#define RULES_MAX (1 << 20)
#define SWEEP_NS (60 * SECOND_NS)

struct job {
	struct om_id id;
	uint64_t cgroup_id, first_seen_ns;
	uint64_t wanted_ns, due_ns, pause_ns; /* the caller's clock */
	char key[RESOLVE_KEY_MAX];
	uint8_t source, state;
	bool wants_tenant, wants_model;
	bool is_answered;
	bool is_said;	/* as unknown, by resolve_each_unknown() */
	bool is_asked;	/* in the asking that runs */
	bool was_found; /* in it */
};

struct source {
	struct resolve_child child;
	uint64_t next_ns, pause_ns;
};

struct resolve {
	struct resolve_config config;
	struct cgroups *cgroups;
	struct om_identity_rules *rules;
	int rules_fd; /* the file as it was read */
	bool has[RESOLVE_SOURCES];
	struct source source[RESOLVE_SOURCES];
	struct job *job;
	size_t count, room;
	uint64_t next_sweep_ns;
	struct resolve_totals totals;
};

const char *resolve_source_name(enum resolve_source s)
{
	static const char *const names[RESOLVE_SOURCES] = { "kubernetes", "slurm", "docker", "systemd" };

	return s < RESOLVE_SOURCES ? names[s] : "?";
}

const char *resolve_state_name(enum resolve_state s)
{
	static const char *const names[RESOLVE_STATES] = { "waiting", "named", "unmatched" };

	return s < RESOLVE_STATES ? names[s] : "?";
}

/* Rules in a file that nobody changes: a child that read others than we apply would leave out facts that ours
 * name, and the next rule would name another tenant. */
static int keep_rules(struct resolve *r, struct error_text *err)
{
	const char *path = r->config.rules_path;
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_ char *text = malloc(RULES_MAX + 1);
	size_t n;

	if (!f || !text)
		return error_set(err, -errno, "%s: cannot be read: %m", path);
	n = fread(text, 1, RULES_MAX + 1, f);
	if (ferror(f) || n > RULES_MAX)
		return error_set(err, -EINVAL, "%s: cannot be read, or is larger than %d KiB", path,
				 RULES_MAX >> 10);
	r->rules_fd = memfd_create("identity-rules", MFD_CLOEXEC);
	if (r->rules_fd < 0 || write(r->rules_fd, text, n) != (ssize_t)n)
		return error_set(err, -EIO, "%s: no memory for its copy", path);
	return om_identity_parse(path, text, n, &r->rules, err);
}

int resolve_open(const struct resolve_config *config, struct resolve **ret, struct error_text *err)
{
	_cleanup_(resolve_freep) struct resolve *r = calloc(1, sizeof(*r));
	struct om_identity_kubernetes k;
	const char *socket;
	int rc;

	if (!r)
		return -ENOMEM;
	r->config = *config;
	r->rules_fd = -1;
	r->config.limit_ns = config->limit_ns ?: 30 * SECOND_NS;
	r->config.first_ns = config->first_ns ?: 2 * SECOND_NS;
	r->config.longest_ns = config->longest_ns ?: 300 * SECOND_NS;
	for (int s = 0; s < RESOLVE_SOURCES; s++)
		r->source[s].child.fd = -1;
	rc = keep_rules(r, err);
	if (rc)
		return rc;
	r->has[RESOLVE_KUBERNETES] = om_identity_kubernetes(r->rules, &k);
	r->has[RESOLVE_SLURM] = om_identity_slurm(r->rules);
	r->has[RESOLVE_DOCKER] = om_identity_docker(r->rules, &socket);
	r->has[RESOLVE_SYSTEMD] = true;
	*ret = TAKE_PTR(r);
	return 0;
}

struct resolve *resolve_free(struct resolve *r)
{
	if (!r)
		return NULL;
	for (int s = 0; s < RESOLVE_SOURCES; s++)
		resolve_child_end(&r->source[s].child);
	if (r->rules_fd >= 0)
		close(r->rules_fd);
	om_identity_free(r->rules);
	free(r->job);
	free(r);
	return NULL;
}

void resolve_use_cgroups(struct resolve *r, struct cgroups *cgroups)
{
	r->cgroups = cgroups;
}

const struct om_identity_rules *resolve_rules(const struct resolve *r)
{
	return r->rules;
}

/* --- the table --- */

static bool is_there(const struct resolve *r, const struct job *j)
{
	return !r->cgroups || cgroups_exists(r->cgroups, j->cgroup_id);
}

/* Answered jobs whose cgroup is gone need nothing more; unanswered ones wait a day. */
static void sweep(struct resolve *r, uint64_t now_ns)
{
	size_t kept = 0;

	for (size_t i = 0; i < r->count; i++) {
		struct job *j = &r->job[i];
		bool is_old = now_ns - j->wanted_ns > RESOLVE_KEEP_NS;

		if (j->is_asked || is_there(r, j) || (j->state == RESOLVE_WAITING && !is_old)) {
			r->job[kept++] = *j;
			continue;
		}
		r->totals.given_up += j->state == RESOLVE_WAITING;
	}
	r->count = kept;
}

static int make_room(struct resolve *r, uint64_t now_ns)
{
	size_t room = r->room ? 2 * r->room : 64;
	struct job *bigger;

	if (r->count < r->room)
		return 0;
	sweep(r, now_ns);
	if (r->count < r->room)
		return 0;
	if (r->count >= RESOLVE_JOBS_MAX) {
		r->totals.no_room++;
		return 1;
	}
	bigger = reallocarray(r->job, room, sizeof(*bigger));
	if (!bigger)
		return -ENOMEM;
	r->job = bigger;
	r->room = room;
	return 0;
}

static struct job *find(struct resolve *r, const struct om_id *id)
{
	for (size_t i = 0; i < r->count; i++)
		if (om_id_equal(&r->job[i].id, id))
			return &r->job[i];
	return NULL;
}

static bool source_of(const struct cgroup_path *p, enum resolve_source *ret, const char **ret_key)
{
	switch (p->kind) {
	case CGROUP_KUBERNETES:
		*ret = RESOLVE_KUBERNETES;
		*ret_key = p->pod;
		return true;
	case CGROUP_SLURM:
		*ret = RESOLVE_SLURM;
		*ret_key = p->slurm_job;
		return true;
	case CGROUP_DOCKER:
		*ret = RESOLVE_DOCKER;
		*ret_key = p->container;
		return true;
	case CGROUP_SYSTEMD:
		*ret = RESOLVE_SYSTEMD;
		*ret_key = p->unit[0] ? p->unit : p->user;
		return true;
	case CGROUP_OTHER:
		break;
	}
	return false;
}

int resolve_want(struct resolve *r, const struct resolve_wish *w, uint64_t now_ns)
{
	struct job j = { .id = w->job,
			 .cgroup_id = w->cgroup_id,
			 .first_seen_ns = w->first_seen_ns,
			 .wanted_ns = now_ns,
			 .due_ns = now_ns,
			 .pause_ns = r->config.first_ns,
			 .wants_tenant = w->wants_tenant,
			 .wants_model = w->wants_model };
	struct cgroup_path p;
	enum resolve_source s;
	const char *key;
	int rc;

	if (find(r, &w->job))
		return 0;
	cgroup_path_parse(w->path, &p);
	if (!source_of(&p, &s, &key) || !r->has[s]) {
		r->totals.unasked++;
		return 0;
	}
	rc = make_room(r, now_ns);
	if (rc)
		return rc < 0 ? rc : 0;
	snprintf(j.key, sizeof(j.key), "%s", key);
	j.source = (uint8_t)s;
	j.state = w->is_known ? RESOLVE_NAMED : RESOLVE_WAITING;
	r->job[r->count++] = j;
	return 0;
}

/* --- answers --- */

static void what_of(const struct job *j, char buf[160])
{
	static const char *const words[RESOLVE_SOURCES] = { "pod", "Slurm job", "container", "systemd" };

	snprintf(buf, 160, "%s %s", words[j->source], j->key);
}

static int answered(struct resolve *r, struct job *j, const struct om_facts *f, uint64_t now_ns,
		    resolve_fn *fn, void *ctx)
{
	struct om_identity id;
	struct resolve_answer a = { &j->id,
				    (enum resolve_source)j->source,
				    j->first_seen_ns,
				    j->wants_tenant,
				    j->wants_model,
				    !j->is_answered,
				    &id };
	char what[160];
	int rc;

	what_of(j, what);
	om_identity_apply(r->rules, f, what, &id);
	rc = fn(ctx, &a);
	/* What could not be kept was not answered: it is asked for again. */
	if (rc)
		return rc;
	j->was_found = j->is_answered = true;
	j->state = id.outcome == OM_IDENTITY_NAMED ? RESOLVE_NAMED : RESOLVE_UNMATCHED;
	j->due_ns = now_ns + om_identity_refresh_s(r->rules) * SECOND_NS;
	j->pause_ns = r->config.first_ns;
	return 0;
}

static int take_line(struct resolve *r, enum resolve_source s, const char *key, const struct om_facts *f,
		     uint64_t now_ns, resolve_fn *fn, void *ctx)
{
	int rc = 0;

	for (size_t i = 0; i < r->count && rc == 0; i++) {
		struct job *j = &r->job[i];

		if (j->source == s && j->is_asked && !j->was_found && !strcmp(j->key, key))
			rc = answered(r, j, f, now_ns, fn, ctx);
	}
	return rc;
}

/* First the end, for only then the rest is believed. */
static enum resolve_end end_of(const struct resolve_child *c, char why[256])
{
	_cleanup_free_ struct om_facts *f = calloc(1, sizeof(*f));
	enum resolve_end end = RESOLVE_BAD;
	char key[RESOLVE_KEY_MAX];
	const char *last = c->answer + c->len;
	int r;

	snprintf(why, 256, "the resolver ended without an answer");
	if (!f || !c->len || last[-1] != '\n')
		return RESOLVE_BAD;
	for (last--; last > c->answer && last[-1] != '\n';)
		last--;
	r = resolve_line_read(last, strcspn(last, "\n"), key, f, &end, why);
	om_facts_done(f);
	return r == 1 ? end : RESOLVE_BAD;
}

static int take_lines(struct resolve *r, enum resolve_source s, uint64_t now_ns, resolve_fn *fn, void *ctx)
{
	_cleanup_free_ struct om_facts *f = calloc(1, sizeof(*f));
	const char *at = r->source[s].child.answer;
	char key[RESOLVE_KEY_MAX], why[256];
	enum resolve_end end;
	int rc = f ? 0 : -ENOMEM;

	while (rc == 0 && *at) {
		size_t len = strcspn(at, "\n");
		int is_end = resolve_line_read(at, len, key, f, &end, why);

		if (is_end < 0)
			rc = is_end == -ENOMEM ? is_end : 0;
		else if (is_end == 0)
			rc = take_line(r, s, key, f, now_ns, fn, ctx);
		om_facts_done(f);
		at += len + (at[len] == '\n');
	}
	return rc;
}

static uint64_t longer(const struct resolve *r, uint64_t pause_ns)
{
	return 2 * pause_ns < r->config.longest_ns ? 2 * pause_ns : r->config.longest_ns;
}

static void note_end(struct resolve *r, enum resolve_source s, enum resolve_end end, const char *why,
		     uint64_t now_ns)
{
	struct source *src = &r->source[s];
	bool is_down = end != RESOLVE_ANSWERED;

	r->totals.ends[s][end]++;
	if (is_down && !r->totals.is_down[s])
		r->totals.down_since_ns[s] = now_ns;
	r->totals.is_down[s] = is_down;
	snprintf(r->totals.why[s], sizeof(r->totals.why[s]), "%s", is_down ? why : "");
	src->pause_ns = is_down ? src->pause_ns ? longer(r, src->pause_ns) : r->config.first_ns : 0;
	src->next_ns = now_ns + (is_down ? src->pause_ns : 0);
}

/* Of those that were asked for and not found a later asking may know: the pod was just made, or its
 * cgroup is older than the server's memory. */
static void settle(struct resolve *r, enum resolve_source s, bool has_answered, uint64_t now_ns)
{
	for (size_t i = 0; i < r->count; i++) {
		struct job *j = &r->job[i];

		if (j->source != s || !j->is_asked)
			continue;
		if (has_answered && !j->was_found) {
			j->due_ns = now_ns + j->pause_ns;
			j->pause_ns = longer(r, j->pause_ns);
			/* One that was answered before, and whose end is seen here first. */
			if (j->state != RESOLVE_WAITING)
				j->due_ns = now_ns + om_identity_refresh_s(r->rules) * SECOND_NS;
		}
		j->is_asked = j->was_found = false;
	}
}

static int end_asking(struct resolve *r, enum resolve_source s, int how, uint64_t now_ns, resolve_fn *fn,
		      void *ctx)
{
	struct resolve_child *c = &r->source[s].child;
	enum resolve_end end = how == 2 ? RESOLVE_TIMEOUT : RESOLVE_TOO_LARGE;
	char why[256];
	int rc = 0;

	snprintf(why, sizeof(why),
		 how == 2 ? "no answer within the time" : "the resolver said more than is taken");
	if (how == 1)
		end = end_of(c, why);
	if (end == RESOLVE_ANSWERED)
		rc = take_lines(r, s, now_ns, fn, ctx);
	note_end(r, s, end, why, now_ns);
	settle(r, s, end == RESOLVE_ANSWERED, now_ns);
	resolve_child_end(c);
	return rc;
}

/* --- asking --- */

static size_t collect(struct resolve *r, enum resolve_source s, uint64_t now_ns, const char **keys)
{
	size_t n = 0;

	for (size_t i = 0; i < r->count; i++) {
		struct job *j = &r->job[i];
		size_t k = 0;

		if (j->source != s || j->due_ns > now_ns || (j->state != RESOLVE_WAITING && !is_there(r, j)))
			continue;
		while (k < n && strcmp(keys[k], j->key))
			k++;
		if (k == RESOLVE_KEYS_MAX)
			continue;
		if (k == n)
			keys[n++] = j->key;
		j->is_asked = true;
	}
	return n;
}

static int step_source(struct resolve *r, enum resolve_source s, uint64_t now_ns, resolve_fn *fn, void *ctx)
{
	struct source *src = &r->source[s];
	const char *keys[RESOLVE_KEYS_MAX];
	size_t n;
	int how, rc;

	if (src->child.dying && waitpid(src->child.dying, NULL, WNOHANG) == 0)
		return 0;
	src->child.dying = 0;
	if (src->child.pid) {
		how = resolve_child_step(&src->child, now_ns, r->config.limit_ns);
		return how ? end_asking(r, s, how, now_ns, fn, ctx) : 0;
	}
	if (now_ns < src->next_ns)
		return 0;
	n = collect(r, s, now_ns, keys);
	if (!n)
		return 0;
	rc = resolve_child_start(&src->child, r->config.program, resolve_source_name(s), r->rules_fd, keys, n,
				 now_ns);
	if (rc) {
		note_end(r, s, RESOLVE_UNREACHABLE, strerror(-rc), now_ns);
		settle(r, s, false, now_ns);
	}
	return 0;
}

/* What the path says is all there is to ask. */
static int step_systemd(struct resolve *r, uint64_t now_ns, resolve_fn *fn, void *ctx)
{
	int rc = 0;

	for (size_t i = 0; i < r->count && rc == 0; i++) {
		struct job *j = &r->job[i];
		struct om_facts f = { 0 };
		bool is_user = strspn(j->key, "0123456789") == strlen(j->key);

		if (j->source != RESOLVE_SYSTEMD || j->due_ns > now_ns)
			continue;
		rc = om_facts_add(&f, is_user ? "uid" : "unit", j->key);
		rc = rc < 0 ? rc : answered(r, j, &f, now_ns, fn, ctx);
		if (rc == 0)
			j->due_ns = UINT64_MAX;
		om_facts_done(&f);
	}
	return rc;
}

int resolve_step(struct resolve *r, uint64_t now_ns, resolve_fn *fn, void *ctx)
{
	int rc = step_systemd(r, now_ns, fn, ctx);

	if (now_ns >= r->next_sweep_ns) {
		r->next_sweep_ns = now_ns + SWEEP_NS;
		sweep(r, now_ns);
	}
	for (int s = 0; s < RESOLVE_SYSTEMD && rc == 0; s++)
		if (r->has[s])
			rc = step_source(r, (enum resolve_source)s, now_ns, fn, ctx);
	return rc;
}

void resolve_get_totals(const struct resolve *r, struct resolve_totals *ret)
{
	*ret = r->totals;
	memset(ret->jobs, 0, sizeof(ret->jobs));
	for (size_t i = 0; i < r->count; i++)
		ret->jobs[r->job[i].source][r->job[i].state]++;
}

int resolve_each_unknown(struct resolve *r, uint64_t now_ns, uint64_t after_ns,
			 int (*fn)(void *ctx, const struct om_id *job, enum resolve_source s,
				   enum resolve_state state),
			 void *ctx)
{
	int rc = 0;

	for (size_t i = 0; i < r->count && rc == 0; i++) {
		struct job *j = &r->job[i];

		if (j->state == RESOLVE_NAMED || !j->wants_tenant || j->is_said ||
		    r->totals.is_down[j->source] || now_ns - j->wanted_ns < after_ns)
			continue;
		j->is_said = true;
		rc = fn(ctx, &j->id, (enum resolve_source)j->source, (enum resolve_state)j->state);
	}
	return rc;
}
