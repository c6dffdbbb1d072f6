/* blob_source.h -- where readers of pages and maps get metadata blobs from: a cache, a site, or memory. */
#ifndef TK_VAULT_BLOB_SOURCE_H
#define TK_VAULT_BLOB_SOURCE_H

#include "engine/base/buf.h"
#include "engine/vault/ids.h"

struct tk_blob_source {
	void *ctx;
	/* Reads one metadata blob's plain bytes into *plain (cleared first). TK_ECORRUPT when the blob there is of another type. */
	TK_MUST_CHECK enum tk_rc (*read)(void *ctx, struct tk_blob_ref ref, enum tk_blob_type type, struct tk_buf *plain, struct tk_err *err);
	/* The blob's type, as the footer of its pack tells it. Only asked for roots (tk_tree_root); NULL where there are none. */
	TK_MUST_CHECK enum tk_rc (*type)(void *ctx, struct tk_blob_ref ref, enum tk_blob_type *type, struct tk_err *err);
};

#endif
