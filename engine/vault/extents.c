/* Extent lists: encoding and decoding (docs/FORMAT.md, section 2). */
#include "engine/vault/pagecore.h"

enum { CODE_ON = 0, CODE_NEXT_BLOB = 1, CODE_PLACE = 2, CODE_HOLE = 3 };

#define CODE_BITS 2
/* length, pack index, blob and offset at their longest */
#define ROW_BYTES_MAX (5 + 5 + 5 + 5)

/* Where the extent before ended. */
struct place {
	struct tk_blob_ref ref;
	uint32_t end;
};

static unsigned
code_of(const struct place *before, const struct tk_extent *extent, bool first)
{
	if (extent->ref.pack == TK_PACK_NONE)
		return CODE_HOLE;
	if (extent->ref.pack != before->ref.pack)
		return CODE_PLACE;
	if (extent->ref.blob == before->ref.blob && extent->offset_bytes == before->end)
		return CODE_ON;
	if (!first && extent->ref.blob == before->ref.blob + 1 && extent->offset_bytes == 0)
		return CODE_NEXT_BLOB;
	return CODE_PLACE;
}

static void
go_on(struct place *before, const struct tk_extent *extent)
{
	before->ref = extent->ref;
	before->end = extent->offset_bytes + extent->length_bytes;
}

static bool
extent_is_valid(const struct tk_extent *extent)
{
	if (extent->length_bytes == 0)
		return false;
	if (extent->ref.pack == TK_PACK_NONE)
		return true;
	return extent->ref.blob <= TK_BLOB_NUMBER_MAX && extent->offset_bytes <= TK_BLOB_DATA_MAX &&
		extent->length_bytes <= TK_BLOB_DATA_MAX - extent->offset_bytes;
}

/* The list before the first extent stands at (this pack, blob 0, offset 0); own_pack tells which number "this pack" has. */
static enum tk_rc
encode_rows(struct tk_pack_locals *locals, uint32_t own_pack, const struct tk_extent *extents, size_t count, uint8_t **out, struct tk_err *err)
{
	struct place before = {.ref = {.pack = own_pack, .blob = 0}, .end = 0};
	uint8_t *at = *out;
	bool first = true;

	for (size_t i = 0; i < count; i++) {
		const struct tk_extent *extent = &extents[i];
		unsigned code = code_of(&before, extent, first);

		if (!extent_is_valid(extent))
			return tk_err_set(err, TK_EINVAL, "an extent is empty or leaves its blob");
		at = tk_emit_uv(at, (uint64_t)extent->length_bytes << CODE_BITS | code);
		if (code == CODE_HOLE)
			continue;
		if (code == CODE_PLACE) {
			uint32_t index;
			enum tk_rc rc = tk_pack_locals_index(locals, extent->ref.pack, &index, err);

			if (rc != TK_OK)
				return rc;
			at = tk_emit_uv(at, index);
			at = tk_emit_uv(at, extent->ref.blob);
			at = tk_emit_uv(at, extent->offset_bytes);
		}
		go_on(&before, extent);
		first = false;
	}
	*out = at;
	return TK_OK;
}

enum tk_rc
tk_extents_encode(struct tk_pack_locals *locals, const struct tk_extent *extents, size_t count, struct tk_buf *out, struct tk_err *err)
{
	uint32_t own_pack = tk_pack_locals_own(locals);
	uint8_t *at;
	enum tk_rc rc;

	if (count > SIZE_MAX / 2 / ROW_BYTES_MAX - 1)
		return tk_err_set(err, TK_EINVAL, "too many extents");
	if ((rc = tk_buf_reserve(out, TK_UV_MAX + count * ROW_BYTES_MAX, err)) != TK_OK)
		return rc;
	at = tk_emit_uv(out->data + out->len_bytes, count);
	if ((rc = encode_rows(locals, own_pack, extents, count, &at, err)) != TK_OK)
		return rc;
	out->len_bytes = (size_t)(at - out->data);
	return TK_OK;
}

size_t
tk_extents_encoded_bytes(const struct tk_extent *extents, size_t count)
{
	struct place before = {.ref = {.pack = TK_PACK_NONE}};
	size_t len = tk_uv_bytes(count);
	uint32_t named = 0;
	bool first = true;

	for (size_t i = 0; i < count; i++) {
		unsigned code = code_of(&before, &extents[i], first);

		len += tk_uv_bytes((uint64_t)extents[i].length_bytes << CODE_BITS);
		if (code == CODE_HOLE)
			continue;
		if (code == CODE_PLACE)
			len += tk_uv_bytes(++named) + tk_uv_bytes(extents[i].ref.blob) + tk_uv_bytes(extents[i].offset_bytes);
		go_on(&before, &extents[i]);
		first = false;
	}
	return len;
}

size_t
tk_extents_count(struct tk_cursor *cur)
{
	return (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur));
}

static bool
read_row(struct tk_cursor *cur, const struct tk_pack_table *table, struct place *before, bool *first, struct tk_extent *row)
{
	uint64_t head = tk_cursor_uv_max(cur, (uint64_t)UINT32_MAX << CODE_BITS | CODE_HOLE);
	unsigned code = (unsigned)(head & CODE_HOLE);

	*row = (struct tk_extent){.ref = before->ref, .offset_bytes = before->end, .length_bytes = (uint32_t)(head >> CODE_BITS)};
	if (code == CODE_HOLE) {
		row->ref = (struct tk_blob_ref){.pack = TK_PACK_NONE, .blob = 0};
		row->offset_bytes = 0;
		return tk_cursor_ok(cur) && row->length_bytes > 0;
	}
	if (code == CODE_NEXT_BLOB) {
		if (*first)
			return false;
		row->ref.blob++;
		row->offset_bytes = 0;
	} else if (code == CODE_PLACE) {
		row->ref = tk_pack_table_ref(table, cur);
		row->offset_bytes = (uint32_t)tk_cursor_uv_max(cur, TK_BLOB_DATA_MAX);
	}
	if (!tk_cursor_ok(cur) || !extent_is_valid(row))
		return false;
	go_on(before, row);
	*first = false;
	return true;
}

void
tk_extents_rows(struct tk_cursor *cur, const struct tk_pack_table *table, struct tk_extent *rows, size_t count, uint64_t *total_bytes)
{
	struct place before = {.ref = {.pack = table->numbers[0], .blob = 0}, .end = 0};
	bool first = true;

	*total_bytes = 0;
	for (size_t i = 0; i < count; i++) {
		if (!read_row(cur, table, &before, &first, &rows[i])) {
			tk_cursor_fail(cur, "an extent is empty or leaves its blob");
			*total_bytes = 0;
			return;
		}
		*total_bytes += rows[i].length_bytes;
	}
}
