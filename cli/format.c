/* Numbers, times, names and tables for people. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <wchar.h>

#include "cli/output.h"

const char *
tk_format_size(uint64_t bytes, char dst[TK_FORMAT_MAX])
{
	static const char units[] = "KMGTPE";
	double value = (double)bytes;
	int unit = -1;

	while (value >= 1023.95 && unit < 5) {
		value /= 1024;
		unit++;
	}
	if (unit < 0)
		(void)snprintf(dst, TK_FORMAT_MAX, "%" PRIu64 " B", bytes);
	else
		(void)snprintf(dst, TK_FORMAT_MAX, "%.1f %ciB", value, units[unit]);
	return dst;
}

const char *
tk_format_duration(int64_t ms, char dst[TK_FORMAT_MAX])
{
	int64_t s = ms / 1000;

	if (ms < 0)
		(void)snprintf(dst, TK_FORMAT_MAX, "-");
	else if (ms < 1000)
		(void)snprintf(dst, TK_FORMAT_MAX, "%" PRId64 " ms", ms);
	else if (s < 60)
		(void)snprintf(dst, TK_FORMAT_MAX, "%.1f s", (double)(ms / 100) / 10);
	else if (s < 3600)
		(void)snprintf(dst, TK_FORMAT_MAX, "%" PRId64 " min %02" PRId64 " s", s / 60, s % 60);
	else if (s < 86400)
		(void)snprintf(dst, TK_FORMAT_MAX, "%" PRId64 " h %02" PRId64 " min", s / 3600, s / 60 % 60);
	else
		(void)snprintf(dst, TK_FORMAT_MAX, "%" PRId64 " d %" PRId64 " h", s / 86400, s / 3600 % 24);
	return dst;
}

const char *
tk_format_time(int64_t wall_ns, char dst[TK_FORMAT_MAX])
{
	time_t seconds = (time_t)(wall_ns / 1000000000 - (wall_ns % 1000000000 < 0));
	struct tm parts;
	size_t len;

	if (!localtime_r(&seconds, &parts)) {
		(void)snprintf(dst, TK_FORMAT_MAX, "-");
		return dst;
	}
	/* strftime writes +0800; RFC 3339 wants +08:00. */
	len = strftime(dst, TK_FORMAT_MAX - 1, "%Y-%m-%dT%H:%M:%S%z", &parts);
	if (len > 5) {
		memmove(dst + len - 1, dst + len - 2, 3);
		dst[len - 2] = ':';
	}
	return dst;
}

/* The length of the UTF-8 sequence at text that may be shown as it is, or 0. */
static size_t
utf8_plain(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	unsigned code;
	size_t len;

	if (at[0] < 0x80)
		return at[0] >= 0x20 && at[0] != 0x7f;
	len = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
	if (at[0] < 0xc2 || at[0] > 0xf4)
		return 0;
	code = at[0] & (0xffU >> (len + 1));
	for (size_t i = 1; i < len; i++) {
		if ((at[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (at[i] & 0x3f);
	}
	/* Overlong forms, surrogates, C1 controls; and marks that turn the direction of what follows. */
	if ((len == 3 && code < 0x800) || (len == 4 && code < 0x10000) || code > 0x10ffff || (code >= 0xd800 && code < 0xe000) ||
		code < 0xa0 || (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069))
		return 0;
	return len;
}

const char *
tk_format_name(const char *name, char *dst, size_t size)
{
	size_t used = 0;

	while (*name) {
		size_t len = utf8_plain(name);

		if (used + (len ? len : 4) >= size)
			break;
		if (len)
			memcpy(dst + used, name, len);
		else
			(void)snprintf(dst + used, 5, "\\x%02x", (unsigned char)*name);
		used += len ? len : 4;
		name += len ? len : 1;
	}
	dst[used] = '\0';
	return dst;
}

size_t
tk_text_width(const char *text)
{
	size_t width = 0, left = strlen(text), len;
	mbstate_t state = {0};
	wchar_t wide;

	for (; left > 0; text += len, left -= len) {
		int columns;

		len = mbrtowc(&wide, text, left, &state);
		if (len == 0 || len > left) {
			memset(&state, 0, sizeof(state));
			len = 1;
			columns = 1;
		} else {
			columns = wcwidth(wide);
		}
		width += columns > 0 ? (size_t)columns : 0;
	}
	return width;
}

static void
table_push(struct tk_table *table, char *cell)
{
	char **grown = realloc(table->cells, (table->cell_count + 1) * sizeof(*grown));

	if (grown)
		table->cells = grown;
	if (!grown || !cell) {
		free(cell);
		table->broken = true;
		return;
	}
	grown[table->cell_count++] = cell;
}

void
tk_table_init(struct tk_table *table, const char *head)
{
	*table = (struct tk_table){0};
	for (const char *at = head; at; at = strchr(at, '|') ? strchr(at, '|') + 1 : NULL) {
		table_push(table, strndup(at, strcspn(at, "|")));
		table->column_count++;
	}
}

void
tk_table_cell(struct tk_table *table, const char *fmt, ...)
{
	va_list args;
	char *raw = NULL, *clean = NULL;

	va_start(args, fmt);
	if (vasprintf(&raw, fmt, args) < 0)
		raw = NULL;
	va_end(args);
	if (raw)
		clean = malloc(4 * strlen(raw) + 1);
	if (clean)
		tk_format_name(raw, clean, 4 * strlen(raw) + 1);
	free(raw);
	table_push(table, clean);
}

static size_t
column_width(const struct tk_table *table, size_t column, bool right)
{
	size_t width = 0;

	for (size_t i = column; i < table->cell_count; i += table->column_count) {
		size_t own = tk_text_width(table->cells[i] + (right && i == column));

		width = own > width ? own : width;
	}
	return width;
}

static void
row_print(const struct tk_table *table, size_t first, const size_t *widths, struct tk_output *out)
{
	for (size_t c = 0; c < table->column_count && first + c < table->cell_count; c++) {
		bool right = table->cells[c][0] == '>', last = c + 1 == table->column_count;
		const char *cell = table->cells[first + c] + (right && first == 0);
		int pad = (int)(widths[c] - tk_text_width(cell));

		tk_out_text(out, "%*s%s%*s%s", right ? pad : 0, "", cell, right || last ? 0 : pad, "", last ? "\n" : "  ");
	}
}

void
tk_table_finish(struct tk_table *table, struct tk_output *out)
{
	size_t *widths = calloc(table->column_count + 1, sizeof(*widths));

	if (widths && !table->broken) {
		for (size_t c = 0; c < table->column_count; c++)
			widths[c] = column_width(table, c, table->cells[c][0] == '>');
		for (size_t i = 0; i < table->cell_count; i += table->column_count)
			row_print(table, i, widths, out);
	}
	free(widths);
	for (size_t i = 0; i < table->cell_count; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct tk_table){0};
}
