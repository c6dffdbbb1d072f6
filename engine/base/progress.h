/* progress.h -- how far a long work is: told by the pipelines, shown by the edge. */
#ifndef TK_BASE_PROGRESS_H
#define TK_BASE_PROGRESS_H

#include <stdint.h>

struct tk_progress_event {
	const char *phase;      /* a word or two: "scan", "send" */
	const char *unit;       /* what is counted, in the plural: "packs"; NULL: files */
	uint64_t units_done;
	uint64_t units_total;   /* 0: not known */
	uint64_t bytes_done;
	uint64_t bytes_total;   /* 0: not known */
	const char *path;       /* what is worked on, any bytes; NULL: nothing to name */
};

/* Where events go. report() is called from any thread, often; it is cheap, keeps no pointer of the event, cannot fail. */
struct tk_progress {
	void (*report)(void *arg, const struct tk_progress_event *event);
	void *arg;
};

/* Tells `progress`, which may be NULL. */
static inline void
tk_progress_report(const struct tk_progress *progress, const struct tk_progress_event *event)
{
	if (progress)
		progress->report(progress->arg, event);
}

#endif
