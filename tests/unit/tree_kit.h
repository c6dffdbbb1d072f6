/* tree_kit.h -- small random trees of files, random edits, and exact listings of what is there. */
#ifndef TK_TESTS_TREE_KIT_H
#define TK_TESTS_TREE_KIT_H

#include <stddef.h>

#include "tests/unit/dice.h"

/* One line an object below root (absolute), in order: path, type, mode, owner, times, size, digest of the content or link target, and the first name of
 * its hardlink group. malloc'ed. with_top: the root's own line, too. */
char *tree_list(const char *root, int with_top);
/* What the files below root take up: less than their sizes by their holes. */
uint64_t tree_allocated_bytes(const char *root);
/* Fails the test, showing the first line that differs. */
void assert_same_tree(const char *expected, const char *found, const char *what);

/* Fills root (exists, empty) with directories, files of every size that is a border of something, holes, symlinks, hardlinks, a fifo. */
void tree_fill(const char *root, struct dice *dice);
/* So many random changes. */
void tree_edit(const char *root, struct dice *dice, size_t changes);

/* Writes a file of len_bytes: random bytes, text, or zeros. */
void tree_write(const char *path, struct dice *dice, size_t len_bytes);

#endif
