// SPDX-License-Identifier: Apache-2.0
/* Kernels outside products, launched by name through a driver's library: as a framework's own kernels come between its products. */
#include "player.h"

#include <dlfcn.h>
#include <errno.h>

#define BLOCK 128

static int find(void *library, const char *path, const char *name, void *ret, struct error_text *err)
{
	*(void **)ret = dlsym(library, name);
	return *(void **)ret ? 0 : error_set(err, -ENOENT, "--driver %s: it has no %s", path, name);
}

int launches_load(const char *driver, struct launches *ret, struct error_text *err)
{
	void *library = dlopen(driver, RTLD_NOW);
	int r;

	if (!library)
		return error_set(err, -ENOENT, "--driver: %s", dlerror());
	r = find(library, driver, "cuLaunchKernel", &ret->launch, err);
	r = r ?: find(library, driver, "cuModuleLoadData", &ret->load, err);
	return r ?: find(library, driver, "cuModuleGetFunction", &ret->get, err);
}

int launches_play(const struct launches *l, const char *kernel, unsigned count, struct error_text *err)
{
	void *module = NULL, *function = NULL;

	if (l->load(&module, NULL) || l->get(&function, module, kernel))
		return error_set(err, -EIO, "--launch %s: the driver refuses it", kernel);
	for (unsigned i = 0; i < count; i++)
		if (l->launch(function, 1, 1, 1, BLOCK, 1, 1, 0, NULL, NULL, NULL))
			return error_set(err, -EIO, "--launch %s: launch %u is refused", kernel, i);
	return 0;
}
