/* entry.h -- one entry of the manifest: a path, its metadata, where its content is (docs/FORMAT.md, section 3). */
#ifndef TK_VAULT_ENTRY_H
#define TK_VAULT_ENTRY_H

#include "engine/base/buf.h"
#include "engine/fsio/meta.h"
#include "engine/vault/ids.h"

enum tk_content_kind { TK_CONTENT_NONE, TK_CONTENT_EXTENTS, TK_CONTENT_SEGMENTS };

struct tk_entry {
	char *path;                            /* NUL-terminated for convenience; any other byte may occur */
	size_t path_bytes;
	struct tk_meta meta;                   /* size_bytes is the content's size for regular files */
	bool inconsistent;                     /* changed while it was read */
	uint64_t hardlink_group;               /* 0: none */
	struct tk_digest content;              /* regular files */
	enum tk_content_kind kind;
	struct tk_extent *extents;             /* TK_CONTENT_EXTENTS */
	size_t extent_count;
	struct tk_blob_ref segments;           /* TK_CONTENT_SEGMENTS: the root segment tree node */
	struct tk_buf extensions;              /* raw `uv count; (uv tag, bytes)...` or empty; kept verbatim */
};

void tk_entry_init(struct tk_entry *entry);
void tk_entry_release(struct tk_entry *entry);

/* The order of the manifest: bytes, with '/' below every other. <0, 0, >0. */
int tk_path_compare(const char *a, size_t a_bytes, const char *b, size_t b_bytes);
/* h(path) of the format: decides page borders. */
TK_MUST_CHECK enum tk_rc tk_path_hash(enum tk_suite suite, const char *path, size_t path_bytes, uint64_t *hash, struct tk_err *err);
/* TK_ECORRUPT unless the path is relative, without empty, "." and ".." components and NULs; the empty path is "/" itself. */
TK_MUST_CHECK enum tk_rc tk_path_check(const char *path, size_t path_bytes, struct tk_err *err);

/* Extent lists (section 2), against a page-local table of packs. */
struct tk_pack_locals;                         /* local index <-> tk_packtab number, for one blob being written or read */
TK_MUST_CHECK enum tk_rc tk_pack_locals_new(uint32_t own_pack, struct tk_pack_locals **out, struct tk_err *err);
void tk_pack_locals_cleanup(struct tk_pack_locals **locals);
TK_MUST_CHECK enum tk_rc tk_extents_encode(struct tk_pack_locals *locals, const struct tk_extent *extents, size_t count, struct tk_buf *out,
					   struct tk_err *err);
/* How many bytes the list would take: decides between inline extents and a segment tree. */
size_t tk_extents_encoded_bytes(const struct tk_extent *extents, size_t count);

#endif
