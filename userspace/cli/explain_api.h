/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_EXPLAIN_API_H
#define OPMETER_CLI_EXPLAIN_API_H

/* What a server of the fleet's knows of job instances and their lineages (docs/api.md), in words or as it
 * came. */

#include "api_client.h"

/* wanted: "LEDGER/JOB", 32 hexadecimal digits each. 0; -EINVAL with *err: it is not; as api_client_get(). */
int explain_api(const struct api_client *c, const char *wanted, bool json, struct error_text *err);
/* All lineages of several runs, and findings. */
int lineages_api(const struct api_client *c, bool json, struct error_text *err);

#endif
