/* domaindir.h -- the directories below state_dir/domains/<domain hex>/. Private to engine/catalog.
 *
 * Any thread. */
#ifndef TK_CATALOG_DOMAINDIR_H
#define TK_CATALOG_DOMAINDIR_H

#include "engine/vault/ids.h"

/* Makes state_dir/domains/<hex>/<sub> (sub may be "") where it is missing, durable and 0700, and opens it: *dirfd is the caller's.
 * Errors: TK_EIO, TK_ENOSPC, TK_EDENIED, TK_EINVAL (the path is too long). */
TK_MUST_CHECK enum tk_rc tk_domain_dir_open(const char *state_dir, const struct tk_id *domain, const char *sub, int *dirfd, struct tk_err *err);

/* Calls `keep` for each name in the directory, in order, and unlinks those for which it says false. What cannot be removed stays for the
 * next time. Errors: TK_EIO (of reading the directory), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_domain_dir_sweep(int dirfd, bool (*keep)(void *ctx, const char *name), void *ctx, struct tk_err *err);

#endif
