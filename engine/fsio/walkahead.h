/* walkahead.h -- the walk in a thread of its own, some hundred entries ahead of who wants them: the system calls of a scan run beside all else that it does.
 *
 * As walk.h in all it gives, one owner, one thread at a time. An entry's stat is older by what the walk is ahead: at most WALKAHEAD_BATCHES times WALKAHEAD_ENTRIES
 * entries. Memory: some 300 bytes an entry of these; open directories: up to WALKAHEAD_BATCHES times WALKAHEAD_DIRS, beside the walk's own. */
#ifndef TK_FSIO_WALKAHEAD_H
#define TK_FSIO_WALKAHEAD_H

#include "engine/fsio/walk.h"

#define WALKAHEAD_BATCHES 6u
#define WALKAHEAD_ENTRIES 256u
#define WALKAHEAD_DIRS 32u

struct tk_walkahead;

/* As tk_walk_new. on_note is called from within next, by the caller's thread. Errors also: TK_ENOMEM (no thread). */
TK_MUST_CHECK enum tk_rc tk_walkahead_new(const struct tk_walk_opts *opts, struct tk_walkahead **out, struct tk_err *err);
void tk_walkahead_cleanup(struct tk_walkahead **ahead);
/* As tk_walk_next. */
TK_MUST_CHECK enum tk_rc tk_walkahead_next(struct tk_walkahead *ahead, const struct tk_walk_entry **entry, struct tk_err *err);
/* As tk_walk_skip_children; notes about what is not given are, since the walk has been there, but for one that the directory itself cannot be entered. */
void tk_walkahead_skip_children(struct tk_walkahead *ahead);

#endif
