/* scan_core.h -- what the parts of a scan share; for engine/job/scan*.c only. */
#ifndef TK_JOB_SCAN_CORE_H
#define TK_JOB_SCAN_CORE_H

#include "engine/fsio/walkahead.h"
#include "engine/job/forerunner.h"
#include "engine/job/links.h"
#include "engine/job/moves.h"
#include "engine/job/oldcursor.h"
#include "engine/job/scan.h"
#include "engine/job/trust.h"

/* The directories that were entered last, by the lengths of their paths: a stack. */
struct scan_dirs {
	struct scan_dir *rows;                /* owned */
	size_t count, cap;
};

/* What the point before tells of an inode that is looked at. */
struct scan_known {
	const struct tk_entry *entry;         /* NULL: nothing. Borrowed until the next entry is looked at */
	const struct tk_sidecar *side;
	bool moved;                           /* the entry has another path */
	bool unread;                          /* the content of the entry stands: the file need not be read */
	bool whole;                           /* all of the entry stands but its path */
	const struct tk_entry *guess;         /* without an entry, and where nothing had the path: of a file that this one probably continues, with its side; or NULL */
};

struct scan {
	const struct tk_scan_opts *opts;
	struct tk_scan_stats *stats;
	struct tk_trust trust;
	struct tk_walkahead *walk;
	struct tk_idmap *ids;
	struct tk_tree *tree;
	struct tk_links *links;
	struct tk_moves *moves;
	struct tk_forerunners *forerunners;
	struct scan_dirs dirs;
	struct tk_oldcursor old;
	struct tk_oldcursor unfinished;       /* what an interrupted run had made: at or after what is looked at */
	struct tk_entry adopted;              /* one of it that stands; borrows from it */
	int64_t checkpoint_at_ns;             /* the next one, by the monotonic clock */

	/* The first `held` entries of the old leaf stand unchanged and are not in the tree yet: if the whole leaf does, it is
	 * added undecoded. leaf_done: all of it was matched; what comes next decides. */
	bool holding, leaf_done;
	struct tk_sidecar *held_rows;         /* of the held entries: these may be newer than the leaf's */
	size_t held, held_cap;

	struct tk_sidecar *rows;              /* of the entries in the tree's open leaf */
	size_t row_count, row_cap;

	struct tk_entry fresh;                /* the entry being made */
	size_t path_cap;
	struct tk_buf forms[2];               /* for comparing it with the one before */
	struct tk_content content, lent;      /* lent: borrowed from an entry */
	uint64_t done;
};

/* scan_pages.c: the new tree's pages, made or carried over. */
struct tk_page_sink tk_scan_sink(struct scan *scan);
TK_MUST_CHECK enum tk_rc tk_scan_add(struct scan *scan, const struct tk_entry *entry, const struct tk_sidecar *sidecar, struct tk_err *err);
/* The held entries go in one by one after all. */
TK_MUST_CHECK enum tk_rc tk_scan_flush_held(struct scan *scan, struct tk_err *err);
/* All of the old leaf was matched. next_path: what comes now (NULL: the end). */
TK_MUST_CHECK enum tk_rc tk_scan_settle_leaf(struct scan *scan, const char *next_path, size_t next_bytes, struct tk_err *err);
/* The old cursor goes on; a held leaf that is used up waits for what comes next. */
TK_MUST_CHECK enum tk_rc tk_scan_advance_old(struct scan *scan, struct tk_err *err);
/* The old entry stands as it is, with what is known of its inode now: held, or added. */
TK_MUST_CHECK enum tk_rc tk_scan_keep(struct scan *scan, const struct tk_sidecar *sidecar, struct tk_err *err);

/* scan_entry.c: one entry. old: the entry of the same path in the point before, or NULL. */
/* Makes scan->fresh from what is on disk now; known->unread says afterwards whether the content was taken from the known entry. TK_ENOENT, TK_EDENIED, TK_EIO: this one cannot be read. */
TK_MUST_CHECK enum tk_rc tk_scan_make_entry(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old,
					    struct scan_known *known, struct tk_stat *st, struct tk_err *err);
/* Makes *fresh, all of it borrowed, from a known entry that stands whole: what is on disk is not touched. */
TK_MUST_CHECK enum tk_rc tk_scan_move_entry(struct scan *scan, const struct tk_walk_entry *now, const struct scan_known *known, struct tk_entry *fresh,
					    struct tk_err *err);
/* Is what was made now the very entry of before, its extents too? Then its page need not be written anew. */
TK_MUST_CHECK enum tk_rc tk_scan_is_same(struct scan *scan, const struct tk_entry *old, bool *same, struct tk_err *err);
/*
 * May an unchanged name of an inode with several keep its group? Not if another inode has that group in this run, nor if the inode was read again under another name and
 * gave other bytes: all names of a group must tell the same content. An inode not met yet takes group and content from this entry.
 */
TK_MUST_CHECK enum tk_rc tk_scan_group_stands(struct scan *scan, const struct tk_walk_entry *now, bool *stands, struct tk_err *err);

/* scan_known.c: what the point before tells of a regular file that is new or may have changed. */
TK_MUST_CHECK enum tk_rc tk_scan_find_known(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct scan_known *known,
					    struct tk_err *err);
/* scan_resume.c: what an interrupted run had read, and what is left to a run after this. */
TK_MUST_CHECK enum tk_rc tk_scan_resume_open(struct scan *scan, struct tk_err *err);
/* A regular file that the interrupted run had read, as it is still there: its content stands if the packs of it do. */
TK_MUST_CHECK enum tk_rc tk_scan_resume_find(struct scan *scan, const struct tk_walk_entry *now, struct scan_known *known, struct tk_err *err);
/* To be called after each entry that was looked at, not for those that stand: makes durable, when it is due, what the run knows so far. */
TK_MUST_CHECK enum tk_rc tk_scan_checkpoint(struct scan *scan, const struct tk_walk_entry *now, struct tk_err *err);

/* scan_past.c */
/*
 * Opens the file that was `was`, if it lies there still with its size and mtime: under its name, or, where the file that is looked at now has that, as yesterday's log does when it is rotated, under
 * another in the same directory. *fd: -1: it does not. That says only that a look into it is worth while: what is read of it counts as far as its tags are those of the point before. Errors: TK_ENOMEM.
 */
TK_MUST_CHECK enum tk_rc tk_scan_open_past(const struct tk_walk_entry *now, const struct tk_entry *was, const struct tk_sidecar *side, int *fd,
					   struct tk_err *err);
/* To be told of each directory before what is in it. */
TK_MUST_CHECK enum tk_rc tk_scan_enter_dir(struct scan *scan, const struct tk_walk_entry *now, const struct tk_entry *old, struct tk_err *err);
void tk_scan_dirs_release(struct scan_dirs *dirs);

#endif
