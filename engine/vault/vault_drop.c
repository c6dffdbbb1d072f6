#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/fault.h"
#include "engine/base/hex.h"
#include "engine/vault/bitmap.h"
#include "engine/vault/vault_walk.h"

#define BITS_BYTES_MAX (TK_PACK_BLOBS_MAX / 8 + 1)

static void
dropped_path(const struct tk_pack_name *name, char path[TK_VFILE_PATH_MAX])
{
	char hex[TK_VAULT_HEX_NAME];

	tk_hex_encode(name->b, sizeof(name->b), hex);
	(void)snprintf(path, TK_VFILE_PATH_MAX, "dropped/%s", hex);
}

enum tk_rc
tk_vdropped_get(struct tk_vault *vault, const struct tk_pack_name *name, struct tk_buf *bits, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	struct tk_err why;
	enum tk_rc rc;

	dropped_path(name, path);
	rc = tk_vfile_get(vault->root_fd, path, BITS_BYTES_MAX, bits, &why);
	if (rc == TK_ENOENT)
		return TK_OK;
	if (rc && err)
		*err = why;
	return rc;
}

enum tk_rc
tk_vdropped_forget(struct tk_vault *vault, const struct tk_pack_name *name, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bits = {0};
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc = tk_vdropped_get(vault, name, &bits, err);

	if (rc || bits.len_bytes == 0)
		return rc;
	dropped_path(name, path);
	return tk_vfile_remove(vault->root_fd, path, err);
}

/* Alone with the references, and sure that every receipt on disk has its blobs marked. TK_OK: `refs` is held. */
static enum tk_rc
take_refs(struct tk_vault *vault, struct tk_err *err)
{
	enum tk_rc rc = tk_vdomain_settle_all(vault, err);

	if (rc)
		return rc;
	(void)pthread_rwlock_wrlock(&vault->refs);
	if (__atomic_load_n(&vault->unsettled, __ATOMIC_ACQUIRE) == 0)
		return TK_OK;
	(void)pthread_rwlock_unlock(&vault->refs);
	return tk_err_set(err, TK_ECONFLICT, "a publish failed halfway just now: it must be settled first");
}

static int
compare_blobs(const void *a, const void *b)
{
	const struct tk_vault_blob *x = a, *y = b;
	int order = memcmp(x->pack.b, y->pack.b, sizeof(x->pack.b));

	return order ? order : (x->blob > y->blob) - (x->blob < y->blob);
}

static enum tk_rc
sort_blobs(const struct tk_vault_blob *blobs, size_t count, struct tk_vault_blob **out, struct tk_err *err)
{
	*out = malloc(count * sizeof(**out) + 1);
	if (!*out)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu blobs", count);
	if (count > 0) {
		memcpy(*out, blobs, count * sizeof(**out));
		qsort(*out, count, sizeof(**out), compare_blobs);
	}
	return TK_OK;
}

/* How many of the sorted blobs, from the first, are of one pack. */
static size_t
run_length(const struct tk_vault_blob *blobs, size_t count)
{
	size_t n = 1;

	while (n < count && memcmp(blobs[n].pack.b, blobs[0].pack.b, sizeof(blobs[0].pack.b)) == 0)
		n++;
	return n;
}

static enum tk_rc
condemn_blob(struct tk_pack_marks *marks, const struct tk_pack_row *row, uint32_t blob, struct tk_err *err)
{
	if (blob >= row->blobs)
		return tk_err_set(err, TK_ENOENT, "the pack has no blob %u", blob);
	if (tk_vwalk_is_live(marks, blob))
		return tk_err_set(err, TK_ECONFLICT, "a point needs blob %u of the pack", blob);
	return tk_bit_set(&marks->condemned, blob, err);
}

static enum tk_rc
condemn_run(struct tk_vault *vault, const struct tk_vault_blob *blobs, size_t count, struct tk_err *err)
{
	TK_AUTO(tk_pack_marks_release) struct tk_pack_marks marks = {0};
	struct tk_pack_row row;
	enum tk_rc rc = tk_vindex_pack(vault->index, &blobs[0].pack, &row, &marks, err);

	for (size_t i = 0; i < count && !rc; i++)
		rc = condemn_blob(&marks, &row, blobs[i].blob, err);
	return rc ? rc : tk_vindex_put_marks(vault->index, &blobs[0].pack, &marks, err);
}

static enum tk_rc
condemn_sorted(struct tk_vault *vault, const struct tk_vault_blob *sorted, size_t count, struct tk_err *err)
{
	TK_AUTO(tk_vindex_txn_cleanup) struct tk_vindex_txn txn = {0};
	enum tk_rc rc = tk_vindex_begin(vault->index, &txn, err);

	for (size_t at = 0, n; at < count && !rc; at += n) {
		n = run_length(sorted + at, count - at);
		rc = condemn_run(vault, sorted + at, n, err);
	}
	return rc ? rc : tk_vindex_commit(&txn, err);
}

enum tk_rc
tk_vault_condemn(struct tk_vault *vault, const struct tk_vault_blob *blobs, size_t count, struct tk_err *err)
{
	struct tk_vault_blob *sorted = NULL;
	enum tk_rc rc = tk_vault_writable(vault, err);

	if (!rc)
		rc = sort_blobs(blobs, count, &sorted, err);
	if (rc)
		return rc;
	rc = take_refs(vault, err);
	if (!rc) {
		rc = condemn_sorted(vault, sorted, count, err);
		(void)pthread_rwlock_unlock(&vault->refs);
	}
	free(sorted);
	return rc;
}

enum tk_rc
tk_vault_next_condemned(struct tk_vault *vault, struct tk_pack_name *pack, struct tk_vault_blob **blobs, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_pack_marks_release) struct tk_pack_marks marks = {0};
	struct tk_pack_row row;
	struct tk_err why;
	enum tk_rc rc = tk_vault_storable(vault, err);

	*blobs = NULL;
	*count = 0;
	if (rc)
		return rc;
	rc = tk_vindex_next_condemned(vault->index, pack, &row, &marks, &why);
	if (rc == TK_ENOENT)
		return TK_OK;
	if (rc && err)
		*err = why;
	if (rc)
		return rc;
	*blobs = malloc((size_t)tk_bit_count(&marks.condemned) * sizeof(**blobs));
	if (!*blobs)
		return tk_err_set(err, TK_ENOMEM, "no memory for a list of blobs");
	*pack = row.name;
	for (uint32_t i = 0; i < row.blobs; i++)
		if (tk_bit_get(&marks.condemned, i))
			(*blobs)[(*count)++] = (struct tk_vault_blob){row.name, i};
	return TK_OK;
}

/* Moves the blobs that are still condemned into *bits, and takes their marks away: a blob that is gone is neither traced nor condemned. */
static enum tk_rc
choose_drops(struct tk_pack_marks *marks, const struct tk_vault_blob *blobs, size_t count, struct tk_buf *bits, size_t *chosen, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	*chosen = 0;
	for (size_t i = 0; i < count && !rc; i++) {
		if (!tk_bit_get(&marks->condemned, blobs[i].blob))
			continue;
		rc = tk_bit_set(bits, blobs[i].blob, err);
		tk_bit_clear(&marks->condemned, blobs[i].blob);
		tk_bit_clear(&marks->traced, blobs[i].blob);
		(*chosen)++;
	}
	return rc;
}

/* All that was ever dropped from the pack is given back again: harmless, and it completes what a crash cut short. */
static enum tk_rc
free_space(struct tk_vault *vault, const struct tk_pack_index *index, const struct tk_buf *bits, struct tk_err *err)
{
	struct tk_byte_range *ranges;
	size_t count = 0;
	enum tk_rc rc;

	if (tk_bit_count(bits) >= index->blob_count)
		return vault->driver->ops->remove(vault->driver, &index->ident.name, err);
	ranges = malloc(index->blob_count * sizeof(*ranges));
	if (!ranges)
		return tk_err_set(err, TK_ENOMEM, "no memory for ranges");
	for (uint32_t i = 0; i < index->blob_count; i++)
		if (tk_bit_get(bits, i))
			ranges[count++] = (struct tk_byte_range){index->blobs[i].offset_bytes, index->blobs[i].sealed_bytes};
	rc = vault->driver->ops->drop(vault->driver, &index->ident.name, ranges, count, err);
	free(ranges);
	return rc;
}

/* Bitmap, then row, then space: whoever finds a blob's bytes gone finds it named in dropped/, whenever the power went. */
static enum tk_rc
drop_run(struct tk_vault *vault, const struct tk_vault_blob *blobs, size_t count, size_t *chosen, struct tk_err *err)
{
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = NULL;
	TK_AUTO(tk_pack_marks_release) struct tk_pack_marks marks = {0};
	TK_AUTO(tk_vindex_txn_cleanup) struct tk_vindex_txn txn = {0};
	TK_AUTO(tk_buf_release) struct tk_buf bits = {0};
	char path[TK_VFILE_PATH_MAX];
	struct tk_pack_row row;
	enum tk_rc rc = tk_vindex_pack(vault->index, &blobs[0].pack, &row, &marks, err);

	if (!rc)
		rc = tk_vdropped_get(vault, &blobs[0].pack, &bits, err);
	if (!rc)
		rc = choose_drops(&marks, blobs, count, &bits, chosen, err);
	if (rc || *chosen == 0)
		return rc;
	rc = tk_vpack_index(vault, &blobs[0].pack, &index, err);
	if (rc)
		return rc;
	dropped_path(&blobs[0].pack, path);
	rc = tk_vfile_put(vault->root_fd, path, bits.data, bits.len_bytes, "dropped", err);
	row.state = tk_bit_count(&bits) >= row.blobs ? TK_PACK_GONE : TK_PACK_HOLED;
	if (!rc)
		rc = tk_vindex_begin(vault->index, &txn, err);
	if (!rc)
		rc = tk_vindex_put_pack(vault->index, &row, err);
	if (!rc)
		rc = tk_vindex_put_marks(vault->index, &row.name, &marks, err);
	if (!rc)
		rc = tk_vindex_commit(&txn, err);
	if (!rc)
		rc = tk_fault_point("drop.space", err);
	return rc ? rc : free_space(vault, index, &bits, err);
}

static enum tk_rc
drop_sorted(struct tk_vault *vault, const struct tk_vault_blob *sorted, size_t count, size_t *dropped, struct tk_err *err)
{
	size_t chosen;
	enum tk_rc rc = TK_OK;

	for (size_t at = 0, n; at < count && !rc; at += n) {
		chosen = 0;
		n = run_length(sorted + at, count - at);
		rc = drop_run(vault, sorted + at, n, &chosen, err);
		*dropped += chosen;
	}
	return rc;
}

enum tk_rc
tk_vault_drop(struct tk_vault *vault, const struct tk_vault_blob *blobs, size_t count, size_t *dropped, struct tk_err *err)
{
	struct tk_vault_blob *sorted = NULL;
	size_t total = 0;
	enum tk_rc rc = tk_vault_writable(vault, err);

	if (!rc)
		rc = sort_blobs(blobs, count, &sorted, err);
	if (rc)
		return rc;
	(void)pthread_mutex_lock(&vault->flush_lock);
	rc = take_refs(vault, err);
	if (!rc) {
		rc = drop_sorted(vault, sorted, count, &total, err);
		if (!rc)
			rc = vault->driver->ops->sync(vault->driver, err);
		(void)pthread_rwlock_unlock(&vault->refs);
	}
	(void)pthread_mutex_unlock(&vault->flush_lock);
	free(sorted);
	if (dropped)
		*dropped = total;
	return rc;
}
