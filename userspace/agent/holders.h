/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_HOLDERS_H
#define OPMETER_AGENT_HOLDERS_H

/*
 * Who holds a device, whether or not a process of theirs shows on it. Three sources,
 * all of them the node's root's word, none the tenant's:
 *
 *   kubelet   the device manager's checkpoint, kubelet_internal_checkpoint: pod uid ->
 *             device ids (Kubernetes 1.20 and later; 1.31.3 read). Not the pod resources
 *             API, which names pods by namespace and name, and no cgroup has those; the
 *             uid is in the cgroup's path.
 *   Slurm     squeue and scontrol, asked for each job on this node, by a child of ours
 *             that is killed when it takes too long: job -> GRES index
 *   map       a file of the operator's: device -> cgroup
 *
 * A holder is a cgroup that exists: an entry of a pod or job that is gone is none.
 * One thread.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/log.h"
#include "cgroups.h"

enum holder_source { HOLDER_MAP, HOLDER_KUBELET, HOLDER_SLURM, HOLDER_SOURCES };
const char *holder_source_name(enum holder_source s);

#define HOLDERS_KUBELET_CHECKPOINT "/var/lib/kubelet/device-plugins/kubelet_internal_checkpoint"

struct holders_config {
	struct cgroups *cgroups;     /* a loan */
	const char *checkpoint_path; /* NULL: HOLDERS_KUBELET_CHECKPOINT */
	const char *map_path;	     /* NULL: none */
	const char *slurm_node;	     /* NULL: this host's name up to its first dot */
	const char *program;	     /* that has the Slurm verb; NULL: this one */
	uint64_t interval_ns; /* 0: 10 s: cgroups and Slurm; the checkpoint's change is seen each second */
};

struct holder {
	enum holder_source source;
	char device[64];    /* UUID of a GPU or MIG device, or an index in decimal */
	char key[256];	    /* pod uid, Slurm job, or cgroup path */
	uint64_t cgroup_id; /* 0: it has none now */
};

struct holders_totals {
	uint64_t held[HOLDER_SOURCES];	   /* entries with a cgroup */
	uint64_t gone[HOLDER_SOURCES];	   /* entries without one */
	uint64_t failures[HOLDER_SOURCES]; /* readings that failed: what was read before holds on */
	uint64_t cut;			   /* entries or cgroups beyond what is kept */
};

struct holders;
/* 0; -EINVAL: the map is not right; -errno. *err says where and what to do. */
int holders_open(const struct holders_config *config, struct holders **ret, struct error_text *err);
struct holders *holders_free(struct holders *h); /* ends the child; NULL is fine; returns NULL */
/* Wants a call each second. Never waits. */
void holders_step(struct holders *h, uint64_t now_ns);

/* Cgroups that hold the device: by its UUID, one of `slices` (UUIDs of MIG devices, ended by NULL;
 * or NULL), or its index. Writes at most max, each once; returns how many. */
size_t holders_find(const struct holders *h, const char *uuid, const char *const *slices, uint32_t index,
		    uint64_t *ret, size_t max);
void holders_get_totals(const struct holders *h, struct holders_totals *ret);

/* --- parts, for the module and its tests --- */

#define HOLDERS_MAX 4096
struct holder_list {
	struct holder *item; /* room for HOLDERS_MAX */
	size_t count;
	uint64_t cut;
};
/* Entries of one source replace those before. 0; -EBADMSG or -errno with *err, and *l as it was. */
int holders_read_checkpoint(const char *path, struct holder_list *l, struct error_text *err);
int holders_read_map(const char *path, struct holder_list *l, struct error_text *err);

#define HOLDERS_SLURM_VERB "slurm-holders"
/* The child: asks Slurm, writes "JOB INDEX\n" for each, then "end\n". Returns an exit code. */
int holders_slurm(const char *node, int fd);
/* GPU indices that one job's text of `scontrol -o -d show job` gives it on `node`. Every place that looks
 * like it counts: a job's own text may name more for itself, never fewer. */
uint64_t holders_slurm_indices(const char *text, const char *node);
/* Whether a Slurm host list ("gpu[01-04,7],login") has the name. */
bool holders_slurm_has_node(const char *list, size_t len, const char *node);

#endif
