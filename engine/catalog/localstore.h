/* localstore.h -- immutable local facts in files named by what they describe: facts and rolling signatures of segments, cached metadata blobs.
 *
 * state_dir/domains/<hex>/{facts,sig,meta}/xx/<name>. Each file ends with a digest of its content; a damaged one is as good as absent. Writes are atomic, not
 * fsynced: losing one costs time, and a torn one is noticed. Any thread. */
#ifndef TK_CATALOG_LOCALSTORE_H
#define TK_CATALOG_LOCALSTORE_H

#include "engine/base/buf.h"
#include "engine/crypto/suite.h"
#include "engine/vault/ids.h"

enum tk_local_kind { TK_LOCAL_FACTS, TK_LOCAL_SIGNATURE, TK_LOCAL_META };

struct tk_localstore;
TK_MUST_CHECK enum tk_rc tk_localstore_open(const char *state_dir, const struct tk_id *domain, enum tk_suite suite, struct tk_localstore **out,
					    struct tk_err *err);
void tk_localstore_cleanup(struct tk_localstore **store);
/* name: 1..80 bytes of [0-9a-f-]. TK_ENOENT also for a damaged file (which is removed). */
TK_MUST_CHECK enum tk_rc tk_localstore_get(struct tk_localstore *store, enum tk_local_kind kind, const char *name, struct tk_buf *out,
					   struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_localstore_put(struct tk_localstore *store, enum tk_local_kind kind, const char *name, const void *data,
					   size_t len_bytes, struct tk_err *err);
/* Marks a name as in use in this run; put marks too. sweep removes the files of the kind that were not marked since open. */
TK_MUST_CHECK enum tk_rc tk_localstore_mark(struct tk_localstore *store, enum tk_local_kind kind, const char *name, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_localstore_sweep(struct tk_localstore *store, enum tk_local_kind kind, struct tk_err *err);
/* How much of the kind was put since open: what it took the place of can go. */
uint64_t tk_localstore_put_bytes(const struct tk_localstore *store, enum tk_local_kind kind);

#endif
