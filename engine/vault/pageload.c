/* Loading pages and checking them against their parents; the stack of pages that a walk has before it. */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagestack.h"

struct tk_page_loader {
	enum tk_suite suite;
	struct tk_packtab *packs;
	struct tk_blob_source source;
	struct tk_hash_ctx *hash;
	struct tk_buf node, leaf, scratch;
};

enum tk_rc
tk_page_loader_new(enum tk_suite suite, struct tk_packtab *packs, const struct tk_blob_source *source, struct tk_page_loader **out,
		   struct tk_err *err)
{
	TK_AUTO(tk_page_loader_cleanup) struct tk_page_loader *loader = calloc(1, sizeof(*loader));
	enum tk_rc rc;

	if (!loader)
		return tk_err_set(err, TK_ENOMEM, "no memory for a page loader");
	loader->suite = suite;
	loader->packs = packs;
	loader->source = *source;
	if ((rc = tk_hash_ctx_new(suite, &loader->hash, err)) != TK_OK)
		return rc;
	*out = loader;
	loader = NULL;
	return TK_OK;
}

void
tk_page_loader_cleanup(struct tk_page_loader **loader)
{
	if (!*loader)
		return;
	tk_hash_ctx_free((*loader)->hash);
	tk_buf_release(&(*loader)->node);
	tk_buf_release(&(*loader)->leaf);
	tk_buf_release(&(*loader)->scratch);
	free(*loader);
	*loader = NULL;
}

static char *
copy_path(const char *path, size_t path_bytes)
{
	char *copy = malloc(path_bytes + 1);

	if (!copy)
		return NULL;
	if (path_bytes > 0)
		memcpy(copy, path, path_bytes);
	copy[path_bytes] = '\0';
	return copy;
}

static enum tk_rc
sum_children(struct tk_page_loader *loader, const struct tk_page_info *children, size_t count, struct tk_page_info *sum, struct tk_err *err)
{
	sum->entries = sum->content_bytes = 0;
	for (size_t i = 0; i < count; i++) {
		sum->entries += children[i].entries;
		sum->content_bytes = tk_add_saturating(sum->content_bytes, children[i].content_bytes);
	}
	return tk_node_portable_with(loader->hash, &loader->scratch, sum->level, children, count, &sum->portable, err);
}

static enum tk_rc
read_node(struct tk_page_loader *loader, struct tk_blob_ref ref, struct tk_page_info **children, size_t *count, unsigned *level,
	  struct tk_err *err)
{
	enum tk_rc rc = loader->source.read(loader->source.ctx, ref, TK_BLOB_NODE, &loader->node, err);

	if (rc != TK_OK)
		return rc;
	return tk_node_decode(loader->node.data, loader->node.len_bytes, ref.pack, loader->packs, children, count, level, err);
}

static bool
fits_parent(const struct tk_page_info *page, const struct tk_page_info *sum, const struct tk_page_info *first)
{
	return sum->level == page->level && sum->entries == page->entries && sum->content_bytes == page->content_bytes &&
		memcmp(sum->portable.b, page->portable.b, sizeof(sum->portable.b)) == 0 && first->first_path_bytes == page->first_path_bytes &&
		memcmp(first->first_path, page->first_path, first->first_path_bytes) == 0;
}

enum tk_rc
tk_page_loader_children(struct tk_page_loader *loader, const struct tk_page_info *page, struct tk_page_info **children, size_t *count,
			struct tk_err *err)
{
	struct tk_page_info sum = {0};
	struct tk_page_info *rows;
	size_t row_count;
	enum tk_rc rc = read_node(loader, page->ref, &rows, &row_count, &sum.level, err);

	if (rc != TK_OK)
		return rc;
	rc = sum_children(loader, rows, row_count, &sum, err);
	if (rc == TK_OK && !fits_parent(page, &sum, &rows[0]))
		rc = tk_err_set(err, TK_ECORRUPT, "node page: it is not what its parent says");
	if (rc != TK_OK) {
		tk_page_infos_free(rows, row_count);
		return rc;
	}
	*children = rows;
	*count = row_count;
	return TK_OK;
}

static enum tk_rc
open_leaf(struct tk_page_loader *loader, struct tk_blob_ref ref, struct tk_leaf_reader **reader, struct tk_err *err)
{
	enum tk_rc rc = loader->source.read(loader->source.ctx, ref, TK_BLOB_LEAF, &loader->leaf, err);

	if (rc != TK_OK)
		return rc;
	return tk_leaf_open(loader->leaf.data, loader->leaf.len_bytes, ref.pack, loader->packs, reader, err);
}

enum tk_rc
tk_page_loader_leaf(struct tk_page_loader *loader, const struct tk_page_info *page, struct tk_leaf_reader **reader, struct tk_err *err)
{
	enum tk_rc rc = open_leaf(loader, page->ref, reader, err);

	if (rc != TK_OK)
		return rc;
	if (tk_leaf_entries_left(*reader) == page->entries)
		return TK_OK;
	tk_leaf_cleanup(reader);
	return tk_err_set(err, TK_ECORRUPT, "leaf page: it has other entries than its parent says");
}

static enum tk_rc
root_of_node(struct tk_page_loader *loader, struct tk_blob_ref ref, struct tk_page_info *root, struct tk_err *err)
{
	struct tk_page_info *children;
	size_t count;
	enum tk_rc rc = read_node(loader, ref, &children, &count, &root->level, err);

	if (rc != TK_OK)
		return rc;
	rc = sum_children(loader, children, count, root, err);
	root->first_path = children[0].first_path;
	root->first_path_bytes = children[0].first_path_bytes;
	children[0].first_path = NULL;
	tk_page_infos_free(children, count);
	return rc;
}

static enum tk_rc
sum_leaf(struct tk_leaf_reader *reader, struct tk_portable *portable, struct tk_entry *entry, struct tk_page_info *root, struct tk_err *err)
{
	bool done = false;
	enum tk_rc rc;

	while ((rc = tk_leaf_next(reader, entry, &done, err)) == TK_OK && !done) {
		if (root->entries++ == 0) {
			free(root->first_path);
			if (!(root->first_path = copy_path(entry->path, entry->path_bytes)))
				return tk_err_set(err, TK_ENOMEM, "no memory for a page");
			root->first_path_bytes = entry->path_bytes;
		}
		if (entry->meta.type == TK_FT_REG)
			root->content_bytes = tk_add_saturating(root->content_bytes, entry->meta.size_bytes);
		if ((rc = tk_portable_add(portable, entry, err)) != TK_OK)
			return rc;
	}
	return rc != TK_OK ? rc : tk_portable_end(portable, &root->portable, err);
}

static enum tk_rc
root_of_leaf(struct tk_page_loader *loader, struct tk_blob_ref ref, struct tk_page_info *root, struct tk_err *err)
{
	TK_AUTO(tk_leaf_cleanup) struct tk_leaf_reader *reader = NULL;
	TK_AUTO(tk_portable_cleanup) struct tk_portable *portable = NULL;
	TK_AUTO(tk_entry_release) struct tk_entry entry;
	enum tk_rc rc;

	tk_entry_init(&entry);
	if (!(root->first_path = copy_path(NULL, 0)))
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	if ((rc = tk_portable_begin(loader->suite, &portable, err)) != TK_OK)
		return rc;
	if ((rc = open_leaf(loader, ref, &reader, err)) != TK_OK)
		return rc;
	return sum_leaf(reader, portable, &entry, root, err);
}

enum tk_rc
tk_page_loader_root(struct tk_page_loader *loader, struct tk_blob_ref ref, struct tk_page_info *root, struct tk_err *err)
{
	enum tk_blob_type type;
	enum tk_rc rc;

	*root = (struct tk_page_info){.ref = ref};
	if ((rc = loader->source.type(loader->source.ctx, ref, &type, err)) != TK_OK)
		return rc;
	if (type == TK_BLOB_NODE)
		rc = root_of_node(loader, ref, root, err);
	else if (type == TK_BLOB_LEAF)
		rc = root_of_leaf(loader, ref, root, err);
	else
		rc = tk_err_set(err, TK_ECORRUPT, "the root of a tree is no page");
	if (rc != TK_OK)
		tk_page_info_release(root);
	return rc;
}

enum tk_rc
tk_page_stack_begin(struct tk_page_stack *stack, const struct tk_page_info *root, struct tk_err *err)
{
	struct tk_page_info *page = calloc(1, sizeof(*page));

	stack->depth = 0;
	if (!page)
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	*page = *root;
	if (!(page->first_path = copy_path(root->first_path, root->first_path_bytes))) {
		free(page);
		return tk_err_set(err, TK_ENOMEM, "no memory for a page");
	}
	stack->frames[stack->depth++] = (struct tk_page_frame){.pages = page, .count = 1};
	return TK_OK;
}

void
tk_page_stack_release(struct tk_page_stack *stack)
{
	while (stack->depth > 0) {
		struct tk_page_frame *frame = &stack->frames[--stack->depth];

		tk_page_infos_free(frame->pages, frame->count);
	}
}

const struct tk_page_info *
tk_page_stack_head(struct tk_page_stack *stack)
{
	while (stack->depth > 0) {
		struct tk_page_frame *frame = &stack->frames[stack->depth - 1];

		if (frame->at < frame->count)
			return &frame->pages[frame->at];
		tk_page_infos_free(frame->pages, frame->count);
		stack->depth--;
	}
	return NULL;
}

void
tk_page_stack_skip(struct tk_page_stack *stack)
{
	stack->frames[stack->depth - 1].at++;
}

/* Levels sink with each push (tk_page_loader_children checks it), so there is always a free frame. */
void
tk_page_stack_push(struct tk_page_stack *stack, struct tk_page_info *children, size_t count)
{
	tk_page_stack_skip(stack);
	stack->frames[stack->depth++] = (struct tk_page_frame){.pages = children, .count = count};
}

const struct tk_page_info *
tk_page_stack_after(const struct tk_page_stack *stack)
{
	size_t step = 1;

	for (size_t depth = stack->depth; depth > 0; depth--) {
		const struct tk_page_frame *frame = &stack->frames[depth - 1];

		if (frame->at + step < frame->count)
			return &frame->pages[frame->at + step];
		/* The frames above stand already after the page whose children these are. */
		step = 0;
	}
	return NULL;
}
