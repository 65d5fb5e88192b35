/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_OFFSETS_H
#define OPMETER_CORE_OFFSETS_H

/*
 * Where a build of libcublasLt keeps what the shape meter reads. NVIDIA calls the
 * descriptors opaque, so offsets are data, proved from the vendor's own file by
 * `opmeter prove` and keyed by the SHA-256 of its code: data/offsets.csv, one row
 * a build, updated without a new agent.
 *
 * The file is text: `#` begins a comment line; the first other line names the
 * columns, which must be the ones of this version in this order; then one line a
 * row. A byte offset is a decimal number, or `-` where this build has no such
 * field. Nothing is quoted and no field holds a comma.
 */

#include <stddef.h>
#include <stdint.h>

#include "../base/cleanup.h"
#include "../base/log.h"

/* Fields of cublasLtMatrixLayoutOpaque_t and cublasLtMatmulDescOpaque_t. */
enum om_offset_field {
	OM_OFFSET_LAYOUT_TYPE,	 /* u32 cudaDataType */
	OM_OFFSET_LAYOUT_ORDER,	 /* u32 cublasLtOrder_t */
	OM_OFFSET_LAYOUT_ROWS,	 /* u64 */
	OM_OFFSET_LAYOUT_COLS,	 /* u64 */
	OM_OFFSET_LAYOUT_LD,	 /* s64 */
	OM_OFFSET_LAYOUT_BATCH,	 /* s32 batch count */
	OM_OFFSET_LAYOUT_STRIDE, /* s64 elements from one matrix of the batch to the next */
	OM_OFFSET_LAYOUT_MODE,	 /* u16 cublasLtBatchMode_t; older builds have none. Its attribute is 32 bits
				  * wide, but 13.10 keeps something else in the upper half of the word */
	OM_OFFSET_DESC_COMPUTE,	 /* u32 cublasComputeType_t */
	OM_OFFSET_DESC_SCALE,	 /* u32 cudaDataType */
	OM_OFFSET_DESC_TRANSA,	 /* u32 cublasOperation_t */
	OM_OFFSET_DESC_TRANSB,	 /* u32 cublasOperation_t */
	OM_OFFSET_FIELD_END,
};
#define OM_OFFSET_ABSENT UINT16_MAX

const char *om_offset_field_name(enum om_offset_field field); /* "layout_rows": the column */
unsigned om_offset_field_size(enum om_offset_field field);    /* bytes: 2, 4 or 8 */

#define OM_SHA256_SIZE 32
#define OM_SHA256_STRLEN 65

struct om_offsets_row {
	uint8_t text_sha256[OM_SHA256_SIZE];
	char library[32]; /* file name: "libcublasLt.so.13" */
	char version[32]; /* as the library says: "13.10.0"; the package's version is in source */
	char source[128]; /* the package that the file came from */
	char proved[96];  /* how */
	uint16_t at[OM_OFFSET_FIELD_END];
};

struct om_offsets_table;

#define OM_OFFSETS_ROWS_MAX 63

#ifndef OPMETER_DATADIR
#define OPMETER_DATADIR "/usr/share/opmeter"
#endif
#define OM_OFFSETS_DEFAULT_PATH OPMETER_DATADIR "/offsets.csv"

/*
 * 0; -EINVAL: *err is one sentence that begins with "path:line:"; -E2BIG: too many
 * rows; -ENOENT and other errors of opening.
 */
int om_offsets_load(const char *path, struct om_offsets_table **ret, struct error_text *err);
struct om_offsets_table *om_offsets_free(struct om_offsets_table *t); /* NULL is fine; returns NULL */
#define _cleanup_offsets_ _cleanup_(om_offsets_freep)
static inline void om_offsets_freep(struct om_offsets_table **t)
{
	*t = om_offsets_free(*t);
}

size_t om_offsets_count(const struct om_offsets_table *t);
const struct om_offsets_row *om_offsets_row(const struct om_offsets_table *t, size_t i);
/* NULL: this build is not proven. t may be NULL: nothing is. */
const struct om_offsets_row *om_offsets_find(const struct om_offsets_table *t,
					     const uint8_t text_sha256[OM_SHA256_SIZE]);

/* 0, or -EINVAL and one sentence in why: an offset out of range, not aligned to its
 * field, or in another field. The reader checks each row so. */
int om_offsets_check(const struct om_offsets_row *row, char *why, size_t size);

/* One line of the file, without the newline. 0, or -ENOSPC. */
int om_offsets_format_row(const struct om_offsets_row *row, char *buf, size_t size);
/* The line of column names. */
int om_offsets_format_header(char *buf, size_t size);

const char *om_sha256_format(const uint8_t hash[OM_SHA256_SIZE], char buf[OM_SHA256_STRLEN]);

#endif
