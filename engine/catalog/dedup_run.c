#include "engine/catalog/dedup_run.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/cursor.h"
#include "engine/fsio/openat.h"

#define MAGIC "TWKDDUP1"
#define MAGIC_BYTES 8
#define VERSION 1
#define BLOCK_BYTES (TK_DEDUP_BLOCK_ROWS * TK_DEDUP_ROW_BYTES)
#define ENTRY_BYTES (TK_DEDUP_ID_BYTES + TK_HASH_BYTES)
#define RESERVED_BYTES 8

static enum tk_rc
fail(struct tk_err *err)
{
	return tk_err_set(err, TK_ECORRUPT, "a run of the dedup index is damaged");
}

/* ---- reading ---- */

/* Finds the tables. The sizes must add up to the file's exactly. */
static enum tk_rc
lay_out(struct tk_dedup_run *run, struct tk_err *err)
{
	struct tk_cursor cur;
	const uint8_t *magic;
	uint64_t rows, packs, blocks, left = run->len_bytes;

	if (left < TK_DEDUP_TRAILER_BYTES)
		return fail(err);
	left -= TK_DEDUP_TRAILER_BYTES;
	tk_cursor_init(&cur, run->data + left, TK_DEDUP_TRAILER_BYTES);
	magic = tk_cursor_take(&cur, MAGIC_BYTES);
	if (memcmp(magic, MAGIC, MAGIC_BYTES) != 0 || tk_cursor_u32(&cur) != VERSION)
		return fail(err);
	packs = tk_cursor_u32(&cur);
	rows = tk_cursor_u64(&cur);
	if (tk_cursor_u64(&cur) != 0 || packs > left / TK_DIGEST_BYTES || rows > left / TK_DEDUP_ROW_BYTES)
		return fail(err);
	blocks = (rows + TK_DEDUP_BLOCK_ROWS - 1) / TK_DEDUP_BLOCK_ROWS;
	if (rows * TK_DEDUP_ROW_BYTES + blocks * ENTRY_BYTES + packs * TK_DIGEST_BYTES != left)
		return fail(err);
	run->row_count = (size_t)rows;
	run->block_count = (size_t)blocks;
	run->pack_count = (size_t)packs;
	run->blocks = run->data + rows * TK_DEDUP_ROW_BYTES;
	run->names = run->blocks + blocks * ENTRY_BYTES;
	return TK_OK;
}

static enum tk_rc
check_tables(const struct tk_dedup_run *run, struct tk_hash_ctx *hash, struct tk_err *err)
{
	const uint8_t *digest = run->data + run->len_bytes - TK_HASH_BYTES;
	uint8_t want[TK_HASH_BYTES];
	enum tk_rc rc = tk_hash_whole(hash, run->blocks, (size_t)(digest - run->blocks), want, err);

	if (rc)
		return rc;
	return memcmp(digest, want, sizeof(want)) == 0 ? TK_OK : fail(err);
}

static enum tk_rc
prepare(struct tk_dedup_run *run, struct tk_hash_ctx *hash, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = lay_out(run, err)) || (rc = check_tables(run, hash, err)))
		return rc;
	run->packs = malloc((run->pack_count + 1) * sizeof(*run->packs));
	run->checked = calloc(run->block_count / 8 + 1, 1);
	if (!run->packs || !run->checked)
		return tk_err_set(err, TK_ENOMEM, "no memory for a run of the dedup index");
	for (size_t i = 0; i < run->pack_count; i++)
		run->packs[i] = TK_PACK_NONE;
	return TK_OK;
}

enum tk_rc
tk_dedup_run_open(int fd, struct tk_hash_ctx *hash, struct tk_dedup_run *run, struct tk_err *err)
{
	struct stat st;
	void *map;
	enum tk_rc rc;

	*run = (struct tk_dedup_run){.fd = fd};
	if (fstat(fd, &st) < 0)
		rc = tk_err_errno(err, TK_EIO, "looking at a run of the dedup index");
	else if (!S_ISREG(st.st_mode) || st.st_size < (off_t)TK_DEDUP_TRAILER_BYTES || (uint64_t)st.st_size > SIZE_MAX)
		rc = fail(err);
	else if ((map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0)) == MAP_FAILED)
		rc = tk_err_errno(err, TK_EIO, "mapping a run of the dedup index");
	else {
		run->data = map;
		run->len_bytes = (size_t)st.st_size;
		/* Ids are random: what lies beside one is never asked for next. */
		(void)madvise(map, run->len_bytes, MADV_RANDOM);
		rc = prepare(run, hash, err);
	}
	if (rc)
		tk_dedup_run_release(run);
	return rc;
}

enum tk_rc
tk_dedup_run_over(const void *bytes, size_t len_bytes, struct tk_hash_ctx *hash, struct tk_dedup_run *run, struct tk_err *err)
{
	enum tk_rc rc;

	*run = (struct tk_dedup_run){.fd = -1, .data = bytes, .len_bytes = len_bytes};
	rc = prepare(run, hash, err);
	if (rc)
		tk_dedup_run_release(run);
	return rc;
}

void
tk_dedup_run_release(struct tk_dedup_run *run)
{
	if (run->fd >= 0 && run->data)
		(void)munmap((void *)(uintptr_t)run->data, run->len_bytes);
	tk_fd_cleanup(&run->fd);
	free(run->packs);
	free(run->checked);
	*run = (struct tk_dedup_run){.fd = -1};
}

static size_t
rows_of_block(const struct tk_dedup_run *run, size_t block)
{
	size_t left = run->row_count - block * TK_DEDUP_BLOCK_ROWS;

	return left < TK_DEDUP_BLOCK_ROWS ? left : TK_DEDUP_BLOCK_ROWS;
}

/* What a look-up and a merge rely on, beside the digest. */
static bool
rows_are_sound(const struct tk_dedup_run *run, const uint8_t *rows, size_t count)
{
	struct tk_cursor cur;

	for (size_t i = 0; i < count; i++, rows += TK_DEDUP_ROW_BYTES) {
		tk_cursor_init(&cur, rows + TK_DEDUP_ID_BYTES, TK_DEDUP_ROW_BYTES - TK_DEDUP_ID_BYTES);
		if (tk_cursor_u32(&cur) >= run->pack_count)
			return false;
		(void)tk_cursor_u64(&cur);
		if (tk_cursor_u32(&cur) == 0 || (i > 0 && memcmp(rows - TK_DEDUP_ROW_BYTES, rows, TK_DEDUP_ID_BYTES) >= 0))
			return false;
	}
	return true;
}

enum tk_rc
tk_dedup_run_check_block(struct tk_dedup_run *run, struct tk_hash_ctx *hash, size_t block, struct tk_err *err)
{
	uint8_t bytes[BLOCK_BYTES];
	const uint8_t *rows = run->data + block * BLOCK_BYTES;
	const uint8_t *entry = run->blocks + block * ENTRY_BYTES;
	size_t len = rows_of_block(run, block) * TK_DEDUP_ROW_BYTES;
	uint8_t digest[TK_HASH_BYTES];
	size_t got = len;
	enum tk_rc rc;

	if (run->checked[block / 8] & 1u << block % 8)
		return TK_OK;
	/* Read, not touched through the map: a bad sector is then an error and no signal. */
	if (run->fd >= 0) {
		if (tk_pread_full(run->fd, bytes, len, block * BLOCK_BYTES, &got, "the dedup index", NULL) || got != len)
			return fail(err);
		rows = bytes;
	}
	if ((rc = tk_hash_whole(hash, rows, len, digest, err)))
		return rc;
	if (memcmp(digest, entry + TK_DEDUP_ID_BYTES, sizeof(digest)) != 0 || memcmp(rows, entry, TK_DEDUP_ID_BYTES) != 0 ||
	    !rows_are_sound(run, rows, len / TK_DEDUP_ROW_BYTES))
		return fail(err);
	run->checked[block / 8] |= (uint8_t)(1u << block % 8);
	return TK_OK;
}

enum tk_rc
tk_dedup_run_row(struct tk_dedup_run *run, struct tk_packtab *packs, size_t at, struct tk_dedup_row *row, struct tk_err *err)
{
	struct tk_cursor cur;
	struct tk_pack_name name;
	uint32_t index;
	enum tk_rc rc;

	tk_cursor_init(&cur, run->data + at * TK_DEDUP_ROW_BYTES, TK_DEDUP_ROW_BYTES);
	tk_cursor_copy(&cur, row->id, sizeof(row->id));
	index = tk_cursor_u32(&cur);
	row->extent.ref.blob = tk_cursor_u32(&cur);
	row->extent.offset_bytes = tk_cursor_u32(&cur);
	row->extent.length_bytes = tk_cursor_u32(&cur);
	if (index >= run->pack_count)
		return fail(err);
	if (run->packs[index] == TK_PACK_NONE) {
		memcpy(name.b, run->names + (size_t)index * TK_DIGEST_BYTES, sizeof(name.b));
		if ((rc = tk_packtab_intern(packs, &name, &run->packs[index], err)))
			return rc;
	}
	row->extent.ref.pack = run->packs[index];
	return TK_OK;
}

/* The number of records, `stride` bytes apart, that begin with an id not above the wanted one. */
static size_t
count_not_above(const uint8_t *records, size_t count, size_t stride, const uint8_t id[TK_DEDUP_ID_BYTES])
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (memcmp(records + mid * stride, id, TK_DEDUP_ID_BYTES) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

enum tk_rc
tk_dedup_run_find(struct tk_dedup_run *run, struct tk_hash_ctx *hash, struct tk_packtab *packs, const uint8_t id[TK_DEDUP_ID_BYTES],
		  struct tk_extent *extent, bool *found, struct tk_err *err)
{
	size_t block = count_not_above(run->blocks, run->block_count, ENTRY_BYTES, id);
	struct tk_dedup_row row;
	size_t at;
	enum tk_rc rc;

	*found = false;
	if (block == 0)
		return TK_OK;
	block--;
	if ((rc = tk_dedup_run_check_block(run, hash, block, err)))
		return rc;
	at = count_not_above(run->data + block * BLOCK_BYTES, rows_of_block(run, block), TK_DEDUP_ROW_BYTES, id);
	if (at == 0)
		return fail(err);
	at += block * TK_DEDUP_BLOCK_ROWS - 1;
	if (memcmp(run->data + at * TK_DEDUP_ROW_BYTES, id, TK_DEDUP_ID_BYTES) != 0)
		return TK_OK;
	if ((rc = tk_dedup_run_row(run, packs, at, &row, err)))
		return rc;
	*extent = row.extent;
	*found = true;
	return TK_OK;
}

/* ---- writing ---- */

void
tk_dedup_out_init(struct tk_dedup_out *out, int fd, struct tk_hash_ctx *hash, struct tk_packtab *packs)
{
	*out = (struct tk_dedup_out){.fd = fd, .hash = hash, .packs = packs};
	tk_buf_init(&out->block, BLOCK_BYTES);
	tk_buf_init(&out->table, 0);
	tk_buf_init(&out->names, 0);
}

void
tk_dedup_out_release(struct tk_dedup_out *out)
{
	tk_buf_release(&out->block);
	tk_buf_release(&out->table);
	tk_buf_release(&out->names);
	free(out->places);
	out->places = NULL;
}

static enum tk_rc
flush_block(struct tk_dedup_out *out, struct tk_err *err)
{
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc;

	if (out->block.len_bytes == 0)
		return TK_OK;
	if ((rc = tk_hash_whole(out->hash, out->block.data, out->block.len_bytes, digest, err)) ||
	    (rc = tk_buf_put(&out->table, out->block.data, TK_DEDUP_ID_BYTES, err)) ||
	    (rc = tk_buf_put(&out->table, digest, sizeof(digest), err)) ||
	    (rc = tk_write_full(out->fd, out->block.data, out->block.len_bytes, "the dedup index", err)))
		return rc;
	tk_buf_clear(&out->block);
	return TK_OK;
}

/* The file's index of a pack, given on first sight. */
static enum tk_rc
place_of(struct tk_dedup_out *out, uint32_t number, uint32_t *index, struct tk_err *err)
{
	struct tk_pack_name name;
	enum tk_rc rc;

	if (number >= out->place_count) {
		size_t count = tk_packtab_count(out->packs);
		uint32_t *grown;

		if (number >= count)
			return tk_err_set(err, TK_EINVAL, "a pack without a name");
		grown = realloc(out->places, count * sizeof(*grown));
		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for a run of the dedup index");
		memset(grown + out->place_count, 0, (count - out->place_count) * sizeof(*grown));
		out->places = grown;
		out->place_count = count;
	}
	if (!out->places[number]) {
		name = tk_packtab_name(out->packs, number);
		if ((rc = tk_buf_put(&out->names, name.b, sizeof(name.b), err)))
			return rc;
		out->places[number] = ++out->pack_count;
	}
	*index = out->places[number] - 1;
	return TK_OK;
}

enum tk_rc
tk_dedup_out_row(struct tk_dedup_out *out, const struct tk_dedup_row *row, struct tk_err *err)
{
	uint8_t bytes[TK_DEDUP_ROW_BYTES];
	uint32_t index = 0;
	enum tk_rc rc = place_of(out, row->extent.ref.pack, &index, err);

	if (rc)
		return rc;
	memcpy(bytes, row->id, TK_DEDUP_ID_BYTES);
	tk_store_u32(bytes + 16, index);
	tk_store_u32(bytes + 20, row->extent.ref.blob);
	tk_store_u32(bytes + 24, row->extent.offset_bytes);
	tk_store_u32(bytes + 28, row->extent.length_bytes);
	if ((rc = tk_buf_put(&out->block, bytes, sizeof(bytes), err)))
		return rc;
	out->row_count++;
	return out->block.len_bytes == BLOCK_BYTES ? flush_block(out, err) : TK_OK;
}

enum tk_rc
tk_dedup_out_finish(struct tk_dedup_out *out, struct tk_err *err)
{
	struct tk_buf *tail = &out->table;
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc;

	if ((rc = flush_block(out, err)) || (out->pack_count && (rc = tk_buf_put(tail, out->names.data, out->names.len_bytes, err))) ||
	    (rc = tk_buf_put(tail, MAGIC, MAGIC_BYTES, err)) || (rc = tk_buf_put_u32(tail, VERSION, err)) ||
	    (rc = tk_buf_put_u32(tail, out->pack_count, err)) || (rc = tk_buf_put_u64(tail, out->row_count, err)) ||
	    (rc = tk_buf_put_u64(tail, 0, err)) || (rc = tk_hash_whole(out->hash, tail->data, tail->len_bytes, digest, err)) ||
	    (rc = tk_buf_put(tail, digest, sizeof(digest), err)))
		return rc;
	return tk_write_full(out->fd, tail->data, tail->len_bytes, "the dedup index", err);
}
