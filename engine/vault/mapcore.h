/* mapcore.h -- segment maps, decoded; private to segment code of engine/vault. */
#ifndef TK_VAULT_MAPCORE_H
#define TK_VAULT_MAPCORE_H

#include "engine/vault/pagecore.h"
#include "engine/vault/segmap.h"

/* A growing extent list. */
struct tk_extent_rows {
	struct tk_extent *rows;                /* owned */
	size_t count;
	size_t cap;
};
void tk_extent_rows_release(struct tk_extent_rows *list);

/* One run of an overlay: bytes [start, end) of the segment, from rows[first] on. */
struct tk_map_run {
	uint64_t start_bytes;
	uint64_t end_bytes;
	size_t first;
	size_t count;
};
struct tk_overlay {
	struct tk_map_run *runs;               /* owned; ascending, apart or touching */
	size_t run_count;
	size_t run_cap;
	struct tk_extent_rows extents;
	size_t plain_bytes;                    /* of the blob it came from */
};
void tk_overlay_release(struct tk_overlay *overlay);

/* Reads a map blob through `source`; `plain` is scratch. *list and *overlay are empty ones. */
TK_MUST_CHECK enum tk_rc tk_base_map_read(const struct tk_blob_source *source, struct tk_packtab *packs, struct tk_blob_ref ref,
					  struct tk_buf *plain, struct tk_extent_rows *list, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_overlay_map_read(const struct tk_blob_source *source, struct tk_packtab *packs, struct tk_blob_ref ref,
					     struct tk_buf *plain, struct tk_overlay *overlay, struct tk_err *err);

#endif
