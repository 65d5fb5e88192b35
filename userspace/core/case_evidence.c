// SPDX-License-Identifier: Apache-2.0
/* One piece of evidence: its bytes, and that they are what a node's log held. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>

#include "../base/cleanup.h"
#include "assignment.h"
#include "case_gather.h"
#include "case_internal.h"
#include "hex.h"
#include "leaf.h"
#include "tlog_note.h"

int om_evidence_data(const json_t *act, uint8_t **ret, size_t *ret_len)
{
	const json_t *data = json_object_get(act, "data");
	_cleanup_free_ uint8_t *bytes = NULL;
	uint8_t want[32], hash[crypto_hash_sha256_BYTES];
	size_t len;
	int r;

	if (!json_is_string(data) || om_unhex(json_text(act, "sha256"), want, sizeof(want)))
		return -EBADMSG;
	r = om_unbase64(json_string_value(data), json_string_length(data), &bytes, &len);
	if (r)
		return r;
	crypto_hash_sha256(hash, bytes, len);
	if (memcmp(hash, want, sizeof(hash)))
		return -EBADMSG;
	*ret = TAKE_PTR(bytes);
	*ret_len = len;
	return 0;
}

struct source {
	struct om_leaf leaf;
	uint8_t raw[OM_LEAF_SIZE], salt[OM_SALT_SIZE], root[OM_HASH_SIZE], hash[OM_HASH_SIZE];
	uint64_t index, size, time_ns;
	struct om_tlog_proof proof;
};

static int parse_source(const json_t *o, struct source *s)
{
	int r = om_unhex(json_text(o, "leaf"), s->raw, sizeof(s->raw));

	r = r ?: om_leaf_decode(s->raw, sizeof(s->raw), &s->leaf);
	r = r ?: om_unhex(json_text(o, "salt"), s->salt, sizeof(s->salt));
	r = r ?: om_unhex(json_text(o, "root"), s->root, sizeof(s->root));
	r = r ?: om_parse_u64(json_text(o, "index"), &s->index);
	r = r ?: om_parse_u64(json_text(o, "size"), &s->size);
	r = r ?: om_proof_parse(json_object_get(o, "proof"), &s->proof);
	if (r == 0 && om_time_parse(json_text(o, "time"), &s->time_ns))
		r = -EBADMSG;
	return r;
}

/* The node's signed checkpoint, if there is one, must be of just this tree. */
static int check_head(const json_t *o, const struct source *s)
{
	const char *text = json_text(o, "checkpoint");
	struct om_checkpoint c;
	struct om_note note;

	if (!*text)
		return 0;
	if (om_note_parse(text, strlen(text), &note) || om_checkpoint_parse(note.text, note.text_len, &c))
		return -EBADMSG;
	return c.size == s->size && !memcmp(c.root, s->root, sizeof(c.root)) ? 0 : -EBADMSG;
}

int om_evidence_check(const json_t *act, struct error_text *err)
{
	const json_t *o = json_object_get(act, "source");
	const char *name = json_text(act, "name");
	_cleanup_free_ uint8_t *data = NULL;
	uint8_t commitment[32];
	struct source s = { 0 };
	size_t len;
	int r = om_evidence_data(act, &data, &len);

	if (r)
		return error_set(err, r, "evidence '%s': its bytes are not those that its digest names",
				 name);
	if (!json_is_object(o))
		return 0; /* a file: somebody attached it */
	r = parse_source(o, &s);
	if (r)
		return error_set(err, -EBADMSG, "evidence '%s': its source is not in order", name);
	om_leaf_commit(s.salt, data, len, commitment);
	if (memcmp(commitment, s.leaf.commitment, sizeof(commitment)) || s.leaf.index != s.index ||
	    s.leaf.len != len || s.leaf.time_ns != s.time_ns ||
	    s.leaf.kind != json_integer_value(json_object_get(o, "kind")))
		return error_set(err, -EBADMSG, "evidence '%s': not what the node's leaf commits to", name);
	om_merkle_leaf_hash(s.raw, sizeof(s.raw), s.hash);
	r = om_tlog_check_inclusion(s.hash, s.index, s.size, &s.proof, s.root);
	r = r ?: check_head(o, &s);
	return r ? error_set(err, -EBADMSG, "evidence '%s': not in the node's log as its proof says", name)
		 : 0;
}
