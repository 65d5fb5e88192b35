// SPDX-License-Identifier: Apache-2.0
/* Files that people write: owners.yaml (first byte even) and the map of tenants (odd). Refused with a sentence, or answered for any tenant. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "userspace/core/attribution.h"
#include "userspace/core/ownership.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int owners(const char *path, struct error_text *err)
{
	struct owner_answer a;
	struct owners *o;
	int r = owners_load(path, &o, err);

	if (r)
		return r;
	for (int32_t day = 20000; day < 21000; day += 250) {
		owners_resolve(o, "t", day, &a);
		if (a.state == OWNER_KNOWN && !a.steps)
			abort(); /* who is known has a path */
	}
	owners_free(o);
	return 0;
}

static int tenants(const char *path, struct error_text *err)
{
	struct attribution at;
	struct tenant_map *m;
	int r = tenant_map_load(path, &m, err);

	if (r)
		return r;
	tenant_map_attribute(m, "/kubepods/t/x", &at);
	if (!at.tenant)
		abort(); /* a job is somebody's, or unknown's */
	tenant_map_free(m);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error_text err = { 0 };
	char path[64];
	int fd = size ? memfd_create("fuzz", MFD_CLOEXEC) : -1, r;

	if (fd < 0)
		return 0;
	if (write(fd, data + 1, size - 1) != (ssize_t)(size - 1))
		abort();
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	r = data[0] & 1 ? tenants(path, &err) : owners(path, &err);
	if (r && !err.text[0])
		abort(); /* a refusal says why */
	close(fd);
	return 0;
}
