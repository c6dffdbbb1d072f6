#include "engine/base/log.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"

static const char *const level_names[] = {"error", "warn", "info", "debug"};

struct line {
	char text[2048];
	size_t len;
};

static void
add_byte(struct line *line, char byte)
{
	/* Room for the newline stays. */
	if (line->len + 1 < sizeof(line->text))
		line->text[line->len++] = byte;
}

/* Nothing in a value ends it, or the line: control characters become '?', and between quotes a quote is escaped. */
static void
add_value(struct line *line, const char *value, bool quoted)
{
	for (; *value; value++) {
		if (quoted && (*value == '"' || *value == '\\'))
			add_byte(line, '\\');
		add_byte(line, (unsigned char)*value < 0x20 || *value == 0x7f ? '?' : *value);
	}
}

/* One conversion, of those that log lines use: strings (with a precision), and integers of any width. */
static void
format_value(const char *spec, size_t spec_len, va_list *args, char *dst, size_t size)
{
	char one[16];
	char last = spec[spec_len - 1];
	size_t longs = 0;

	memcpy(one, spec, spec_len);
	one[spec_len] = '\0';
	for (size_t i = 0; i < spec_len; i++)
		longs += spec[i] == 'l';
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	if (last == 's')
		(void)snprintf(dst, size, one, va_arg(*args, const char *));
	else if (longs == 2)
		(void)snprintf(dst, size, one, va_arg(*args, unsigned long long));
	else if (longs == 1 || spec[spec_len - 2] == 'z')
		(void)snprintf(dst, size, one, va_arg(*args, unsigned long));
	else
		(void)snprintf(dst, size, one, va_arg(*args, unsigned));
#pragma GCC diagnostic pop
}

void
tk_log_event(const struct tk_log *log, enum tk_log_level level, const char *event, const char *fmt, ...)
{
	char value[1024], when[TK_TIME_TEXT_MAX];
	struct line line = {.len = 0};
	bool quoted = false;
	va_list args;

	if (!log || level > log->level)
		return;
	tk_time_format(tk_clock_wall_ns(), when);
	line.len = (size_t)snprintf(line.text, sizeof(line.text), "%s level=%s event=%s ", when, level_names[level], event);
	va_start(args, fmt);
	while (*fmt) {
		size_t spec_len = *fmt == '%' ? strcspn(fmt, "sdu") + 1 : 0;

		if (spec_len == 0) {
			quoted ^= *fmt == '"';
			add_byte(&line, *fmt++);
			continue;
		}
		format_value(fmt, spec_len, &args, value, sizeof(value));
		add_value(&line, value, quoted);
		fmt += spec_len;
	}
	va_end(args);
	line.text[line.len++] = '\n';
	/* A log that cannot be written must not stop the work. */
	if (write(log->fd, line.text, line.len) < 0)
		return;
}
