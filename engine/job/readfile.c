#include "engine/job/readfile.h"

#include "engine/job/restore_core.h"

enum tk_rc
tk_read_file(const struct tk_read_file_opts *opts, const struct tk_entry *entry, const struct tk_byte_sink *sink, struct tk_err *err)
{
	TK_AUTO(tk_restore_worker_release) struct tk_restore_worker worker = {0};
	const struct tk_restore_opts restore_opts = {.fetch = opts->fetch, .packs = opts->packs, .point = opts->point, .body = opts->body,
						     .tar_fd = -1, .cancel = opts->cancel};
	struct tk_restore restore = {.opts = &restore_opts, .segment_bytes = opts->body->segment_bytes};
	enum tk_rc rc;

	if (entry->meta.type != TK_FT_REG)
		return tk_err_set(err, TK_EINVAL, "/%s is not a regular file", entry->path);
	if (entry->meta.size_bytes == 0)
		return TK_OK;
	if (!(rc = tk_restore_worker_init(&worker, &restore, err)))
		rc = tk_restore_content(&worker, entry, sink, err);
	return rc ? tk_err_context(err, rc, "/%s", entry->path) : TK_OK;
}
