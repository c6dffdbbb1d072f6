/* site_mend.h -- a site whose vault was set back is brought what the others hold, so that it can be let in again. Used at the end of a run, by its thread. */
#ifndef TK_JOB_SITE_MEND_H
#define TK_JOB_SITE_MEND_H

#include <stdatomic.h>

#include "engine/base/log.h"
#include "engine/catalog/journal.h"
#include "engine/catalog/spool.h"
#include "engine/job/stock.h"
#include "engine/vault/store.h"

struct tk_site_mend {
	const struct tk_site *sites;          /* all borrowed */
	size_t site_count;
	const bool *open;                     /* of the sites: in reach, and not behind */
	size_t behind;                        /* the site that is brought what they hold */
	const struct tk_id *domain;
	const struct tk_buf *genesis;
	struct tk_journal *journal;
	struct tk_spool *spool;
	struct tk_stock *stock;
	const atomic_bool *cancel;            /* may be NULL */
	const struct tk_log *log;
};

/*
 * Every point that an open site lists, oldest first, then all the promises that those sites know of; and tells it which of them it now holds everything of.
 * *complete counts these. Errors: those of the site that is behind.
 */
TK_MUST_CHECK enum tk_rc tk_site_mend(const struct tk_site_mend *mend, size_t *complete, struct tk_err *err);

#endif
