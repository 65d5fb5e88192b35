// SPDX-License-Identifier: Apache-2.0
/* append_act DIR CASE ACT PERSON FIELD: puts an act into a case store past the rules, as whoever can write the file may. */
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <jansson.h>

#include "userspace/core/assignment.h"
#include "userspace/core/case_store.h"

int main(int argc, char **argv)
{
	struct om_case_store *s = NULL;
	struct om_ledger *l = NULL;
	struct error_text err = { 0 };
	struct timespec t;
	char time[OM_TIME_STRLEN], *text;
	const struct om_case *c;
	uint64_t now;
	json_t *act;
	int r;

	if (argc != 6)
		return 2;
	clock_gettime(CLOCK_REALTIME, &t);
	now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	r = om_ledger_open(argv[1], OM_LEDGER_KEEP, now, &l, &err);
	r = r ? r : om_case_store_load(l, &s, &err);
	c = r ? NULL : om_case_store_find(s, argv[2]);
	if (!c) {
		fprintf(stderr, "append_act: %s\n", err.text);
		return 1;
	}
	act = json_pack("{s:i,s:s,s:I,s:s,s:s,s:i,s:s,s:s}", "v", 1, "case", om_case_id(c), "n",
			(json_int_t)om_case_acts(c), "act", argv[3], "by", argv[4], "uid", 0, "at",
			om_time_format(now, time), argv[5], "because");
	text = json_dumps(act, JSON_COMPACT);
	r = om_ledger_append(l, OM_ENTRY_ACT, NULL, text, strlen(text), now, NULL);
	free(text);
	json_decref(act);
	om_case_store_free(s);
	om_ledger_free(l);
	return r ? 1 : 0;
}
