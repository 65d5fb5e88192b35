// SPDX-License-Identifier: Apache-2.0
/*
 * bundle_sweep BUNDLE KEY...: changes each byte of a bundle, one at a time, cuts it at each block, moves blocks, and
 * says how many of these were found. Prints one JSON object.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/core.h>

#include "userspace/core/bundle.h"
#include "userspace/core/file_io.h"

#define BLOCK 512

static struct om_note_key keys[8];
static size_t key_count;

static int is_good(const uint8_t *data, size_t len)
{
	static struct om_bundle_report report;
	struct error_text err = { 0 };

	return om_bundle_check(data, len, keys, key_count, &report, &err) == 0;
}

static size_t sweep_bytes(uint8_t *data, size_t len)
{
	size_t missed = 0;

	for (size_t i = 0; i < len; i++) {
		/* Another bit each time; in letters often the one that only changes their case. */
		uint8_t mask = (uint8_t)(i % 3 == 2 ? 0x20 : 1 << (i / 3) % 8);

		data[i] ^= mask;
		if (is_good(data, len)) {
			fprintf(stderr, "byte %zu ^ %#x was not found\n", i, mask);
			missed++;
		}
		data[i] ^= mask;
	}
	return missed;
}

static size_t sweep_blocks(uint8_t *data, size_t len, size_t *ret_tried)
{
	size_t missed = 0;
	uint8_t *other = malloc(len + 2 * BLOCK);

	for (size_t at = 0; at < len; at += BLOCK, *ret_tried += 4) {
		missed += is_good(data, at); /* cut */
		memcpy(other, data, at); /* one less */
		memcpy(other + at, data + at + BLOCK, len - at - BLOCK);
		missed += is_good(other, len - BLOCK);
		memcpy(other + at, data + at, BLOCK); /* one twice */
		memcpy(other + at + BLOCK, data + at, len - at);
		missed += is_good(other, len + BLOCK);
		memcpy(other, data, len); /* one of zeros */
		memset(other + at, 0, BLOCK);
		missed += memcmp(other, data, len) && is_good(other, len);
	}
	free(other);
	return missed;
}

int main(int argc, char **argv)
{
	size_t len, key_len, missed, blocks = 0;
	char *data, *text;

	if (argc < 3 || sodium_init() < 0 || om_file_get(AT_FDCWD, argv[1], OM_BUNDLE_MAX, &data, &len))
		return 2;
	for (int i = 2; i < argc && key_count < 8; i++) {
		if (om_file_get(AT_FDCWD, argv[i], 4096, &text, &key_len) ||
		    om_note_key_parse(text, key_len, &keys[key_count++]))
			return 2;
		free(text);
	}
	if (!is_good((uint8_t *)data, len))
		return 2;
	missed = sweep_bytes((uint8_t *)data, len);
	missed += sweep_blocks((uint8_t *)data, len, &blocks);
	printf("{\"bytes\": %zu, \"blocks\": %zu, \"missed\": %zu}\n", len, blocks, missed);
	free(data);
	return missed ? 1 : 0;
}
