/* prefetch.h -- loads blobs into the cache of a fetch before somebody asks for them: who reads page after page need not wait a round trip for each.
 *
 * Any thread may want something; it has threads of its own, each with one request under way. What cannot be loaded is told to who asks for it then. */
#ifndef TK_JOB_PREFETCH_H
#define TK_JOB_PREFETCH_H

#include "engine/job/fetch.h"

/* So many wishes ahead of the reader keep the threads busy; pages of them fit into the cache well. */
#define TK_PREFETCH_AHEAD 32u

struct tk_prefetch;
/* So many requests under way, of up to 1 MiB each, fill a line of 1 Gbit/s over a round trip of 100 ms; a site bears TK_SESSIONS_MAX sessions. */
#define TK_PREFETCH_THREADS 12u
/* fetch: borrowed until cleanup. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_prefetch_new(struct tk_fetch *fetch, struct tk_prefetch **out, struct tk_err *err);
/* The blob will be asked for soon. Waits when more than twice TK_PREFETCH_AHEAD are wanted already. */
void tk_prefetch_want(struct tk_prefetch *prefetch, struct tk_blob_ref ref, enum tk_blob_type type);
/* The indexes of these packs, the first few of them, will be asked for soon. */
void tk_prefetch_want_indexes(struct tk_prefetch *prefetch, struct tk_packtab *packs, const struct tk_pack_ident *idents, size_t count);
/* Drops what is still wanted. NULL is allowed. */
void tk_prefetch_cleanup(struct tk_prefetch **prefetch);

#endif
