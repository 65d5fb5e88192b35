/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CLI_SHOW_MODEL_H
#define OPMETER_CLI_SHOW_MODEL_H

/* A fingerprint as verbs show it. */

#include <jansson.h>

#include "../core/model.h"

#ifndef OPMETER_DATADIR
#define OPMETER_DATADIR "/usr/share/opmeter"
#endif
#define SHOW_MODEL_DEFAULT OPMETER_DATADIR "/architectures.csv"

/* path NULL: the installed file, and NULL in *ret where none is installed. What is wrong has been logged. */
int show_model_load(const char *path, struct architectures **ret);
json_t *show_model_json(const struct model_fingerprint *f); /* new; NULL: out of memory */
void show_model_print(const struct model_fingerprint *f);

#endif
