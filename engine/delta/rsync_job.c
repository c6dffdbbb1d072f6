#include "engine/delta/rsync_job.h"

#include <stdlib.h>
#include <string.h>

/* librsync reports its errors on stderr unless told not to; told before any thread can exist. */
__attribute__((constructor)) static void
silence_librsync(void)
{
	rs_trace_to(NULL);
}

static enum tk_rc
rsync_fault(rs_result result, struct tk_err *err)
{
	enum tk_rc rc = TK_ECORRUPT;

	if (result == RS_MEM_ERROR)
		rc = TK_ENOMEM;
	else if (result == RS_PARAM_ERROR || result == RS_SYNTAX_ERROR)
		rc = TK_EINVAL;
	return tk_err_set(err, rc, "librsync: %s", rs_strerror(result));
}

enum tk_rc
tk_rsync_job_init(struct tk_rsync_job *job, rs_job_t *raw, tk_rsync_sink *sink, void *sink_ctx, struct tk_err *err)
{
	memset(job, 0, sizeof(*job));
	job->raw = raw;
	job->sink = sink;
	job->sink_ctx = sink_ctx;
	job->out = malloc(TK_RSYNC_OUT_BYTES);
	if (raw && job->out)
		return TK_OK;
	tk_rsync_job_release(job);
	return tk_err_set(err, TK_ENOMEM, "no memory for a librsync job");
}

/* Runs the job once and hands on what it wrote. */
static enum tk_rc
job_turn(struct tk_rsync_job *job, rs_buffers_t *bufs, rs_result *result, struct tk_err *err)
{
	bool stop = false;
	enum tk_rc rc = TK_OK;
	size_t wrote;

	bufs->next_out = (char *)job->out;
	bufs->avail_out = TK_RSYNC_OUT_BYTES;
	*result = rs_job_iter(job->raw, bufs);
	if (*result != RS_DONE && *result != RS_BLOCKED)
		return rsync_fault(*result, err);
	wrote = TK_RSYNC_OUT_BYTES - bufs->avail_out;
	if (wrote && job->sink)
		rc = job->sink(job->sink_ctx, job->out, wrote, &stop, err);
	if (stop || *result == RS_DONE)
		job->ended = true;
	return rc;
}

enum tk_rc
tk_rsync_job_feed(struct tk_rsync_job *job, const uint8_t *data, size_t len_bytes, bool at_end, struct tk_err *err)
{
	rs_buffers_t bufs = {0};
	rs_result result = RS_BLOCKED;
	size_t before;
	enum tk_rc rc;

	if (job->ended)
		return tk_err_set(err, TK_EINVAL, "a librsync job was fed after its end");
	/* librsync's interface forgot a const: it does not write there. */
	bufs.next_in = (char *)(uintptr_t)data;
	bufs.avail_in = len_bytes;
	bufs.eof_in = at_end;
	do {
		before = bufs.avail_in;
		rc = job_turn(job, &bufs, &result, err);
		if (rc || job->ended)
			return rc;
		/* Blocked with nothing taken and nothing written would go on for ever. */
		if (bufs.avail_in == before && bufs.avail_out == TK_RSYNC_OUT_BYTES)
			break;
	} while (bufs.avail_in || bufs.avail_out == 0 || at_end);
	if (bufs.avail_in || at_end)
		return tk_err_set(err, TK_ECORRUPT, "librsync: the job does not go on");
	return TK_OK;
}

void
tk_rsync_job_release(struct tk_rsync_job *job)
{
	if (job->raw)
		(void)rs_job_free(job->raw);
	job->raw = NULL;
	free(job->out);
	job->out = NULL;
}
