/* oldcursor.h -- goes through the entries of the point before, in order, page by page; for scan.c. */
#ifndef TK_JOB_OLDCURSOR_H
#define TK_JOB_OLDCURSOR_H

#include "engine/catalog/catalog.h"

struct tk_oldcursor {
	struct tk_packtab *packs;
	struct tk_catalog_reader *reader;     /* owned; NULL: there is no point before */
	const struct tk_catalog_leaf *leaf;   /* NULL: at the end */
	struct tk_leaf_reader *entries;
	struct tk_entry entry;                /* the current one, while have */
	size_t index;                         /* of the current one in its leaf */
	bool have;                            /* false: the leaf is used up, or the end */
};

/* catalog NULL: nothing before. */
TK_MUST_CHECK enum tk_rc tk_oldcursor_open(struct tk_oldcursor *cursor, struct tk_catalog *catalog, struct tk_packtab *packs, struct tk_err *err);
/* Through what an interrupted run had made of the next point. Nothing of use there: as with no point before. */
TK_MUST_CHECK enum tk_rc tk_oldcursor_open_unfinished(struct tk_oldcursor *cursor, struct tk_catalog *catalog, struct tk_packtab *packs,
						      struct tk_err *err);
/* The same without a first entry: the caller goes through the reader, notes where leaves lie, and then goes to one of them. */
TK_MUST_CHECK enum tk_rc tk_oldcursor_open_unread(struct tk_oldcursor *cursor, struct tk_catalog *catalog, struct tk_packtab *packs,
						  struct tk_err *err);
/* To the first entry of a leaf that the reader went through. */
TK_MUST_CHECK enum tk_rc tk_oldcursor_go(struct tk_oldcursor *cursor, const struct tk_leaf_place *place, struct tk_err *err);
void tk_oldcursor_release(struct tk_oldcursor *cursor);
/* To the next entry of the same leaf; have is false after its last. */
TK_MUST_CHECK enum tk_rc tk_oldcursor_next_in_leaf(struct tk_oldcursor *cursor, struct tk_err *err);
/* To the next entry, of this leaf or a later one; have is false at the end. */
TK_MUST_CHECK enum tk_rc tk_oldcursor_next(struct tk_oldcursor *cursor, struct tk_err *err);
/* To the first entry of the next leaf that has any. What was borrowed from the leaf is gone. */
TK_MUST_CHECK enum tk_rc tk_oldcursor_next_leaf(struct tk_oldcursor *cursor, struct tk_err *err);
/* The current entry's local facts. */
const struct tk_sidecar *tk_oldcursor_sidecar(const struct tk_oldcursor *cursor);

#endif
