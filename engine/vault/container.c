#include "engine/vault/container.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/crypto/hash.h"

#define MAGIC "TWKCONT1"
#define END_MAGIC "TWKCEND1"
#define MAGIC_BYTES 8u

enum { VERSION = 1, ROW_BYTES = TK_DIGEST_BYTES + 8 + 8 };

size_t
tk_container_table_bytes(size_t count)
{
	return TK_CONTAINER_HEAD_BYTES + count * ROW_BYTES + TK_HASH_BYTES;
}

static enum tk_rc
put_table(const struct tk_container_row *rows, size_t count, struct tk_buf *out, struct tk_err *err)
{
	size_t start = out->len_bytes;
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc = tk_buf_put(out, MAGIC, MAGIC_BYTES, err);

	if (!rc)
		rc = tk_buf_put_u16(out, VERSION, err);
	if (!rc)
		rc = tk_buf_put_u16(out, 0, err);
	if (!rc)
		rc = tk_buf_put_u32(out, (uint32_t)count, err);
	for (size_t i = 0; i < count && !rc; i++) {
		rc = tk_buf_put(out, rows[i].name.b, sizeof(rows[i].name.b), err);
		if (!rc)
			rc = tk_buf_put_u64(out, rows[i].offset_bytes, err);
		if (!rc)
			rc = tk_buf_put_u64(out, rows[i].len_bytes, err);
	}
	if (!rc)
		rc = tk_hash(TK_SUITE_AES, out->data + start, out->len_bytes - start, digest, err);
	return rc ? rc : tk_buf_put(out, digest, sizeof(digest), err);
}

enum tk_rc
tk_container_encode(const struct tk_container_row *rows, size_t count, bool at_end, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc;

	if (count == 0 || count > TK_CONTAINER_ROWS_MAX)
		return tk_err_set(err, TK_EINVAL, "a container of %zu packs", count);
	rc = put_table(rows, count, out, err);
	if (rc || !at_end)
		return rc;
	rc = tk_buf_put_u32(out, (uint32_t)count, err);
	if (!rc)
		rc = tk_buf_put_u32(out, 0, err);
	return rc ? rc : tk_buf_put(out, END_MAGIC, MAGIC_BYTES, err);
}

static enum tk_rc
rows_to_bytes(struct tk_cursor *cur, uint32_t count, size_t *table_bytes, struct tk_err *err)
{
	if (tk_cursor_ok(cur) && (count == 0 || count > TK_CONTAINER_ROWS_MAX))
		tk_cursor_fail(cur, "a count over its limit");
	*table_bytes = tk_container_table_bytes(count);
	return tk_cursor_check(cur, "container", err);
}

enum tk_rc
tk_container_head(const uint8_t head[TK_CONTAINER_HEAD_BYTES], size_t *table_bytes, struct tk_err *err)
{
	struct tk_cursor cur;
	uint16_t version;

	tk_cursor_init(&cur, head, TK_CONTAINER_HEAD_BYTES);
	if (memcmp(tk_cursor_take(&cur, MAGIC_BYTES), MAGIC, MAGIC_BYTES) != 0)
		return tk_err_set(err, TK_ECORRUPT, "container: no table begins here");
	version = tk_cursor_u16(&cur);
	if (version != VERSION || tk_cursor_u16(&cur) != 0)
		return tk_err_set(err, TK_EUNSUPPORTED, "container: version %u is not known", version);
	return rows_to_bytes(&cur, tk_cursor_u32(&cur), table_bytes, err);
}

enum tk_rc
tk_container_end(const uint8_t end[TK_CONTAINER_END_BYTES], size_t *table_bytes, struct tk_err *err)
{
	struct tk_cursor cur;
	uint32_t count, zero;

	tk_cursor_init(&cur, end, TK_CONTAINER_END_BYTES);
	count = tk_cursor_u32(&cur);
	zero = tk_cursor_u32(&cur);
	if (zero != 0 || memcmp(tk_cursor_take(&cur, MAGIC_BYTES), END_MAGIC, MAGIC_BYTES) != 0)
		return tk_err_set(err, TK_ECORRUPT, "container: none ends here");
	return rows_to_bytes(&cur, count, table_bytes, err);
}

/* A pack lies between the tables; whether packs overlap matters to nobody, since each says what it is. */
static void
read_rows(struct tk_cursor *cur, struct tk_container_row *rows, size_t count, uint64_t from_bytes, uint64_t to_bytes)
{
	for (size_t i = 0; i < count && tk_cursor_ok(cur); i++) {
		struct tk_container_row *row = &rows[i];

		tk_cursor_copy(cur, row->name.b, sizeof(row->name.b));
		row->offset_bytes = tk_cursor_u64(cur);
		row->len_bytes = tk_cursor_u64(cur);
		if (row->offset_bytes < from_bytes || row->offset_bytes > to_bytes || row->len_bytes > to_bytes - row->offset_bytes)
			tk_cursor_fail(cur, "a pack that lies outside");
		if (i > 0 && memcmp(rows[i - 1].name.b, row->name.b, sizeof(row->name.b)) >= 0)
			tk_cursor_fail(cur, "packs out of order");
	}
}

enum tk_rc
tk_container_decode(const uint8_t *table, size_t table_bytes, uint64_t file_bytes, struct tk_container_row **rows, size_t *count, struct tk_err *err)
{
	uint8_t digest[TK_HASH_BYTES];
	struct tk_container_row *list;
	size_t wanted, body = table_bytes - TK_HASH_BYTES;
	struct tk_cursor cur;
	enum tk_rc rc;

	if (table_bytes < TK_CONTAINER_HEAD_BYTES + TK_HASH_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "container: a table shorter than its head");
	rc = tk_container_head(table, &wanted, err);
	if (!rc && (wanted != table_bytes || file_bytes > TK_CONTAINER_BYTES_MAX || file_bytes < 2 * (uint64_t)wanted + TK_CONTAINER_END_BYTES))
		rc = tk_err_set(err, TK_ECORRUPT, "container: lengths do not agree");
	if (!rc)
		rc = tk_hash(TK_SUITE_AES, table, body, digest, err);
	if (!rc && memcmp(digest, table + body, sizeof(digest)) != 0)
		rc = tk_err_set(err, TK_ECORRUPT, "container: the table's digest is wrong");
	if (rc)
		return rc;

	tk_cursor_init(&cur, table, body);
	(void)tk_cursor_take(&cur, TK_CONTAINER_HEAD_BYTES);
	*count = tk_cursor_left(&cur) / ROW_BYTES;
	list = calloc(*count, sizeof(*list));
	if (!list)
		return tk_err_set(err, TK_ENOMEM, "no memory for a container's table");
	read_rows(&cur, list, *count, wanted, file_bytes - TK_CONTAINER_END_BYTES - wanted);
	rc = tk_cursor_end(&cur, "container", err);
	if (rc)
		free(list);
	else
		*rows = list;
	return rc;
}
