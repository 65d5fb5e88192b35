/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_NEAR_H
#define OPMETER_CORE_NEAR_H

/* Is a subject near a level? Then its registers are published each second instead of each publication
 * interval, so that the crossing is seen soon. Pure. */

#include "regime.h"
#include "totals.h"

/* True if the figure that some level of a threshold regime compares (in force on `day`) is below it by less
 * than a fiftieth of it. */
bool om_near_level(const struct regimes *regimes, const struct om_subject_total *s, int32_t day);

#endif
