/* restore_ahead.h -- what a restore will need soon is asked for before it is needed, so that a distant site costs round trips once, not for each blob.
 *
 * Two looks ahead. Within a file, who writes it looks a few blobs further (struct tk_reach). Across files, a thread of its own reads the pages in the order of the tree and
 * asks for the first blobs of each file that is about to come; it stays so many blobs before the workers. Only new targets have that: what lies there already may
 * make fetching needless. Memory: TK_LOOK_BLOBS MiB for all workers together and as many for the thread, which has those of a worker too once he has nothing more to look
 * for in his file; within the cache of the fetch. */
#ifndef TK_JOB_RESTORE_AHEAD_H
#define TK_JOB_RESTORE_AHEAD_H

#include "engine/job/prefetch.h"
#include "engine/job/restore_work.h"

/* Each of up to 1 MiB. */
#define TK_LOOK_BLOBS 12u

struct tk_restore;
struct tk_restore_worker;
struct tk_restore_ahead;

/*
 * across: also look across files. restore: borrowed until cleanup. *out is NULL, and all functions here do nothing, where no site is behind a network: reading from a disk
 * needs no looking ahead, which would only cost its processor time. Errors: TK_ENOMEM.
 */
TK_MUST_CHECK enum tk_rc tk_restore_ahead_new(struct tk_restore *restore, bool across, struct tk_restore_ahead **out, struct tk_err *err);
void tk_restore_ahead_cleanup(struct tk_restore_ahead **ahead);

/* For the thread that gives out pages, in order, of pages that workers were given; waits while too many were not looked at. */
void tk_restore_ahead_page(struct tk_restore_ahead *ahead, const struct tk_page_task *page);
/* Any worker: it begins with entry number `entry` (from 0) of the page; it is done with the page. */
void tk_restore_ahead_at(struct tk_restore_ahead *ahead, size_t page, size_t entry);
void tk_restore_ahead_done(struct tk_restore_ahead *ahead, size_t page);
/* Asks for one blob; any thread. */
void tk_restore_ahead_want(struct tk_restore_ahead *ahead, struct tk_blob_ref ref, enum tk_blob_type type);

/* A look ahead within a list of extents, which is gone through in order. */
struct tk_reach {
	struct tk_restore_ahead *ahead;
	const void *first;                     /* extents, `stride` bytes apart: they may be members of something larger */
	size_t stride, count;
	size_t next;                           /* the first one that was not looked at */
	struct tk_blob_ref last;
	size_t marks[TK_LOOK_BLOBS];           /* where the blobs that were asked for come in the list */
	unsigned mark_count, mark_max;
	unsigned spare;                        /* at the list's end: of mark_max, what the look across files has meanwhile */
};
/* first: borrowed while the look is used. */
void tk_reach_begin(struct tk_reach *reach, const struct tk_restore_worker *worker, const struct tk_extent *first, size_t stride, size_t count);
/* Extent number i is used now. */
void tk_reach_at(struct tk_reach *reach, size_t i);
/* After tk_reach_begin, whatever became of the list. */
void tk_reach_end(struct tk_reach *reach);

#endif
