/* units.h -- sizes, durations and times of day as people write them. Pure; any thread. */
#ifndef TK_POLICIES_UNITS_H
#define TK_POLICIES_UNITS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

/* A time of day window in minutes after local midnight; start == end: at any time. It may pass midnight. */
struct tk_window {
	int start_minute;
	int end_minute;
};

/* "10G", "512KiB", "64M", "0": K, M, G, T, P with or without B or iB, all powers of 1024. Errors: TK_EINVAL,
 * with a text that says what to write instead; so for the next two. */
TK_MUST_CHECK enum tk_rc tk_size_parse(const char *text, uint64_t *bytes, struct tk_err *err);
/* "500ms", "5min", "24h", "30d", "2 weeks", "1h30min": ms, s, min, h, d, weeks, months (30 d), years (365 d). */
TK_MUST_CHECK enum tk_rc tk_duration_parse(const char *text, int64_t *ms, struct tk_err *err);
/* "22:00-06:00", or "" for any time. */
TK_MUST_CHECK enum tk_rc tk_window_parse(const char *text, struct tk_window *window, struct tk_err *err);
/* Is the minute of the day (0..1439) inside? The start is, the end is not. */
bool tk_window_contains(const struct tk_window *window, int minute);

#endif
