// SPDX-License-Identifier: Apache-2.0
/* The catalogue on real names, mangled and not, and on hostile ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "userspace/core/catalogue.h"

#define FORWARD                                                                                              \
	"void pytorch_flash::flash_fwd_kernel<pytorch_flash::Flash_fwd_kernel_traits<64, 128, 128, 4, false, "  \
	"false, cutlass::bfloat16_t, pytorch_flash::Flash_kernel_traits<64, 128, 128, 4, cutlass::bfloat16_t> " \
	">, false, true, false, false, false, true, false>(pytorch_flash::Flash_fwd_params)"
#define FORWARD_MANGLED                                                                                      \
	"_ZN13pytorch_flash16flash_fwd_kernelINS_23Flash_fwd_kernel_traitsILi64ELi128ELi128ELi4ELb0ELb0EN7"     \
	"cutlass10bfloat16_tENS_19Flash_kernel_traitsILi64ELi128ELi128ELi4ES3_EEEELb0ELb1ELb0ELb0ELb0ELb1ELb0"  \
	"EEEvNS_16Flash_fwd_paramsE"

static struct om_catalogue *catalogue;

static int load(void **unused)
{
	(void)unused;
	return om_catalogue_load("data/kernels.csv", &catalogue, NULL);
}

static int unload(void **unused)
{
	(void)unused;
	catalogue = om_catalogue_free(catalogue);
	return 0;
}

static struct om_kernel_estimate estimate(const char *name, uint32_t x, uint32_t y, uint32_t z)
{
	struct om_signature s = { .name = name, .grid = { x, y, z }, .block = { 128, 1, 1 } };
	struct om_kernel_estimate e;

	om_catalogue_estimate(catalogue, &s, &e);
	return e;
}

static void attention_by_name_and_grid(void **unused)
{
	/* 559 queries and keys, 16 heads of 64, batch 16: a recorded launch. */
	opcount truth = (opcount)4 * 16 * 16 * 559 * 559 * 64;
	static const char *const names[] = { FORWARD, FORWARD_MANGLED };

	(void)unused;
	for (size_t i = 0; i < 2; i++) {
		struct om_kernel_estimate e = estimate(names[i], 5, 16, 16);

		assert_int_equal(e.class, OM_KERNEL_ATTENTION);
		assert_int_equal(e.format, OM_FORMAT_BF16);
		assert_true(e.is_bounded);
		/* causal: half of the pairs are used, and the convention's figure is the whole */
		assert_true(e.low <= truth / 2 && truth <= e.high && e.high < 2 * truth);
	}
}

#define FA3_BACKWARD(flags, scheduler)                                                                       \
	"void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnBwdSm90<flash::"              \
	"CollectiveMainloopBwdSm90<2, 2, 2, cute::tuple<cute::C<1>, cute::C<1>, cute::C<1> >, cute::tuple<"    \
	"cute::C<64>, cute::C<128>, cute::C<128> >, cutlass::bfloat16_t, float, cutlass::arch::Sm90, " flags   \
	", false, true, false, false, 2, 1, 2, 1, false>, flash::CollectiveEpilogueBwd<x>, flash::" scheduler   \
	" > > >(Params)"
/* As mangled: the second and third 1, and the second 128, are abbreviated. */
#define FA3_BACKWARD_MANGLED                                                                                 \
	"_ZN7cutlass13device_kernelIN5flash20enable_sm90_or_laterINS1_16FlashAttnBwdSm90INS1_"                  \
	"25CollectiveMainloopBwdSm90ILi2ELi2ELi2EN4cute5tupleIJNS5_1CILi1EEES8_S8_EEENS6_IJNS7_ILi64EEENS7_ILi" \
	"128EEESB_EEENS_10bfloat16_tEfNS_4arch4Sm90ELb0ELb1ELb0ELb1ELb0ELb1ELb0ELb0ELi2ELi1ELi2ELi1ELb0EEENS1_" \
	"21CollectiveEpilogueBwdISC_SD_SF_Li256ELb1ELb0ELi1EEENS1_19SingleTileSchedulerILb1ELb0ELb0ELi128EEEEEE" \
	"EEEvNT_6ParamsE"

static void attention_3_backward(void **unused)
{
	/* 127 sequences of at most 2048 tokens, 6 heads of 128: the grid of a recorded launch. */
	const opcount most = (opcount)10 * 6 * 127 * 2048 * 2048 * 128;
	struct om_kernel_estimate e = estimate(
		FA3_BACKWARD("false, true, false, true", "SingleTileScheduler<true, false, false, 128>"), 16, 6, 127);

	(void)unused;
	assert_int_equal(e.class, OM_KERNEL_ATTENTION_BWD);
	assert_int_equal(e.format, OM_FORMAT_BF16);
	assert_true(e.is_bounded && e.high == most && e.low == 8 * 6 * 127);
	/* The head dimension cannot be read there: the largest that there is. */
	e = estimate(FA3_BACKWARD_MANGLED, 16, 6, 127);
	assert_true(e.is_bounded && e.high == 2 * most);
	/* Neither causal nor local: the queries show nowhere. Other schedulers: nothing does. */
	e = estimate(FA3_BACKWARD("false, false, false, true", "SingleTileScheduler<true, false, false, 128>"), 16, 6,
		     127);
	assert_false(e.is_bounded);
	e = estimate(FA3_BACKWARD("true, false, false, false", "SingleTileBwdLPTScheduler"), 16, 6, 127);
	assert_false(e.is_bounded);
	e = estimate(FA3_BACKWARD("false, true, false, true", "SingleTileScheduler<true, false, false, 0>"), 16, 6, 127);
	assert_false(e.is_bounded);
}

static void kernels_of_every_class(void **unused)
{
	static const struct {
		const char *name;
		enum om_kernel_class class;
		bool is_bounded;
	} kernels[] = {
		{ "ncclDevKernel_AllReduce_Sum_f16_RING_LL(ncclDevComm*)", OM_KERNEL_COMMUNICATION, true },
		{ "my_ncclDevKernel_imitation", OM_KERNEL_UNKNOWN, false },
		{ "nvjet_tst_192x192_64x3_2x1_v_bz_coopB_NNN", OM_KERNEL_PRODUCT, false },
		{ "sm90_xmma_gemm_bf16bf16_bf16f32_f32_tn_n_tilesize128x128x64_cublas", OM_KERNEL_PRODUCT, false },
		{ "triton_poi_fused__to_copy_4", OM_KERNEL_ELEMENTWISE, true },
		{ "void cudnn::cnn::wgrad_alg0_engine<float, 128, 6, 7, 3, 3, 5, false, 512>(int)",
		  OM_KERNEL_CONVOLUTION, false },
		{ "void multi_tensor_apply_kernel<TensorListMetadata<4>, AdamFunctor<float> >", OM_KERNEL_OPTIMIZER,
		  true },
		{ "void splitKreduce_kernel<32, 16, int, float>", OM_KERNEL_AUXILIARY, true },
		{ "void cutlass::device_kernel<flash::enable_sm90_or_later<flash::FlashAttnBwdSm90<x> > >",
		  OM_KERNEL_ATTENTION_BWD, false },
		{ "triton__0d1d2d3de", OM_KERNEL_UNKNOWN, false },
		{ "", OM_KERNEL_UNKNOWN, false },
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		struct om_kernel_estimate e = estimate(kernels[i].name, 132, 1, 1);

		if (e.class != kernels[i].class || e.is_bounded != kernels[i].is_bounded)
			fail_msg("%s: %s%s", kernels[i].name, om_kernel_class_name(e.class), e.is_bounded ? ", bounded" : "");
	}
}

/* Whatever a tenant calls its kernels: no crash, no bound that is not one. */
static void hostile_names(void **unused)
{
	static const char prefix[] = "flash_fwd_kernel Flash_fwd_kernel_traits";
	static const char *const tails[] = { "<", "<999999999,1,1,1>", "ILi64E", "ILi0ELi0ELi0ELi0ELb1ELb1ELb1ELb1ELb1E",
					     "<64, 0, 0, 0>, true, true, true, true, true>",
					     "ILi512ELi1024ELi1024ELi4ELb1ELb1ELb1ELb1ELb1E" };
	char name[8192];
	uint64_t state = 7;

	(void)unused;
	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		struct om_kernel_estimate e;

		snprintf(name, sizeof(name), "%s%s", prefix, tails[i]);
		e = estimate(name, UINT32_MAX, UINT32_MAX, UINT32_MAX);
		assert_true(!e.is_bounded || e.low <= e.high);
		e = estimate(name, 0, 1, 1);
		assert_false(e.is_bounded);
	}
	for (int n = 0; n < 20000; n++) {
		size_t len = 0;

		while (len < 200) {
			state = state * 6364136223846793005ULL + 1442695040888963407ULL;
			name[len++] = state >> 60 ? "LibE0123456789<>, truefalse\x80\xff"[(state >> 40) % 29] : (char)(1 + (state >> 33) % 255);
		}
		name[len] = '\0';
		memcpy(name, prefix, n % 2 ? sizeof(prefix) - 1 : 0);
		struct om_kernel_estimate e = estimate(name, (uint32_t)n, 3, 5);

		assert_true(!e.is_bounded || e.low <= e.high);
	}
}

static void bad_files_are_refused(void **unused)
{
	static const char header[] = "pattern,class,format,formula,reason\n";
	static const char *const bad[] = { "", "x\n", "a,product,auto,none\n", "a,product,auto,none,why,more\n",
					   "a,cooking,auto,none,why\n", "a,product,fp17,none,why\n",
					   "a,product,auto,guess,why\n", ",product,auto,none,why\n",
					   "a**b,product,auto,none,why\n", "a,product,auto,none,\n",
					   "\"a,product,auto,none,why\n" };
	char path[] = "/tmp/opmeter-kernels-XXXXXX";
	int fd = mkstemp(path);

	(void)unused;
	assert_true(fd >= 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct om_catalogue *c = NULL;
		struct error_text err = { 0 };

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, header, strlen(header), 0), (ssize_t)strlen(header));
		assert_int_equal(pwrite(fd, bad[i], strlen(bad[i]), (off_t)strlen(header)), (ssize_t)strlen(bad[i]));
		assert_int_equal(om_catalogue_load(path, &c, &err), -EINVAL);
		assert_true(strstr(err.text, path));
	}
	close(fd);
	unlink(path);
	assert_int_equal(om_catalogue_load("/nonexistent", &catalogue, NULL), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(attention_by_name_and_grid),
		cmocka_unit_test(attention_3_backward),
		cmocka_unit_test(kernels_of_every_class),
		cmocka_unit_test(hostile_names),
		cmocka_unit_test(bad_files_are_refused),
	};

	return cmocka_run_group_tests(tests, load, unload);
}
