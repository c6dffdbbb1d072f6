#include "cli/progress_bar.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/output.h"
#include "engine/base/clock.h"

#define NS_PER_SECOND INT64_C(1000000000)
#define DRAW_EVERY_NS (NS_PER_SECOND / 5)
#define JSON_EVERY_NS NS_PER_SECOND
#define BAR_CELLS 20
#define LINE_MAX_BYTES 1024

enum tk_bar_mode
tk_bar_mode_of(const char *text, FILE *to, bool quiet)
{
	const char *term = getenv("TERM");

	if (text && strcmp(text, "json") == 0)
		return TK_BAR_JSON;
	if ((text && strcmp(text, "never") == 0) || quiet)
		return TK_BAR_NONE;
	return isatty(fileno(to)) && term && strcmp(term, "dumb") != 0 ? TK_BAR_TERMINAL : TK_BAR_NONE;
}

static void
bar_cells(double part, char dst[BAR_CELLS + 3])
{
	int full = (int)(part * BAR_CELLS);

	dst[0] = '[';
	for (int i = 0; i < BAR_CELLS; i++)
		dst[i + 1] = i < full ? '=' : i == full ? '>' : ' ';
	memcpy(dst + BAR_CELLS + 1, "]", 2);
}

/* Adds text if it still fits into the columns; whole words or nothing, so that a narrow terminal shows what matters most. */
static void
line_add(char *dst, size_t size, size_t columns, const char *text)
{
	size_t used = strlen(dst);

	if (tk_text_width(dst) + tk_text_width(text) + (used > 0) <= columns && used + strlen(text) + 2 < size)
		(void)snprintf(dst + used, size - used, "%s%s", used ? " " : "", text);
}

/* The end of a path says more than its beginning. */
static void
line_add_path(char *dst, size_t size, size_t columns, const char *path)
{
	char clean[512], cut[sizeof(clean) + 4];
	const char *at = clean;
	size_t used = tk_text_width(dst) + 1;

	tk_format_name(path, clean, sizeof(clean));
	if (used + 8 > columns)
		return;
	while (*at && tk_text_width(at) + (at > clean ? 3 : 0) + used > columns)
		do
			at++;
		while (((unsigned char)*at & 0xc0) == 0x80);
	(void)snprintf(cut, sizeof(cut), "%s%s", at > clean ? "..." : "", at);
	line_add(dst, size, columns, cut);
}

static const char *
unit_of(const struct tk_progress_event *event)
{
	return event->unit ? event->unit : "files";
}

static double
part_done(const struct tk_progress_event *event)
{
	double done = (double)event->bytes_done, total = (double)event->bytes_total;

	if (event->bytes_total == 0) {
		done = (double)event->units_done;
		total = (double)event->units_total;
	}
	if (total <= 0)
		return -1;
	return done >= total ? 1 : done / total;
}

void
tk_bar_line(const struct tk_progress_event *event, int64_t elapsed_ns, uint64_t rate_bytes, size_t columns, char *dst, size_t size)
{
	char text[TK_FORMAT_MAX + 16], number[TK_FORMAT_MAX], cells[BAR_CELLS + 3];
	double part = part_done(event);

	dst[0] = '\0';
	line_add(dst, size, columns, event->phase);
	if (part >= 0) {
		(void)snprintf(text, sizeof(text), "%3d%%", (int)(part * 100));
		line_add(dst, size, columns, text);
		bar_cells(part, cells);
		if (columns >= 60)
			line_add(dst, size, columns, cells);
	}
	line_add(dst, size, columns, tk_format_size(event->bytes_done, number));
	(void)snprintf(text, sizeof(text), "%" PRIu64 " %s", event->units_done, unit_of(event));
	line_add(dst, size, columns, text);
	if (rate_bytes > 0) {
		(void)snprintf(text, sizeof(text), "%s/s", tk_format_size(rate_bytes, number));
		line_add(dst, size, columns, text);
	}
	if (part > 0.01 && part < 1 && elapsed_ns > NS_PER_SECOND) {
		int64_t left_ms = (int64_t)((double)(elapsed_ns / 1000000) * (1 - part) / part);

		(void)snprintf(text, sizeof(text), "%s left", tk_format_duration(left_ms, number));
		line_add(dst, size, columns, text);
	}
	if (event->path)
		line_add_path(dst, size, columns, event->path);
}

static void
json_write(struct tk_bar *bar, const struct tk_progress_event *event, int64_t elapsed_ns)
{
	char done[32], total[32];
	json_t *line;

	(void)snprintf(done, sizeof(done), "%s_done", unit_of(event));
	(void)snprintf(total, sizeof(total), "%s_total", unit_of(event));
	line = json_pack("{s:s, s:I, s:I, s:I, s:I, s:f, s:o}", "phase", event->phase, done, (json_int_t)event->units_done, total,
		(json_int_t)event->units_total, "bytes_done", (json_int_t)event->bytes_done, "bytes_total",
		(json_int_t)event->bytes_total, "elapsed_seconds", (double)elapsed_ns / (double)NS_PER_SECOND, "path", tk_json_text(event->path));

	if (!line)
		return;
	if (json_dumpf(line, bar->to, JSON_COMPACT | JSON_REAL_PRECISION(6)) == 0)
		putc('\n', bar->to);
	fflush(bar->to);
	json_decref(line);
}

static size_t
terminal_columns(FILE *to)
{
	struct winsize size;

	return ioctl(fileno(to), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

static void
bar_report(void *arg, const struct tk_progress_event *event)
{
	struct tk_bar *bar = arg;
	int64_t now_ns = tk_clock_mono_ns(), elapsed_ns;
	bool new_phase;

	pthread_mutex_lock(&bar->lock);
	new_phase = strncmp(bar->phase, event->phase, sizeof(bar->phase) - 1) != 0;
	if (new_phase) {
		(void)snprintf(bar->phase, sizeof(bar->phase), "%s", event->phase);
		bar->phase_start_ns = now_ns;
		bar->phase_bytes = event->bytes_done;
	}
	if (new_phase || now_ns - bar->last_ns >= (bar->mode == TK_BAR_JSON ? JSON_EVERY_NS : DRAW_EVERY_NS)) {
		bar->last_ns = now_ns;
		elapsed_ns = now_ns - bar->phase_start_ns;
		if (bar->mode == TK_BAR_JSON) {
			json_write(bar, event, elapsed_ns);
		} else {
			char line[LINE_MAX_BYTES];
			uint64_t moved = event->bytes_done > bar->phase_bytes ? event->bytes_done - bar->phase_bytes : 0;
			double seconds = (double)elapsed_ns / (double)NS_PER_SECOND;

			tk_bar_line(event, elapsed_ns, seconds > 0.2 ? (uint64_t)((double)moved / seconds) : 0, terminal_columns(bar->to) - 1, line,
				sizeof(line));
			fprintf(bar->to, "\r%s\033[K", line);
			fflush(bar->to);
			bar->drawn = true;
		}
	}
	pthread_mutex_unlock(&bar->lock);
}

void
tk_bar_init(struct tk_bar *bar, enum tk_bar_mode mode, FILE *to)
{
	memset(bar, 0, sizeof(*bar));
	bar->mode = mode;
	bar->to = to;
	bar->sink = (struct tk_progress){bar_report, bar};
	pthread_mutex_init(&bar->lock, NULL);
}

void
tk_bar_clear(struct tk_bar *bar)
{
	pthread_mutex_lock(&bar->lock);
	if (bar->drawn) {
		fputs("\r\033[K", bar->to);
		fflush(bar->to);
		bar->drawn = false;
	}
	pthread_mutex_unlock(&bar->lock);
}

void
tk_bar_release(struct tk_bar *bar)
{
	tk_bar_clear(bar);
	pthread_mutex_destroy(&bar->lock);
}
