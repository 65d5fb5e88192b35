// SPDX-License-Identifier: Apache-2.0
/* What comes to the HTTP API: a target, taken as a cursor and as a file of tokens, too. What is taken is text without control
 * characters, and a cursor comes back as it was. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/base/text.h"
#include "userspace/fleet/api_query.h"
#include "userspace/fleet/api_tokens.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *s)
{
	assert(text_is_utf8(s));
	for (; *s; s++)
		assert((unsigned char)*s >= ' ' && *s != 0x7f);
}

static void check_cursor(const char *text)
{
	const char *name[API_CURSOR_NAMES], *again[API_CURSOR_NAMES];
	char buf[API_CURSOR_MAX], out[API_CURSOR_MAX], buf_again[API_CURSOR_MAX];

	if (api_cursor_decode(text, name, buf) || api_cursor_encode(name, out))
		return;
	assert(api_cursor_decode(out, again, buf_again) == 0);
	for (int i = 0; i < API_CURSOR_NAMES; i++)
		assert(!strcmp(name[i], again[i]));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct api_query q;
	struct api_tokens *t;
	const char *why;

	if (api_query_parse((const char *)data, size, &q, &why) == 0) {
		assert(q.segments <= API_SEGMENTS_MAX && q.params <= API_PARAMS_MAX);
		for (size_t i = 0; i < q.segments; i++) {
			check_text(q.segment[i]);
			assert(*q.segment[i]);
		}
		for (size_t i = 0; i < q.params; i++) {
			check_text(q.param[i].name);
			check_text(q.param[i].value);
			assert(api_query_get(&q, q.param[i].name) == q.param[i].value);
			check_cursor(q.param[i].value);
		}
	}
	if (api_tokens_parse((const char *)data, size, "tokens", &t, NULL) == 0) {
		assert(api_tokens_count(t) > 0 && api_tokens_count(t) <= API_TOKENS_MAX);
		assert(!api_tokens_find(t, "opm_nobody"));
		api_tokens_free(t);
	}
	return 0;
}
