// SPDX-License-Identifier: Apache-2.0
#include "decimal.h"

json_t *decimal(opcount v)
{
	char buf[OPCOUNT_STRLEN];

	return json_string(opcount_format(v, buf));
}
