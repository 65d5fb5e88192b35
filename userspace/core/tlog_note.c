// SPDX-License-Identifier: Apache-2.0
#include "tlog_note.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/crypto_sign_ed25519.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"

#define KIND_ED25519 1
#define DASH "\xe2\x80\x94 " /* an em dash and a blank begin a signature */
#define BASE64 sodium_base64_VARIANT_ORIGINAL
#define PRIVATE "PRIVATE+KEY+"

bool om_note_name_is_valid(const char *name)
{
	size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/");

	return n && !name[n] && n < OM_NOTE_NAME_MAX;
}

static uint32_t key_id(const char *name, const uint8_t public[32])
{
	static const uint8_t apart[2] = { '\n', KIND_ED25519 };
	uint8_t hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state s;

	crypto_hash_sha256_init(&s);
	crypto_hash_sha256_update(&s, (const uint8_t *)name, strlen(name));
	crypto_hash_sha256_update(&s, apart, sizeof(apart));
	crypto_hash_sha256_update(&s, public, 32);
	crypto_hash_sha256_final(&s, hash);
	return (uint32_t)hash[0] << 24 | (uint32_t)hash[1] << 16 | (uint32_t)hash[2] << 8 | hash[3];
}

int om_note_key_make(const char *name, const uint8_t seed[32], struct om_note_key *ret)
{
	struct om_note_key k = { .has_secret = true };
	uint8_t secret[crypto_sign_ed25519_SECRETKEYBYTES];

	if (!om_note_name_is_valid(name))
		return -EINVAL;
	strcpy(k.name, name);
	memcpy(k.seed, seed, sizeof(k.seed));
	crypto_sign_ed25519_seed_keypair(k.public, secret, seed);
	sodium_memzero(secret, sizeof(secret));
	k.id = key_id(k.name, k.public);
	*ret = k;
	return 0;
}

/* One spelling of some bytes is taken: what is not written back as it was is refused. libsodium 1.0.18 reads
 * 0xaf and 0xab as '/' and '+'. */
static int decode64(const char *text, size_t len, uint8_t *out, size_t size, size_t *ret_len)
{
	char again[4 * 512 / 3 + 8];

	if (size > 512 || sodium_base642bin(out, size, text, len, NULL, ret_len, NULL, BASE64) ||
	    sodium_base64_encoded_len(*ret_len, BASE64) != len + 1)
		return -EBADMSG;
	sodium_bin2base64(again, sizeof(again), out, *ret_len, BASE64);
	return memcmp(again, text, len) ? -EBADMSG : 0;
}

static int parse_hex_id(const char *s, size_t len, uint32_t *ret)
{
	if (len != 8 || strspn(s, "0123456789abcdef") < 8)
		return -EBADMSG;
	*ret = (uint32_t)strtoul(s, NULL, 16);
	return 0;
}

int om_note_key_parse(const char *text, size_t len, struct om_note_key *ret)
{
	char line[OM_NOTE_KEY_TEXT_MAX], *name = line, *id, *data;
	struct om_note_key k = { 0 };
	size_t n = len && text[len - 1] == '\n' ? len - 1 : len, got;
	bool is_secret = n > strlen(PRIVATE) && !memcmp(text, PRIVATE, strlen(PRIVATE));
	uint8_t bytes[33];
	uint32_t want;
	int r;

	if (n >= sizeof(line) || memchr(text, 0, n))
		return -EBADMSG;
	memcpy(line, text, n);
	line[n] = 0;
	name += is_secret ? strlen(PRIVATE) : 0;
	id = strchr(name, '+');
	data = id ? strchr(id + 1, '+') : NULL;
	if (!data)
		return -EBADMSG;
	*id++ = *data++ = 0;
	if (!om_note_name_is_valid(name) || parse_hex_id(id, strlen(id), &want) ||
	    decode64(data, strlen(data), bytes, sizeof(bytes), &got) || got != sizeof(bytes)) {
		sodium_memzero(line, sizeof(line));
		return -EBADMSG;
	}
	if (bytes[0] != KIND_ED25519) {
		r = -EPROTONOSUPPORT;
	} else if (is_secret) {
		r = om_note_key_make(name, bytes + 1, &k);
	} else {
		strcpy(k.name, name);
		memcpy(k.public, bytes + 1, sizeof(k.public));
		k.id = key_id(k.name, k.public);
		r = 0;
	}
	sodium_memzero(line, sizeof(line));
	sodium_memzero(bytes, sizeof(bytes));
	if (r == 0 && k.id != want)
		r = -EBADMSG;
	if (r == 0)
		*ret = k;
	sodium_memzero(k.seed, sizeof(k.seed));
	return r;
}

const char *om_note_key_format(const struct om_note_key *k, bool secret, char buf[OM_NOTE_KEY_TEXT_MAX])
{
	uint8_t bytes[33] = { KIND_ED25519 };
	char data[64];

	memcpy(bytes + 1, secret ? k->seed : k->public, 32);
	sodium_bin2base64(data, sizeof(data), bytes, sizeof(bytes), BASE64);
	snprintf(buf, OM_NOTE_KEY_TEXT_MAX, "%s%s+%08x+%s", secret ? PRIVATE : "", k->name, k->id, data);
	sodium_memzero(bytes, sizeof(bytes));
	sodium_memzero(data, sizeof(data));
	return buf;
}

static void put_signature(const char *name, uint32_t id, const uint8_t signature[OM_NOTE_SIGNATURE_SIZE],
			  char out[400])
{
	uint8_t bytes[4 + OM_NOTE_SIGNATURE_SIZE];
	char data[128];

	for (int i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(id >> (24 - 8 * i));
	memcpy(bytes + 4, signature, OM_NOTE_SIGNATURE_SIZE);
	sodium_bin2base64(data, sizeof(data), bytes, sizeof(bytes), BASE64);
	snprintf(out, 400, DASH "%s %s\n", name, data);
}

static void sign_line(const char *text, size_t len, const struct om_note_key *k, char out[400])
{
	uint8_t public[32], secret[crypto_sign_ed25519_SECRETKEYBYTES], signature[OM_NOTE_SIGNATURE_SIZE];

	crypto_sign_ed25519_seed_keypair(public, secret, k->seed);
	crypto_sign_ed25519_detached(signature, NULL, (const uint8_t *)text, len, secret);
	sodium_memzero(secret, sizeof(secret));
	put_signature(k->name, k->id, signature, out);
}

char *om_note_compose(const char *text, size_t len, const struct om_note_key *k,
		      const uint8_t signature[OM_NOTE_SIGNATURE_SIZE])
{
	char *out = malloc(len + 2 + 400);

	if (!out)
		return NULL;
	memcpy(out, text, len);
	out[len] = '\n';
	put_signature(k->name, k->id, signature, out + len + 1);
	return out;
}

char *om_note_sign(const char *text, const struct om_note_key *keys, size_t n)
{
	size_t len = strlen(text), at = len;
	char *out = malloc(len + 2 + n * 400);

	if (!out)
		return NULL;
	memcpy(out, text, len);
	out[at++] = '\n';
	out[at] = 0;
	for (size_t i = 0; i < n; i++) {
		sign_line(text, len, &keys[i], out + at);
		at += strlen(out + at);
	}
	return out;
}

static int parse_signature(const char *line, size_t len, struct om_note *n)
{
	uint8_t bytes[512];
	const char *blank;
	size_t name, got;

	if (n->signatures == OM_NOTE_SIGNATURES_MAX || len < strlen(DASH) || memcmp(line, DASH, strlen(DASH)))
		return -EBADMSG;
	line += strlen(DASH);
	len -= strlen(DASH);
	blank = memchr(line, ' ', len);
	name = blank ? (size_t)(blank - line) : 0;
	if (name == 0 || name >= OM_NOTE_NAME_MAX || memchr(line, '+', name) ||
	    decode64(blank + 1, len - name - 1, bytes, sizeof(bytes), &got) || got < 5)
		return -EBADMSG;
	memcpy(n->signature[n->signatures].name, line, name);
	n->signature[n->signatures].name[name] = 0;
	n->signature[n->signatures].id =
		(uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
	n->signature[n->signatures].is_long = got != 4 + OM_NOTE_SIGNATURE_SIZE;
	if (got == 4 + OM_NOTE_SIGNATURE_SIZE)
		memcpy(n->signature[n->signatures].signature, bytes + 4, OM_NOTE_SIGNATURE_SIZE);
	n->signatures++;
	return 0;
}

/* The last blank line parts text and signatures. */
static const char *find_parting(const char *data, size_t len)
{
	for (size_t i = len; i >= 2; i--)
		if (data[i - 2] == '\n' && data[i - 1] == '\n')
			return data + i;
	return NULL;
}

int om_note_parse(const char *data, size_t len, struct om_note *ret)
{
	struct om_note n = { .text = data };
	const char *at = find_parting(data, len), *end = data + len;

	if (!at || end[-1] != '\n' || at == end)
		return -EBADMSG;
	n.text_len = (size_t)(at - data) - 1;
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)data[i] < 0x20 && data[i] != '\n')
			return -EBADMSG;
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));

		if (parse_signature(at, (size_t)(line_end - at), &n))
			return -EBADMSG;
		at = line_end + 1;
	}
	*ret = n;
	return 0;
}

int om_note_check(const struct om_note *n, const struct om_note_key *k)
{
	for (size_t i = 0; i < n->signatures; i++) {
		if (n->signature[i].id != k->id || strcmp(n->signature[i].name, k->name))
			continue;
		if (n->signature[i].is_long ||
		    crypto_sign_ed25519_verify_detached(n->signature[i].signature, (const uint8_t *)n->text,
							n->text_len, k->public))
			return -EBADMSG;
		return 0;
	}
	return -ENOKEY;
}

int om_note_check_origin(const struct om_note *n, const char *origin, const struct om_note_key *keys,
			 size_t count, const struct om_note_key **ret)
{
	int r = -ENOKEY;

	for (size_t i = 0; i < count && r == -ENOKEY; i++) {
		if (strcmp(keys[i].name, origin))
			continue;
		r = om_note_check(n, &keys[i]);
		if (r == 0 && ret)
			*ret = &keys[i];
	}
	return r;
}

const char *om_checkpoint_format(const struct om_checkpoint *c, char buf[OM_CHECKPOINT_TEXT_MAX])
{
	char root[64];

	sodium_bin2base64(root, sizeof(root), c->root, sizeof(c->root), BASE64);
	snprintf(buf, OM_CHECKPOINT_TEXT_MAX, "%s\n%llu\n%s\n", c->origin, (unsigned long long)c->size, root);
	return buf;
}

static int parse_size(const char *s, size_t len, uint64_t *ret)
{
	uint64_t v = 0;

	if (len == 0 || len > 20 || (s[0] == '0' && len > 1))
		return -EBADMSG;
	for (size_t i = 0; i < len; i++)
		if (s[i] < '0' || s[i] > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return -EBADMSG;
	*ret = v;
	return 0;
}

int om_checkpoint_parse(const char *text, size_t len, struct om_checkpoint *ret)
{
	struct om_checkpoint c = { 0 };
	const char *line[3], *at = text, *end = text + len;
	size_t n[3], got;

	for (int i = 0; i < 3; i++) {
		const char *line_end = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;

		if (!line_end)
			return -EBADMSG;
		line[i] = at;
		n[i] = (size_t)(line_end - at);
		at = line_end + 1;
	}
	if (n[0] == 0 || n[0] >= sizeof(c.origin) || memchr(line[0], 0, n[0]) ||
	    parse_size(line[1], n[1], &c.size) || c.size >> 63 ||
	    decode64(line[2], n[2], c.root, sizeof(c.root), &got) || got != sizeof(c.root))
		return -EBADMSG;
	memcpy(c.origin, line[0], n[0]);
	/* Extensions are lines that are not empty. */
	if (at < end && (*at == '\n' || end[-1] != '\n'))
		return -EBADMSG;
	*ret = c;
	return 0;
}
