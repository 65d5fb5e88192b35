// SPDX-License-Identifier: Apache-2.0
/* Probe sites of a shared object: those of the collector, and of the collector damaged at every byte of its notes. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "bpf/counter.h"
#include "userspace/agent/elf_notes.h"

static uint8_t *file;
static size_t size;

static int load(void **state)
{
	const char *b = getenv("B");
	char path[512];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/libopmeter-cupti.so", b ? b : "build");
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		return -1;
	size = (size_t)st.st_size;
	file = malloc(size);
	if (read(fd, file, size) != (ssize_t)size)
		return -1;
	return close(fd);
}

static int probes_of(const uint8_t *at, size_t len, const char *provider, struct elf_probe ret[8], size_t *count)
{
	_cleanup_close_ int fd = memfd_create("elf", MFD_CLOEXEC);
	_cleanup_elf_image_ struct elf_image *img = NULL;
	struct error_text err = {};
	int rc;

	assert_int_equal(write(fd, at, len), len);
	rc = elf_image_open(fd, &img, &err);
	return rc ? rc : elf_image_probes(img, provider, ret, 8, count, &err);
}

static void test_sites(void **state)
{
	struct elf_probe p[8];
	size_t count;
	unsigned seen = 0;

	assert_int_equal(probes_of(file, size, OM_COUNTER_PROVIDER, p, &count), 0);
	assert_int_equal(count, 2);
	for (size_t i = 0; i < count; i++) {
		seen |= strcmp(p[i].name, OM_COUNTER_READING_SITE) ? 0 : 1;
		seen |= strcmp(p[i].name, OM_COUNTER_STATUS_SITE) ? 0 : 2;
#if defined(__x86_64__)
		assert_string_equal(p[i].arguments, "8@%rdi");
		assert_memory_equal(file + p[i].offset, "\x0f\x1f\x44\x00\x00", 5);
#endif
		/* Nobody listens, in the file. */
		assert_true(p[i].semaphore && p[i].semaphore < size);
		assert_memory_equal(file + p[i].semaphore, "\0\0", 2);
	}
	assert_int_equal(seen, 3);
	assert_int_equal(probes_of(file, size, "somebody", p, &count), 0);
	assert_int_equal(count, 0);
}

static void test_damaged(void **state)
{
	const Elf64_Ehdr *e = (const void *)file;
	const Elf64_Shdr *s = (const void *)(file + e->e_shoff);
	const char *names = (const char *)file + s[e->e_shstrndx].sh_offset;
	struct elf_probe p[8];
	size_t count, at = 0, len = 0;

	for (size_t i = 0; i < e->e_shnum; i++)
		if (!strcmp(names + s[i].sh_name, ".note.stapsdt")) {
			at = s[i].sh_offset;
			len = s[i].sh_size;
		}
	assert_true(len > 100);
	for (size_t i = 0; i < len; i++) {
		uint8_t was = file[at + i];

		for (unsigned bit = 0; bit < 8; bit++) {
			file[at + i] = (uint8_t)(was ^ 1u << bit);
			if (probes_of(file, size, OM_COUNTER_PROVIDER, p, &count))
				continue;
			for (size_t k = 0; k < count; k++)
				assert_true(p[k].offset < size && p[k].semaphore < size &&
					    strlen(p[k].name) < ELF_PROBE_TEXT_MAX);
		}
		file[at + i] = was;
	}
	/* Cut anywhere: refused or without sites, never more than is there. */
	for (size_t cut = 64; cut < size; cut += 97)
		if (!probes_of(file, cut, OM_COUNTER_PROVIDER, p, &count))
			assert_int_equal(count, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_sites), cmocka_unit_test(test_damaged) };

	return cmocka_run_group_tests(tests, load, NULL);
}
