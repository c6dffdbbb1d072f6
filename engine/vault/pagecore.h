/* pagecore.h -- what the encoders and decoders of pages and maps share; private to engine/vault. */
#ifndef TK_VAULT_PAGECORE_H
#define TK_VAULT_PAGECORE_H

#include "engine/base/cursor.h"
#include "engine/crypto/hash.h"
#include "engine/vault/entry.h"
#include "engine/vault/page.h"

#define TK_PAGE_VERSION 1u
#define TK_PAGE_BORDER_BITS 6u
#define TK_LEAF_FORMS_MAX (1u << 20)    /* a leaf of more than one entry has at most this many bytes of portable forms, */
#define TK_LEAF_ENTRIES_MAX 1024u       /* and this many entries */
#define TK_NODE_CHILDREN_MAX 1024u
#define TK_NODE_PATHS_MAX (4u << 20)    /* bytes of first paths in a node */
#define TK_NODE_LEVEL_MAX 32u
#define TK_ENTRY_FORM_MAX (4u << 20)    /* bytes of one entry's portable form */
#define TK_BLOB_NUMBER_MAX 65534u
#define TK_UV_MAX 10u                   /* bytes of the longest uv */

/* Bits of the entry flags. */
#define TK_ENTRY_INCONSISTENT 1u
#define TK_ENTRY_HARDLINK 2u
#define TK_ENTRY_INODE_FLAGS 4u
#define TK_ENTRY_XATTRS 8u
#define TK_ENTRY_EXTENSIONS 16u
#define TK_ENTRY_SEGMENTS 32u

/* Encoders into memory that was reserved: they return where the next byte goes. */
static inline uint8_t *
tk_emit_uv(uint8_t *at, uint64_t value)
{
	while (value >= 0x80) {
		*at++ = (uint8_t)(value | 0x80);
		value >>= 7;
	}
	*at++ = (uint8_t)value;
	return at;
}

static inline size_t
tk_uv_bytes(uint64_t value)
{
	size_t len = 1;

	while (value >>= 7)
		len++;
	return len;
}

/* Content sizes are summed for information; sparse files may claim more than 64 bits of it together. */
static inline uint64_t
tk_add_saturating(uint64_t a, uint64_t b)
{
	return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* Static text of what is wrong with the path from the component that holds byte `from` on; NULL when it is well. */
const char *tk_path_fault(const char *path, size_t path_bytes, size_t from);
/* How many leading bytes a and b share, at most len. */
size_t tk_path_shared(const char *a, const char *b, size_t len_bytes);

/* The memory of a filled entry. */
struct tk_entry_memory {
	struct tk_buf bytes;                   /* path, names, link target, extended attributes, extensions */
	struct tk_xattr *xattrs;
	size_t xattr_cap;
	struct tk_extent *extents;
	size_t extent_cap;
};
/* Makes *entry an empty filled one that has its memory. */
TK_MUST_CHECK enum tk_rc tk_entry_refill(struct tk_entry *entry, struct tk_err *err);
/* Makes room for count rows; what was there is lost. */
TK_MUST_CHECK enum tk_rc tk_entry_room_xattrs(struct tk_entry_memory *memory, size_t count, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_entry_room_extents(struct tk_entry_memory *memory, size_t count, struct tk_err *err);

/* The pack table of a blob being read: numbers[index]; index 0 is the pack that holds the blob. */
struct tk_pack_table {
	uint32_t *numbers;                     /* owned */
	size_t count;
};
TK_MUST_CHECK enum tk_rc tk_pack_table_read(struct tk_cursor *cur, uint32_t own_pack, struct tk_packtab *packs, struct tk_pack_table *out,
					    struct tk_err *err);
void tk_pack_table_release(struct tk_pack_table *table);
/* `uv pack index, uv blob number`. */
struct tk_blob_ref tk_pack_table_ref(const struct tk_pack_table *table, struct tk_cursor *cur);
/* The pack that index 0 stands for. */
uint32_t tk_pack_locals_own(const struct tk_pack_locals *locals);
/* Appends `uv pack index, uv blob number`. */
TK_MUST_CHECK enum tk_rc tk_pack_locals_put_ref(struct tk_pack_locals *locals, struct tk_blob_ref ref, struct tk_buf *out, struct tk_err *err);

/* Reads an extent list. tk_extents_count first (it is bounded by the bytes that are left), then as many rows as it says;
 * *total_bytes is the sum of their lengths, 0 on a fault. */
size_t tk_extents_count(struct tk_cursor *cur);
void tk_extents_rows(struct tk_cursor *cur, const struct tk_pack_table *table, struct tk_extent *rows, size_t count, uint64_t *total_bytes);

/* A growing list of references in the clear; neighbours are not put twice. */
struct tk_ref_list {
	struct tk_blob_ref *refs;              /* owned */
	size_t count;
	size_t cap;
};
TK_MUST_CHECK enum tk_rc tk_ref_list_add(struct tk_ref_list *list, struct tk_blob_ref ref, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_ref_list_add_extents(struct tk_ref_list *list, const struct tk_extent *extents, size_t count, struct tk_err *err);
void tk_ref_list_release(struct tk_ref_list *list);

/* Where the parts of a portable form are, from the start of the buffer it was put into. */
struct tk_form_marks {
	size_t type_at;
	size_t names_at;                       /* user and group name */
	size_t times_at;
	size_t flags_at;                       /* one byte */
	size_t end;
};
/* Appends the entry's portable form. Errors: TK_EINVAL (it is no entry that the format knows), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_form_put(struct tk_buf *out, const struct tk_entry *entry, struct tk_form_marks *marks, struct tk_err *err);

/* As tk_node_portable, with a context of the caller's; `scratch` is cleared and used. */
TK_MUST_CHECK enum tk_rc tk_node_portable_with(struct tk_hash_ctx *hash, struct tk_buf *scratch, unsigned level,
					       const struct tk_page_info *children, size_t count, struct tk_digest *digest, struct tk_err *err);
/* The key of node_find. */
TK_MUST_CHECK enum tk_rc tk_node_key(struct tk_hash_ctx *hash, struct tk_buf *scratch, struct tk_packtab *packs, unsigned level,
				     const struct tk_page_info *children, size_t count, struct tk_digest *key, struct tk_err *err);
/* Encodes a node page for the pack of `locals` into *out (cleared first). */
TK_MUST_CHECK enum tk_rc tk_node_encode(struct tk_pack_locals *locals, struct tk_packtab *packs, unsigned level,
					const struct tk_page_info *children, size_t count, struct tk_buf *scratch, struct tk_buf *out,
					struct tk_err *err);

/* A leaf being collected: entries come in, what depends on its pack is encoded at the end. */
struct tk_leafw;
TK_MUST_CHECK enum tk_rc tk_leafw_new(enum tk_suite suite, struct tk_leafw **out, struct tk_err *err);
void tk_leafw_cleanup(struct tk_leafw **leaf);
size_t tk_leafw_entries(const struct tk_leafw *leaf);
/* Takes the entry's portable form as candidate; *fits says whether the leaf has room for it (an empty one always has). */
TK_MUST_CHECK enum tk_rc tk_leafw_offer(struct tk_leafw *leaf, const struct tk_entry *entry, bool *fits, struct tk_err *err);
/* Adds the entry that was offered last. */
TK_MUST_CHECK enum tk_rc tk_leafw_take(struct tk_leafw *leaf, const struct tk_entry *entry, struct tk_err *err);
/* Fills what is known of the leaf but its place; first_path is a copy that the caller owns. */
TK_MUST_CHECK enum tk_rc tk_leafw_info(struct tk_leafw *leaf, struct tk_page_info *info, struct tk_err *err);
/* Encodes for the pack of `locals`; *plain and *refs are lent until the next call with this leaf. */
TK_MUST_CHECK enum tk_rc tk_leafw_encode(struct tk_leafw *leaf, struct tk_pack_locals *locals, struct tk_packtab *packs,
					 const struct tk_buf **plain, const struct tk_ref_list **refs, struct tk_err *err);
/* Empties the leaf; an entry that was offered and not taken stays offered. */
void tk_leafw_clear(struct tk_leafw *leaf);

#endif
