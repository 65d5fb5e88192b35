// SPDX-License-Identifier: Apache-2.0
/* Kernels' names, which are the tenant's: any bytes, any grid; a bound must be one. The first
 * 28 bytes are the geometry, the rest is the name. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/catalogue.h"
#include "userspace/core/kernel_role.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct om_catalogue *catalogue;
	struct om_signature s = { 0 };
	struct om_kernel_estimate e;
	uint32_t geometry[7] = { 0 };
	size_t head = size < sizeof(geometry) ? size : sizeof(geometry);
	char *name = calloc(1, size - head + 1);

	if (!catalogue && om_catalogue_load("data/kernels.csv", &catalogue, NULL))
		abort();
	if (!name)
		return 0;
	memcpy(geometry, data, head);
	memcpy(name, data + head, size - head);
	memcpy(s.grid, geometry, sizeof(s.grid));
	memcpy(s.block, geometry + 3, sizeof(s.block));
	s.shared_bytes = geometry[6];
	s.name = name;
	om_catalogue_estimate(catalogue, &s, &e);
	if (e.is_bounded && e.low > e.high)
		abort();
	if (om_kernel_role_of(name) >= OM_ROLES)
		abort();
	free(name);
	return 0;
}
