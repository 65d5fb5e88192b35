/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_READING_JSON_H
#define OPMETER_CORE_READING_JSON_H

#include <jansson.h>

#include "register.h"

/* The JSON form of a reading (docs/formats.md): a new reference, NULL: out of memory. */
json_t *om_reading_to_json(const struct om_reading *r);

#endif
