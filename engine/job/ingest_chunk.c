#include <string.h>

#include "engine/job/ingest_core.h"

enum tk_rc
tk_chunk_id(struct tk_worker *worker, const void *data, size_t len_bytes, const struct tk_digest *known, uint8_t id[16], struct tk_err *err)
{
	struct tk_digest digest;
	uint8_t prf[TK_HASH_BYTES];
	enum tk_rc rc;

	if (known)
		digest = *known;
	else if ((rc = tk_content_hash_all(worker->chunk_hash, data, len_bytes, &digest, err)))
		return rc;
	if ((rc = tk_hmac_whole(worker->prf, digest.b, sizeof(digest.b), prf, err)))
		return rc;
	memcpy(id, prf, 16);
	return TK_OK;
}

static enum tk_rc
store_new(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, const uint8_t *id, struct tk_extent *extent, struct tk_err *err)
{
	enum tk_rc rc = tk_packer_add(ingest->opts.packer, data, len_bytes, id, extent, err);

	if (!rc && id)
		rc = tk_dedup_add(ingest->opts.dedup, id, extent, err);
	ingest->stats.literal_bytes += len_bytes;
	return rc;
}

static enum tk_rc
store_chunk(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, const struct tk_digest *known, struct tk_extent *extent,
	    struct tk_err *err)
{
	uint8_t id[16];
	bool found;
	enum tk_rc rc;

	if (len_bytes < TK_INDEXED_MIN_BYTES)
		return store_new(ingest, data, len_bytes, NULL, extent, err);
	if ((rc = tk_chunk_id(&ingest->workers[0], data, len_bytes, known, id, err)) ||
	    (rc = tk_dedup_find(ingest->opts.dedup, id, extent, &found, err)))
		return rc;
	if (!found || extent->length_bytes != len_bytes)
		return store_new(ingest, data, len_bytes, id, extent, err);
	tk_ingest_tell_reuse(ingest, extent->ref);
	return TK_OK;
}

enum tk_rc
tk_ingest_chunks(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, const struct tk_digest *whole_digest,
		 struct tk_extent_list *out, struct tk_err *err)
{
	size_t at = 0;

	while (at < len_bytes) {
		size_t cut = tk_cdc_cut(&ingest->cdc, data + at, len_bytes - at, true);
		struct tk_extent extent;
		enum tk_rc rc = store_chunk(ingest, data + at, cut, cut == len_bytes ? whole_digest : NULL, &extent, err);

		if (rc || (rc = tk_extents_append(&out->rows, &out->count, &out->cap, extent, err)))
			return tk_ingest_break(ingest, rc);
		at += cut;
	}
	return TK_OK;
}
