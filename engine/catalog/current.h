/* current.h -- the pointer files `current` and `next`: a point, its bundles, its nodes. Private to engine/catalog.
 *
 * "TWKCURR1", u8 version = 1, u8 suite, domain[16], u64 epoch, u64 sequence, point[32], tree[32], sv scan start ns, uv entries, uv files,
 * uv total bytes, uv pack count, name[32] each, ref root, uv root level, uv bundle count, per bundle: digest[32], uv entries;
 * uv node count, per node (ascending): key[32], ref; digest[32] of all before. A ref is uv pack index + 1 (0: no blob), uv blob. */
#ifndef TK_CATALOG_CURRENT_H
#define TK_CATALOG_CURRENT_H

#include "engine/catalog/catalog.h"

struct tk_current_bundle {
	struct tk_digest digest;      /* its name */
	uint64_t entries;
};

struct tk_current_node {
	struct tk_digest key;
	struct tk_blob_ref ref;
};

struct tk_current {                   /* all zero is empty */
	struct tk_catalog_current at;
	struct tk_current_bundle *bundles;
	size_t bundle_count, bundle_cap;
	struct tk_current_node *nodes;
	size_t node_count, node_cap;
};
void tk_current_release(struct tk_current *current);
/* Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_current_add_bundle(struct tk_current *current, const struct tk_current_bundle *bundle, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_current_add_node(struct tk_current *current, const struct tk_current_node *node, struct tk_err *err);
/* Sorts the nodes, as encode and find want them; one of two with the same key goes. */
void tk_current_sort_nodes(struct tk_current *current);
const struct tk_current_node *tk_current_find_node(const struct tk_current *current, const struct tk_digest *key);

/* Appends the file's bytes without the digest at the end. */
TK_MUST_CHECK enum tk_rc tk_current_encode(const struct tk_current *current, enum tk_suite suite, const struct tk_id *domain,
					   struct tk_packtab *packs, struct tk_buf *out, struct tk_err *err);
/* Reads them into *out (empty; released on an error). Errors: TK_ECORRUPT, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_current_decode(const void *bytes, size_t len_bytes, enum tk_suite suite, const struct tk_id *domain,
					   struct tk_packtab *packs, struct tk_current *out, struct tk_err *err);

#endif
