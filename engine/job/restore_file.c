#include <stdlib.h>
#include <string.h>

#include "engine/fsio/openat.h"
#include "engine/job/restore_core.h"

/* Shorter pieces are gathered into one write; longer ones go from the blob into the file. */
#define GATHER_BYTES (256u << 10)
#define DIRECT_BYTES (64u << 10)
/* What the cache surely holds for each worker, in blobs. */
#define NEAR_BLOBS 8u

/* ---- in the order of the file ---- */

struct writing {
	struct tk_restore_worker *worker;
	int fd;
	uint64_t at_bytes;             /* where the window's content begins in the file */
	size_t fill_bytes;
};

static enum tk_rc
flush_window(struct writing *writing, struct tk_err *err)
{
	enum tk_rc rc = tk_pwrite_full(writing->fd, writing->worker->window, writing->fill_bytes, writing->at_bytes, "restored file", err);

	writing->at_bytes += writing->fill_bytes;
	writing->fill_bytes = 0;
	return rc;
}

/* ---- when others write the same file ----
 *
 * Most file systems let one write of a file in at a time. Whoever would have to wait opens and hashes what comes next instead, and writes both when it is his turn. */

static void
drop_late(struct tk_restore_worker *worker)
{
	struct tk_fetch *fetch = worker->restore->opts->fetch;

	for (unsigned i = 0; i < worker->late_count; i++)
		(worker->late[i].spent ? tk_fetch_release_spent : tk_fetch_release)(fetch, worker->late[i].blob);
	worker->late_count = 0;
}

/* wait: they are in the file on return; else as many of them wait as may. */
static enum tk_rc
write_late(const struct writing *writing, bool wait, struct tk_err *err)
{
	struct tk_restore_worker *worker = writing->worker;
	enum tk_rc rc = TK_OK;

	if (worker->late_count == 0)
		return TK_OK;
	if (pthread_mutex_trylock(worker->turn) != 0) {
		if (!wait && worker->late_count < TK_LATE_WRITES)
			return TK_OK;
		pthread_mutex_lock(worker->turn);
	}
	for (unsigned i = 0; i < worker->late_count && !rc; i++)
		rc = tk_pwrite_full(writing->fd, worker->late[i].data, worker->late[i].len_bytes, worker->late[i].at_bytes, "restored file", err);
	pthread_mutex_unlock(worker->turn);
	drop_late(worker);
	return rc;
}

/* The bytes are of the blob that the worker holds. */
static enum tk_rc
write_direct(const struct writing *writing, const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	struct tk_restore_worker *worker = writing->worker;

	if (!worker->turn)
		return tk_pwrite_full(writing->fd, data, len_bytes, writing->at_bytes, "restored file", err);
	tk_fetch_hold(worker->restore->opts->fetch, worker->held);
	worker->late[worker->late_count++] = (struct tk_late_write){worker->held, worker->held_to_end, data, len_bytes, writing->at_bytes};
	return write_late(writing, false, err);
}

static enum tk_rc
write_piece(struct writing *writing, const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc;

	if (writing->fill_bytes > 0 && (len_bytes >= DIRECT_BYTES || writing->fill_bytes + len_bytes > GATHER_BYTES) &&
	    (rc = flush_window(writing, err)))
		return rc;
	if (len_bytes >= DIRECT_BYTES) {
		rc = write_direct(writing, data, len_bytes, err);
		writing->at_bytes += len_bytes;
		return rc;
	}
	memcpy(writing->worker->window + writing->fill_bytes, data, len_bytes);
	writing->fill_bytes += len_bytes;
	return TK_OK;
}

static enum tk_rc
skip_hole(struct writing *writing, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = flush_window(writing, err);

	writing->at_bytes += len_bytes;
	return rc ? rc : tk_content_hash_zeros(writing->worker->hash, len_bytes, err);
}

static enum tk_rc
write_in_order(struct tk_restore_worker *worker, const struct tk_extent *extents, size_t count, int fd, uint64_t offset_bytes, struct tk_err *err)
{
	struct writing writing = {.worker = worker, .fd = fd, .at_bytes = offset_bytes};
	struct tk_reach reach;
	enum tk_rc rc = tk_restore_window(worker, GATHER_BYTES, err);

	tk_reach_begin(&reach, worker, extents, sizeof(*extents), count);
	for (size_t i = 0; i < count && !rc; i++) {
		const uint8_t *data = NULL;
		size_t len = extents[i].length_bytes;

		tk_reach_at(&reach, i);
		if (extents[i].ref.pack == TK_PACK_NONE) {
			rc = skip_hole(&writing, len, err);
		} else if (!(rc = tk_restore_extent(worker, &extents[i], &data, err)) && !(rc = tk_content_hash_feed(worker->hash, data, len, err))) {
			rc = write_piece(&writing, data, len, err);
		}
	}
	tk_reach_end(&reach);
	if (!rc && !(rc = flush_window(&writing, err)))
		rc = write_late(&writing, true, err);
	drop_late(worker);
	return rc;
}

/* ---- in the order of blobs ---- */

/* Would the order of the file open blobs again that had to leave the cache? Old versions of a file are put together from many blobs, here a slice and there one. */
static bool
is_scattered(const struct tk_extent *extents, size_t count, const struct tk_piece *sorted, size_t used)
{
	struct tk_blob_ref near[NEAR_BLOBS];
	size_t opened = 0, distinct = 0;

	for (size_t i = 0; i < count; i++) {
		size_t k = 0, have = opened < NEAR_BLOBS ? opened : NEAR_BLOBS;

		if (extents[i].ref.pack == TK_PACK_NONE)
			continue;
		while (k < have && (near[k].pack != extents[i].ref.pack || near[k].blob != extents[i].ref.blob))
			k++;
		if (k == have)
			near[opened++ % NEAR_BLOBS] = extents[i].ref;
	}
	for (size_t i = 0; i < used; i++)
		distinct += i == 0 || tk_piece_by_blob(&sorted[i - 1], &sorted[i]) != 0;
	return opened > distinct + distinct / 2 + NEAR_BLOBS;
}

/* Each blob is opened once; what was written is then read back for the digest. */
static enum tk_rc
write_by_blob(struct tk_restore_worker *worker, const struct tk_piece *pieces, size_t count, uint64_t len_bytes, const struct tk_target_file *file,
	      uint64_t offset_bytes, struct tk_err *err)
{
	struct tk_reach reach;
	bool whole = false;
	enum tk_rc rc = TK_OK;

	tk_reach_begin(&reach, worker, &pieces->extent, sizeof(*pieces), count);
	for (size_t i = 0; i < count && !rc; i++) {
		const uint8_t *data;

		tk_reach_at(&reach, i);
		if (!(rc = tk_restore_extent(worker, &pieces[i].extent, &data, err)))
			rc = tk_pwrite_full(tk_target_file_fd(file), data, pieces[i].extent.length_bytes, offset_bytes + pieces[i].at, "restored file", err);
	}
	tk_reach_end(&reach);
	if (!rc)
		rc = tk_restore_read_basis(worker, tk_target_file_fd(file), offset_bytes, len_bytes, NULL, &whole, err);
	return !rc && !whole ? tk_err_set(err, TK_EIO, "the restored file was cut") : rc;
}

enum tk_rc
tk_restore_write_extents(struct tk_restore_worker *worker, const struct tk_extent *extents, size_t count, uint64_t len_bytes,
			 const struct tk_target_file *file, uint64_t offset_bytes, struct tk_err *err)
{
	struct tk_piece *pieces = malloc((count + 1) * sizeof(*pieces));
	size_t used = 0;
	uint64_t at = 0;
	enum tk_rc rc = TK_OK;

	if (!pieces)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu extents", count);
	for (size_t i = 0; i < count; i++) {
		if (extents[i].ref.pack != TK_PACK_NONE)
			pieces[used++] = (struct tk_piece){extents[i], at};
		at += extents[i].length_bytes;
	}
	if (at != len_bytes)
		rc = tk_err_set(err, TK_ECORRUPT, "the extents are %s than the file", at > len_bytes ? "longer" : "shorter");
	if (!rc && used > NEAR_BLOBS) {
		qsort(pieces, used, sizeof(*pieces), tk_piece_by_blob);
		if (is_scattered(extents, count, pieces, used)) {
			rc = write_by_blob(worker, pieces, used, len_bytes, file, offset_bytes, err);
			free(pieces);
			return rc;
		}
	}
	free(pieces);
	return rc ? rc : write_in_order(worker, extents, count, tk_target_file_fd(file), offset_bytes, err);
}

/* ---- files without segments ---- */

static enum tk_rc
check_digest(const struct tk_entry *entry, const struct tk_digest *digest, struct tk_err *err)
{
	return memcmp(digest, &entry->content, sizeof(*digest)) == 0 ? TK_OK : tk_restore_wrong_content(err);
}

/* What most files are: one piece of one blob. */
static enum tk_rc
write_single(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_target_file *file, struct tk_err *err)
{
	size_t len = (size_t)entry->meta.size_bytes;
	const uint8_t *data = NULL;
	struct tk_digest digest;
	enum tk_rc rc;

	if (len > 0 && (rc = tk_restore_extent(worker, &entry->extents[0], &data, err)))
		return rc;
	if ((rc = tk_content_hash_all(worker->hash, data, len, &digest, err)) || (rc = check_digest(entry, &digest, err)))
		return rc;
	return len > 0 ? tk_pwrite_full(tk_target_file_fd(file), data, len, 0, "restored file", err) : TK_OK;
}

bool
tk_restore_is_single(const struct tk_entry *entry)
{
	if (entry->kind == TK_CONTENT_SEGMENTS)
		return false;
	if (entry->extent_count != 1)
		return entry->extent_count == 0 && entry->meta.size_bytes == 0;
	return entry->extents[0].ref.pack != TK_PACK_NONE && entry->extents[0].length_bytes == entry->meta.size_bytes;
}

static enum tk_rc
write_inline(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_target_file *file, struct tk_err *err)
{
	struct tk_digest digest;
	enum tk_rc rc;

	if (entry->meta.size_bytes > worker->restore->segment_bytes)
		return tk_err_set(err, TK_ECORRUPT, "a file over one segment without a segment tree");
	if (tk_restore_is_single(entry))
		return write_single(worker, entry, file, err);
	tk_content_hash_begin(worker->hash);
	if ((rc = tk_target_file_set_size(file, entry->meta.size_bytes, err)) ||
	    (rc = tk_restore_write_extents(worker, entry->extents, entry->extent_count, entry->meta.size_bytes, file, 0, err)) ||
	    (rc = tk_content_hash_finish(worker->hash, &digest, err)))
		return rc;
	return check_digest(entry, &digest, err);
}

/* *copied: the basis was the very content. */
static enum tk_rc
copy_inline(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_target_file *file, int basis, bool *copied, struct tk_err *err)
{
	uint64_t size = entry->meta.size_bytes;
	struct tk_digest digest;
	bool whole = false;
	enum tk_rc rc;

	tk_content_hash_begin(worker->hash);
	if ((rc = tk_target_file_set_size(file, size, err)) || (rc = tk_restore_read_basis(worker, basis, 0, size, file, &whole, err)) ||
	    (rc = tk_content_hash_finish(worker->hash, &digest, err)))
		return rc;
	*copied = whole && memcmp(&digest, &entry->content, sizeof(digest)) == 0;
	return *copied ? TK_OK : tk_target_file_clear(file, 0, size, err);
}

enum tk_rc
tk_restore_into_file(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_target_file *file, int basis, uint64_t *reused_bytes,
		     struct tk_err *err)
{
	bool copied = false;
	enum tk_rc rc;

	*reused_bytes = 0;
	if (entry->kind == TK_CONTENT_SEGMENTS)
		return tk_restore_segments(worker, entry, file, basis, reused_bytes, err);
	if (basis >= 0 && (rc = copy_inline(worker, entry, file, basis, &copied, err)))
		return rc;
	if (copied)
		*reused_bytes = entry->meta.size_bytes;
	return copied ? TK_OK : write_inline(worker, entry, file, err);
}
