/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_TESTS_MODEL_LIES_H
#define OPMETER_TESTS_MODEL_LIES_H

/* What a tenant may do with the addresses of its buffers so that another model is told. */

#include <stddef.h>

#include "userspace/core/run.h"

struct lie {
	const char *what;
	/* `turn`: steps after which the run begins anew. 0; -ENOMEM. */
	int (*tell)(struct run *r, size_t turn);
};
extern const struct lie lies[];
extern const size_t lie_count;

#endif
