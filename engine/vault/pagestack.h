/* pagestack.h -- the pages of a tree that a depth-first reader has still before it; private to engine/vault. */
#ifndef TK_VAULT_PAGESTACK_H
#define TK_VAULT_PAGESTACK_H

#include "engine/vault/pagecore.h"
#include "engine/vault/treewalk.h"

/* The children of one node, those before `at` done. */
struct tk_page_frame {
	struct tk_page_info *pages;            /* owned */
	size_t count;
	size_t at;
};

struct tk_page_stack {
	struct tk_page_frame frames[TK_NODE_LEVEL_MAX + 2];
	size_t depth;
};

/* Begins with one page: a copy of *root. */
TK_MUST_CHECK enum tk_rc tk_page_stack_begin(struct tk_page_stack *stack, const struct tk_page_info *root, struct tk_err *err);
void tk_page_stack_release(struct tk_page_stack *stack);
/* The page to look at next; NULL at the end. It stays good until frames below it are pushed and finished. */
const struct tk_page_info *tk_page_stack_head(struct tk_page_stack *stack);
/* Passes the head. */
void tk_page_stack_skip(struct tk_page_stack *stack);
/* Puts the head's children (now owned by the stack) in its place. */
void tk_page_stack_push(struct tk_page_stack *stack, struct tk_page_info *children, size_t count);
/* The page after the head, on whatever level: what is below the head comes before its first path. NULL: the head is the last. */
const struct tk_page_info *tk_page_stack_after(const struct tk_page_stack *stack);

#endif
