// SPDX-License-Identifier: Apache-2.0
/* A file of checkpoints that were kept elsewhere: refused with a reason, or in order, each head once. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/checkpoint_seen.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* That of tests/golden/checkpoint_v1.note. */
	static const char text[] = "example.org/opmeter/golden+c63d9e41+AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
	static struct om_note_key key;
	struct om_seen s = { .count = 0 };
	struct error_text err = { 0 };

	if (!key.name[0])
		om_note_key_parse(text, sizeof(text) - 1, &key);
	if (om_seen_read(&s, (const char *)data, size, &key, 1, &err)) {
		if (!err.text[0])
			abort();
	} else {
		for (size_t i = 0; i < s.count; i++) {
			enum om_seen_answer answer;

			if (om_seen_compare(&s, &s.item[i], &answer, &err) || answer != OM_SEEN_SAME)
				abort();
		}
	}
	om_seen_done(&s);
	return 0;
}
