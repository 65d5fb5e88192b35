// SPDX-License-Identifier: Apache-2.0
#include "holders.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../base/cleanup.h"
#include "../core/cgroup_path.h"

#define INTERVAL_NS 10000000000ULL
#define SLURM_LIMIT_NS 8000000000ULL /* for one asking */
#define ANSWER_MAX (64 * 1024)
#define CGROUPS_MAX 20000 /* looked at in one walk */
#define DEPTH_MAX 8

struct holders {
	struct holders_config config;
	char node[256];
	struct holder_list list;
	struct stat checkpoint; /* as last read; all zero: not there */
	uint64_t next_walk_ns, next_slurm_ns;
	bool has_slurm_jobs; /* in the last walk: else nobody is asked */
	bool is_changed;
	pid_t child; /* 0: none */
	pid_t dying; /* killed, not gone yet: no other is started */
	int child_fd;
	uint64_t child_since_ns;
	char *answer;
	size_t answer_len;
	size_t looked;
	struct holders_totals totals;
};

const char *holder_source_name(enum holder_source s)
{
	static const char *const names[] = { "map", "kubelet", "slurm" };

	return s < HOLDER_SOURCES ? names[s] : "?";
}

/* --- cgroups --- */

static void claim(struct holders *h, const char *path, const struct cgroup_path *p)
{
	const char *job = p->slurm_job[0] && !p->slurm_step[0] ? p->slurm_job : NULL;
	const char *pod = p->pod[0] && !p->container[0] ? p->pod : NULL;

	h->has_slurm_jobs |= job != NULL;
	for (size_t i = 0; i < h->list.count; i++) {
		struct holder *o = &h->list.item[i];
		const char *is = o->source == HOLDER_KUBELET ? pod : o->source == HOLDER_SLURM ? job : NULL;

		/* The outermost cgroup of the pod or job: those below are its own. */
		if (is && !o->cgroup_id && !strcmp(is, o->key))
			o->cgroup_id = cgroups_of_path(h->config.cgroups, path);
	}
}

static void closedirp(DIR **d)
{
	if (*d)
		closedir(*d);
}

/* Pods and jobs have cgroups a few levels down; below those nothing is looked at, nor in containers and
 * users' slices: what is in there is made by tenants, who could make more of it than is looked at. */
static void walk(struct holders *h, const char *path, int depth)
{
	_cleanup_(closedirp) DIR *d = NULL;
	char full[PATH_MAX];
	struct dirent *e;

	snprintf(full, sizeof(full), "%s%s", cgroups_root(h->config.cgroups), path);
	d = opendir(full);
	while (d && (e = readdir(d))) {
		char below[PATH_MAX];
		struct cgroup_path p;

		if (e->d_type != DT_DIR || e->d_name[0] == '.')
			continue;
		if (h->looked == CGROUPS_MAX || strlen(path) + strlen(e->d_name) + 2 > sizeof(below)) {
			h->totals.cut++;
			return;
		}
		h->looked++;
		snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		cgroup_path_parse(below, &p);
		if (p.pod[0] || p.slurm_job[0])
			claim(h, below, &p);
		else if (depth < DEPTH_MAX && !p.container[0] && !p.user[0])
			walk(h, below, depth + 1);
	}
}

static void find_cgroups(struct holders *h)
{
	memset(h->totals.held, 0, sizeof(h->totals.held));
	memset(h->totals.gone, 0, sizeof(h->totals.gone));
	for (size_t i = 0; i < h->list.count; i++)
		h->list.item[i].cgroup_id = h->list.item[i].source == HOLDER_MAP
						    ? cgroups_of_path(h->config.cgroups, h->list.item[i].key)
						    : 0;
	h->looked = 0;
	h->has_slurm_jobs = false;
	walk(h, "", 0);
	for (size_t i = 0; i < h->list.count; i++)
		if (h->list.item[i].cgroup_id)
			h->totals.held[h->list.item[i].source]++;
		else
			h->totals.gone[h->list.item[i].source]++;
}

/* --- the kubelet --- */

static void drop(struct holder_list *l, enum holder_source source)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->count; i++)
		if (l->item[i].source != source)
			l->item[kept++] = l->item[i];
	l->count = kept;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static void look_at_checkpoint(struct holders *h)
{
	const char *path = h->config.checkpoint_path ?: HOLDERS_KUBELET_CHECKPOINT;
	struct error_text err = { 0 };
	struct stat st = { 0 };
	int r;

	if (stat(path, &st)) {
		/* No kubelet here, or none any more. */
		h->is_changed |= h->checkpoint.st_ino != 0;
		h->checkpoint = (struct stat){ 0 };
		drop(&h->list, HOLDER_KUBELET);
		return;
	}
	if (same_file(&st, &h->checkpoint))
		return;
	h->checkpoint = st;
	h->is_changed = true;
	r = holders_read_checkpoint(path, &h->list, &err);
	if (r) {
		h->totals.failures[HOLDER_KUBELET]++;
		log_warn("holders of devices: %s; what was read before holds on",
			 err.text[0] ? err.text : strerror(-r));
	}
}

/* --- Slurm --- */

static void exec_child(const struct holders *h, int fd, pid_t parent)
{
	const char *program = h->config.program ?: getenv("OPMETER_SELF") ?: "/proc/self/exe";
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(fd, STDOUT_FILENO) < 0)
		_exit(1);
	close_range(3, ~0u, 0); /* the ledger's lock among them, which must end with the agent */
	/* A group of its own: what it starts ends with it. */
	setpgid(0, 0);
	execl(program, "opmeter", HOLDERS_SLURM_VERB, h->node, (char *)NULL);
	_exit(127);
}

static void start_child(struct holders *h, uint64_t now_ns)
{
	_cleanup_close_ int to_read = -1;
	_cleanup_close_ int to_write = -1;
	pid_t parent = getpid(), pid;
	int fds[2];

	if (pipe2(fds, O_CLOEXEC))
		return;
	to_read = fds[0];
	to_write = fds[1];
	fcntl(to_read, F_SETFL, O_NONBLOCK);
	pid = fork();
	if (pid == 0)
		exec_child(h, to_write, parent);
	if (pid < 0)
		return;
	setpgid(pid, pid);
	h->child = pid;
	h->child_fd = TAKE_FD(to_read);
	h->child_since_ns = now_ns;
	h->answer_len = 0;
}

static void end_child(struct holders *h)
{
	if (!h->child)
		return;
	kill(-h->child, SIGKILL);
	kill(h->child, SIGKILL);
	/* One that hangs in the kernel (a configuration on a dead file server) is waited for later. */
	if (waitpid(h->child, NULL, WNOHANG) == 0)
		h->dying = h->child;
	close(h->child_fd);
	h->child = 0;
	h->child_fd = -1;
}

/* "JOB INDEX" lines, then "end": without it the answer is cut short, and none. */
static bool take_answer(struct holders *h)
{
	struct holder_list *l = &h->list;
	bool has_end = false;
	char *save = NULL;

	h->answer[h->answer_len] = '\0';
	has_end = h->answer_len >= 4 && !strcmp(h->answer + h->answer_len - 4, "end\n");
	if (!has_end)
		return false;
	drop(l, HOLDER_SLURM);
	for (char *line = strtok_r(h->answer, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		struct holder n = { .source = HOLDER_SLURM };

		if (sscanf(line, "%23[0-9] %3[0-9]", n.key, n.device) != 2)
			continue;
		if (l->count == HOLDERS_MAX)
			l->cut++;
		else
			l->item[l->count++] = n;
	}
	return true;
}

static void look_at_slurm(struct holders *h, uint64_t now_ns)
{
	ssize_t n = 0;

	if (h->dying && waitpid(h->dying, NULL, WNOHANG) == 0)
		return;
	h->dying = 0;
	if (!h->child) {
		if (h->has_slurm_jobs && now_ns >= h->next_slurm_ns) {
			h->next_slurm_ns = now_ns + h->config.interval_ns;
			start_child(h, now_ns);
		} else if (!h->has_slurm_jobs) {
			drop(&h->list, HOLDER_SLURM);
		}
		return;
	}
	while (h->answer_len < ANSWER_MAX &&
	       (n = read(h->child_fd, h->answer + h->answer_len, ANSWER_MAX - h->answer_len)) > 0)
		h->answer_len += (size_t)n;
	if (n < 0 && errno == EAGAIN && now_ns - h->child_since_ns < SLURM_LIMIT_NS)
		return;
	if (n == 0 && take_answer(h)) {
		h->is_changed = true;
	} else {
		if (!h->totals.failures[HOLDER_SLURM]++)
			log_warn("holders of devices: Slurm did not answer (squeue, scontrol); what it said "
				 "before holds on");
	}
	end_child(h);
}

/* --- the whole --- */

static void set_node(struct holders *h)
{
	if (h->config.slurm_node)
		snprintf(h->node, sizeof(h->node), "%s", h->config.slurm_node);
	else
		gethostname(h->node, sizeof(h->node) - 1);
	if (!h->config.slurm_node)
		h->node[strcspn(h->node, ".")] = '\0';
}

int holders_open(const struct holders_config *config, struct holders **ret, struct error_text *err)
{
	struct holders *h = calloc(1, sizeof(*h));
	int r = 0;

	if (!h)
		return -ENOMEM;
	h->config = *config;
	h->config.interval_ns = config->interval_ns ?: INTERVAL_NS;
	h->child_fd = -1;
	h->list.item = calloc(HOLDERS_MAX, sizeof(*h->list.item));
	h->answer = malloc(ANSWER_MAX + 1);
	if (!h->list.item || !h->answer)
		r = -ENOMEM;
	set_node(h);
	if (r == 0 && config->map_path)
		r = holders_read_map(config->map_path, &h->list, err);
	if (r) {
		holders_free(h);
		return r;
	}
	*ret = h;
	return 0;
}

struct holders *holders_free(struct holders *h)
{
	if (!h)
		return NULL;
	end_child(h);
	free(h->list.item);
	free(h->answer);
	free(h);
	return NULL;
}

void holders_step(struct holders *h, uint64_t now_ns)
{
	look_at_checkpoint(h);
	look_at_slurm(h, now_ns);
	if (!h->is_changed && now_ns < h->next_walk_ns)
		return;
	h->is_changed = false;
	h->next_walk_ns = now_ns + h->config.interval_ns;
	find_cgroups(h);
}

static bool is_device(const struct holder *o, const char *uuid, const char *const *slices, uint32_t index)
{
	char number[16];

	/* The name of a whole device in MIG mode is that of none of its slices. */
	for (size_t i = 0; slices && slices[i]; i++)
		if (!strcmp(o->device, slices[i]))
			return true;
	if (slices && slices[0])
		return false;
	snprintf(number, sizeof(number), "%u", index);
	return !strcmp(o->device, uuid) || !strcmp(o->device, number);
}

size_t holders_find(const struct holders *h, const char *uuid, const char *const *slices, uint32_t index,
		    uint64_t *ret, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; i < h->list.count && n < max; i++) {
		const struct holder *o = &h->list.item[i];
		bool is_known = false;

		if (!o->cgroup_id || !is_device(o, uuid, slices, index))
			continue;
		for (size_t k = 0; k < n; k++)
			is_known |= ret[k] == o->cgroup_id;
		if (!is_known)
			ret[n++] = o->cgroup_id;
	}
	return n;
}

void holders_get_totals(const struct holders *h, struct holders_totals *ret)
{
	*ret = h->totals;
	ret->cut += h->list.cut;
}
