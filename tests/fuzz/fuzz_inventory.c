// SPDX-License-Identifier: Apache-2.0
/* Inventories and tables of chips: refused with their line, or summed. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/capacity.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char table[] = "name,bf16,fp8,int8,fp4,tpp,evidence,source\nunit,,,1,,8,design,x\n";
	struct error_text err = { 0 };
	struct chips *chips;
	struct inventory *i;

	if (chips_parse("fuzz", (const char *)data, size, &chips, &err) == 0)
		chips_free(chips);
	else if (!strstr(err.text, "fuzz:"))
		abort();
	if (chips_parse("t", table, sizeof(table) - 1, &chips, &err))
		abort();
	err.text[0] = '\0';
	if (inventory_parse("fuzz", (const char *)data, size, chips, NULL, NULL, &i, &err) == 0) {
		inventory_tpp(i, INT32_MAX);
		inventory_free(i);
	} else if (!strstr(err.text, "fuzz:")) {
		abort();
	}
	chips_free(chips);
	return 0;
}
