// SPDX-License-Identifier: Apache-2.0
/* Acts of a case, one a line, as a log of another's making may hold them; and retention clocks. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/case.h"
#include "userspace/core/case_gather.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void apply(struct om_case *c, const char *line, size_t len, uint64_t entry)
{
	json_t *act = json_loadb(line, len, 0, NULL);
	struct error_text err = { 0 };
	enum om_case_state before = om_case_state(c);

	om_evidence_check(act, &err);
	if (om_case_apply(c, entry, act) < 0 && om_case_state(c) != before)
		abort(); /* refused, and yet something moved */
	json_decref(act);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct om_case *c = om_case_new("case-001122334455");
	const char *at = (const char *)data, *end = at + size;
	struct om_retention *r = NULL;
	struct error_text err = { 0 };
	struct om_retained kept;
	uint64_t entry = 0;

	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));

		line_end = line_end ? line_end : end;
		apply(c, at, (size_t)(line_end - at), entry++);
		at = line_end + 1;
	}
	if (om_retention_parse("fuzz", data, size, &r, &err) == 0) {
		om_case_retained(c, r, &kept);
		om_retention_free(r);
	}
	json_decref(om_case_record(c, NULL));
	om_case_free(c);
	return 0;
}
