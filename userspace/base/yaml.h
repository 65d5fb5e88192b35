/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_YAML_H
#define OPMETER_BASE_YAML_H

/*
 * Configuration files as a small tree in which every node knows its line, so
 * that an error can say FILE:LINE. Readers take what they know from a mapping
 * and then call yaml_done(), which refuses the keys that nobody took: a
 * misspelt field is an error, not a default.
 *
 * Bounds: 8 MiB a file, 16 levels, 200,000 nodes; anchors, aliases, tags and
 * several documents are refused. Scalars are text; nothing is guessed.
 *
 * Every function that takes a struct error_text writes one sentence that begins
 * with FILE:LINE and returns -EINVAL. A node belongs to its document; strings
 * are loans until yaml_close().
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log.h"
#include "opcount.h"

struct yaml;
struct yaml_node;

/* 0; -errno of reading (err filled); -EINVAL. */
int yaml_load(const char *path, struct yaml **ret, struct error_text *err);
int yaml_parse(const char *name, const void *text, size_t len, struct yaml **ret, struct error_text *err);
/* Not yaml_free(): libyaml exports that name. */
struct yaml *yaml_close(struct yaml *y); /* NULL is fine; returns NULL */
static inline void yaml_closep(struct yaml **y)
{
	*y = yaml_close(*y);
}

struct yaml_node *yaml_root(struct yaml *y);
/* SHA-256 of the file's bytes as 64 hex digits: the version of what it says. */
const char *yaml_digest(const struct yaml *y);
const char *yaml_name(const struct yaml *y);
int yaml_line(const struct yaml_node *n);

/* A sentence about a node. Returns -EINVAL. */
int yaml_error(const struct yaml_node *n, struct error_text *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Takes the value of a key out of a mapping: NULL if it is not there. */
struct yaml_node *yaml_take(struct yaml_node *map, const char *key);
/* As yaml_take(), an error if it is not there or the node is no mapping. */
int yaml_need(struct yaml_node *map, const char *key, struct yaml_node **ret, struct error_text *err);
/* Refuses keys that nobody took. */
int yaml_done(struct yaml_node *map, struct error_text *err);

/* Lists. A missing list is empty: n may be NULL. */
int yaml_check_list(struct yaml_node *n, struct error_text *err);
size_t yaml_count(const struct yaml_node *n);
/* The items in order; NULL at the end, or if it is no list. */
struct yaml_node *yaml_first(struct yaml_node *list);
struct yaml_node *yaml_next(struct yaml_node *item);

bool yaml_is_null(const struct yaml_node *n); /* `null`, `~` or nothing */
bool yaml_is_map(const struct yaml_node *n);

/* Scalars out of a mapping. `optional` leaves *ret as it was if the key is missing. */
int yaml_need_string(struct yaml_node *map, const char *key, const char **ret, struct error_text *err);
int yaml_optional_string(struct yaml_node *map, const char *key, const char **ret, struct error_text *err);
int yaml_string(struct yaml_node *n, const char **ret, struct error_text *err);
int yaml_bool(struct yaml_node *map, const char *key, bool *ret, struct error_text *err); /* optional */
int yaml_need_ops(struct yaml_node *map, const char *key, opcount *ret, struct error_text *err);
/* One of a NULL-terminated list of words; *ret is its index. */
int yaml_need_word(struct yaml_node *map, const char *key, const char *const *words, int *ret,
		   struct error_text *err);
/* YYYY-MM-DD as days since 1970-01-01; a date that does not exist is refused. Optional: INT32_MIN if missing
 * or null. */
int yaml_date(struct yaml_node *map, const char *key, int32_t *ret, struct error_text *err);
/* A fraction 0..1 or a percentage "51.5%", in parts per million. */
int yaml_share(struct yaml_node *map, const char *key, uint32_t *ret_ppm, struct error_text *err);

/* Dates on their own: -EINVAL if s is no date. */
int date_parse(const char *s, int32_t *ret_day);
const char *date_format(int32_t day, char buf[16]);

#endif
