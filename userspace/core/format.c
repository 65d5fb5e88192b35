// SPDX-License-Identifier: Apache-2.0
#include "format.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

static const char *const format_names[OM_FORMAT_REAL_END] = {
	[OM_FORMAT_UNKNOWN] = "unknown", [OM_FORMAT_FP64] = "fp64",   [OM_FORMAT_FP32] = "fp32",
	[OM_FORMAT_TF32] = "tf32",	 [OM_FORMAT_BF16] = "bf16",   [OM_FORMAT_FP16] = "fp16",
	[OM_FORMAT_FP8] = "fp8",	 [OM_FORMAT_FP6] = "fp6",     [OM_FORMAT_FP4] = "fp4",
	[OM_FORMAT_INT8] = "int8",	 [OM_FORMAT_INT4] = "int4",   [OM_FORMAT_INT16] = "int16",
	[OM_FORMAT_INT32] = "int32",	 [OM_FORMAT_INT64] = "int64",
};

static const char *const complex_names[OM_FORMAT_REAL_END] = {
	[OM_FORMAT_UNKNOWN] = "complex-unknown", [OM_FORMAT_FP64] = "complex-fp64",
	[OM_FORMAT_FP32] = "complex-fp32",	 [OM_FORMAT_TF32] = "complex-tf32",
	[OM_FORMAT_BF16] = "complex-bf16",	 [OM_FORMAT_FP16] = "complex-fp16",
	[OM_FORMAT_FP8] = "complex-fp8",	 [OM_FORMAT_FP6] = "complex-fp6",
	[OM_FORMAT_FP4] = "complex-fp4",	 [OM_FORMAT_INT8] = "complex-int8",
	[OM_FORMAT_INT4] = "complex-int4",	 [OM_FORMAT_INT16] = "complex-int16",
	[OM_FORMAT_INT32] = "complex-int32",	 [OM_FORMAT_INT64] = "complex-int64",
};

static const char *const meter_names[OM_METER_END] = {
	[OM_METER_SHAPE] = "shape",	      [OM_METER_LAUNCH] = "launch",
	[OM_METER_COUNTER] = "counter",	      [OM_METER_DEVICE] = "device",
	[OM_METER_ALLOCATION] = "allocation", [OM_METER_CORRECTION] = "correction",
};

bool om_format_is_valid(uint8_t format)
{
	return (format & ~OM_FORMAT_COMPLEX) < OM_FORMAT_REAL_END;
}

const char *om_format_name(uint8_t format)
{
	if (!om_format_is_valid(format))
		return "invalid";
	return format & OM_FORMAT_COMPLEX ? complex_names[format & ~OM_FORMAT_COMPLEX] : format_names[format];
}

int om_format_parse(const char *name, uint8_t *ret)
{
	for (unsigned f = 0; f < 256; f++) {
		if (om_format_is_valid((uint8_t)f) && !strcmp(om_format_name((uint8_t)f), name)) {
			*ret = (uint8_t)f;
			return 0;
		}
	}
	return -EINVAL;
}

const char *om_meter_name(uint8_t meter)
{
	return meter > 0 && meter < OM_METER_END ? meter_names[meter] : "invalid";
}

int om_meter_parse(const char *name, uint8_t *ret)
{
	for (uint8_t m = 1; m < OM_METER_END; m++) {
		if (!strcmp(meter_names[m], name)) {
			*ret = m;
			return 0;
		}
	}
	return -EINVAL;
}

/* cudaDataType, library_types.h: the value is the index. The odd integer
 * widths below 8 bits share the format of their width. */
static const struct cuda_type {
	uint8_t format, bits;
} cuda_types[] = {
	[0] = { OM_FORMAT_FP32, 32 }, /* CUDA_R_32F */
	[1] = { OM_FORMAT_FP64, 64 }, /* CUDA_R_64F */
	[2] = { OM_FORMAT_FP16, 16 }, /* CUDA_R_16F */
	[3] = { OM_FORMAT_INT8, 8 },  /* CUDA_R_8I */
	[4] = { OM_FORMAT_FP32 | OM_FORMAT_COMPLEX, 32 },
	[5] = { OM_FORMAT_FP64 | OM_FORMAT_COMPLEX, 64 },
	[6] = { OM_FORMAT_FP16 | OM_FORMAT_COMPLEX, 16 },
	[7] = { OM_FORMAT_INT8 | OM_FORMAT_COMPLEX, 8 },
	[8] = { OM_FORMAT_INT8, 8 }, /* CUDA_R_8U */
	[9] = { OM_FORMAT_INT8 | OM_FORMAT_COMPLEX, 8 },
	[10] = { OM_FORMAT_INT32, 32 }, /* CUDA_R_32I */
	[11] = { OM_FORMAT_INT32 | OM_FORMAT_COMPLEX, 32 },
	[12] = { OM_FORMAT_INT32, 32 }, /* CUDA_R_32U */
	[13] = { OM_FORMAT_INT32 | OM_FORMAT_COMPLEX, 32 },
	[14] = { OM_FORMAT_BF16, 16 }, /* CUDA_R_16BF */
	[15] = { OM_FORMAT_BF16 | OM_FORMAT_COMPLEX, 16 },
	[16] = { OM_FORMAT_INT4, 4 }, /* CUDA_R_4I */
	[17] = { OM_FORMAT_INT4 | OM_FORMAT_COMPLEX, 4 },
	[18] = { OM_FORMAT_INT4, 4 }, /* CUDA_R_4U */
	[19] = { OM_FORMAT_INT4 | OM_FORMAT_COMPLEX, 4 },
	[20] = { OM_FORMAT_INT16, 16 }, /* CUDA_R_16I */
	[21] = { OM_FORMAT_INT16 | OM_FORMAT_COMPLEX, 16 },
	[22] = { OM_FORMAT_INT16, 16 }, /* CUDA_R_16U */
	[23] = { OM_FORMAT_INT16 | OM_FORMAT_COMPLEX, 16 },
	[24] = { OM_FORMAT_INT64, 64 }, /* CUDA_R_64I */
	[25] = { OM_FORMAT_INT64 | OM_FORMAT_COMPLEX, 64 },
	[26] = { OM_FORMAT_INT64, 64 }, /* CUDA_R_64U */
	[27] = { OM_FORMAT_INT64 | OM_FORMAT_COMPLEX, 64 },
	[28] = { OM_FORMAT_FP8, 8 }, /* CUDA_R_8F_E4M3 */
	[29] = { OM_FORMAT_FP8, 8 }, /* CUDA_R_8F_E5M2 */
	[30] = { OM_FORMAT_FP8, 8 }, /* CUDA_R_8F_UE8M0 */
	[31] = { OM_FORMAT_FP6, 6 }, /* CUDA_R_6F_E2M3 */
	[32] = { OM_FORMAT_FP6, 6 }, /* CUDA_R_6F_E3M2 */
	[33] = { OM_FORMAT_FP4, 4 }, /* CUDA_R_4F_E2M1 */
};

/* cublasComputeType_t: only the FAST kinds change what fp32 operands are
 * multiplied in. The emulated kinds (78, 79) stay what they compute:
 * docs/counting.md counts the algorithm, not its implementation. */
static uint8_t format_of_compute(unsigned compute_type)
{
	switch (compute_type) {
	case 74: /* CUBLAS_COMPUTE_32F_FAST_16F */
		return OM_FORMAT_FP16;
	case 75: /* CUBLAS_COMPUTE_32F_FAST_16BF */
		return OM_FORMAT_BF16;
	case 77: /* CUBLAS_COMPUTE_32F_FAST_TF32 */
		return OM_FORMAT_TF32;
	}
	return OM_FORMAT_UNKNOWN;
}

uint8_t om_format_from_cuda(unsigned a_type, unsigned b_type, unsigned compute_type)
{
	const size_t n = sizeof(cuda_types) / sizeof(cuda_types[0]);
	const struct cuda_type *wide;
	uint8_t fast = format_of_compute(compute_type);

	if (a_type >= n || b_type >= n)
		return OM_FORMAT_UNKNOWN;
	wide = cuda_types[a_type].bits >= cuda_types[b_type].bits ? &cuda_types[a_type] : &cuda_types[b_type];
	if (fast && (wide->format & ~OM_FORMAT_COMPLEX) == OM_FORMAT_FP32)
		return fast | (wide->format & OM_FORMAT_COMPLEX);
	return wide->format;
}
