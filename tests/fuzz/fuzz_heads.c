// SPDX-License-Identifier: Apache-2.0
/* Records of the checkpoints topic, KEY<tab>VALUE a line: whatever they are, a log's heads are in order, what is shown
 * of it verifies, and memory is bounded. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/log_heads.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char keys[] = "example.org/opmeter/golden+c63d9e41+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\n";

static int check(void *ctx, const struct om_log_state *s)
{
	struct om_note_key key;

	om_note_key_parse(keys, sizeof(keys) - 1, &key);
	for (int i = 0; i <= OM_HEAD_FORK; i++) {
		for (int k = 0; s->first[i] && k < 2; k++) {
			const char *text = s->first[i]->note[k];
			struct om_note n;

			if (om_note_parse(text, strlen(text), &n) || om_note_check(&n, &key))
				abort();
		}
		if (s->first[i] && !s->answers[i])
			abort();
	}
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data, *end = at + size;
	struct om_log_heads *h = NULL;
	struct error_text err = { 0 };

	/* As keys, too: refused with a reason. */
	if (om_log_heads_new(at, size, &h, &err) == -22 && !err.text[0])
		abort();
	h = om_log_heads_free(h);
	if (om_log_heads_new(keys, sizeof(keys) - 1, &h, &err))
		abort();
	for (int64_t n = 0; at < end; n++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at)) ?: end;
		const char *tab = memchr(at, '\t', (size_t)(stop - at)) ?: stop;
		struct om_head_record r = { at, tab < stop ? tab + 1 : NULL, (size_t)(tab - at), 0, n, (uint64_t)n };
		int answer;

		r.len = tab < stop ? (size_t)(stop - tab - 1) : 0;
		answer = om_log_heads_take(h, &r);
		if (answer < 0 || answer >= OM_HEAD_END)
			abort();
		at = stop + 1;
	}
	om_log_heads_each(h, check, NULL);
	om_log_heads_free(h);
	return 0;
}
