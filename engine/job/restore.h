/* restore.h -- a point comes back: in parallel, from all reachable sites, every byte checked.
 *
 * Pages are checked against the digests above them, up to the point's tree digest; every file's content digest is recomputed from the
 * bytes that were written. What exists already is a basis: a file whose content is right is kept, segments that are right are copied and not fetched. Nothing is ever
 * written outside of the target, nor through a hardlink that may lead there. Memory is bounded whatever the size of files (docs/PERFORMANCE.md). */
#ifndef TK_JOB_RESTORE_H
#define TK_JOB_RESTORE_H

#include "engine/base/log.h"
#include "engine/fsio/metaapply.h"
#include "engine/job/fetch.h"
#include "engine/base/progress.h"
#include "engine/vault/records.h"

struct tk_restore_opts {
	struct tk_fetch *fetch;               /* all borrowed during the call */
	struct tk_packtab *packs;
	const struct tk_point *point;
	const struct tk_point_body *body;

	const char *target;                   /* directory, made if missing; NULL with tar_fd */
	int tar_fd;                           /* -1: restore into target */
	const char *const *paths;             /* only these and what is below; absolute or as in the manifest; count 0: all */
	size_t path_count;
	bool strip;                           /* the only root's content goes straight into the target */
	bool delete_extra;                    /* removes what the point does not have, within the restored directories */
	bool numeric_ids;
	unsigned threads;

	const atomic_bool *cancel;
	const struct tk_progress *progress;  /* may be NULL */
	/* Told of each file that could not be restored; any thread, one at a time. */
	void (*on_fault)(void *ctx, const char *path, const struct tk_err *err);
	void *ctx;
};

struct tk_restore_result {
	uint64_t files_restored;              /* all but directories */
	uint64_t restored_bytes;              /* content bytes that are in place now */
	uint64_t reused_bytes;                /* of these, kept because they were there already */
	uint64_t deleted;                     /* by delete_extra */
	uint64_t faults;
	bool damaged;                         /* a page or content did not match its digest, or a blob was nowhere to be had */
	struct tk_digest tree;                /* recomputed; the point's, if all of it was restored */
	bool tree_complete;                   /* the whole tree was gone through */
	bool verified;                        /* all that was asked for is in place and every digest was right */
	struct tk_not_applied not_applied;
};

/* TK_OK when the run came to its end, also with faults (see result). Errors: TK_ECORRUPT (a page that all else hangs on), TK_EUNREACH, TK_ENOSPC, TK_ECANCELLED, TK_EINVAL (strip with
 * several roots; a bad path) ... */
TK_MUST_CHECK enum tk_rc tk_restore_run(const struct tk_restore_opts *opts, struct tk_restore_result *result, struct tk_err *err);

#endif
