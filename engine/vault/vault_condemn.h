/* vault_condemn.h -- finds what no point needs any more, by the counts: from the root of a point that goes, downwards as far as nobody else needs it.
 *
 * Private to engine/vault. Threads and locks as vault_walk.h; the walk is the caller's to store. What it costs depends on what is condemned, not on how many
 * points or packs there are. */
#ifndef TK_VAULT_VAULT_CONDEMN_H
#define TK_VAULT_VAULT_CONDEMN_H

#include "engine/vault/vault_walk.h"

struct tk_vcondemn {
	struct tk_vwalk walk;                  /* first: a visit casts */
	uint64_t blobs, sealed_bytes;          /* condemned */
};
TK_MUST_CHECK enum tk_rc tk_vcondemn_init(struct tk_vcondemn *self, struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err);
void tk_vcondemn_release(struct tk_vcondemn *self);

/* A whole point goes: 1 less for its root; what comes to 0 is condemned, and refers to its children no more. TK_ECORRUPT, TK_ENOENT: a pack cannot be read, or the
 * counts are wrong: nothing of the walk may be stored. */
TK_MUST_CHECK enum tk_rc tk_vcondemn_whole(struct tk_vcondemn *self, const struct tk_point_row *row, struct tk_err *err);
/* A point goes that counted nothing: condemned is what lies below its root and is not live. What cannot be read is passed over. Every point that stays must be whole,
 * or what it still has of its content would go, too. */
TK_MUST_CHECK enum tk_rc tk_vcondemn_uncounted(struct tk_vcondemn *self, const struct tk_point_row *row, struct tk_err *err);
/* After all points: of packs in which nothing is live any more, also what no point ever referred to, above all the list of their contents. */
TK_MUST_CHECK enum tk_rc tk_vcondemn_rest(struct tk_vcondemn *self, struct tk_err *err);

#endif
