/* voters.h -- the sites whose votes decide who writes a domain: all of the dataset, whether this run reaches them or not.
 *
 * Given by cli, which knows the ack rule; the engine sees only numbers. */
#ifndef TK_JOB_VOTERS_H
#define TK_JOB_VOTERS_H

#include "engine/catalog/journal.h"
#include "engine/vault/opening.h"
#include "engine/vault/store.h"

struct tk_voter {
	const char *name;                     /* borrowed */
	bool counts;                          /* towards `least` */
};
struct tk_voters {
	const struct tk_voter *list;          /* borrowed */
	size_t count;
	size_t least;                         /* see struct tk_site_set */
};

/* The set that an epoch's opening carries: each voter with the id and key that the journal has pinned for it. TK_EINVAL: more than TK_SITE_SET_MAX. */
TK_MUST_CHECK enum tk_rc tk_voters_set(const struct tk_voters *voters, struct tk_journal *journal, struct tk_site_set *out, struct tk_err *err);
/* Are those sites for which chosen[] is set enough to fence every set that could have acknowledged a point? A site that is no voter does not matter. */
bool tk_voters_suffice(const struct tk_voters *voters, const struct tk_site *sites, const bool *chosen, size_t count);
/* Does who asked those know of every point that could have been acknowledged, and of every other writer that could have been elected? */
bool tk_voters_asked_enough(const struct tk_voters *voters, const struct tk_site *sites, const bool *chosen, size_t count);

#endif
