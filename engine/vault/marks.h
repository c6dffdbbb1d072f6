/* marks.h -- promises as marks: whoever holds one can show its site that it has forgotten it.
 *
 * A mark is a receipt or a vote, whole, as the site signed it; nobody else can make one, so it may pass through any hands. Within an incarnation of a vault all
 * promises have numbers of their own. Lists travel and are stored as docs/FORMAT.md, section 6, says. Pure functions, any thread. */
#ifndef TK_VAULT_MARKS_H
#define TK_VAULT_MARKS_H

#include "engine/vault/records.h"

#define TK_MARKS_MAX 64u
#define TK_MARK_BYTES_MAX 2048u

struct tk_mark {
	struct tk_id domain, site, incarnation;
	uint64_t counter;
	bool is_vote;
	struct tk_head at;                     /* a receipt: its point; a vote: the epoch alone */
	int64_t time_ns;
	uint8_t site_key[TK_KEY_BYTES];
	struct tk_bytes record;                /* borrowed */
};
/* Checks structure and signature. Errors: TK_ECORRUPT (or longer than TK_MARK_BYTES_MAX), TK_EUNSUPPORTED, TK_ENOMEM, TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_mark_decode(const void *record, size_t len_bytes, struct tk_mark *out, struct tk_err *err);

struct tk_marks {
	struct tk_mark mark[TK_MARKS_MAX];
	size_t count;
	struct tk_id asked[TK_MARKS_MAX];      /* sites that a vault which is behind was given everything of, marks and points, since it knows that it is */
	size_t asked_count;
};
/* For TK_AUTO, on a pointer from malloc. */
void tk_marks_free(struct tk_marks **marks);
/* Decodes a list; every record in it is checked as above. The marks borrow from `bytes`. */
TK_MUST_CHECK enum tk_rc tk_marks_decode(const void *bytes, size_t len_bytes, struct tk_marks *out, struct tk_err *err);
/* Appends the list to *out. */
TK_MUST_CHECK enum tk_rc tk_marks_encode(const struct tk_marks *marks, struct tk_buf *out, struct tk_err *err);
/* Keeps the newest of each site: by number within an incarnation, else by the site's clock. True when *mark went in; a full list takes no further site. */
bool tk_marks_add(struct tk_marks *marks, const struct tk_mark *mark);
/* True when the site was not among those asked, and there was room for it. */
bool tk_marks_add_asked(struct tk_marks *marks, const struct tk_id *site);

#endif
