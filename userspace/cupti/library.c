// SPDX-License-Identifier: Apache-2.0
/* Opening libcupti: see library.h. */

#include "library.h"

#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char *const names[] = { "libcupti.so.13", "libcupti.so.12", "libcupti.so" };
#define NAMES (sizeof(names) / sizeof(names[0]))

static void *find(const char *path)
{
	void *handle;

	for (size_t i = 0; i < NAMES; i++) {
		handle = dlopen(names[i], RTLD_NOW | RTLD_NOLOAD | RTLD_LOCAL);
		if (handle)
			return handle;
	}
	if (path && *path)
		return dlopen(path, RTLD_NOW | RTLD_LOCAL);
	for (size_t i = 0; i < NAMES; i++) {
		handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);
		if (handle)
			return handle;
	}
	return NULL;
}

/* If it is not there, libcupti may still find another; what it says then is reported. */
static void open_neighbour(const struct cupti_api *api)
{
	static const char neighbour[] = "libnvperf_host.so";
	char path[PATH_MAX];
	const char *slash;
	Dl_info info;

	if (!dladdr((void *)api->host_initialize, &info) || !info.dli_fname)
		return;
	slash = strrchr(info.dli_fname, '/');
	if (!slash)
		return;
	if (snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - info.dli_fname), info.dli_fname,
		     neighbour) < (int)sizeof(path))
		dlopen(path, RTLD_NOW | RTLD_LOCAL);
}

int cupti_open(const char *path, struct cupti_api *ret)
{
	struct cupti_api api = { .handle = find(path) };

	if (!api.handle)
		return -ENOENT;
#define X(name, symbol, args)                                                                                \
	api.name = (int(*) args)dlsym(api.handle, #symbol);                                                  \
	if (!api.name)                                                                                       \
		return -ENOSYS;
	CUPTI_FUNCTIONS(X)
#undef X
	if (api.get_version(&api.version))
		api.version = 0;
	open_neighbour(&api);
	*ret = api;
	return 0;
}
