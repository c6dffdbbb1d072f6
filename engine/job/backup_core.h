/* backup_core.h -- what the parts of a run share; for engine/job/backup*.c only. */
#ifndef TK_JOB_BACKUP_CORE_H
#define TK_JOB_BACKUP_CORE_H

#include "engine/catalog/catalog.h"
#include "engine/catalog/damaged.h"
#include "engine/catalog/dedup.h"
#include "engine/catalog/journal.h"
#include "engine/catalog/localstore.h"
#include "engine/catalog/spool.h"
#include "engine/catalog/tagkey.h"
#include "engine/job/backup.h"
#include "engine/job/epoch.h"
#include "engine/job/fetch.h"
#include "engine/job/packer.h"
#include "engine/job/sites.h"
#include "engine/job/stock.h"
#include "engine/vault/records.h"

/* A complete pack that an interrupted run left in the spool or at the sites: this run builds on it where it can. */
struct tk_leftover {
	struct tk_pack_ident ident;
	uint32_t number;                      /* in the packtab */
	size_t item;                          /* of the stock, which knows whether it is used */
};

struct tk_leftovers {
	struct tk_leftover *list;             /* owned; sorted by number */
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
	uint64_t spool_bytes;                 /* its bound in this run; 0: none */
	struct tk_stock *stock;
	struct tk_pack_name *spooled;         /* owned; what was in the spool at the start: the stock's first items */
	size_t spooled_count;
	struct tk_catalog *catalog;
	struct tk_localstore *local;
	uint8_t tag_key[TK_TAG_KEY_BYTES];    /* of local facts */
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
	struct tk_damaged damaged;            /* packs that a verification found damage in */
	bool read_anew;                       /* what the point before rests on may be gone: all files are read, nothing is carried over */
	bool any_receipt;

	struct tk_page_info root;
	struct tk_point point;
	struct tk_buf record;
};

/* A durable step is done: tests may end the process here, or make it fail. */
TK_MUST_CHECK enum tk_rc tk_run_step(struct tk_backup *run, const char *name, struct tk_err *err);

/* backup_state.c: everything before the scan. */
TK_MUST_CHECK enum tk_rc tk_run_open_state(struct tk_backup *run, struct tk_err *err);
/* What a run before left half done: points that no receipt is known of, packs in the spool. */
TK_MUST_CHECK enum tk_rc tk_run_settle_past(struct tk_backup *run, struct tk_err *err);
/* The catalog's current point is the parent; made anew from a site if it is not. */
TK_MUST_CHECK enum tk_rc tk_run_settle_catalog(struct tk_backup *run, struct tk_err *err);

/* backup_spool.c: the packs of this run and of those before it. */
/* A data pack's size, so that the spool holds several. */
uint32_t tk_run_pack_bytes(const struct tk_backup *run);
/* Before any site is opened: what is in the spool stays there until it is known what it is. */
TK_MUST_CHECK enum tk_rc tk_run_take_stock(struct tk_backup *run, struct tk_err *err);
/* After the past is settled: complete packs that no point names are built on, or removed. */
TK_MUST_CHECK enum tk_rc tk_run_adopt_leftovers(struct tk_backup *run, struct tk_err *err);
/* NULL: the pack is none. */
const struct tk_leftover *tk_run_leftover(const struct tk_backup *run, uint32_t number);
TK_MUST_CHECK enum tk_rc tk_run_clean_spool(struct tk_backup *run, struct tk_err *err);

/* backup_point.c: the point record, its publishing, the receipts. */
TK_MUST_CHECK enum tk_rc tk_run_make_point(struct tk_backup *run, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_run_publish(struct tk_backup *run, struct tk_err *err);
/* What the sites have said so far goes into the result. */
void tk_run_take_reports(struct tk_backup *run);

#endif
