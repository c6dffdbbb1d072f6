#include <stdlib.h>

#include "engine/base/cursor.h"
#include "engine/vault/pack.h"

enum { CONTENT_ROW_BYTES_MIN = 3 + 16 };

static bool
row_follows(const struct tk_content_row *before, const struct tk_content_row *row)
{
	return row->blob > before->blob || (row->blob == before->blob && row->offset_bytes > before->offset_bytes);
}

static bool
row_fits(const struct tk_content_row *row)
{
	return row->blob < TK_PACK_BLOBS_MAX && row->length_bytes > 0 && row->length_bytes <= TK_BLOB_DATA_MAX &&
	    row->offset_bytes <= TK_BLOB_DATA_MAX - row->length_bytes;
}

static enum tk_rc
put_content_row(struct tk_buf *plain, const struct tk_content_row *row, uint32_t blob_before, struct tk_err *err)
{
	enum tk_rc rc;

	rc = tk_buf_put_uv(plain, row->blob - blob_before, err);
	if (rc == TK_OK)
		rc = tk_buf_put_uv(plain, row->offset_bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_put_uv(plain, row->length_bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_put(plain, row->id, sizeof(row->id), err);
	return rc;
}

enum tk_rc
tk_contents_encode(const struct tk_content_row *rows, size_t count, struct tk_buf *plain, struct tk_err *err)
{
	size_t start = plain->len_bytes;
	enum tk_rc rc = tk_buf_put_uv(plain, count, err);

	for (size_t i = 0; rc == TK_OK && i < count; i++) {
		if (!row_fits(&rows[i]) || (i && !row_follows(&rows[i - 1], &rows[i])))
			rc = tk_err_set(err, TK_EINVAL, "chunk %zu of a pack is out of order or range", i);
		else
			rc = put_content_row(plain, &rows[i], i ? rows[i - 1].blob : 0, err);
	}
	if (rc == TK_OK && plain->len_bytes - start > TK_BLOB_META_MAX)
		rc = tk_err_set(err, TK_EINVAL, "%zu chunks are too many for a contents blob", count);
	if (rc)
		plain->len_bytes = start;
	return rc;
}

enum tk_rc
tk_contents_decode(const void *plain, size_t plain_bytes, struct tk_content_row **rows, size_t *count, struct tk_err *err)
{
	struct tk_content_row *list;
	struct tk_cursor cur;
	size_t n;
	enum tk_rc rc;

	tk_cursor_init(&cur, plain, plain_bytes);
	n = (size_t)tk_cursor_uv_max(&cur, plain_bytes / CONTENT_ROW_BYTES_MIN);
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu chunks", n);
	for (size_t i = 0; i < n && tk_cursor_ok(&cur); i++) {
		uint32_t before = i ? list[i - 1].blob : 0;

		list[i].blob = before + (uint32_t)tk_cursor_uv_max(&cur, TK_PACK_BLOBS_MAX);
		list[i].offset_bytes = (uint32_t)tk_cursor_uv_max(&cur, TK_BLOB_DATA_MAX);
		list[i].length_bytes = (uint32_t)tk_cursor_uv_max(&cur, TK_BLOB_DATA_MAX);
		tk_cursor_copy(&cur, list[i].id, sizeof(list[i].id));
		if (!row_fits(&list[i]) || (i && !row_follows(&list[i - 1], &list[i])))
			tk_cursor_fail(&cur, "a chunk is out of order or range");
	}
	rc = tk_cursor_end(&cur, "contents blob", err);
	if (rc) {
		free(list);
		return rc;
	}
	*rows = list;
	*count = n;
	return TK_OK;
}
