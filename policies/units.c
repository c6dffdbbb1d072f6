#include "policies/units.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct unit {
	const char *name;
	uint64_t factor;
};

#define SECOND_MS UINT64_C(1000)
#define DAY_MS (86400 * SECOND_MS)

static const struct unit size_units[] = {
	{"", 1}, {"B", 1},
	{"K", UINT64_C(1) << 10}, {"KB", UINT64_C(1) << 10}, {"KiB", UINT64_C(1) << 10},
	{"M", UINT64_C(1) << 20}, {"MB", UINT64_C(1) << 20}, {"MiB", UINT64_C(1) << 20},
	{"G", UINT64_C(1) << 30}, {"GB", UINT64_C(1) << 30}, {"GiB", UINT64_C(1) << 30},
	{"T", UINT64_C(1) << 40}, {"TB", UINT64_C(1) << 40}, {"TiB", UINT64_C(1) << 40},
	{"P", UINT64_C(1) << 50}, {"PB", UINT64_C(1) << 50}, {"PiB", UINT64_C(1) << 50},
};

static const struct unit duration_units[] = {
	{"ms", 1},
	{"s", SECOND_MS}, {"sec", SECOND_MS}, {"second", SECOND_MS}, {"seconds", SECOND_MS},
	{"min", 60 * SECOND_MS}, {"minute", 60 * SECOND_MS}, {"minutes", 60 * SECOND_MS},
	{"h", 3600 * SECOND_MS}, {"hour", 3600 * SECOND_MS}, {"hours", 3600 * SECOND_MS},
	{"d", DAY_MS}, {"day", DAY_MS}, {"days", DAY_MS},
	{"w", 7 * DAY_MS}, {"week", 7 * DAY_MS}, {"weeks", 7 * DAY_MS},
	{"month", 30 * DAY_MS}, {"months", 30 * DAY_MS},
	{"y", 365 * DAY_MS}, {"year", 365 * DAY_MS}, {"years", 365 * DAY_MS},
};

static const char *
skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* Reads "NUMBER UNIT" at *at and moves past it; false when it is none, or over 63 bits. */
static bool
quantity_read(const char **at, const struct unit *units, size_t count, uint64_t *value)
{
	const char *digits = skip_blanks(*at), *name, *end;
	uint64_t number = 0;

	for (name = digits; isdigit((unsigned char)*name); name++)
		if (__builtin_mul_overflow(number, 10, &number) || __builtin_add_overflow(number, (uint64_t)(*name - '0'), &number))
			return false;
	if (name == digits)
		return false;
	name = skip_blanks(name);
	for (end = name; isalpha((unsigned char)*end); end++)
		continue;
	*at = end;
	for (size_t i = 0; i < count; i++)
		if (strlen(units[i].name) == (size_t)(end - name) && strncasecmp(units[i].name, name, (size_t)(end - name)) == 0)
			return !__builtin_mul_overflow(number, units[i].factor, value) && *value <= INT64_MAX;
	return false;
}

enum tk_rc
tk_size_parse(const char *text, uint64_t *bytes, struct tk_err *err)
{
	const char *at = text;
	uint64_t value;

	if (!quantity_read(&at, size_units, COUNT(size_units), &value) || *skip_blanks(at))
		return tk_err_set(err, TK_EINVAL, "\"%.60s\" is not a size; write a whole number with K, M, G or T, such as 10G", text);
	*bytes = value;
	return TK_OK;
}

enum tk_rc
tk_duration_parse(const char *text, int64_t *ms, struct tk_err *err)
{
	const char *at = text;
	uint64_t sum = 0, part;
	bool good;

	if (strcmp(text, "0") == 0) {
		*ms = 0;
		return TK_OK;
	}
	do {
		good = quantity_read(&at, duration_units, COUNT(duration_units), &part) &&
			!__builtin_add_overflow(sum, part, &sum) && sum <= INT64_MAX;
		at = skip_blanks(at);
	} while (good && *at);
	if (!good)
		return tk_err_set(err, TK_EINVAL, "\"%.60s\" is not a duration; write a number and a unit (ms, s, min, h, d, weeks), such as 5min or \"2 weeks\"", text);
	*ms = (int64_t)sum;
	return TK_OK;
}

enum tk_rc
tk_window_parse(const char *text, struct tk_window *window, struct tk_err *err)
{
	unsigned h1, m1, h2, m2;
	int used = 0;

	*window = (struct tk_window){0, 0};
	if (!*text)
		return TK_OK;
	if (sscanf(text, "%2u:%2u-%2u:%2u%n", &h1, &m1, &h2, &m2, &used) != 4 || text[used] || h1 > 23 || h2 > 23 || m1 > 59 || m2 > 59)
		return tk_err_set(err, TK_EINVAL, "\"%.60s\" is not a time of day window; write \"22:00-06:00\"", text);
	window->start_minute = (int)(h1 * 60 + m1);
	window->end_minute = (int)(h2 * 60 + m2);
	return TK_OK;
}

bool
tk_window_contains(const struct tk_window *window, int minute)
{
	int start = window->start_minute, end = window->end_minute;

	if (start == end)
		return true;
	return start < end ? minute >= start && minute < end : minute >= start || minute < end;
}
