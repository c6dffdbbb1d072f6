/* restore_core.h -- what the parts of a restore share; for engine/job/restore*.c only. */
#ifndef TK_JOB_RESTORE_CORE_H
#define TK_JOB_RESTORE_CORE_H

#include <pthread.h>

#include "engine/base/queue.h"
#include "engine/fsio/target.h"
#include "engine/job/readfile.h"
#include "engine/job/restore.h"
#include "engine/vault/content_digest.h"
#include "engine/vault/page.h"
#include "engine/vault/treewalk.h"

/* The first name restored of each hardlink group. */
struct tk_group_row {
	uint64_t group;
	char *path;                           /* owned; as in the manifest */
	size_t path_bytes;
	bool failed;                          /* it is not in place: nothing may become a link of what lies there */
};

struct tk_restore {
	const struct tk_restore_opts *opts;
	struct tk_restore_result *result;     /* under lock */
	uint64_t segment_bytes;
	const char *strip_root;               /* without the leading '/'; NULL: none */
	size_t strip_bytes;
	char **paths;                         /* owned, normalised */
	struct tk_target *target;             /* the main thread's handle */
	bool fresh;                           /* the target was empty: nothing can be in the way */

	pthread_mutex_t lock;                 /* result and groups */
	pthread_mutex_t large;                /* one large file at a time: it needs a segment of memory */
	pthread_mutex_t ways;                 /* held while directories are made in the place of something else */
	struct tk_group_row *groups;
	size_t group_count, group_cap;
	struct tk_queue *work;                /* leaf pages */
	atomic_bool failed;
	atomic_bool found_any;                /* something was asked for that is there */
	atomic_bool has_flags;                /* some entry has inode flags */
	struct tk_err failure;
};

/* One worker's own things. */
struct tk_restore_worker {
	struct tk_restore *restore;
	struct tk_target *target;
	struct tk_idmap *ids;
	struct tk_content_hash *hash;
	struct tk_not_applied not_applied;
	uint8_t *window;
	size_t window_cap;
};

/* The run cannot go on: workers stop. */
void tk_restore_fail(struct tk_restore *restore, const struct tk_err *err);
/* One file could not be restored: noted, the run goes on. */
void tk_restore_fault(struct tk_restore *restore, const char *path, const struct tk_err *err);
/* Is the entry asked for? */
bool tk_restore_wants(const struct tk_restore *restore, const struct tk_entry *entry);
/* The entry's path below the target. */
const char *tk_restore_path(const struct tk_restore *restore, const struct tk_entry *entry, size_t *len_bytes);
/* True when this caller restores the group's content; else another name does, and this one becomes a link of it later. */
TK_MUST_CHECK enum tk_rc tk_restore_claim_group(struct tk_restore *restore, const struct tk_entry *entry, bool *claimed, struct tk_err *err);
/* The group's first name could not be restored. */
void tk_restore_group_failed(struct tk_restore *restore, uint64_t group);
const struct tk_group_row *tk_restore_group(const struct tk_restore *restore, uint64_t group);

/* A walk over the point's entries, narrowed to what was asked for. The loader is the walk's own. */
struct tk_restore_walk {
	struct tk_page_loader *loader;
	struct tk_treewalk *walk;
	struct tk_entry entry;
};
TK_MUST_CHECK enum tk_rc tk_restore_walk_open(struct tk_restore *restore, struct tk_restore_walk *out, struct tk_err *err);
/* The next entry that is asked for, borrowed until the next call; NULL at the end. */
TK_MUST_CHECK enum tk_rc tk_restore_walk_next(struct tk_restore *restore, struct tk_restore_walk *walk, const struct tk_entry **entry,
					      struct tk_err *err);
void tk_restore_walk_release(struct tk_restore_walk *walk);

/* restore_content.c. Fetches a regular file's content, checks its digests, gives it to the sink. */
TK_MUST_CHECK enum tk_rc tk_restore_content(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_byte_sink *sink,
					    struct tk_err *err);
/* Is the file behind fd exactly the entry's content? */
TK_MUST_CHECK enum tk_rc tk_restore_compare(struct tk_restore_worker *worker, int fd, const struct tk_entry *entry, bool *same, struct tk_err *err);

/* restore_entry.c: the first pass, one entry. */
void tk_restore_entry(struct tk_restore_worker *worker, const struct tk_entry *entry);
/* restore_finish.c: the second pass: links, directories' metadata, flags, --delete. */
TK_MUST_CHECK enum tk_rc tk_restore_finish(struct tk_restore *restore, struct tk_err *err);
/* restore_tar.c */
TK_MUST_CHECK enum tk_rc tk_restore_tar(struct tk_restore *restore, struct tk_err *err);

TK_MUST_CHECK enum tk_rc tk_restore_worker_init(struct tk_restore_worker *worker, struct tk_restore *restore, struct tk_err *err);
void tk_restore_worker_release(struct tk_restore_worker *worker);

#endif
