// SPDX-License-Identifier: Apache-2.0
/* JSON that is written without a tree is, to the byte, what jansson writes of the same values; whatever the bytes of a text, it stays JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <jansson.h>

#include "userspace/base/json_out.h"
#include "userspace/base/text.h"

static void same_as_jansson(const char *text)
{
	struct json_out o = { .text = NULL };
	json_t *array = json_pack("[s,{s:s}]", text, "k", text);
	char *want = array ? json_dumps(array, JSON_COMPACT) : NULL;

	json_out_open(&o, '[');
	json_out_string(&o, text);
	json_out_open(&o, '{');
	json_out_member(&o, "k", text);
	json_out_close(&o, '}');
	json_out_close(&o, ']');
	assert_non_null(want);
	assert_string_equal(json_out_text(&o), want);
	free(want);
	json_decref(array);
	json_out_free(&o);
}

static void texts_are_escaped_as_jansson_does(void **state)
{
	static const char *const texts[] = { "", "plain", "a\"b\\c/d", "\b\f\n\r\t", "\x01\x1f\x7f", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x99\x82",
					     "seven77\"", "eight888", "eight888\n", "\xef\xbf\xbd", "1234567\xc3\xa9" };
	char each[24];

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		same_as_jansson(texts[i]);
	/* Every ASCII byte at every place of the eight that are looked at together. */
	for (int c = 1; c < 128; c++) {
		for (int at = 0; at < 17; at++) {
			memset(each, 'x', 17);
			each[17] = '\0';
			each[at] = (char)c;
			same_as_jansson(each);
		}
	}
}

/* A byte that is part of no character is one replacement character; what stands around it stays. */
static void what_is_no_text_is_replaced(void **state)
{
	static const struct {
		const char *in, *out;
	} cases[] = { { "\xff", "\xef\xbf\xbd" }, { "a\xc3", "a\xef\xbf\xbd" }, { "\xc3(", "\xef\xbf\xbd(" },
		      { "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" }, { "\xc0\xaf!", "\xef\xbf\xbd\xef\xbf\xbd!" } };

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct json_out o = { .text = NULL };
		json_t *got;

		json_out_string(&o, cases[i].in);
		got = json_loads(json_out_text(&o), JSON_DECODE_ANY, NULL);
		assert_non_null(got);
		assert_string_equal(json_string_value(got), cases[i].out);
		json_decref(got);
		json_out_free(&o);
	}
}

static void values_and_nesting(void **state)
{
	struct json_out o = { .text = NULL };
	char *text;

	for (int again = 0; again < 2; again++) {
		json_out_reset(&o);
		json_out_open(&o, '{');
		json_out_key(&o, "a");
		json_out_open(&o, '[');
		json_out_close(&o, ']');
		json_out_key(&o, "n");
		json_out_number(&o, INT64_MIN);
		json_out_key(&o, "c");
		json_out_count(&o, OPCOUNT_MAX);
		json_out_key(&o, "l");
		json_out_open(&o, '[');
		json_out_bool(&o, true);
		json_out_null(&o);
		json_out_raw(&o, "{\"x\":1}", 7);
		json_out_number(&o, 0);
		json_out_close(&o, ']');
		json_out_close(&o, '}');
		assert_string_equal(json_out_text(&o), "{\"a\":[],\"n\":-9223372036854775808,\"c\":\"340282366920938463463374607431768211455\","
						       "\"l\":[true,null,{\"x\":1},0]}");
	}
	text = json_out_take(&o);
	assert_non_null(text);
	assert_null(o.text);
	free(text);
	json_out_free(&o);
}

static void reals_are_written_as_jansson_does(void **state)
{
	static const double reals[] = { 0, 1, 0.8, 1e-6, 123456.75, 1e300, 1e-300, 0.1, -2.5, 1e17 };

	for (size_t i = 0; i < sizeof(reals) / sizeof(reals[0]); i++) {
		struct json_out o = { .text = NULL };
		json_t *real = json_real(reals[i]);
		char *want = json_dumps(real, JSON_ENCODE_ANY);

		json_out_real(&o, reals[i]);
		assert_string_equal(json_out_text(&o), want);
		free(want);
		json_decref(real);
		json_out_free(&o);
	}
}

static void sentences_are_cut_between_characters(void **state)
{
	char buf[8];
	struct text_out t = TEXT_OUT(buf);

	text_add(&t, "ab\xe2\x82\xac");
	assert_string_equal(buf, "ab\xe2\x82\xac");
	text_add(&t, "\xe2\x82\xac"); /* two bytes are left, it has three */
	assert_string_equal(buf, "ab\xe2\x82\xac");
	text_add(&t, "cde");
	assert_string_equal(buf, "ab\xe2\x82\xac" "cd");
	text_add(&t, "more");
	assert_int_equal(strlen(buf), 7);
	t.len = 0;
	text_add_cut(&t, "x\xc3\xa9y", 2);
	assert_string_equal(buf, "x");
	text_add_cut(&t, "\xc3\xa9y", 2);
	assert_string_equal(buf, "x\xc3\xa9");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(texts_are_escaped_as_jansson_does), cmocka_unit_test(what_is_no_text_is_replaced),
		cmocka_unit_test(values_and_nesting), cmocka_unit_test(reals_are_written_as_jansson_does),
		cmocka_unit_test(sentences_are_cut_between_characters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
