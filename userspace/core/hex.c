// SPDX-License-Identifier: Apache-2.0
/* Bytes and numbers as text in JSON: one spelling each. */
#include "hex.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include <sodium/utils.h>

#include "../base/cleanup.h"

#define BASE64 sodium_base64_VARIANT_ORIGINAL

const char *om_hex(const void *bytes, size_t len, char *out)
{
	static const char digit[] = "0123456789abcdef";
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++) {
		out[2 * i] = digit[b[i] >> 4];
		out[2 * i + 1] = digit[b[i] & 15];
	}
	out[2 * len] = 0;
	return out;
}

int om_unhex(const char *hex, uint8_t *out, size_t len)
{
	if (!hex || strspn(hex, "0123456789abcdef") != 2 * len || hex[2 * len])
		return -EBADMSG;
	for (size_t i = 0; i < len; i++) {
		unsigned high = (unsigned char)hex[2 * i], low = (unsigned char)hex[2 * i + 1];

		out[i] = (uint8_t)((high > '9' ? high - 'a' + 10 : high - '0') << 4 |
				   (low > '9' ? low - 'a' + 10 : low - '0'));
	}
	return 0;
}

int om_parse_u64(const char *s, uint64_t *ret)
{
	uint64_t v = 0;

	if (!s || !*s || (s[0] == '0' && s[1]))
		return -EBADMSG;
	for (; *s; s++)
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(*s - '0'), &v))
			return -EBADMSG;
	*ret = v;
	return 0;
}

json_t *om_proof_json(const struct om_tlog_proof *p)
{
	json_t *list = json_array();
	char hex[2 * OM_HASH_SIZE + 1];

	for (unsigned i = 0; i < p->count; i++)
		json_array_append_new(list, json_string(om_hex(p->hash[i], OM_HASH_SIZE, hex)));
	return list;
}

int om_proof_parse(const json_t *list, struct om_tlog_proof *ret)
{
	const json_t *v;
	size_t i;

	if (!json_is_array(list) || json_array_size(list) > OM_TLOG_PROOF_MAX)
		return -EBADMSG;
	json_array_foreach(list, i,
			   v) if (om_unhex(json_string_value(v), ret->hash[i], OM_HASH_SIZE)) return -EBADMSG;
	ret->count = (unsigned)json_array_size(list);
	return 0;
}

char *om_base64(const void *bytes, size_t len)
{
	size_t room = sodium_base64_encoded_len(len, BASE64);
	char *out = malloc(room);

	return out ? sodium_bin2base64(out, room, bytes, len, BASE64) : NULL;
}

int om_unbase64(const char *text, size_t len, uint8_t **ret, size_t *ret_len)
{
	_cleanup_free_ uint8_t *out = malloc(len / 4 * 3 + 4);
	_cleanup_free_ char *again = NULL;
	size_t got;

	if (!out)
		return -ENOMEM;
	if (sodium_base642bin(out, len / 4 * 3 + 4, text, len, NULL, &got, NULL, BASE64))
		return -EBADMSG;
	/* libsodium reads some bytes that are no digits: what is not written back as it was is refused. */
	again = om_base64(out, got);
	if (!again)
		return -ENOMEM;
	if (strlen(again) != len || memcmp(again, text, len))
		return -EBADMSG;
	*ret = TAKE_PTR(out);
	*ret_len = got;
	return 0;
}
