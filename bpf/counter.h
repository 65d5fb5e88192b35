/* SPDX-License-Identifier: (GPL-2.0-only OR Apache-2.0) */
#ifndef OPMETER_BPF_COUNTER_H
#define OPMETER_BPF_COUNTER_H

/*
 * The counter meter's structures: what the collector in a tenant's process hands
 * over at its two USDT sites, and what bpf/counter.bpf.c keeps of it.
 *
 * A site hands over the address of one structure, in the first argument register.
 * All of it is the tenant's claim: only process, start and cgroup are the kernel's.
 * Readings are cumulative, so one that is lost, or seen twice, changes nothing.
 */

#include "opmeter.h"

#define OM_COUNTER_WIRE 1 /* version of the two structures below */
#define OM_COUNTER_PROVIDER "opmeter"
#define OM_COUNTER_READING_SITE "counter_reading"
#define OM_COUNTER_STATUS_SITE "counter_status"

/* Launches of one kernel and geometry, as the hardware counted them in windows. */
struct om_counter_reading {
	om_u32 version;
	om_u32 size;
	om_u64 name; /* FNV-1a of the kernel's name, as in map `names` */
	om_u32 grid[3], block[3];
	om_u32 shared;
	om_u32 metric;	  /* what was counted: COUNTER_METRIC() of userspace/cupti/metrics.h */
	om_u64 count;	  /* launches measured, at least 1 */
	om_u64 sum;	  /* operations of all of them */
	om_u64 min, max;  /* of one */
	om_u64 deviation; /* standard deviation of one, in operations; 0 for one launch */
};

/* A launch of more operations than this is absurd: 20 s of the fastest device. */
#define OM_COUNTER_OPS_MAX (1ULL << 57)
#define OM_COUNTER_COUNT_MAX (1ULL << 40)

enum om_counter_state {
	OM_COUNTER_IDLE = 1, /* waits for its next session, or for a context */
	OM_COUNTER_MEASURING = 2,
	OM_COUNTER_YIELDED = 3, /* the tenant profiles: tried again much later, then never */
	OM_COUNTER_STOPPED = 4, /* for good: the reason says why */
};
enum om_counter_reason {
	OM_COUNTER_FINE = 0,
	OM_COUNTER_NO_LIBRARY,	 /* no libcupti in the process or the system's path */
	OM_COUNTER_OLD_LIBRARY,	 /* one without the range profiler */
	OM_COUNTER_NO_DRIVER,	 /* libcuda lacks what we must ask it */
	OM_COUNTER_UNKNOWN_CHIP, /* no table of metrics */
	OM_COUNTER_MULTI_PASS,	 /* no set fits one pass here */
	OM_COUNTER_PRIVILEGES,	 /* counters are for administrators here */
	OM_COUNTER_MIG,		 /* refused in this slice */
	OM_COUNTER_CONFIDENTIAL, /* confidential computing */
	OM_COUNTER_MPS,		 /* counters would be those of several processes */
	OM_COUNTER_VIRTUAL,	 /* vGPU without profiling */
	OM_COUNTER_SUBSCRIBER,	 /* another subscriber was there */
	OM_COUNTER_BUSY,	 /* another profiler holds the hardware */
	OM_COUNTER_MEMORY,
	OM_COUNTER_REFUSED, /* another refusal of CUPTI: `detail` */
	OM_COUNTER_OFF,	    /* switched off by its environment */
	OM_COUNTER_REASON_END,
};
struct om_counter_status {
	om_u32 version;
	om_u32 size;
	om_u32 state;
	om_u32 reason;
	om_u32 detail;	      /* CUPTI's result, 0 none */
	om_u32 cupti_version; /* as cuptiGetVersion says */
	om_u32 chip;	      /* enum counter_chip_id */
	om_u32 pad;
	om_u64 sessions, measured; /* sessions begun; launches measured */
	om_u64 discarded; /* windows with another thread's work, a failed or a captured launch in them */
	om_u64 dropped;	  /* windows whose data CUPTI could not give */
	om_u64 full;	  /* launches of signatures that found no room */
	om_u64 cost_ns;	  /* what the tenant's own launches were held up */
};

/* map `counters`: om_counter_key -> om_counter. */
struct om_counter_key {
	om_u64 start_ns; /* of the process, boot time */
	om_u64 cgroup_id;
	om_u64 name;
	om_u32 grid[3], block[3];
	om_u32 shared;
	om_u32 metric;
	om_u32 tgid;
	om_u32 pad;
};
struct om_counter {
	om_u64 count, sum, min, max, deviation;
	om_u64 first_ns, last_ns; /* boot time of the first and the last reading */
};

/* map `counter_processes`: om_proc_key -> om_counter_process. */
enum om_counter_lost {
	OM_COUNTER_LOST_READ = 0, /* the structure could not be read */
	OM_COUNTER_LOST_VERSION,  /* of another version */
	OM_COUNTER_LOST_ABSURD,	  /* values that no device can have counted, or that contradict one another */
	OM_COUNTER_LOST_DECREASING, /* less than it said before, or what came on top cannot be */
	OM_COUNTER_LOST_QUOTA,	    /* too many signatures */
	OM_COUNTER_LOST_OFF,	    /* while the meter was switched off */
	OM_COUNTER_LOST_END,
};
struct om_counter_process {
	om_u64 cgroup_id;
	om_u64 signatures; /* entries of `counters` that are charged to it */
	om_u64 readings;   /* believed */
	om_u64 lost[OM_COUNTER_LOST_END];
	om_u64 last_ns;
	struct om_counter_status status; /* as it was said last; all zero: never */
};

#define OM_COUNTER_ABI_VERSION 1
struct om_counter_meta {
	om_u32 abi;
	om_u32 quota; /* signatures of one process */
};

#endif
