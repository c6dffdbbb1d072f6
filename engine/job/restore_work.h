/* restore_work.h -- what the workers of a restore do next: leaf pages in the order of the tree, and parts of large files that one of them shares out.
 *
 * Any thread. Parts come before pages, so that a file that was begun is soon done. */
#ifndef TK_JOB_RESTORE_WORK_H
#define TK_JOB_RESTORE_WORK_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/err.h"
#include "engine/vault/ids.h"

/* A leaf page on its way to a worker, which fetches it. */
struct tk_page_task {
	struct tk_blob_ref ref;
	struct tk_digest portable;
	size_t number;                        /* in the order of the tree, from 1 */
};

/* Work of `count` independent parts; embedded in what run makes of it. Only run and count are the owner's to set. */
struct tk_shared {
	void (*run)(struct tk_shared *shared, size_t part, void *worker);
	size_t count;
	size_t next, active;
	struct tk_shared *peer;
};

struct tk_restore_work;
TK_MUST_CHECK enum tk_rc tk_restore_work_new(struct tk_restore_work **out, struct tk_err *err);
void tk_restore_work_cleanup(struct tk_restore_work **work);

/* Waits for room. No push after close. */
void tk_restore_work_push(struct tk_restore_work *work, const struct tk_page_task *page);
/* No more pages. */
void tk_restore_work_close(struct tk_restore_work *work);

/* The next page, with true; whoever got one calls tk_restore_work_done after it. Parts that others share are run meanwhile. False: there will be nothing more to do. */
TK_MUST_CHECK bool tk_restore_work_next(struct tk_restore_work *work, void *worker, struct tk_page_task *page);
void tk_restore_work_done(struct tk_restore_work *work);

/* Runs all parts, with the help of workers that have nothing better to do; returns when the last one has ended. work NULL: alone. */
void tk_restore_work_share(struct tk_restore_work *work, struct tk_shared *shared, void *worker);
/* From within run: parts that were not begun are left out. */
void tk_restore_work_stop(struct tk_restore_work *work, struct tk_shared *shared);

#endif
