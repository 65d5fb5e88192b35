// SPDX-License-Identifier: Apache-2.0
/* What comes from the topic of hints, the key to the first line's end and the value after it: a hint that is taken is written
 * back as one that says the same, and no set holds more than it may. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/near.h"

#define NOW 1795392000000000000ULL

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct om_near_set *set;
	const uint8_t *end = memchr(data, '\n', size);
	size_t key_len = end ? (size_t)(end - data) : size, len = end ? size - key_len - 1 : 0;
	struct om_near_hint h, again;
	struct om_id id;
	size_t fleet;
	char *text;

	set = set ?: om_near_set_new();
	if (om_near_key_parse(data, key_len, &id, &fleet) == 0)
		assert(fleet > 0 && fleet < key_len);
	if (end && om_near_hint_decode(end + 1, len, &h) == 0 && (text = om_near_hint_encode(&h))) {
		assert(om_near_hint_decode(text, strlen(text), &again) == 0);
		assert(again.since_ns == h.since_ns && again.until_ns == h.until_ns);
		free(text);
	}
	if (om_near_set_take(set, data, key_len, end ? end + 1 : NULL, len, NOW) == 0 && !end)
		assert(om_near_set_count(set, NOW + OM_NEAR_HOLDS_NS) == 0);
	assert(om_near_set_count(set, NOW) <= OM_NEAR_MAX);
	return 0;
}
