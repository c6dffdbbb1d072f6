/* opening.h -- what the first point of an epoch carries: the grant, the votes that won it, and the site set they are of (docs/FORMAT.md, section 5).
 *
 * Pure functions, any thread. */
#ifndef TK_VAULT_OPENING_H
#define TK_VAULT_OPENING_H

#include "engine/vault/records.h"

#define TK_SITE_SET_MAX 64

struct tk_set_site {
	struct tk_id id;
	uint8_t key[TK_KEY_BYTES];             /* zeros: its writer has not met it yet */
	bool counts;                           /* towards `least` */
};
/* The sites of a domain as its writer has them, and the votes that fence whatever they could have acknowledged: of more than half of them, and of at least
 * `least` of those that count (policies/ack.h, tk_ack_fence). */
struct tk_site_set {
	size_t least;
	size_t count;
	struct tk_set_site sites[TK_SITE_SET_MAX];
};
/* voted: by the set's sites. */
bool tk_site_set_suffices(const struct tk_site_set *set, const bool *voted);

/* A site that forgot what it promised asked these (by the set's sites): could those that it did not ask, itself among them, not have met the ack rule, nor have
 * elected a writer? Then whatever it promised that counted, one of those asked had a part in. */
bool tk_site_set_leaves_nothing(const struct tk_site_set *set, const bool *asked);

/* Grant and votes are the signed records as they are, borrowed. */
struct tk_opening {
	struct tk_bytes grant;
	struct tk_bytes votes[TK_SITE_SET_MAX];
	size_t vote_count;
	struct tk_site_set set;
};
/* Errors: TK_EINVAL (more than TK_SITE_SET_MAX), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_opening_encode(const struct tk_opening *opening, struct tk_buf *out, struct tk_err *err);
/* Structure only: the records inside are for tk_grant_decode and tk_opening_check. Error: TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_opening_decode(const void *bytes, size_t len_bytes, struct tk_opening *out, struct tk_err *err);
/* Do the votes open the epoch of `grant`? Each must be signed by a site of the set, none of them twice, for this domain, number and grant, and they must suffice.
 * Errors: TK_EDENIED: one does not, or they do not; TK_ECORRUPT, TK_EUNSUPPORTED: a vote that is no vote, or that nobody signed. */
TK_MUST_CHECK enum tk_rc tk_opening_check(const struct tk_opening *opening, const struct tk_grant *grant, struct tk_err *err);

#endif
