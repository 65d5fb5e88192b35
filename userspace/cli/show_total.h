/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_SHOW_TOTAL_H
#define OPMETER_CLI_SHOW_TOTAL_H

/* A total of the fleet (docs/formats.md, "Totals", added over partitions) as a row for people. */

#include <jansson.h>

#include "../base/opcount.h"

void show_total_header(void);
/* rate: operations a second as text; NULL: "-". */
void show_total(const json_t *total, const char *rate);
/* A figure by its path, such as "all", "high"; 0 if it is not there. `inner` NULL: `outer` is the figure. */
opcount show_total_figure(const json_t *total, const char *outer, const char *inner);

#endif
