/* segmap.h -- large files: extent lists, segment maps with overlays, and the tree of segments (docs/FORMAT.md, sections 2 and 4).
 *
 * Pure encoding and decoding; blobs come from and go through the callers' functions. Everything is used by one thread at a time; different segments may be
 * worked on by different threads if their sinks and sources allow it. Lists and arrays that are given out are malloc'ed: free(3). */
#ifndef TK_VAULT_SEGMAP_H
#define TK_VAULT_SEGMAP_H

#include "engine/vault/blob_source.h"
#include "engine/vault/entry.h"
#include "engine/vault/page.h"

#define TK_OVERLAYS_MAX 3
#define TK_SEGMENT_FANOUT 256
#define TK_SEGMENT_LENGTH_MAX UINT32_MAX

/* One segment of a file as its tree tells it. */
struct tk_segment {
	struct tk_digest digest;
	uint64_t length_bytes;
	struct tk_blob_ref base;
	struct tk_blob_ref overlays[TK_OVERLAYS_MAX]; /* oldest first */
	unsigned overlay_count;
};

/* Reads the whole tree below root into an array of segments. segment_bytes and size_bytes are what the point and the entry say; anything that does not fit them is
 * TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_segments_read(const struct tk_blob_source *source, struct tk_packtab *packs, struct tk_blob_ref root,
					  uint64_t size_bytes, uint64_t segment_bytes, struct tk_segment **out, size_t *count, struct tk_err *err);
/* Resolves base and overlays of one segment into one extent list covering it. */
TK_MUST_CHECK enum tk_rc tk_segment_extents(const struct tk_blob_source *source, struct tk_packtab *packs, const struct tk_segment *segment,
					    struct tk_extent **out, size_t *count, struct tk_err *err);

/* Appends one extent, merging it with the last one where they touch (same blob, consecutive offsets; or two holes). *list, *count, *cap: NULL, 0, 0 at first.
 * Errors: TK_ENOMEM, TK_EINVAL (empty). */
TK_MUST_CHECK enum tk_rc tk_extents_append(struct tk_extent **list, size_t *count, size_t *cap, struct tk_extent extent, struct tk_err *err);
/* Cuts the part [offset, offset + length) out of an extent list (a COPY of a delta becomes slices of the old version's extents); appends to *out, growing it; merges
 * with the last one where they touch. Errors: TK_ENOMEM, TK_EINVAL (the list ends before; *out may then have grown). */
TK_MUST_CHECK enum tk_rc tk_extents_slice(const struct tk_extent *extents, size_t count, uint64_t offset_bytes, uint64_t length_bytes,
					  struct tk_extent **out, size_t *out_count, size_t *out_cap, struct tk_err *err);
/* The same for many slices of one list: it remembers where it was, so that ascending offsets cost one walk in all. */
struct tk_extent_cursor {
	const struct tk_extent *extents;       /* borrowed */
	size_t count;
	size_t at;
	uint64_t at_bytes;                     /* where extents[at] begins */
};
void tk_extent_cursor_init(struct tk_extent_cursor *cur, const struct tk_extent *extents, size_t count);
TK_MUST_CHECK enum tk_rc tk_extent_cursor_slice(struct tk_extent_cursor *cur, uint64_t offset_bytes, uint64_t length_bytes,
						struct tk_extent **out, size_t *out_count, size_t *out_cap, struct tk_err *err);
uint64_t tk_extents_total_bytes(const struct tk_extent *extents, size_t count);

/*
 * Stores a segment's new extents, which cover length_bytes. old (may be NULL) and old_extents: the segment of the version before at the same place and its resolved extents;
 * its length may differ. Emits, as is smallest in the long run: nothing (the extents are the old ones: *out gets old's maps), an overlay on top of old's maps, merged with
 * newer overlays geometrically (never more than TK_OVERLAYS_MAX), or a new base. `digest` and `length_bytes` go into *out. At most one blob is put.
 * Errors: TK_EINVAL (lengths do not add up), TK_ENOMEM, those of sink and source, TK_ECORRUPT (old overlays).
 */
TK_MUST_CHECK enum tk_rc tk_segment_store(const struct tk_page_sink *sink, const struct tk_blob_source *source, struct tk_packtab *packs,
					  const struct tk_segment *old, const struct tk_extent *old_extents, size_t old_count,
					  const struct tk_extent *extents, size_t count, const struct tk_digest *digest, uint64_t length_bytes,
					  struct tk_segment *out, struct tk_err *err);
/* Stores the tree of nodes over the segments (at least one); nodes of the tree below old_root (pack TK_PACK_NONE: none) that would be the same are kept. */
TK_MUST_CHECK enum tk_rc tk_segments_store(const struct tk_page_sink *sink, const struct tk_blob_source *source, struct tk_packtab *packs,
					   const struct tk_segment *segments, size_t count, struct tk_blob_ref old_root, struct tk_blob_ref *root,
					   struct tk_err *err);

#endif
