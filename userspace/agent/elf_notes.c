// SPDX-License-Identifier: Apache-2.0
/* Static probe sites: see elf_notes.h. The section is in no segment, so section headers are needed. */
#include "elf_notes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "elf_internal.h"

#define NOTE_SECTION ".note.stapsdt"
#define NOTE_OWNER "stapsdt"
#define NOTE_TYPE 3
#define ALIGN4(n) (((n) + 3) & ~(size_t)3)

static int section_find(const struct elf_image *img, Elf64_Shdr *ret)
{
	const Elf64_Ehdr *e = &img->ehdr;
	Elf64_Shdr names;
	int rc;

	if (!e->e_shnum || e->e_shentsize != sizeof(Elf64_Shdr) || e->e_shnum > ELF_IMAGE_SECTIONS_MAX ||
	    e->e_shstrndx >= e->e_shnum)
		return -ENOENT;
	rc = elf_read_at(img, e->e_shoff + e->e_shstrndx * sizeof(names), &names, sizeof(names));
	for (size_t i = 0; i < e->e_shnum && !rc; i++) {
		char name[sizeof(NOTE_SECTION)];

		rc = elf_read_at(img, e->e_shoff + i * sizeof(*ret), ret, sizeof(*ret));
		if (rc || ret->sh_type != SHT_NOTE || ret->sh_name > names.sh_size ||
		    names.sh_size - ret->sh_name < sizeof(name))
			continue;
		rc = elf_read_at(img, names.sh_offset + ret->sh_name, name, sizeof(name));
		if (!rc && !memcmp(name, NOTE_SECTION, sizeof(name)))
			return 0;
	}
	return rc ? rc : -ENOENT;
}

/* A text that ends within [*at, end), copied; longer ones are cut. *at goes behind it. */
static bool text_take(const uint8_t **at, const uint8_t *end, char ret[ELF_PROBE_TEXT_MAX])
{
	const uint8_t *nul = memchr(*at, 0, (size_t)(end - *at));
	size_t len;

	if (!nul)
		return false;
	len = (size_t)(nul - *at) < ELF_PROBE_TEXT_MAX ? (size_t)(nul - *at) : ELF_PROBE_TEXT_MAX - 1;
	memcpy(ret, *at, len);
	ret[len] = '\0';
	*at = nul + 1;
	return true;
}

/* 0 a site of that provider, 1 another's, -EBADMSG. */
static int probe_parse(const struct elf_image *img, const uint8_t *at, size_t size, const char *provider,
		       struct elf_probe *ret)
{
	char text[ELF_PROBE_TEXT_MAX];
	const uint8_t *end = at + size;
	uint64_t address[3]; /* of the nop; as linked, of a base; of the semaphore */

	if (size < sizeof(address))
		return -EBADMSG;
	memcpy(address, at, sizeof(address));
	at += sizeof(address);
	if (!text_take(&at, end, text))
		return -EBADMSG;
	if (strcmp(text, provider))
		return 1;
	if (!text_take(&at, end, ret->name) || !text_take(&at, end, ret->arguments) ||
	    elf_offset_of(img, address[0], 1, PF_X, &ret->offset))
		return -EBADMSG;
	ret->semaphore = 0;
	return address[2] && elf_offset_of(img, address[2], 2, PF_W, &ret->semaphore) ? -EBADMSG : 0;
}

static int notes_walk(const struct elf_image *img, const uint8_t *at, size_t size, const char *provider,
		      struct elf_probe *ret, size_t max, size_t *ret_count)
{
	while (size >= sizeof(Elf64_Nhdr)) {
		struct elf_probe probe = {};
		Elf64_Nhdr n;
		size_t name, whole;
		int rc;

		memcpy(&n, at, sizeof(n));
		if (n.n_namesz > size || n.n_descsz > size)
			return -EBADMSG;
		name = sizeof(n) + ALIGN4(n.n_namesz);
		whole = name + ALIGN4(n.n_descsz);
		if (whole > size)
			return -EBADMSG;
		rc = 1;
		if (n.n_type == NOTE_TYPE && n.n_namesz == sizeof(NOTE_OWNER) &&
		    !memcmp(at + sizeof(n), NOTE_OWNER, sizeof(NOTE_OWNER)))
			rc = probe_parse(img, at + name, n.n_descsz, provider, &probe);
		if (rc < 0)
			return rc;
		if (!rc && *ret_count == max)
			return -E2BIG;
		if (!rc)
			ret[(*ret_count)++] = probe;
		at += whole;
		size -= whole;
	}
	return 0;
}

int elf_image_probes(const struct elf_image *img, const char *provider, struct elf_probe *ret, size_t max,
		     size_t *ret_count, struct error_text *err)
{
	_cleanup_free_ uint8_t *notes = NULL;
	Elf64_Shdr section;
	int rc;

	*ret_count = 0;
	rc = section_find(img, &section);
	if (rc == -ENOENT)
		return 0;
	if (rc)
		return error_set(err, rc, "its section headers are damaged");
	if (section.sh_size > ELF_NOTES_SIZE_MAX)
		return error_set(err, -E2BIG, "its probe notes are too large");
	notes = malloc(section.sh_size ? section.sh_size : 1);
	if (!notes)
		return -ENOMEM;
	rc = elf_read_at(img, section.sh_offset, notes, section.sh_size);
	rc = rc ? rc : notes_walk(img, notes, section.sh_size, provider, ret, max, ret_count);
	return rc ? error_set(err, rc,
			      rc == -E2BIG ? "it has too many probe sites" : "its probe notes are damaged")
		  : 0;
}
