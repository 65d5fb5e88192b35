// SPDX-License-Identifier: Apache-2.0
/*
 * Asks a real libcupti's host side whether each set of the tables fits one pass:
 *
 *     metrics LIBCUPTI        one line for each chip and set; exit 1 if any does not
 *     metrics LIBCUPTI pair   how many passes GH100 and GA100 need for what is known to
 *                             need more than one: that the library really answers
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../userspace/cupti/metrics.h"

#define T "sm__ops_path_tensor_src_"

static int failures;

static void check_set(const struct cupti_api *api, const char *name, const struct counter_chip *chip, size_t i)
{
	const struct counter_set *set = &chip->sets[i];
	struct counter_config c;
	int rc = counter_config_make(api, name, set, &c);

	printf("%s set %zu, %zu metrics%s: ", name, i, set->count, set->is_scalar ? ", scalar" : "");
	if (rc) {
		printf("%s %d\n", rc == COUNTER_MULTIPASS ? "MORE THAN ONE PASS" : "REFUSED:", rc);
		failures++;
		return;
	}
	printf("%zu pass, image of %zu bytes\n", c.passes, c.image_size);
	counter_config_done(api, &c);
}

/* Parts of one format are numbered without a gap, over all sets of a chip, or a sum
 * of means would lack one. */
static void check_parts(const struct counter_chip *chip)
{
	for (unsigned format = 1; format < 16; format++) {
		unsigned parts = 0, seen = 0, count = 0;

		for (size_t s = 0; s < chip->set_count; s++)
			for (size_t m = 0; m < chip->sets[s].count && !chip->sets[s].is_scalar; m++) {
				const struct counter_metric *x = &chip->sets[s].metric[m];

				if (x->format != format)
					continue;
				parts = parts ? parts : x->parts;
				failures += x->parts != parts || x->part >= parts || (seen >> x->part & 1);
				seen |= 1u << x->part;
				count++;
			}
		if (count == parts)
			continue;
		printf("chip %u: format %u has %u of its %u parts\n", chip->id, format, count, parts);
		failures++;
	}
}

static void check_pair(const struct cupti_api *api, const char *chip, size_t want, size_t count, const char **names)
{
	size_t passes = 0;
	int rc = counter_passes(api, chip, names, count, &passes);

	printf("%s %s + %zu: %d, %zu passes\n", chip, names[0], count - 1, rc, passes);
	failures += rc || passes != want;
}

static void check_known(const struct cupti_api *api)
{
	size_t passes;
	int rc;

	check_pair(api, "GH100", 2, 1, (const char *[]){ T "fp16.sum" });
	check_pair(api, "GH100", 2, 2, (const char *[]){ T "bf16_dst_fp32.sum", T "tf32_dst_fp32.sum" });
	check_pair(api, "GH100", 1, 2, (const char *[]){ T "bf16_dst_fp32.sum", T "fp8.sum" });
	check_pair(api, "GA100", 3, 3,
		   (const char *[]){ T "bf16_dst_fp32.sum", T "fp16_dst_fp32.sum", T "tf32_dst_fp32.sum" });
	check_pair(api, "GA100", 1, 1, (const char *[]){ T "bf16_dst_fp32.sum" });
	rc = counter_passes(api, "GA100", (const char *[]){ T "fp8.sum" }, 1, &passes);
	printf("GA100 has no fp8: %d\n", rc);
	failures += !rc;
	rc = counter_passes(api, "XX999", (const char *[]){ T "fp8.sum" }, 1, &passes);
	printf("no such chip: %d\n", rc);
	failures += !rc;
}

int main(int argc, char **argv)
{
	struct cupti_api api;
	int rc;

	if (argc < 2)
		return 2;
	rc = cupti_open(argv[1], &api);
	if (rc) {
		printf("%s cannot be opened: %s\n", argv[1], strerror(-rc));
		return 1;
	}
	printf("libcupti %u\n", api.version);
	if (argc > 2) {
		check_known(&api);
		return failures != 0;
	}
	for (size_t i = 0; i < counter_chip_count; i++) {
		check_parts(&counter_chips[i]);
		for (const char *const *name = counter_chips[i].names; *name; name++)
			for (size_t s = 0; s < counter_chips[i].set_count; s++)
				check_set(&api, *name, &counter_chips[i], s);
	}
	return failures != 0;
}
