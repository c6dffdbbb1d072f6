/* refset.h -- a set of blob references. One thread. */
#ifndef TK_JOB_REFSET_H
#define TK_JOB_REFSET_H

#include "engine/vault/ids.h"

struct tk_refset {
	struct tk_blob_ref *slots;            /* owned; pack == TK_PACK_NONE: empty */
	size_t count, cap;                    /* cap: a power of two */
};

void tk_refset_release(struct tk_refset *set);
/* *added is false when it was there. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_refset_add(struct tk_refset *set, struct tk_blob_ref ref, bool *added, struct tk_err *err);
bool tk_refset_has(const struct tk_refset *set, struct tk_blob_ref ref);

#endif
