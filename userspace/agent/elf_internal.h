/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_ELF_INTERNAL_H
#define OPMETER_AGENT_ELF_INTERNAL_H

/* Between the files of the ELF reader; nobody else includes this. */

#include <elf.h>

#include "elf_image.h"

#define ELF_BLOCK 65536 /* bytes read at once */

struct dynamic {
	uint64_t symtab, strtab, strtab_size; /* addresses; bytes */
	uint64_t hash, gnu_hash;	      /* addresses, 0: none */
};

struct elf_image {
	int fd;
	uint64_t file_size;
	Elf64_Ehdr ehdr;
	Elf64_Phdr phdr[ELF_IMAGE_PHDRS_MAX];
	struct elf_range text[ELF_IMAGE_SEGMENTS_MAX];
	size_t n_text;
	struct elf_range text_section; /* size 0: not told */
	struct dynamic dyn;
};

/* All or nothing; -EBADMSG beyond the end of the file. */
int elf_read_at(const struct elf_image *img, uint64_t offset, void *buf, size_t len);
/* File offset of the len bytes at vaddr, if one segment's file part holds them all. */
int elf_offset_of(const struct elf_image *img, uint64_t vaddr, uint64_t len, uint32_t flags, uint64_t *ret);
int elf_read_vaddr(const struct elf_image *img, uint64_t vaddr, void *buf, size_t len);

#endif
