/* A leaf page being collected. What depends on the pack that will hold the page (pack indices) is kept as it came and encoded at the end;
 * the rest of each entry is encoded once, as its portable form, and copied from there. */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"

#define LEAF_PREFIX_BYTES 4u            /* "leaf": forms begin with it, so that the digest is one hash call */

/* Bytes of body before the place where a content goes, and that content. */
struct slot {
	size_t body_end;
	size_t first_extent;
	size_t extent_count;                   /* 0: a segment tree */
	struct tk_blob_ref segments;
};

/* A user or group name of the page; in `texts`. */
struct name {
	size_t at;
	size_t len_bytes;
};

struct tk_leafw {
	struct tk_hash_ctx *hash;
	struct tk_buf forms;                   /* "leaf", portable forms; then the one on offer */
	size_t forms_len;                      /* without the one on offer */
	struct tk_form_marks offer;
	struct tk_buf body;
	struct tk_buf first_path, last_path;
	size_t entries;
	uint64_t content_bytes;
	struct slot *slots;
	size_t slot_count, slot_cap;
	struct tk_extent *extents;
	size_t extent_count, extent_cap;
	struct name *names;
	size_t name_count, name_cap;
	struct tk_buf texts;
	struct tk_buf coded, plain;
	struct tk_ref_list refs;
};

static void
clear_page(struct tk_leafw *leaf)
{
	tk_buf_clear(&leaf->body);
	tk_buf_clear(&leaf->texts);
	tk_buf_clear(&leaf->last_path);
	leaf->entries = leaf->slot_count = leaf->extent_count = leaf->name_count = 0;
	leaf->content_bytes = 0;
}

enum tk_rc
tk_leafw_new(enum tk_suite suite, struct tk_leafw **out, struct tk_err *err)
{
	TK_AUTO(tk_leafw_cleanup) struct tk_leafw *leaf = calloc(1, sizeof(*leaf));
	enum tk_rc rc;

	if (!leaf)
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	tk_buf_init(&leaf->plain, TK_BLOB_META_MAX);
	if ((rc = tk_hash_ctx_new(suite, &leaf->hash, err)) != TK_OK)
		return rc;
	if ((rc = tk_buf_put(&leaf->forms, "leaf", LEAF_PREFIX_BYTES, err)) != TK_OK)
		return rc;
	leaf->forms_len = LEAF_PREFIX_BYTES;
	*out = leaf;
	leaf = NULL;
	return TK_OK;
}

void
tk_leafw_cleanup(struct tk_leafw **leaf)
{
	struct tk_leafw *page = *leaf;

	if (!page)
		return;
	tk_hash_ctx_free(page->hash);
	tk_buf_release(&page->forms);
	tk_buf_release(&page->body);
	tk_buf_release(&page->first_path);
	tk_buf_release(&page->last_path);
	tk_buf_release(&page->texts);
	tk_buf_release(&page->coded);
	tk_buf_release(&page->plain);
	tk_ref_list_release(&page->refs);
	free(page->slots);
	free(page->extents);
	free(page->names);
	free(page);
	*leaf = NULL;
}

size_t
tk_leafw_entries(const struct tk_leafw *leaf)
{
	return leaf->entries;
}

static enum tk_rc
check_content(const struct tk_entry *entry, struct tk_err *err)
{
	uint64_t total_bytes = 0;

	if ((entry->kind != TK_CONTENT_NONE) != (entry->meta.type == TK_FT_REG && entry->meta.size_bytes > 0))
		return tk_err_set(err, TK_EINVAL, "its content does not go with its type and size");
	if (entry->kind != TK_CONTENT_EXTENTS)
		return TK_OK;
	for (size_t i = 0; i < entry->extent_count; i++)
		total_bytes += entry->extents[i].length_bytes;
	if (total_bytes != entry->meta.size_bytes)
		return tk_err_set(err, TK_EINVAL, "its extents do not make up its size");
	if (tk_extents_encoded_bytes(entry->extents, entry->extent_count) > TK_INLINE_EXTENTS_BYTES)
		return tk_err_set(err, TK_EINVAL, "its extents are too many for a page");
	return TK_OK;
}

enum tk_rc
tk_leafw_offer(struct tk_leafw *leaf, const struct tk_entry *entry, bool *fits, struct tk_err *err)
{
	enum tk_rc rc;

	leaf->forms.len_bytes = leaf->forms_len;
	if ((rc = check_content(entry, err)) != TK_OK)
		return rc;
	if ((rc = tk_form_put(&leaf->forms, entry, &leaf->offer, err)) != TK_OK)
		return rc;
	*fits = leaf->entries == 0 ||
		(leaf->entries < TK_LEAF_ENTRIES_MAX && leaf->offer.end - LEAF_PREFIX_BYTES <= TK_LEAF_FORMS_MAX);
	return TK_OK;
}

static enum tk_rc
grow(void **rows, size_t *cap, size_t need, size_t row_bytes, struct tk_err *err)
{
	size_t grown = need + need / 2 + 64;
	void *fresh;

	if (need <= *cap)
		return TK_OK;
	if (!(fresh = reallocarray(*rows, grown, row_bytes)))
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	*rows = fresh;
	*cap = grown;
	return TK_OK;
}

/* The index of a name in the page's table; 0 for none. The few names of a page repeat, so a walk over them is enough. */
static enum tk_rc
name_index(struct tk_leafw *leaf, const char *text, size_t *index, struct tk_err *err)
{
	size_t len = text ? strlen(text) : 0;
	void *rows = leaf->names;
	enum tk_rc rc;

	*index = 0;
	if (len == 0)
		return TK_OK;
	for (size_t i = 0; i < leaf->name_count; i++) {
		const struct name *name = &leaf->names[i];

		if (name->len_bytes == len && memcmp(leaf->texts.data + name->at, text, len) == 0) {
			*index = i + 1;
			return TK_OK;
		}
	}
	rc = grow(&rows, &leaf->name_cap, leaf->name_count + 1, sizeof(*leaf->names), err);
	leaf->names = rows;
	if (rc != TK_OK)
		return rc;
	leaf->names[leaf->name_count] = (struct name){.at = leaf->texts.len_bytes, .len_bytes = len};
	if ((rc = tk_buf_put(&leaf->texts, text, len, err)) != TK_OK)
		return rc;
	*index = ++leaf->name_count;
	return TK_OK;
}

static enum tk_rc
keep_extents(struct tk_leafw *leaf, const struct tk_entry *entry, struct tk_err *err)
{
	void *rows = leaf->extents;
	enum tk_rc rc;

	rc = grow(&rows, &leaf->extent_cap, leaf->extent_count + entry->extent_count, sizeof(*leaf->extents), err);
	leaf->extents = rows;
	if (rc != TK_OK)
		return rc;
	memcpy(&leaf->extents[leaf->extent_count], entry->extents, entry->extent_count * sizeof(*entry->extents));
	leaf->extent_count += entry->extent_count;
	return TK_OK;
}

static enum tk_rc
keep_content(struct tk_leafw *leaf, const struct tk_entry *entry, struct tk_err *err)
{
	void *rows = leaf->slots;
	struct slot slot = {.body_end = leaf->body.len_bytes, .first_extent = leaf->extent_count};
	enum tk_rc rc;

	if (entry->meta.type == TK_FT_REG)
		leaf->content_bytes = tk_add_saturating(leaf->content_bytes, entry->meta.size_bytes);
	if (entry->kind == TK_CONTENT_NONE)
		return TK_OK;
	if (entry->kind == TK_CONTENT_SEGMENTS) {
		slot.segments = entry->segments;
	} else {
		slot.extent_count = entry->extent_count;
		if ((rc = keep_extents(leaf, entry, err)) != TK_OK)
			return rc;
	}
	rc = grow(&rows, &leaf->slot_cap, leaf->slot_count + 1, sizeof(*leaf->slots), err);
	leaf->slots = rows;
	if (rc == TK_OK)
		leaf->slots[leaf->slot_count++] = slot;
	return rc;
}

static uint8_t *
emit_part(uint8_t *at, const struct tk_leafw *leaf, size_t from, size_t to)
{
	memcpy(at, leaf->forms.data + from, to - from);
	return at + (to - from);
}

/* The leaf form is the portable form with another spelling of path and names, and one more flag. */
static enum tk_rc
put_leaf_form(struct tk_leafw *leaf, const struct tk_entry *entry, size_t uname, size_t gname, struct tk_err *err)
{
	const struct tk_form_marks *form = &leaf->offer;
	size_t last = leaf->last_path.len_bytes;
	size_t least = entry->path_bytes < last ? entry->path_bytes : last;
	size_t shared = least ? tk_path_shared(entry->path, (const char *)leaf->last_path.data, least) : 0;
	size_t suffix = entry->path_bytes - shared;
	uint8_t *at;
	enum tk_rc rc = tk_buf_reserve(&leaf->body, 4 * TK_UV_MAX + (form->end - leaf->forms_len), err);

	if (rc != TK_OK)
		return rc;
	at = tk_emit_uv(tk_emit_uv(leaf->body.data + leaf->body.len_bytes, shared), suffix);
	if (suffix > 0)
		memcpy(at, entry->path + shared, suffix);
	at = emit_part(at + suffix, leaf, form->type_at, form->names_at);
	at = tk_emit_uv(tk_emit_uv(at, uname), gname);
	at = emit_part(at, leaf, form->times_at, form->flags_at);
	*at++ = (uint8_t)(leaf->forms.data[form->flags_at] | (entry->kind == TK_CONTENT_SEGMENTS ? TK_ENTRY_SEGMENTS : 0));
	at = emit_part(at, leaf, form->flags_at + 1, form->end);
	leaf->body.len_bytes = (size_t)(at - leaf->body.data);
	tk_buf_clear(&leaf->last_path);
	return tk_buf_put(&leaf->last_path, entry->path, entry->path_bytes, err);
}

enum tk_rc
tk_leafw_take(struct tk_leafw *leaf, const struct tk_entry *entry, struct tk_err *err)
{
	size_t uname, gname;
	enum tk_rc rc;

	if (leaf->entries == 0) {
		tk_buf_clear(&leaf->first_path);
		if ((rc = tk_buf_put(&leaf->first_path, entry->path, entry->path_bytes, err)) != TK_OK)
			return rc;
	}
	if ((rc = name_index(leaf, entry->meta.uname, &uname, err)) != TK_OK)
		return rc;
	if ((rc = name_index(leaf, entry->meta.gname, &gname, err)) != TK_OK)
		return rc;
	if ((rc = put_leaf_form(leaf, entry, uname, gname, err)) != TK_OK)
		return rc;
	if ((rc = keep_content(leaf, entry, err)) != TK_OK)
		return rc;
	leaf->forms_len = leaf->offer.end;
	leaf->entries++;
	return TK_OK;
}

enum tk_rc
tk_leafw_info(struct tk_leafw *leaf, struct tk_page_info *info, struct tk_err *err)
{
	size_t len = leaf->entries ? leaf->first_path.len_bytes : 0;
	char *path = malloc(len + 1);
	enum tk_rc rc;

	if (!path)
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	if (len > 0)
		memcpy(path, leaf->first_path.data, len);
	path[len] = '\0';
	*info = (struct tk_page_info){.entries = leaf->entries, .content_bytes = leaf->content_bytes, .first_path = path, .first_path_bytes = len};
	rc = tk_hash_whole(leaf->hash, leaf->forms.data, leaf->forms_len, info->portable.b, err);
	if (rc != TK_OK)
		tk_page_info_release(info);
	return rc;
}

static enum tk_rc
encode_slot(struct tk_leafw *leaf, struct tk_pack_locals *locals, const struct slot *slot, struct tk_err *err)
{
	const struct tk_extent *extents = &leaf->extents[slot->first_extent];
	enum tk_rc rc;

	if (slot->extent_count == 0) {
		rc = tk_ref_list_add(&leaf->refs, slot->segments, err);
		return rc != TK_OK ? rc : tk_pack_locals_put_ref(locals, slot->segments, &leaf->coded, err);
	}
	rc = tk_ref_list_add_extents(&leaf->refs, extents, slot->extent_count, err);
	return rc != TK_OK ? rc : tk_extents_encode(locals, extents, slot->extent_count, &leaf->coded, err);
}

/* Puts the contents into the body; learns the packs while it does. */
static enum tk_rc
encode_entries(struct tk_leafw *leaf, struct tk_pack_locals *locals, struct tk_err *err)
{
	size_t from = 0;
	enum tk_rc rc = TK_OK;

	tk_buf_clear(&leaf->coded);
	leaf->refs.count = 0;
	for (size_t i = 0; i < leaf->slot_count && rc == TK_OK; i++) {
		rc = tk_buf_put(&leaf->coded, leaf->body.data + from, leaf->slots[i].body_end - from, err);
		if (rc == TK_OK)
			rc = encode_slot(leaf, locals, &leaf->slots[i], err);
		from = leaf->slots[i].body_end;
	}
	return rc != TK_OK ? rc : tk_buf_put(&leaf->coded, leaf->body.data + from, leaf->body.len_bytes - from, err);
}

static enum tk_rc
put_names(const struct tk_leafw *leaf, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put_uv(out, leaf->name_count, err);

	for (size_t i = 0; i < leaf->name_count && rc == TK_OK; i++)
		rc = tk_buf_put_bytes(out, leaf->texts.data + leaf->names[i].at, leaf->names[i].len_bytes, err);
	return rc;
}

enum tk_rc
tk_leafw_encode(struct tk_leafw *leaf, struct tk_pack_locals *locals, struct tk_packtab *packs, const struct tk_buf **plain,
		const struct tk_ref_list **refs, struct tk_err *err)
{
	struct tk_buf *out = &leaf->plain;
	enum tk_rc rc = encode_entries(leaf, locals, err);

	tk_buf_clear(out);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(out, TK_PAGE_VERSION, err);
	if (rc == TK_OK)
		rc = tk_pack_locals_put_table(locals, packs, out, err);
	if (rc == TK_OK)
		rc = put_names(leaf, out, err);
	if (rc == TK_OK)
		rc = tk_buf_put_uv(out, leaf->entries, err);
	if (rc == TK_OK)
		rc = tk_buf_put(out, leaf->coded.data, leaf->coded.len_bytes, err);
	*plain = out;
	*refs = &leaf->refs;
	return rc;
}

void
tk_leafw_clear(struct tk_leafw *leaf)
{
	size_t offered = leaf->forms.len_bytes - leaf->forms_len;
	size_t shift = leaf->forms_len - LEAF_PREFIX_BYTES;

	if (offered > 0) {
		memmove(leaf->forms.data + LEAF_PREFIX_BYTES, leaf->forms.data + leaf->forms_len, offered);
		leaf->offer.type_at -= shift;
		leaf->offer.names_at -= shift;
		leaf->offer.times_at -= shift;
		leaf->offer.flags_at -= shift;
		leaf->offer.end -= shift;
	}
	leaf->forms_len = LEAF_PREFIX_BYTES;
	leaf->forms.len_bytes = LEAF_PREFIX_BYTES + offered;
	clear_page(leaf);
}
