// SPDX-License-Identifier: Apache-2.0
/* Declarations: a file is refused with its line, or everything in it can be asked for and written again. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/declaration.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error_text err = { 0 };
	struct declaration one;
	struct declarations *d;
	char prev[65];

	if (declaration_decode(data, size, &one, prev, &err) == 0) {
		struct om_id id = one.id;
		char *line = declaration_encode(&one, prev);

		if (!line || !om_id_equal(&id, &one.id) || declaration_decode(line, strlen(line), &one, prev, &err))
			abort();
		free(line);
	}
	err.text[0] = '\0';
	if (declarations_parse("fuzz", data, size, &d, &err)) {
		if (!strstr(err.text, "fuzz:"))
			abort();
		return 0;
	}
	for (size_t i = 0; i < declarations_count(d); i++)
		for (int k = 0; k < DECLARE_END; k++)
			declarations_next(d, declarations_at(d, i)->subject, (enum declaration_kind)k, UINT64_MAX, NULL);
	declarations_free(d);
	return 0;
}
