/* entry.h -- one entry of the manifest: a path, its metadata, where its content is (docs/FORMAT.md, section 3).
 *
 * An entry has one owner and is used by one thread at a time. It is one of two kinds:
 *   own     path, extents, extensions and what meta points to are malloc'ed one by one (whoever captures an object makes these);
 *   filled  by tk_leaf_next or tk_entry_copy: all that its pointers reach lies in memory that the entry keeps and uses again for the next
 *           fill, so that a walk over millions of entries allocates nothing. It outlives the page and its reader. Plain fields may be
 *           changed; nothing that a pointer reaches may be grown, freed or handed to tk_meta_put_xattr: make a new entry instead.
 * tk_entry_release is right for both. Whoever only lends an entry for a call (tk_tree_add) may also put one together from borrowed
 * pointers, and then never releases it. */
#ifndef TK_VAULT_ENTRY_H
#define TK_VAULT_ENTRY_H

#include "engine/base/buf.h"
#include "engine/crypto/suite.h"
#include "engine/fsio/meta.h"
#include "engine/vault/ids.h"

/* A longer list of extents than this, encoded, goes into a segment tree. */
#define TK_INLINE_EXTENTS_BYTES 2048u

enum tk_content_kind { TK_CONTENT_NONE, TK_CONTENT_EXTENTS, TK_CONTENT_SEGMENTS };

struct tk_entry_memory;

struct tk_entry {
	char *path;                            /* NUL-terminated for convenience; any other byte may occur */
	size_t path_bytes;
	struct tk_meta meta;                   /* size_bytes is the content's size for regular files */
	bool inconsistent;                     /* changed while it was read */
	uint64_t hardlink_group;               /* 0: none */
	struct tk_digest content;              /* regular files */
	enum tk_content_kind kind;             /* TK_CONTENT_NONE unless a regular file of more than 0 bytes */
	struct tk_extent *extents;             /* TK_CONTENT_EXTENTS */
	size_t extent_count;
	struct tk_blob_ref segments;           /* TK_CONTENT_SEGMENTS: the root segment tree node */
	struct tk_buf extensions;              /* raw `uv count; (uv tag, bytes)...` or empty; kept verbatim */
	struct tk_entry_memory *memory;        /* private: not NULL makes the entry a filled one */
};

void tk_entry_init(struct tk_entry *entry);
void tk_entry_release(struct tk_entry *entry);
/* Fills *to (initialised) with a deep copy. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_entry_copy(struct tk_entry *to, const struct tk_entry *from, struct tk_err *err);

/* Are the portable forms of two entries equal (docs/FORMAT.md, section 3)? `forms` are for scratch, the caller's to release. Errors: TK_ENOMEM, TK_EINVAL (not an
 * entry of the format). */
TK_MUST_CHECK enum tk_rc tk_entry_same_form(const struct tk_entry *a, const struct tk_entry *b, struct tk_buf forms[2], bool *same,
					    struct tk_err *err);

/* The order of the manifest: bytes, with '/' below every other. <0, 0, >0. */
int tk_path_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes);
/* True when path is `dir` or lies below it; the empty dir is "/": everything. */
bool tk_path_is_below(const char *path, size_t path_bytes, const char *dir, size_t dir_bytes);
/* TK_ECORRUPT unless the path is relative, without empty, "." and ".." components and NULs; the empty path is "/" itself. */
TK_MUST_CHECK enum tk_rc tk_path_check(const char *path, size_t path_bytes, struct tk_err *err);

/* h(path) of the format: decides page borders. The hasher is for many paths, one hash call each; one thread. Errors: TK_ENOMEM, TK_EIO. */
struct tk_path_hasher;
TK_MUST_CHECK enum tk_rc tk_path_hasher_new(enum tk_suite suite, struct tk_path_hasher **out, struct tk_err *err);
void tk_path_hasher_cleanup(struct tk_path_hasher **hasher);
TK_MUST_CHECK enum tk_rc tk_path_hasher_run(struct tk_path_hasher *hasher, const char *path, size_t path_bytes, uint64_t *hash,
					    struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_path_hash(enum tk_suite suite, const char *path, size_t path_bytes, uint64_t *hash, struct tk_err *err);

/* Extent lists (section 2), against a blob-local table of packs. */
struct tk_pack_locals;                         /* tk_packtab number -> local index, for one blob at a time being written */
TK_MUST_CHECK enum tk_rc tk_pack_locals_new(uint32_t own_pack, struct tk_pack_locals **out, struct tk_err *err);
void tk_pack_locals_cleanup(struct tk_pack_locals **locals);
/* Forgets all packs, keeps the memory: for the next blob. */
void tk_pack_locals_reset(struct tk_pack_locals *locals, uint32_t own_pack);
/* The local index of a pack, given on first sight; 0 for the own one. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_pack_locals_index(struct tk_pack_locals *locals, uint32_t pack, uint32_t *index, struct tk_err *err);
/* Appends the pack table: `uv count; name[32] each`. */
TK_MUST_CHECK enum tk_rc tk_pack_locals_put_table(const struct tk_pack_locals *locals, struct tk_packtab *packs, struct tk_buf *out,
						  struct tk_err *err);
/* Appends `uv count` and the extents. Errors: TK_ENOMEM, TK_EINVAL (an empty extent, or one that leaves a data blob). */
TK_MUST_CHECK enum tk_rc tk_extents_encode(struct tk_pack_locals *locals, const struct tk_extent *extents, size_t count, struct tk_buf *out,
					   struct tk_err *err);
/* How many bytes the list would take at most (a list names packs in a page of its own): decides between inline extents and a segment tree. */
size_t tk_extents_encoded_bytes(const struct tk_extent *extents, size_t count);

#endif
