// SPDX-License-Identifier: Apache-2.0
/* The table of chips against the vendors' own figures, and what is made of activity. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/core/peaks.h"

#define TABLE "data/peaks.csv"
#define WITHIN 0.02

static int check_chip(void *ctx, const struct om_chip *c)
{
	double tflops = (double)c->multiprocessors * c->tensor[c->published_format] * c->published_mhz / 1e6;
	int *count = ctx;

	++*count;
	if (fabs(tflops / c->published_tflops - 1) > WITHIN)
		fail_msg("%s: %.1f TFLOPS by the row, %.1f published", c->name, tflops, c->published_tflops);
	assert_true(c->published_mhz <= c->max_mhz);
	/* Narrower formats are never slower on the tensor pipe. */
	if (c->tensor[OM_FORMAT_FP8])
		assert_true(c->tensor[OM_FORMAT_FP8] >= c->tensor[OM_FORMAT_FP16]);
	if (c->tensor[OM_FORMAT_TF32])
		assert_true(c->tensor[OM_FORMAT_TF32] * 2 == c->tensor[OM_FORMAT_FP16]);
	return 0;
}

static void every_chip_has_its_published_peak(void **unused)
{
	struct om_peaks *p = NULL;
	struct error_text err = { 0 };
	int count = 0;

	(void)unused;
	assert_int_equal(om_peaks_load(TABLE, &p, &err), 0);
	om_peaks_each(p, check_chip, &count);
	assert_true(count >= 12);
	om_peaks_free(p);
}

static void names_as_nvml_gives_them(void **unused)
{
	static const struct {
		const char *name;
		uint32_t multiprocessors;
	} devices[] = {
		{ "NVIDIA H100 80GB HBM3", 132 }, { "NVIDIA H100 PCIe", 114 }, { "NVIDIA H200", 132 },
		{ "NVIDIA A100-SXM4-80GB", 108 }, { "NVIDIA A100-PG509-200", 108 }, { "Tesla V100-SXM2-16GB", 80 },
		{ "NVIDIA B200", 148 },		  { "NVIDIA L40S", 142 },	    { "NVIDIA L4", 58 },
		{ "NVIDIA L40", 142 },
		{ "NVIDIA GH200 480GB", 132 },
	};
	struct om_peaks *p = NULL;

	(void)unused;
	assert_int_equal(om_peaks_load(TABLE, &p, NULL), 0);
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		const struct om_chip *c = om_peaks_find(p, devices[i].name);

		assert_non_null(c);
		assert_int_equal(c->multiprocessors, devices[i].multiprocessors);
	}
	assert_null(om_peaks_find(p, "Tesla K80"));
	om_peaks_each(p, check_chip, &(int){ 0 });
	om_peaks_free(p);
}

static int below_highest(void *ctx, const struct om_chip *c)
{
	assert_true(om_chip_peak(c) <= om_chip_peak(ctx));
	return 0;
}

static void unknown_chips_get_the_highest(void **unused)
{
	struct om_peaks *p = NULL;

	(void)unused;
	assert_int_equal(om_peaks_load(TABLE, &p, NULL), 0);
	om_peaks_each(p, below_highest, (void *)om_peaks_highest(p));
	om_peaks_free(p);
}

static void activity_becomes_bounds(void **unused)
{
	struct om_activity_span a = { .percent = { 50, 0, 0, 0, 0 }, .busy = 60, .step = 1,
				      .clock_low = 1400, .clock_high = 1410, .ns = 1000000000 };
	struct om_peaks *p = NULL;
	const struct om_chip *c;
	opcount low, high, wide;

	(void)unused;
	assert_int_equal(om_peaks_load(TABLE, &p, NULL), 0);
	c = om_peaks_find(p, "NVIDIA A100-SXM4-40GB");
	/* 108 multiprocessors x 2048 x clock x half of a second: bf16 only */
	om_chip_executed(c, &a, 1u << OM_FORMAT_BF16, &low, &high);
	assert_true(low <= (opcount)(108.0 * 2048 * 1400e6 * 0.5) && low >= (opcount)(108.0 * 2048 * 1400e6 * 0.49));
	assert_true(high >= (opcount)(108.0 * 2048 * 1410e6 * 0.5) && high <= (opcount)(108.0 * 2048 * 1410e6 * 0.53));
	/* Formats that are not known widen it: from FP64 to INT4. */
	om_chip_executed(c, &a, 0, &low, &wide);
	assert_true(wide > 3 * high && low < high / 8);
	/* A pipe that is not known may have been active as long as anything was. */
	a.percent[OM_PIPE_TENSOR] = -1;
	om_chip_executed(c, &a, 1u << OM_FORMAT_BF16, &low, &wide);
	assert_true(low == 0 && wide > high);
	/* An idle device. */
	a = (struct om_activity_span){ .step = 0, .clock_low = 1410, .clock_high = 1410, .ns = 1000000000 };
	om_chip_executed(c, &a, 0, &low, &high);
	assert_true(low == 0 && high == 0);
	om_peaks_free(p);
}

static void bad_files_are_refused(void **unused)
{
	static const char *const bad[] = {
		"", "name,multiprocessors,x\n", "nonsense\n",
		"name,multiprocessors,\nX,1,1,1\n",
		"name,multiprocessors,\nX,-1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,fp16,1,s\n",
		"name,multiprocessors,\nX,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,fp17,1,s\n",
		"name,multiprocessors,\nX,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,fp16,nan,s\n",
		"name,multiprocessors,\nX,0,1,1,1,1,1,1,1,1,1,1,1,1,1,1,fp16,1,s\n",
		"name,multiprocessors,\nX,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,fp16,1,\n",
	};
	char path[] = "/tmp/opmeter-peaks-XXXXXX";
	int fd = mkstemp(path);

	(void)unused;
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct om_peaks *p = NULL;
		struct error_text err = { 0 };

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, bad[i], strlen(bad[i]), 0), (ssize_t)strlen(bad[i]));
		assert_int_equal(om_peaks_load(path, &p, &err), -EINVAL);
		assert_true(strstr(err.text, path));
	}
	close(fd);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_chip_has_its_published_peak),
		cmocka_unit_test(names_as_nvml_gives_them),
		cmocka_unit_test(unknown_chips_get_the_highest),
		cmocka_unit_test(activity_becomes_bounds),
		cmocka_unit_test(bad_files_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
