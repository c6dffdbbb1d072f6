/* site_publish.h -- one point to one site: send what it lacks, publish, check and journal the receipt. Used by the site's worker. */
#ifndef TK_JOB_SITE_PUBLISH_H
#define TK_JOB_SITE_PUBLISH_H

#include <stdatomic.h>

#include "engine/catalog/journal.h"
#include "engine/catalog/spool.h"
#include "engine/job/stock.h"
#include "engine/vault/records.h"
#include "engine/vault/store.h"

struct tk_site_publish {
	const struct tk_site *sites;          /* all sites: what the spool lacks is relayed from another one */
	size_t site_count;
	size_t self;
	struct tk_store *store;
	const struct tk_id *domain;
	struct tk_journal *journal;
	struct tk_spool *spool;
	struct tk_stock *stock;
	const atomic_bool *stop;
	struct tk_store *peer;                /* a session with another site that packs were last relayed from; NULL: none */
	size_t peer_site;
	uint64_t sent_bytes;                  /* counted up */
};

struct tk_site_receipt {
	struct tk_digest digest;              /* of the record */
	int64_t time_ns;
};

/* Closes what relaying left open. */
void tk_site_publish_release(struct tk_site_publish *request);
/* Sends a pack of the spool. TK_ENOENT: the spool does not have it. */
TK_MUST_CHECK enum tk_rc tk_site_send_pack(struct tk_site_publish *request, const struct tk_pack_name *name, struct tk_err *err);
/* Publishes; sends missing packs from the spool or from another site. On TK_OK the receipt (its record: *receipt, cleared first) is checked and journaled.
 * TK_EMISSING: a pack is nowhere to be had. */
TK_MUST_CHECK enum tk_rc tk_site_publish(struct tk_site_publish *request, const struct tk_head *at, const void *record, size_t len_bytes,
					 struct tk_buf *receipt, struct tk_site_receipt *out, struct tk_err *err);
/* The same for a point of an epoch that the site has seen end, whose receipt counts for nothing and goes nowhere. TK_EFENCED: the point is not the parent of one
 * that the site holds. */
TK_MUST_CHECK enum tk_rc tk_site_store(struct tk_site_publish *request, const void *record, size_t len_bytes, struct tk_err *err);

#endif
