// SPDX-License-Identifier: Apache-2.0
#include "cgroup_path.h"

#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* One component of the path: not NUL-terminated. */
struct part {
	const char *s;
	size_t len;
};

static bool next_part(const char **at, struct part *ret)
{
	while (**at == '/')
		(*at)++;
	ret->s = *at;
	ret->len = strcspn(*at, "/");
	*at += ret->len;
	return ret->len > 0;
}

static bool is_hex(const char *s, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isxdigit((unsigned char)s[i]))
			return false;
	return true;
}

static void keep(char *to, size_t size, const char *s, size_t len)
{
	if (!to[0] && len < size) {
		memcpy(to, s, len);
		to[len] = '\0';
	}
}

static bool ends_with(struct part p, const char *tail)
{
	size_t n = strlen(tail);

	return p.len > n && !memcmp(p.s + p.len - n, tail, n);
}

static bool begins_with(struct part p, const char *head)
{
	size_t n = strlen(head);

	return p.len > n && !memcmp(p.s, head, n);
}

/* "pod<uid>" at the end of a name: 36 characters with '-' or '_', or 32 hex digits. */
static bool take_pod(struct part p, struct cgroup_path *ret)
{
	char uid[37];
	size_t n;
	struct part q = p;

	if (ends_with(q, ".slice"))
		q.len -= 6;
	for (n = 36; n >= 32; n -= 4) {
		if (q.len < n + 3 || memcmp(q.s + q.len - n - 3, "pod", 3))
			continue;
		memcpy(uid, q.s + q.len - n, n);
		uid[n] = '\0';
		for (size_t i = 0; i < n; i++) {
			bool dash = n == 36 && (i == 8 || i == 13 || i == 18 || i == 23);

			if (dash && uid[i] == '_')
				uid[i] = '-';
			if (dash ? uid[i] != '-' : !isxdigit((unsigned char)uid[i]))
				return false;
		}
		keep(ret->pod, sizeof(ret->pod), uid, n);
		return true;
	}
	return false;
}

/* "cri-containerd-<id>.scope" and kin, or a bare id. */
static bool take_container(struct part p, struct cgroup_path *ret)
{
	static const char *const runtimes[] = { "cri-containerd-", "crio-",    "docker-",
						"libpod-",	   "nerdctl-", "" };

	if (ends_with(p, ".scope"))
		p.len -= 6;
	for (size_t i = 0; i < sizeof(runtimes) / sizeof(runtimes[0]); i++) {
		size_t n = strlen(runtimes[i]);

		if (p.len == n + 64 && !memcmp(p.s, runtimes[i], n) && is_hex(p.s + n, 64)) {
			keep(ret->container, sizeof(ret->container), p.s + n, 64);
			return true;
		}
	}
	return false;
}

static bool take_number(struct part p, const char *head, char *to, size_t size)
{
	size_t n = strlen(head);

	if (!begins_with(p, head) || strspn(p.s + n, "0123456789") < p.len - n)
		return false;
	keep(to, size, p.s + n, p.len - n);
	return true;
}

static void take_systemd(struct part p, struct cgroup_path *ret)
{
	if (begins_with(p, "user-") && ends_with(p, ".slice"))
		keep(ret->user, sizeof(ret->user), p.s + 5, p.len - 11);
	else if (ends_with(p, ".service") || ends_with(p, ".scope"))
		keep(ret->unit, sizeof(ret->unit), p.s, p.len);
}

void cgroup_path_parse(const char *path, struct cgroup_path *ret)
{
	bool in_kube = false, in_slurm = false;
	const char *at = path;
	struct part p;

	memset(ret, 0, sizeof(*ret));
	while (next_part(&at, &p)) {
		/* Below somebody's unit or container everything is named by them. */
		bool outermost = ret->kind == CGROUP_OTHER && !ret->unit[0] && !ret->user[0];

		if (outermost && p.len >= 8 && (!memcmp(p.s, "kubepods", 8) || !memcmp(p.s, "kubelet-", 8)))
			in_kube = true;
		if (outermost && ((p.len == 5 && !memcmp(p.s, "slurm", 5)) || begins_with(p, "slurmstepd") ||
				  begins_with(p, "slurm_")))
			in_slurm = true;
		if (in_kube && ret->kind == CGROUP_OTHER && take_pod(p, ret))
			ret->kind = CGROUP_KUBERNETES;
		else if (in_slurm && ret->kind == CGROUP_OTHER &&
			 take_number(p, "job_", ret->slurm_job, sizeof(ret->slurm_job)))
			ret->kind = CGROUP_SLURM;
		else if (ret->kind == CGROUP_SLURM && begins_with(p, "step_"))
			keep(ret->slurm_step, sizeof(ret->slurm_step), p.s + 5, p.len - 5);
		else if (ret->kind != CGROUP_SLURM && take_container(p, ret))
			ret->kind = ret->kind == CGROUP_KUBERNETES ? CGROUP_KUBERNETES : CGROUP_DOCKER;
		else if (ret->kind == CGROUP_OTHER && !in_slurm && !in_kube)
			take_systemd(p, ret);
	}
	if (ret->kind == CGROUP_OTHER && (ret->unit[0] || ret->user[0]))
		ret->kind = CGROUP_SYSTEMD;
}

const char *cgroup_kind_name(enum cgroup_kind kind)
{
	static const char *const names[] = { "other", "kubernetes", "slurm", "docker", "systemd" };

	return names[kind];
}
