/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_HEX_H
#define OPMETER_CORE_HEX_H

#include <stddef.h>
#include <stdint.h>

#include "tlog.h"

struct json_t;

/* Lower-case hexadecimal digits, twice len and a NUL. Returns out. */
const char *om_hex(const void *bytes, size_t len, char *out);
/* Just len bytes, in the one spelling: 0 or -EBADMSG. */
int om_unhex(const char *hex, uint8_t *out, size_t len);
/* Decimal digits of a u64 in its one spelling: 0 or -EBADMSG. */
int om_parse_u64(const char *s, uint64_t *ret);
/* A proof as a list of hexadecimal hashes. */
struct json_t *om_proof_json(const struct om_tlog_proof *p);
int om_proof_parse(const struct json_t *list, struct om_tlog_proof *ret);
/* Base64, malloc'ed; and back, in its one spelling. */
char *om_base64(const void *bytes, size_t len);
int om_unbase64(const char *text, size_t len, uint8_t **ret, size_t *ret_len);

#endif
