/* SPDX-License-Identifier: Apache-2.0 */
#ifndef OPMETER_BASE_LOG_H
#define OPMETER_BASE_LOG_H

/*
 * One log funnel to stderr: "opmeter: level: text". Wiring (agent/, fleet/,
 * cli/) logs, once; library code returns. Lines of foreign libraries pass
 * through here one level lower. Thread-safe; a line is written by one write(2).
 */

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

void log_set_level(enum log_level level);
enum log_level log_get_level(void);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* A sentence for the person at the terminal: what happened, where, what to do.
 * Filled by functions that read configuration or environment; always
 * NUL-terminated. The caller owns the struct; cleared by error_clear(). */
struct error_text {
	char text[512];
};

void error_clear(struct error_text *err);
/* Keeps the first sentence: the cause, not the consequence. err may be NULL.
 * Returns rc, so that `return error_set(err, -EINVAL, ...)` reads well. */
int error_set(struct error_text *err, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

#endif
