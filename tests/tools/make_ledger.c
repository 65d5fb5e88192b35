// SPDX-License-Identifier: Apache-2.0
/* make_ledger DIR READINGS ASSIGNMENTS: a node's ledger with what the two files say, under an id of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/assignment.h"
#include "userspace/core/ledger.h"

#define DAY_NS 86400000000000ULL

static int add_readings(struct om_ledger *l, const char *path, uint64_t *ret_last_ns)
{
	FILE *f = fopen(path, "r");
	uint8_t wire[OM_READING_SIZE];
	struct om_reading r;
	int rc = f ? 0 : -1;

	while (rc == 0 && fread(wire, 1, sizeof(wire), f) == sizeof(wire)) {
		rc = om_reading_decode(wire, sizeof(wire), &r);
		r.key.ledger = *om_ledger_id(l);
		*ret_last_ns = r.key.day * DAY_NS + 1;
		rc = rc ? rc : om_ledger_add(l, &r.key, &r.value, *ret_last_ns);
	}
	if (f)
		fclose(f);
	return rc;
}

static int add_assignments(struct om_ledger *l, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[8192];
	int rc = f ? 0 : -1;

	while (rc == 0 && fgets(line, sizeof(line), f)) {
		struct om_assignment a;
		char *text;

		rc = om_assignment_decode(line, strcspn(line, "\n"), &a);
		if (rc)
			break;
		a.ledger = *om_ledger_id(l);
		text = om_assignment_encode(&a);
		rc = text ? om_ledger_append(l, OM_ENTRY_ASSIGNMENT, NULL, text, strlen(text), a.at_ns, NULL) : -1;
		free(text);
	}
	if (f)
		fclose(f);
	return rc;
}

int main(int argc, char **argv)
{
	struct om_node_facts node = { .device_count = 8 };
	struct error_text err = { 0 };
	struct om_ledger *l = NULL;
	uint64_t last_ns = DAY_NS;
	size_t n = 0;
	int rc;

	if (argc != 4)
		return 2;
	rc = om_ledger_open(argv[1], OM_LEDGER_CREATE, last_ns, &l, &err);
	rc = rc ? rc : add_readings(l, argv[2], &last_ns);
	rc = rc ? rc : add_assignments(l, argv[3]);
	rc = rc ? rc : om_ledger_publish(l, &node, last_ns, NULL, NULL, &n);
	if (rc)
		fprintf(stderr, "make_ledger: %s %d\n", err.text, rc);
	printf("%zu registers\n", n);
	om_ledger_free(l);
	return rc ? 1 : 0;
}
