/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_TOP_API_H
#define OPMETER_CLI_TOP_API_H

#include "api_client.h"

/* The fleet's largest totals, again and again: `top` over the API. */
int top_api(const struct api_client *c, uint64_t interval_ns, bool once, bool json, struct error_text *err);

#endif
