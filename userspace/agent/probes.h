/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_PROBES_H
#define OPMETER_AGENT_PROBES_H

/*
 * The kernel side's loader: loads the programs, makes or adopts the pinned maps,
 * attaches the probes to library files.
 *
 * Maps and links are pinned in a directory on a BPF file system, so counting
 * goes on when this process ends, however it ends. Another instance with the
 * same OM_ABI_VERSION, of this build or another, adopts the maps; probes of the
 * same build stay as they are, those of another are attached anew and the old
 * ones dropped after. Each call is counted once all the while (bpf/matmul.bpf.c).
 *
 *     DIR/maps/NAME                            maps
 *     DIR/process/PROGRAM-TAG                  links of bpf/process.bpf.c
 *     DIR/libraries/SEQ-DEV-INO-BUILD/ENTRY    links of one library file
 *
 * No descriptor is held for a probe: the pin holds it. One thread uses a struct
 * probes. Releasing unpins on a thread of its own; the kernel then detaches, 0.1 s
 * a probe, on a thread of its, so a released probe may fire for some seconds. Its
 * calls are counted, or are duplicates beside newer probes.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../bpf/opmeter.h"
#include "../base/cleanup.h"
#include "../base/log.h"
#include "../core/register.h"
#include "library.h"

#define PROBES_PIN_DIR "/sys/fs/bpf/opmeter"

struct probes_config {
	const char *pin_dir; /* NULL: PROBES_PIN_DIR; made if it is not there */
	/* Capacities in entries, 0: the default. Adopted maps keep theirs. */
	uint32_t shapes_max;	/* 65536: 9 MiB of kernel memory; a drain walks it all */
	uint32_t sums_max;	/* 65536 */
	uint32_t spills_max;	/* 8192 */
	uint32_t processes_max; /* 32768 */
	uint32_t cgroups_max;	/* 8192 */
	uint32_t launches_max;	/* 65536 */
	uint32_t contents_max;	/* 65536 */
	/* Quotas of one process, 0: the default. */
	uint32_t shapes_per_process;   /* 4096 */
	uint32_t sums_per_process;     /* 64 */
	uint32_t launches_per_process; /* 4096 signatures */
	uint32_t names_per_process;    /* 4096 */
	uint32_t handles_per_process;  /* 16384 */
	uint32_t contents_per_process; /* 16384: products and launches in all its graphs */
	/* Character devices of the GPU driver (/proc/devices); 0: none. */
	uint32_t device_majors[OM_DEVICE_MAJORS_MAX];
	uint64_t build_salt; /* tests of upgrades: not 0 makes this instance another build */
};

struct probes;

/*
 * Loads and adopts. 0, or with a sentence in *err that says what to do:
 * -ENOTSUP no BTF, or a fact of the kernel is missing; -EPERM no CAP_BPF and
 * CAP_PERFMON; -ENODEV pin_dir is on no BPF file system; -EMFILE the limit of
 * open files is too low (the soft one is raised first); -EPROTONOSUPPORT the
 * pins are of another ABI version; others from the kernel.
 */
int probes_open(const struct probes_config *config, struct probes **ret, struct error_text *err);

/* Lets go: pins stay, counting goes on. A release in progress ends after the
 * probe it is at; what is left is swept by the next instance. NULL is fine. */
struct probes *probes_free(struct probes *p);
static inline void probes_freep(struct probes **p)
{
	*p = probes_free(*p);
}
#define _cleanup_probes_ _cleanup_(probes_freep)

/* The set of maps: random, made with them. */
const struct om_id *probes_map_id(const struct probes *p);
/* True if the maps were there before this instance. */
bool probes_was_adopted(const struct probes *p);
/* Hex, 16 digits: programs and table of this build on this kernel. */
const char *probes_build(const struct probes *p);
const struct om_features *probes_features(const struct probes *p);

/*
 * Attaches to every entry of the library, or keeps the probes that this build
 * has on that file already (same dev, ino and text). Either all entries are
 * attached, or none: -errno, and *err says which. Older probes on the file are
 * released in the background.
 * *ret_seq (may be NULL): the number of the attachment. -ENOSPC: OM_LIBRARIES_MAX
 * files are attached. lib is not kept.
 */
int probes_attach(struct probes *p, const struct library *lib, uint32_t *ret_seq, struct error_text *err);

/* Begins to release every probe on that file. 0, or -ENOENT. */
int probes_release(struct probes *p, uint64_t dev, uint64_t ino);

/* Begins to release the probes on files that this instance has not attached or
 * kept: to be called once, when discovery's first scan is through. */
int probes_sweep(struct probes *p, size_t *ret_count);

/* Waits until what was to be released is unpinned: 0, or -ETIMEDOUT. */
int probes_wait_released(struct probes *p, int timeout_ms);

/* Files that have probes now, by any instance. */
size_t probes_attached_count(const struct probes *p);

/* The switch that every program reads first: in force at once, for every
 * instance. The calls skipped are counted. `meters`: enum om_off, or-ed. */
int probes_set_off(struct probes *p, uint32_t meters, bool is_off);
uint32_t probes_off(const struct probes *p); /* which are off now */

/* The same without an instance, for verbs. pin_dir NULL: PROBES_PIN_DIR.
 * -ENOENT: nothing is pinned there. */
int probes_switch(const char *pin_dir, uint32_t meters, bool is_off, struct error_text *err);

/* Where a process has the text of product libraries (addresses in it): launches from
 * there belong to products. start_ticks: as in /proc/PID/stat. Added to what is known of it. -ENOSPC:
 * OM_RANGES_MAX. */
int probes_range_add(struct probes *p, uint32_t tgid, uint64_t start_ticks, uint64_t start, uint64_t end);

/* Removes every pin below pin_dir: links first, then maps. What was not drained
 * is gone. Detaching takes 0.1 s a probe. -ENOENT: nothing there. */
int probes_remove_all(const char *pin_dir, struct error_text *err);

/* Sums over the CPUs. */
int probes_stats(const struct probes *p, struct om_stats *ret);

/* What the programs cost. The kernel keeps run counts and times while somebody
 * asks for them, which itself costs about 0.03 us a run: switch it on for
 * a while (at the start, once a minute), not for good. */
struct probes_cost {
	uint64_t runs;
	uint64_t time_ns;
};
int probes_set_measured(struct probes *p, bool is_measured);
/* Of the programs of some meters: OM_OFF_SHAPE, OM_OFF_LAUNCH or OM_OFF_COUNTER, or-ed; OM_OFF_NODE: of all.
 */
int probes_cost(const struct probes *p, uint32_t meters, struct probes_cost *ret);

/* For agent/drain.c. */
enum probes_map {
	PROBES_CONTROL,
	PROBES_LIMITS,
	PROBES_META,
	PROBES_SHAPES,
	PROBES_SUMS,
	PROBES_SPILLS,
	PROBES_PROCS,
	PROBES_LINEAGES,
	PROBES_THREADS,
	PROBES_LIBRARIES,
	PROBES_CGROUPS,
	PROBES_STATS,
	PROBES_LAUNCHES,
	PROBES_NAMES,
	PROBES_HANDLES,
	PROBES_SEGMENTS,
	PROBES_CONTENTS,
	PROBES_REPLAYS,
	PROBES_RANGES,
	PROBES_ACTIVITY,
	PROBES_SAMPLING,
	PROBES_BURSTS,
	PROBES_MAP_END, /* the pinned ones */
};
int probes_map_fd(const struct probes *p, enum probes_map map);
uint32_t probes_map_capacity(const struct probes *p, enum probes_map map);

#endif
