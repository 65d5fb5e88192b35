// SPDX-License-Identifier: Apache-2.0
/* An import that has the owners database: whoever judges goes on, without a moment's wait, by what it read before, and reads when the import is done. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include <sqlite3.h>

#include "userspace/core/law.h"
#include "userspace/core/owner_store.h"

#define SECOND UINT64_C(1000000000)

static unsigned sleeps;

/* What SQLite waits with: counted, and over at once. */
static int no_sleep(sqlite3_vfs *vfs, int us)
{
	sleeps++;
	return us;
}

static void say(sqlite3 *db, const char *sql)
{
	assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

static void an_import_holds_up_nobody(void **state)
{
	char path[] = "/tmp/opmeter-busy-XXXXXX";
	struct error_text err = { 0 };
	struct owner_store *s = NULL;
	struct law_news news;
	struct law l;
	sqlite3 *import;
	struct owners *was;

	close(mkstemp(path));
	assert_int_equal(owner_store_open(path, OWNER_STORE_CREATE, &s, &err), 0);
	owner_store_free(s);
	assert_int_equal(law_open(&l, (const char *const[LAW_FILES]){ [LAW_OWNERS] = path }, 0, 0, &err), 0);
	was = l.owners;
	sleeps = 0;
	assert_int_equal(sqlite3_open(path, &import), SQLITE_OK);
	say(import, "BEGIN EXCLUSIVE");
	for (uint64_t t = 1; t < 20; t++) {
		law_look(&l, t * SECOND, 0, true, &news);
		assert_true(!news.is_any && !news.is_worth[LAW_OWNERS] && !l.file[LAW_OWNERS].has_failed);
	}
	assert_int_equal(sleeps, 0);
	assert_ptr_equal(l.owners, was);
	say(import, "COMMIT");
	sqlite3_close(import);
	/* Though the file looks as it did: it was not read. */
	law_look(&l, 21 * SECOND, 0, false, &news);
	assert_true(news.is_any && news.is_worth[LAW_OWNERS]);
	law_close(&l);
	unlink(path);
}

/* Who begins has nothing to go on with. */
static void at_the_start_it_is_waited_for(void **state)
{
	char path[] = "/tmp/opmeter-busy-XXXXXX";
	struct error_text err = { 0 };
	struct owner_store *s = NULL;
	sqlite3 *import;
	struct law l;

	close(mkstemp(path));
	assert_int_equal(owner_store_open(path, OWNER_STORE_CREATE, &s, &err), 0);
	owner_store_free(s);
	assert_int_equal(sqlite3_open(path, &import), SQLITE_OK);
	say(import, "BEGIN EXCLUSIVE");
	sleeps = 0;
	assert_int_equal(law_open(&l, (const char *const[LAW_FILES]){ [LAW_OWNERS] = path }, 0, 0, &err), -EINVAL);
	assert_non_null(strstr(err.text, path));
	assert_true(sleeps > 0);
	law_close(&l);
	sqlite3_close(import);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_import_holds_up_nobody),
		cmocka_unit_test(at_the_start_it_is_waited_for),
	};

	sqlite3_initialize();
	sqlite3_vfs_find(NULL)->xSleep = no_sleep;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
