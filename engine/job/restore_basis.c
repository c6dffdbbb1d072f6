#include <string.h>

#include "engine/fsio/holes.h"
#include "engine/fsio/openat.h"
#include "engine/job/restore_core.h"

/* One run of data, window by window. */
static enum tk_rc
read_data(struct tk_restore_worker *worker, int basis, const struct tk_run *run, const struct tk_target_file *file, bool *whole, struct tk_err *err)
{
	enum tk_rc rc = tk_restore_window(worker, TK_RESTORE_READ_BYTES, err);

	for (uint64_t done = 0; !rc && *whole && done < run->len_bytes;) {
		uint64_t left = run->len_bytes - done, at = run->offset_bytes + done;
		size_t want = left < TK_RESTORE_READ_BYTES ? (size_t)left : TK_RESTORE_READ_BYTES, got = 0;

		rc = tk_pread_full(basis, worker->window, want, at, &got, "existing file", err);
		if (!rc)
			rc = tk_content_hash_feed(worker->hash, worker->window, got, err);
		if (!rc && file)
			rc = tk_pwrite_full(tk_target_file_fd(file), worker->window, got, at, "restored file", err);
		*whole = got == want;
		done += got;
	}
	return rc;
}

enum tk_rc
tk_restore_read_basis(struct tk_restore_worker *worker, int basis, uint64_t offset_bytes, uint64_t len_bytes, const struct tk_target_file *file,
		      bool *whole, struct tk_err *err)
{
	struct tk_holes holes;
	struct tk_run run;
	enum tk_rc rc = TK_OK;

	*whole = true;
	tk_holes_init(&holes, basis, offset_bytes + len_bytes);
	holes.pos_bytes = offset_bytes;
	while (!rc && *whole && !tk_restore_cancelled(worker->restore) && tk_holes_next(&holes, &run))
		rc = run.is_hole ? tk_content_hash_zeros(worker->hash, run.len_bytes, err) : read_data(worker, basis, &run, file, whole, err);
	return !rc && tk_restore_cancelled(worker->restore) ? tk_err_set(err, TK_ECANCELLED, "interrupted") : rc;
}

/* One read tells a small file; holes are looked for in a longer one. */
static enum tk_rc
hash_existing(struct tk_restore_worker *worker, int fd, uint64_t size_bytes, struct tk_digest *digest, bool *whole, struct tk_err *err)
{
	size_t got = 0;
	enum tk_rc rc;

	if (size_bytes <= TK_RESTORE_READ_BYTES) {
		if ((rc = tk_restore_window(worker, TK_RESTORE_READ_BYTES, err)) ||
		    (rc = tk_pread_full(fd, worker->window, (size_t)size_bytes, 0, &got, "existing file", err)))
			return rc;
		*whole = got == size_bytes;
		return tk_content_hash_all(worker->hash, worker->window, got, digest, err);
	}
	tk_content_hash_begin(worker->hash);
	rc = tk_restore_read_basis(worker, fd, 0, size_bytes, NULL, whole, err);
	return rc ? rc : tk_content_hash_finish(worker->hash, digest, err);
}

enum tk_rc
tk_restore_compare(struct tk_restore_worker *worker, int fd, const struct tk_entry *entry, bool *same, struct tk_err *err)
{
	struct tk_digest digest;
	bool whole = false;
	enum tk_rc rc = hash_existing(worker, fd, entry->meta.size_bytes, &digest, &whole, err);

	*same = !rc && whole && memcmp(&digest, &entry->content, sizeof(digest)) == 0;
	return rc;
}
