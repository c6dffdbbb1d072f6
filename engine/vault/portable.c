/* Portable forms of entries and portable digests of pages (docs/FORMAT.md, section 3). */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"

#define LEAF_PREFIX "leaf"
#define NODE_PREFIX "node"
#define NODE_KEY_PREFIX "twinkeep node"
#define NSEC 1000000000u

struct tk_portable {
	struct tk_hash_ctx *hash;
	struct tk_buf form;
	bool open;
};

static size_t
text_len(const char *text)
{
	return text ? strlen(text) : 0;
}

/* Room for everything, so that the fields are written without looking at the end each time. */
static size_t
form_room(const struct tk_entry *entry)
{
	const struct tk_meta *meta = &entry->meta;
	size_t room = 16 * TK_UV_MAX + TK_DIGEST_BYTES + entry->path_bytes + entry->extensions.len_bytes;

	room += text_len(meta->uname) + text_len(meta->gname) + text_len(meta->link_target);
	for (size_t i = 0; i < meta->xattr_count; i++)
		room += 2 * TK_UV_MAX + strlen(meta->xattrs[i].name) + meta->xattrs[i].len_bytes;
	return room;
}

static uint8_t *
emit_raw(uint8_t *at, const void *src, size_t len_bytes)
{
	if (len_bytes > 0)
		memcpy(at, src, len_bytes);
	return at + len_bytes;
}

static uint8_t *
emit_bytes(uint8_t *at, const void *src, size_t len_bytes)
{
	return emit_raw(tk_emit_uv(at, len_bytes), src, len_bytes);
}

static uint8_t *
emit_sv(uint8_t *at, int64_t value)
{
	return tk_emit_uv(at, ((uint64_t)value << 1) ^ (value < 0 ? UINT64_MAX : 0));
}

static unsigned
entry_flags(const struct tk_entry *entry)
{
	return (entry->inconsistent ? TK_ENTRY_INCONSISTENT : 0) | (entry->hardlink_group ? TK_ENTRY_HARDLINK : 0) |
		(entry->meta.flags ? TK_ENTRY_INODE_FLAGS : 0) | (entry->meta.xattr_count ? TK_ENTRY_XATTRS : 0) |
		(entry->extensions.len_bytes ? TK_ENTRY_EXTENSIONS : 0);
}

static uint8_t *
emit_optional(uint8_t *at, const struct tk_entry *entry)
{
	const struct tk_meta *meta = &entry->meta;

	if (entry->hardlink_group) {
		tk_store_u64(at, entry->hardlink_group);
		at += sizeof(uint64_t);
	}
	if (meta->flags)
		at = tk_emit_uv(at, meta->flags);
	if (meta->xattr_count)
		at = tk_emit_uv(at, meta->xattr_count);
	for (size_t i = 0; i < meta->xattr_count; i++) {
		at = emit_bytes(at, meta->xattrs[i].name, strlen(meta->xattrs[i].name));
		at = emit_bytes(at, meta->xattrs[i].value, meta->xattrs[i].len_bytes);
	}
	return emit_raw(at, entry->extensions.data, entry->extensions.len_bytes);
}

static uint8_t *
emit_by_type(uint8_t *at, const struct tk_entry *entry)
{
	const struct tk_meta *meta = &entry->meta;

	switch (meta->type) {
	case TK_FT_REG:
		return emit_raw(tk_emit_uv(at, meta->size_bytes), entry->content.b, sizeof(entry->content.b));
	case TK_FT_SYMLINK:
		return emit_bytes(at, meta->link_target, text_len(meta->link_target));
	case TK_FT_CHAR:
	case TK_FT_BLOCK:
		return tk_emit_uv(tk_emit_uv(at, meta->dev_major), meta->dev_minor);
	case TK_FT_DIR:
	case TK_FT_FIFO:
	case TK_FT_OTHER:
		break;
	}
	return at;
}

static const char *
entry_fault(const struct tk_entry *entry)
{
	const struct tk_meta *meta = &entry->meta;
	const char *fault = tk_path_fault(entry->path, entry->path_bytes, 0);

	if (fault)
		return fault;
	if (meta->type < TK_FT_REG || meta->type > TK_FT_BLOCK)
		return "its type is not one of the format";
	if (meta->mode > 07777 || meta->mtime_ns >= NSEC)
		return "its mode or time is out of range";
	if (meta->type == TK_FT_SYMLINK && text_len(meta->link_target) == 0)
		return "a symlink without a target";
	for (size_t i = 0; i < meta->xattr_count; i++)
		if (meta->xattrs[i].name[0] == '\0' || (i > 0 && strcmp(meta->xattrs[i - 1].name, meta->xattrs[i].name) >= 0))
			return "its extended attributes are not sorted";
	return NULL;
}

enum tk_rc
tk_form_put(struct tk_buf *out, const struct tk_entry *entry, struct tk_form_marks *marks, struct tk_err *err)
{
	const struct tk_meta *meta = &entry->meta;
	const char *fault = entry_fault(entry);
	size_t room = form_room(entry);
	uint8_t *at;
	enum tk_rc rc;

	if (fault)
		return tk_err_set(err, TK_EINVAL, "%s", fault);
	if (room > TK_ENTRY_FORM_MAX)
		return tk_err_set(err, TK_EINVAL, "its path and metadata are over %u bytes", TK_ENTRY_FORM_MAX);
	if ((rc = tk_buf_reserve(out, room, err)) != TK_OK)
		return rc;
	at = emit_bytes(out->data + out->len_bytes, entry->path, entry->path_bytes);
	marks->type_at = (size_t)(at - out->data);
	*at++ = (uint8_t)meta->type;
	at = tk_emit_uv(tk_emit_uv(tk_emit_uv(at, meta->mode), meta->uid), meta->gid);
	marks->names_at = (size_t)(at - out->data);
	at = emit_bytes(at, meta->uname, text_len(meta->uname));
	at = emit_bytes(at, meta->gname, text_len(meta->gname));
	marks->times_at = (size_t)(at - out->data);
	at = tk_emit_uv(emit_sv(at, meta->mtime_s), meta->mtime_ns);
	marks->flags_at = (size_t)(at - out->data);
	*at++ = (uint8_t)entry_flags(entry);
	at = emit_by_type(emit_optional(at, entry), entry);
	marks->end = out->len_bytes = (size_t)(at - out->data);
	return TK_OK;
}

enum tk_rc
tk_portable_begin(enum tk_suite suite, struct tk_portable **out, struct tk_err *err)
{
	TK_AUTO(tk_portable_cleanup) struct tk_portable *portable = calloc(1, sizeof(*portable));
	enum tk_rc rc;

	if (!portable)
		return tk_err_set(err, TK_ENOMEM, "no memory for a portable digest");
	tk_buf_init(&portable->form, 0);
	if ((rc = tk_hash_ctx_new(suite, &portable->hash, err)) != TK_OK)
		return rc;
	*out = portable;
	portable = NULL;
	return TK_OK;
}

void
tk_portable_cleanup(struct tk_portable **portable)
{
	if (!*portable)
		return;
	tk_hash_ctx_free((*portable)->hash);
	tk_buf_release(&(*portable)->form);
	free(*portable);
	*portable = NULL;
}

static enum tk_rc
portable_open(struct tk_portable *portable, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (!portable->open && (rc = tk_hash_begin(portable->hash, err)) == TK_OK)
		rc = tk_hash_add(portable->hash, LEAF_PREFIX, sizeof(LEAF_PREFIX) - 1, err);
	portable->open = rc == TK_OK;
	return rc;
}

enum tk_rc
tk_portable_add(struct tk_portable *portable, const struct tk_entry *entry, struct tk_err *err)
{
	struct tk_form_marks marks;
	enum tk_rc rc = portable_open(portable, err);

	tk_buf_clear(&portable->form);
	if (rc == TK_OK)
		rc = tk_form_put(&portable->form, entry, &marks, err);
	return rc != TK_OK ? rc : tk_hash_add(portable->hash, portable->form.data, portable->form.len_bytes, err);
}

enum tk_rc
tk_portable_end(struct tk_portable *portable, struct tk_digest *digest, struct tk_err *err)
{
	enum tk_rc rc = portable_open(portable, err);

	portable->open = false;
	return rc != TK_OK ? rc : tk_hash_end(portable->hash, digest->b, err);
}

enum tk_rc
tk_node_portable_with(struct tk_hash_ctx *hash, struct tk_buf *scratch, unsigned level, const struct tk_page_info *children, size_t count,
		      struct tk_digest *digest, struct tk_err *err)
{
	enum tk_rc rc;

	tk_buf_clear(scratch);
	rc = tk_buf_put(scratch, NODE_PREFIX, sizeof(NODE_PREFIX) - 1, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(scratch, (uint8_t)level, err);
	for (size_t i = 0; i < count && rc == TK_OK; i++)
		rc = tk_buf_put(scratch, children[i].portable.b, sizeof(children[i].portable.b), err);
	return rc != TK_OK ? rc : tk_hash_whole(hash, scratch->data, scratch->len_bytes, digest->b, err);
}

enum tk_rc
tk_node_portable(enum tk_suite suite, unsigned level, const struct tk_page_info *children, size_t count, struct tk_digest *digest,
		 struct tk_err *err)
{
	TK_AUTO(tk_hash_ctx_cleanup) struct tk_hash_ctx *hash = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf scratch;
	enum tk_rc rc;

	tk_buf_init(&scratch, 0);
	rc = tk_hash_ctx_new(suite, &hash, err);
	return rc != TK_OK ? rc : tk_node_portable_with(hash, &scratch, level, children, count, digest, err);
}

enum tk_rc
tk_node_key(struct tk_hash_ctx *hash, struct tk_buf *scratch, struct tk_packtab *packs, unsigned level, const struct tk_page_info *children,
	    size_t count, struct tk_digest *key, struct tk_err *err)
{
	enum tk_rc rc;

	tk_buf_clear(scratch);
	rc = tk_buf_put(scratch, NODE_KEY_PREFIX, sizeof(NODE_KEY_PREFIX) - 1, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(scratch, (uint8_t)level, err);
	for (size_t i = 0; i < count && rc == TK_OK; i++) {
		struct tk_pack_name name = tk_packtab_name(packs, children[i].ref.pack);

		rc = tk_buf_put(scratch, name.b, sizeof(name.b), err);
		if (rc == TK_OK)
			rc = tk_buf_put_u32(scratch, children[i].ref.blob, err);
		if (rc == TK_OK)
			rc = tk_buf_put(scratch, children[i].portable.b, sizeof(children[i].portable.b), err);
	}
	return rc != TK_OK ? rc : tk_hash_whole(hash, scratch->data, scratch->len_bytes, key->b, err);
}

enum tk_rc
tk_entry_same_form(const struct tk_entry *a, const struct tk_entry *b, struct tk_buf forms[2], bool *same, struct tk_err *err)
{
	const struct tk_entry *entries[2] = {a, b};
	struct tk_form_marks marks;

	for (int i = 0; i < 2; i++) {
		enum tk_rc rc;

		tk_buf_clear(&forms[i]);
		if ((rc = tk_form_put(&forms[i], entries[i], &marks, err)) != TK_OK)
			return rc;
	}
	*same = forms[0].len_bytes == forms[1].len_bytes && memcmp(forms[0].data, forms[1].data, forms[0].len_bytes) == 0;
	return TK_OK;
}
