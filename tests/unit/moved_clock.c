/* In the place of engine/base/wallclock.c: a clock that is off by TK_CLOCK_OFF_S seconds (environment). */
#include <stdlib.h>
#include <time.h>

#include "engine/base/clock.h"

int64_t
tk_clock_wall_ns(void)
{
	const char *off = getenv("TK_CLOCK_OFF_S");
	struct timespec now;

	(void)clock_gettime(CLOCK_REALTIME, &now);
	return ((int64_t)now.tv_sec + (off ? strtoll(off, NULL, 10) : 0)) * 1000000000LL + now.tv_nsec;
}
