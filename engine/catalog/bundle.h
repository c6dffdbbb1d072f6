/* bundle.h -- a run of leaf pages with their sidecars in one file. Private to engine/catalog; local, so its version may change freely.
 *
 * "TWKBNDL1", u8 version = 2, uv pack count, name[32] each, uv leaf count, per leaf: bytes first path, uv pack index, uv blob, digest[32] portable
 * digest, uv entries, uv content bytes, bytes page, and a sidecar an entry: sv dev, sv ino, sv ctime seconds (each the difference to the row before, which
 * is zeros at first), uv ctime nanoseconds << 1 | racy, uv number of links. The same leaves give the same bytes, in whatever process. One thread each. */
#ifndef TK_CATALOG_BUNDLE_H
#define TK_CATALOG_BUNDLE_H

#include "engine/base/cursor.h"
#include "engine/catalog/catalog.h"

#define TK_BUNDLE_SOFT_BYTES (4u << 20)   /* a bundle that has grown over it ends */
#define TK_BUNDLE_BYTES_MAX (64u << 20)

/* A bundle that is being made: tk_bundle_out_init, adds, head; clear for the next. */
struct tk_bundle_out {
	struct tk_buf head;           /* what comes before the leaves; made by tk_bundle_out_head */
	struct tk_buf leaves;
	uint32_t *packs;              /* numbers in order of appearance */
	size_t pack_count, pack_cap;
	uint64_t leaf_count, entries;
};
void tk_bundle_out_init(struct tk_bundle_out *out);
void tk_bundle_out_release(struct tk_bundle_out *out);
void tk_bundle_out_clear(struct tk_bundle_out *out);
/* How far it is; and back to there, without the leaves added since. */
struct tk_bundle_mark {
	size_t leaves_bytes, pack_count;
	uint64_t leaf_count, entries;
};
struct tk_bundle_mark tk_bundle_out_mark(const struct tk_bundle_out *out);
void tk_bundle_out_return(struct tk_bundle_out *out, const struct tk_bundle_mark *mark);
/* Errors: TK_EINVAL (a page or the bundle too large, a count that is not the page's), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_bundle_out_add(struct tk_bundle_out *out, const struct tk_page_info *info, const void *plain, size_t plain_bytes,
					   const struct tk_sidecar *sidecars, size_t count, struct tk_err *err);
/* Fills out->head: the bundle is head and leaves. */
TK_MUST_CHECK enum tk_rc tk_bundle_out_head(struct tk_bundle_out *out, struct tk_packtab *packs, struct tk_err *err);

/* A bundle that is being read; all zero at first. */
struct tk_bundle_in {
	struct tk_cursor cur;
	uint32_t *packs;
	size_t pack_count;
	uint64_t leaves_left, entries_read;
	struct tk_buf path;           /* first path with a NUL */
	struct tk_sidecar *rows;
	size_t row_cap;
	size_t leaf_at_bytes;         /* where the record of the leaf given last begins */
	struct tk_catalog_leaf leaf;
};
/* The bytes are borrowed until the next begin or release; that they fit their name is the caller's to check. Errors: TK_ECORRUPT, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_bundle_in_begin(struct tk_bundle_in *in, const void *bytes, size_t len_bytes, struct tk_packtab *packs,
					    struct tk_err *err);
/* *leaf is borrowed until the next call; NULL at the end. */
TK_MUST_CHECK enum tk_rc tk_bundle_in_next(struct tk_bundle_in *in, const struct tk_catalog_leaf **leaf, struct tk_err *err);
/* Decodes the record of one leaf alone, whose page lies in pack number `pack`. As tk_bundle_in_next otherwise; in may be used for nothing else. */
TK_MUST_CHECK enum tk_rc tk_bundle_in_record(struct tk_bundle_in *in, const void *bytes, size_t len_bytes, uint32_t pack,
					     const struct tk_catalog_leaf **leaf, struct tk_err *err);
void tk_bundle_in_release(struct tk_bundle_in *in);

#endif
