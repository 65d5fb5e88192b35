/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_FORMAT_H
#define OPMETER_CORE_FORMAT_H

/*
 * Number formats: the part of a register's key that says what was multiplied.
 * The values are wire format (docs/formats.md) and never change meaning.
 */

#include <stdbool.h>
#include <stdint.h>

enum om_format {
	OM_FORMAT_UNKNOWN = 0, /* losses whose format was not read */
	OM_FORMAT_FP64 = 1,
	OM_FORMAT_FP32 = 2,
	OM_FORMAT_TF32 = 3,
	OM_FORMAT_BF16 = 4,
	OM_FORMAT_FP16 = 5,
	OM_FORMAT_FP8 = 6, /* E4M3, E5M2 and products of one with the other */
	OM_FORMAT_FP6 = 7,
	OM_FORMAT_FP4 = 8,
	OM_FORMAT_INT8 = 9,
	OM_FORMAT_INT4 = 10,
	OM_FORMAT_INT16 = 11,
	OM_FORMAT_INT32 = 12,
	OM_FORMAT_INT64 = 13,
	OM_FORMAT_REAL_END,
	OM_FORMAT_COMPLEX = 0x80, /* flag: operands are complex numbers of this format */
};

enum om_meter {
	OM_METER_SHAPE = 1,
	OM_METER_LAUNCH = 2,
	OM_METER_COUNTER = 3,
	OM_METER_DEVICE = 4,
	OM_METER_ALLOCATION = 5,
	OM_METER_CORRECTION = 6, /* what was accrued is never revised: a correction is a register */
	OM_METER_END,
};

/* "bf16", "complex-fp32", "unknown"; "invalid" for a value outside the table. */
const char *om_format_name(uint8_t format);
/* 0, or -EINVAL. */
int om_format_parse(const char *name, uint8_t *ret);
bool om_format_is_valid(uint8_t format);

const char *om_meter_name(uint8_t meter);
int om_meter_parse(const char *name, uint8_t *ret);

/*
 * The format of a product from the caller's own arguments: cudaDataType of A
 * and B (library_types.h) and cublasComputeType_t (cublas_api.h), 0 if the
 * entry has none. fp32 operands under a FAST compute type are multiplied in
 * that type; operands of two widths count as the wider one.
 * An undocumented value gives OM_FORMAT_UNKNOWN: the operations count all the
 * same, under that name.
 */
uint8_t om_format_from_cuda(unsigned a_type, unsigned b_type, unsigned compute_type);

#endif
