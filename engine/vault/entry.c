#include "engine/vault/entry.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"

void
tk_entry_init(struct tk_entry *entry)
{
	*entry = (struct tk_entry){.kind = TK_CONTENT_NONE};
	tk_meta_init(&entry->meta);
	tk_buf_init(&entry->extensions, 0);
}

static void
memory_free(struct tk_entry_memory *memory)
{
	tk_buf_release(&memory->bytes);
	free(memory->xattrs);
	free(memory->extents);
	free(memory);
}

void
tk_entry_release(struct tk_entry *entry)
{
	if (entry->memory) {
		memory_free(entry->memory);
	} else {
		free(entry->path);
		free(entry->extents);
		tk_meta_release(&entry->meta);
		tk_buf_release(&entry->extensions);
	}
	tk_entry_init(entry);
}

enum tk_rc
tk_entry_refill(struct tk_entry *entry, struct tk_err *err)
{
	struct tk_entry_memory *memory = entry->memory;

	if (!memory) {
		tk_entry_release(entry);
		if (!(memory = calloc(1, sizeof(*memory))))
			return tk_err_set(err, TK_ENOMEM, "no memory for an entry");
		tk_buf_init(&memory->bytes, 0);
	}
	tk_entry_init(entry);
	tk_buf_clear(&memory->bytes);
	entry->memory = memory;
	return TK_OK;
}

static enum tk_rc
make_room(void **rows, size_t *cap, size_t count, size_t row_bytes, struct tk_err *err)
{
	size_t grown = count + count / 2 + 4;
	void *fresh;

	if (count <= *cap)
		return TK_OK;
	fresh = reallocarray(*rows, grown, row_bytes);
	if (!fresh)
		return tk_err_set(err, TK_ENOMEM, "no memory for an entry");
	*rows = fresh;
	*cap = grown;
	return TK_OK;
}

enum tk_rc
tk_entry_room_xattrs(struct tk_entry_memory *memory, size_t count, struct tk_err *err)
{
	void *rows = memory->xattrs;
	enum tk_rc rc = make_room(&rows, &memory->xattr_cap, count, sizeof(*memory->xattrs), err);

	memory->xattrs = rows;
	return rc;
}

enum tk_rc
tk_entry_room_extents(struct tk_entry_memory *memory, size_t count, struct tk_err *err)
{
	void *rows = memory->extents;
	enum tk_rc rc = make_room(&rows, &memory->extent_cap, count, sizeof(*memory->extents), err);

	memory->extents = rows;
	return rc;
}

static size_t
text_bytes(const char *text)
{
	return text ? strlen(text) + 1 : 0;
}

/* Copies into room that was reserved; NULL stays NULL. */
static char *
keep(struct tk_buf *bytes, const void *src, size_t len_bytes)
{
	uint8_t *at = bytes->data + bytes->len_bytes;

	if (!src)
		return NULL;
	if (len_bytes > 0)
		memcpy(at, src, len_bytes);
	bytes->len_bytes += len_bytes;
	return (char *)at;
}

static enum tk_rc
reserve_copy(struct tk_entry_memory *memory, const struct tk_entry *from, struct tk_err *err)
{
	const struct tk_meta *meta = &from->meta;
	size_t need = from->path_bytes + 1 + text_bytes(meta->uname) + text_bytes(meta->gname) + text_bytes(meta->link_target) +
		from->extensions.len_bytes;
	enum tk_rc rc;

	for (size_t i = 0; i < meta->xattr_count; i++)
		need += text_bytes(meta->xattrs[i].name) + meta->xattrs[i].len_bytes;
	if ((rc = tk_buf_reserve(&memory->bytes, need, err)) != TK_OK)
		return rc;
	if ((rc = tk_entry_room_xattrs(memory, meta->xattr_count, err)) != TK_OK)
		return rc;
	return tk_entry_room_extents(memory, from->extent_count, err);
}

static void
copy_rows(struct tk_entry *to, const struct tk_entry *from, struct tk_entry_memory *memory)
{
	for (size_t i = 0; i < from->meta.xattr_count; i++) {
		const struct tk_xattr *row = &from->meta.xattrs[i];

		memory->xattrs[i].name = keep(&memory->bytes, row->name, strlen(row->name) + 1);
		memory->xattrs[i].value = (uint8_t *)keep(&memory->bytes, row->value, row->len_bytes);
		memory->xattrs[i].len_bytes = row->len_bytes;
	}
	to->meta.xattrs = from->meta.xattr_count ? memory->xattrs : NULL;
	if (from->extent_count > 0)
		memcpy(memory->extents, from->extents, from->extent_count * sizeof(*from->extents));
	to->extents = from->extent_count ? memory->extents : NULL;
}

enum tk_rc
tk_entry_copy(struct tk_entry *to, const struct tk_entry *from, struct tk_err *err)
{
	struct tk_entry_memory *memory;
	enum tk_rc rc;

	if ((rc = tk_entry_refill(to, err)) != TK_OK)
		return rc;
	memory = to->memory;
	if ((rc = reserve_copy(memory, from, err)) != TK_OK)
		return rc;
	*to = *from;
	to->memory = memory;
	to->path = keep(&memory->bytes, from->path ? from->path : "", from->path_bytes);
	(void)keep(&memory->bytes, "", 1);
	to->meta.uname = keep(&memory->bytes, from->meta.uname, text_bytes(from->meta.uname));
	to->meta.gname = keep(&memory->bytes, from->meta.gname, text_bytes(from->meta.gname));
	to->meta.link_target = keep(&memory->bytes, from->meta.link_target, text_bytes(from->meta.link_target));
	copy_rows(to, from, memory);
	tk_buf_init(&to->extensions, 0);
	to->extensions.data = (uint8_t *)keep(&memory->bytes, from->extensions.data, from->extensions.len_bytes);
	to->extensions.len_bytes = from->extensions.len_bytes;
	return TK_OK;
}
