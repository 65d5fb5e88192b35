// SPDX-License-Identifier: Apache-2.0
/*
 * Runs in the confined child only: the one place of the project that loads a
 * vendor's library.
 *
 * A field is proven at an offset if, for each of several values set through the
 * public setter, (1) every byte of the struct that changes lies in one aligned slot
 * of the field's size, always the same one, (2) the slot then holds the value, and
 * (3) setting the first value again restores the struct byte for byte. Then structs
 * made by the other public constructor must hold their values at the same offsets.
 */
#include "prove_internal.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* cublasLt.h, from the public documentation; enums travel as int. */
typedef int (*layout_create_fn)(void **layout, int type, uint64_t rows, uint64_t cols, int64_t ld);
typedef int (*layout_init_fn)(void *layout, size_t size, int type, uint64_t rows, uint64_t cols, int64_t ld);
typedef int (*desc_create_fn)(void **desc, int compute, int scale);
typedef int (*desc_init_fn)(void *desc, size_t size, int compute, int scale);
typedef int (*set_fn)(void *object, int attribute, const void *value, size_t size);
typedef size_t (*version_fn)(void);

struct api {
	layout_create_fn layout_create;
	layout_init_fn layout_init;
	set_fn layout_set;
	desc_create_fn desc_create;
	desc_init_fn desc_init;
	set_fn desc_set;
	version_fn version;
};

/* The header gives layouts 64 to 112 bytes, descriptors 256. */
#define OBJECT_SIZE 256
#define GUARD_SIZE 256

struct object {
	_Alignas(16) uint8_t byte[OBJECT_SIZE];
	uint8_t guard[GUARD_SIZE];
};

#define R_32F 0
#define R_16F 2
#define R_16BF 14
#define R_64F 1
#define COMPUTE_32F 68
#define COMPUTE_64F 70
#define COMPUTE_32F_FAST_TF32 77

#define ROWS 0x11112222
#define COLS 0x33334444
#define LD 0x5555666677

/* One attribute: its number, and the values to set; the first is what the struct was
 * made with. Sizes that a GPU could never hold show every byte of the field. */
static const struct attribute {
	enum om_offset_field field;
	int number;
	bool is_optional;
	unsigned n;
	uint64_t value[4];
} attributes[] = {
	{ OM_OFFSET_LAYOUT_TYPE, 0, false, 4, { R_16F, R_16BF, R_32F, R_64F } },
	{ OM_OFFSET_LAYOUT_ORDER, 1, false, 2, { 0, 1 } },
	{ OM_OFFSET_LAYOUT_ROWS, 2, false, 3, { ROWS, 0x0123456789abcd, 7 } },
	{ OM_OFFSET_LAYOUT_COLS, 3, false, 3, { COLS, 0x0223456789abcd, 11 } },
	{ OM_OFFSET_LAYOUT_LD, 4, false, 3, { LD, 0x0323456789abcd, 13 } },
	{ OM_OFFSET_LAYOUT_BATCH, 5, false, 3, { 1, 0x42345678, 17 } },
	{ OM_OFFSET_LAYOUT_STRIDE, 6, false, 3, { 0, 0x0523456789abcd, 19 } },
	{ OM_OFFSET_LAYOUT_MODE, 8, true, 3, { 0, 1, 2 } },
	{ OM_OFFSET_DESC_COMPUTE, 0, false, 3, { COMPUTE_32F, COMPUTE_64F, COMPUTE_32F_FAST_TF32 } },
	{ OM_OFFSET_DESC_SCALE, 1, false, 3, { R_32F, R_64F, R_16F } },
	{ OM_OFFSET_DESC_TRANSA, 3, false, 3, { 0, 1, 2 } },
	{ OM_OFFSET_DESC_TRANSB, 4, false, 3, { 0, 1, 2 } },
};

static int refuse(struct prove_result *ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static int refuse(struct prove_result *ret, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(ret->why, sizeof(ret->why), fmt, args);
	va_end(args);
	return 1;
}

static uint64_t load(const uint8_t *at, unsigned size)
{
	uint64_t v = 0;

	memcpy(&v, at, size); /* x86-64 and AArch64 Linux: little-endian */
	return v;
}

/* The slot that every changed byte lies in, or -1: nothing changed, or too much. */
static int changed_slot(const struct object *before, const struct object *after, unsigned size)
{
	const uint8_t *a = (const uint8_t *)before, *b = (const uint8_t *)after;
	int slot = -1;

	for (unsigned i = 0; i < sizeof(*before); i++) {
		if (a[i] == b[i])
			continue;
		if (slot >= 0 && (unsigned)slot != i / size * size)
			return -1;
		slot = (int)(i / size * size);
	}
	return slot;
}

/* Positive: refused. The object is as before afterwards. */
static int prove_attribute(set_fn set, struct object *o, const struct attribute *a, struct prove_result *ret)
{
	unsigned size = om_offset_field_size(a->field), set_size = size < 4 ? 4 : size;
	const char *name = om_offset_field_name(a->field);
	const struct object original = *o;
	int slot = -1;

	for (unsigned i = 1; i <= a->n; i++) {
		struct object before = *o;
		uint64_t v = a->value[i % a->n];
		int rc = set(o, a->number, &v, set_size), changed;

		if (rc && a->is_optional && i == 1) {
			ret->at[a->field] = OM_OFFSET_ABSENT;
			return memcmp(o, &original, sizeof(*o))
				       ? refuse(ret, "%s: a refused set changed it", name)
				       : 0;
		}
		if (rc)
			return refuse(ret, "%s: setting %llu gives status %d", name, (unsigned long long)v,
				      rc);
		changed = changed_slot(&before, o, size);
		if (changed < 0 || (slot >= 0 && changed != slot))
			return refuse(ret, "%s: setting %llu changes no single field", name,
				      (unsigned long long)v);
		slot = changed;
		if (load(o->byte + slot, size) != v)
			return refuse(ret, "%s: byte %d does not hold the %llu that was set", name, slot,
				      (unsigned long long)v);
	}
	if (memcmp(o, &original, sizeof(*o)))
		return refuse(ret, "%s: setting the first value again does not restore the struct", name);
	ret->at[a->field] = (uint16_t)slot;
	return 0;
}

static int prove_attributes(const struct api *api, struct object *layout, struct object *desc,
			    struct prove_result *ret)
{
	for (size_t i = 0; i < sizeof(attributes) / sizeof(attributes[0]); i++) {
		const struct attribute *a = &attributes[i];
		bool is_layout = a->field < OM_OFFSET_DESC_COMPUTE;
		int r = prove_attribute(is_layout ? api->layout_set : api->desc_set,
					is_layout ? layout : desc, a, ret);

		if (r)
			return r;
	}
	return 0;
}

static int expect(const uint8_t *object, enum om_offset_field field, uint64_t want, struct prove_result *ret)
{
	uint64_t got = load(object + ret->at[field], om_offset_field_size(field));

	return got == want ? 0
			   : refuse(ret, "%s: a struct by the other constructor holds %llu, not %llu",
				    om_offset_field_name(field), (unsigned long long)got,
				    (unsigned long long)want);
}

/* What frameworks call, with other values than before. */
static int prove_created(const struct api *api, struct prove_result *ret)
{
	void *layout = NULL, *desc = NULL;
	int r;

	if (api->layout_create(&layout, R_16BF, 1009, 2003, 4001) || !layout ||
	    api->desc_create(&desc, COMPUTE_32F_FAST_TF32, R_32F) || !desc)
		return refuse(ret, "cublasLtMatrixLayoutCreate or cublasLtMatmulDescCreate fails");
	r = expect(layout, OM_OFFSET_LAYOUT_TYPE, R_16BF, ret);
	if (!r)
		r = expect(layout, OM_OFFSET_LAYOUT_ROWS, 1009, ret);
	if (!r)
		r = expect(layout, OM_OFFSET_LAYOUT_COLS, 2003, ret);
	if (!r)
		r = expect(layout, OM_OFFSET_LAYOUT_LD, 4001, ret);
	if (!r)
		r = expect(layout, OM_OFFSET_LAYOUT_BATCH, 1, ret);
	if (!r && ret->at[OM_OFFSET_LAYOUT_MODE] != OM_OFFSET_ABSENT)
		r = expect(layout, OM_OFFSET_LAYOUT_MODE, 0, ret);
	if (!r)
		r = expect(desc, OM_OFFSET_DESC_COMPUTE, COMPUTE_32F_FAST_TF32, ret);
	if (!r)
		r = expect(desc, OM_OFFSET_DESC_SCALE, R_32F, ret);
	if (!r)
		r = expect(desc, OM_OFFSET_DESC_TRANSA, 0, ret);
	return r ? r : expect(desc, OM_OFFSET_DESC_TRANSB, 0, ret);
}

static bool guard_is_whole(const struct object *o)
{
	for (unsigned i = 0; i < GUARD_SIZE; i++)
		if (o->guard[i] != 0xa5)
			return false;
	return true;
}

static int prove_with(const struct api *api, struct prove_result *ret)
{
	struct object layout, desc;
	int r;

	memset(&layout, 0xa5, sizeof(layout));
	memset(&desc, 0xa5, sizeof(desc));
	if (api->layout_init(&layout, OBJECT_SIZE, R_16F, ROWS, COLS, LD) ||
	    api->desc_init(&desc, OBJECT_SIZE, COMPUTE_32F, R_32F))
		return refuse(ret, "its descriptors can't be initialised");
	r = prove_attributes(api, &layout, &desc, ret);
	if (!r && (!guard_is_whole(&layout) || !guard_is_whole(&desc)))
		r = refuse(ret, "it writes beyond its own structs");
	if (!r)
		r = prove_created(api, ret);
	ret->version = (uint32_t)api->version();
	return r;
}

static void *symbol(void *lib, const char *name, struct prove_result *ret)
{
	void *at = dlsym(lib, name);

	if (!at && !ret->why[0])
		refuse(ret, "does not export %s", name);
	return at;
}

void prove_library(int fd, struct prove_result *ret)
{
	char path[64];
	struct api api;
	void *lib;

	*ret = (struct prove_result){ 0 };
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (!lib) {
		refuse(ret, "can't be loaded: %s", dlerror());
		return;
	}
	/* Addresses of functions by way of void *: POSIX says that works. */
	api.layout_create = (layout_create_fn)symbol(lib, "cublasLtMatrixLayoutCreate", ret);
	api.layout_init = (layout_init_fn)symbol(lib, "cublasLtMatrixLayoutInit_internal", ret);
	api.layout_set = (set_fn)symbol(lib, "cublasLtMatrixLayoutSetAttribute", ret);
	api.desc_create = (desc_create_fn)symbol(lib, "cublasLtMatmulDescCreate", ret);
	api.desc_init = (desc_init_fn)symbol(lib, "cublasLtMatmulDescInit_internal", ret);
	api.desc_set = (set_fn)symbol(lib, "cublasLtMatmulDescSetAttribute", ret);
	api.version = (version_fn)symbol(lib, "cublasLtGetVersion", ret);
	if (!ret->why[0])
		ret->is_proven = prove_with(&api, ret) == 0;
}
