// SPDX-License-Identifier: Apache-2.0
/* The file of proven offsets: what it accepts, and that what it refuses is said
 * with the line's number. The shipped file is read as well. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

#include "userspace/core/offsets.h"

#define HASH_A "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HASH_B "ff112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define REST ",wheel 1,attribute diff"
#define ROW_A HASH_A ",libcublasLt.so.12,12.9.1,0,4,8,16,24,32,40,-,8,12,20,24" REST "\n"

static const char *path(void)
{
	return "/tmp/opmeter-test-offsets.csv";
}

static void write_file(const char *header, const char *rows)
{
	_cleanup_fclose_ FILE *f = fopen(path(), "we");
	char columns[512];

	assert_non_null(f);
	assert_int_equal(om_offsets_format_header(columns, sizeof(columns)), 0);
	fprintf(f, "# a comment\n\n%s\n%s", header ? header : columns, rows);
}

static int load(const char *rows, struct om_offsets_table **ret, struct error_text *err)
{
	int r;

	error_clear(err);
	write_file(NULL, rows);
	r = om_offsets_load(path(), ret, err);
	remove(path());
	return r;
}

static void finds_a_row_by_the_hash_of_the_code(void **state)
{
	_cleanup_offsets_ struct om_offsets_table *t = NULL;
	const struct om_offsets_row *row;
	struct error_text err;
	uint8_t hash[32] = { 0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa,
			     0xbb, 0xcc, 0xdd, 0xee, 0xff, 0x00, 0x11, 0x22, 0x33, 0x44, 0x55,
			     0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff };

	assert_int_equal(
		load(ROW_A "# between\n" HASH_B ",x,1,4,0,8,16,24,32,40,56,8,12,20,24" REST "\n", &t, &err),
		0);
	assert_int_equal(om_offsets_count(t), 2);
	row = om_offsets_find(t, hash);
	assert_non_null(row);
	assert_string_equal(row->version, "12.9.1");
	assert_int_equal(row->at[OM_OFFSET_LAYOUT_ROWS], 8);
	assert_int_equal(row->at[OM_OFFSET_LAYOUT_MODE], OM_OFFSET_ABSENT);
	assert_int_equal(row->at[OM_OFFSET_DESC_TRANSB], 24);
	hash[31] ^= 1;
	assert_null(om_offsets_find(t, hash));
	assert_null(om_offsets_find(NULL, hash));
	assert_int_equal(om_offsets_row(t, 1)->at[OM_OFFSET_LAYOUT_MODE], 56);
	assert_null(om_offsets_row(t, 2));
}

static void writes_what_it_reads(void **state)
{
	_cleanup_offsets_ struct om_offsets_table *t = NULL;
	struct error_text err;
	char line[512];

	assert_int_equal(load(ROW_A, &t, &err), 0);
	assert_int_equal(om_offsets_format_row(om_offsets_row(t, 0), line, sizeof(line)), 0);
	strcat(line, "\n");
	assert_string_equal(line, ROW_A);
	assert_int_equal(om_offsets_format_row(om_offsets_row(t, 0), line, 100), -ENOSPC);
}

static void names_the_line_of_every_fault(void **state)
{
	static const struct {
		const char *rows, *want;
	} bad[] = {
		{ ROW_A ROW_A, ":5: the same text_sha256 as in line 4" },
		{ "xyz,l,1\n", ":4: text_sha256 'xyz' is not 64" },
		{ "AA112233445566778899aabbccddeeff00112233445566778899aabbccddeeff,l,1\n",
		  ":4: text_sha256" },
		{ HASH_A ",l,1,0,4,8\n", ":4: layout_cols '' is missing" },
		{ HASH_A ",,1,0,4,8\n", ":4: library '' is missing" },
		{ HASH_A ",l,1,0,4,-,16,24,32,40,-,8,12,20,24" REST "\n", ":4: layout_rows must be known" },
		{ HASH_A ",l,1,0,4,8x,16,24,32,40,-,8,12,20,24" REST "\n",
		  ":4: layout_rows '8x' is not a byte offset" },
		{ HASH_A ",l,1,0,4,99999999999,16,24,32,40,-,8,12,20,24" REST "\n", "is not a byte offset" },
		{ HASH_A ",l,1,0,4,12,16,24,32,40,-,8,12,20,24" REST "\n",
		  ":4: layout_rows at 12 is not aligned" },
		{ HASH_A ",l,1,0,4,64,16,24,32,40,-,8,12,20,24" REST "\n",
		  ":4: layout_rows at 64 lies beyond" },
		{ HASH_A ",l,1,0,4,8,8,24,32,40,-,8,12,20,24" REST "\n",
		  ":4: layout_rows and layout_cols overlap" },
		{ HASH_A ",l,1,0,12,8,16,24,32,40,-,8,12,20,24" REST "\n",
		  "layout_order and layout_rows overlap" },
		{ HASH_A ",l,1,0,4,8,16,24,32,40,-,8,12,20,20" REST "\n",
		  ":4: desc_transa and desc_transb overlap" },
		{ HASH_A ",l,1,0,4,8,16,24,32,40,-,8,12,20,24" REST ",more\n",
		  ":4: column 'more' is one too many" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		struct om_offsets_table *t = NULL;
		struct error_text err;

		assert_int_equal(load(bad[i].rows, &t, &err), -EINVAL);
		assert_null(t);
		if (!strstr(err.text, bad[i].want))
			fail_msg("case %zu says: %s", i, err.text);
		assert_non_null(strstr(err.text, path()));
	}
}

static void refuses_other_columns_and_other_files(void **state)
{
	struct om_offsets_table *t = NULL;
	struct error_text err = { "" };

	write_file("text_sha256,library,version,rows", ROW_A);
	assert_int_equal(om_offsets_load(path(), &t, &err), -EINVAL);
	assert_non_null(strstr(err.text, ":3: the columns are not"));
	error_clear(&err);
	write_file("# nothing", "");
	assert_int_equal(om_offsets_load(path(), &t, &err), -EINVAL);
	assert_non_null(strstr(err.text, "has no line of columns"));
	remove(path());
	error_clear(&err);
	assert_int_equal(om_offsets_load("/nonexistent/offsets.csv", &t, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/offsets.csv"));
	error_clear(&err);
	assert_int_equal(om_offsets_load("/", &t, &err), -EIO);
}

static void refuses_more_rows_than_the_map_holds(void **state)
{
	_cleanup_free_ char *rows = calloc(1, 64 * 256);
	struct om_offsets_table *t = NULL;
	struct error_text err;
	size_t at = 0;

	for (unsigned i = 0; i < OM_OFFSETS_ROWS_MAX + 1; i++)
		at += (size_t)sprintf(rows + at, "%02x%s,l,1,0,4,8,16,24,32,40,-,8,12,20,24" REST "\n", i,
				      &HASH_A[2]);
	assert_int_equal(load(rows, &t, &err), -E2BIG);
}

static void the_shipped_file_is_in_order(void **state)
{
	_cleanup_offsets_ struct om_offsets_table *t = NULL;
	struct error_text err = { "" };

	if (om_offsets_load("data/offsets.csv", &t, &err))
		fail_msg("%s", err.text);
	assert_true(om_offsets_count(t) >= 2); /* the last builds of 12.x and 13.x */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_a_row_by_the_hash_of_the_code),
		cmocka_unit_test(writes_what_it_reads),
		cmocka_unit_test(names_the_line_of_every_fault),
		cmocka_unit_test(refuses_other_columns_and_other_files),
		cmocka_unit_test(refuses_more_rows_than_the_map_holds),
		cmocka_unit_test(the_shipped_file_is_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
