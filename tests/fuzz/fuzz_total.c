// SPDX-License-Identifier: Apache-2.0
/* What comes from the totals topic: a record that is taken comes out as one that is taken, and says the same. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "userspace/core/total_record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct om_total_record r, again;
	struct om_subject_total sum;
	char key[OM_TOTAL_KEY_MAX], *text;

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
