/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_TESTS_UNIT_GOLDEN_H
#define OPMETER_TESTS_UNIT_GOLDEN_H

/* Behind cmocka.h. */
#include <stdio.h>
#include <jansson.h>

/* A golden record as a writer writes it: one line. The caller frees. */
static char *golden_json(const char *name)
{
	char path[100];
	json_t *o;
	char *text;

	snprintf(path, sizeof(path), "tests/golden/%s", name);
	o = json_load_file(path, 0, NULL);
	assert_non_null(o);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	return text;
}

#endif
