/* clock.h -- time: wall clock, monotonic clock, RFC 3339 texts. Clocks never decide order. */
#ifndef TK_BASE_CLOCK_H
#define TK_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

/* Nanoseconds since 1970-01-01T00:00:00Z. Set by people and daemons, back and forth. */
int64_t tk_clock_wall_ns(void);
/* Nanoseconds of a clock that never jumps; only differences mean something. */
int64_t tk_clock_mono_ns(void);

#define TK_TIME_TEXT_MAX 40
/* "2026-11-24T03:40:58Z" (UTC, whole seconds) into dst[TK_TIME_TEXT_MAX]. */
void tk_time_format(int64_t wall_ns, char dst[TK_TIME_TEXT_MAX]);
/* Parses RFC 3339, also with the zone or the seconds left out (local time then). A bare date is that day's last nanosecond: whoever asks for what was there on a day means all of it.
 * Errors: TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_time_parse(const char *text, int64_t *wall_ns, struct tk_err *err);

#endif
