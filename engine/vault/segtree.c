/* The tree of segments of one file (docs/FORMAT.md, section 4). */
#include <stdlib.h>
#include <string.h>

#include "engine/vault/mapcore.h"

#define LEVELS_MAX 8u                   /* 256^8 segments */

/* A node of a tree that was read: rows[first .. first + count) of the level below (level 0: of the segments). */
struct node {
	struct tk_blob_ref ref;
	size_t first;
	size_t count;
};

struct rank {
	struct node *nodes;
	size_t count;
	size_t cap;
};

struct loaded {
	const struct tk_blob_source *source;
	struct tk_packtab *packs;
	uint64_t segments_max;
	struct tk_segment *segments;
	size_t count;
	size_t cap;
	struct rank ranks[LEVELS_MAX];
	struct tk_buf plain;
};

/* One child as its parent tells it. */
struct kid {
	struct tk_blob_ref ref;
	uint64_t segments;
};

static void
loaded_release(struct loaded *tree)
{
	free(tree->segments);
	for (unsigned i = 0; i < LEVELS_MAX; i++)
		free(tree->ranks[i].nodes);
	tk_buf_release(&tree->plain);
}

static enum tk_rc
grow(void **rows, size_t *cap, size_t count, size_t row_bytes, struct tk_err *err)
{
	size_t grown = *cap ? *cap * 2 : 16;
	void *fresh;

	if (count < *cap)
		return TK_OK;
	if (!(fresh = reallocarray(*rows, grown, row_bytes)))
		return tk_err_set(err, TK_ENOMEM, "no memory for a segment tree");
	*rows = fresh;
	*cap = grown;
	return TK_OK;
}

static enum tk_rc
add_segment(struct loaded *tree, const struct tk_segment *segment, struct tk_err *err)
{
	void *rows = tree->segments;
	enum tk_rc rc;

	if (tree->count >= tree->segments_max)
		return tk_err_set(err, TK_ECORRUPT, "segment tree: more segments than the file has");
	rc = grow(&rows, &tree->cap, tree->count, sizeof(*tree->segments), err);
	tree->segments = rows;
	if (rc == TK_OK)
		tree->segments[tree->count++] = *segment;
	return rc;
}

static enum tk_rc
add_node(struct loaded *tree, unsigned level, struct node node, struct tk_err *err)
{
	struct rank *rank = &tree->ranks[level];
	void *rows = rank->nodes;
	enum tk_rc rc = grow(&rows, &rank->cap, rank->count, sizeof(*rank->nodes), err);

	rank->nodes = rows;
	if (rc == TK_OK)
		rank->nodes[rank->count++] = node;
	return rc;
}

static enum tk_rc
read_segments(struct loaded *tree, struct tk_cursor *cur, const struct tk_pack_table *table, size_t count, struct tk_err *err)
{
	enum tk_rc rc;

	for (size_t i = 0; i < count; i++) {
		struct tk_segment segment = {0};

		tk_cursor_copy(cur, segment.digest.b, sizeof(segment.digest.b));
		segment.length_bytes = tk_cursor_uv_max(cur, TK_SEGMENT_LENGTH_MAX);
		segment.base = tk_pack_table_ref(table, cur);
		segment.overlay_count = (unsigned)tk_cursor_uv_max(cur, TK_OVERLAYS_MAX);
		for (unsigned k = 0; k < segment.overlay_count; k++)
			segment.overlays[k] = tk_pack_table_ref(table, cur);
		if (segment.length_bytes == 0)
			tk_cursor_fail(cur, "an empty segment");
		if ((rc = tk_cursor_check(cur, "segment tree", err)) != TK_OK)
			return rc;
		if ((rc = add_segment(tree, &segment, err)) != TK_OK)
			return rc;
	}
	return tk_cursor_end(cur, "segment tree", err);
}

static enum tk_rc
read_kids(struct tk_cursor *cur, const struct tk_pack_table *table, struct kid *kids, size_t count, struct tk_err *err)
{
	for (size_t i = 0; i < count; i++) {
		kids[i].ref = tk_pack_table_ref(table, cur);
		kids[i].segments = tk_cursor_uv(cur);
	}
	return tk_cursor_end(cur, "segment tree", err);
}

/* Reads one node: its segments go to the tree, its children to kids. want_level LEVELS_MAX: any (the root). */
static enum tk_rc
read_node(struct loaded *tree, struct tk_blob_ref ref, unsigned want_level, unsigned *level, struct kid kids[TK_SEGMENT_FANOUT], size_t *count,
	  struct tk_err *err)
{
	TK_AUTO(tk_pack_table_release) struct tk_pack_table table = {0};
	struct tk_cursor cur;
	enum tk_rc rc = tree->source->read(tree->source->ctx, ref, TK_BLOB_SEGMENT_NODE, &tree->plain, err);

	if (rc != TK_OK)
		return rc;
	tk_cursor_init(&cur, tree->plain.data, tree->plain.len_bytes);
	if (tk_cursor_u8(&cur) != TK_PAGE_VERSION)
		return tk_err_set(err, tree->plain.len_bytes ? TK_EUNSUPPORTED : TK_ECORRUPT, "segment tree: unknown version");
	*level = tk_cursor_u8(&cur);
	if (*level >= LEVELS_MAX || (want_level != LEVELS_MAX && *level != want_level))
		tk_cursor_fail(&cur, "the level is wrong");
	if ((rc = tk_pack_table_read(&cur, ref.pack, tree->packs, &table, err)) != TK_OK)
		return rc;
	*count = (size_t)tk_cursor_uv_max(&cur, TK_SEGMENT_FANOUT);
	if (*count == 0)
		tk_cursor_fail(&cur, "a node without children");
	if ((rc = tk_cursor_check(&cur, "segment tree", err)) != TK_OK)
		return rc;
	return *level == 0 ? read_segments(tree, &cur, &table, *count, err) : read_kids(&cur, &table, kids, *count, err);
}

/* Levels sink by one with each call, so the depth is bounded. */
static enum tk_rc
load(struct loaded *tree, struct tk_blob_ref ref, unsigned want_level, struct tk_err *err)
{
	struct kid kids[TK_SEGMENT_FANOUT];
	struct node node = {.ref = ref};
	size_t segments_before = tree->count;
	unsigned level = 0;
	enum tk_rc rc = read_node(tree, ref, want_level, &level, kids, &node.count, err);

	if (rc != TK_OK)
		return rc;
	node.first = level == 0 ? segments_before : tree->ranks[level - 1].count;
	for (size_t i = 0; level > 0 && i < node.count; i++) {
		size_t before = tree->count;

		if ((rc = load(tree, kids[i].ref, level - 1, err)) != TK_OK)
			return rc;
		if (tree->count - before != kids[i].segments)
			return tk_err_set(err, TK_ECORRUPT, "segment tree: a node has other segments than its parent says");
	}
	return add_node(tree, level, node, err);
}

enum tk_rc
tk_segments_read(const struct tk_blob_source *source, struct tk_packtab *packs, struct tk_blob_ref root, uint64_t size_bytes,
		 uint64_t segment_bytes, struct tk_segment **out, size_t *count, struct tk_err *err)
{
	TK_AUTO(loaded_release) struct loaded tree = {.source = source, .packs = packs};
	uint64_t last_bytes;
	enum tk_rc rc;

	if (size_bytes == 0 || segment_bytes == 0)
		return tk_err_set(err, TK_ECORRUPT, "a segment tree for no bytes");
	tree.segments_max = (size_bytes - 1) / segment_bytes + 1;
	last_bytes = size_bytes - (tree.segments_max - 1) * segment_bytes;
	tk_buf_init(&tree.plain, TK_BLOB_META_MAX);
	if ((rc = load(&tree, root, LEVELS_MAX, err)) != TK_OK)
		return rc;
	if (tree.count != tree.segments_max)
		return tk_err_set(err, TK_ECORRUPT, "segment tree: fewer segments than the file has");
	for (size_t i = 0; i < tree.count; i++)
		if (tree.segments[i].length_bytes != (i + 1 < tree.count ? segment_bytes : last_bytes))
			return tk_err_set(err, TK_ECORRUPT, "segment tree: segment %zu has the wrong length", i);
	*out = tree.segments;
	*count = tree.count;
	tree.segments = NULL;
	return TK_OK;
}

/* A tree on its way out. */
struct work {
	const struct tk_page_sink *sink;
	struct tk_packtab *packs;
	struct tk_pack_locals *locals;
	struct tk_buf scratch, plain;
	struct tk_ref_list refs;
	struct kid *kids;                      /* the finished nodes of one level */
	size_t kid_count;
};

static void
work_release(struct work *work)
{
	tk_pack_locals_cleanup(&work->locals);
	tk_buf_release(&work->scratch);
	tk_buf_release(&work->plain);
	tk_ref_list_release(&work->refs);
	free(work->kids);
}

static enum tk_rc
put_ref(struct work *work, struct tk_blob_ref ref, struct tk_err *err)
{
	enum tk_rc rc = tk_ref_list_add(&work->refs, ref, err);

	return rc != TK_OK ? rc : tk_pack_locals_put_ref(work->locals, ref, &work->scratch, err);
}

static enum tk_rc
put_segment(struct work *work, const struct tk_segment *segment, struct tk_err *err)
{
	enum tk_rc rc = tk_buf_put(&work->scratch, segment->digest.b, sizeof(segment->digest.b), err);

	if (rc == TK_OK)
		rc = tk_buf_put_uv(&work->scratch, segment->length_bytes, err);
	if (rc == TK_OK)
		rc = put_ref(work, segment->base, err);
	if (rc == TK_OK)
		rc = tk_buf_put_uv(&work->scratch, segment->overlay_count, err);
	for (unsigned i = 0; i < segment->overlay_count && rc == TK_OK; i++)
		rc = put_ref(work, segment->overlays[i], err);
	return rc;
}

static enum tk_rc
put_kid(struct work *work, const struct kid *kid, struct tk_err *err)
{
	enum tk_rc rc = put_ref(work, kid->ref, err);

	return rc != TK_OK ? rc : tk_buf_put_uv(&work->scratch, kid->segments, err);
}

/* Stores one node over segments (level 0) or kids. */
static enum tk_rc
store_node(struct work *work, unsigned level, const struct tk_segment *segments, const struct kid *kids, size_t count, struct tk_blob_ref *ref,
	   struct tk_err *err)
{
	uint32_t own_pack;
	enum tk_rc rc = work->sink->place(work->sink->ctx, &own_pack, err);

	if (rc != TK_OK)
		return rc;
	tk_pack_locals_reset(work->locals, own_pack);
	tk_buf_clear(&work->scratch);
	tk_buf_clear(&work->plain);
	work->refs.count = 0;
	rc = tk_buf_put_uv(&work->scratch, count, err);
	for (size_t i = 0; i < count && rc == TK_OK; i++)
		rc = level == 0 ? put_segment(work, &segments[i], err) : put_kid(work, &kids[i], err);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(&work->plain, TK_PAGE_VERSION, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(&work->plain, (uint8_t)level, err);
	if (rc == TK_OK)
		rc = tk_pack_locals_put_table(work->locals, work->packs, &work->plain, err);
	if (rc == TK_OK)
		rc = tk_buf_put(&work->plain, work->scratch.data, work->scratch.len_bytes, err);
	if (rc != TK_OK)
		return rc;
	return work->sink->put(work->sink->ctx, TK_BLOB_SEGMENT_NODE, work->plain.data, work->plain.len_bytes, work->refs.refs,
			       work->refs.count, ref, err);
}

static bool
same_ref(struct tk_blob_ref a, struct tk_blob_ref b)
{
	return a.pack == b.pack && a.blob == b.blob;
}

static bool
same_segments(const struct tk_segment *a, const struct tk_segment *b, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (memcmp(a[i].digest.b, b[i].digest.b, sizeof(a[i].digest.b)) != 0 || a[i].length_bytes != b[i].length_bytes ||
		    !same_ref(a[i].base, b[i].base) || a[i].overlay_count != b[i].overlay_count)
			return false;
		for (unsigned k = 0; k < a[i].overlay_count; k++)
			if (!same_ref(a[i].overlays[k], b[i].overlays[k]))
				return false;
	}
	return true;
}

/* The old tree's node over just these segments or kids; NULL when there is none. */
static const struct node *
find_old(const struct loaded *old, unsigned level, size_t first, const struct tk_segment *segments, const struct kid *kids, size_t count)
{
	size_t number = first / TK_SEGMENT_FANOUT;
	const struct node *node = number < old->ranks[level].count ? &old->ranks[level].nodes[number] : NULL;

	if (!node || node->first != first || node->count != count)
		return NULL;
	if (level == 0)
		return same_segments(&old->segments[first], segments, count) ? node : NULL;
	for (size_t i = 0; i < count; i++)
		if (!same_ref(old->ranks[level - 1].nodes[first + i].ref, kids[i].ref))
			return NULL;
	return node;
}

/* Makes the nodes of one level; work->kids becomes them. */
static enum tk_rc
store_level(struct work *work, const struct loaded *old, unsigned level, const struct tk_segment *segments, size_t count, struct tk_err *err)
{
	size_t node_count = (count - 1) / TK_SEGMENT_FANOUT + 1;
	struct kid *made = calloc(node_count, sizeof(*made));
	enum tk_rc rc = made ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for a segment tree");

	for (size_t i = 0; i < node_count && rc == TK_OK; i++) {
		size_t first = i * TK_SEGMENT_FANOUT;
		size_t here = count - first < TK_SEGMENT_FANOUT ? count - first : TK_SEGMENT_FANOUT;
		const struct tk_segment *rows = level == 0 ? &segments[first] : NULL;
		const struct kid *kids = level == 0 ? NULL : &work->kids[first];
		const struct node *same = find_old(old, level, first, rows, kids, here);

		made[i].segments = level == 0 ? here : 0;
		for (size_t k = 0; level > 0 && k < here; k++)
			made[i].segments += kids[k].segments;
		if (same)
			made[i].ref = same->ref;
		else
			rc = store_node(work, level, rows, kids, here, &made[i].ref, err);
	}
	free(work->kids);
	work->kids = made;
	work->kid_count = node_count;
	return rc;
}

enum tk_rc
tk_segments_store(const struct tk_page_sink *sink, const struct tk_blob_source *source, struct tk_packtab *packs,
		  const struct tk_segment *segments, size_t count, struct tk_blob_ref old_root, struct tk_blob_ref *root, struct tk_err *err)
{
	TK_AUTO(loaded_release) struct loaded old = {.source = source, .packs = packs, .segments_max = UINT32_MAX};
	TK_AUTO(work_release) struct work work = {.sink = sink, .packs = packs};
	enum tk_rc rc;

	if (count == 0)
		return tk_err_set(err, TK_EINVAL, "a segment tree without segments");
	tk_buf_init(&old.plain, TK_BLOB_META_MAX);
	tk_buf_init(&work.plain, TK_BLOB_META_MAX);
	if (old_root.pack != TK_PACK_NONE && (rc = load(&old, old_root, LEVELS_MAX, err)) != TK_OK)
		return rc;
	if ((rc = tk_pack_locals_new(0, &work.locals, err)) != TK_OK)
		return rc;
	if ((rc = store_level(&work, &old, 0, segments, count, err)) != TK_OK)
		return rc;
	for (unsigned level = 1; work.kid_count > 1; level++) {
		if (level == LEVELS_MAX)
			return tk_err_set(err, TK_EINVAL, "a segment tree that is too high");
		if ((rc = store_level(&work, &old, level, NULL, work.kid_count, err)) != TK_OK)
			return rc;
	}
	*root = work.kids[0].ref;
	return TK_OK;
}
