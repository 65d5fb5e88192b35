// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/base/text.h"

static void an_address_comes_apart(void **state)
{
	static const struct {
		const char *text, *host, *port;
	} good[] = { { "127.0.0.1:9464", "127.0.0.1", "9464" }, { "[::1]:0", "::1", "0" }, { "::1:80", "::1", "80" }, { "a:http", "a", "http" },
		     { "]:1", "]", "1" } };
	static const char *const bad[] = { "", ":", ":80", "host", "host:", "a:12345678", "much-too-long-for-sixteen:1" };
	char host[16];
	const char *port;

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		assert_int_equal(text_split_address(good[i].text, host, sizeof(host), &port), 0);
		assert_string_equal(host, good[i].host);
		assert_string_equal(port, good[i].port);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(text_split_address(bad[i], host, sizeof(host), &port), -EINVAL);
}

static void a_name_is_of_its_letters(void **state)
{
	static const char *const good[] = { "a", "Z9._-", "acme-124m" };
	static const char *const bad[] = { "", "a b", "a/b", "\xc3\xa4", "a\n", "a%" };

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		assert_true(text_is_name(good[i], strlen(good[i])));
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_false(text_is_name(bad[i], strlen(bad[i])));
	assert_false(text_is_name("a\0b", 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(an_address_comes_apart), cmocka_unit_test(a_name_is_of_its_letters) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
