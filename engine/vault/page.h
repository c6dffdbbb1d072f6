/* page.h -- leaf and node pages, and the builder that cuts a sorted stream of entries into a tree of them.
 *
 * The same entries give the same pages, whatever was carried over: borders depend on paths and portable forms alone. Carrying over is explicit: the caller who
 * knows that all entries of an old page stand unchanged hands the page in whole (tk_tree_add_page), undecoded. Everything here is used by one thread at a time. */
#ifndef TK_VAULT_PAGE_H
#define TK_VAULT_PAGE_H

#include "engine/crypto/suite.h"
#include "engine/vault/entry.h"

/* What is known of a page from its parent. */
struct tk_page_info {
	struct tk_blob_ref ref;
	unsigned level;                        /* 0: leaf */
	struct tk_digest portable;
	uint64_t entries;
	uint64_t content_bytes;
	char *first_path;                      /* owned by who holds the struct; NUL-terminated */
	size_t first_path_bytes;
};
void tk_page_info_release(struct tk_page_info *info);

/* Decodes a leaf page entry by entry; the plain bytes are borrowed. `own_pack` is the number of the pack that holds the page.
 * Errors: TK_ECORRUPT, TK_EUNSUPPORTED (version), TK_ENOMEM. */
struct tk_leaf_reader;
TK_MUST_CHECK enum tk_rc tk_leaf_open(const void *plain, size_t plain_bytes, uint32_t own_pack, struct tk_packtab *packs,
				      struct tk_leaf_reader **out, struct tk_err *err);
/* Fills *entry (initialised; entry.h says what filled means) with the next one; *done at the end, when *entry is left alone. Everything that the format says of
 * one page is checked. After an error only tk_leaf_cleanup is allowed; *entry is then empty or half filled, and fit for release or the next fill. */
TK_MUST_CHECK enum tk_rc tk_leaf_next(struct tk_leaf_reader *reader, struct tk_entry *entry, bool *done, struct tk_err *err);
/* How many entries the page has beyond those that were read. */
uint64_t tk_leaf_entries_left(const struct tk_leaf_reader *reader);
void tk_leaf_cleanup(struct tk_leaf_reader **reader);

/* Decodes a node page into its children (malloc'ed array; tk_page_infos_free). */
TK_MUST_CHECK enum tk_rc tk_node_decode(const void *plain, size_t plain_bytes, uint32_t own_pack, struct tk_packtab *packs,
					struct tk_page_info **children, size_t *count, unsigned *level, struct tk_err *err);
void tk_page_infos_free(struct tk_page_info *infos, size_t count);

/* Portable digest of a leaf from its entries, as restore recomputes it: begin, one call an entry in order, end. */
struct tk_portable;
TK_MUST_CHECK enum tk_rc tk_portable_begin(enum tk_suite suite, struct tk_portable **out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_portable_add(struct tk_portable *portable, const struct tk_entry *entry, struct tk_err *err);
/* Yields the digest and begins anew. */
TK_MUST_CHECK enum tk_rc tk_portable_end(struct tk_portable *portable, struct tk_digest *digest, struct tk_err *err);
void tk_portable_cleanup(struct tk_portable **portable);
TK_MUST_CHECK enum tk_rc tk_node_portable(enum tk_suite suite, unsigned level, const struct tk_page_info *children, size_t count,
					  struct tk_digest *digest, struct tk_err *err);

/* Where the builder's blobs go. `place` must say, before the blob is encoded, which pack it will be in (its number in `packs`), since pages name "this pack" by 0;
 * `put` takes the plain bytes (borrowed during the call) and the references in the clear, and gives the blob's number in the pack that `place` named. */
struct tk_page_sink {
	void *ctx;
	TK_MUST_CHECK enum tk_rc (*place)(void *ctx, uint32_t *pack, struct tk_err *err);
	TK_MUST_CHECK enum tk_rc (*put)(void *ctx, enum tk_blob_type type, const void *plain, size_t plain_bytes,
					const struct tk_blob_ref *refs, size_t ref_count, struct tk_blob_ref *ref, struct tk_err *err);
	/* Optional (NULL): told of each new leaf, with its plain bytes, so that the catalog can keep it. */
	TK_MUST_CHECK enum tk_rc (*leaf_made)(void *ctx, const struct tk_page_info *info, const void *plain, size_t plain_bytes, struct tk_err *err);
	/* Optional (NULL): asked for a node that was stored before with exactly these children; *found. `key` is a digest over level and children
	 * (names, blobs, portable digests). node_made tells of a new one under that key. */
	TK_MUST_CHECK enum tk_rc (*node_find)(void *ctx, const struct tk_digest *key, struct tk_blob_ref *ref, bool *found, struct tk_err *err);
	TK_MUST_CHECK enum tk_rc (*node_made)(void *ctx, const struct tk_digest *key, struct tk_blob_ref ref, struct tk_err *err);
};

struct tk_tree;
/* `sink` is copied; its ctx must outlive the tree. */
TK_MUST_CHECK enum tk_rc tk_tree_begin(enum tk_suite suite, struct tk_packtab *packs, const struct tk_page_sink *sink, struct tk_tree **out,
				       struct tk_err *err);
/* Adds the next entry (borrowed during the call). Errors: TK_EINVAL: the entry is none of the format's, is too big, or its path does not
 * ascend: the tree is as it was and may go on without it. After any other error (also the sink's) only tk_tree_cleanup is allowed. */
TK_MUST_CHECK enum tk_rc tk_tree_add(struct tk_tree *tree, const struct tk_entry *entry, struct tk_err *err);
/* True when `path` begins a new leaf by its hash. A failing hash counts as false and comes out of the next add or finish. */
bool tk_tree_is_border(struct tk_tree *tree, const char *path, size_t path_bytes);
/* Would a leaf that begins with first_path begin a page of this tree, if it were added now? True when it is a border by its hash, or nothing was added yet. */
bool tk_tree_at_border(struct tk_tree *tree, const char *first_path, size_t first_path_bytes);
/*
 * Adds an old leaf whole (borrowed; its path is copied). Allowed when tk_tree_at_border says so for its first path, all its entries stand unchanged, none is added
 * between them, and what comes after it is the end or a path for which tk_tree_is_border is true. A leaf that was cut by its size, or follows one that was,
 * cannot be carried over and is added entry by entry. Errors: TK_EINVAL: it cannot stand here; and tk_tree_add with a path that is no border,
 * after this, is TK_EINVAL too: a caller's mistake never makes another tree.
 */
TK_MUST_CHECK enum tk_rc tk_tree_add_page(struct tk_tree *tree, const struct tk_page_info *leaf, struct tk_err *err);
/*
 * The open leaf as it would be stored if it ended here, in pack number `pack`: for who wants to keep what was added so far. The tree goes on as if nothing was. *info (caller releases) has entries 0
 * when there is none; *plain is borrowed until the next call with the tree.
 */
TK_MUST_CHECK enum tk_rc tk_tree_peek(struct tk_tree *tree, uint32_t pack, struct tk_page_info *info, const void **plain, size_t *plain_bytes,
				      struct tk_err *err);
/* Ends the tree; *root is the root page (caller releases). A tree without entries is one leaf without entries. */
TK_MUST_CHECK enum tk_rc tk_tree_finish(struct tk_tree *tree, struct tk_page_info *root, struct tk_err *err);
void tk_tree_cleanup(struct tk_tree **tree);

#endif
