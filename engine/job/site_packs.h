/* site_packs.h -- the packs of a run to one site: what it was sent since its last flush, and so does not hold durably yet. Used by the site's worker. */
#ifndef TK_JOB_SITE_PACKS_H
#define TK_JOB_SITE_PACKS_H

#include "engine/job/site_publish.h"

struct tk_site_packs {
	size_t *items;                        /* of the stock; sent, not flushed */
	size_t count, cap;
	uint64_t bytes;
};

void tk_site_packs_release(struct tk_site_packs *packs);
/* Sends the pack; flushes when the spool is about to run full. A pack that has left the spool is passed over: the site has fallen behind, and gets it when the
 * point is published. */
TK_MUST_CHECK enum tk_rc tk_site_packs_send(struct tk_site_packs *packs, struct tk_site_publish *request, size_t item, struct tk_err *err);
/* Over a new session: what was sent over the one before and not flushed, the site may have lost. What has left the spool is not counted as sent any more. Errors: as
 * of tk_site_packs_send, and TK_ECANCELLED; it may be called again. */
TK_MUST_CHECK enum tk_rc tk_site_packs_send_again(struct tk_site_packs *packs, struct tk_site_publish *request, struct tk_err *err);
/* Makes durable what was sent, and tells the stock. */
TK_MUST_CHECK enum tk_rc tk_site_packs_flush(struct tk_site_packs *packs, struct tk_site_publish *request, struct tk_err *err);

#endif
