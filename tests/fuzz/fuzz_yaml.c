// SPDX-License-Identifier: Apache-2.0
/* Configuration files: the tree must hold, whatever the bytes are. */
#include <stddef.h>
#include <stdint.h>

#include "userspace/base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(struct yaml_node *n)
{
	struct error_text err = { 0 };
	const char *s;
	int32_t day;
	opcount ops;
	uint32_t ppm;

	yaml_string(n, &s, &err);
	for (struct yaml_node *c = yaml_first(n); c; c = yaml_next(c))
		walk(c);
	if (!yaml_is_map(n))
		return;
	yaml_date(n, "d", &day, &err);
	yaml_need_ops(n, "o", &ops, &err);
	yaml_share(n, "s", &ppm, &err);
	if (yaml_take(n, "m"))
		walk(yaml_take(n, "m"));
	yaml_done(n, &err);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct error_text err = { 0 };
	struct yaml *y;

	if (yaml_parse("fuzz", data, size, &y, &err) == 0) {
		walk(yaml_root(y));
		yaml_close(y);
	}
	return 0;
}
