/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_TLOG_NOTE_H
#define OPMETER_CORE_TLOG_NOTE_H

/*
 * Signed notes (C2SP signed-note) with Ed25519 (RFC 8032), and the checkpoint
 * of a log as one (C2SP tlog-checkpoint): origin, size, root. Keys in the text
 * forms that other implementations read: "NAME+ID+BASE64" to verify,
 * "PRIVATE+KEY+NAME+ID+BASE64" to sign. No input is trusted; every form has one
 * spelling, others are refused.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "merkle.h"

#define OM_NOTE_NAME_MAX 200
#define OM_NOTE_SIGNATURES_MAX 16
#define OM_NOTE_SIGNATURE_SIZE 64
#define OM_NOTE_KEY_TEXT_MAX 320 /* of either text form, with NUL */

struct om_note_key {
	char name[OM_NOTE_NAME_MAX];
	uint32_t id; /* first 4 bytes of SHA-256(name, 0x0a, 0x01, public key), big-endian */
	uint8_t public[32];
	uint8_t seed[32]; /* if has_secret; the holder clears it */
	bool has_secret;
};

/* Letters, digits and . _ - / : what a name of ours has. */
bool om_note_name_is_valid(const char *name);
/* -EINVAL: the name. */
int om_note_key_make(const char *name, const uint8_t seed[32], struct om_note_key *ret);
/* Either form, with at most one line end behind it. -EBADMSG: not a key, or its id is not that of its bytes;
 * -EPROTONOSUPPORT: of a kind that is not Ed25519. */
int om_note_key_parse(const char *text, size_t len, struct om_note_key *ret);
const char *om_note_key_format(const struct om_note_key *k, bool secret, char buf[OM_NOTE_KEY_TEXT_MAX]);

/* The text, which must end in a line end, a blank line and a signature of each key: malloc'ed. NULL: out of
 * memory. */
char *om_note_sign(const char *text, const struct om_note_key *keys, size_t n);

/* A note of that text and of one signature that was made before: malloc'ed. NULL: out of memory. */
char *om_note_compose(const char *text, size_t len, const struct om_note_key *k,
		      const uint8_t signature[OM_NOTE_SIGNATURE_SIZE]);

struct om_note {
	const char *text; /* loans of what was parsed; text ends in a line end */
	size_t text_len;
	size_t signatures;
	struct {
		char name[OM_NOTE_NAME_MAX];
		uint32_t id;
		uint8_t signature[OM_NOTE_SIGNATURE_SIZE];
		bool is_long; /* not of 64 bytes: of another kind */
	} signature[OM_NOTE_SIGNATURES_MAX];
};
int om_note_parse(const char *data, size_t len, struct om_note *ret); /* 0, -EBADMSG */
/* 0: the key signed it; -ENOKEY: no signature of that key is on it; -EBADMSG: one is, and is wrong. */
int om_note_check(const struct om_note *n, const struct om_note_key *k);
/* Whether one of the keys signed it for the log of that origin. A key speaks for the log whose name it has
 * and for no other, however much it is trusted. As om_note_check(); *ret is a loan of `keys`; NULL: not
 * asked.
 */
int om_note_check_origin(const struct om_note *n, const char *origin, const struct om_note_key *keys,
			 size_t count, const struct om_note_key **ret);

struct om_checkpoint {
	char origin[OM_NOTE_NAME_MAX];
	uint64_t size;
	uint8_t root[OM_HASH_SIZE];
};
#define OM_CHECKPOINT_TEXT_MAX (OM_NOTE_NAME_MAX + 80)
const char *om_checkpoint_format(const struct om_checkpoint *c, char buf[OM_CHECKPOINT_TEXT_MAX]);
/* The text of a note. Further lines are extensions: passed over. -EBADMSG. */
int om_checkpoint_parse(const char *text, size_t len, struct om_checkpoint *ret);

#endif
