/* progress.h -- how a long job tells how far it is, and how it is told to stop. */
#ifndef TK_JOB_PROGRESS_H
#define TK_JOB_PROGRESS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct tk_progress_event {
	const char *phase;                    /* "scan", "send", "restore", "verify" ... */
	uint64_t files_done, files_total;     /* total 0: not known */
	uint64_t bytes_done, bytes_total;
	const char *path;                     /* being worked on, or NULL; valid during the call */
};

/* Called now and then by the job's own thread. fn may be NULL. */
struct tk_progress {
	void (*fn)(void *ctx, const struct tk_progress_event *event);
	void *ctx;
};

#endif
