/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_CAPACITY_INTERNAL_H
#define OPMETER_CORE_CAPACITY_INTERNAL_H

#include "capacity.h"

struct inventory_row {
	char site[64], owner[96], chip[64], country[3];
	int32_t day;
	unsigned line;
	opcount tpp;
};

struct owner_home {
	char owner[96], country[3];
};

struct owner_status {
	char owner[96], status[16];
};

struct inventory {
	struct inventory_row *row;
	size_t rows, room;
	struct owner_home *home;
	size_t homes;
	struct owner_status *status;
	size_t statuses;
};

#endif
