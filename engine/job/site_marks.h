/* site_marks.h -- what a run knows of its sites' promises: who was given the newest one shows it, so that a site that was set back is noticed.
 *
 * Used by the site's worker, and by the run over all of them; the caller sees to locking. */
#ifndef TK_JOB_SITE_MARKS_H
#define TK_JOB_SITE_MARKS_H

#include "engine/catalog/journal.h"
#include "engine/vault/marks.h"
#include "engine/vault/store.h"

/* Of one site. Zeros: nothing is known. */
struct tk_site_marks {
	struct tk_buf own;                    /* its newest promise that is known here; empty: none */
	struct tk_buf of_others;              /* what it was told of other sites: a list of marks; empty: nothing */
};
void tk_site_marks_release(struct tk_site_marks *marks);

/* Shows the site the promise that the journal has of it, takes its state, and asks what it was told of others. On any return *marks may hold something. */
TK_MUST_CHECK enum tk_rc tk_site_meet(struct tk_store *store, const struct tk_id *domain, struct tk_journal *journal, const char *name,
				      struct tk_site_marks *marks, struct tk_store_state *state, struct tk_err *err);
/* The site's newest promise is `record` from now on. */
TK_MUST_CHECK enum tk_rc tk_site_marks_keep(struct tk_site_marks *marks, const struct tk_buf *record, struct tk_err *err);
/* Journals a vote as the site's newest promise. TK_EPROTO: it is not signed by site_key. */
TK_MUST_CHECK enum tk_rc tk_site_journal_vote(struct tk_journal *journal, const char *name, const uint8_t site_key[TK_KEY_BYTES],
					      const struct tk_buf *record, struct tk_err *err);
/* *cover: the site knows all of these already, or gave them itself: there is no need to tell it. */
TK_MUST_CHECK enum tk_rc tk_site_marks_cover(const struct tk_site_marks *marks, const struct tk_marks *all, bool *cover, struct tk_err *err);
/* The site was told this list, which holds what it knew before. */
TK_MUST_CHECK enum tk_rc tk_site_marks_told(struct tk_site_marks *marks, const struct tk_buf *list, struct tk_err *err);
/* Adds what is known of and by this site to *all, whose marks then borrow from *marks. */
TK_MUST_CHECK enum tk_rc tk_site_marks_gather(const struct tk_site_marks *marks, struct tk_marks *all, struct tk_err *err);

#endif
