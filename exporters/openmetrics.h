/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_EXPORTERS_OPENMETRICS_H
#define OPMETER_EXPORTERS_OPENMETRICS_H

#include <stdint.h>

#include "../userspace/base/log.h"

/*
 * An OpenMetrics endpoint (GET /metrics) that serves the last text it was
 * given. Operations are doubles there: an approximate view, and the help text
 * says so; exact figures are in the ledger and on Kafka.
 */
struct om_openmetrics;

/* listen: "ADDR:PORT" or "[ADDR6]:PORT". -EINVAL or -errno with *err. */
int om_openmetrics_open(const char *listen, struct om_openmetrics **ret, struct error_text *err);
struct om_openmetrics *om_openmetrics_free(struct om_openmetrics *m);

/* For building pages that somebody else serves. NULL: out of memory. */
struct om_openmetrics *om_openmetrics_page(void);
/* What was committed last, malloc'ed: the caller frees. NULL: nothing, or out of memory. */
char *om_openmetrics_take(struct om_openmetrics *m);

/* Building a page: begin, families and samples, commit. Label values are escaped.
 * At most `samples_max` samples a page: the rest is counted in opmeter_samples_left_out. */
void om_openmetrics_begin(struct om_openmetrics *m, uint64_t samples_max);
void om_openmetrics_family(struct om_openmetrics *m, const char *name, const char *type, const char *unit,
			   const char *help);
/* labels: pairs of name and value, ended by NULL. */
void om_openmetrics_sample(struct om_openmetrics *m, const char *name, const char *const *labels,
			   double value);
void om_openmetrics_commit(struct om_openmetrics *m);

#endif
