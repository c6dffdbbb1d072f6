/* rebuild.h -- lost local state is made anew from a site: the cached pages of a point (without sidecars, so every file is read again once), and the
 * index of chunks from the contents blobs. */
#ifndef TK_JOB_REBUILD_H
#define TK_JOB_REBUILD_H

#include "engine/catalog/catalog.h"
#include "engine/catalog/damaged.h"
#include "engine/catalog/dedup.h"
#include "engine/catalog/journal.h"
#include "engine/job/fetch.h"
#include "engine/vault/records.h"

/* Fetches the record of a point, checks that its id is the one asked for, opens its body. */
TK_MUST_CHECK enum tk_rc tk_fetch_point(struct tk_fetch *fetch, const struct tk_id *domain, const struct tk_head *at,
					const struct tk_domain_keys *keys, struct tk_buf *record, struct tk_point *point, struct tk_point_body *body,
					struct tk_err *err);
/* Makes `at` the catalog's current point. */
TK_MUST_CHECK enum tk_rc tk_rebuild_catalog(struct tk_fetch *fetch, struct tk_catalog *catalog, struct tk_packtab *packs, const struct tk_id *domain,
					    const struct tk_domain_keys *keys, const struct tk_head *at, struct tk_err *err);
/* Is it the error of what no site in reach has any more, or not whole? */
bool tk_rebuild_is_gone(enum tk_rc rc);
/* Adds every chunk of the packs that the points up to `at` brought, as far as points and packs are there, and not in `damaged`. Commits. */
TK_MUST_CHECK enum tk_rc tk_rebuild_dedup(struct tk_fetch *fetch, struct tk_dedup *dedup, struct tk_packtab *packs, const struct tk_id *domain,
					  const struct tk_head *at, const struct tk_damaged *damaged, struct tk_err *err);
/* Adds the chunks of one pack that the sites hold, if it has any. */
TK_MUST_CHECK enum tk_rc tk_rebuild_dedup_pack(struct tk_fetch *fetch, struct tk_dedup *dedup, uint32_t pack, struct tk_err *err);
/* Adds the chunks of one pack from its contents blob. */
TK_MUST_CHECK enum tk_rc tk_dedup_add_contents(struct tk_dedup *dedup, uint32_t pack, const void *contents, size_t len_bytes, struct tk_err *err);

#endif
