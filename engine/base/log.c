#include "engine/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void
tk_log_event(const struct tk_log *log, enum tk_log_level level, const char *event, const char *fmt, ...)
{
	char line[2048], when[TK_TIME_TEXT_MAX];
	size_t len;
	va_list args;

	if (!log || level > log->level)
		return;
	tk_time_format(tk_clock_wall_ns(), when);
	(void)snprintf(line, sizeof(line) - 1, "%s level=%s event=%s ", when, level_names[level], event);
	len = strlen(line);
	va_start(args, fmt);
	(void)vsnprintf(line + len, sizeof(line) - 1 - len, fmt, args);
	va_end(args);
	len = strlen(line);
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)line[i] < 0x20)
			line[i] = '?';
	line[len] = '\n';
	/* A log that cannot be written must not stop the work. */
	if (write(log->fd, line, len + 1) < 0)
		return;
}
