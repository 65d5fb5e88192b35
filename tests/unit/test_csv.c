// SPDX-License-Identifier: Apache-2.0
/* CSV as it is written by others: quotes, line ends, marks, and what is no CSV; told with its line, and read on after it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/base/csv.h"

/* Rows as one text: fields by '|', rows by ';', a bad row as !LINE:PROBLEM; its line in front. */
static void read_all(const char *text, size_t len, char *out, size_t size)
{
	struct csv *c;
	struct csv_row row;
	size_t n = 0;
	int r;

	assert_int_equal(csv_memory(text, len, &c), 0);
	while ((r = csv_next(c, &row)) != CSV_END) {
		assert_true(r == CSV_ROW || r == CSV_BAD);
		n += (size_t)snprintf(out + n, size - n, "%llu", (unsigned long long)row.line);
		if (r == CSV_BAD)
			n += (size_t)snprintf(out + n, size - n, "!%zu %s", row.problem_column, row.problem);
		for (size_t i = 0; i < row.count && r == CSV_ROW; i++)
			n += (size_t)snprintf(out + n, size - n, "|%s", row.field[i]);
		n += (size_t)snprintf(out + n, size - n, ";");
		assert_true(n < size);
	}
	out[n] = '\0';
	assert_int_equal(csv_offset(c), len);
	csv_free(c);
}

static void reads(const char *text, const char *expected)
{
	char out[4096];

	read_all(text, strlen(text), out, sizeof(out));
	assert_string_equal(out, expected);
}

static void rows_and_quotes(void **state)
{
	reads("", "");
	reads("\n\r\n\r", "");
	reads("a,b\n1,2\n", "1|a|b;2|1|2;");
	reads("a,b\n1,2", "1|a|b;2|1|2;");
	reads("a,,\n,\n", "1|a||;2||;");
	reads("\"a,b\",\"say \"\"no\"\"\",\"\"\n", "1|a,b|say \"no\"|;");
	reads("\xef\xbb\xbf\"x\",y\n", "1|x|y;");
	reads("a\xef\xbb\xbf\n", "1|a\xef\xbb\xbf;"); /* a mark is one at the beginning only */
}

static void line_ends_may_be_mixed(void **state)
{
	reads("a\nb\r\nc\rd\n\ne", "1|a;2|b;3|c;4|d;6|e;");
	reads("\"x\ny\r\nz\",1\nnext\n", "1|x\ny\r\nz|1;4|next;");
	reads("\"x\ry\",1\nnext\n", "1|x\ry|1;3|next;");
}

static void a_bad_row_is_told_and_passed(void **state)
{
	reads("a\nb\"c,d\ne\n", "1|a;2!1 a quote inside a field that does not begin with one;3|e;");
	reads("a,\"b\"x,c\ne\n", "1!2 text after a closing quote;2|e;");
	reads("a\nb,\"never\nc\n", "1|a;2!2 a quote that never closes;");
	/* The quote that swallowed a line is found where the next begins. */
	reads("x,\"open\ny,\"z\"\nlast\n", "1!2 text after a closing quote;3|last;");
	reads("ok\n\xff\xfe,1\nok\n", "1|ok;2!1 text that is not UTF-8;3|ok;");
	reads("1,\xc0\x80\nok\n", "1!2 text that is not UTF-8;2|ok;");
}

static void a_nul_is_no_text(void **state)
{
	static const char text[] = "a\nb\0c,d\ne\n";
	char out[256];

	read_all(text, sizeof(text) - 1, out, sizeof(out));
	assert_string_equal(out, "1|a;2!1 a NUL byte;3|e;");
}

static void bounds_hold(void **state)
{
	size_t len = 3u << 20;
	char *text = malloc(len + 1), out[256];

	memset(text, 'x', len);
	memcpy(text, "a,\"", 3);
	memcpy(text + len - 4, "\nb,\n", 4);
	read_all(text, len, out, sizeof(out));
	assert_string_equal(out, "1!2 a row of over 1 MiB (a quote that never closes?);2|b|;");
	memset(text, ',', 2000);
	text[2000] = '\n';
	read_all(text, 2001, out, sizeof(out));
	assert_string_equal(out, "1!1024 more than 1024 fields;");
	free(text);
}

/* Any rows, written by the rules, come back as they were; whole files through a pipe's small reads too. */
static void what_is_written_is_read(void **state)
{
	static const char *const bits[] = { "a", ",", "\"\"", "\n", "\r\n", "\r", "\xc3\xa9", " ", "\xf0\x9f\x98\x80", "z9" };
	static const char *const meant[] = { "a", ",", "\"", "\n", "\r\n", "\r", "\xc3\xa9", " ", "\xf0\x9f\x98\x80", "z9" };
	unsigned seed = 7;

	for (int round = 0; round < 300; round++) {
		char path[] = "/tmp/opmeter-csv-XXXXXX", expected[40][64];
		int fd = mkstemp(path), fields = 0, rows = 1 + (int)(rand_r(&seed) % 8), width = 1 + (int)(rand_r(&seed) % 4);
		FILE *f = fdopen(fd, "w");
		struct error_text err = { 0 };
		struct csv_row row;
		struct csv *c;

		for (int i = 0; i < rows * width; i++) {
			expected[fields][0] = '\0';
			fprintf(f, "%s\"", i % width ? "," : "");
			for (unsigned k = rand_r(&seed) % 6; k; k--) {
				unsigned b = rand_r(&seed) % 10;

				fputs(bits[b], f);
				strcat(expected[fields], meant[b]);
			}
			fprintf(f, "\"%s", i % width == width - 1 ? (rand_r(&seed) % 2 ? "\r\n" : "\n") : "");
			fields++;
		}
		fclose(f);
		assert_int_equal(csv_open(path, &c, &err), 0);
		for (int i = 0; i < rows; i++) {
			assert_int_equal(csv_next(c, &row), CSV_ROW);
			assert_int_equal(row.count, width);
			for (int k = 0; k < width; k++)
				assert_string_equal(row.field[k], expected[i * width + k]);
		}
		assert_int_equal(csv_next(c, &row), CSV_END);
		csv_free(c);
		unlink(path);
	}
}

static void the_digest_is_of_the_bytes(void **state)
{
	struct csv_row row;
	struct csv *c;
	char digest[65];

	assert_int_equal(csv_memory("abc", 3, &c), 0);
	assert_int_equal(csv_next(c, &row), CSV_ROW);
	assert_int_equal(csv_next(c, &row), CSV_END);
	csv_digest(c, digest);
	assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	csv_free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows_and_quotes),	cmocka_unit_test(line_ends_may_be_mixed),
		cmocka_unit_test(a_bad_row_is_told_and_passed), cmocka_unit_test(a_nul_is_no_text),
		cmocka_unit_test(bounds_hold),		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(the_digest_is_of_the_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
