/* scan.h -- one pass over the data: a merge-join of the sorted walk with the cached pages of the point before.
 *
 * What did not change is carried over, whole pages undecoded where possible; what did is read (ingest.h). The new manifest goes to the packer as pages, and to the
 * catalog with its sidecars. Run by the run's thread. */
#ifndef TK_JOB_SCAN_H
#define TK_JOB_SCAN_H

#include "engine/catalog/catalog.h"
#include "engine/fsio/walk.h"
#include "engine/job/ingest.h"
#include "engine/job/trust.h"
#include "engine/base/progress.h"

enum tk_scan_note {
	TK_NOTE_UNREADABLE,                   /* counts: the point lacks it, and what lies below it; points before still have that */
	TK_NOTE_VANISHED,
	TK_NOTE_INCONSISTENT,                 /* changed while it was read, every time */
	TK_NOTE_SKIPPED,                      /* socket, other file system, excluded ... */
	TK_NOTE_NOT_GROWN,                    /* said to grow only, and changed where it was old; it was read as a whole */
	TK_NOTE_SILENT_CHANGE,                /* read again by plan: content differs though nothing said so */
};

struct tk_scan_opts {
	enum tk_suite suite;                  /* pointers are borrowed during the call */
	struct tk_packtab *packs;
	struct tk_packer *packer;
	struct tk_ingest *ingest;
	struct tk_catalog *catalog;
	bool has_current;                     /* the catalog has a current point to compare with */
	struct tk_catalog_writer *writer;
	const struct tk_walk_opts *walk;      /* its on_note is replaced */
	enum tk_trust_rule trust;
	bool append_only;                     /* files are believed to grow only (ingest.h) */
	int64_t scan_start_ns;
	int64_t racy_ns;                      /* a change this near to the scan could be followed by another in the same clock tick; 0: 2 s */
	int64_t last_scan_ns;                 /* of the current point; 0: none */
	int64_t reread_period_s;              /* every carried-over file is read again within this time; 0: never */
	uint64_t expected_files, expected_bytes; /* of the point before, for progress */
	const struct tk_ingest_leavings *left; /* by an interrupted run; NULL: nothing of such a run is used, or left to the next */
	int64_t checkpoint_ns;                /* between what is left to a run after this one, should it be interrupted; 0: 5 s; below 0: always due */
	bool dry_run;                         /* compare only: nothing is read, stored or written; *root stays empty */
	const atomic_bool *cancel;
	const struct tk_progress *progress;  /* may be NULL */
	/* Called by the scanning thread. err may be NULL. */
	void (*on_note)(void *ctx, enum tk_scan_note note, const char *path, const struct tk_err *err);
	void *ctx;
};

struct tk_scan_stats {
	uint64_t entries, files, total_bytes; /* in the new point; files: all but directories */
	uint64_t files_new, files_changed, files_removed, files_unreadable, files_inconsistent;
	uint64_t files_moved;                 /* of files_new and files_changed: known under another name, and not read */
	uint64_t files_reread, reread_bytes;  /* nothing said that they changed: read again by plan */
	bool changed;                         /* the tree differs from the point before in any way */
};

/* *root: the root page (caller releases). Errors: TK_ECORRUPT: the catalog is damaged; TK_ECANCELLED; those of ingest and packer. */
TK_MUST_CHECK enum tk_rc tk_scan_run(const struct tk_scan_opts *opts, struct tk_page_info *root, struct tk_scan_stats *stats, struct tk_err *err);

#endif
