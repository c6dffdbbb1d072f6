/* backup_core.h -- what the parts of a run share; for engine/job/backup*.c only. */
#ifndef TK_JOB_BACKUP_CORE_H
#define TK_JOB_BACKUP_CORE_H

#include "engine/catalog/catalog.h"
#include "engine/catalog/dedup.h"
#include "engine/catalog/journal.h"
#include "engine/catalog/localstore.h"
#include "engine/catalog/spool.h"
#include "engine/job/backup.h"
#include "engine/job/epoch.h"
#include "engine/job/fetch.h"
#include "engine/job/packer.h"
#include "engine/job/sites.h"
#include "engine/vault/records.h"

/* Packs that an interrupted run left complete in the spool: this run builds on them where it can. */
struct tk_leftovers {
	struct tk_pack_ident *idents;         /* owned */
	uint32_t *numbers;                    /* in the packtab */
	bool *used;
	size_t count;
};

struct tk_backup {
	const struct tk_backup_opts *opts;
	struct tk_backup_result *result;
	const struct tk_domain_keys *keys;
	int64_t start_ns, scan_end_ns;

	int lock_fd;
	struct tk_packtab *packs;
	struct tk_journal *journal;
	struct tk_spool *spool;
	struct tk_catalog *catalog;
	struct tk_localstore *local;
	struct tk_dedup *dedup;
	bool dedup_fresh;
	struct tk_sites *sites;
	struct tk_fetch *fetch;
	struct tk_packer *packer;
	struct tk_ingest *ingest;
	struct tk_catalog_writer *writer;

	struct tk_epoch_verdict verdict;
	bool has_current;
	struct tk_catalog_current current;
	struct tk_leftovers left;
	bool distrust_catalog;                /* it was found damaged: made anew from a site */
	bool any_receipt;

	struct tk_page_info root;
	struct tk_point point;
	struct tk_buf record;
};

/* A durable step is done: tests may end the process here, or make it fail. */
TK_MUST_CHECK enum tk_rc tk_run_step(struct tk_backup *run, const char *name, struct tk_err *err);

/* backup_state.c: everything before the scan, and the cleaning up after it. */
TK_MUST_CHECK enum tk_rc tk_run_open_state(struct tk_backup *run, struct tk_err *err);
/* What a run before left half done: points that no receipt is known of, packs in the spool. */
TK_MUST_CHECK enum tk_rc tk_run_settle_past(struct tk_backup *run, struct tk_err *err);
/* The catalog's current point is the parent; made anew from a site if it is not. */
TK_MUST_CHECK enum tk_rc tk_run_settle_catalog(struct tk_backup *run, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_run_clean_spool(struct tk_backup *run, struct tk_err *err);
void tk_leftovers_release(struct tk_leftovers *left);

/* backup_point.c: the point record, its publishing, the receipts. */
TK_MUST_CHECK enum tk_rc tk_run_make_point(struct tk_backup *run, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_run_publish(struct tk_backup *run, struct tk_err *err);

#endif
