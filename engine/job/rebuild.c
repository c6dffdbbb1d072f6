#include "engine/job/rebuild.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/treewalk.h"

struct point_call {
	const struct tk_id *domain;
	const struct tk_head *at;
	struct tk_buf *record;
};

static enum tk_rc
call_get_point(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct point_call *call = arg;
	struct tk_point point = {0};
	enum tk_rc rc;

	tk_buf_clear(call->record);
	if ((rc = store->ops->get_point(store, call->domain, call->at, call->record, err)) ||
	    (rc = tk_point_decode(call->record->data, call->record->len_bytes, &point, err)))
		return rc;
	if (memcmp(&point.at.point, &call->at->point, sizeof(point.at.point)) != 0)
		rc = tk_err_set(err, TK_ECORRUPT, "the point record is not the one that was asked for");
	tk_point_release(&point);
	return rc;
}

static enum tk_rc
get_record(struct tk_fetch *fetch, const struct tk_id *domain, const struct tk_head *at, struct tk_buf *record, struct tk_err *err)
{
	struct point_call call = {domain, at, record};
	struct tk_point point = {0};
	bool here = tk_fetch_known_point(fetch, at, record) && !tk_point_decode(record->data, record->len_bytes, &point, NULL) &&
		    memcmp(&point.at.point, &at->point, sizeof(point.at.point)) == 0;

	tk_point_release(&point);
	return here ? TK_OK : tk_fetch_with_session(fetch, SIZE_MAX, call_get_point, &call, err);
}

enum tk_rc
tk_fetch_point(struct tk_fetch *fetch, const struct tk_id *domain, const struct tk_head *at, const struct tk_domain_keys *keys,
	       struct tk_buf *record, struct tk_point *point, struct tk_point_body *body, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = get_record(fetch, domain, at, record, err)) || (rc = tk_point_decode(record->data, record->len_bytes, point, err)))
		return rc;
	return tk_point_open_body(record->data, record->len_bytes, keys, body, err);
}

/* ---- the cached pages ---- */

static enum tk_rc
add_leaf(struct tk_fetch *fetch, struct tk_catalog_writer *writer, const struct tk_page_info *leaf, struct tk_err *err)
{
	struct tk_sidecar *unknown = calloc((size_t)leaf->entries + 1, sizeof(*unknown));
	struct tk_fetched *blob = NULL;
	const uint8_t *plain;
	size_t len;
	enum tk_rc rc;

	if (!unknown)
		return tk_err_set(err, TK_ENOMEM, "no memory for sidecars");
	rc = tk_fetch_blob(fetch, leaf->ref, TK_BLOB_LEAF, &blob, err);
	if (!rc) {
		plain = tk_fetched_data(blob, &len);
		rc = tk_catalog_writer_add(writer, leaf, plain, len, unknown, (size_t)leaf->entries, err);
	}
	tk_fetch_release(fetch, blob);
	free(unknown);
	return rc;
}

static enum tk_rc
copy_leaves(struct tk_fetch *fetch, struct tk_packtab *packs, const struct tk_point *point, const struct tk_point_body *body,
	    struct tk_catalog_writer *writer, struct tk_page_info *root, struct tk_err *err)
{
	TK_AUTO(tk_page_loader_cleanup) struct tk_page_loader *loader = NULL;
	TK_AUTO(tk_treewalk_cleanup) struct tk_treewalk *walk = NULL;
	struct tk_blob_source source = tk_fetch_source(fetch);
	struct tk_blob_ref ref = {0, point->root_blob};
	const struct tk_page_info *leaf = NULL;
	enum tk_rc rc;

	if ((rc = tk_packtab_intern(packs, &point->root_pack, &ref.pack, err)) ||
	    (rc = tk_page_loader_new(point->suite, packs, &source, &loader, err)) || (rc = tk_page_loader_root(loader, ref, root, err)))
		return rc;
	if (memcmp(&root->portable, &body->tree, sizeof(root->portable)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "the root page does not match the point's tree digest");
	if ((rc = tk_treewalk_begin(loader, root, "", 0, &walk, err)))
		return rc;
	while (!(rc = tk_treewalk_next_leaf(walk, &leaf, err)) && leaf)
		if ((rc = add_leaf(fetch, writer, leaf, err)))
			return rc;
	return rc;
}

enum tk_rc
tk_rebuild_catalog(struct tk_fetch *fetch, struct tk_catalog *catalog, struct tk_packtab *packs, const struct tk_id *domain,
		   const struct tk_domain_keys *keys, const struct tk_head *at, struct tk_err *err)
{
	TK_AUTO(tk_catalog_writer_cleanup) struct tk_catalog_writer *writer = NULL;
	TK_AUTO(tk_page_info_release) struct tk_page_info root = {0};
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	TK_AUTO(tk_point_body_release) struct tk_point_body body = {0};
	struct tk_catalog_current next;
	enum tk_rc rc;

	if ((rc = tk_fetch_point(fetch, domain, at, keys, &record, &point, &body, err)) || (rc = tk_catalog_writer_begin(catalog, &writer, err)) ||
	    (rc = copy_leaves(fetch, packs, &point, &body, writer, &root, err)))
		return rc;
	next = (struct tk_catalog_current){.at = point.at, .tree = body.tree, .scan_start_ns = body.scan_start_ns, .entries = body.entries,
					   .files = body.files, .total_bytes = body.total_bytes, .root = root.ref, .root_level = root.level};
	if ((rc = tk_catalog_writer_finish(writer, &next, err)))
		return rc;
	return tk_catalog_advance(catalog, &next.at, err);
}

/* ---- the index of chunks ---- */

enum tk_rc
tk_dedup_add_contents(struct tk_dedup *dedup, uint32_t pack, const void *contents, size_t len_bytes, struct tk_err *err)
{
	struct tk_content_row *rows = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_contents_decode(contents, len_bytes, &rows, &count, err);

	for (size_t i = 0; i < count && !rc; i++) {
		struct tk_extent extent = {{pack, rows[i].blob}, rows[i].offset_bytes, rows[i].length_bytes};

		rc = tk_dedup_add(dedup, rows[i].id, &extent, err);
	}
	free(rows);
	return rc;
}

enum tk_rc
tk_rebuild_dedup_pack(struct tk_fetch *fetch, struct tk_dedup *dedup, uint32_t pack, struct tk_err *err)
{
	const struct tk_pack_index *index = NULL;
	struct tk_fetched *blob = NULL;
	struct tk_blob_ref ref = {.pack = pack};
	const uint8_t *plain;
	size_t len;
	bool has;
	enum tk_rc rc = tk_fetch_index(fetch, pack, &index, err);

	if (rc)
		return rc;
	has = index->blob_count > 0 && index->blobs[index->blob_count - 1].type == TK_BLOB_CONTENTS;
	ref.blob = index->blob_count - 1;
	tk_fetch_index_release(fetch, index);
	if (!has)
		return TK_OK;
	if ((rc = tk_fetch_blob(fetch, ref, TK_BLOB_CONTENTS, &blob, err)))
		return rc;
	plain = tk_fetched_data(blob, &len);
	rc = tk_dedup_add_contents(dedup, ref.pack, plain, len, err);
	tk_fetch_release(fetch, blob);
	return rc;
}

/* What a site dropped, or damaged, is not there to be built on. */
bool
tk_rebuild_is_gone(enum tk_rc rc)
{
	return rc == TK_EMISSING || rc == TK_ENOENT || rc == TK_ECORRUPT;
}

static enum tk_rc
add_packs_of(struct tk_fetch *fetch, struct tk_dedup *dedup, struct tk_packtab *packs, const struct tk_point *point, const struct tk_damaged *damaged,
	     struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < point->pack_count && !rc; i++) {
		uint32_t number;

		if (tk_damaged_has(damaged, &point->packs[i].name))
			continue;
		if (!(rc = tk_packtab_intern(packs, &point->packs[i].name, &number, err)))
			rc = tk_rebuild_dedup_pack(fetch, dedup, number, err);
		if (tk_rebuild_is_gone(rc))
			rc = TK_OK;
	}
	return rc;
}

enum tk_rc
tk_rebuild_dedup(struct tk_fetch *fetch, struct tk_dedup *dedup, struct tk_packtab *packs, const struct tk_id *domain, const struct tk_head *at,
		 const struct tk_damaged *damaged, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	struct tk_store_point *points = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_fetch_list_points(fetch, SIZE_MAX, domain, &points, &count, err);

	for (size_t i = 0; i < count && !rc && tk_head_compare(&points[i].at, at) <= 0; i++) {
		struct tk_point point = {0};

		if (!(rc = get_record(fetch, domain, &points[i].at, &record, err)) && !(rc = tk_point_decode(record.data, record.len_bytes, &point, err)))
			rc = add_packs_of(fetch, dedup, packs, &point, damaged, err);
		if (tk_rebuild_is_gone(rc))
			rc = TK_OK;
		tk_point_release(&point);
	}
	free(points);
	return rc ? rc : tk_dedup_commit(dedup, err);
}
