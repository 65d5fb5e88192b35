// SPDX-License-Identifier: Apache-2.0
/*
 * The tables of metrics.h. Names and passes are CUPTI's own answers, from the host
 * side of 12.9.79 and 13.0.85, which agree; tests/cupti/metrics.sh asks them again.
 */

#include "metrics.h"

#include <stdlib.h>
#include <string.h>

/* Numbers of enum om_format (core/format.h), which this library does not include. */
enum { FP64 = 1, FP32 = 2, TF32 = 3, BF16 = 4, FP16 = 5, FP8 = 6, FP6 = 7, FP4 = 8, INT8 = 9, INT4 = 10 };

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define TENSOR(what, format, part, parts)                                                                    \
	{                                                                                                    \
		"sm__ops_path_tensor_" what ".sum", format, part, parts, 1                                   \
	}
#define ONE(what, format) TENSOR(what, format, 0, 1)
#define SCALAR(what, format, weight)                                                                         \
	{                                                                                                    \
		"sm__sass_thread_inst_executed_op_" what "_pred_on.sum", format, 0, 1, weight                \
	}
#define SET(...)                                                                                             \
	{                                                                                                    \
		.metric = { __VA_ARGS__ },                                                                   \
		.count = sizeof((struct counter_metric[]){ __VA_ARGS__ }) / sizeof(struct counter_metric)    \
	}
#define SCALAR_SET                                                                                           \
	{                                                                                                    \
		.metric = { SCALAR("dadd", FP64, 1), SCALAR("dmul", FP64, 1), SCALAR("dfma", FP64, 2),       \
			    SCALAR("fadd", FP32, 1), SCALAR("fmul", FP32, 1), SCALAR("ffma", FP32, 2) },     \
		.count = 6, .is_scalar = true                                                                \
	}
#define SPLIT(what, format)                                                                                  \
	SET(TENSOR(what "_sparsity_off", format, 0, 2)), SET(TENSOR(what "_sparsity_on", format, 1, 2))

static const struct counter_set gv100[] = {
	SET(TENSOR("src_fp16_dst_fp32", FP16, 0, 2), TENSOR("src_fp16_dst_fp16", FP16, 1, 2)),
	SCALAR_SET,
};

/* Its one counter for fp32 results does not tell fp16 from others: the chip has fp16 only. */
static const struct counter_set tu10x[] = {
	SET(TENSOR("src_fp16_bf16_tf32_dst_fp32", FP16, 0, 2), TENSOR("src_fp16_dst_fp16", FP16, 1, 2),
	    ONE("src_int8", INT8), ONE("src_int4", INT4)),
	SCALAR_SET,
};

static const struct counter_set ga100[] = {
	SET(ONE("src_bf16_dst_fp32", BF16)),
	SET(TENSOR("src_fp16_dst_fp32", FP16, 0, 2)),
	SET(ONE("src_tf32_dst_fp32", TF32)),
	SET(TENSOR("src_fp16_dst_fp16", FP16, 1, 2), ONE("src_fp64", FP64)),
	SPLIT("src_int8", INT8),
	SPLIT("src_int4", INT4),
	SCALAR_SET,
};

static const struct counter_set ad10x[] = {
	SET(ONE("src_bf16_dst_fp32", BF16)),
	SET(TENSOR("src_fp16_dst_fp32", FP16, 0, 2)),
	SET(ONE("src_fp8", FP8), ONE("src_fp64", FP64)),
	SET(ONE("src_tf32_dst_fp32", TF32)),
	SET(TENSOR("src_fp16_dst_fp16", FP16, 1, 2)),
	SPLIT("src_int8", INT8),
	SPLIT("src_int4", INT4),
	SCALAR_SET,
};

static const struct counter_set gh100[] = {
	SET(ONE("src_bf16_dst_fp32", BF16), ONE("src_fp8", FP8), TENSOR("op_hgmma_src_fp16", FP16, 0, 3)),
	SET(ONE("src_tf32_dst_fp32", TF32), TENSOR("op_igmma_src_int8", INT8, 0, 3)),
	SET(ONE("src_fp64", FP64), TENSOR("op_hmma_src_fp16_dst_fp16", FP16, 1, 3)),
	SET(TENSOR("op_hmma_src_fp16_dst_fp32", FP16, 2, 3)),
	SET(TENSOR("op_imma_src_int8_sparsity_off", INT8, 1, 3)),
	SET(TENSOR("op_imma_src_int8_sparsity_on", INT8, 2, 3)),
	SCALAR_SET,
};

/* FP8 here is FP8, FP6 and FP4 as the general instruction takes them: one counter for all. */
#define QMMA "op_utcqmma_src_fp4_fp6_fp8_dst_fp32_sparsity_"
static const struct counter_set gb100[] = {
	SET(ONE("src_bf16_dst_fp32", BF16), TENSOR(QMMA "off", FP8, 0, 3)),
	SET(TENSOR("src_fp16_dst_fp32", FP16, 0, 4), TENSOR(QMMA "on", FP8, 1, 3)),
	SET(ONE("src_fp4_dst_fp32", FP4), ONE("src_fp64", FP64),
	    TENSOR("op_utchmma_src_tf32_dst_fp32_sparsity_off", TF32, 0, 3),
	    TENSOR("op_hmma_src_fp16_dst_fp16", FP16, 1, 4)),
	SET(TENSOR("src_fp4_fp6_fp8_dst_fp16", FP8, 2, 3), TENSOR("op_hmma_src_tf32_dst_fp32", TF32, 1, 3),
	    TENSOR("op_utchmma_src_tf32_dst_fp32_sparsity_on", TF32, 2, 3)),
	SET(TENSOR("op_utchmma_src_fp16_dst_fp16_sparsity_off", FP16, 2, 4),
	    TENSOR("op_imma_src_int8", INT8, 0, 3)),
	SET(TENSOR("op_utchmma_src_fp16_dst_fp16_sparsity_on", FP16, 3, 4)),
	SET(TENSOR("op_utcimma_src_int8_sparsity_off", INT8, 1, 3)),
	SET(TENSOR("op_utcimma_src_int8_sparsity_on", INT8, 2, 3)),
	SCALAR_SET,
};

static const struct counter_set gb20x[] = {
	SET(ONE("src_bf16_dst_fp32", BF16)),
	SET(TENSOR("src_fp16_dst_fp32", FP16, 0, 2)),
	SET(TENSOR("src_fp8_dst_fp32", FP8, 0, 2)),
	SET(TENSOR("src_fp8_dst_fp16", FP8, 1, 2)),
	SET(ONE("src_fp4_dst_fp32", FP4), ONE("src_fp64", FP64)),
	SET(TENSOR("src_fp4_fp6_dst_fp32", FP6, 0, 2)),
	SET(TENSOR("src_fp4_fp6_dst_fp16", FP6, 1, 2)),
	SET(ONE("src_tf32_dst_fp32", TF32)),
	SET(TENSOR("src_fp16_dst_fp16", FP16, 1, 2)),
	SET(ONE("src_int8", INT8)),
	SCALAR_SET,
};

#define NAMES(...) ((const char *const[]){ __VA_ARGS__, NULL })
const struct counter_chip counter_chips[] = {
	{ NAMES("GV100"), COUNTER_CHIP_GV100, gv100, ARRAY_SIZE(gv100) },
	{ NAMES("TU102", "TU104", "TU106"), COUNTER_CHIP_TU10X, tu10x, ARRAY_SIZE(tu10x) },
	{ NAMES("GA100"), COUNTER_CHIP_GA100, ga100, ARRAY_SIZE(ga100) },
	{ NAMES("GA102", "GA103", "GA104", "GA106", "GA107"), COUNTER_CHIP_GA10X, ga100, ARRAY_SIZE(ga100) },
	{ NAMES("AD102", "AD103", "AD104", "AD106", "AD107"), COUNTER_CHIP_AD10X, ad10x, ARRAY_SIZE(ad10x) },
	{ NAMES("GH100"), COUNTER_CHIP_GH100, gh100, ARRAY_SIZE(gh100) },
	{ NAMES("GB100", "GB102"), COUNTER_CHIP_GB100, gb100, ARRAY_SIZE(gb100) },
	{ NAMES("GB202", "GB203", "GB205", "GB206"), COUNTER_CHIP_GB20X, gb20x, ARRAY_SIZE(gb20x) },
};
const size_t counter_chip_count = ARRAY_SIZE(counter_chips);

const struct counter_chip *counter_chip_find(const char *name)
{
	for (size_t i = 0; name && i < counter_chip_count; i++)
		for (const char *const *n = counter_chips[i].names; *n; n++)
			if (!strcmp(*n, name))
				return &counter_chips[i];
	return NULL;
}

uint32_t counter_metric_id(const struct counter_chip *chip, const struct counter_set *set, size_t metric)
{
	const struct counter_metric *m = &set->metric[metric];

	return COUNTER_METRIC(chip->id, m->format, m->part, m->parts, set->is_scalar);
}

/* --- CUPTI's host side --- */

static int host_open(const struct cupti_api *api, const char *chip, void **ret)
{
	struct cupti_host_initialize p = { .size = CUPTI_SIZE(cupti_host_initialize, host),
					   .type = CUPTI_RANGE_PROFILER,
					   .chip = chip };
	int rc = api->host_initialize(&p);

	if (!rc)
		*ret = p.host;
	return rc;
}

static void host_close(const struct cupti_api *api, void *host)
{
	struct cupti_host_deinitialize p = { .size = CUPTI_SIZE(cupti_host_deinitialize, host),
					     .host = host };

	api->host_deinitialize(&p);
}

/* The image of what was added to `host`, and its passes. */
static int image_make(const struct cupti_api *api, void *host, struct counter_config *c)
{
	struct cupti_host_image_size s = { .size = CUPTI_SIZE(cupti_host_image_size, image_size),
					   .host = host };
	struct cupti_host_image i = { .size = CUPTI_SIZE(cupti_host_image, image), .host = host };
	struct cupti_host_passes n = { .size = CUPTI_SIZE(cupti_host_passes, passes) };
	int rc = api->host_image_size(&s);

	if (rc)
		return rc;
	c->image = calloc(1, s.image_size);
	if (!c->image)
		return CUPTI_OUT_OF_MEMORY;
	c->image_size = i.image_size = n.image_size = s.image_size;
	i.image = n.image = c->image;
	rc = api->host_image(&i);
	rc = rc ? rc : api->host_passes(&n);
	c->passes = n.passes;
	return rc;
}

static int config_fill(const struct cupti_api *api, const char *chip, struct counter_config *c)
{
	struct cupti_host_add_metrics a = { .size = CUPTI_SIZE(cupti_host_add_metrics, count),
					    .names = c->names,
					    .count = c->count };
	int rc = host_open(api, chip, &c->host);

	if (rc)
		return rc;
	a.host = c->host;
	rc = api->host_add_metrics(&a);
	return rc ? rc : image_make(api, c->host, c);
}

void counter_config_done(const struct cupti_api *api, struct counter_config *c)
{
	if (c->host)
		host_close(api, c->host);
	free(c->image);
	memset(c, 0, sizeof(*c));
}

int counter_passes(const struct cupti_api *api, const char *chip, const char *const *names, size_t count,
		   size_t *ret)
{
	struct counter_config c = { .count = count };
	int rc;

	if (count > COUNTER_SET_METRICS)
		return CUPTI_INVALID_PARAMETER;
	memcpy(c.names, names, count * sizeof(*names));
	rc = config_fill(api, chip, &c);
	if (!rc)
		*ret = c.passes;
	counter_config_done(api, &c);
	return rc;
}

int counter_config_make(const struct cupti_api *api, const char *chip, const struct counter_set *set,
			struct counter_config *ret)
{
	struct counter_config c = { .count = set->count };
	int rc;

	for (size_t i = 0; i < set->count; i++)
		c.names[i] = set->metric[i].name;
	rc = config_fill(api, chip, &c);
	if (!rc && c.passes != 1)
		rc = COUNTER_MULTIPASS;
	if (rc)
		counter_config_done(api, &c);
	else
		*ret = c;
	return rc;
}
