/* backup.h -- one run: scan, delta, seal, ship, until the ack rule is met or cannot be.
 *
 * The caller (cli) gives everything by value or borrowed; nothing here reads a configuration, prints or exits. One run of a dataset at a time: a lock in the
 * state directory sees to it (TK_ELOCKED).
 *
 * What is durable when tk_backup_run returns TK_OK: the point is journaled here, and is held, complete, by every site that gave a receipt. */
#ifndef TK_JOB_BACKUP_H
#define TK_JOB_BACKUP_H

#include "engine/base/log.h"
#include "engine/codec/codec.h"
#include "engine/job/scan.h"
#include "engine/job/voters.h"
#include "engine/vault/keyring.h"
#include "engine/vault/store.h"

struct tk_backup_opts {
	const char *dataset_name, *source_name;
	const char *state_dir;
	const struct tk_keyring *ring;
	struct tk_id domain;
	struct tk_id incarnation;
	const struct tk_buf *genesis, *first_grant; /* records made by init */

	const char *const *roots;
	size_t root_count;
	const struct tk_exclude *exclude;     /* compiled; may be NULL */
	bool cross_file_systems, skip_caches, skip_nodump;
	const struct tk_dev_ino *skip_dirs;   /* homes, spools and vaults of this machine */
	size_t skip_dir_count;

	const struct tk_site *sites;
	size_t site_count;
	int64_t open_timeout_ms;              /* how long to wait for sites before the scan begins */
	int64_t reconnect_ms;                 /* how long a site whose session broke is tried again; 0: not at all */
	int64_t linger_ms;                    /* once the ack rule is met, how long the other sites may go on */

	enum tk_codec codec;
	int level;
	unsigned threads;
	enum tk_signature_kind signature;
	size_t block_bytes;
	uint64_t delta_min_bytes;
	unsigned rewrite_percent;             /* of the bytes of the point before: how much of large files may be stored anew because it lies too scattered */
	unsigned retries;
	enum tk_trust_rule trust;
	bool append_only;                     /* as in tk_scan_opts */
	int64_t reread_period_s;
	uint64_t spool_max_bytes;             /* the spool's bound, in the run and after it; 0: none */
	int64_t spool_grace_ms;               /* how long a full spool waits for sites that the ack rule does not need; 0: 30 s */
	int64_t spool_wait_ms;                /* how long it may stand still before the run gives up; 0: an hour */
	bool dry_run;

	/* Sizes that tests make tiny; 0: the defaults. */
	size_t extents_max;                   /* ingest.h */
	uint32_t segment_bytes, pack_plain_bytes;
	size_t chunk_min_bytes, chunk_avg_bytes, chunk_max_bytes;
	size_t rewrite_crumbs_min;            /* these two: see fragments.h */
	uint32_t rewrite_blob_bytes;
	int64_t checkpoint_ms;                /* between what is left to the next run, should this one be interrupted; 0: 5 s; below 0: always due */
	int64_t racy_ms;                      /* a change this near to the scan's start is looked at again next time; 0: 2 s */

	/* The ack rule, decided outside (policies/ack.h); any thread. */
	void (*judge)(void *ctx, const bool *has_receipt, size_t count, bool *met, bool *safe);
	void *judge_ctx;
	struct tk_voters voters;

	enum tk_rc (*prepare_site)(void *ctx, const struct tk_site *site, struct tk_store *store, struct tk_err *err); /* see sites.h */
	void (*prepare_site_ahead)(void *ctx, const struct tk_site *site, struct tk_store *store);
	void *prepare_ctx;
	const atomic_bool *cancel;
	const struct tk_progress *progress;  /* may be NULL */
	void (*on_note)(void *ctx, enum tk_scan_note note, const char *path, const struct tk_err *err);
	void *note_ctx;
	/* Told of each step that made something durable, by name; for tests that end the process there. May be NULL. */
	void (*on_step)(void *ctx, const char *name);
	void *step_ctx;
	const struct tk_log *log;
};

struct tk_backup_site {
	bool asked;                           /* it answered before the scan */
	bool has_receipt;
	int64_t receipt_ns;
	struct tk_digest receipt_digest;
	uint64_t sent_bytes;
	struct tk_err failure;                /* rc TK_OK: none */
};

struct tk_backup_result {
	struct tk_head point;                 /* epoch 0: no point was made */
	int64_t created_ns;                   /* scan end */
	struct tk_scan_stats scan;
	uint64_t read_bytes, literal_bytes, copied_bytes, rewritten_bytes;
	uint64_t stored_bytes;                /* of the packs that this point adds; as in its record, which is not counted (FORMAT.md) */
	int64_t elapsed_ns;
	bool ack_met, ack_safe, possibly_fenced;
	bool rebuilt;                         /* the local state was lost and made anew from a site */
	uint64_t epoch_won;                   /* a new epoch was won in this run; 0: no */
	bool sites_changed;                   /* that is why, and not a lost journal */
	struct tk_backup_site *sites;         /* owned; one for each of opts->sites */
};
void tk_backup_result_release(struct tk_backup_result *result);

/* TK_OK also when the ack rule is not met: see result->ack_met. Errors: TK_ELOCKED, TK_EFENCED, TK_EUNREACH (no site; nothing claimed), TK_ECANCELLED ... */
TK_MUST_CHECK enum tk_rc tk_backup_run(const struct tk_backup_opts *opts, struct tk_backup_result *result, struct tk_err *err);

#endif
