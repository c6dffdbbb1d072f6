/* verified.h -- what the history of verifications says of a point, or of all that a site has.
 *
 * Damage stands until a verification of the same things, at the same site and no less close, finds them whole: one that reads no data tells nothing of damaged data,
 * and a sample may have missed it. Pure; any thread. */
#ifndef TK_CATALOG_VERIFIED_H
#define TK_CATALOG_VERIFIED_H

#include "engine/catalog/journal.h"

/* Rows are those of tk_journal_verifications, the latest first; what is returned is borrowed from them. */
struct tk_verified {
	const struct tk_run_row *whole;       /* the last that found it whole; NULL: none did, or there is damage */
	const struct tk_run_row *damage;      /* the last that found damage which no later one found mended; NULL: none */
};

/* Of a point at a site. A verification of several points does not say which of them its damage concerns: all of them are in doubt then. */
struct tk_verified tk_verified_point(const struct tk_run_row *rows, size_t count, const char *site, const struct tk_head *at);
/* Of a site as a whole: `whole` is the last verification of all its points; damage in a single point counts. */
struct tk_verified tk_verified_site(const struct tk_run_row *rows, size_t count, const char *site);

#endif
