// SPDX-License-Identifier: Apache-2.0
#include "show_model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static json_t *bounds_json(const struct model_bounds *b)
{
	return json_pack("{s:f,s:f,s:f}", "low", b->low, "best", b->best, "high", b->high);
}

/* Nothing known is null, not 0. */
static json_t *known_json(uint64_t v)
{
	return v ? json_integer((json_int_t)v) : json_null();
}

json_t *show_model_json(const struct model_fingerprint *f)
{
	json_t *matches = json_array();
	char text[MODEL_TEXT_MAX];

	model_format(f, text);
	for (size_t i = 0; i < f->matches; i++)
		json_array_append_new(matches, json_pack("{s:s,s:f,s:i,s:i}", "name", f->match[i].name,
							 "score", f->match[i].score, "tensor_parallel",
							 (int)f->match[i].tensor_parallel, "layers",
							 (int)f->match[i].layers));
	return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:o,s:f,s:b,s:o,s:s,s:s}", "hidden",
			 known_json(f->hidden), "feed_forward", known_json(f->feed_forward), "key_value",
			 known_json(f->key_value), "layers", known_json(f->layers), "vocabulary",
			 known_json(f->vocabulary), "tensor_parallel", known_json(f->tensor_parallel),
			 "experts", known_json(f->experts), "parameters", bounds_json(&f->parameters),
			 "active_parameters", bounds_json(&f->active), "tokens", bounds_json(&f->tokens),
			 "check", f->check, "certain", (int)f->is_certain, "matches", matches, "fingerprint",
			 text, "evidence", f->evidence);
}

void show_model_print(const struct model_fingerprint *f)
{
	if (!f->weights) {
		printf("computes    not told. %s\n", f->evidence);
		return;
	}
	printf("computes    hidden %" PRIu64 ", feed-forward %" PRIu64 ", layers %u, vocabulary %" PRIu64
	       " (0: not seen); %.4g parameters "
	       "(%.4g to %.4g%s) met by %.4g tokens\n            %s\n",
	       f->hidden, f->feed_forward, f->layers, f->vocabulary, f->parameters.best, f->parameters.low,
	       f->parameters.high, f->is_certain ? ", certain" : "", f->tokens.best, f->evidence);
	for (size_t i = 0; i < f->matches; i++)
		printf("%s %s %.2f%s", i ? "," : "like       ", f->match[i].name, f->match[i].score,
		       i + 1 == f->matches ? "\n" : "");
}

/* A copy that is not installed has no data of its own, and names nothing. */
int show_model_load(const char *path, struct architectures **ret)
{
	struct error_text err = { 0 };
	int r = architectures_load(path ?: SHOW_MODEL_DEFAULT, ret, &err);

	if (r == -ENOENT && !path)
		return 0;
	if (r)
		log_error("%s", err.text[0] ? err.text : strerror(-r));
	return r;
}
