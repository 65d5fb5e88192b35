// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a text: what is written is JSON, and says the same where they are UTF-8. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>

#include "userspace/base/json_out.h"
#include "userspace/base/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_out o = { .text = NULL };
	char *text = calloc(1, size + 1);
	json_t *got;

	if (!text)
		abort();
	memcpy(text, data, size);
	json_out_open(&o, '[');
	json_out_string(&o, text);
	json_out_string(&o, text);
	json_out_close(&o, ']');
	got = json_loads(json_out_text(&o), 0, NULL);
	if (json_array_size(got) != 2)
		abort();
	if (text_is_utf8(text) && strcmp(json_string_value(json_array_get(got, 1)), text))
		abort();
	json_decref(got);
	json_out_free(&o);
	free(text);
	return 0;
}
