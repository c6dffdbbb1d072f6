/* Extent lists in memory: growing, cutting, merging. */
#include <stdlib.h>

#include "engine/vault/segmap.h"

/* Does b go on where a ends? */
static bool
touches(const struct tk_extent *a, const struct tk_extent *b)
{
	if (a->ref.pack != b->ref.pack || a->length_bytes > UINT32_MAX - b->length_bytes)
		return false;
	if (a->ref.pack == TK_PACK_NONE)
		return true;
	return a->ref.blob == b->ref.blob && (uint64_t)a->offset_bytes + a->length_bytes == b->offset_bytes;
}

enum tk_rc
tk_extents_append(struct tk_extent **list, size_t *count, size_t *cap, struct tk_extent extent, struct tk_err *err)
{
	if (extent.length_bytes == 0)
		return tk_err_set(err, TK_EINVAL, "an extent without bytes");
	if (extent.ref.pack == TK_PACK_NONE)
		extent.ref.blob = extent.offset_bytes = 0;
	if (*count > 0 && touches(&(*list)[*count - 1], &extent)) {
		(*list)[*count - 1].length_bytes += extent.length_bytes;
		return TK_OK;
	}
	if (*count == *cap) {
		size_t grown = *cap ? *cap * 2 : 16;
		struct tk_extent *rows = reallocarray(*list, grown, sizeof(*rows));

		if (!rows)
			return tk_err_set(err, TK_ENOMEM, "no memory for an extent list");
		*list = rows;
		*cap = grown;
	}
	(*list)[(*count)++] = extent;
	return TK_OK;
}

void
tk_extent_cursor_init(struct tk_extent_cursor *cur, const struct tk_extent *extents, size_t count)
{
	*cur = (struct tk_extent_cursor){.extents = extents, .count = count};
}

enum tk_rc
tk_extent_cursor_slice(struct tk_extent_cursor *cur, uint64_t offset_bytes, uint64_t length_bytes, struct tk_extent **out, size_t *out_count,
		       size_t *out_cap, struct tk_err *err)
{
	if (offset_bytes < cur->at_bytes)
		tk_extent_cursor_init(cur, cur->extents, cur->count);
	while (length_bytes > 0) {
		const struct tk_extent *row;
		struct tk_extent part;
		uint64_t skip;
		enum tk_rc rc;

		if (cur->at == cur->count)
			return tk_err_set(err, TK_EINVAL, "an extent list ends before the bytes that are wanted of it");
		row = &cur->extents[cur->at];
		if (offset_bytes - cur->at_bytes >= row->length_bytes) {
			cur->at_bytes += row->length_bytes;
			cur->at++;
			continue;
		}
		skip = offset_bytes - cur->at_bytes;
		part = *row;
		part.length_bytes -= (uint32_t)skip;
		if (part.length_bytes > length_bytes)
			part.length_bytes = (uint32_t)length_bytes;
		if (part.ref.pack != TK_PACK_NONE)
			part.offset_bytes += (uint32_t)skip;
		if ((rc = tk_extents_append(out, out_count, out_cap, part, err)) != TK_OK)
			return rc;
		offset_bytes += part.length_bytes;
		length_bytes -= part.length_bytes;
	}
	return TK_OK;
}

enum tk_rc
tk_extents_slice(const struct tk_extent *extents, size_t count, uint64_t offset_bytes, uint64_t length_bytes, struct tk_extent **out,
		 size_t *out_count, size_t *out_cap, struct tk_err *err)
{
	struct tk_extent_cursor cur;

	tk_extent_cursor_init(&cur, extents, count);
	return tk_extent_cursor_slice(&cur, offset_bytes, length_bytes, out, out_count, out_cap, err);
}

uint64_t
tk_extents_total_bytes(const struct tk_extent *extents, size_t count)
{
	uint64_t total_bytes = 0;

	for (size_t i = 0; i < count; i++)
		total_bytes += extents[i].length_bytes;
	return total_bytes;
}
