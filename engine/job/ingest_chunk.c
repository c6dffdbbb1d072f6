#include <string.h>

#include "engine/job/ingest_core.h"

/* Smaller files are not worth a row of the index each; they are solid in a blob with their neighbours. */
#define INDEXED_MIN_BYTES 2048u
/* A literal from here on may hold bytes that are stored elsewhere already: worth chunking. */
#define CHUNKED_LITERAL_MIN_BYTES 32768u

bool
tk_all_zero(const uint8_t *data, size_t len_bytes)
{
	return len_bytes == 0 || (data[0] == 0 && memcmp(data, data + 1, len_bytes - 1) == 0);
}

static enum tk_rc
append(struct tk_ingest *ingest, struct tk_extent_list *out, struct tk_extent extent, struct tk_err *err)
{
	enum tk_rc rc = tk_extents_append(&out->rows, &out->count, &out->cap, extent, err);

	return rc ? tk_ingest_break(ingest, rc) : TK_OK;
}

/* The chunk's keyed id: nobody without the key can tell from it what the chunk is. */
static enum tk_rc
chunk_id(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, const struct tk_digest *known, uint8_t id[16], struct tk_err *err)
{
	struct tk_digest digest;
	uint8_t prf[TK_HASH_BYTES];
	enum tk_rc rc;

	if (known)
		digest = *known;
	else if ((rc = tk_content_hash_all(ingest->hash, data, len_bytes, &digest, err)))
		return rc;
	if ((rc = tk_hmac_whole(ingest->dedup_prf, digest.b, sizeof(digest.b), prf, err)))
		return rc;
	memcpy(id, prf, 16);
	return TK_OK;
}

static enum tk_rc
store_new(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, const uint8_t *id, struct tk_extent_list *out, struct tk_err *err)
{
	struct tk_extent extent;
	enum tk_rc rc = tk_packer_add(ingest->opts.packer, data, len_bytes, id, &extent, err);

	if (rc || (id && (rc = tk_dedup_add(ingest->opts.dedup, id, &extent, err))))
		return tk_ingest_break(ingest, rc);
	ingest->stats.literal_bytes += len_bytes;
	return append(ingest, out, extent, err);
}

static enum tk_rc
store_chunk(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, const struct tk_digest *known, struct tk_extent_list *out,
	    struct tk_err *err)
{
	struct tk_extent extent;
	uint8_t id[16];
	bool found;
	enum tk_rc rc;

	if (len_bytes < INDEXED_MIN_BYTES)
		return store_new(ingest, data, len_bytes, NULL, out, err);
	if ((rc = chunk_id(ingest, data, len_bytes, known, id, err)) ||
	    (rc = tk_dedup_find(ingest->opts.dedup, id, &extent, &found, err)))
		return tk_ingest_break(ingest, rc);
	if (!found || extent.length_bytes != len_bytes)
		return store_new(ingest, data, len_bytes, id, out, err);
	if (ingest->opts.on_reuse)
		ingest->opts.on_reuse(ingest->opts.ctx, extent.ref);
	return append(ingest, out, extent, err);
}

enum tk_rc
tk_ingest_chunks(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, const struct tk_digest *whole_digest,
		 struct tk_extent_list *out, struct tk_err *err)
{
	size_t at = 0;

	while (at < len_bytes) {
		size_t cut = tk_cdc_cut(&ingest->cdc, data + at, len_bytes - at, true);
		bool whole = cut == len_bytes;
		enum tk_rc rc = store_chunk(ingest, data + at, cut, whole ? whole_digest : NULL, out, err);

		if (rc)
			return rc;
		at += cut;
	}
	return TK_OK;
}

enum tk_rc
tk_ingest_literal(struct tk_ingest *ingest, const uint8_t *data, size_t len_bytes, bool zeros_are_holes, struct tk_extent_list *out,
		  struct tk_err *err)
{
	if (zeros_are_holes && tk_all_zero(data, len_bytes))
		return append(ingest, out, (struct tk_extent){{TK_PACK_NONE, 0}, 0, (uint32_t)len_bytes}, err);
	if (len_bytes >= CHUNKED_LITERAL_MIN_BYTES && len_bytes >= ingest->cdc.min_bytes)
		return tk_ingest_chunks(ingest, data, len_bytes, NULL, out, err);
	while (len_bytes > 0) {
		size_t piece = len_bytes < TK_LITERAL_BLOB_BYTES ? len_bytes : TK_LITERAL_BLOB_BYTES;
		struct tk_extent extent;
		enum tk_rc rc = tk_packer_add_literal(ingest->opts.packer, data, piece, &extent, err);

		if (rc)
			return tk_ingest_break(ingest, rc);
		if ((rc = append(ingest, out, extent, err)))
			return rc;
		ingest->stats.literal_bytes += piece;
		data += piece;
		len_bytes -= piece;
	}
	return TK_OK;
}
