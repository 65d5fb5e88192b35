// SPDX-License-Identifier: Apache-2.0
/* The description that an instance serves is the one that is committed: docs/openapi.json, as it stands. */
#include "api_internal.h"

__asm__(".section .rodata\n"
	".global api_openapi_json\n"
	".type api_openapi_json, %object\n"
	"api_openapi_json:\n"
	".incbin \"docs/openapi.json\"\n"
	".byte 0\n"
	".size api_openapi_json, . - api_openapi_json\n"
	".previous\n");
