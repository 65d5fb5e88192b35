// SPDX-License-Identifier: Apache-2.0
/* Rows of every CSV format of owners: a fact keeps its promises, a reject names its column, whatever the row is. The first byte chooses the
 * format, so that a seed is a letter and a file. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "userspace/base/csv.h"
#include "userspace/core/owner_fact.h"

#define AS_OF 20780

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct owner_fact *f, const struct owner_reject *note)
{
	assert(note->kind == OWNER_REJECT_END || note->kind == OWNER_REJECT_AMOUNT);
	assert(f->entity && *f->entity);
	assert(f->since >= 10957 && f->since <= AS_OF + 1);
	if (f->kind == OWNER_FACT_RECORD)
		assert(*f->name && strlen(f->headquarters) == 2);
	if (f->kind == OWNER_FACT_EDGE) {
		assert(strcmp(f->entity, f->parent) && f->from <= f->to);
		assert(f->tie > OWNER_TIE_NONE && f->tie < OWNER_TIE_END);
		assert(f->share_ppb <= 1000000000 && (f->has_share || f->share_ppb == 0));
	}
	if (f->kind == OWNER_FACT_LISTING)
		assert(*f->name && *f->list && strlen(f->alt_names) + strlen(f->ids) + strlen(f->countries) < 2 * CSV_ROW_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct owner_columns c = { 0 };
	struct error_text err = { 0 };
	struct owner_reject note;
	struct owner_fact f;
	struct csv_row row;
	struct csv *csv;
	int r;

	if (size == 0 || csv_memory(data + 1, size - 1, &csv))
		return 0;
	if (csv_next(csv, &row) == CSV_ROW &&
	    owner_columns_init(&c, (enum owner_format)(data[0] % OWNER_FORMAT_CSL_JSON), AS_OF, row.field, row.count, &err) == 0) {
		while ((r = csv_next(csv, &row)) == CSV_ROW || r == CSV_BAD) {
			if (r == CSV_BAD)
				continue;
			r = owner_fact_read(&c, row.field, row.count, &f, &note);
			if (r == 0)
				check(&f, &note);
			else
				assert(r == 1 && note.kind < OWNER_REJECT_END && note.reason[0]);
		}
	}
	owner_columns_done(&c);
	csv_free(csv);
	return 0;
}
