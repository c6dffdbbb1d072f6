/* journal.h -- the source's memory of what it has written: points, epochs, receipts, runs (SQLite, one file in the state directory).
 *
 * A point is journaled before it is sent. All writes are durable on return. One handle, any thread (calls are serialised inside). Losing it costs a new
 * epoch, never data. */
#ifndef TK_CATALOG_JOURNAL_H
#define TK_CATALOG_JOURNAL_H

#include "engine/base/buf.h"
#include "engine/vault/ids.h"
#include "engine/vault/store.h"

struct tk_journal;
/* Opens or creates state_dir/catalog.db, and checks its structure. TK_ECORRUPT: damaged (the caller may move it away and begin anew). */
TK_MUST_CHECK enum tk_rc tk_journal_open(const char *state_dir, struct tk_journal **out, struct tk_err *err);
void tk_journal_cleanup(struct tk_journal **journal);

/* Points: journaled -> stored (at least one site gave a receipt) or abandoned. */
enum tk_point_state { TK_POINT_JOURNALED = 1, TK_POINT_STORED = 2, TK_POINT_ABANDONED = 3 };
TK_MUST_CHECK enum tk_rc tk_journal_add_point(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, const void *record,
					      size_t len_bytes, enum tk_point_state state, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_journal_set_state(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at,
					      enum tk_point_state state, struct tk_err *err);
struct tk_journal_point {
	struct tk_head at;
	enum tk_point_state state;
};
/* Points of the domain in order (malloc'ed), of any state. */
TK_MUST_CHECK enum tk_rc tk_journal_points(struct tk_journal *journal, const struct tk_id *domain, struct tk_journal_point **out, size_t *count,
					   struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_journal_get_point(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, struct tk_buf *record,
					      struct tk_err *err);

/* The epoch this writer holds: its grant and the votes that opened it. */
struct tk_epoch {
	uint64_t epoch;
	struct tk_digest grant_digest;
	struct tk_buf grant;                  /* record */
	struct tk_buf opening;                /* raw epoch opening of the format: grant and votes */
	bool opened;                          /* a point with the opening was journaled */
	struct tk_head parent;                /* head adopted when the epoch was won; epoch 0: none */
};
void tk_epoch_release(struct tk_epoch *epoch);
/* TK_ENOENT: none (a new or lost journal). */
TK_MUST_CHECK enum tk_rc tk_journal_get_epoch(struct tk_journal *journal, const struct tk_id *domain, struct tk_epoch *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_journal_set_epoch(struct tk_journal *journal, const struct tk_id *domain, const struct tk_epoch *epoch, struct tk_err *err);

/* The number that a promise of a site has: they rise within an incarnation of its vault. */
struct tk_journal_number {
	struct tk_id vault_incarnation;
	uint64_t counter;
};
/* Receipts by site; and the latest promise of each site's vault (receipt or vote: its mark), for tk_store state(). */
TK_MUST_CHECK enum tk_rc tk_journal_add_receipt(struct tk_journal *journal, const struct tk_id *domain, const struct tk_head *at, const char *site,
						const struct tk_journal_number *number, int64_t time_ns, const void *record, size_t len_bytes,
						struct tk_err *err);
/* A vote is a mark too. */
TK_MUST_CHECK enum tk_rc tk_journal_add_vote(struct tk_journal *journal, const char *site, const struct tk_journal_number *number, int64_t time_ns,
					     const void *record, size_t len_bytes, struct tk_err *err);
/* Appends the record of the latest promise. TK_ENOENT when the site never gave one. */
TK_MUST_CHECK enum tk_rc tk_journal_site_mark(struct tk_journal *journal, const char *site, struct tk_buf *record, struct tk_err *err);
struct tk_journal_receipt {
	char site[64];
	struct tk_head at;
	int64_t time_ns;
};
/* All receipts of a domain, ordered by point and site (malloc'ed). */
TK_MUST_CHECK enum tk_rc tk_journal_receipts(struct tk_journal *journal, const struct tk_id *domain, struct tk_journal_receipt **out, size_t *count,
					     struct tk_err *err);
/* The key that signs a site's records, pinned at first sight: TK_ENOENT when not yet. */
TK_MUST_CHECK enum tk_rc tk_journal_site_key(struct tk_journal *journal, const char *site, struct tk_id *site_id, uint8_t key[TK_KEY_BYTES],
					     struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_journal_pin_site(struct tk_journal *journal, const char *site, const struct tk_id *site_id,
					     const uint8_t key[TK_KEY_BYTES], struct tk_err *err);
/* The site was found to hold, or given, all points from before this epoch that others list. */
TK_MUST_CHECK enum tk_rc tk_journal_set_line(struct tk_journal *journal, const char *site, const struct tk_id *domain, uint64_t epoch, struct tk_err *err);
/* The last epoch of which that is known; 0: none. */
TK_MUST_CHECK enum tk_rc tk_journal_get_line(struct tk_journal *journal, const char *site, const struct tk_id *domain, uint64_t *epoch, struct tk_err *err);
/* An operator says that a site's vault was made anew: its pin, the mark of its old vault and what that one held go, so that the next session pins what it then
 * shows. Its receipts stay as history; what verifications found in the old vault says nothing of the new one, and counts no more. TK_ENOENT: nothing is known of
 * the site. */
TK_MUST_CHECK enum tk_rc tk_journal_forget_site(struct tk_journal *journal, const char *site, struct tk_err *err);

/* Which points a verification looked at, and how closely. Rows from before this was kept say unknown: they tell of no point. */
enum tk_run_covers { TK_COVERS_UNKNOWN = 0, TK_COVERS_POINT = 1 /* `at` alone */, TK_COVERS_UP_TO = 2 /* all that the site had, up to `at` */ };
enum tk_run_depth { TK_DEPTH_STRUCTURE = 0, TK_DEPTH_SAMPLE = 1, TK_DEPTH_DATA = 2 /* every blob was read */ };

/* History of runs, for status: kind is "backup", "verify", "restore", "drill"; text is a short result. */
struct tk_run_row {
	char kind[16];
	char site[64];                        /* empty: all */
	struct tk_head at;
	enum tk_run_covers covers;            /* of a verification */
	enum tk_run_depth depth;
	int64_t start_ns, end_ns;
	int exit_status;
	char text[256];
};
TK_MUST_CHECK enum tk_rc tk_journal_add_run(struct tk_journal *journal, const struct tk_id *domain, const struct tk_run_row *row, struct tk_err *err);
/* The last run of a kind (at a site, or any when site is NULL); TK_ENOENT. only_good: exit status 0 only. */
TK_MUST_CHECK enum tk_rc tk_journal_last_run(struct tk_journal *journal, const struct tk_id *domain, const char *kind, const char *site, bool only_good,
					     struct tk_run_row *out, struct tk_err *err);
/* The verifications of the domain that found what they covered whole (exit status 0) or damaged (5), the latest first (malloc'ed). */
TK_MUST_CHECK enum tk_rc tk_journal_verifications(struct tk_journal *journal, const struct tk_id *domain, struct tk_run_row **out, size_t *count,
						  struct tk_err *err);

#endif
