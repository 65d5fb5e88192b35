/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_AGENT_ELF_NOTES_H
#define OPMETER_AGENT_ELF_NOTES_H

/* Static probe sites of a shared object: its .note.stapsdt, read as warily as the
 * rest of the file (elf_image.h). */

#include "elf_image.h"

#define ELF_NOTES_SIZE_MAX (1u << 20) /* bytes of the section; above that the file is refused */
#define ELF_PROBE_TEXT_MAX 64

struct elf_probe {
	char name[ELF_PROBE_TEXT_MAX];
	char arguments[ELF_PROBE_TEXT_MAX]; /* as the compiler wrote them: "8@%rdi" */
	uint64_t offset;		    /* of the nop, in the file */
	uint64_t semaphore;		    /* of the counter of listeners, in the file; 0: none */
};

/* The sites of one provider, at most `max` of them. *ret_count: how many there are; more
 * than max is -E2BIG. A file without any gives 0 and count 0. */
int elf_image_probes(const struct elf_image *img, const char *provider, struct elf_probe *ret, size_t max,
		     size_t *ret_count, struct error_text *err);

#endif
