/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_EXPORTERS_FILE_H
#define OPMETER_EXPORTERS_FILE_H

#include "../userspace/base/log.h"
#include "exporter.h"

/* Appends events as JSON lines {"topic", "key", "event"}; readings in their JSON
 * form. Acknowledged after fdatasync(). A full disk: offered again later. */
int om_file_open(const char *path, struct om_exporter **ret, struct error_text *err);

#endif
