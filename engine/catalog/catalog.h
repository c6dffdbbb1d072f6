/* catalog.h -- what the source knows locally of its current point: cached leaf pages with their sidecars, so that a scan is a merge-join
 * with files and no site is asked.
 *
 * On disk, below state_dir/domains/<hex>/:
 *   bundles/<digest hex>   a run of leaf pages with sidecars, named by the digest of its bytes: immutable, self-verifying
 *   current                the pointer, moved last by rename: the point, its tree, its bundles, its nodes; ends with a digest
 *   next                   the same for a point that is journaled and not yet known to be stored anywhere
 *   unfinished             bundles of a run that is under way, or was interrupted: of no point, nodes or root
 * A bundle begins where a level-1 node begins (docs/FORMAT.md), so one changed file rewrites one bundle. Page and sidecar are in one immutable
 * file: no crash can pair one with another's. */
#ifndef TK_CATALOG_CATALOG_H
#define TK_CATALOG_CATALOG_H

#include "engine/base/buf.h"
#include "engine/vault/ids.h"
#include "engine/vault/page.h"

/* Local facts of one entry. All zero: unknown, the file must be read again. */
struct tk_sidecar {
	uint64_t dev;
	uint64_t ino;
	int64_t ctime_s;
	uint32_t ctime_ns;
	bool racy;                            /* ctime too near the scan: look again next time */
	uint32_t nlink;
};

struct tk_catalog;                            /* one domain's directory; one thread */
TK_MUST_CHECK enum tk_rc tk_catalog_open(const char *state_dir, const struct tk_id *domain, enum tk_suite suite, struct tk_packtab *packs,
					 struct tk_catalog **out, struct tk_err *err);
void tk_catalog_cleanup(struct tk_catalog **catalog);

/* What `current` says. */
struct tk_catalog_current {
	struct tk_head at;
	struct tk_digest tree;
	int64_t scan_start_ns;
	uint64_t entries, files, total_bytes;
	struct tk_blob_ref root;
	unsigned root_level;
};
/* TK_ENOENT: no current point; TK_ECORRUPT: damaged (treated alike by the caller, who rebuilds from a site). */
TK_MUST_CHECK enum tk_rc tk_catalog_current(struct tk_catalog *catalog, struct tk_catalog_current *out, struct tk_err *err);

/* Reads the current point's leaves in order. */
struct tk_catalog_reader;
struct tk_catalog_leaf {
	struct tk_page_info info;             /* borrowed from the reader, like all here, until the next call */
	const uint8_t *plain;
	size_t plain_bytes;
	const struct tk_sidecar *sidecars;    /* info.entries of them */
};
TK_MUST_CHECK enum tk_rc tk_catalog_reader_open(struct tk_catalog *catalog, struct tk_catalog_reader **out, struct tk_err *err);
/* Those that an interrupted run had made, in order: their pages may be stored nowhere, nor what they refer to. TK_ENOENT, TK_ECORRUPT: there are none of use. */
TK_MUST_CHECK enum tk_rc tk_catalog_reader_open_unfinished(struct tk_catalog *catalog, struct tk_catalog_reader **out, struct tk_err *err);
/* *leaf is NULL at the end. A bundle that is missing or damaged is TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_catalog_reader_next(struct tk_catalog_reader *reader, const struct tk_catalog_leaf **leaf, struct tk_err *err);
void tk_catalog_reader_cleanup(struct tk_catalog_reader **reader);
/* How many entries the point has. */
uint64_t tk_catalog_reader_entries(const struct tk_catalog_reader *reader);
/* Where the leaf given last lies, so that it can be read again alone. */
struct tk_leaf_place {
	uint32_t bundle, offset_bytes, len_bytes;
	uint32_t pack;                        /* that holds the page */
};
struct tk_leaf_place tk_catalog_reader_place(const struct tk_catalog_reader *reader);
/* Reads a leaf again, of a bundle that this reader went through and found whole: only the leaf's own bytes are read. *leaf is borrowed until the next call with the
 * reader. TK_ECORRUPT: it changed since. */
TK_MUST_CHECK enum tk_rc tk_catalog_reader_at(struct tk_catalog_reader *reader, const struct tk_leaf_place *place, const struct tk_catalog_leaf **leaf,
					      struct tk_err *err);

/* Writes the next point's leaves in order. Bundles that come out equal to old ones are not written again. */
struct tk_catalog_writer;
TK_MUST_CHECK enum tk_rc tk_catalog_writer_begin(struct tk_catalog *catalog, struct tk_catalog_writer **out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_catalog_writer_add(struct tk_catalog_writer *writer, const struct tk_page_info *info, const void *plain,
					       size_t plain_bytes, const struct tk_sidecar *sidecars, size_t count, struct tk_err *err);
/* Node pages known by the digest of their children (page.h, node_find and node_made): those of the current point, and new ones. */
TK_MUST_CHECK enum tk_rc tk_catalog_node_find(struct tk_catalog_writer *writer, const struct tk_digest *key, struct tk_blob_ref *ref, bool *found,
					      struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_catalog_node_made(struct tk_catalog_writer *writer, const struct tk_digest *key, struct tk_blob_ref ref,
					      struct tk_err *err);
/* Writes the leaves added so far and one that is not finished (info->entries 0: none) as `unfinished`, all fsynced; what was there under that name is replaced.
 * The writer goes on as if nothing was, also after TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_catalog_writer_checkpoint(struct tk_catalog_writer *writer, const struct tk_page_info *info, const void *plain,
						      size_t plain_bytes, const struct tk_sidecar *sidecars, size_t count, struct tk_err *err);
/* Writes the bundles and `next`, all fsynced. Call before the point is journaled. */
TK_MUST_CHECK enum tk_rc tk_catalog_writer_finish(struct tk_catalog_writer *writer, const struct tk_catalog_current *next, struct tk_err *err);
void tk_catalog_writer_cleanup(struct tk_catalog_writer **writer);

/* `next` becomes `current` if it is the given point (rename, fsync of the directory), and `unfinished` goes; then sweeps what the new current does not name.
 * TK_ENOENT: there is no such next. */
TK_MUST_CHECK enum tk_rc tk_catalog_advance(struct tk_catalog *catalog, const struct tk_head *at, struct tk_err *err);
/* Forgets `next` (the point was abandoned). Idempotent. */
TK_MUST_CHECK enum tk_rc tk_catalog_drop_next(struct tk_catalog *catalog, struct tk_err *err);

#endif
