// SPDX-License-Identifier: Apache-2.0
#include "describe.h"

#include <elf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../core/gemm_entries.h"
#include "counter.h"
#include "driver_entries.h"
#include "elf_image.h"
#include "probe_site.h"

#if defined(__x86_64__)
#define MACHINE_HERE EM_X86_64
#elif defined(__aarch64__)
#define MACHINE_HERE EM_AARCH64
#endif

/* Of an entry that the table does not know: a later version's. */
static unsigned kind_by_name(const char *name)
{
	if (!strcmp(name, "cublasLtMatmul"))
		return LIBRARY_CUBLASLT;
	/* libcublasLt has private entries with "Gemm" in their names. */
	return strncmp(name, "cublasLt", 8) && strcasestr(name, "gemm") ? LIBRARY_CUBLAS : 0;
}

static int entry_of(const char *name)
{
	int entry = om_gemm_entry_find(name);

	if (entry >= 0)
		return entry;
	entry = om_driver_entry_find(name);
	return entry < 0 ? entry : OM_DRIVER_SITE_BASE + entry;
}

static int take_export(int fd, const struct elf_export *e, struct library *lib, struct error_text *err)
{
	uint8_t code[PROBE_SITE_BYTES] = { 0 };
	int entry = entry_of(e->name);
	size_t offset;
	ssize_t n;

	lib->kind |= kind_by_name(e->name);
	if (entry < 0)
		return 0;
	/* One file may define a name under several versions; no library needs more. */
	if (lib->entry_count == LIBRARY_ENTRIES_MAX)
		return error_set(err, -E2BIG, "defines more than %u entries of interest",
				 LIBRARY_ENTRIES_MAX);
	n = pread(fd, code, sizeof(code), (off_t)e->offset);
	offset = n > 0 ? probe_site_offset(code, (size_t)n) : 0;
	lib->entries[lib->entry_count++] = (struct library_entry){ .entry = (uint16_t)entry,
								   .vaddr = e->vaddr + offset,
								   .file_offset = e->offset + offset };
	return 0;
}

static int take_exports(int fd, const struct elf_image *img, const char *prefix, struct library *lib,
			struct error_text *err)
{
	_cleanup_(elf_exports_done) struct elf_exports x = { 0 };
	int r = elf_image_exports(img, prefix, &x, err);

	for (size_t i = 0; i < x.count && !r; i++)
		r = take_export(fd, &x.item[i], lib, err);
	return r;
}

/* Whoever launches kernels is the driver's library; then its other entries matter. */
static int take_driver(int fd, const struct elf_image *img, struct library *lib, struct error_text *err)
{
	static const char *const prefixes[] = { "cuGraph",   "cuStream", "cuEvent", "cuModule",
						"cuLibrary", "cuKernel", "cuFunc" };
	size_t before = lib->entry_count;
	int r = take_exports(fd, img, "cuLaunch", lib, err);

	if (r || lib->entry_count == before)
		return r;
	lib->kind |= LIBRARY_DRIVER;
	for (size_t i = 0; i < ARRAY_SIZE(prefixes) && !r; i++)
		r = take_exports(fd, img, prefixes[i], lib, err);
	return r;
}

static void take_text(const struct elf_image *img, struct library *lib)
{
	size_t n;
	const struct elf_range *text = elf_image_text(img, &n);

	lib->text_start = UINT64_MAX;
	for (size_t i = 0; i < n; i++) {
		if (text[i].vaddr < lib->text_start)
			lib->text_start = text[i].vaddr;
		if (text[i].vaddr + text[i].size > lib->text_end)
			lib->text_end = text[i].vaddr + text[i].size;
	}
}

/* The driver calls this in what it is told to inject; ours has probe sites besides. */
static int take_collector(int fd, const struct elf_image *img, struct library *lib, struct error_text *err)
{
	_cleanup_(elf_exports_done) struct elf_exports x = { 0 };
	char path[40];
	int r = elf_image_exports(img, "InitializeInjection", &x, err);

	if (r || !x.count)
		return r;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (counter_is_collector(path))
		lib->kind |= LIBRARY_COLLECTOR;
	return 0;
}

/* NCCL, or what has it linked in and lets others call it. */
static int take_collectives(const struct elf_image *img, struct library *lib, struct error_text *err)
{
	_cleanup_(elf_exports_done) struct elf_exports x = { 0 };
	int r = elf_image_exports(img, "ncclCommInit", &x, err);

	if (x.count)
		lib->kind |= LIBRARY_COLLECTIVE;
	return r;
}

void library_offsets(const struct om_offsets_row *row, struct om_offsets *ret)
{
	uint16_t end[2] = { 0, 0 };

	for (unsigned i = 0; i < OM_OFFSET_FIELD_END; i++) {
		uint16_t *e = &end[i >= OM_OFFSET_DESC_COMPUTE];
		unsigned size = om_offset_field_size(i);
		uint16_t past = (uint16_t)(row->at[i] + (size < 4 ? 4 : size)); /* whole words are read */

		/* What is not read must not make the read longer: it could cross into a
		 * page that is not there. */
		if (row->at[i] == OM_OFFSET_ABSENT || i == OM_OFFSET_LAYOUT_LD ||
		    i == OM_OFFSET_LAYOUT_STRIDE || i == OM_OFFSET_LAYOUT_ORDER || i == OM_OFFSET_DESC_SCALE)
			continue;
		*e = past > *e ? past : *e;
	}
	*ret = (struct om_offsets){
		.layout_size = end[0],
		.layout_type = row->at[OM_OFFSET_LAYOUT_TYPE],
		.layout_rows = row->at[OM_OFFSET_LAYOUT_ROWS],
		.layout_cols = row->at[OM_OFFSET_LAYOUT_COLS],
		.layout_batch = row->at[OM_OFFSET_LAYOUT_BATCH],
		.layout_mode = row->at[OM_OFFSET_LAYOUT_MODE],
		.desc_size = end[1],
		.desc_compute = row->at[OM_OFFSET_DESC_COMPUTE],
		.desc_transa = row->at[OM_OFFSET_DESC_TRANSA],
		.desc_transb = row->at[OM_OFFSET_DESC_TRANSB],
	};
}

_Static_assert(OM_OFFSET_ABSENT == OM_OFFSET_NONE, "the file's and the probes' mark of a missing field");
_Static_assert(OM_OFFSETS_ROWS_MAX < OM_OFFSETS_ROWS, "every row of the file has a row in the map");

int library_describe(int fd, const struct om_offsets_table *offsets, struct library *ret,
		     struct error_text *err)
{
	_cleanup_elf_image_ struct elf_image *img = NULL;
	const struct om_offsets_row *row;
	struct stat st;
	int r = elf_image_open(fd, &img, err);

	if (r == -ENOEXEC)
		return 1;
	if (r)
		return r;
	if (elf_image_machine(img) != MACHINE_HERE)
		return 1; /* an emulator maps it; it can't be executed by this processor */
	*ret = (struct library){ 0 };
	r = take_exports(fd, img, "cublas", ret, err);
	r = r ?: take_driver(fd, img, ret, err);
	r = r ?: take_collector(fd, img, ret, err);
	r = r ?: take_collectives(img, ret, err);
	if (r)
		return r;
	if (!ret->kind)
		return 1;
	if (fstat(fd, &st))
		return -errno;
	ret->dev = st.st_dev;
	ret->ino = st.st_ino;
	take_text(img, ret);
	r = elf_image_text_sha256(img, ret->text_hash, err);
	row = r ? NULL : om_offsets_find(offsets, ret->text_hash);
	if (row) {
		library_offsets(row, &ret->offsets);
		ret->is_proven = true;
	}
	return r;
}
