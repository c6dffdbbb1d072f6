/* fetch_load.h -- reads indexes and blobs of packs from the site that should answer soonest, the next one when it fails; for fetch.c. Any thread. */
#ifndef TK_JOB_FETCH_LOAD_H
#define TK_JOB_FETCH_LOAD_H

#include "engine/job/fetch.h"
#include "engine/job/fetch_sessions.h"

struct tk_loads;
/* opts: borrowed until cleanup. */
TK_MUST_CHECK enum tk_rc tk_loads_new(const struct tk_fetch_opts *opts, struct tk_loads **out, struct tk_err *err);
void tk_loads_cleanup(struct tk_loads **loads);

/* Errors of both: TK_EUNREACH (no site left), TK_EMISSING, TK_ECORRUPT (at every site), TK_EKEY, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_load_index(struct tk_loads *loads, uint32_t pack, struct tk_pack_index **out, struct tk_err *err);
/* Opens the blob into `plain` (cleared first; may bring memory to be used again). ref.blob is one of the index. */
TK_MUST_CHECK enum tk_rc tk_load_blob(struct tk_loads *loads, const struct tk_pack_index *index, struct tk_blob_ref ref, struct tk_buf *plain,
				      struct tk_err *err);
/* Reads blobs `first` to `first + count - 1`, which lie one behind the other, in one go, and opens blob first + i into *plain[i] (as above) where that is not NULL. The one
 * with number `must` is among them and has to open; others that do not are left empty, and nobody is told. */
TK_MUST_CHECK enum tk_rc tk_load_run(struct tk_loads *loads, const struct tk_pack_index *index, uint32_t pack, uint32_t first, uint32_t count,
				     struct tk_buf *const *plain, uint32_t must, struct tk_err *err);
/* As tk_fetch_prove. */
TK_MUST_CHECK enum tk_rc tk_load_prove(struct tk_loads *loads, const struct tk_pack_index *index, uint32_t first, uint32_t count, bool *sound, struct tk_err *err);
/* As tk_fetch_with_session. */
TK_MUST_CHECK enum tk_rc tk_load_call(struct tk_loads *loads, size_t site, enum tk_rc (*call)(struct tk_store *store, void *arg, struct tk_err *err),
				      void *arg, struct tk_err *err);

bool tk_loads_remote(const struct tk_loads *loads);              /* some site is behind a network */
struct tk_sessions *tk_loads_sessions(struct tk_loads *loads);   /* borrowed */
uint64_t tk_loads_bytes(const struct tk_loads *loads);            /* sealed bytes of blobs asked for */

#endif
