/* Reading leaf pages (docs/FORMAT.md, section 3). */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"

#define NSEC 1000000000u
#define FLAGS_KNOWN 63u

struct view {
	const uint8_t *data;
	size_t len_bytes;
};

struct tk_leaf_reader {
	struct tk_cursor cur;
	struct tk_pack_table table;
	struct view *names;                    /* names[0] is "none" */
	size_t name_count;
	uint64_t left;
	bool first;
	struct tk_buf path;                    /* of the entry before */
};

/* What an entry points to, while it still lies in the page. */
struct parts {
	const struct view *uname, *gname;
	struct view link;
	struct view xattrs;                    /* the rows, encoded */
	size_t xattr_count;
	size_t xattr_bytes;                    /* of names with their NULs and values */
	struct view extensions;
};

static enum tk_rc
read_names(struct tk_leaf_reader *reader, struct tk_err *err)
{
	struct tk_cursor *cur = &reader->cur;
	size_t count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur));

	if (!(reader->names = calloc(count + 1, sizeof(*reader->names))))
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	reader->name_count = count + 1;
	for (size_t i = 1; i <= count && tk_cursor_ok(cur); i++) {
		struct view *name = &reader->names[i];

		name->data = tk_cursor_bytes(cur, tk_cursor_left(cur), &name->len_bytes);
		if (name->data && (name->len_bytes == 0 || memchr(name->data, '\0', name->len_bytes)))
			tk_cursor_fail(cur, "an owner name is empty or has a NUL");
	}
	return TK_OK;
}

enum tk_rc
tk_leaf_open(const void *plain, size_t plain_bytes, uint32_t own_pack, struct tk_packtab *packs, struct tk_leaf_reader **out,
	     struct tk_err *err)
{
	TK_AUTO(tk_leaf_cleanup) struct tk_leaf_reader *reader = calloc(1, sizeof(*reader));
	enum tk_rc rc;

	if (!reader)
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	tk_buf_init(&reader->path, 0);
	tk_cursor_init(&reader->cur, plain, plain_bytes);
	if (tk_cursor_u8(&reader->cur) != TK_PAGE_VERSION)
		return tk_err_set(err, plain_bytes ? TK_EUNSUPPORTED : TK_ECORRUPT, "leaf page: unknown version");
	if ((rc = tk_pack_table_read(&reader->cur, own_pack, packs, &reader->table, err)) != TK_OK)
		return rc;
	if ((rc = read_names(reader, err)) != TK_OK)
		return rc;
	reader->left = tk_cursor_uv_max(&reader->cur, TK_LEAF_ENTRIES_MAX);
	reader->first = true;
	if ((rc = tk_cursor_check(&reader->cur, "leaf page", err)) != TK_OK)
		return rc;
	*out = reader;
	reader = NULL;
	return TK_OK;
}

uint64_t
tk_leaf_entries_left(const struct tk_leaf_reader *reader)
{
	return reader->left;
}

void
tk_leaf_cleanup(struct tk_leaf_reader **reader)
{
	if (!*reader)
		return;
	tk_pack_table_release(&(*reader)->table);
	free((*reader)->names);
	tk_buf_release(&(*reader)->path);
	free(*reader);
	*reader = NULL;
}

/* Rebuilds the full path in reader->path and checks that it ascends. */
static enum tk_rc
read_path(struct tk_leaf_reader *reader, struct tk_err *err)
{
	struct tk_cursor *cur = &reader->cur;
	struct tk_buf *path = &reader->path;
	size_t shared = (size_t)tk_cursor_uv_max(cur, path->len_bytes);
	size_t old_rest = path->len_bytes - shared;
	size_t suffix_bytes;
	const uint8_t *suffix = tk_cursor_bytes(cur, TK_PATH_BYTES_MAX - shared, &suffix_bytes);
	const char *fault;
	enum tk_rc rc;

	if (!suffix)
		return TK_OK;
	if (!reader->first && tk_path_compare((const char *)path->data + shared, old_rest, (const char *)suffix, suffix_bytes) >= 0)
		tk_cursor_fail(cur, "the paths do not ascend");
	path->len_bytes = shared;
	if ((rc = tk_buf_put(path, suffix, suffix_bytes, err)) != TK_OK)
		return rc;
	if ((rc = tk_buf_reserve(path, 1, err)) != TK_OK)
		return rc;
	if ((fault = tk_path_fault((const char *)path->data, path->len_bytes, shared)) != NULL)
		tk_cursor_fail(cur, fault);
	reader->first = false;
	return TK_OK;
}

static void
read_xattrs(struct tk_cursor *cur, struct parts *parts)
{
	const uint8_t *last = NULL;
	size_t last_bytes = 0;

	parts->xattr_count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur));
	parts->xattrs.data = cur->data + cur->pos_bytes;
	parts->xattrs.len_bytes = tk_cursor_left(cur);
	if (parts->xattr_count == 0)
		tk_cursor_fail(cur, "the extended attributes are missing");
	for (size_t i = 0; i < parts->xattr_count && tk_cursor_ok(cur); i++) {
		size_t name_bytes, value_bytes;
		const uint8_t *name = tk_cursor_bytes(cur, tk_cursor_left(cur), &name_bytes);
		size_t least = name_bytes < last_bytes ? name_bytes : last_bytes;
		int order = last && name ? memcmp(last, name, least) : -1;

		if (name && (name_bytes == 0 || memchr(name, '\0', name_bytes)))
			tk_cursor_fail(cur, "the name of an extended attribute is empty or has a NUL");
		if (order > 0 || (order == 0 && last_bytes >= name_bytes))
			tk_cursor_fail(cur, "the extended attributes do not ascend");
		(void)tk_cursor_bytes(cur, tk_cursor_left(cur), &value_bytes);
		parts->xattr_bytes += name_bytes + 1 + value_bytes;
		last = name;
		last_bytes = name_bytes;
	}
}

static void
read_extensions(struct tk_cursor *cur, struct parts *parts)
{
	size_t start = cur->pos_bytes;
	size_t count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur));
	uint64_t last = 0;

	if (count == 0)
		tk_cursor_fail(cur, "the extensions are missing");
	for (size_t i = 0; i < count && tk_cursor_ok(cur); i++) {
		uint64_t tag = tk_cursor_uv(cur);
		size_t len;

		if (i > 0 && tag <= last)
			tk_cursor_fail(cur, "the extensions do not ascend");
		(void)tk_cursor_bytes(cur, tk_cursor_left(cur), &len);
		last = tag;
	}
	parts->extensions = (struct view){.data = cur->data + start, .len_bytes = cur->pos_bytes - start};
}

static void
read_flagged(struct tk_cursor *cur, struct tk_entry *entry, uint64_t flags, struct parts *parts)
{
	entry->inconsistent = (flags & TK_ENTRY_INCONSISTENT) != 0;
	if (flags & TK_ENTRY_HARDLINK && (entry->hardlink_group = tk_cursor_u64(cur)) == 0)
		tk_cursor_fail(cur, "hardlink group 0");
	if (flags & TK_ENTRY_INODE_FLAGS && (entry->meta.flags = (uint32_t)tk_cursor_uv_max(cur, UINT32_MAX)) == 0)
		tk_cursor_fail(cur, "the inode flags are missing");
	if (flags & TK_ENTRY_XATTRS)
		read_xattrs(cur, parts);
	if (flags & TK_ENTRY_EXTENSIONS)
		read_extensions(cur, parts);
}

static enum tk_rc
read_extents(struct tk_leaf_reader *reader, struct tk_entry *entry, struct tk_err *err)
{
	struct tk_cursor *cur = &reader->cur;
	size_t count = tk_extents_count(cur);
	uint64_t total_bytes;
	enum tk_rc rc = tk_entry_room_extents(entry->memory, count, err);

	if (rc != TK_OK)
		return rc;
	tk_extents_rows(cur, &reader->table, entry->memory->extents, count, &total_bytes);
	if (total_bytes != entry->meta.size_bytes)
		tk_cursor_fail(cur, "the extents do not make up the size");
	entry->kind = TK_CONTENT_EXTENTS;
	entry->extents = entry->memory->extents;
	entry->extent_count = count;
	return TK_OK;
}

static enum tk_rc
read_regular(struct tk_leaf_reader *reader, struct tk_entry *entry, bool has_segments, struct tk_err *err)
{
	struct tk_cursor *cur = &reader->cur;

	entry->meta.size_bytes = tk_cursor_uv(cur);
	tk_cursor_copy(cur, entry->content.b, sizeof(entry->content.b));
	if (entry->meta.size_bytes == 0) {
		if (has_segments)
			tk_cursor_fail(cur, "an empty file with a segment tree");
		return TK_OK;
	}
	if (!has_segments)
		return read_extents(reader, entry, err);
	entry->kind = TK_CONTENT_SEGMENTS;
	entry->segments = tk_pack_table_ref(&reader->table, cur);
	return TK_OK;
}

static enum tk_rc
read_by_type(struct tk_leaf_reader *reader, struct tk_entry *entry, uint64_t flags, struct parts *parts, struct tk_err *err)
{
	struct tk_cursor *cur = &reader->cur;

	if (entry->meta.type == TK_FT_REG)
		return read_regular(reader, entry, (flags & TK_ENTRY_SEGMENTS) != 0, err);
	if (flags & TK_ENTRY_SEGMENTS)
		tk_cursor_fail(cur, "a segment tree without a regular file");
	if (entry->meta.type == TK_FT_SYMLINK) {
		parts->link.data = tk_cursor_bytes(cur, TK_PATH_BYTES_MAX, &parts->link.len_bytes);
		if (parts->link.data && (parts->link.len_bytes == 0 || memchr(parts->link.data, '\0', parts->link.len_bytes)))
			tk_cursor_fail(cur, "a symlink's target is empty or has a NUL");
	}
	if (entry->meta.type == TK_FT_CHAR || entry->meta.type == TK_FT_BLOCK) {
		entry->meta.dev_major = (uint32_t)tk_cursor_uv_max(cur, UINT32_MAX);
		entry->meta.dev_minor = (uint32_t)tk_cursor_uv_max(cur, UINT32_MAX);
	}
	return TK_OK;
}

static enum tk_rc
read_fields(struct tk_leaf_reader *reader, struct tk_entry *entry, struct parts *parts, struct tk_err *err)
{
	struct tk_cursor *cur = &reader->cur;
	struct tk_meta *meta = &entry->meta;
	uint8_t type = tk_cursor_u8(cur);
	uint64_t flags;

	if (type < TK_FT_REG || type > TK_FT_BLOCK)
		tk_cursor_fail(cur, "unknown entry type");
	meta->type = (enum tk_ftype)type;
	meta->mode = (uint32_t)tk_cursor_uv_max(cur, 07777);
	meta->uid = (uint32_t)tk_cursor_uv_max(cur, UINT32_MAX);
	meta->gid = (uint32_t)tk_cursor_uv_max(cur, UINT32_MAX);
	parts->uname = &reader->names[tk_cursor_uv_max(cur, reader->name_count - 1)];
	parts->gname = &reader->names[tk_cursor_uv_max(cur, reader->name_count - 1)];
	meta->mtime_s = tk_cursor_sv(cur);
	meta->mtime_ns = (uint32_t)tk_cursor_uv_max(cur, NSEC - 1);
	flags = tk_cursor_uv_max(cur, FLAGS_KNOWN);
	read_flagged(cur, entry, flags, parts);
	return read_by_type(reader, entry, flags, parts, err);
}

/* Copies with a NUL into room that was reserved; NULL stays NULL. */
static char *
keep_text(struct tk_buf *bytes, const void *src, size_t len_bytes)
{
	uint8_t *at = bytes->data + bytes->len_bytes;

	if (!src)
		return NULL;
	if (len_bytes > 0)
		memcpy(at, src, len_bytes);
	at[len_bytes] = '\0';
	bytes->len_bytes += len_bytes + 1;
	return (char *)at;
}

static enum tk_rc
keep_xattrs(struct tk_entry *entry, const struct parts *parts, struct tk_err *err)
{
	struct tk_entry_memory *memory = entry->memory;
	struct tk_cursor cur;
	enum tk_rc rc = tk_entry_room_xattrs(memory, parts->xattr_count, err);

	if (rc != TK_OK)
		return rc;
	tk_cursor_init(&cur, parts->xattrs.data, parts->xattrs.len_bytes);
	for (size_t i = 0; i < parts->xattr_count; i++) {
		struct tk_xattr *row = &memory->xattrs[i];
		size_t name_bytes;
		const uint8_t *name = tk_cursor_bytes(&cur, tk_cursor_left(&cur), &name_bytes);
		const uint8_t *value;

		row->name = keep_text(&memory->bytes, name, name_bytes);
		value = tk_cursor_bytes(&cur, tk_cursor_left(&cur), &row->len_bytes);
		row->value = memory->bytes.data + memory->bytes.len_bytes;
		if (row->len_bytes > 0)
			memcpy(row->value, value, row->len_bytes);
		memory->bytes.len_bytes += row->len_bytes;
	}
	entry->meta.xattrs = memory->xattrs;
	entry->meta.xattr_count = parts->xattr_count;
	return TK_OK;
}

/* Brings everything that still lies in the page into the entry's own memory. */
static enum tk_rc
keep_parts(struct tk_leaf_reader *reader, struct tk_entry *entry, const struct parts *parts, struct tk_err *err)
{
	struct tk_buf *bytes = &entry->memory->bytes;
	size_t need = reader->path.len_bytes + parts->uname->len_bytes + parts->gname->len_bytes + parts->link.len_bytes + 4 +
		parts->xattr_bytes + parts->extensions.len_bytes;
	enum tk_rc rc = tk_buf_reserve(bytes, need, err);

	if (rc != TK_OK)
		return rc;
	entry->path = keep_text(bytes, reader->path.data, reader->path.len_bytes);
	entry->path_bytes = reader->path.len_bytes;
	entry->meta.uname = keep_text(bytes, parts->uname->data, parts->uname->len_bytes);
	entry->meta.gname = keep_text(bytes, parts->gname->data, parts->gname->len_bytes);
	entry->meta.link_target = keep_text(bytes, parts->link.data, parts->link.len_bytes);
	if (parts->xattr_count > 0 && (rc = keep_xattrs(entry, parts, err)) != TK_OK)
		return rc;
	if (parts->extensions.len_bytes > 0) {
		entry->extensions.data = bytes->data + bytes->len_bytes;
		entry->extensions.len_bytes = parts->extensions.len_bytes;
		memcpy(entry->extensions.data, parts->extensions.data, parts->extensions.len_bytes);
		bytes->len_bytes += parts->extensions.len_bytes;
	}
	return TK_OK;
}

enum tk_rc
tk_leaf_next(struct tk_leaf_reader *reader, struct tk_entry *entry, bool *done, struct tk_err *err)
{
	struct parts parts = {0};
	enum tk_rc rc;

	*done = reader->left == 0;
	if (*done)
		return tk_cursor_end(&reader->cur, "leaf page", err);
	reader->left--;
	if ((rc = tk_entry_refill(entry, err)) != TK_OK)
		return rc;
	if ((rc = read_path(reader, err)) != TK_OK)
		return rc;
	if ((rc = read_fields(reader, entry, &parts, err)) != TK_OK)
		return rc;
	if ((rc = tk_cursor_check(&reader->cur, "leaf page", err)) != TK_OK) {
		/* A fault leaves the entry empty, not half filled. */
		entry->extents = NULL;
		entry->extent_count = 0;
		return rc;
	}
	return keep_parts(reader, entry, &parts, err);
}
