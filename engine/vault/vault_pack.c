#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/fault.h"
#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "engine/vault/bitmap.h"
#include "engine/vault/vault_core.h"

/* Kept free by packs, so that promises and the index can still be written on a full disk. */
#define RESERVE_MAX_BYTES (64u << 20)
#define RESERVE_SHARE 64
#define COPY_BYTES (1u << 20)

struct tk_vault_pack {
	struct tk_vault *vault;                /* borrowed */
	struct tk_pack_name name;
	uint64_t len_bytes;
	uint64_t written_bytes;
	uint64_t held_bytes;                   /* of an attempt before: at the file's beginning */
	bool refused;                          /* a write or check of it failed: no part of it is kept */
	int tmp_fd;                            /* tmp/ */
	int fd;
	char tmp_name[TK_VFILE_TMP_MAX];       /* empty: nothing to remove */
};

/* Where a pack's bytes come from: the driver, or a file that is not stored yet. */
struct pack_bytes {
	struct tk_driver *driver;              /* NULL: fd */
	const struct tk_pack_name *name;
	int fd;
};

static enum tk_rc
read_exactly(const struct pack_bytes *from, uint64_t offset_bytes, void *dst, size_t len_bytes, struct tk_err *err)
{
	size_t got = 0;
	enum tk_rc rc;

	if (from->driver)
		rc = from->driver->ops->get(from->driver, from->name, offset_bytes, dst, len_bytes, &got, err);
	else
		rc = tk_pread_full(from->fd, dst, len_bytes, offset_bytes, &got, "pending pack", err);
	if (!rc && got != len_bytes)
		rc = tk_err_set(err, TK_ECORRUPT, "pack is shorter than it should be");
	return rc;
}

static enum tk_rc
read_index(const struct pack_bytes *from, uint64_t pack_bytes, struct tk_pack_index **out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf tail = {0};
	uint8_t header[TK_PACK_HEADER_BYTES], trailer[TK_PACK_TRAILER_BYTES];
	uint32_t footer_bytes;
	size_t tail_bytes;
	enum tk_rc rc;

	if (pack_bytes < TK_PACK_HEADER_BYTES + TK_PACK_TRAILER_BYTES || pack_bytes > TK_PACK_BYTES_MAX)
		return tk_err_set(err, TK_ECORRUPT, "%llu bytes are no pack", (unsigned long long)pack_bytes);
	rc = read_exactly(from, 0, header, sizeof(header), err);
	if (!rc)
		rc = read_exactly(from, pack_bytes - sizeof(trailer), trailer, sizeof(trailer), err);
	if (!rc)
		rc = tk_pack_footer_bytes(trailer, pack_bytes, &footer_bytes, err);
	if (rc)
		return rc;
	tail_bytes = (size_t)footer_bytes + sizeof(trailer);
	if (tail_bytes > pack_bytes)
		return tk_err_set(err, TK_ECORRUPT, "the footer is longer than the pack");
	rc = tk_buf_reserve(&tail, tail_bytes, err);
	if (!rc)
		rc = read_exactly(from, pack_bytes - tail_bytes, tail.data, tail_bytes, err);
	if (!rc)
		rc = tk_pack_index_read(NULL, header, tail.data, tail_bytes, pack_bytes, out, err);
	if (!rc && memcmp((*out)->head.name.b, from->name->b, sizeof(from->name->b)) != 0) {
		tk_pack_index_cleanup(out);
		rc = tk_err_set(err, TK_ECORRUPT, "the pack's header has another name");
	}
	return rc;
}

/* Appends the numbers of damaged blobs to *bad; with a NULL `bad` the first one is an error. */
static enum tk_rc
check_blobs(const struct pack_bytes *from, const struct tk_pack_index *index, const struct tk_buf *dropped, struct tk_buf *bad, struct tk_err *err)
{
	TK_AUTO(tk_hash_ctx_cleanup) struct tk_hash_ctx *hash = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0};
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc = tk_hash_ctx_new(index->head.suite, &hash, err);

	for (uint32_t i = 0; i < index->blob_count && !rc; i++) {
		const struct tk_blob_info *blob = &index->blobs[i];

		if (tk_bit_get(dropped, i))
			continue;
		tk_buf_clear(&sealed);
		rc = tk_buf_reserve(&sealed, blob->sealed_bytes, err);
		if (!rc)
			rc = read_exactly(from, blob->offset_bytes, sealed.data, blob->sealed_bytes, err);
		if (!rc)
			rc = tk_hash_whole(hash, sealed.data, blob->sealed_bytes, digest, err);
		if (rc || memcmp(digest, blob->digest.b, sizeof(digest)) == 0)
			continue;
		rc = bad ? tk_buf_put(bad, &i, sizeof(i), err) : tk_err_set(err, TK_ECORRUPT, "blob %u of the pack is damaged", i);
	}
	return rc;
}

enum tk_rc
tk_vpack_index(struct tk_vault *vault, const struct tk_pack_name *name, struct tk_pack_index **out, struct tk_err *err)
{
	const struct pack_bytes from = {.driver = vault->driver, .name = name, .fd = -1};
	uint64_t bytes;
	enum tk_rc rc = vault->driver->ops->size(vault->driver, name, &bytes, err);

	return rc ? rc : read_index(&from, bytes, out, err);
}

void
tk_vpack_row(const struct tk_pack_index *index, struct tk_pack_row *row)
{
	row->name = index->ident.name;
	row->domain = index->head.domain;
	row->bytes = index->ident.len_bytes;
	row->blobs = index->blob_count;
	row->footer = index->ident.footer;
	row->state = TK_PACK_WHOLE;
}

static enum tk_rc
look_at_room(struct tk_vault *vault, uint64_t len_bytes, struct tk_err *err)
{
	uint64_t free_bytes, total_bytes, reserve;
	enum tk_rc rc = vault->driver->ops->room(vault->driver, &free_bytes, &total_bytes, err);

	if (rc)
		return rc;
	reserve = total_bytes / RESERVE_SHARE < RESERVE_MAX_BYTES ? total_bytes / RESERVE_SHARE : RESERVE_MAX_BYTES;
	if (free_bytes < reserve || free_bytes - reserve < len_bytes)
		return tk_err_set(err, TK_ENOSPC, "vault %s: no room for a pack of %llu bytes", vault->path, (unsigned long long)len_bytes);
	return TK_OK;
}

/* Parts of other packs are given up for a whole one. */
static enum tk_rc
check_room(const struct tk_vault_pack *pack, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = look_at_room(pack->vault, len_bytes, err);

	if (rc != TK_ENOSPC)
		return rc;
	tk_vparts_drop(pack->vault, pack->tmp_fd);
	return look_at_room(pack->vault, len_bytes, err);
}

/* Room is taken at once, so that a full disk is found before the bytes travel. Where the file system cannot, writing finds it. */
static enum tk_rc
open_pending(struct tk_vault_pack *pack, bool go_on, struct tk_err *err)
{
	enum tk_rc rc = tk_vfile_tmp_name(pack->tmp_name, err);

	if (rc)
		return rc;
	if (go_on)
		pack->held_bytes = tk_vparts_take(pack->tmp_fd, &pack->name, pack->tmp_name, pack->len_bytes, &pack->fd);
	if (pack->fd < 0)
		pack->fd = openat(pack->tmp_fd, pack->tmp_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (pack->fd < 0) {
		rc = tk_err_errno(err, TK_EIO, "making tmp/%s", pack->tmp_name);
		pack->tmp_name[0] = '\0';
		return rc;
	}
	if (fallocate(pack->fd, 0, 0, (off_t)pack->len_bytes) < 0 && (errno == ENOSPC || errno == EDQUOT))
		return tk_err_errno(err, TK_ENOSPC, "vault %s", pack->vault->path);
	return TK_OK;
}

static enum tk_rc
pack_new(struct tk_vault *vault, const struct tk_pack_name *name, uint64_t len_bytes, struct tk_vault_pack **out, struct tk_err *err)
{
	TK_AUTO(tk_vault_pack_cleanup) struct tk_vault_pack *pack = NULL;
	enum tk_rc rc = tk_vault_storable(vault, err);

	if (rc)
		return rc;
	if (len_bytes < TK_PACK_HEADER_BYTES + TK_PACK_TRAILER_BYTES || len_bytes > TK_PACK_BYTES_MAX)
		return tk_err_set(err, TK_EINVAL, "%llu bytes are no pack", (unsigned long long)len_bytes);
	pack = calloc(1, sizeof(*pack));
	if (!pack)
		return tk_err_set(err, TK_ENOMEM, "no memory for a pack");
	pack->vault = vault;
	pack->name = *name;
	pack->len_bytes = len_bytes;
	pack->fd = -1;
	pack->tmp_fd = tk_open_quiet(vault->root_fd, "tmp", true);
	if (pack->tmp_fd < 0)
		return tk_err_errno(err, TK_EIO, "tmp");
	*out = pack;
	pack = NULL;
	return TK_OK;
}

enum tk_rc
tk_vault_pack_begin(struct tk_vault *vault, const struct tk_pack_name *name, uint64_t len_bytes, struct tk_vault_pack **out, struct tk_err *err)
{
	TK_AUTO(tk_vault_pack_cleanup) struct tk_vault_pack *pack = NULL;
	enum tk_rc rc;

	if ((rc = pack_new(vault, name, len_bytes, &pack, err)) || (rc = check_room(pack, len_bytes, err)) || (rc = open_pending(pack, true, err)))
		return rc;
	*out = pack;
	pack = NULL;
	return TK_OK;
}

enum tk_rc
tk_vault_pack_write(struct tk_vault_pack *pack, const void *data, size_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc;

	if (len_bytes > pack->len_bytes - pack->written_bytes)
		return tk_err_set(err, TK_EINVAL, "more bytes than the pack was announced with");
	rc = tk_fault_point("pack.write", err);
	if (!rc)
		rc = tk_pwrite_full(pack->fd, data, len_bytes, pack->written_bytes, "pending pack", err);
	if (!rc)
		pack->written_bytes += len_bytes;
	pack->refused |= rc != TK_OK;
	return rc;
}

uint64_t
tk_vault_pack_held(const struct tk_vault_pack *pack)
{
	return pack->held_bytes;
}

enum tk_rc
tk_vault_pack_skip(struct tk_vault_pack *pack, uint64_t to_bytes, uint64_t *left_bytes, struct tk_err *err)
{
	if (to_bytes < pack->written_bytes || to_bytes > pack->held_bytes)
		return tk_err_set(err, TK_EINVAL, "going on from byte %llu, where %llu are held", (unsigned long long)to_bytes,
				  (unsigned long long)pack->held_bytes);
	pack->written_bytes = to_bytes;
	*left_bytes = pack->len_bytes - to_bytes;
	return TK_OK;
}

static enum tk_rc
copy_by_hand(struct tk_vault_pack *pack, int fd, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf piece = {0};
	uint64_t left;
	size_t want, got;
	enum tk_rc rc = tk_buf_reserve(&piece, COPY_BYTES, err);

	while (!rc && (left = pack->len_bytes - pack->written_bytes) > 0) {
		want = left < COPY_BYTES ? (size_t)left : COPY_BYTES;
		rc = tk_pread_full(fd, piece.data, want, pack->written_bytes, &got, "pack to store", err);
		if (!rc && got != want)
			rc = tk_err_set(err, TK_EINVAL, "the file is shorter than the pack was announced with");
		if (!rc)
			rc = tk_vault_pack_write(pack, piece.data, got, err);
	}
	return rc;
}

/* The kernel copies, or shares the blocks, without a detour through this process. What it will not do is done by hand. */
static enum tk_rc
copy_file(struct tk_vault_pack *pack, int fd, struct tk_err *err)
{
	off_t from = 0, to = 0;
	ssize_t done = 1;

	while (pack->written_bytes < pack->len_bytes && done > 0) {
		done = copy_file_range(fd, &from, pack->fd, &to, (size_t)(pack->len_bytes - pack->written_bytes), 0);
		if (done > 0)
			pack->written_bytes += (uint64_t)done;
	}
	if (done < 0 && (errno == ENOSPC || errno == EDQUOT))
		return tk_err_errno(err, TK_ENOSPC, "vault %s", pack->vault->path);
	return copy_by_hand(pack, fd, err);
}

/* How many names the file has, when it is as long as the pack; 0: it is something else. */
static nlink_t
names_of(const struct tk_vault_pack *pack, int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == pack->len_bytes ? st.st_nlink : 0;
}

/*
 * A file of the same file system gets a second name, and its bytes are not written twice. Never a third: two vaults on one disk keep a copy each, so that a flipped
 * bit is not in both. *linked false: nothing was done.
 */
static enum tk_rc
link_file(struct tk_vault_pack *pack, int fd, bool *linked, struct tk_err *err)
{
	char path[sizeof("/proc/self/fd/") + 12];
	enum tk_rc rc;

	*linked = false;
	if (names_of(pack, fd) != 1)
		return TK_OK;
	if ((rc = tk_vfile_tmp_name(pack->tmp_name, err)))
		return rc;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	*linked = linkat(AT_FDCWD, path, pack->tmp_fd, pack->tmp_name, AT_SYMLINK_FOLLOW) == 0;
	if (*linked && names_of(pack, fd) != 2) {
		(void)unlinkat(pack->tmp_fd, pack->tmp_name, 0);
		*linked = false;
	}
	if (!*linked) {
		pack->tmp_name[0] = '\0';
		return TK_OK;
	}
	pack->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	pack->written_bytes = pack->len_bytes;
	return pack->fd < 0 ? tk_err_errno(err, TK_EIO, "pending pack") : TK_OK;
}

enum tk_rc
tk_vault_pack_take(struct tk_vault *vault, const struct tk_pack_name *name, int fd, uint64_t len_bytes, struct tk_vault_pack **out, struct tk_err *err)
{
	TK_AUTO(tk_vault_pack_cleanup) struct tk_vault_pack *pack = NULL;
	bool linked;
	enum tk_rc rc;

	if ((rc = pack_new(vault, name, len_bytes, &pack, err)) || (rc = link_file(pack, fd, &linked, err)) ||
	    (rc = check_room(pack, linked ? 0 : len_bytes, err)))
		return rc;
	if (!linked && ((rc = open_pending(pack, false, err)) || (rc = copy_file(pack, fd, err))))
		return rc;
	*out = pack;
	pack = NULL;
	return TK_OK;
}

/* Other bytes under this name? What the index or the stored footer says decides; a stored pack that is itself damaged may be replaced. */
static enum tk_rc
check_taken(struct tk_vault *vault, const struct tk_pack_index *fresh, struct tk_err *err)
{
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *stored = NULL;
	struct tk_pack_row row;
	enum tk_rc rc = tk_vindex_pack(vault->index, &fresh->ident.name, &row, NULL, err);

	if (!rc)
		return memcmp(row.footer.b, fresh->ident.footer.b, sizeof(row.footer.b)) == 0 ? TK_OK :
			tk_err_set(err, TK_ECONFLICT, "another pack is stored under this name");
	if (rc != TK_ENOENT)
		return rc;
	rc = tk_vpack_index(vault, &fresh->ident.name, &stored, err);
	if (rc == TK_ENOENT || rc == TK_ECORRUPT)
		return TK_OK;
	if (!rc && memcmp(stored->ident.footer.b, fresh->ident.footer.b, sizeof(row.footer.b)) != 0)
		rc = tk_err_set(err, TK_ECONFLICT, "another pack is stored under this name");
	return rc;
}

static enum tk_rc
add_pending(struct tk_vault *vault, const struct tk_pack_index *index, struct tk_err *err)
{
	size_t cap = vault->pending_cap ? vault->pending_cap * 2 : 16;
	struct tk_pack_row *grown;

	if (vault->pending_count == vault->pending_cap) {
		grown = realloc(vault->pending, cap * sizeof(*grown));
		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the list of new packs");
		vault->pending = grown;
		vault->pending_cap = cap;
	}
	tk_vpack_row(index, &vault->pending[vault->pending_count++]);
	return TK_OK;
}

/* The name is taken with its bytes already down: what is under pack_lock is a look-up, a rename and an entry in a list. */
static enum tk_rc
take_name(struct tk_vault_pack *pack, const struct tk_pack_index *index, struct tk_err *err)
{
	const struct tk_pending pending = {.dirfd = pack->tmp_fd, .name = pack->tmp_name, .fd = pack->fd, .len_bytes = pack->len_bytes};
	struct tk_vault *vault = pack->vault;
	enum tk_rc rc;

	/* put syncs again under the lock, which costs nothing once the bytes are down. */
	if (fdatasync(pack->fd) < 0)
		return tk_err_errno(err, TK_EIO, "fsync of a pack");
	(void)pthread_mutex_lock(&vault->pack_lock);
	rc = check_taken(vault, index, err);
	if (!rc)
		rc = add_pending(vault, index, err);
	if (!rc) {
		rc = vault->driver->ops->put(vault->driver, &pack->name, &pending, true, err);
		if (rc)
			vault->pending_count--;
	}
	(void)pthread_mutex_unlock(&vault->pack_lock);
	if (!rc)
		pack->tmp_name[0] = '\0';
	return rc;
}

enum tk_rc
tk_vault_pack_commit(struct tk_vault_pack *pack, struct tk_err *err)
{
	const struct pack_bytes from = {.driver = NULL, .name = &pack->name, .fd = pack->fd};
	const struct tk_buf none_dropped = {0};
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = NULL;
	char hex[TK_VAULT_HEX_NAME];
	enum tk_rc rc;

	tk_hex_encode(pack->name.b, sizeof(pack->name.b), hex);
	if (pack->written_bytes != pack->len_bytes)
		return tk_err_set(err, TK_EINVAL, "pack %s: %llu bytes of %llu came", hex, (unsigned long long)pack->written_bytes,
			(unsigned long long)pack->len_bytes);
	rc = read_index(&from, pack->len_bytes, &index, err);
	if (!rc)
		rc = check_blobs(&from, index, &none_dropped, NULL, err);
	if (!rc)
		rc = take_name(pack, index, err);
	pack->refused = rc != TK_OK;
	return rc ? tk_err_context(err, rc, "pack %s", hex) : TK_OK;
}

static bool
keep_part(const struct tk_vault_pack *pack)
{
	uint64_t there_bytes = pack->written_bytes > pack->held_bytes ? pack->written_bytes : pack->held_bytes;

	return !pack->refused && pack->fd >= 0 && there_bytes < pack->len_bytes &&
	       tk_vparts_keep(pack->vault, pack->tmp_fd, &pack->name, pack->tmp_name, pack->fd, there_bytes);
}

void
tk_vault_pack_cleanup(struct tk_vault_pack **slot)
{
	struct tk_vault_pack *pack = *slot;

	*slot = NULL;
	if (!pack)
		return;
	if (pack->tmp_fd >= 0 && pack->tmp_name[0] && !keep_part(pack))
		(void)unlinkat(pack->tmp_fd, pack->tmp_name, 0);
	tk_fd_cleanup(&pack->fd);
	tk_fd_cleanup(&pack->tmp_fd);
	free(pack);
}

/* A pack that had lost blobs is whole again: the bitmap goes before the row says so. */
static enum tk_rc
index_packs(struct tk_vault *vault, const struct tk_pack_row *rows, size_t count, struct tk_err *err)
{
	TK_AUTO(tk_vindex_txn_cleanup) struct tk_vindex_txn txn = {0};
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < count && !rc; i++)
		rc = tk_vdropped_forget(vault, &rows[i].name, err);
	if (!rc)
		rc = tk_fault_point("pack.index", err);
	if (!rc)
		rc = tk_vindex_begin(vault->index, &txn, err);
	for (size_t i = 0; i < count && !rc; i++)
		rc = tk_vindex_put_pack(vault->index, &rows[i], err);
	return rc ? rc : tk_vindex_commit(&txn, err);
}

/* A copy, so that commits go on while these rows are made durable; NULL when nothing waits or memory ran out (*count tells). */
static struct tk_pack_row *
copy_pending(struct tk_vault *vault, size_t *count)
{
	struct tk_pack_row *rows = NULL;

	(void)pthread_mutex_lock(&vault->pack_lock);
	*count = vault->pending_count;
	if (*count > 0)
		rows = malloc(*count * sizeof(*rows));
	if (rows)
		memcpy(rows, vault->pending, *count * sizeof(*rows));
	(void)pthread_mutex_unlock(&vault->pack_lock);
	return rows;
}

/* Only flushes take entries out, one at a time, from the front: what was copied is still there. */
static void
forget_pending(struct tk_vault *vault, size_t count)
{
	(void)pthread_mutex_lock(&vault->pack_lock);
	vault->pending_count -= count;
	memmove(vault->pending, vault->pending + count, vault->pending_count * sizeof(*vault->pending));
	(void)pthread_mutex_unlock(&vault->pack_lock);
}

static enum tk_rc
flush_pending(struct tk_vault *vault, struct tk_err *err)
{
	size_t count;
	struct tk_pack_row *rows = copy_pending(vault, &count);
	enum tk_rc rc;

	if (count == 0)
		return TK_OK;
	if (!rows)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu new packs", count);
	rc = vault->driver->ops->sync(vault->driver, err);
	if (!rc)
		rc = index_packs(vault, rows, count, err);
	if (!rc)
		forget_pending(vault, count);
	free(rows);
	return rc;
}

enum tk_rc
tk_vault_flush(struct tk_vault *vault, struct tk_err *err)
{
	enum tk_rc rc;

	if (!vault->index)
		return TK_OK;
	(void)pthread_mutex_lock(&vault->flush_lock);
	rc = flush_pending(vault, err);
	(void)pthread_mutex_unlock(&vault->flush_lock);
	return rc;
}

static enum tk_rc
have_by_file(struct tk_vault *vault, const struct tk_pack_name *name, bool *have, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf dropped = {0};
	uint64_t bytes;
	enum tk_rc rc = vault->driver->ops->size(vault->driver, name, &bytes, err);

	if (!rc)
		rc = tk_vdropped_get(vault, name, &dropped, err);
	*have = !rc && dropped.len_bytes == 0;
	return rc == TK_ENOENT ? TK_OK : rc;
}

enum tk_rc
tk_vault_have(struct tk_vault *vault, const struct tk_pack_name *names, size_t count, bool *have, struct tk_err *err)
{
	struct tk_pack_row row;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < count && !rc; i++) {
		if (!vault->index) {
			rc = have_by_file(vault, &names[i], &have[i], err);
			continue;
		}
		rc = tk_vindex_pack(vault->index, &names[i], &row, NULL, err);
		have[i] = !rc && row.state == TK_PACK_WHOLE;
		if (rc == TK_ENOENT)
			rc = TK_OK;
	}
	return rc;
}

enum tk_rc
tk_vault_pack_size(struct tk_vault *vault, const struct tk_pack_name *name, uint64_t *len_bytes, struct tk_err *err)
{
	return vault->driver->ops->size(vault->driver, name, len_bytes, err);
}

/* Zeros in the range what of the blob lies in it: how many bytes. */
static uint64_t
blank(const struct tk_blob_info *blob, uint64_t offset_bytes, uint32_t len_bytes, uint8_t *data)
{
	uint64_t from = blob->offset_bytes > offset_bytes ? blob->offset_bytes : offset_bytes;
	uint64_t to = blob->offset_bytes + blob->sealed_bytes;

	if (to > offset_bytes + len_bytes)
		to = offset_bytes + len_bytes;
	if (to <= from)
		return 0;
	memset(data + (from - offset_bytes), 0, (size_t)(to - from));
	return to - from;
}

/* Is something of the range there, beside blobs that were dropped? Asked after the bytes were read: the bitmap is durable before any space goes, so what it
 * does not name was whole when it was read. Readers take several blobs at one go, and a pack's end with what lies before it: what they want of that they find good or
 * not by its tag or digest. */
static enum tk_rc
check_present(struct tk_vault *vault, const struct tk_pack_name *name, uint64_t offset_bytes, uint32_t len_bytes, uint8_t *data, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf dropped = {0};
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = NULL;
	uint64_t left_bytes = len_bytes;
	enum tk_rc rc = tk_vdropped_get(vault, name, &dropped, err);

	if (rc || dropped.len_bytes == 0)
		return rc;
	rc = tk_vpack_index(vault, name, &index, err);
	if (rc == TK_ENOENT)
		return tk_err_set(err, TK_EMISSING, "the pack was dropped");
	for (uint32_t i = 0; !rc && i < index->blob_count; i++) {
		uint64_t blanked = tk_bit_get(&dropped, i) ? blank(&index->blobs[i], offset_bytes, len_bytes, data) : 0;

		left_bytes -= blanked;
		if (blanked > 0 && left_bytes == 0)
			rc = tk_err_set(err, TK_EMISSING, "blob %u of the pack was dropped", i);
	}
	return rc;
}

enum tk_rc
tk_vault_get_range(struct tk_vault *vault, const struct tk_pack_name *name, uint64_t offset_bytes, uint32_t len_bytes, struct tk_buf *out,
		   struct tk_err *err)
{
	size_t before = out->len_bytes, got = 0;
	enum tk_rc rc;

	if (offset_bytes > TK_PACK_BYTES_MAX)
		return tk_err_set(err, TK_EINVAL, "a range past any pack");
	rc = tk_buf_reserve(out, len_bytes, err);
	if (rc)
		return rc;
	rc = vault->driver->ops->get(vault->driver, name, offset_bytes, out->data + before, len_bytes, &got, err);
	if (!rc && got != len_bytes)
		rc = tk_err_set(err, TK_ECORRUPT, "the pack is shorter than the range asked for");
	if (!rc || rc == TK_ENOENT) {
		enum tk_rc absent = check_present(vault, name, offset_bytes, len_bytes, out->data + before, err);

		rc = absent ? absent : rc;
	}
	if (!rc)
		out->len_bytes = before + len_bytes;
	return rc;
}

enum tk_rc
tk_vault_check_pack(struct tk_vault *vault, const struct tk_pack_name *name, uint32_t **bad_blobs, size_t *bad_count, struct tk_err *err)
{
	const struct pack_bytes from = {.driver = vault->driver, .name = name, .fd = -1};
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf dropped = {0};
	TK_AUTO(tk_buf_release) struct tk_buf bad = {0};
	enum tk_rc rc = tk_vpack_index(vault, name, &index, err);

	*bad_blobs = NULL;
	*bad_count = 0;
	if (!rc)
		rc = tk_vdropped_get(vault, name, &dropped, err);
	if (!rc)
		rc = check_blobs(&from, index, &dropped, &bad, err);
	if (rc || bad.len_bytes == 0)
		return rc;
	*bad_blobs = malloc(bad.len_bytes);
	if (!*bad_blobs)
		return tk_err_set(err, TK_ENOMEM, "no memory for a list of blobs");
	memcpy(*bad_blobs, bad.data, bad.len_bytes);
	*bad_count = bad.len_bytes / sizeof(uint32_t);
	return TK_OK;
}
