#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/crypto/hash.h"
#include "engine/vault/envelope.h"
#include "engine/vault/packcore.h"

/* Where the header has its suite. */
enum { SUITE_AT = 10 };

/* The least bytes of a row (no references) and of a reference: bound the arrays before they are allocated. */
enum { ROW_BYTES_MIN = 1 + 1 + 4 + 4 + TK_DIGEST_BYTES + 1, REF_BYTES_MIN = 2, FOOTER_BYTES_MIN = 8 + TK_DIGEST_BYTES };

struct trailer {
	uint64_t offset_bytes;
	uint32_t footer_bytes;
	struct tk_digest digest;
};

static enum tk_rc
read_trailer(const uint8_t bytes[TK_PACK_TRAILER_BYTES], uint64_t pack_bytes, struct trailer *out, struct tk_err *err)
{
	struct tk_cursor cur;
	uint32_t zero;

	tk_cursor_init(&cur, bytes, TK_PACK_TRAILER_BYTES);
	out->offset_bytes = tk_cursor_u64(&cur);
	out->footer_bytes = tk_cursor_u32(&cur);
	zero = tk_cursor_u32(&cur);
	tk_cursor_copy(&cur, out->digest.b, sizeof(out->digest.b));
	if (memcmp(tk_cursor_take(&cur, 8), "TWKPEND1", 8) != 0 || zero != 0)
		return tk_err_set(err, TK_ECORRUPT, "pack trailer: no pack ends here");
	if (pack_bytes > TK_PACK_BYTES_MAX)
		return tk_err_set(err, TK_ECORRUPT, "a pack of %llu bytes", (unsigned long long)pack_bytes);
	if (pack_bytes < TK_PACK_HEADER_BYTES + TK_PACK_TRAILER_BYTES || out->footer_bytes < FOOTER_BYTES_MIN ||
	    out->footer_bytes > pack_bytes - TK_PACK_HEADER_BYTES - TK_PACK_TRAILER_BYTES ||
	    out->offset_bytes != pack_bytes - TK_PACK_TRAILER_BYTES - out->footer_bytes)
		return tk_err_set(err, TK_ECORRUPT, "pack trailer: the footer is not where it must be");
	return TK_OK;
}

enum tk_rc
tk_pack_footer_bytes(const uint8_t trailer[TK_PACK_TRAILER_BYTES], uint64_t pack_bytes, uint32_t *footer_bytes, struct tk_err *err)
{
	struct trailer parsed;
	enum tk_rc rc = read_trailer(trailer, pack_bytes, &parsed, err);

	if (rc == TK_OK)
		*footer_bytes = parsed.footer_bytes;
	return rc;
}

static enum tk_rc
check_digests(const struct tk_pack_index *index, const struct trailer *trailer, const uint8_t *footer, struct tk_err *err)
{
	struct tk_digest digest;
	enum tk_rc rc;

	rc = tk_hash(index->head.suite, footer, trailer->footer_bytes, digest.b, err);
	if (rc)
		return rc;
	if (memcmp(&digest, &trailer->digest, sizeof(digest)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "pack footer: the digest is wrong");
	rc = tk_hash(index->head.suite, index->head.header, TK_PACK_HEADER_BYTES, digest.b, err);
	if (rc)
		return rc;
	if (memcmp(digest.b, footer + trailer->footer_bytes - TK_DIGEST_BYTES, TK_DIGEST_BYTES) != 0)
		return tk_err_set(err, TK_ECORRUPT, "pack header: the digest is wrong");
	return TK_OK;
}

static enum tk_rc
read_names(struct tk_cursor *cur, struct tk_pack_index *index, struct tk_err *err)
{
	bool twice;
	enum tk_rc rc;

	index->blob_count = tk_cursor_u32(cur);
	index->name_count = tk_cursor_u32(cur);
	if (index->blob_count > TK_PACK_BLOBS_MAX || index->name_count > tk_cursor_left(cur) / sizeof(*index->names))
		return tk_err_set(err, TK_ECORRUPT, "pack footer: a count is over its limit");
	index->names = malloc(index->name_count * sizeof(*index->names) + 1);
	if (!index->names)
		return tk_err_set(err, TK_ENOMEM, "no memory for the table of a pack");
	for (uint32_t i = 0; i < index->name_count; i++)
		tk_cursor_copy(cur, index->names[i].b, sizeof(index->names[i].b));
	rc = tk_pack_names_twice(index->names, index->name_count, &index->head.name, &twice, err);
	if (rc == TK_OK && twice)
		return tk_err_set(err, TK_ECORRUPT, "pack footer: a pack is in the table twice");
	return rc;
}

/* One row's lengths against each other and against what is left of the pack before its footer. */
static void
check_row(struct tk_cursor *cur, const struct tk_blob_info *info, size_t tag_bytes, uint64_t end_bytes)
{
	if (tk_blob_plain_max((unsigned)info->type) == 0)
		tk_cursor_fail(cur, "an unknown blob type");
	else if (info->codec > TK_CODEC_LZ4)
		tk_cursor_fail(cur, "an unknown codec");
	else if (info->plain_bytes > tk_blob_plain_max((unsigned)info->type))
		tk_cursor_fail(cur, "a blob over its limit");
	else if (info->sealed_bytes < tag_bytes || info->sealed_bytes - tag_bytes > info->plain_bytes)
		tk_cursor_fail(cur, "a blob whose lengths do not agree");
	else if ((info->sealed_bytes - tag_bytes == info->plain_bytes) != (info->codec == TK_CODEC_RAW))
		tk_cursor_fail(cur, "a blob whose length does not fit its codec");
	else if (info->sealed_bytes > end_bytes - info->offset_bytes)
		tk_cursor_fail(cur, "a blob that ends outside");
}

static void
read_refs(struct tk_cursor *cur, struct tk_pack_index *index, uint32_t blob, uint32_t *filled)
{
	uint64_t count = tk_cursor_uv(cur);
	uint32_t first = *filled;

	if (count > tk_cursor_left(cur) / REF_BYTES_MIN || (count && !tk_blob_has_refs((unsigned)index->blobs[blob].type))) {
		tk_cursor_fail(cur, "too many references");
		return;
	}
	for (uint64_t i = 0; i < count && tk_cursor_ok(cur); i++) {
		struct tk_footer_ref *ref = &index->refs[*filled];

		ref->pack_index = (uint32_t)tk_cursor_uv_max(cur, index->name_count);
		ref->blob = (uint32_t)tk_cursor_uv_max(cur, TK_PACK_BLOBS_MAX - 1);
		if (ref->pack_index == 0 && ref->blob >= blob)
			tk_cursor_fail(cur, "a reference to a later blob of the pack");
		if (*filled > first && (ref[-1].pack_index > ref->pack_index ||
		    (ref[-1].pack_index == ref->pack_index && ref[-1].blob >= ref->blob)))
			tk_cursor_fail(cur, "references out of order");
		(*filled)++;
	}
}

static void
read_row(struct tk_cursor *cur, struct tk_pack_index *index, uint32_t blob, size_t tag_bytes, uint64_t *pos_bytes, uint64_t end_bytes)
{
	struct tk_blob_info *info = &index->blobs[blob];

	info->type = (enum tk_blob_type)tk_cursor_u8(cur);
	info->codec = (enum tk_codec)tk_cursor_u8(cur);
	info->plain_bytes = tk_cursor_u32(cur);
	info->sealed_bytes = tk_cursor_u32(cur);
	tk_cursor_copy(cur, info->digest.b, sizeof(info->digest.b));
	info->offset_bytes = *pos_bytes;
	check_row(cur, info, tag_bytes, end_bytes);
	if (info->type == TK_BLOB_CONTENTS && blob + 1 != index->blob_count)
		tk_cursor_fail(cur, "a contents blob that is not the last one");
	*pos_bytes += info->sealed_bytes;
}

static enum tk_rc
read_rows(struct tk_cursor *cur, struct tk_pack_index *index, uint64_t end_bytes, struct tk_err *err)
{
	size_t tag_bytes = tk_suite_info(index->head.suite)->aead_tag_bytes;
	size_t rows_bytes_min = (size_t)index->blob_count * ROW_BYTES_MIN;
	size_t refs_max;
	uint64_t pos_bytes = TK_PACK_HEADER_BYTES;
	uint32_t filled = 0;

	if (rows_bytes_min > tk_cursor_left(cur))
		return tk_err_set(err, TK_ECORRUPT, "pack footer: a count is over its limit");
	refs_max = (tk_cursor_left(cur) - rows_bytes_min) / REF_BYTES_MIN;
	index->blobs = calloc((size_t)index->blob_count + 1, sizeof(*index->blobs));
	index->ref_start = calloc((size_t)index->blob_count + 1, sizeof(*index->ref_start));
	index->refs = malloc((refs_max + 1) * sizeof(*index->refs));
	if (!index->blobs || !index->ref_start || !index->refs)
		return tk_err_set(err, TK_ENOMEM, "no memory for the index of a pack");
	for (uint32_t i = 0; i < index->blob_count && tk_cursor_ok(cur); i++) {
		read_row(cur, index, i, tag_bytes, &pos_bytes, end_bytes);
		index->ref_start[i] = filled;
		read_refs(cur, index, i, &filled);
	}
	index->ref_start[index->blob_count] = filled;
	if (tk_cursor_ok(cur) && pos_bytes != end_bytes)
		tk_cursor_fail(cur, "the blobs do not fill the pack");
	return tk_cursor_end(cur, "pack footer", err);
}

static void
index_free(struct tk_pack_index *index)
{
	tk_pack_head_wipe(&index->head);
	free(index->blobs);
	free(index->names);
	free(index->refs);
	free(index->ref_start);
	free(index);
}

void
tk_pack_index_cleanup(struct tk_pack_index **index)
{
	if (*index)
		index_free(*index);
	*index = NULL;
}

/* A header that says something unknown is a newer program's only if it is whole. */
static enum tk_rc
unknown_or_damaged(const uint8_t header[TK_PACK_HEADER_BYTES], const uint8_t *header_digest, enum tk_rc unknown, struct tk_err *err)
{
	struct tk_digest digest;
	enum tk_suite suite;
	enum tk_rc rc;

	if (tk_envelope_suite(header[SUITE_AT], &suite, NULL))
		return unknown;
	rc = tk_hash(suite, header, TK_PACK_HEADER_BYTES, digest.b, err);
	if (rc)
		return rc;
	return memcmp(digest.b, header_digest, sizeof(digest)) == 0 ? unknown : tk_err_set(err, TK_ECORRUPT, "pack header: the digest is wrong");
}

enum tk_rc
tk_pack_index_read(const struct tk_domain_keys *keys, const uint8_t header[TK_PACK_HEADER_BYTES], const void *tail, size_t tail_bytes,
    uint64_t pack_bytes, struct tk_pack_index **out, struct tk_err *err)
{
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = calloc(1, sizeof(*index));
	const uint8_t *end = (const uint8_t *)tail + tail_bytes;
	struct trailer trailer;
	struct tk_cursor cur;
	const uint8_t *footer;
	enum tk_rc rc;

	if (!index)
		return tk_err_set(err, TK_ENOMEM, "no memory for the index of a pack");
	if (tail_bytes < TK_PACK_TRAILER_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "a pack shorter than its trailer");
	rc = read_trailer(end - TK_PACK_TRAILER_BYTES, pack_bytes, &trailer, err);
	if (rc == TK_OK && tail_bytes - TK_PACK_TRAILER_BYTES < trailer.footer_bytes)
		rc = tk_err_set(err, TK_EINVAL, "%zu bytes do not hold footer and trailer", tail_bytes);
	/* Damage is looked for before the key: a damaged commitment must not read as a wrong key. */
	if (rc)
		return rc;
	footer = end - TK_PACK_TRAILER_BYTES - trailer.footer_bytes;
	rc = tk_pack_head_read(NULL, header, &index->head, err);
	if (rc == TK_EUNSUPPORTED)
		return unknown_or_damaged(header, end - TK_PACK_TRAILER_BYTES - TK_DIGEST_BYTES, rc, err);
	if (rc)
		return rc;
	rc = check_digests(index, &trailer, footer, err);
	if (rc)
		return rc;
	tk_cursor_init(&cur, footer, trailer.footer_bytes - TK_DIGEST_BYTES);
	rc = read_names(&cur, index, err);
	if (rc == TK_OK)
		rc = read_rows(&cur, index, trailer.offset_bytes, err);
	if (rc == TK_OK && keys)
		rc = tk_pack_head_read(keys, header, &index->head, err);
	if (rc)
		return rc;
	index->ident = (struct tk_pack_ident){index->head.name, trailer.digest, pack_bytes};
	*out = index;
	index = NULL;
	return TK_OK;
}
