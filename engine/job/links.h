/* links.h -- inodes with several names: read once, and named by one stable group id.
 *
 * Memory: one row for every inode with more than one link. One thread. */
#ifndef TK_JOB_LINKS_H
#define TK_JOB_LINKS_H

#include "engine/job/ingest.h"

struct tk_link_row {
	uint64_t dev, ino;
	uint64_t group;
	bool has_content;
	struct tk_content content;            /* copied; extents owned by the row */
};

struct tk_links;
TK_MUST_CHECK enum tk_rc tk_links_new(struct tk_links **out, struct tk_err *err);
void tk_links_cleanup(struct tk_links **links);
/* The row of an inode, or NULL. Valid until the next add. */
struct tk_link_row *tk_links_find(struct tk_links *links, uint64_t dev, uint64_t ino);
/* Adds an inode. wish: the group id it had before (0: none); a fresh one is drawn when it is taken by another inode. */
TK_MUST_CHECK enum tk_rc tk_links_add(struct tk_links *links, uint64_t dev, uint64_t ino, uint64_t wish, struct tk_link_row **row,
				      struct tk_err *err);
/* Remembers the content of a row (copies the extents). */
TK_MUST_CHECK enum tk_rc tk_links_set_content(struct tk_link_row *row, const struct tk_content *content, struct tk_err *err);

#endif
