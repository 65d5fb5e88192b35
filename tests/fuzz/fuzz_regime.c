// SPDX-License-Identifier: Apache-2.0
/* Regimes: whatever a file says, it is refused with its line, or what it says can be judged and told. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int count(void *ctx, const char *field, const char *text)
{
	*(size_t *)ctx += strlen(field) + strlen(text);
	return 0;
}

static int take(void *ctx, const struct alert *a)
{
	char *text = alert_encode(a);

	*(size_t *)ctx += text ? strlen(text) : 0;
	free(text);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const opcount figures[] = { 0, 1, 1000000, (opcount)1 << 84, OPCOUNT_MAX };
	struct error_text err = { 0 };
	struct regimes *g;
	size_t n = 0;

	if (regimes_parse("fuzz", data, size, &g, &err)) {
		if (!strstr(err.text, "fuzz:"))
			abort(); /* a refusal names its line */
		return 0;
	}
	regime_each_fact(regimes_at(g, 0), count, &n);
	for (size_t i = 0; i < sizeof(figures) / sizeof(figures[0]); i++) {
		struct om_subject_total t = { .tenant = "t", .model = "m", .lineage = "", .training_low = figures[i], .training_high = figures[i],
					      .training_ceiling = OPCOUNT_MAX, .meters = 2 };
		struct policy p = { .regimes = g, .source = "/opmeter/fuzz", .now_ns = 1795456800000000000ULL };

		policy_judge(&p, &t, take, &n);
	}
	regimes_free(g);
	return 0;
}
