// SPDX-License-Identifier: Apache-2.0
/* What comes from the totals topic: a record that is taken comes out as one that is taken, and says the same. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/days_record.h"
#include "userspace/core/total_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void feed_days(const uint8_t *data, size_t size)
{
	struct om_days d, again;
	char *text;

	if (om_days_decode(data, size, OM_DAYS_ASK, &d) == 0)
		om_days_done(&d);
	if (om_days_decode(data, size, OM_DAYS_TOLD, &d))
		return;
	text = om_days_encode(&d.of, d.partition, d.day, d.count, OM_DAYS_MAX);
	if (text) {
		assert(om_days_decode(text, strlen(text), OM_DAYS_TOLD, &again) == 0);
		assert(again.count == d.count);
		for (size_t i = 0; i < d.count; i++)
			assert(again.day[i].day == d.day[i].day && again.day[i].training_low == d.day[i].training_low &&
			       again.day[i].training_high == d.day[i].training_high);
		om_days_done(&again);
		free(text);
	}
	om_days_done(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct om_total_record r, again;
	struct om_subject_total sum;
	char key[OM_TOTAL_KEY_MAX], *text;

	feed_days(data, size);
	if (om_total_decode(data, size, &r))
		return 0;
	text = om_total_encode(&r.total, r.partition);
	if (text) {
		assert(om_total_decode(text, strlen(text), &again) == 0);
		assert(again.total.training_high == r.total.training_high && again.total.member_count == r.total.member_count &&
		       again.total.as_of_ns == r.total.as_of_ns && !strcmp(again.total.tenant, r.total.tenant));
		om_total_record_done(&again);
		free(text);
	}
	sum = r.total;
	om_subject_total_add(&sum, &r.total);
	assert(sum.all_high >= r.total.all_high && sum.registers >= r.total.registers);
	om_total_key("fleet", r.partition, &r.total, key);
	om_total_record_done(&r);
	return 0;
}
