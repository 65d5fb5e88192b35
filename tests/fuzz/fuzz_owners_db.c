// SPDX-License-Identifier: Apache-2.0
/* An owners database of somebody else's making: any bytes as the file (first byte even), or any values in its tables (odd), since SQLite keeps no
 * type and no bound. It is refused, or every tenant is answered for, by the rules of ownership.h. */
#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sqlite3.h>

#include "userspace/core/owner_store.h"
#include "userspace/core/ownership.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *at, *end;
};

static uint8_t next(struct bytes *b)
{
	return b->at < b->end ? *b->at++ : 0;
}

/* Few names, so that rows meet. */
static void bind_value(sqlite3_stmt *q, int i, struct bytes *b)
{
	static const char *const texts[] = { "a", "b", "c", "d", "t", "", "US", "CN", "X", "LAPSED", "ANNULLED", "NON_PUBLIC", "NATURAL_PERSONS", "EL", "SDN", "confirmed", "\xff", "a\nb" };
	static const int64_t numbers[] = { 0, 1, 2, 3, 4, 7, 8, -1, 20000, 20780, 500000000, 1000000000, 1000000001, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN };
	uint8_t kind = next(b);

	if (kind < 0x60)
		sqlite3_bind_text(q, i, texts[kind % (sizeof(texts) / sizeof(texts[0]))], -1, SQLITE_STATIC);
	else if (kind < 0xc0)
		sqlite3_bind_int64(q, i, numbers[kind % (sizeof(numbers) / sizeof(numbers[0]))]);
	else if (kind < 0xe0)
		sqlite3_bind_int64(q, i, next(b) << 8 | next(b));
	else if (kind < 0xf0)
		sqlite3_bind_double(q, i, (double)next(b) * 1e300);
	else if (kind < 0xf8)
		sqlite3_bind_blob(q, i, "\0\1\2", 3, SQLITE_STATIC);
	else
		sqlite3_bind_null(q, i);
}

static void fill(const char *path, struct bytes *b)
{
	static const struct {
		const char *name;
		int columns;
	} tables[] = { { "record", 17 }, { "edge", 16 }, { "exception", 11 }, { "listing", 19 }, { "binding", 9 }, { "hit", 9 }, { "word", 6 }, { "source", 2 }, { "import", 14 }, { "meta", 2 } };
	sqlite3 *db;

	assert(sqlite3_open(path, &db) == SQLITE_OK);
	sqlite3_exec(db, "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; BEGIN", NULL, NULL, NULL);
	while (b->at < b->end) {
		uint8_t which = next(b) % (sizeof(tables) / sizeof(tables[0]));
		char sql[120], *at = sql + snprintf(sql, sizeof(sql), "INSERT OR REPLACE INTO %s VALUES(?", tables[which].name);
		sqlite3_stmt *q = NULL;

		for (int i = 1; i < tables[which].columns; i++)
			at += snprintf(at, sizeof(sql) - (size_t)(at - sql), ",?");
		strcpy(at, ")");
		if (sqlite3_prepare_v2(db, sql, -1, &q, NULL) != SQLITE_OK) {
			fprintf(stderr, "%s: %s\n", sql, sqlite3_errmsg(db));
			abort(); /* the table is another one than here */
		}
		for (int i = 1; i <= tables[which].columns; i++)
			bind_value(q, i, b);
		sqlite3_step(q);
		sqlite3_finalize(q);
	}
	sqlite3_exec(db, "COMMIT", NULL, NULL, NULL);
	sqlite3_close(db);
}

static int told(void *ctx, const struct owner_told *t)
{
	*(size_t *)ctx += strlen(t->id) + strlen(t->name) + strlen(t->headquarters) + strlen(t->number);
	return 0;
}

static int doubt(void *ctx, enum owner_doubt d, const char *entity, const char *a, const char *b)
{
	*(size_t *)ctx += strlen(owner_doubt_text(d)) + strlen(entity) + strlen(a) + strlen(b);
	return 0;
}

static int import(void *ctx, const struct owner_import_row *r)
{
	*(size_t *)ctx += strlen(r->source) + strlen(r->digest);
	return 0;
}

static void look(const char *path)
{
	struct error_text err = { 0 };
	struct owner_store *s;
	size_t n = 0;

	if (owner_store_open(path, OWNER_STORE_READ_ONLY, &s, &err))
		return;
	owner_store_each_import(s, import, &n);
	owner_store_each_record(s, told, &n);
	owner_store_each_doubt(s, doubt, &n);
	owner_store_free(s);
}

static void ask(const char *path)
{
	struct error_text err = { 0 };
	struct owners *o;
	int r = owners_load(path, &o, &err);

	if (r) {
		assert(r < 0);
		return;
	}
	owners_prepare(o);
	for (size_t i = 0; i < owners_tenant_count(o); i++)
		for (int32_t day = 19990; day < 21000; day += 505) {
			struct owner_share_answer s;
			struct owner_answer a;

			owners_resolve(o, owners_tenant(o, i), day, &a);
			assert(a.state != OWNER_KNOWN || (a.steps && a.why == OWNER_WHY_NONE));
			assert(a.steps <= OWNER_PATH_MAX && strlen(a.version) == 64);
			if (owners_standing(o, owners_tenant(o, i), day, NULL, 500000000, &s) == 0)
				assert(owner_standing_name(s.standing));
		}
	owners_free(o);
}

static int empty_database(void)
{
	char path[] = "/tmp/opmeter-fuzz-XXXXXX";
	struct error_text err = { 0 };
	struct owner_store *s;
	int fd = mkstemp(path);

	assert(fd >= 0);
	close(fd);
	unlink(path);
	assert(owner_store_open(path, OWNER_STORE_CREATE, &s, &err) == 0);
	owner_store_free(s);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert(fd >= 0);
	unlink(path);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t empty[1 << 18];
	static size_t empty_len;
	bool is_values = size && data[0] & 1;
	struct bytes b = { data + 1, data + size };
	/* SQLite follows links to the name of the file, so it must have one. */
	char path[] = "/dev/shm/opmeter-fuzz-XXXXXX";
	int fd = size ? mkostemp(path, O_CLOEXEC) : -1;

	if (fd < 0)
		return 0;
	if (!empty_len) {
		int e = empty_database();
		ssize_t n = read(e, empty, sizeof(empty));

		assert(n > 0 && n < (ssize_t)sizeof(empty));
		empty_len = (size_t)n;
		close(e);
	}
	if (is_values ? write(fd, empty, empty_len) != (ssize_t)empty_len : write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
		abort();
	if (is_values)
		fill(path, &b);
	look(path);
	ask(path);
	close(fd);
	unlink(path);
	return 0;
}
