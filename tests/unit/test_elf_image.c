// SPDX-License-Identifier: Apache-2.0
/*
 * The reader of foreign ELF files: what it finds in a good one, in a stripped one
 * and in one without section headers; and that a damaged one is refused.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "userspace/agent/elf_image.h"

struct bytes {
	uint8_t *at;
	size_t size;
};

static void bytes_done(struct bytes *b)
{
	free(b->at);
}

static const char *fake(const char *name)
{
	static char path[512];
	const char *b = getenv("B");

	snprintf(path, sizeof(path), "%s/tests/fake/%s", b ? b : "build", name);
	return path;
}

static struct bytes load(const char *path)
{
	_cleanup_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct bytes b;
	struct stat st;

	if (fd < 0)
		fail_msg("%s: %s (build it with `make tests-build`)", path, strerror(errno));
	assert_int_equal(fstat(fd, &st), 0);
	b.size = (size_t)st.st_size;
	b.at = malloc(b.size);
	assert_int_equal(read(fd, b.at, b.size), b.size);
	return b;
}

static int memory_file(const void *at, size_t size)
{
	int fd = memfd_create("elf", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, at, size), size);
	return fd;
}

/* Reads all there is; the first error. */
static int read_all(int fd, struct elf_exports *x, uint8_t hash[32])
{
	_cleanup_elf_image_ struct elf_image *img = NULL;
	int r = elf_image_open(fd, &img, NULL);

	*x = (struct elf_exports){ 0 };
	if (!r)
		r = elf_image_exports(img, "cublas", x, NULL);
	if (!r && hash)
		r = elf_image_text_sha256(img, hash, NULL);
	return r;
}

static int read_bytes(const struct bytes *b, struct elf_exports *x, uint8_t hash[32])
{
	_cleanup_close_ int fd = memory_file(b->at, b->size);

	return read_all(fd, x, hash);
}

static void finds_the_exports_through_either_hash_table(void **state)
{
	static const char *const libs[] = { "libfakeblas.so", "libfakeblas_sysv.so",
					    "libfakeblas_salted.so" };

	for (size_t i = 0; i < ARRAY_SIZE(libs); i++) {
		_cleanup_(bytes_done) struct bytes b = load(fake(libs[i]));
		_cleanup_(elf_exports_done) struct elf_exports x;
		const struct elf_export *e;

		assert_int_equal(read_bytes(&b, &x, NULL), 0);
		assert_int_equal(x.count, 4);
		assert_null(elf_exports_find(&x, "other_function"));
		e = elf_exports_find(&x, "cublasLtMatmul");
		assert_non_null(e);
		/* The code at the offset is the function: it holds the constant 14. */
		assert_non_null(memchr(b.at + e->offset, 14, e->size));
		assert_true(x.item[0].vaddr < x.item[1].vaddr);
	}
}

static void reads_a_file_without_section_headers(void **state)
{
	_cleanup_(bytes_done) struct bytes b = load(fake("libfakeblas.so"));
	_cleanup_(elf_exports_done) struct elf_exports before, after;
	uint8_t hash[32], other[32];
	Elf64_Ehdr *e = (Elf64_Ehdr *)b.at;

	assert_int_equal(read_bytes(&b, &before, hash), 0);
	e->e_shoff = 0;
	e->e_shnum = e->e_shstrndx = 0;
	assert_int_equal(read_bytes(&b, &after, other), 0);
	assert_int_equal(after.count, before.count);
	assert_memory_equal(after.item, before.item, before.count * sizeof(*before.item));
	/* The hash is of the executable segments then: another one, but one. */
	assert_memory_not_equal(hash, other, sizeof(hash));
}

static void hash_follows_the_code_and_nothing_else(void **state)
{
	_cleanup_(bytes_done) struct bytes b = load(fake("libfakeblas.so"));
	_cleanup_(bytes_done) struct bytes salted = load(fake("libfakeblas_salted.so"));
	_cleanup_(elf_exports_done) struct elf_exports x, y, z, w;
	uint8_t hash[32], other[32];

	assert_int_equal(read_bytes(&b, &x, hash), 0);
	assert_int_equal(read_bytes(&salted, &y, other), 0);
	assert_memory_not_equal(hash, other, sizeof(hash));
	b.at[b.size - 1] ^= 1; /* the section header table */
	assert_int_equal(read_bytes(&b, &z, other), 0);
	assert_memory_equal(hash, other, sizeof(hash));
	b.at[x.item[0].offset] ^= 1;
	assert_int_equal(read_bytes(&b, &w, other), 0);
	assert_memory_not_equal(hash, other, sizeof(hash));
}

static int run_tool(const char *tool, const char *const argv[])
{
	pid_t pid = fork();
	int status;

	if (pid == 0) {
		execvp(tool, (char *const *)argv);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void expect_same_after(const char *tool, const char *option, const char *value)
{
	char path[] = "/tmp/opmeter-elf-XXXXXX";
	const char *argv[] = { tool, option, value ? value : path, value ? path : NULL, NULL };
	_cleanup_(bytes_done) struct bytes b = load(fake("libfakeblas.so"));
	_cleanup_(elf_exports_done) struct elf_exports before = { 0 }, after = { 0 };
	_cleanup_close_ int fd = mkstemp(path), again = -1;
	uint8_t hash[32], other[32];
	int rc;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, b.at, b.size), b.size);
	rc = run_tool(tool, argv);
	again = open(path, O_RDONLY | O_CLOEXEC);
	unlink(path);
	if (rc == 127) {
		bytes_done(&b); /* skip() does not return, and nothing is cleaned up on its way */
		close(fd);
		close(again);
		skip();
	}
	assert_int_equal(rc, 0);
	assert_int_equal(read_bytes(&b, &before, hash), 0);
	assert_int_equal(read_all(again, &after, other), 0);
	assert_int_equal(after.count, before.count);
	assert_memory_equal(hash, other, sizeof(hash));
}

static void strip_changes_nothing_that_matters(void **state)
{
	expect_same_after("strip", "--strip-all", NULL);
}

static void patchelf_changes_nothing_that_matters(void **state)
{
	expect_same_after("patchelf", "--set-rpath", "/somewhere/rather/long/so/that/tables/have/to/move");
}

static void says_what_is_no_library(void **state)
{
	_cleanup_(elf_exports_done) struct elf_exports x;
	_cleanup_close_ int dir = open("/", O_RDONLY | O_CLOEXEC);
	static const char text[] =
		"#!/bin/sh\nexit 0\n# padded so that a header would fit: ............................";
	struct bytes script = { (uint8_t *)text, sizeof(text) };
	struct bytes nothing = { (uint8_t *)text, 0 };

	assert_int_equal(read_bytes(&script, &x, NULL), -ENOEXEC);
	assert_int_equal(read_bytes(&nothing, &x, NULL), -ENOEXEC);
	assert_int_equal(read_all(dir, &x, NULL), -ENOEXEC);
}

/* Every length of the file, in steps: never a crash, and never a result from
 * what is not there. The sanitizer build gives this its teeth. */
static void refuses_every_truncation(void **state)
{
	_cleanup_(bytes_done) struct bytes whole = load(fake("libfakeblas.so"));
	uint8_t hash[32];

	for (size_t n = 0; n < whole.size; n += 61) {
		struct bytes b = { whole.at, n };
		struct elf_exports x;
		int r = read_bytes(&b, &x, hash);

		if (r == 0)
			assert_int_equal(x.count, 4); /* only section headers were cut off */
		else
			assert_true(r == -ENOEXEC || r == -EBADMSG);
		elf_exports_done(&x);
	}
}

static Elf64_Phdr *segment(struct bytes *b, uint32_t type, uint32_t flags)
{
	Elf64_Ehdr *e = (Elf64_Ehdr *)b->at;
	Elf64_Phdr *p = (Elf64_Phdr *)(b->at + e->e_phoff);

	for (size_t i = 0; i < e->e_phnum; i++)
		if (p[i].p_type == type && (p[i].p_flags & flags) == flags)
			return &p[i];
	fail_msg("no such segment");
	return NULL;
}

static Elf64_Dyn *dynamic(struct bytes *b, int64_t tag)
{
	Elf64_Dyn *d = (Elf64_Dyn *)(b->at + segment(b, PT_DYNAMIC, 0)->p_offset);

	while (d->d_tag != tag)
		d++;
	return d;
}

static void refuses_absurd_counts(void **state)
{
	static const struct {
		int64_t tag;
		uint64_t value;
		int want;
	} cases[] = {
		{ DT_STRSZ, UINT64_MAX, -E2BIG },	 { DT_STRSZ, 1 << 20, -EBADMSG },
		{ DT_STRTAB, UINT64_MAX - 7, -EBADMSG }, { DT_SYMTAB, UINT64_MAX - 7, -EBADMSG },
		{ DT_GNU_HASH, UINT64_MAX, -EBADMSG },	 { DT_GNU_HASH, 1ull << 40, -EBADMSG },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		_cleanup_(bytes_done) struct bytes b = load(fake("libfakeblas.so"));
		struct elf_exports x;

		dynamic(&b, cases[i].tag)->d_un.d_val = cases[i].value;
		if (read_bytes(&b, &x, NULL) != cases[i].want)
			fail_msg("case %zu: not refused as %d", i, cases[i].want);
		elf_exports_done(&x);
	}
}

static void refuses_hash_tables_without_end(void **state)
{
	_cleanup_(bytes_done) struct bytes gnu = load(fake("libfakeblas.so"));
	_cleanup_(bytes_done) struct bytes sysv = load(fake("libfakeblas_sysv.so"));
	struct elf_exports x;
	uint32_t *table = (uint32_t *)(gnu.at + dynamic(&gnu, DT_GNU_HASH)->d_un.d_ptr);

	table[0] = UINT32_MAX; /* buckets */
	assert_int_equal(read_bytes(&gnu, &x, NULL), -E2BIG);
	table[0] = 1;
	table[2] = UINT32_MAX; /* words of the filter: the buckets lie beyond the file */
	assert_int_equal(read_bytes(&gnu, &x, NULL), -EBADMSG);
	table = (uint32_t *)(sysv.at + dynamic(&sysv, DT_HASH)->d_un.d_ptr);
	table[1] = UINT32_MAX;
	assert_int_equal(read_bytes(&sysv, &x, NULL), -E2BIG);
}

static void refuses_segments_that_lie(void **state)
{
	_cleanup_(bytes_done) struct bytes b = load(fake("libfakeblas.so"));
	Elf64_Phdr *p = segment(&b, PT_LOAD, PF_X), good = *p;
	struct elf_exports x;

	p->p_filesz = p->p_memsz = UINT64_MAX - 100;
	assert_int_equal(read_bytes(&b, &x, NULL), -EBADMSG);
	*p = good;
	p->p_offset = UINT64_MAX - 1;
	assert_int_equal(read_bytes(&b, &x, NULL), -EBADMSG);
	*p = good;
	((Elf64_Ehdr *)b.at)->e_phnum = UINT16_MAX;
	assert_int_equal(read_bytes(&b, &x, NULL), -E2BIG);
}

static void a_function_outside_of_the_code_is_no_export(void **state)
{
	_cleanup_(bytes_done) struct bytes b = load(fake("libfakeblas.so"));
	_cleanup_(elf_exports_done) struct elf_exports x;

	segment(&b, PT_LOAD, PF_X)->p_flags = PF_R;
	assert_int_equal(read_bytes(&b, &x, NULL), 0);
	assert_int_equal(x.count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(finds_the_exports_through_either_hash_table),
		cmocka_unit_test(reads_a_file_without_section_headers),
		cmocka_unit_test(hash_follows_the_code_and_nothing_else),
		cmocka_unit_test(strip_changes_nothing_that_matters),
		cmocka_unit_test(patchelf_changes_nothing_that_matters),
		cmocka_unit_test(says_what_is_no_library),
		cmocka_unit_test(refuses_every_truncation),
		cmocka_unit_test(refuses_absurd_counts),
		cmocka_unit_test(refuses_hash_tables_without_end),
		cmocka_unit_test(refuses_segments_that_lie),
		cmocka_unit_test(a_function_outside_of_the_code_is_no_export),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
