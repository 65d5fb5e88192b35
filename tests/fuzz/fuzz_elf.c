// SPDX-License-Identifier: Apache-2.0
/* libFuzzer target: any bytes as a tenant's shared object. */
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/agent/elf_image.h"
#include "userspace/agent/elf_notes.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	_cleanup_close_ int fd = memfd_create("fuzz", MFD_CLOEXEC);
	_cleanup_elf_image_ struct elf_image *img = NULL;
	struct elf_exports x = { 0 };
	struct error_text err = { "" };
	struct elf_probe probes[8];
	size_t count;
	uint8_t hash[ELF_IMAGE_SHA256_SIZE];

	if (fd < 0 || write(fd, data, size) != (ssize_t)size || elf_image_open(fd, &img, &err))
		return 0;
	elf_image_exports(img, "cublas", &x, &err);
	for (size_t i = 0; i < x.count; i++)
		if (x.item[i].offset >= size)
			__builtin_trap(); /* a probe outside of the file */
	elf_exports_done(&x);
	if (!elf_image_probes(img, "opmeter", probes, 8, &count, &err))
		for (size_t i = 0; i < count; i++)
			if (probes[i].offset >= size || probes[i].semaphore >= size)
				__builtin_trap();
	elf_image_text_sha256(img, hash, &err);
	return 0;
}
