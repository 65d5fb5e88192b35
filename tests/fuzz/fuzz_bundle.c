// SPDX-License-Identifier: Apache-2.0
/* A bundle from anywhere: with a key that signed none, none is in order; and the frame holds at any bytes. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t seed[32] = { 7 };
	static struct om_bundle_report report;
	struct om_tar_files files = { 0 };
	struct error_text err = { 0 };
	struct om_note_key key;
	uint8_t *again = NULL;
	size_t len;

	om_note_key_make("fuzz", seed, &key);
	if (om_bundle_check(data, size, &key, 1, &report, &err) == 0 || !err.text[0])
		abort();
	if (om_tar_read(data, size, &files) == 0) {
		if (om_tar_write(&files, &again, &len) || len != size || memcmp(again, data, len))
			abort(); /* a second spelling */
		free(again);
		om_tar_files_done(&files);
	}
	return 0;
}
