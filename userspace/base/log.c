// SPDX-License-Identifier: Apache-2.0
#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static enum log_level level_now = LOG_INFO;

void log_set_level(enum log_level level)
{
	level_now = level;
}

enum log_level log_get_level(void)
{
	return level_now;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	static const char *const names[] = { "error", "warning", "info", "debug" };
	char buf[1024];
	va_list args;
	int n;

	if (level > level_now)
		return;
	n = snprintf(buf, sizeof(buf), "opmeter: %s: ", names[level]);
	va_start(args, fmt);
	n += vsnprintf(buf + n, sizeof(buf) - n - 1, fmt, args);
	va_end(args);
	if (n > (int)sizeof(buf) - 2)
		n = sizeof(buf) - 2;
	if (n == 0 || buf[n - 1] != '\n')
		buf[n++] = '\n';
	/* A log line that can't be written has nowhere else to go. */
	if (write(STDERR_FILENO, buf, n) < 0)
		return;
}

void error_clear(struct error_text *err)
{
	if (err)
		err->text[0] = '\0';
}

int error_set(struct error_text *err, int rc, const char *fmt, ...)
{
	va_list args;

	if (!err || err->text[0])
		return rc;
	va_start(args, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, args);
	va_end(args);
	return rc;
}
