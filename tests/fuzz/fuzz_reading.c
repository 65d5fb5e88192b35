// SPDX-License-Identifier: Apache-2.0
/* What comes from Kafka: a reading, its key, an assignment. A reading that is taken must come out as it went in. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/assignment.h"
#include "userspace/core/register.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is read in place is what the library would have read. */
static void hold_to_the_library(const uint8_t *data, size_t size, bool is_event)
{
	struct om_assignment a = { 0 }, b = { 0 };
	int r = is_event ? om_assignment_decode_event(data, size, &a) : om_assignment_decode(data, size, &a);

	assert(om_assignment_decode_slowly(data, size, is_event, &b) == r);
	assert(!memcmp(&a, &b, sizeof(a)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t again[OM_READING_SIZE];
	struct om_register_key key;
	struct om_assignment a;
	struct om_reading r;

	if (om_reading_decode(data, size, &r) == 0) {
		om_reading_encode(&r, again);
		/* All but the reserved bytes, which a reader ignores, and the flags it does not know. */
		assert(!memcmp(data, again, 46) && !memcmp(data + 48, again + 48, 212));
	}
	om_register_key_decode(data, size, &key);
	if (om_assignment_decode(data, size, &a) == 0)
		free(om_assignment_encode(&a));
	hold_to_the_library(data, size, false);
	hold_to_the_library(data, size, true);
	return 0;
}
