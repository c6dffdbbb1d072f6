/* treewalk.h -- reading a tree of pages: walk it in order, look up one path, compare two trees.
 *
 * A loader belongs to one thread; walks and comparisons use the loader they were given. Every node is checked against what its parent says of it (level, first path,
 * number of entries, portable digest); of a leaf, the number of entries is. A leaf's own portable digest is for who must be sure of it: tk_portable. */
#ifndef TK_VAULT_TREEWALK_H
#define TK_VAULT_TREEWALK_H

#include "engine/vault/blob_source.h"
#include "engine/vault/page.h"

struct tk_page_loader;
/* `source` is copied; its ctx and `packs` must outlive the loader. */
TK_MUST_CHECK enum tk_rc tk_page_loader_new(enum tk_suite suite, struct tk_packtab *packs, const struct tk_blob_source *source,
					    struct tk_page_loader **out, struct tk_err *err);
void tk_page_loader_cleanup(struct tk_page_loader **loader);
/* What is to know of a root page from its place alone; its portable digest, the tree digest, is computed. The caller releases *root. */
TK_MUST_CHECK enum tk_rc tk_page_loader_root(struct tk_page_loader *loader, struct tk_blob_ref ref, struct tk_page_info *root,
					     struct tk_err *err);
/* The children of a node page (level >= 1); tk_page_infos_free. */
TK_MUST_CHECK enum tk_rc tk_page_loader_children(struct tk_page_loader *loader, const struct tk_page_info *page, struct tk_page_info **children,
						 size_t *count, struct tk_err *err);
/* Opens a leaf page (level 0). The reader borrows the loader's buffer: good until the next leaf or root is loaded; caller cleans it up. */
TK_MUST_CHECK enum tk_rc tk_page_loader_leaf(struct tk_page_loader *loader, const struct tk_page_info *page, struct tk_leaf_reader **reader,
					     struct tk_err *err);

/* A walk over what is at or below `dir` (empty: everything), in order. Reads only pages that may hold some of it. `root` is borrowed during begin. */
struct tk_treewalk;
TK_MUST_CHECK enum tk_rc tk_treewalk_begin(struct tk_page_loader *loader, const struct tk_page_info *root, const char *dir, size_t dir_bytes,
					   struct tk_treewalk **out, struct tk_err *err);
void tk_treewalk_cleanup(struct tk_treewalk **walk);
/* The next leaf, unread (its first and last entries may lie outside of dir); NULL at the end. Good until the next call. Use either this or tk_treewalk_next on one walk. */
TK_MUST_CHECK enum tk_rc tk_treewalk_next_leaf(struct tk_treewalk *walk, const struct tk_page_info **leaf, struct tk_err *err);
/* Fills *entry (initialised) with the next entry; *done at the end. */
TK_MUST_CHECK enum tk_rc tk_treewalk_next(struct tk_treewalk *walk, struct tk_entry *entry, bool *done, struct tk_err *err);

/* Fills *entry with the one of this path. Errors: TK_ENOENT. */
TK_MUST_CHECK enum tk_rc tk_tree_lookup(struct tk_page_loader *loader, const struct tk_page_info *root, const char *path, size_t path_bytes,
					struct tk_entry *entry, struct tk_err *err);

/* Told in order of paths; entries are lent for the call. An error ends the comparison and is its result. */
struct tk_tree_changes {
	void *ctx;
	TK_MUST_CHECK enum tk_rc (*added)(void *ctx, const struct tk_entry *now, struct tk_err *err);
	TK_MUST_CHECK enum tk_rc (*removed)(void *ctx, const struct tk_entry *old, struct tk_err *err);
	/* The portable forms differ: content, metadata or both. */
	TK_MUST_CHECK enum tk_rc (*changed)(void *ctx, const struct tk_entry *old, const struct tk_entry *now, struct tk_err *err);
};
/* Compares two trees; pages that are equal are not read. The loaders must be two, and may have different sources and suites alike. */
TK_MUST_CHECK enum tk_rc tk_tree_compare(struct tk_page_loader *old_loader, const struct tk_page_info *old_root,
					 struct tk_page_loader *now_loader, const struct tk_page_info *now_root,
					 const struct tk_tree_changes *changes, struct tk_err *err);

#endif
