/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_COUNTRY_H
#define OPMETER_CORE_COUNTRY_H

#include <stdbool.h>

/* Whether two capital letters are a country's: the officially assigned codes of ISO 3166-1 alpha-2, with XK
 * (Kosovo) and UK, which are in common use. */
bool country_is_code(const char *code);

#endif
