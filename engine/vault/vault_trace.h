/* vault_trace.h -- follows a point's references in the clear, without a key, and says what cannot be served.
 *
 * Private to engine/vault. One thread, which holds the domain and `refs` (shared) from begin until the marks are committed. */
#ifndef TK_VAULT_VAULT_TRACE_H
#define TK_VAULT_VAULT_TRACE_H

#include "engine/vault/vault_core.h"

struct tk_vtrace;

TK_MUST_CHECK enum tk_rc tk_vtrace_new(struct tk_vault *vault, const struct tk_id *domain, struct tk_vtrace **out, struct tk_err *err);
void tk_vtrace_cleanup(struct tk_vtrace **trace);

/* Before a point that is published: the packs that it adds must be here, whole. One that is known had them: what expired of them since, it does not need.
 * TK_ECONFLICT: one is held with other bytes. */
TK_MUST_CHECK enum tk_rc tk_vtrace_added(struct tk_vtrace *trace, const struct tk_point *point, struct tk_err *err);
/*
 * Walks from the point's root, and counts who refers to whom: 1 for the root by the point, 1 for each child of a blob that is followed. Blobs that were traced before
 * and are not condemned are not followed. On TK_OK *complete says whether all can be served. Errors: TK_ECORRUPT (a reference that no pack can meet: blob past
 * the last one; root is no page), TK_EDENIED (a pack of another domain).
 */
TK_MUST_CHECK enum tk_rc tk_vtrace_point(struct tk_vtrace *trace, const struct tk_point *point, bool *complete, struct tk_err *err);
/* The packs that lack, wholly or in blobs; *names is malloc'ed. */
TK_MUST_CHECK enum tk_rc tk_vtrace_missing(const struct tk_vtrace *trace, struct tk_pack_names *names, struct tk_err *err);
/* Writes the new marks and counts, inside the caller's transaction. Only after a complete walk. */
TK_MUST_CHECK enum tk_rc tk_vtrace_store(struct tk_vtrace *trace, struct tk_err *err);

#endif
