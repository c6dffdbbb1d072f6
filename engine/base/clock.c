#include "engine/base/clock.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define NS_PER_SECOND 1000000000LL

int64_t
tk_clock_mono_ns(void)
{
	struct timespec now;

	if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		return 0;
	return (int64_t)now.tv_sec * NS_PER_SECOND + now.tv_nsec;
}

void
tk_time_format(int64_t wall_ns, char dst[TK_TIME_TEXT_MAX])
{
	time_t seconds = (time_t)(wall_ns / NS_PER_SECOND - (wall_ns % NS_PER_SECOND < 0));
	struct tm parts;

	if (!gmtime_r(&seconds, &parts) || strftime(dst, TK_TIME_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
		(void)snprintf(dst, TK_TIME_TEXT_MAX, "invalid-time");
}

/* "Z", "+08:00" or nothing after the time; *local is set when nothing is there. */
static int
parse_zone(const char *text, int *offset_seconds, int *local)
{
	int hours, minutes, used = 0;
	char sign;

	*offset_seconds = 0;
	*local = 0;
	if (*text == '\0') {
		*local = 1;
		return 0;
	}
	if (strcmp(text, "Z") == 0 || strcmp(text, "z") == 0)
		return 0;
	if (sscanf(text, "%c%2d:%2d%n", &sign, &hours, &minutes, &used) != 3 || text[used] != '\0')
		return -1;
	if ((sign != '+' && sign != '-') || hours < 0 || hours > 23 || minutes < 0 || minutes > 59)
		return -1;
	*offset_seconds = (hours * 60 + minutes) * 60 * (sign == '-' ? -1 : 1);
	return 0;
}

enum tk_rc
tk_time_parse(const char *text, int64_t *wall_ns, struct tk_err *err)
{
	static const char *const forms[] = {"%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M:%S",
					    "%Y-%m-%d %H:%M", "%Y-%m-%d"};
	const char *rest = NULL;
	bool is_day = false;
	struct tm parts;
	int offset_seconds, local;
	time_t seconds;

	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && !rest; i++) {
		memset(&parts, 0, sizeof(parts));
		rest = strptime(text, forms[i], &parts);
		is_day = strlen(forms[i]) == strlen("%Y-%m-%d");
	}
	if (rest && *rest == '.')
		rest += 1 + strspn(rest + 1, "0123456789");
	if (!rest || parse_zone(rest, &offset_seconds, &local) < 0)
		return tk_err_set(err, TK_EINVAL, "\"%s\" is no time (want 2026-11-24T03:00, RFC 3339)", text);
	parts.tm_isdst = -1;
	parts.tm_mday += is_day;
	seconds = local ? mktime(&parts) : timegm(&parts) - offset_seconds;
	*wall_ns = (int64_t)seconds * NS_PER_SECOND - is_day;
	return TK_OK;
}
