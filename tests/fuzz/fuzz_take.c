// SPDX-License-Identifier: Apache-2.0
/* Events as `case take` gets them, one a line, from whoever may write the file or the topic: each is refused, passed over or taken; what
 * is taken is by the rules, opens no second case when it is told again, and its record and its reports can be made. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sodium/core.h>

#include "userspace/core/case_internal.h"
#include "userspace/core/case_store.h"
#include "userspace/core/report.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define NOW UINT64_C(1795392000000000000)
static struct om_ledger *ledger;
static char dir[] = "/tmp/opmeter-fuzz-take-XXXXXX";

static void clean(void)
{
	char command[64];

	om_ledger_free(ledger);
	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		abort();
}

static void open_ledger(void)
{
	struct error_text err = { 0 };

	if (om_ledger_open(dir, OM_LEDGER_CREATE, NOW, &ledger, &err))
		abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	if (sodium_init() < 0 || !mkdtemp(dir))
		abort();
	open_ledger();
	atexit(clean);
	return 0;
}

static void look_at(struct om_case_store *s)
{
	struct om_report_request q = { .to_day = 20780, .now_ns = NOW };

	for (size_t i = 0; i < om_case_store_count(s); i++) {
		const struct om_case *c = om_case_store_at(s, i);
		json_t *record = om_case_record(c, NULL), *older = case_record_1(c), *report = NULL;
		struct error_text err = { 0 };

		if (!record || !older || json_array_size(json_object_get(record, "irregular")))
			abort(); /* our own acts are by the rules */
		if (om_report_7308(ledger, c, &q, &report, &err))
			abort();
		json_decref(report);
		json_decref(record);
		json_decref(older);
	}
}

static void take(struct om_case_store *s, const char *line, size_t len)
{
	struct om_actor actor = { .by = "opmeter", .uid = 1, .now_ns = NOW };
	char id[OM_CASE_ID_STRLEN], again[OM_CASE_ID_STRLEN];
	struct error_text err = { 0 };
	int r = om_case_take(s, line, len, &actor, id, &err);

	if (r < 0 && !err.text[0])
		abort(); /* refused without a word */
	if (r < 0 || r == 3)
		return;
	if (!om_case_id_is_valid(id) || om_case_take(s, line, len, &actor, again, &err) != 1 || strcmp(id, again))
		abort(); /* told again, it is the same */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	struct om_case_store *s = NULL;
	struct error_text err = { 0 };
	struct om_tree_head head;

	/* What earlier inputs left grows no further than this. */
	if (om_ledger_head(ledger, &head) || head.size > 256) {
		clean();
		if (!mkdtemp(strcpy(dir, "/tmp/opmeter-fuzz-take-XXXXXX")))
			abort();
		open_ledger();
	}
	if (om_case_store_load(ledger, &s, &err))
		abort();
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));

		line_end = line_end ? line_end : end;
		take(s, at, (size_t)(line_end - at));
		at = line_end + 1;
	}
	look_at(s);
	om_case_store_free(s);
	return 0;
}
