#include "engine/archive/taracl.h"

#include <archive.h>
#include <archive_entry.h>
#include <stdbool.h>
#include <stdlib.h>

#include "engine/base/buf.h"
#include "engine/base/cursor.h"

#define RAW_VERSION 2
#define RAW_NO_ID 0xffffffffU
#define ROW_BYTES 8

/* Tags in the order in which the kernel wants them. */
static const struct tag_row {
	uint16_t raw;
	int archive;
	bool has_id;
} tag_rows[] = {
	{0x01, ARCHIVE_ENTRY_ACL_USER_OBJ, false},
	{0x02, ARCHIVE_ENTRY_ACL_USER, true},
	{0x04, ARCHIVE_ENTRY_ACL_GROUP_OBJ, false},
	{0x08, ARCHIVE_ENTRY_ACL_GROUP, true},
	{0x10, ARCHIVE_ENTRY_ACL_MASK, false},
	{0x20, ARCHIVE_ENTRY_ACL_OTHER, false},
};

#define TAG_ROWS (sizeof(tag_rows) / sizeof(tag_rows[0]))
#define TAG_MASK 0x10

static const struct kind_row {
	const char *xattr;
	int archive;
} kind_rows[] = {
	{TK_XATTR_ACL_ACCESS, ARCHIVE_ENTRY_ACL_TYPE_ACCESS},
	{TK_XATTR_ACL_DEFAULT, ARCHIVE_ENTRY_ACL_TYPE_DEFAULT},
};

#define KIND_ROWS (sizeof(kind_rows) / sizeof(kind_rows[0]))

static const struct tag_row *
tag_by_raw(uint16_t raw)
{
	for (size_t i = 0; i < TAG_ROWS; i++)
		if (tag_rows[i].raw == raw)
			return &tag_rows[i];
	return NULL;
}

static const struct tag_row *
tag_by_archive(int archive)
{
	for (size_t i = 0; i < TAG_ROWS; i++)
		if (tag_rows[i].archive == archive)
			return &tag_rows[i];
	return NULL;
}

/* Permission bits (r 4, w 2, x 1) are the same on both sides. */
static enum tk_rc
put_one(struct archive_entry *entry, int kind, const struct tk_xattr *xattr, struct tk_err *err)
{
	struct tk_cursor cur;

	tk_cursor_init(&cur, xattr->value, xattr->len_bytes);
	if (tk_cursor_u32(&cur) != RAW_VERSION)
		tk_cursor_fail(&cur, "unknown version");
	while (tk_cursor_ok(&cur) && tk_cursor_left(&cur) > 0) {
		const struct tag_row *tag = tag_by_raw(tk_cursor_u16(&cur));
		int perms = tk_cursor_u16(&cur) & 7;
		uint32_t id = tk_cursor_u32(&cur);

		if (!tag)
			tk_cursor_fail(&cur, "unknown tag");
		if (!tk_cursor_ok(&cur))
			break;
		if (archive_entry_acl_add_entry(entry, kind, perms, tag->archive, tag->has_id ? (int)id : -1, NULL) != ARCHIVE_OK)
			return tk_err_set(err, TK_EIO, "an ACL does not fit into the archive");
	}
	return tk_cursor_end(&cur, xattr->name, err);
}

enum tk_rc
tk_taracl_put(struct archive_entry *entry, const struct tk_meta *meta, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; rc == TK_OK && i < KIND_ROWS; i++) {
		const struct tk_xattr *xattr = tk_meta_find_xattr(meta, kind_rows[i].xattr);

		if (xattr)
			rc = put_one(entry, kind_rows[i].archive, xattr, err);
	}
	return rc;
}

static int
row_order(const void *a, const void *b)
{
	struct tk_cursor left, right;
	uint64_t keys[2];

	tk_cursor_init(&left, a, ROW_BYTES);
	tk_cursor_init(&right, b, ROW_BYTES);
	keys[0] = (uint64_t)tk_cursor_u16(&left) << 32;
	keys[1] = (uint64_t)tk_cursor_u16(&right) << 32;
	(void)tk_cursor_u16(&left);
	(void)tk_cursor_u16(&right);
	keys[0] |= tk_cursor_u32(&left);
	keys[1] |= tk_cursor_u32(&right);
	return (keys[0] > keys[1]) - (keys[0] < keys[1]);
}

static enum tk_rc
get_row(struct tk_buf *raw, const struct tag_row *tag, int perms, int id, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = tk_buf_put_u16(raw, tag->raw, err)) != TK_OK)
		return rc;
	if ((rc = tk_buf_put_u16(raw, (uint16_t)(perms & 7), err)) != TK_OK)
		return rc;
	return tk_buf_put_u32(raw, tag->has_id ? (uint32_t)id : RAW_NO_ID, err);
}

static enum tk_rc
get_one(struct archive_entry *entry, const struct kind_row *kind, struct tk_meta *meta, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf raw;
	int type, perms, archive_tag, id;
	const char *name;
	enum tk_rc rc;

	tk_buf_init(&raw, 65536);
	if (archive_entry_acl_reset(entry, kind->archive) == 0)
		return TK_OK;
	if ((rc = tk_buf_put_u32(&raw, RAW_VERSION, err)) != TK_OK)
		return rc;
	while (archive_entry_acl_next(entry, kind->archive, &type, &perms, &archive_tag, &id, &name) == ARCHIVE_OK) {
		const struct tag_row *tag = tag_by_archive(archive_tag);

		if (!tag)
			continue;
		if ((rc = get_row(&raw, tag, perms, id, err)) != TK_OK)
			return rc;
		if (tag->raw == TAG_MASK && kind->archive == ARCHIVE_ENTRY_ACL_TYPE_ACCESS)
			meta->mode = (meta->mode & ~070U) | (uint32_t)(perms & 7) << 3;
	}
	qsort(raw.data + 4, (raw.len_bytes - 4) / ROW_BYTES, ROW_BYTES, row_order);
	return tk_meta_put_xattr(meta, kind->xattr, raw.data, raw.len_bytes, err);
}

enum tk_rc
tk_taracl_get(struct archive_entry *entry, struct tk_meta *meta, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; rc == TK_OK && i < KIND_ROWS; i++)
		rc = get_one(entry, &kind_rows[i], meta, err);
	return rc;
}
