/* site_line.h -- a site that promised an epoch late is given the points of the epochs before: one whose vault was made anew, or that was away when the epoch
 * began. Used at the end of a run, by its thread. */
#ifndef TK_JOB_SITE_LINE_H
#define TK_JOB_SITE_LINE_H

#include "engine/job/fetch.h"
#include "engine/job/site_mend.h"

struct tk_site_line {
	struct tk_site_mend mend;             /* the site is mend.behind, which is open too */
	struct tk_fetch *fetch;               /* borrowed; over the same sites */
	struct tk_head end;                   /* the parent of the first point of the present epoch */
};

/*
 * Gives the site `end` and its ancestors, the newest first: it takes each as the parent of one that it holds, and gives no receipt that counts. *given counts them.
 * *whole: no point that an open site lists, of those, is missing there now. Errors: those of the site.
 */
TK_MUST_CHECK enum tk_rc tk_site_line(const struct tk_site_line *line, size_t *given, bool *whole, struct tk_err *err);

#endif
