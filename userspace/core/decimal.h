/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_DECIMAL_H
#define OPMETER_CORE_DECIMAL_H

#include <jansson.h>

#include "../base/opcount.h"

/* Exact operations, and counts that may pass 2^53, as JSON has them here: decimal text. NULL: out of memory.
 */
json_t *decimal(opcount v);

#endif
