// SPDX-License-Identifier: Apache-2.0
/* seal_unchecked DIR CASE KEYS PERSON OUT: seals a case without asking whether the bundle can be verified, as another program may. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "userspace/core/bundle_internal.h"

int main(int argc, char **argv)
{
	struct om_case_store *s = NULL;
	struct om_ledger *l = NULL;
	struct error_text err = { 0 };
	const struct om_case *c = NULL;
	struct om_actor actor = { 0 };
	uint8_t *data = NULL;
	struct timespec t;
	size_t len = 0;
	FILE *f;
	int r;

	if (argc != 6)
		return 2;
	clock_gettime(CLOCK_REALTIME, &t);
	actor.by = argv[4];
	actor.now_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	r = om_ledger_open(argv[1], OM_LEDGER_KEEP, actor.now_ns, &l, &err);
	r = r ? r : om_case_store_load(l, &s, &err);
	c = r ? NULL : om_case_store_find(s, argv[2]);
	r = c ? bundle_seal(l, c, argv[3], &actor, &data, &len, &err) : -1;
	f = r ? NULL : fopen(argv[5], "wb");
	if (!f || fwrite(data, 1, len, f) != len || fclose(f)) {
		fprintf(stderr, "seal_unchecked: %s\n", err.text);
		return 1;
	}
	free(data);
	om_case_store_free(s);
	om_ledger_free(l);
	return 0;
}
