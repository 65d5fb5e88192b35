// SPDX-License-Identifier: Apache-2.0
/* What stands beside regimes: country sets (first byte even) and acceptances of a regime (odd). It is refused with its line, or the sets answer and
 * nothing is enforced but the text that was accepted. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/regime_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char regime[] = "id: x\nversion: \"1\"\ntitle: T\nkind: threshold\ncitation: c\nevidence: design\nsources: [s]\nmode: shadow\n"
			     "threshold: {operations: 1e26, comparator: \">=\", figure: algorithmic}\n"
			     "levels:\n  - {name: exceeded, share: 100%, bound: lower}\n";

static void check(const struct regimes *g, bool accepted)
{
	const struct regime *x = regimes_find(g, "x");

	for (size_t i = 0; i < g->set_count; i++)
		for (size_t k = 0; k < g->set[i].count; k++)
			if (strlen(g->set[i].codes[k]) != 2)
				abort();
	if ((x->mode == REGIME_ENFORCE) != (accepted && x->accepted.by))
		abort();
	if (x->accepted.by && x->accepted.day == INT32_MIN)
		abort();
	regimes_country_in(g, "a", "HK");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error_text err = { 0 };
	struct regimes *g;
	struct yaml *y;
	int r;

	if (!size || regimes_parse("regime", regime, sizeof(regime) - 1, &g, &err))
		return 0;
	r = yaml_parse("fuzz", data + 1, size - 1, &y, &err);
	if (r == 0) {
		g->files[g->file_count++] = y;
		r = data[0] & 1 ? regime_accept(g, y, &err) : regime_read_sets(g, y, &err);
	}
	if (r && !strstr(err.text, "fuzz:"))
		abort(); /* a refusal names its line */
	if (r == 0)
		check(g, data[0] & 1);
	regimes_free(g);
	return 0;
}
