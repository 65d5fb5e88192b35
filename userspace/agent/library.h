/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_LIBRARY_H
#define OPMETER_AGENT_LIBRARY_H

/*
 * A math or driver library file that some process maps: found and described by discovery,
 * attached to by the probes. The file is read, never loaded or run.
 */

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../bpf/opmeter.h"

enum library_kind {
	LIBRARY_CUBLAS = 1,
	LIBRARY_CUBLASLT = 2,	 /* bits: a file may hold both */
	LIBRARY_DRIVER = 4,	 /* libcuda: launches kernels */
	LIBRARY_COLLECTIVE = 16, /* NCCL: its entries are looked up when it is attached to */
	LIBRARY_COLLECTOR = 8,	 /* libopmeter-cupti: hands over readings of hardware counters */
};

struct library_entry {
	/* Index into om_gemm_entries (core/gemm_entries.h); OM_DRIVER_SITE_BASE + index
	 * into om_driver_entries (driver_entries.h). */
	uint16_t entry;
	uint64_t vaddr;	      /* of the probe: virtual address in the file (probe_site.h) */
	uint64_t file_offset; /* of that address */
};

#define LIBRARY_ENTRIES_MAX OM_CALL_SITES_MAX

struct library {
	uint64_t dev, ino; /* as fstat() of open_path shows them: what names the file here */
	/* A path the agent can open now, whatever mount namespace the file is in:
	 * /proc/PID/map_files/..., /proc/PID/root/... or a plain path. */
	char open_path[PATH_MAX];
	char display_path[PATH_MAX];   /* as the mapping process sees it; for people only */
	unsigned kind;		       /* enum library_kind, or-ed */
	uint8_t text_hash[32];	       /* SHA-256 of .text: what names the build */
	uint64_t text_start, text_end; /* virtual addresses of the executable segment(s) */
	struct library_entry entries[LIBRARY_ENTRIES_MAX];
	size_t entry_count;
	/* Where this build keeps what is read; unproven: its cublasLtMatmul calls are
	 * counted as seen but not read. Only LIBRARY_CUBLASLT needs it. */
	struct om_offsets offsets;
	bool is_proven;
};

#endif
