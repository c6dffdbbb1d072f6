/* progress_bar.h -- shows progress events: a bar on a terminal, JSON lines when asked, else nothing. */
#ifndef TK_CLI_PROGRESS_BAR_H
#define TK_CLI_PROGRESS_BAR_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/progress.h"

enum tk_bar_mode { TK_BAR_NONE, TK_BAR_TERMINAL, TK_BAR_JSON };

struct tk_bar {
	enum tk_bar_mode mode;
	FILE *to;                 /* borrowed; standard error */
	struct tk_progress sink;  /* what the pipelines are given */
	pthread_mutex_t lock;
	char phase[32];           /* of the last event; its start is where the rate counts from */
	int64_t phase_start_ns, last_ns;
	uint64_t phase_bytes;
	bool drawn;               /* a bar stands on the terminal */
};

/* The mode of --progress=text (NULL: auto). */
enum tk_bar_mode tk_bar_mode_of(const char *text, FILE *to, bool quiet);
void tk_bar_init(struct tk_bar *bar, enum tk_bar_mode mode, FILE *to);
/* Takes the bar off the terminal. Call before anything else is printed, and at the end; events after it draw it again. */
void tk_bar_clear(struct tk_bar *bar);
void tk_bar_release(struct tk_bar *bar);

/* The line of an event, at most `columns` wide, without a newline, into dst. For tests. */
void tk_bar_line(const struct tk_progress_event *event, int64_t elapsed_ns, uint64_t rate_bytes, size_t columns, char *dst, size_t size);

#endif
