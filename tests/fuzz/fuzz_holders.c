// SPDX-License-Identifier: Apache-2.0
/* What says who holds a device: the kubelet's checkpoint and Slurm's text, as one input each. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "userspace/agent/holders.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct holder_list list = { .item = calloc(HOLDERS_MAX, sizeof(*list.item)) };
	int fd = memfd_create("fuzz", MFD_CLOEXEC);
	struct error_text err = { 0 };
	char path[32], *text = malloc(size + 1);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (write(fd, data, size) == (ssize_t)size)
		holders_read_checkpoint(path, &list, &err);
	for (size_t i = 0; i < list.count; i++)
		if (!list.item[i].device[0] || !list.item[i].key[0])
			abort();
	memcpy(text, data, size);
	text[size] = '\0';
	holders_slurm_indices(text, "gpu07");
	holders_slurm_has_node(text, strlen(text), "gpu07");
	free(text);
	free(list.item);
	close(fd);
	return 0;
}
