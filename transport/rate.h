/* rate.h -- how often may somebody ask? A bounded table of callers, counted by the minute. Any thread. */
#ifndef TK_TRANSPORT_RATE_H
#define TK_TRANSPORT_RATE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

struct tk_rate;

/* At most per_caller in a minute for each caller, and total for all of them. On TK_OK the caller owns *out. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_rate_new(unsigned per_caller, unsigned total, struct tk_rate **out, struct tk_err *err);
void tk_rate_free(struct tk_rate *rate);

/* Counts one request of `caller` at now_ns (a monotonic clock); false: too many, it must not be served. */
bool tk_rate_allow(struct tk_rate *rate, const char *caller, int64_t now_ns);

#endif
