/* dedup.h -- the index of chunks: 16-byte keyed id -> where the chunk is. Sorted immutable runs, memory-mapped, plus a table of what this
 * run added.
 *
 * state_dir/domains/<hex>/dedup/<number>.run, merged geometrically (at most about a dozen). A run file carries a digest; a damaged or missing one is
 * dropped with its rows: the cost is storing something twice, never a wrong answer. Lookups touch a page or two by interpolation; memory is
 * the rows added since the last flush. Any thread may find and add; the others belong to one. */
#ifndef TK_CATALOG_DEDUP_H
#define TK_CATALOG_DEDUP_H

#include "engine/crypto/suite.h"
#include "engine/vault/ids.h"

struct tk_dedup;
/* *fresh is set when nothing was there: the caller may rebuild it from contents blobs. */
TK_MUST_CHECK enum tk_rc tk_dedup_open(const char *state_dir, const struct tk_id *domain, enum tk_suite suite, struct tk_packtab *packs,
				       struct tk_dedup **out, bool *fresh, struct tk_err *err);
void tk_dedup_cleanup(struct tk_dedup **dedup);
/* *found and *extent. */
TK_MUST_CHECK enum tk_rc tk_dedup_find(struct tk_dedup *dedup, const uint8_t id[16], struct tk_extent *extent, bool *found, struct tk_err *err);
/* Adds; an id that is there keeps its old place. */
TK_MUST_CHECK enum tk_rc tk_dedup_add(struct tk_dedup *dedup, const uint8_t id[16], const struct tk_extent *extent, struct tk_err *err);
/* Makes durable what was added so far, were it nothing: from then on the index is there. Without it, additions are forgotten at cleanup: call it only once the packs named are durable. */
TK_MUST_CHECK enum tk_rc tk_dedup_commit(struct tk_dedup *dedup, struct tk_err *err);

#endif
