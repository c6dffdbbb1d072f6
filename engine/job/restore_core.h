/* restore_core.h -- what the parts of a restore share; for engine/job/restore*.c only. */
#ifndef TK_JOB_RESTORE_CORE_H
#define TK_JOB_RESTORE_CORE_H

#include <pthread.h>

#include "engine/fsio/holes.h"
#include "engine/fsio/target.h"
#include "engine/job/readfile.h"
#include "engine/job/restore.h"
#include "engine/job/restore_ahead.h"
#include "engine/job/restore_work.h"
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
	bool has_look;                        /* fresh, and a worker learnt how new objects look */
	struct tk_look look;

	pthread_mutex_t lock;                 /* result and groups */
	pthread_mutex_t ways;                 /* held while directories are made in the place of something else */
	struct tk_group_row *groups;
	size_t group_count, group_cap;
	struct tk_restore_work *work;         /* NULL: there is one worker, which asks for none */
	struct tk_restore_ahead *ahead;
	atomic_bool failed;
	atomic_bool has_flags;                /* some entry has inode flags */
	struct tk_err failure;
};

/* Bytes of a blob that were hashed, and are not in the file yet: see restore_file.c. */
struct tk_late_write {
	struct tk_fetched *blob;              /* held */
	bool spent;
	const uint8_t *data;
	size_t len_bytes;
	uint64_t at_bytes;
};
#define TK_LATE_WRITES 4u

/* One worker's own things. */
struct tk_restore_worker {
	struct tk_restore *restore;
	struct tk_target *target;
	struct tk_idmap *ids;
	struct tk_content_hash *hash;
	struct tk_not_applied not_applied;
	struct tk_fetched *held;              /* the data blob used last: the next file lies in it, too */
	bool held_to_end;                     /* its last byte was used */
	uint8_t *window;
	size_t window_cap;
	pthread_mutex_t *turn;                /* whose it is to write the file that this worker restores a segment of, with others; NULL: it has the file alone */
	struct tk_late_write late[TK_LATE_WRITES];
	unsigned late_count;
};

/* Of a worker's window, for reading files. */
#define TK_RESTORE_READ_BYTES (1u << 20)

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

/* restore_content.c. Fetches a regular file's content, checks its digests, gives it to the sink in the order of the file. */
TK_MUST_CHECK enum tk_rc tk_restore_content(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_byte_sink *sink,
					    struct tk_err *err);
/* Where a regular file has data and where holes, in order, as the caller's to free; none (NULL, 0) when it has no hole, or too many runs to tell of. */
TK_MUST_CHECK enum tk_rc tk_restore_runs(struct tk_restore *restore, const struct tk_entry *entry, struct tk_run **runs, size_t *count, struct tk_err *err);
/* An extent's bytes, borrowed until the next call with this worker. */
TK_MUST_CHECK enum tk_rc tk_restore_extent(struct tk_restore_worker *worker, const struct tk_extent *extent, const uint8_t **data, struct tk_err *err);
/* Extents by blob, for qsort. */
struct tk_piece {
	struct tk_extent extent;
	uint64_t at;                          /* its place in what is put together */
};
int tk_piece_by_blob(const void *a, const void *b);
TK_MUST_CHECK enum tk_rc tk_restore_window(struct tk_restore_worker *worker, size_t len_bytes, struct tk_err *err);
bool tk_restore_cancelled(const struct tk_restore *restore);
enum tk_rc tk_restore_wrong_content(struct tk_err *err);

/* restore_file.c. The content into a pending file, where bytes may lie that are not checked yet: memory is a window. `basis` (or -1) is an old version of the file, for
 * reading: what is the same there is not fetched, but copied, and counted in *reused_bytes. */
TK_MUST_CHECK enum tk_rc tk_restore_into_file(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_target_file *file, int basis,
					      uint64_t *reused_bytes, struct tk_err *err);
/* Is a file one piece of one blob, or empty? It is checked before it is written, then, and written with one call. */
bool tk_restore_is_single(const struct tk_entry *entry);
/* Writes the extents' len_bytes at offset_bytes of the file and feeds them to the worker's hash, which was begun. */
TK_MUST_CHECK enum tk_rc tk_restore_write_extents(struct tk_restore_worker *worker, const struct tk_extent *extents, size_t count, uint64_t len_bytes,
						  const struct tk_target_file *file, uint64_t offset_bytes, struct tk_err *err);

/* restore_large.c. The same for a file of segments, in parallel. */
TK_MUST_CHECK enum tk_rc tk_restore_segments(struct tk_restore_worker *worker, const struct tk_entry *entry, const struct tk_target_file *file,
					     int basis, uint64_t *reused_bytes, struct tk_err *err);
/* Is the file behind fd, which is as long, exactly the entry's content? */
TK_MUST_CHECK enum tk_rc tk_restore_compare_segments(struct tk_restore_worker *worker, int fd, const struct tk_entry *entry, bool *same, struct tk_err *err);

/* restore_basis.c. The same for a file without segments. */
TK_MUST_CHECK enum tk_rc tk_restore_compare(struct tk_restore_worker *worker, int fd, const struct tk_entry *entry, bool *same, struct tk_err *err);
/* Reads a range of the basis and feeds it to the worker's hash, which was begun; with a file, also writes it there. *whole: the range was there to its end. */
TK_MUST_CHECK enum tk_rc tk_restore_read_basis(struct tk_restore_worker *worker, int basis, uint64_t offset_bytes, uint64_t len_bytes,
					       const struct tk_target_file *file, bool *whole, struct tk_err *err);

/* restore_entry.c: the first pass, one entry. */
void tk_restore_entry(struct tk_restore_worker *worker, const struct tk_entry *entry);
/* restore_finish.c: the second pass: links, directories' metadata, flags, --delete. */
TK_MUST_CHECK enum tk_rc tk_restore_finish(struct tk_restore *restore, struct tk_err *err);
/* restore_tar.c */
TK_MUST_CHECK enum tk_rc tk_restore_tar(struct tk_restore *restore, struct tk_err *err);

TK_MUST_CHECK enum tk_rc tk_restore_worker_init(struct tk_restore_worker *worker, struct tk_restore *restore, struct tk_err *err);
void tk_restore_worker_release(struct tk_restore_worker *worker);

#endif
