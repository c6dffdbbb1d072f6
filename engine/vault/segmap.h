/* segmap.h -- large files: segment maps with overlays, and the tree of segments (docs/FORMAT.md, section 4).
 *
 * Pure encoding and decoding; blobs come from and go through the callers' functions. */
#ifndef TK_VAULT_SEGMAP_H
#define TK_VAULT_SEGMAP_H

#include "engine/vault/blob_source.h"
#include "engine/vault/entry.h"
#include "engine/vault/page.h"

#define TK_OVERLAYS_MAX 3
#define TK_SEGMENT_FANOUT 256

/* One segment of a file as its tree tells it. */
struct tk_segment {
	struct tk_digest digest;
	uint64_t length_bytes;
	struct tk_blob_ref base;
	struct tk_blob_ref overlays[TK_OVERLAYS_MAX]; /* oldest first */
	unsigned overlay_count;
};

/* Reads the whole tree below root into an array of segments (malloc'ed). segment_bytes and size_bytes are what the point and the entry say; anything that does not fit them is
 * TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_segments_read(const struct tk_blob_source *source, struct tk_packtab *packs, struct tk_blob_ref root,
					  uint64_t size_bytes, uint64_t segment_bytes, struct tk_segment **out, size_t *count, struct tk_err *err);
/* Resolves base and overlays of one segment into one extent list covering it (malloc'ed). */
TK_MUST_CHECK enum tk_rc tk_segment_extents(const struct tk_blob_source *source, struct tk_packtab *packs, const struct tk_segment *segment,
					    struct tk_extent **out, size_t *count, struct tk_err *err);
/* Cuts the part [offset, offset + length) out of an extent list (a COPY of a delta becomes slices of the old version's extents); appends to *out, growing it; merges with the last
 * one where they touch. */
TK_MUST_CHECK enum tk_rc tk_extents_slice(const struct tk_extent *extents, size_t count, uint64_t offset_bytes, uint64_t length_bytes,
					  struct tk_extent **out, size_t *out_count, size_t *out_cap, struct tk_err *err);
/* Appends one extent, merging it with the last one where they touch (same blob, consecutive offsets; or two holes). */
TK_MUST_CHECK enum tk_rc tk_extents_append(struct tk_extent **list, size_t *count, size_t *cap, struct tk_extent extent, struct tk_err *err);

/*
 * Stores a segment's new extents. old/old_extents (may be NULL): the segment of the version before at the same place and its resolved extents. Emits, as is
 * smallest: nothing (equal: *out gets old's maps), an overlay on top of old's maps, merged with newer overlays geometrically (never more than TK_OVERLAYS_MAX), or a new base. `digest` and
 * `length_bytes` go into *out.
 */
TK_MUST_CHECK enum tk_rc tk_segment_store(const struct tk_page_sink *sink, const struct tk_blob_source *source, struct tk_packtab *packs,
					  const struct tk_segment *old, const struct tk_extent *old_extents, size_t old_count,
					  const struct tk_extent *extents, size_t count, const struct tk_digest *digest, uint64_t length_bytes,
					  struct tk_segment *out, struct tk_err *err);
/* Stores the tree of nodes over the segments; unchanged nodes of the tree below old_root (TK_PACK_NONE: none) are kept. */
TK_MUST_CHECK enum tk_rc tk_segments_store(const struct tk_page_sink *sink, const struct tk_blob_source *source, struct tk_packtab *packs,
					   const struct tk_segment *segments, size_t count, struct tk_blob_ref old_root, struct tk_blob_ref *root,
					   struct tk_err *err);

#endif
