/* The builder: cuts a sorted stream of entries into leaves, and leaves into nodes (docs/FORMAT.md, section 3). */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"

#define BORDER_MASK ((1u << TK_PAGE_BORDER_BITS) - 1)
#define HASH_LEVEL_MAX 9u               /* the last level whose border bits the 64-bit hash has */

/* The finished pages of one level that the open node above will hold; never empty once it got one, until the end. */
struct rank {
	struct tk_page_info *pages;            /* owned, with their paths */
	uint64_t *hashes;                      /* of their first paths */
	size_t count;
	size_t cap;
	size_t path_bytes;
};

enum stand {
	STAND_EMPTY,                           /* nothing was added */
	STAND_IN_LEAF,                         /* the last entry went into the open leaf */
	STAND_AFTER_PAGE,                      /* a page was carried over */
	STAND_DEAD,                            /* an error that is not the caller's */
};

struct tk_tree {
	struct tk_page_sink sink;
	struct tk_packtab *packs;
	struct tk_path_hasher *hasher;
	struct tk_hash_ctx *hash;
	struct tk_pack_locals *locals;
	struct tk_leafw *leaf;
	uint64_t leaf_hash;                    /* of the open leaf's first path */
	struct tk_buf last_path;               /* of the last entry, or the first path of the page carried over */
	enum stand stand;
	struct rank ranks[TK_NODE_LEVEL_MAX + 1];
	struct tk_buf scratch, plain;
	struct tk_ref_list refs;
};

enum tk_rc
tk_tree_begin(enum tk_suite suite, struct tk_packtab *packs, const struct tk_page_sink *sink, struct tk_tree **out, struct tk_err *err)
{
	TK_AUTO(tk_tree_cleanup) struct tk_tree *tree = calloc(1, sizeof(*tree));
	enum tk_rc rc;

	if (!tree)
		return tk_err_set(err, TK_ENOMEM, "no memory for a tree of pages");
	tree->sink = *sink;
	tree->packs = packs;
	tree->stand = STAND_EMPTY;
	tk_buf_init(&tree->plain, TK_BLOB_META_MAX);
	if ((rc = tk_path_hasher_new(suite, &tree->hasher, err)) != TK_OK)
		return rc;
	if ((rc = tk_hash_ctx_new(suite, &tree->hash, err)) != TK_OK)
		return rc;
	if ((rc = tk_pack_locals_new(0, &tree->locals, err)) != TK_OK)
		return rc;
	if ((rc = tk_leafw_new(suite, &tree->leaf, err)) != TK_OK)
		return rc;
	*out = tree;
	tree = NULL;
	return TK_OK;
}

void
tk_tree_cleanup(struct tk_tree **tree)
{
	struct tk_tree *old = *tree;

	if (!old)
		return;
	for (size_t i = 0; i <= TK_NODE_LEVEL_MAX; i++) {
		tk_page_infos_free(old->ranks[i].pages, old->ranks[i].count);
		free(old->ranks[i].hashes);
	}
	tk_path_hasher_cleanup(&old->hasher);
	tk_hash_ctx_free(old->hash);
	tk_pack_locals_cleanup(&old->locals);
	tk_leafw_cleanup(&old->leaf);
	tk_buf_release(&old->last_path);
	tk_buf_release(&old->scratch);
	tk_buf_release(&old->plain);
	tk_ref_list_release(&old->refs);
	free(old);
	*tree = NULL;
}

/* Does a page of `level` whose first path has this hash begin a new parent? */
static bool
is_node_border(uint64_t hash, unsigned level)
{
	return level <= HASH_LEVEL_MAX && ((hash >> (TK_PAGE_BORDER_BITS * (level + 1))) & BORDER_MASK) == 0;
}

static enum tk_rc
rank_grow(struct rank *rank, struct tk_err *err)
{
	size_t cap = rank->cap ? rank->cap * 2 : 64;
	struct tk_page_info *pages;
	uint64_t *hashes;

	if (rank->count < rank->cap)
		return TK_OK;
	if ((pages = reallocarray(rank->pages, cap, sizeof(*pages))) != NULL)
		rank->pages = pages;
	if ((hashes = reallocarray(rank->hashes, cap, sizeof(*hashes))) != NULL)
		rank->hashes = hashes;
	if (!pages || !hashes)
		return tk_err_set(err, TK_ENOMEM, "no memory for a tree of pages");
	rank->cap = cap;
	return TK_OK;
}

static enum tk_rc
store_node(struct tk_tree *tree, const struct rank *rank, unsigned level, struct tk_page_info *node, struct tk_err *err)
{
	struct tk_digest key;
	bool found = false;
	uint32_t own_pack;
	enum tk_rc rc;

	if ((rc = tk_node_key(tree->hash, &tree->scratch, tree->packs, level, rank->pages, rank->count, &key, err)) != TK_OK)
		return rc;
	if (tree->sink.node_find && (rc = tree->sink.node_find(tree->sink.ctx, &key, &node->ref, &found, err)) != TK_OK)
		return rc;
	if (found)
		return TK_OK;
	if ((rc = tree->sink.place(tree->sink.ctx, &own_pack, err)) != TK_OK)
		return rc;
	tk_pack_locals_reset(tree->locals, own_pack);
	rc = tk_node_encode(tree->locals, tree->packs, level, rank->pages, rank->count, &tree->scratch, &tree->plain, err);
	tree->refs.count = 0;
	for (size_t i = 0; i < rank->count && rc == TK_OK; i++)
		rc = tk_ref_list_add(&tree->refs, rank->pages[i].ref, err);
	if (rc == TK_OK)
		rc = tree->sink.put(tree->sink.ctx, TK_BLOB_NODE, tree->plain.data, tree->plain.len_bytes, tree->refs.refs, tree->refs.count,
				    &node->ref, err);
	if (rc == TK_OK && tree->sink.node_made)
		rc = tree->sink.node_made(tree->sink.ctx, &key, node->ref, err);
	return rc;
}

/* Makes a node of the pages that wait; they are gone then, and *node has the path of the first. */
static enum tk_rc
close_node(struct tk_tree *tree, unsigned level, struct tk_page_info *node, uint64_t *hash, struct tk_err *err)
{
	struct rank *rank = &tree->ranks[level - 1];
	enum tk_rc rc;

	*node = (struct tk_page_info){.level = level};
	rc = tk_node_portable_with(tree->hash, &tree->scratch, level, rank->pages, rank->count, &node->portable, err);
	if (rc == TK_OK)
		rc = store_node(tree, rank, level, node, err);
	if (rc != TK_OK)
		return rc;
	for (size_t i = 0; i < rank->count; i++) {
		node->entries += rank->pages[i].entries;
		node->content_bytes = tk_add_saturating(node->content_bytes, rank->pages[i].content_bytes);
		if (i > 0)
			tk_page_info_release(&rank->pages[i]);
	}
	node->first_path = rank->pages[0].first_path;
	node->first_path_bytes = rank->pages[0].first_path_bytes;
	*hash = rank->hashes[0];
	rank->count = 0;
	rank->path_bytes = 0;
	return TK_OK;
}

/* Hands a finished page to the open node above, which ends before it where a border says so. Owns *page, also on an error. */
static enum tk_rc
add_child(struct tk_tree *tree, struct tk_page_info *page, uint64_t hash, struct tk_err *err)
{
	struct rank *rank = &tree->ranks[page->level];
	enum tk_rc rc = TK_OK;

	if (rank->count > 0 && (is_node_border(hash, page->level) || rank->count == TK_NODE_CHILDREN_MAX ||
				rank->path_bytes + page->first_path_bytes > TK_NODE_PATHS_MAX)) {
		struct tk_page_info node;
		uint64_t node_hash;

		if (page->level == TK_NODE_LEVEL_MAX)
			rc = tk_err_set(err, TK_EINVAL, "the tree of pages is too high");
		else
			rc = close_node(tree, page->level + 1, &node, &node_hash, err);
		if (rc == TK_OK)
			rc = add_child(tree, &node, node_hash, err);
	}
	if (rc == TK_OK)
		rc = rank_grow(rank, err);
	if (rc != TK_OK) {
		tk_page_info_release(page);
		return rc;
	}
	rank->pages[rank->count] = *page;
	rank->hashes[rank->count++] = hash;
	rank->path_bytes += page->first_path_bytes;
	return TK_OK;
}

static enum tk_rc
store_leaf(struct tk_tree *tree, struct tk_page_info *info, struct tk_err *err)
{
	const struct tk_buf *plain;
	const struct tk_ref_list *refs;
	uint32_t own_pack;
	enum tk_rc rc = tree->sink.place(tree->sink.ctx, &own_pack, err);

	if (rc != TK_OK)
		return rc;
	tk_pack_locals_reset(tree->locals, own_pack);
	if ((rc = tk_leafw_encode(tree->leaf, tree->locals, tree->packs, &plain, &refs, err)) != TK_OK)
		return rc;
	rc = tree->sink.put(tree->sink.ctx, TK_BLOB_LEAF, plain->data, plain->len_bytes, refs->refs, refs->count, &info->ref, err);
	if (rc == TK_OK && tree->sink.leaf_made)
		rc = tree->sink.leaf_made(tree->sink.ctx, info, plain->data, plain->len_bytes, err);
	return rc;
}

enum tk_rc
tk_tree_peek(struct tk_tree *tree, uint32_t pack, struct tk_page_info *info, const void **plain, size_t *plain_bytes, struct tk_err *err)
{
	const struct tk_ref_list *refs;
	const struct tk_buf *bytes;
	enum tk_rc rc = tk_leafw_info(tree->leaf, info, err);

	if (rc != TK_OK)
		return rc;
	info->ref.pack = pack;
	tk_pack_locals_reset(tree->locals, pack);
	if ((rc = tk_leafw_encode(tree->leaf, tree->locals, tree->packs, &bytes, &refs, err)) != TK_OK) {
		tk_page_info_release(info);
		return rc;
	}
	*plain = bytes->data;
	*plain_bytes = bytes->len_bytes;
	return TK_OK;
}

static enum tk_rc
close_leaf(struct tk_tree *tree, struct tk_err *err)
{
	struct tk_page_info info;
	enum tk_rc rc = tk_leafw_info(tree->leaf, &info, err);

	if (rc != TK_OK)
		return rc;
	if ((rc = store_leaf(tree, &info, err)) != TK_OK) {
		tk_page_info_release(&info);
		return rc;
	}
	tk_leafw_clear(tree->leaf);
	return add_child(tree, &info, tree->leaf_hash, err);
}

/* A dead tree stays dead: half a tree must never be finished. */
static enum tk_rc
settle(struct tk_tree *tree, enum tk_rc rc)
{
	if (rc != TK_OK)
		tree->stand = STAND_DEAD;
	return rc;
}

static enum tk_rc
check_order(struct tk_tree *tree, const char *path, size_t path_bytes, struct tk_err *err)
{
	if (tree->stand == STAND_DEAD)
		return tk_err_set(err, TK_EIO, "the tree of pages failed before");
	if (tree->stand == STAND_EMPTY)
		return TK_OK;
	if (tk_path_compare((const char *)tree->last_path.data, tree->last_path.len_bytes, path, path_bytes) >= 0)
		return tk_err_set(err, TK_EINVAL, "paths do not ascend");
	return TK_OK;
}

static enum tk_rc
advance(struct tk_tree *tree, const char *path, size_t path_bytes, enum stand stand, struct tk_err *err)
{
	enum tk_rc rc;

	tk_buf_clear(&tree->last_path);
	rc = tk_buf_reserve(&tree->last_path, path_bytes + 1, err);
	if (rc == TK_OK)
		rc = tk_buf_put(&tree->last_path, path, path_bytes, err);
	tree->stand = stand;
	return rc;
}

static enum tk_rc
add_to_leaf(struct tk_tree *tree, const struct tk_entry *entry, uint64_t hash, bool begins, struct tk_err *err)
{
	enum tk_rc rc;

	if (begins && tk_leafw_entries(tree->leaf) > 0 && (rc = close_leaf(tree, err)) != TK_OK)
		return rc;
	if (tk_leafw_entries(tree->leaf) == 0)
		tree->leaf_hash = hash;
	if ((rc = tk_leafw_take(tree->leaf, entry, err)) != TK_OK)
		return rc;
	return advance(tree, entry->path, entry->path_bytes, STAND_IN_LEAF, err);
}

enum tk_rc
tk_tree_add(struct tk_tree *tree, const struct tk_entry *entry, struct tk_err *err)
{
	uint64_t hash;
	bool fits, border;
	enum tk_rc rc;

	if ((rc = check_order(tree, entry->path, entry->path_bytes, err)) != TK_OK)
		return rc;
	if ((rc = tk_path_hasher_run(tree->hasher, entry->path, entry->path_bytes, &hash, err)) != TK_OK)
		return settle(tree, rc);
	border = (hash & BORDER_MASK) == 0;
	if (tree->stand == STAND_AFTER_PAGE && !border)
		return tk_err_set(err, TK_EINVAL, "the page before was carried over, but this path belongs into it");
	if ((rc = tk_leafw_offer(tree->leaf, entry, &fits, err)) != TK_OK)
		return rc == TK_EINVAL ? rc : settle(tree, rc);
	return settle(tree, add_to_leaf(tree, entry, hash, border || !fits, err));
}

bool
tk_tree_is_border(struct tk_tree *tree, const char *path, size_t path_bytes)
{
	uint64_t hash;

	if (settle(tree, tk_path_hasher_run(tree->hasher, path, path_bytes, &hash, NULL)) != TK_OK)
		return false;
	return (hash & BORDER_MASK) == 0;
}

bool
tk_tree_at_border(struct tk_tree *tree, const char *first_path, size_t first_path_bytes)
{
	return tree->stand == STAND_EMPTY || tk_tree_is_border(tree, first_path, first_path_bytes);
}

static enum tk_rc
carry_over(struct tk_tree *tree, const struct tk_page_info *leaf, uint64_t hash, struct tk_err *err)
{
	struct tk_page_info copy = *leaf;
	enum tk_rc rc;

	if (tk_leafw_entries(tree->leaf) > 0 && (rc = close_leaf(tree, err)) != TK_OK)
		return rc;
	if (!(copy.first_path = malloc(leaf->first_path_bytes + 1)))
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	memcpy(copy.first_path, leaf->first_path, leaf->first_path_bytes);
	copy.first_path[leaf->first_path_bytes] = '\0';
	if ((rc = add_child(tree, &copy, hash, err)) != TK_OK)
		return rc;
	return advance(tree, leaf->first_path, leaf->first_path_bytes, STAND_AFTER_PAGE, err);
}

enum tk_rc
tk_tree_add_page(struct tk_tree *tree, const struct tk_page_info *leaf, struct tk_err *err)
{
	uint64_t hash;
	enum tk_rc rc;

	if ((rc = check_order(tree, leaf->first_path, leaf->first_path_bytes, err)) != TK_OK)
		return rc;
	if (leaf->level != 0 || leaf->entries == 0)
		return tk_err_set(err, TK_EINVAL, "only a leaf with entries can be carried over");
	if ((rc = tk_path_hasher_run(tree->hasher, leaf->first_path, leaf->first_path_bytes, &hash, err)) != TK_OK)
		return settle(tree, rc);
	if (tree->stand != STAND_EMPTY && (hash & BORDER_MASK) != 0)
		return tk_err_set(err, TK_EINVAL, "a page is carried over to where no page begins");
	return settle(tree, carry_over(tree, leaf, hash, err));
}

/* Closes what is open, from below, until one page is left. */
static enum tk_rc
close_all(struct tk_tree *tree, struct tk_page_info *root, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if ((tree->stand == STAND_EMPTY || tk_leafw_entries(tree->leaf) > 0) && (rc = close_leaf(tree, err)) != TK_OK)
		return rc;
	for (unsigned level = 0; level < TK_NODE_LEVEL_MAX; level++) {
		struct rank *rank = &tree->ranks[level];
		struct tk_page_info node;
		uint64_t hash;

		if (rank->count == 1 && tree->ranks[level + 1].count == 0) {
			*root = rank->pages[0];
			rank->count = 0;
			return TK_OK;
		}
		if ((rc = close_node(tree, level + 1, &node, &hash, err)) != TK_OK)
			return rc;
		if ((rc = add_child(tree, &node, hash, err)) != TK_OK)
			return rc;
	}
	return tk_err_set(err, TK_EINVAL, "the tree of pages is too high");
}

enum tk_rc
tk_tree_finish(struct tk_tree *tree, struct tk_page_info *root, struct tk_err *err)
{
	enum tk_rc rc;

	if (tree->stand == STAND_DEAD)
		return tk_err_set(err, TK_EIO, "the tree of pages failed before");
	rc = close_all(tree, root, err);
	tree->stand = STAND_DEAD;
	return rc;
}
