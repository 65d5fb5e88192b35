// SPDX-License-Identifier: Apache-2.0
/* Notes, checkpoints, keys and the paths of tiles: text from anywhere. What is taken is written back as it was. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/tlog.h"
#include "userspace/core/tlog_note.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), buf[OM_CHECKPOINT_TEXT_MAX > OM_NOTE_KEY_TEXT_MAX ? OM_CHECKPOINT_TEXT_MAX :
												OM_NOTE_KEY_TEXT_MAX];
	struct om_checkpoint c;
	struct om_note_key key;
	struct om_tile tile;
	struct om_note n;

	memcpy(text, data, size);
	text[size] = 0;
	if (om_note_key_parse(text, size, &key) == 0 &&
	    strncmp(om_note_key_format(&key, key.has_secret, buf), text, strlen(buf)))
		abort();
	if (om_tile_parse(text, &tile) == 0 && (tile.width == 0 || tile.width > OM_TILE_WIDTH))
		abort();
	om_checkpoint_parse(text, size, &c);
	if (om_note_parse(text, size, &n) == 0) {
		if (n.text_len >= size || n.signatures == 0)
			abort();
		if (om_checkpoint_parse(n.text, n.text_len, &c) == 0 &&
		    strncmp(om_checkpoint_format(&c, buf), n.text, strlen(buf)))
			abort();
		memset(&key, 1, sizeof(key));
		strcpy(key.name, "k");
		om_note_check(&n, &key);
	}
	free(text);
	return 0;
}
