#include "engine/vault/content_digest.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/crypto/hash.h"

/* What each level's digest begins with. */
enum { LEAF_MARK = 0, SEGMENT_MARK = 1, FILE_MARK = 2 };

static const uint8_t zeros[4096];

struct tk_content_hash {
	uint64_t segment_max;
	uint32_t leaf_max;             /* a leaf never crosses a segment border */
	struct tk_hash_ctx *leaf_ctx;  /* the leaf that is open, if leaf_fill > 0; between leaves free for any use */
	struct tk_hash_ctx *seg_ctx;   /* the segment that is open, if seg_fill > 0 */
	uint32_t leaf_fill;
	uint64_t seg_fill;             /* bytes in the open segment, its open leaf included */
	uint64_t size_bytes;
	struct tk_digest *segments;
	size_t count;
	size_t cap;
	struct tk_digest zero_leaf;    /* of leaf_max zeros */
	struct tk_digest zero_segment; /* of segment_max zeros, once has_zero_segment */
	bool has_zero_segment;
	enum tk_rc (*on_leaf)(void *ctx, const struct tk_digest *leaf, struct tk_err *err);
	void *on_leaf_ctx;
};

static enum tk_rc
begin_marked(struct tk_hash_ctx *ctx, uint8_t mark, struct tk_err *err)
{
	enum tk_rc rc = tk_hash_begin(ctx, err);

	return rc ? rc : tk_hash_add(ctx, &mark, 1, err);
}

static enum tk_rc
hash_leaf(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_digest *out, struct tk_err *err)
{
	enum tk_rc rc = begin_marked(hash->leaf_ctx, LEAF_MARK, err);

	if (rc == TK_OK)
		rc = tk_hash_add(hash->leaf_ctx, data, len_bytes, err);
	return rc ? rc : tk_hash_end(hash->leaf_ctx, out->b, err);
}

static enum tk_rc
hash_file(struct tk_content_hash *hash, uint64_t size_bytes, const struct tk_digest *segments, size_t count, struct tk_digest *out,
    struct tk_err *err)
{
	uint8_t head[1 + 8];
	enum tk_rc rc = tk_hash_begin(hash->leaf_ctx, err);

	head[0] = FILE_MARK;
	tk_store_u64(head + 1, size_bytes);
	if (rc == TK_OK)
		rc = tk_hash_add(hash->leaf_ctx, head, sizeof(head), err);
	if (rc == TK_OK)
		rc = tk_hash_add(hash->leaf_ctx, segments, count * sizeof(*segments), err);
	return rc ? rc : tk_hash_end(hash->leaf_ctx, out->b, err);
}

static enum tk_rc
hash_zero_leaf(struct tk_content_hash *hash, struct tk_err *err)
{
	enum tk_rc rc = begin_marked(hash->leaf_ctx, LEAF_MARK, err);

	for (uint32_t left = hash->leaf_max; rc == TK_OK && left > 0;) {
		uint32_t piece = left < sizeof(zeros) ? left : (uint32_t)sizeof(zeros);

		rc = tk_hash_add(hash->leaf_ctx, zeros, piece, err);
		left -= piece;
	}
	return rc ? rc : tk_hash_end(hash->leaf_ctx, hash->zero_leaf.b, err);
}

enum tk_rc
tk_content_hash_new(enum tk_suite suite, uint64_t segment_bytes, struct tk_content_hash **out, struct tk_err *err)
{
	TK_AUTO(tk_content_hash_cleanup) struct tk_content_hash *hash = calloc(1, sizeof(*hash));
	enum tk_rc rc;

	if (!hash)
		return tk_err_set(err, TK_ENOMEM, "no memory for a content hasher");
	if (segment_bytes == 0)
		return tk_err_set(err, TK_EINVAL, "segments of 0 bytes");
	hash->segment_max = segment_bytes;
	hash->leaf_max = segment_bytes < TK_LEAF_BYTES ? (uint32_t)segment_bytes : TK_LEAF_BYTES;
	hash->cap = 4;
	hash->segments = calloc(hash->cap, sizeof(*hash->segments));
	if (!hash->segments)
		return tk_err_set(err, TK_ENOMEM, "no memory for a content hasher");
	rc = tk_hash_ctx_new(suite, &hash->leaf_ctx, err);
	if (rc == TK_OK)
		rc = tk_hash_ctx_new(suite, &hash->seg_ctx, err);
	if (rc == TK_OK)
		rc = hash_zero_leaf(hash, err);
	if (rc)
		return rc;
	*out = hash;
	hash = NULL;
	return TK_OK;
}

void
tk_content_hash_cleanup(struct tk_content_hash **hash)
{
	if (!*hash)
		return;
	tk_hash_ctx_cleanup(&(*hash)->leaf_ctx);
	tk_hash_ctx_cleanup(&(*hash)->seg_ctx);
	free((*hash)->segments);
	free(*hash);
	*hash = NULL;
}

void
tk_content_hash_begin(struct tk_content_hash *hash)
{
	hash->leaf_fill = 0;
	hash->seg_fill = 0;
	hash->size_bytes = 0;
	hash->count = 0;
}

static enum tk_rc
push_segment(struct tk_content_hash *hash, const struct tk_digest *digest, struct tk_err *err)
{
	if (hash->count == hash->cap) {
		struct tk_digest *grown = realloc(hash->segments, hash->cap * 2 * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for the digests of %zu segments", hash->cap * 2);
		hash->segments = grown;
		hash->cap *= 2;
	}
	hash->segments[hash->count++] = *digest;
	hash->seg_fill = 0;
	return TK_OK;
}

static enum tk_rc
end_segment(struct tk_content_hash *hash, struct tk_err *err)
{
	struct tk_digest digest;
	enum tk_rc rc = tk_hash_end(hash->seg_ctx, digest.b, err);

	return rc ? rc : push_segment(hash, &digest, err);
}

/* A whole leaf of len_bytes goes into the segment, opening and ending it as need be. */
static enum tk_rc
add_leaf(struct tk_content_hash *hash, const struct tk_digest *leaf, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (hash->seg_fill % hash->leaf_max != 0)
		return tk_err_set(err, TK_EINVAL, "a leaf after a segment's last one");
	if (hash->seg_fill == 0)
		rc = begin_marked(hash->seg_ctx, SEGMENT_MARK, err);
	if (rc == TK_OK)
		rc = tk_hash_add(hash->seg_ctx, leaf->b, sizeof(leaf->b), err);
	if (rc == TK_OK && hash->on_leaf)
		rc = hash->on_leaf(hash->on_leaf_ctx, leaf, err);
	if (rc)
		return rc;
	hash->seg_fill += len_bytes;
	return hash->seg_fill == hash->segment_max ? end_segment(hash, err) : TK_OK;
}

/* How long the leaf that is open, or comes next, may become. */
static uint32_t
leaf_room(const struct tk_content_hash *hash)
{
	uint64_t left = hash->segment_max - hash->seg_fill;

	return left < hash->leaf_max ? (uint32_t)left : hash->leaf_max;
}

static enum tk_rc
end_leaf(struct tk_content_hash *hash, struct tk_err *err)
{
	struct tk_digest leaf;
	uint32_t fill = hash->leaf_fill;
	enum tk_rc rc = tk_hash_end(hash->leaf_ctx, leaf.b, err);

	hash->leaf_fill = 0;
	return rc ? rc : add_leaf(hash, &leaf, fill, err);
}

static enum tk_rc
feed_leaf(struct tk_content_hash *hash, const uint8_t *data, size_t len_bytes, size_t *taken, struct tk_err *err)
{
	uint32_t room = leaf_room(hash) - hash->leaf_fill;
	size_t piece = len_bytes < room ? len_bytes : room;
	enum tk_rc rc = TK_OK;

	if (hash->leaf_fill == 0)
		rc = begin_marked(hash->leaf_ctx, LEAF_MARK, err);
	if (rc == TK_OK)
		rc = tk_hash_add(hash->leaf_ctx, data, piece, err);
	if (rc)
		return rc;
	hash->leaf_fill += (uint32_t)piece;
	hash->size_bytes += piece;
	*taken = piece;
	return piece == room ? end_leaf(hash, err) : TK_OK;
}

enum tk_rc
tk_content_hash_feed(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_err *err)
{
	const uint8_t *at = data;
	size_t taken = 0;

	while (len_bytes) {
		enum tk_rc rc = feed_leaf(hash, at, len_bytes, &taken, err);

		if (rc)
			return rc;
		at += taken;
		len_bytes -= taken;
	}
	return TK_OK;
}

static enum tk_rc
feed_zero_leaf(struct tk_content_hash *hash, struct tk_err *err)
{
	hash->size_bytes += hash->leaf_max;
	return add_leaf(hash, &hash->zero_leaf, hash->leaf_max, err);
}

/* The first whole segment of zeros is hashed from its leaves; it is remembered for the others. */
static enum tk_rc
feed_zero_segment(struct tk_content_hash *hash, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;
	size_t taken;

	if (hash->has_zero_segment) {
		hash->size_bytes += hash->segment_max;
		return push_segment(hash, &hash->zero_segment, err);
	}
	for (uint64_t left = hash->segment_max; rc == TK_OK && left > 0;) {
		if (left >= hash->leaf_max) {
			rc = feed_zero_leaf(hash, err);
			left -= hash->leaf_max;
		} else {
			rc = feed_leaf(hash, zeros, left < sizeof(zeros) ? (size_t)left : sizeof(zeros), &taken, err);
			left -= taken;
		}
	}
	if (rc == TK_OK) {
		hash->zero_segment = hash->segments[hash->count - 1];
		hash->has_zero_segment = true;
	}
	return rc;
}

enum tk_rc
tk_content_hash_zeros(struct tk_content_hash *hash, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;
	size_t taken;

	while (rc == TK_OK && len_bytes) {
		if (!hash->on_leaf && hash->leaf_fill == 0 && hash->seg_fill == 0 && len_bytes >= hash->segment_max) {
			rc = feed_zero_segment(hash, err);
			len_bytes -= hash->segment_max;
		} else if (hash->leaf_fill == 0 && len_bytes >= hash->leaf_max && leaf_room(hash) == hash->leaf_max) {
			rc = feed_zero_leaf(hash, err);
			len_bytes -= hash->leaf_max;
		} else {
			taken = 0;
			rc = feed_leaf(hash, zeros, len_bytes < sizeof(zeros) ? (size_t)len_bytes : sizeof(zeros), &taken, err);
			len_bytes -= taken;
		}
	}
	return rc;
}

enum tk_rc
tk_content_hash_known_leaf(struct tk_content_hash *hash, const struct tk_digest *leaf, size_t len_bytes, struct tk_err *err)
{
	if (hash->leaf_fill > 0 || len_bytes == 0 || len_bytes > leaf_room(hash))
		return tk_err_set(err, TK_EINVAL, "%zu bytes are no leaf here", len_bytes);
	hash->size_bytes += len_bytes;
	return add_leaf(hash, leaf, len_bytes, err);
}

void
tk_content_hash_tell_leaves(struct tk_content_hash *hash, enum tk_rc (*on_leaf)(void *ctx, const struct tk_digest *leaf, struct tk_err *err), void *ctx)
{
	hash->on_leaf = on_leaf;
	hash->on_leaf_ctx = ctx;
}

enum tk_rc
tk_content_hash_finish(struct tk_content_hash *hash, struct tk_digest *out, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (hash->leaf_fill)
		rc = end_leaf(hash, err);
	if (rc == TK_OK && hash->seg_fill)
		rc = end_segment(hash, err);
	return rc ? rc : hash_file(hash, hash->size_bytes, hash->segments, hash->count, out, err);
}

enum tk_rc
tk_content_hash_all(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_digest *out, struct tk_err *err)
{
	uint8_t segment[1 + TK_DIGEST_BYTES];
	struct tk_digest leaf;
	enum tk_rc rc;

	tk_content_hash_begin(hash);
	if (len_bytes == 0 || len_bytes > hash->leaf_max) {
		rc = tk_content_hash_feed(hash, data, len_bytes, err);
		return rc ? rc : tk_content_hash_finish(hash, out, err);
	}
	/* One leaf, one segment: what most files are. */
	rc = hash_leaf(hash, data, len_bytes, &leaf, err);
	if (rc)
		return rc;
	segment[0] = SEGMENT_MARK;
	memcpy(segment + 1, leaf.b, sizeof(leaf.b));
	rc = tk_hash_whole(hash->leaf_ctx, segment, sizeof(segment), hash->segments[0].b, err);
	if (rc)
		return rc;
	hash->count = 1;
	return hash_file(hash, len_bytes, hash->segments, 1, out, err);
}

const struct tk_digest *
tk_content_hash_segments(const struct tk_content_hash *hash, size_t *count)
{
	*count = hash->count;
	return hash->segments;
}

enum tk_rc
tk_content_hash_combine(struct tk_content_hash *hash, uint64_t size_bytes, const struct tk_digest *segments, size_t count,
    struct tk_digest *out, struct tk_err *err)
{
	uint64_t want = size_bytes / hash->segment_max + (size_bytes % hash->segment_max != 0);

	if (count != want)
		return tk_err_set(err, TK_EINVAL, "%zu segments for a content of %llu bytes", count, (unsigned long long)size_bytes);
	hash->leaf_fill = 0;
	return hash_file(hash, size_bytes, segments, count, out, err);
}
