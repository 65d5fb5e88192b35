/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CGROUP_PATH_H
#define OPMETER_CORE_CGROUP_PATH_H

/*
 * What a cgroup path says about the workload in it. The forms are those that
 * the kubelet (systemd and cgroupfs drivers), Slurm (cgroup v1 and v2 plugins),
 * Docker, Podman and systemd give their cgroups. The kernel vouches for the path;
 * only root of the host can make a cgroup of such a name outside a workload's own
 * subtree, and a workload that delegates below itself keeps its own prefix:
 * therefore the outermost match counts.
 */

enum cgroup_kind {
	CGROUP_OTHER,
	CGROUP_KUBERNETES,
	CGROUP_SLURM,
	CGROUP_DOCKER, /* Docker or Podman outside Kubernetes */
	CGROUP_SYSTEMD,
};

struct cgroup_path {
	enum cgroup_kind kind;
	char pod[37];	     /* uid with dashes, or a static pod's 32 hex digits */
	char container[65];  /* 64 hex digits */
	char slurm_job[24];  /* decimal */
	char slurm_step[24]; /* "0", "batch", "extern" */
	char unit[128];	     /* "x.service", "session-3.scope" */
	char user[16];	     /* uid of a user slice */
};

/* Never fails: what is not recognised is CGROUP_OTHER with empty fields. */
void cgroup_path_parse(const char *path, struct cgroup_path *ret);
const char *cgroup_kind_name(enum cgroup_kind kind);

#endif
