/* log.h -- structured log lines: `time level=info event=publish domain=.. point=..`.
 *
 * A tk_log is made at the edge (cli/) and lent to whoever must report; NULL is allowed everywhere and means
 * silence. Lines are written with one write(2) each, so that threads do not mix. */
#ifndef TK_BASE_LOG_H
#define TK_BASE_LOG_H

#include "engine/base/err.h"

enum tk_log_level { TK_LOG_ERROR, TK_LOG_WARN, TK_LOG_INFO, TK_LOG_DEBUG };

struct tk_log {
	int fd;                     /* borrowed */
	enum tk_log_level level;    /* lines above it are dropped */
};

/* One line: event is a word, fmt gives `key=value` pairs, with values that may have blanks in quotes: `key="%s"`. Values cannot break out: control characters become '?', and
 * within quotes a quote and a backslash are escaped by a backslash. Conversions: %s (with a precision), %d, %u, %ld, %lu, %zu, %lld, %llu. */
void tk_log_event(const struct tk_log *log, enum tk_log_level level, const char *event, const char *fmt, ...) TK_PRINTF(4, 5);

#endif
