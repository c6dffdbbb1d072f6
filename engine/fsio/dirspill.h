/* dirspill.h -- sorted runs of names in a temporary file, merged in order: the back of dirlist for huge directories.
 *
 * One owner, one thread at a time. First all runs are put, then they are read. */
#ifndef TK_FSIO_DIRSPILL_H
#define TK_FSIO_DIRSPILL_H

#include <stddef.h>

#include "engine/base/err.h"

struct tk_dirlist_spill;

/* The temporary file has no name. On TK_OK the caller owns *out. Errors: TK_EIO, TK_ENOMEM, TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_dirspill_new(const char *tmp_dir, struct tk_dirlist_spill **out, struct tk_err *err);
void tk_dirspill_free(struct tk_dirlist_spill *spill);

/* Names of one run, in order, then the end of the run. Errors: TK_EIO, TK_ENOSPC, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_dirspill_put(struct tk_dirlist_spill *spill, const char *name, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_dirspill_end_run(struct tk_dirlist_spill *spill, struct tk_err *err);

/* Turns to reading. Errors: TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_dirspill_rewind(struct tk_dirlist_spill *spill, struct tk_err *err);
/* The least name left, NULL at the end; valid until the next advance. */
const char *tk_dirspill_peek(const struct tk_dirlist_spill *spill);
TK_MUST_CHECK enum tk_rc tk_dirspill_advance(struct tk_dirlist_spill *spill, struct tk_err *err);

#endif
