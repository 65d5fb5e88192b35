// SPDX-License-Identifier: Apache-2.0
/* What is asked of libcuda: see driver.h. */

#include "driver.h"

#include <dlfcn.h>
#include <stddef.h>

bool driver_open(struct driver_api *ret)
{
	void *handle = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD | RTLD_LOCAL);
	struct driver_api d;

	if (!handle)
		return false;
	d.is_capturing = (int (*)(void *, int *))dlsym(handle, "cuStreamIsCapturing");
	d.is_capturing_ptsz = (int (*)(void *, int *))dlsym(handle, "cuStreamIsCapturing_ptsz");
	d.exchange_mode = (int (*)(int *))dlsym(handle, "cuThreadExchangeStreamCaptureMode");
	d.device_attribute = (int (*)(int *, int, int))dlsym(handle, "cuDeviceGetAttribute");
	*ret = d;
	return d.is_capturing && d.is_capturing_ptsz && d.exchange_mode && d.device_attribute;
}

bool driver_is_capturing(const struct driver_api *d, void *stream, bool is_ptsz)
{
	int status = 0;
	int rc = is_ptsz ? d->is_capturing_ptsz(stream, &status) : d->is_capturing(stream, &status);

	return rc || status;
}

bool driver_exchange(const struct driver_api *d, int *mode)
{
	return !d->exchange_mode(mode);
}
