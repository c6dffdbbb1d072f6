#include "engine/vault/treewalk.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagestack.h"

struct tk_treewalk {
	struct tk_page_loader *loader;         /* borrowed */
	struct tk_page_stack stack;
	struct tk_leaf_reader *reader;
	struct tk_buf dir;
	bool ended;
};

enum tk_rc
tk_treewalk_begin(struct tk_page_loader *loader, const struct tk_page_info *root, const char *dir, size_t dir_bytes, struct tk_treewalk **out,
		  struct tk_err *err)
{
	TK_AUTO(tk_treewalk_cleanup) struct tk_treewalk *walk = calloc(1, sizeof(*walk));
	enum tk_rc rc;

	if (!walk)
		return tk_err_set(err, TK_ENOMEM, "no memory for a walk");
	walk->loader = loader;
	if ((rc = tk_buf_reserve(&walk->dir, dir_bytes + 1, err)) != TK_OK || (rc = tk_buf_put(&walk->dir, dir, dir_bytes, err)) != TK_OK)
		return rc;
	if ((rc = tk_page_stack_begin(&walk->stack, root, err)) != TK_OK)
		return rc;
	*out = walk;
	walk = NULL;
	return TK_OK;
}

void
tk_treewalk_cleanup(struct tk_treewalk **walk)
{
	if (!*walk)
		return;
	tk_leaf_cleanup(&(*walk)->reader);
	tk_page_stack_release(&(*walk)->stack);
	tk_buf_release(&(*walk)->dir);
	free(*walk);
	*walk = NULL;
}

enum side { BEFORE, WITHIN, BEHIND };

static enum side
side_of(const struct tk_treewalk *walk, const char *path, size_t path_bytes)
{
	const char *dir = (const char *)walk->dir.data;

	if (tk_path_is_below(path, path_bytes, dir, walk->dir.len_bytes))
		return WITHIN;
	return tk_path_compare(path, path_bytes, dir, walk->dir.len_bytes) < 0 ? BEFORE : BEHIND;
}

/* May the page hold something of dir? All that it holds comes before the first path of the page after it. */
static enum side
side_of_page(const struct tk_treewalk *walk, const struct tk_page_info *page)
{
	const struct tk_page_info *after = tk_page_stack_after(&walk->stack);
	const char *dir = (const char *)walk->dir.data;

	if (side_of(walk, page->first_path, page->first_path_bytes) == BEHIND)
		return BEHIND;
	if (after && tk_path_compare(after->first_path, after->first_path_bytes, dir, walk->dir.len_bytes) <= 0)
		return BEFORE;
	return WITHIN;
}

/* Brings a leaf that may hold something of dir to the head of the stack. */
static enum tk_rc
find_leaf(struct tk_treewalk *walk, const struct tk_page_info **leaf, struct tk_err *err)
{
	const struct tk_page_info *page;

	*leaf = NULL;
	while (!walk->ended && (page = tk_page_stack_head(&walk->stack)) != NULL) {
		enum side side = side_of_page(walk, page);
		struct tk_page_info *children;
		size_t count;
		enum tk_rc rc;

		if (side == BEHIND)
			break;
		if (side == BEFORE) {
			tk_page_stack_skip(&walk->stack);
			continue;
		}
		if (page->level == 0) {
			*leaf = page;
			return TK_OK;
		}
		if ((rc = tk_page_loader_children(walk->loader, page, &children, &count, err)) != TK_OK)
			return rc;
		tk_page_stack_push(&walk->stack, children, count);
	}
	walk->ended = true;
	return TK_OK;
}

enum tk_rc
tk_treewalk_next_leaf(struct tk_treewalk *walk, const struct tk_page_info **leaf, struct tk_err *err)
{
	enum tk_rc rc = find_leaf(walk, leaf, err);

	if (rc == TK_OK && *leaf)
		tk_page_stack_skip(&walk->stack);
	return rc;
}

static enum tk_rc
open_next_leaf(struct tk_treewalk *walk, bool *done, struct tk_err *err)
{
	const struct tk_page_info *leaf;
	enum tk_rc rc = tk_treewalk_next_leaf(walk, &leaf, err);

	*done = rc == TK_OK && !leaf;
	if (rc != TK_OK || !leaf)
		return rc;
	return tk_page_loader_leaf(walk->loader, leaf, &walk->reader, err);
}

enum tk_rc
tk_treewalk_next(struct tk_treewalk *walk, struct tk_entry *entry, bool *done, struct tk_err *err)
{
	*done = false;
	for (;;) {
		bool leaf_done;
		enum side side;
		enum tk_rc rc;

		if (!walk->reader && ((rc = open_next_leaf(walk, done, err)) != TK_OK || *done))
			return rc;
		if ((rc = tk_leaf_next(walk->reader, entry, &leaf_done, err)) != TK_OK)
			return rc;
		if (leaf_done) {
			tk_leaf_cleanup(&walk->reader);
			continue;
		}
		side = side_of(walk, entry->path, entry->path_bytes);
		if (side == WITHIN)
			return TK_OK;
		if (side == BEHIND) {
			tk_leaf_cleanup(&walk->reader);
			walk->ended = true;
		}
	}
}

enum tk_rc
tk_tree_lookup(struct tk_page_loader *loader, const struct tk_page_info *root, const char *path, size_t path_bytes, struct tk_entry *entry,
	       struct tk_err *err)
{
	TK_AUTO(tk_treewalk_cleanup) struct tk_treewalk *walk = NULL;
	bool done;
	enum tk_rc rc;

	if ((rc = tk_treewalk_begin(loader, root, path, path_bytes, &walk, err)) != TK_OK)
		return rc;
	if ((rc = tk_treewalk_next(walk, entry, &done, err)) != TK_OK)
		return rc;
	if (!done && entry->path_bytes == path_bytes)
		return TK_OK;
	return tk_err_set(err, TK_ENOENT, "%.*s is not in the point", path_bytes < 512 ? (int)path_bytes : 512, path);
}
