/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_CORE_PROCESS_RECORD_INTERNAL_H
#define OPMETER_CORE_PROCESS_RECORD_INTERNAL_H

/* What the writer and the reader of process records hold each other to (docs/formats.md, "Process"). */

#include "process_record.h"

#define PROCESS_VERSION 1
#define PROCESS_NAME_MAX 128 /* bytes, with the end */
#define PROCESS_SUSPICION_MAX 256
#define PROCESS_TEXT_MAX 512
#define PROCESS_NUMBER_MAX (UINT64_C(1) << 53)
#define PROCESS_REAL_MAX 1e40
#define PPM 1000000u

/* A communicator with an id that names a rank of it. */
bool process_claim_is_valid(const struct om_join_claim *c);

#endif
