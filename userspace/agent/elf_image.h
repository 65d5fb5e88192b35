/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_ELF_IMAGE_H
#define OPMETER_AGENT_ELF_IMAGE_H

/*
 * A bounded reader of ELF64 shared objects that belong to somebody else.
 *
 * The file may be hostile: truncated, with huge counts, with tables that overlap
 * or point outside of it, or changing while it is read. Everything is read with
 * pread(2) into memory of known size; nothing is mapped (a tenant could truncate
 * a mapped file and kill us) and nothing is executed. What is found comes from the
 * program headers and the dynamic segment, as the dynamic loader sees the file, so
 * a file without section headers is read all the same.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../base/cleanup.h"
#include "../base/log.h"

/* Limits; a file beyond one is refused with -E2BIG, never read in part.
 * The largest real library (libcublasLt of 12.9) has 14 program headers, 1,300
 * dynamic symbols and 124 MiB of text; libtorch has 200,000 symbols. */
#define ELF_IMAGE_PHDRS_MAX 64
#define ELF_IMAGE_DYNAMIC_MAX 1024
#define ELF_IMAGE_SECTIONS_MAX 4096
#define ELF_IMAGE_SYMBOLS_MAX (1u << 20)
#define ELF_IMAGE_CHAIN_MAX 65536	  /* of one bucket of the hash table */
#define ELF_IMAGE_STRTAB_MAX (256u << 20) /* bytes */
#define ELF_IMAGE_EXPORTS_MAX 4096	  /* that match the prefix */
#define ELF_IMAGE_NAME_MAX 128		  /* bytes, with NUL; longer names are not exports of interest */
#define ELF_IMAGE_TEXT_MAX (1ull << 30)	  /* bytes hashed */
#define ELF_IMAGE_SEGMENTS_MAX 8	  /* executable ones */

#define ELF_IMAGE_SHA256_SIZE 32

struct elf_range {
	uint64_t vaddr;	    /* address within the image, before relocation */
	uint64_t size;	    /* bytes in memory */
	uint64_t offset;    /* in the file */
	uint64_t file_size; /* bytes of it that come from the file */
};

struct elf_export {
	char name[ELF_IMAGE_NAME_MAX];
	uint64_t vaddr;
	uint64_t offset; /* in the file: what an uprobe is attached to */
	uint64_t size;	 /* bytes, 0 if the symbol does not say */
};

struct elf_exports {
	struct elf_export *item; /* sorted by vaddr, then by name */
	size_t count;
};

struct elf_image;

/*
 * Reads the headers of the shared object behind fd (a loan: it stays open as
 * long as the image and is closed by the caller). 0; -ENOEXEC: not an ELF64
 * little-endian shared object; -EBADMSG: damaged; -E2BIG: beyond a limit; or the
 * error of pread. *err says what is wrong with it.
 */
int elf_image_open(int fd, struct elf_image **ret, struct error_text *err);
struct elf_image *elf_image_free(struct elf_image *img); /* NULL is fine; returns NULL */
#define _cleanup_elf_image_ _cleanup_(elf_image_freep)
static inline void elf_image_freep(struct elf_image **img)
{
	*img = elf_image_free(*img);
}

unsigned elf_image_machine(const struct elf_image *img); /* EM_X86_64, EM_AARCH64, ... */

/* The executable PT_LOAD segments, a loan. */
const struct elf_range *elf_image_text(const struct elf_image *img, size_t *ret_count);

/*
 * Functions that the image defines for others and whose name begins with
 * prefix (not empty). An image without any gives 0 and count 0. The caller
 * ends *ret with elf_exports_done(). Errors as elf_image_open().
 */
int elf_image_exports(const struct elf_image *img, const char *prefix, struct elf_exports *ret,
		      struct error_text *err);
void elf_exports_done(struct elf_exports *x);
const struct elf_export *elf_exports_find(const struct elf_exports *x, const char *name);

/*
 * SHA-256 of the code: the .text section where section headers tell it, else
 * the executable segments in order. `strip` and `patchelf` leave .text as it is and
 * change almost everything else. -E2BIG above ELF_IMAGE_TEXT_MAX.
 */
int elf_image_text_sha256(const struct elf_image *img, uint8_t ret[ELF_IMAGE_SHA256_SIZE],
			  struct error_text *err);
/* Bytes that elf_image_text_sha256() will read: what it costs. */
uint64_t elf_image_text_bytes(const struct elf_image *img);

#endif
