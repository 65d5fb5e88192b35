// SPDX-License-Identifier: Apache-2.0
/* The token stream that recorded traces are read with: it ends, in bounds, at any bytes. */
#include <stddef.h>
#include <stdint.h>

#include "userspace/base/json_stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error_text err = { 0 };
	struct json_stream *s;
	enum json_token t;
	int i = 0;

	if (json_stream_memory(data, size, &s))
		return 0;
	while (json_stream_next(s, &t, &err) == 0 && t != JSON_TOKEN_END)
		if ((t == JSON_TOKEN_ARRAY || t == JSON_TOKEN_OBJECT) && ++i % 3 == 0 && json_stream_skip(s, &err))
			break;
	json_stream_free(s);
	return 0;
}
