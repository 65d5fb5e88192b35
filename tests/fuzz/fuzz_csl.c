// SPDX-License-Identifier: Apache-2.0
/* The screening list in JSON, from the tokens to the facts; and names, which are compared whatever they are. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "userspace/base/json_stream.h"
#include "userspace/core/owner_import.h"
#include "userspace/core/screening.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int one(void *ctx, const struct owner_csl *e, uint64_t offset)
{
	struct name_words *last = ctx, words;
	struct owner_reject note;
	struct owner_fact f;
	int score;

	if (owner_csl_read(e, 20780, &f, &note) == 0)
		assert(*f.list && *f.name && f.start <= f.end);
	else
		assert(note.kind < OWNER_REJECT_END && note.reason[0]);
	name_split(e->name, &words);
	score = name_score(&words, last);
	assert(score >= 0 && score <= 1000 && score == name_score(last, &words));
	*last = words;
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error_text err = { 0 };
	struct name_words last = { 0 };
	struct json_stream *j;

	if (json_stream_memory(data, size, &j))
		return 0;
	owner_csl_each(j, one, &last, &err);
	json_stream_free(j);
	return 0;
}
