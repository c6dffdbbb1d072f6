/* rsync_job.h -- one way to run librsync's jobs: for signature.c and delta.c only. */
#ifndef TK_DELTA_RSYNC_JOB_H
#define TK_DELTA_RSYNC_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include <librsync.h>

#include "engine/base/err.h"

#define TK_RSYNC_OUT_BYTES 65536

/* Takes a piece of the job's output. *stop set to true ends the job early, with success. */
typedef enum tk_rc tk_rsync_sink(void *ctx, const uint8_t *data, size_t len_bytes, bool *stop, struct tk_err *err);

/* A job with its output buffer. */
struct tk_rsync_job {
	rs_job_t *raw;      /* owned; NULL: none */
	uint8_t *out;       /* owned, TK_RSYNC_OUT_BYTES */
	tk_rsync_sink *sink; /* NULL: no output expected */
	void *sink_ctx;     /* borrowed */
	bool ended;         /* the job is done or was stopped */
};

/* Takes over `raw` (NULL: out of memory), also on failure. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_rsync_job_init(struct tk_rsync_job *job, rs_job_t *raw, tk_rsync_sink *sink, void *sink_ctx,
	struct tk_err *err);
/* Feeds len_bytes (data may be NULL for none); at_end: nothing follows, and the job must then end.
 * Errors: the sink's, TK_ENOMEM, TK_ECORRUPT, TK_EINVAL (fed after the end). */
TK_MUST_CHECK enum tk_rc tk_rsync_job_feed(struct tk_rsync_job *job, const uint8_t *data, size_t len_bytes, bool at_end,
	struct tk_err *err);
void tk_rsync_job_release(struct tk_rsync_job *job);

#endif
