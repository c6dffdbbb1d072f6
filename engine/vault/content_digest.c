#include "engine/vault/content_digest.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/buf.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/hash_two.h"

/* What the digests above a leaf's begin with. */
enum { SEGMENT_MARK = 1, FILE_MARK = 2 };

/* How many leaves whose digests are known may wait behind one that is not hashed yet. */
#define KNOWN_MAX 64u

static const uint8_t zeros[4096];

struct known_leaf {
	struct tk_digest digest;
	uint64_t len_bytes;
};

/* Leaves are hashed two at a time (hash_two.h). One that comes alone is held until the next one comes, and known ones that come meanwhile wait behind it. */
struct tk_content_hash {
	uint64_t segment_max;
	uint32_t leaf_max;             /* a leaf never crosses a segment border */
	struct tk_hash_ctx *ctx;       /* for whatever is hashed in one go */
	struct tk_hash_ctx *seg_ctx;   /* the segment that is open, if seg_taken > 0 */
	struct tk_hash_two *two;
	uint8_t *open;                 /* the bytes of the leaf that is open: leaf_fill of them */
	uint8_t *held;                 /* the leaf that waits for another: held_bytes; 0: none does */
	uint32_t leaf_fill;
	uint32_t held_bytes;
	struct known_leaf known[KNOWN_MAX]; /* behind the one that is held, in order */
	size_t known_count;
	uint64_t seg_fill;             /* where in its segment the leaf that is open, or comes next, begins */
	uint64_t seg_taken;            /* bytes whose leaves are in seg_ctx */
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
hash_file(struct tk_content_hash *hash, uint64_t size_bytes, const struct tk_digest *segments, size_t count, struct tk_digest *out,
    struct tk_err *err)
{
	uint8_t head[1 + 8];
	enum tk_rc rc = tk_hash_begin(hash->ctx, err);

	head[0] = FILE_MARK;
	tk_store_u64(head + 1, size_bytes);
	if (rc == TK_OK)
		rc = tk_hash_add(hash->ctx, head, sizeof(head), err);
	if (rc == TK_OK)
		rc = tk_hash_add(hash->ctx, segments, count * sizeof(*segments), err);
	return rc ? rc : tk_hash_end(hash->ctx, out->b, err);
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
	hash->open = calloc(1, hash->leaf_max);
	hash->held = malloc(hash->leaf_max);
	if (!hash->segments || !hash->open || !hash->held)
		return tk_err_set(err, TK_ENOMEM, "no memory for a content hasher");
	if ((rc = tk_hash_ctx_new(suite, &hash->ctx, err)) || (rc = tk_hash_ctx_new(suite, &hash->seg_ctx, err)) ||
	    (rc = tk_hash_two_new(suite, &hash->two, err)) || (rc = tk_hash_whole(hash->ctx, hash->open, hash->leaf_max, hash->zero_leaf.b, err)))
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
	tk_hash_ctx_cleanup(&(*hash)->ctx);
	tk_hash_ctx_cleanup(&(*hash)->seg_ctx);
	tk_hash_two_cleanup(&(*hash)->two);
	free((*hash)->open);
	free((*hash)->held);
	free((*hash)->segments);
	free(*hash);
	*hash = NULL;
}

void
tk_content_hash_begin(struct tk_content_hash *hash)
{
	hash->leaf_fill = 0;
	hash->held_bytes = 0;
	hash->known_count = 0;
	hash->seg_fill = 0;
	hash->seg_taken = 0;
	hash->size_bytes = 0;
	hash->count = 0;
}

static enum tk_rc
begin_segment(struct tk_content_hash *hash, struct tk_err *err)
{
	static const uint8_t mark = SEGMENT_MARK;
	enum tk_rc rc = tk_hash_begin(hash->seg_ctx, err);

	return rc ? rc : tk_hash_add(hash->seg_ctx, &mark, 1, err);
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
	hash->seg_taken = 0;
	return TK_OK;
}

static enum tk_rc
end_segment(struct tk_content_hash *hash, struct tk_err *err)
{
	struct tk_digest digest;
	enum tk_rc rc = tk_hash_end(hash->seg_ctx, digest.b, err);

	return rc ? rc : push_segment(hash, &digest, err);
}

/* The digest of the next leaf goes into the segment, opening and ending it as need be. */
static enum tk_rc
add_leaf(struct tk_content_hash *hash, const struct tk_digest *leaf, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = hash->seg_taken == 0 ? begin_segment(hash, err) : TK_OK;

	if (rc == TK_OK)
		rc = tk_hash_add(hash->seg_ctx, leaf->b, sizeof(leaf->b), err);
	if (rc == TK_OK && hash->on_leaf)
		rc = hash->on_leaf(hash->on_leaf_ctx, leaf, err);
	if (rc)
		return rc;
	hash->seg_taken += len_bytes;
	return hash->seg_taken == hash->segment_max ? end_segment(hash, err) : TK_OK;
}

/* The leaf that was held has its digest: it goes, and what waited behind it. */
static enum tk_rc
add_held(struct tk_content_hash *hash, const struct tk_digest *leaf, struct tk_err *err)
{
	enum tk_rc rc = add_leaf(hash, leaf, hash->held_bytes, err);

	for (size_t i = 0; i < hash->known_count && !rc; i++)
		rc = add_leaf(hash, &hash->known[i].digest, hash->known[i].len_bytes, err);
	hash->held_bytes = 0;
	hash->known_count = 0;
	return rc;
}

/* No other leaf came that it could be hashed with. */
static enum tk_rc
release_held(struct tk_content_hash *hash, struct tk_err *err)
{
	struct tk_digest leaf;
	enum tk_rc rc;

	if (hash->held_bytes == 0)
		return TK_OK;
	rc = tk_hash_whole(hash->ctx, hash->held, hash->held_bytes, leaf.b, err);
	return rc ? rc : add_held(hash, &leaf, err);
}

/* The leaf that is held, and the next one. */
static enum tk_rc
add_with_held(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_err *err)
{
	struct tk_digest held, next;
	enum tk_rc rc = tk_hash_two(hash->two, (struct tk_bytes){hash->held, hash->held_bytes}, (struct tk_bytes){data, len_bytes}, held.b, next.b, err);

	if (rc == TK_OK)
		rc = add_held(hash, &held, err);
	return rc ? rc : add_leaf(hash, &next, len_bytes, err);
}

/* ---- feeding ---- */

/* How long a leaf that begins at such a place of a segment may become. */
static uint32_t
leaf_room(const struct tk_content_hash *hash, uint64_t seg_fill)
{
	uint64_t left = hash->segment_max - seg_fill;

	return left < hash->leaf_max ? (uint32_t)left : hash->leaf_max;
}

static uint64_t
place_after(const struct tk_content_hash *hash, uint64_t seg_fill, uint64_t len_bytes)
{
	return seg_fill + len_bytes == hash->segment_max ? 0 : seg_fill + len_bytes;
}

/* The length of the leaf that begins with these bytes; 0: they end before it does, and are not the content's last. */
static size_t
whole_leaf(const struct tk_content_hash *hash, uint64_t seg_fill, size_t len_bytes, bool is_last)
{
	uint32_t room = leaf_room(hash, seg_fill);

	return len_bytes >= room ? room : is_last ? len_bytes : 0;
}

/* A leaf that lies whole in what is fed, and the one after it if that does too. */
static enum tk_rc
feed_whole(struct tk_content_hash *hash, const uint8_t *data, size_t first, size_t second, bool is_last, struct tk_err *err)
{
	struct tk_digest a, b;
	enum tk_rc rc;

	if (hash->held_bytes > 0)
		return add_with_held(hash, data, first, err);
	if (second > 0) {
		rc = tk_hash_two(hash->two, (struct tk_bytes){data, first}, (struct tk_bytes){data + first, second}, a.b, b.b, err);
		if (rc == TK_OK)
			rc = add_leaf(hash, &a, first, err);
		return rc ? rc : add_leaf(hash, &b, second, err);
	}
	if (is_last) {
		rc = tk_hash_whole(hash->ctx, data, first, a.b, err);
		return rc ? rc : add_leaf(hash, &a, first, err);
	}
	memcpy(hash->held, data, first);
	hash->held_bytes = (uint32_t)first;
	return TK_OK;
}

/* The leaf that is open has all its bytes. */
static enum tk_rc
end_open(struct tk_content_hash *hash, struct tk_err *err)
{
	uint8_t *open = hash->open;
	uint32_t fill = hash->leaf_fill;

	hash->seg_fill = place_after(hash, hash->seg_fill, fill);
	hash->leaf_fill = 0;
	if (hash->held_bytes > 0)
		return add_with_held(hash, open, fill, err);
	hash->open = hash->held;
	hash->held = open;
	hash->held_bytes = fill;
	return TK_OK;
}

static enum tk_rc
feed_open(struct tk_content_hash *hash, const uint8_t *data, size_t len_bytes, size_t *taken, struct tk_err *err)
{
	uint32_t room = leaf_room(hash, hash->seg_fill) - hash->leaf_fill;

	*taken = len_bytes < room ? len_bytes : room;
	memcpy(hash->open + hash->leaf_fill, data, *taken);
	hash->leaf_fill += (uint32_t)*taken;
	return *taken == room ? end_open(hash, err) : TK_OK;
}

/* is_last: the content ends with these bytes. */
static enum tk_rc
feed(struct tk_content_hash *hash, const uint8_t *data, size_t len_bytes, bool is_last, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;
	size_t first, second, taken;

	if (len_bytes > 0 && hash->leaf_fill == 0 && hash->seg_fill % hash->leaf_max != 0)
		return tk_err_set(err, TK_EINVAL, "a leaf after a segment's last one");
	hash->size_bytes += len_bytes;
	while (rc == TK_OK && len_bytes > 0) {
		first = hash->leaf_fill == 0 ? whole_leaf(hash, hash->seg_fill, len_bytes, is_last) : 0;
		if (first > 0) {
			uint64_t after = place_after(hash, hash->seg_fill, first);

			second = hash->held_bytes == 0 ? whole_leaf(hash, after, len_bytes - first, is_last) : 0;
			rc = feed_whole(hash, data, first, second, is_last, err);
			hash->seg_fill = second > 0 ? place_after(hash, after, second) : after;
			taken = first + second;
		} else {
			rc = feed_open(hash, data, len_bytes, &taken, err);
		}
		data += taken;
		len_bytes -= taken;
	}
	return rc;
}

enum tk_rc
tk_content_hash_feed(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_err *err)
{
	return feed(hash, data, len_bytes, false, err);
}

/* A leaf whose digest is known comes next. */
static enum tk_rc
feed_known(struct tk_content_hash *hash, const struct tk_digest *leaf, uint64_t len_bytes, struct tk_err *err)
{
	enum tk_rc rc = hash->known_count == KNOWN_MAX ? release_held(hash, err) : TK_OK;

	hash->size_bytes += len_bytes;
	hash->seg_fill = place_after(hash, hash->seg_fill, len_bytes);
	if (rc || hash->held_bytes == 0)
		return rc ? rc : add_leaf(hash, leaf, len_bytes, err);
	hash->known[hash->known_count++] = (struct known_leaf){*leaf, len_bytes};
	return TK_OK;
}

/* The first whole segment of zeros is hashed from its leaves; it is remembered for the others. */
static enum tk_rc
feed_zero_segment(struct tk_content_hash *hash, struct tk_err *err)
{
	enum tk_rc rc = release_held(hash, err);

	if (rc == TK_OK && hash->has_zero_segment) {
		hash->size_bytes += hash->segment_max;
		return push_segment(hash, &hash->zero_segment, err);
	}
	for (uint64_t left = hash->segment_max; rc == TK_OK && left > 0;) {
		uint64_t piece = left < sizeof(zeros) ? left : sizeof(zeros);

		piece = left >= hash->leaf_max ? hash->leaf_max : piece;
		rc = left >= hash->leaf_max ? feed_known(hash, &hash->zero_leaf, piece, err) : feed(hash, zeros, (size_t)piece, false, err);
		left -= piece;
	}
	if (rc == TK_OK)
		rc = release_held(hash, err);
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

	while (rc == TK_OK && len_bytes) {
		bool is_leaf = hash->leaf_fill == 0 && len_bytes >= hash->leaf_max && leaf_room(hash, hash->seg_fill) == hash->leaf_max;
		uint64_t piece = len_bytes < sizeof(zeros) ? len_bytes : sizeof(zeros);

		if (!hash->on_leaf && hash->leaf_fill == 0 && hash->seg_fill == 0 && len_bytes >= hash->segment_max) {
			piece = hash->segment_max;
			rc = feed_zero_segment(hash, err);
		} else if (is_leaf) {
			piece = hash->leaf_max;
			rc = tk_content_hash_known_leaf(hash, &hash->zero_leaf, (size_t)piece, err);
		} else {
			rc = feed(hash, zeros, (size_t)piece, false, err);
		}
		len_bytes -= piece;
	}
	return rc;
}

enum tk_rc
tk_content_hash_known_leaf(struct tk_content_hash *hash, const struct tk_digest *leaf, size_t len_bytes, struct tk_err *err)
{
	if (hash->leaf_fill > 0 || len_bytes == 0 || len_bytes > leaf_room(hash, hash->seg_fill) || hash->seg_fill % hash->leaf_max != 0)
		return tk_err_set(err, TK_EINVAL, "%zu bytes are no leaf here", len_bytes);
	return feed_known(hash, leaf, len_bytes, err);
}

void
tk_content_hash_tell_leaves(struct tk_content_hash *hash, enum tk_rc (*on_leaf)(void *ctx, const struct tk_digest *leaf, struct tk_err *err), void *ctx)
{
	hash->on_leaf = on_leaf;
	hash->on_leaf_ctx = ctx;
}

/* ---- the end ---- */

enum tk_rc
tk_content_hash_finish(struct tk_content_hash *hash, struct tk_digest *out, struct tk_err *err)
{
	enum tk_rc rc = hash->leaf_fill > 0 ? end_open(hash, err) : TK_OK;

	if (rc == TK_OK)
		rc = release_held(hash, err);
	if (rc == TK_OK && hash->seg_taken)
		rc = end_segment(hash, err);
	return rc ? rc : hash_file(hash, hash->size_bytes, hash->segments, hash->count, out, err);
}

enum tk_rc
tk_content_hash_all(struct tk_content_hash *hash, const void *data, size_t len_bytes, struct tk_digest *out, struct tk_err *err)
{
	uint8_t segment[1 + TK_DIGEST_BYTES] = {SEGMENT_MARK};
	enum tk_rc rc;

	tk_content_hash_begin(hash);
	if (len_bytes == 0 || len_bytes > hash->leaf_max) {
		rc = feed(hash, data, len_bytes, true, err);
		return rc ? rc : tk_content_hash_finish(hash, out, err);
	}
	/* One leaf, one segment: what most files are. */
	if ((rc = tk_hash_whole(hash->ctx, data, len_bytes, segment + 1, err)) ||
	    (rc = tk_hash_whole(hash->ctx, segment, sizeof(segment), hash->segments[0].b, err)))
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
	hash->held_bytes = 0;
	return hash_file(hash, size_bytes, segments, count, out, err);
}
