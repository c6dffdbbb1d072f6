/* history.h -- do the sites that voted know one line of points? Asked before an epoch is opened on the highest of their heads. */
#ifndef TK_JOB_HISTORY_H
#define TK_JOB_HISTORY_H

#include "engine/job/fetch.h"

struct tk_history_opts {
	struct tk_fetch *fetch;               /* all borrowed; over these sites: */
	const struct tk_site *sites;
	size_t site_count;
	const bool *voted;                    /* by site */
	const bool *is_new;                   /* by site: it did not know the domain when it was met, and so lists nothing */
	const struct tk_head *heads;          /* that their votes name */
	const struct tk_id *domain;
};

/*
 * Every head of `parent`'s epoch must be it or an ancestor of it, found by the parents that the points' records name; heads of older epochs were left behind by the
 * election of that one. And no voter may list a point after it: that would be one which it acknowledged, and has no longer whole.
 * Errors: TK_EHISTORY: they are not one line, or a record between is at no site that voted; TK_EMISSING: a later point is not whole; those of reading.
 */
TK_MUST_CHECK enum tk_rc tk_history_check(const struct tk_history_opts *opts, const struct tk_head *parent, struct tk_err *err);

#endif
