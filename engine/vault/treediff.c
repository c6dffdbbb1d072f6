/* Comparing two trees: both are read side by side, and what has the same portable digest on both sides is passed unread. */
#include <string.h>

#include "engine/vault/pagestack.h"

enum head { HEAD_PAGE, HEAD_ENTRY, HEAD_END };

struct side {
	struct tk_page_loader *loader;         /* borrowed */
	struct tk_page_stack stack;
	struct tk_leaf_reader *reader;         /* set: `entry` is the head */
	struct tk_entry entry;
	struct tk_buf form;
};

struct comparison {
	struct side old, now;
	const struct tk_tree_changes *changes;
};

static enum tk_rc
side_begin(struct side *side, struct tk_page_loader *loader, const struct tk_page_info *root, struct tk_err *err)
{
	side->loader = loader;
	tk_entry_init(&side->entry);
	return tk_page_stack_begin(&side->stack, root, err);
}

static void
side_release(struct side *side)
{
	tk_page_stack_release(&side->stack);
	tk_leaf_cleanup(&side->reader);
	tk_entry_release(&side->entry);
	tk_buf_release(&side->form);
}

static void
comparison_release(struct comparison *cmp)
{
	side_release(&cmp->old);
	side_release(&cmp->now);
}

static enum head
side_head(struct side *side)
{
	if (side->reader)
		return HEAD_ENTRY;
	return tk_page_stack_head(&side->stack) ? HEAD_PAGE : HEAD_END;
}

static enum tk_rc
next_entry(struct side *side, struct tk_err *err)
{
	bool done;
	enum tk_rc rc = tk_leaf_next(side->reader, &side->entry, &done, err);

	if (rc == TK_OK && done)
		tk_leaf_cleanup(&side->reader);
	return rc;
}

/* Puts what is in the head page in its place. */
static enum tk_rc
open_page(struct side *side, struct tk_err *err)
{
	const struct tk_page_info *page = tk_page_stack_head(&side->stack);
	struct tk_page_info *children;
	size_t count;
	enum tk_rc rc;

	if (page->level == 0) {
		if ((rc = tk_page_loader_leaf(side->loader, page, &side->reader, err)) != TK_OK)
			return rc;
		tk_page_stack_skip(&side->stack);
		return next_entry(side, err);
	}
	if ((rc = tk_page_loader_children(side->loader, page, &children, &count, err)) == TK_OK)
		tk_page_stack_push(&side->stack, children, count);
	return rc;
}

static enum tk_rc
compare_pages(struct comparison *cmp, struct tk_err *err)
{
	const struct tk_page_info *old = tk_page_stack_head(&cmp->old.stack);
	const struct tk_page_info *now = tk_page_stack_head(&cmp->now.stack);

	if (old->level == now->level && memcmp(old->portable.b, now->portable.b, sizeof(old->portable.b)) == 0) {
		tk_page_stack_skip(&cmp->old.stack);
		tk_page_stack_skip(&cmp->now.stack);
		return TK_OK;
	}
	/* Level by level, the earlier first, so that equal pages meet. */
	if (old->level != now->level)
		return open_page(old->level > now->level ? &cmp->old : &cmp->now, err);
	if (tk_path_compare(old->first_path, old->first_path_bytes, now->first_path, now->first_path_bytes) <= 0)
		return open_page(&cmp->old, err);
	return open_page(&cmp->now, err);
}

static enum tk_rc
tell_removed(struct comparison *cmp, struct tk_err *err)
{
	enum tk_rc rc = cmp->changes->removed(cmp->changes->ctx, &cmp->old.entry, err);

	return rc != TK_OK ? rc : next_entry(&cmp->old, err);
}

static enum tk_rc
tell_added(struct comparison *cmp, struct tk_err *err)
{
	enum tk_rc rc = cmp->changes->added(cmp->changes->ctx, &cmp->now.entry, err);

	return rc != TK_OK ? rc : next_entry(&cmp->now, err);
}

static enum tk_rc
form_of(struct side *side, struct tk_err *err)
{
	struct tk_form_marks marks;

	tk_buf_clear(&side->form);
	return tk_form_put(&side->form, &side->entry, &marks, err);
}

static enum tk_rc
compare_entries(struct comparison *cmp, struct tk_err *err)
{
	const struct tk_entry *old = &cmp->old.entry, *now = &cmp->now.entry;
	int order = tk_path_compare(old->path, old->path_bytes, now->path, now->path_bytes);
	enum tk_rc rc;

	if (order < 0)
		return tell_removed(cmp, err);
	if (order > 0)
		return tell_added(cmp, err);
	if ((rc = form_of(&cmp->old, err)) != TK_OK || (rc = form_of(&cmp->now, err)) != TK_OK)
		return rc;
	if (cmp->old.form.len_bytes != cmp->now.form.len_bytes ||
	    memcmp(cmp->old.form.data, cmp->now.form.data, cmp->old.form.len_bytes) != 0)
		rc = cmp->changes->changed(cmp->changes->ctx, old, now, err);
	if (rc == TK_OK)
		rc = next_entry(&cmp->old, err);
	return rc != TK_OK ? rc : next_entry(&cmp->now, err);
}

/* Does the entry come before everything in the other side's head page? */
static bool
is_before_page(struct side *entry_side, struct side *page_side)
{
	const struct tk_page_info *page = tk_page_stack_head(&page_side->stack);

	return tk_path_compare(entry_side->entry.path, entry_side->entry.path_bytes, page->first_path, page->first_path_bytes) < 0;
}

static enum tk_rc
step(struct comparison *cmp, enum head old, enum head now, struct tk_err *err)
{
	if (old == HEAD_PAGE && now == HEAD_PAGE)
		return compare_pages(cmp, err);
	if (old == HEAD_ENTRY && now == HEAD_ENTRY)
		return compare_entries(cmp, err);
	if (old == HEAD_ENTRY && (now == HEAD_END || is_before_page(&cmp->old, &cmp->now)))
		return tell_removed(cmp, err);
	if (now == HEAD_ENTRY && (old == HEAD_END || is_before_page(&cmp->now, &cmp->old)))
		return tell_added(cmp, err);
	return open_page(old == HEAD_PAGE ? &cmp->old : &cmp->now, err);
}

enum tk_rc
tk_tree_compare(struct tk_page_loader *old_loader, const struct tk_page_info *old_root, struct tk_page_loader *now_loader,
		const struct tk_page_info *now_root, const struct tk_tree_changes *changes, struct tk_err *err)
{
	TK_AUTO(comparison_release) struct comparison cmp = {.changes = changes};
	enum tk_rc rc;

	if ((rc = side_begin(&cmp.old, old_loader, old_root, err)) != TK_OK)
		return rc;
	if ((rc = side_begin(&cmp.now, now_loader, now_root, err)) != TK_OK)
		return rc;
	for (;;) {
		enum head old = side_head(&cmp.old), now = side_head(&cmp.now);

		if (old == HEAD_END && now == HEAD_END)
			return TK_OK;
		if ((rc = step(&cmp, old, now, err)) != TK_OK)
			return rc;
	}
}
