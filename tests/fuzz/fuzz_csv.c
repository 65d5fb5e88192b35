// SPDX-License-Identifier: Apache-2.0
/* The CSV reader: it ends, in bounds, at any bytes; lines go forward; what it gives is text. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "userspace/base/csv.h"
#include "userspace/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint64_t line = 0;
	struct csv_row row;
	struct csv *c;
	int r;

	if (csv_memory(data, size, &c))
		return 0;
	while ((r = csv_next(c, &row)) == CSV_ROW || r == CSV_BAD) {
		assert(row.line > line && row.last_line >= row.line);
		line = row.line;
		assert((r == CSV_BAD) == (row.problem != NULL));
		for (size_t i = 0; i < row.count && r == CSV_ROW; i++)
			assert(text_is_utf8(row.field[i]));
	}
	assert(r == CSV_END && csv_offset(c) == size);
	csv_free(c);
	return 0;
}
