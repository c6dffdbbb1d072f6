/* Pages, segment maps, and whether what they refer to is there and is referred to in the clear. */
#include <stdlib.h>
#include <string.h>

#include "engine/job/verify_core.h"

/* 256 to the power of 8 segments. */
#define SEGMENT_LEVELS 8u

static void
tell_progress(const struct tk_verify *verify)
{
	struct tk_progress_event event = {.phase = "verify", .unit = "blobs", .units_done = verify->result->blobs_checked, .bytes_done = verify->result->checked_bytes};

	if (verify->result->blobs_checked % 64 == 0)
		tk_progress_report(verify->opts->progress, &event);
}

/* ---- what will be read next ---- */

/* Of `count` things one after the other, with number `at` next: those that are to be wanted now, from *first up to *end. */
static void
next_wanted(size_t at, size_t count, size_t *first, size_t *end)
{
	*first = at ? at + TK_PREFETCH_AHEAD - 1 : 0;
	*end = at + TK_PREFETCH_AHEAD < count ? at + TK_PREFETCH_AHEAD : count;
}

static void
want_pages(struct tk_verify *verify, const struct tk_page_info *pages, size_t count, size_t at)
{
	size_t i, end;

	for (next_wanted(at, count, &i, &end); i < end; i++)
		if (!tk_refset_has(&verify->seen, pages[i].ref))
			tk_prefetch_want(verify->prefetch, pages[i].ref, pages[i].level ? TK_BLOB_NODE : TK_BLOB_LEAF);
}

static void
want_maps(struct tk_verify *verify, const struct tk_segment *segments, size_t count, size_t at)
{
	size_t i, end;

	for (next_wanted(at, count, &i, &end); i < end; i++) {
		tk_prefetch_want(verify->prefetch, segments[i].base, TK_BLOB_BASE_MAP);
		for (unsigned k = 0; k < segments[i].overlay_count; k++)
			tk_prefetch_want(verify->prefetch, segments[i].overlays[k], TK_BLOB_OVERLAY_MAP);
	}
}

/* ---- references in the clear ---- */

/* Adds what the footer says that a blob refers to; goes on through the nodes of a segment tree, of so many levels at most: footers are the
 * site's word. */
static enum tk_rc
add_clear_refs(struct tk_verify *verify, struct tk_blob_ref blob, unsigned levels, struct tk_refset *clear, struct tk_err *err)
{
	const struct tk_pack_index *index = NULL;
	enum tk_rc rc = tk_fetch_index(verify->fetch, blob.pack, &index, err);
	bool is_tree;

	if (rc)
		return rc;
	if (blob.blob >= index->blob_count) {
		tk_fetch_index_release(verify->fetch, index);
		return tk_err_set(err, TK_ECORRUPT, "a reference to a blob that its pack does not have");
	}
	is_tree = index->blobs[blob.blob].type == TK_BLOB_SEGMENT_NODE;
	for (uint32_t i = index->ref_start[blob.blob]; i < index->ref_start[blob.blob + 1] && !rc; i++) {
		const struct tk_footer_ref *ref = &index->refs[i];
		struct tk_blob_ref to = {blob.pack, ref->blob};
		bool added = false;

		if (ref->pack_index > 0)
			rc = tk_packtab_intern(verify->packs, &index->names[ref->pack_index - 1], &to.pack, err);
		if (!rc)
			rc = tk_refset_add(clear, to, &added, err);
		if (!rc && is_tree && added && levels > 0)
			rc = add_clear_refs(verify, to, levels - 1, clear, err);
	}
	tk_fetch_index_release(verify->fetch, index);
	return rc;
}

static enum tk_rc
must_be_clear(const struct tk_refset *clear, struct tk_blob_ref ref, struct tk_err *err)
{
	if (ref.pack == TK_PACK_NONE || tk_refset_has(clear, ref))
		return TK_OK;
	return tk_err_set(err, TK_ECORRUPT, "it uses a blob that its pack's footer does not name: the site could let go of it");
}

/* ---- data blobs ---- */

/* Does the site have the data blob? */
static enum tk_rc
check_ref(struct tk_verify *verify, struct tk_blob_ref ref, const char *path, struct tk_err *err)
{
	const struct tk_pack_index *index = NULL;
	struct tk_blob_ref pack = {ref.pack, UINT32_MAX};
	bool added = false;
	enum tk_rc rc;

	if (ref.pack == TK_PACK_NONE)
		return TK_OK;
	if (verify->naming)
		return tk_refset_has(&verify->bad, ref) || tk_refset_has(&verify->bad, pack) ? tk_verify_name_file(verify, ref, path, err) : TK_OK;
	if ((rc = tk_refset_add(&verify->seen, ref, &added, err)) || !added || (rc = tk_refset_add(&verify->seen, pack, &added, err)))
		return rc;
	rc = tk_fetch_index(verify->fetch, ref.pack, &index, err);
	if (!rc && (ref.blob >= index->blob_count || index->blobs[ref.blob].type != TK_BLOB_DATA))
		rc = tk_err_set(err, TK_ECORRUPT, "a page refers to a blob that is not there");
	tk_fetch_index_release(verify->fetch, index);
	/* Files are named in the second pass. */
	return tk_verify_note(verify, rc, ref, NULL, NULL, err);
}

static enum tk_rc
check_extents(struct tk_verify *verify, const struct tk_extent *extents, size_t count, const struct tk_refset *clear, const char *path, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < count && !rc; i++)
		if (!(rc = must_be_clear(clear, extents[i].ref, err)))
			rc = check_ref(verify, extents[i].ref, path, err);
	return rc;
}

/* ---- large files ---- */

static enum tk_rc
check_segment(struct tk_verify *verify, const struct tk_segment *segment, const struct tk_refset *tree, const char *path, struct tk_err *err)
{
	TK_AUTO(tk_refset_release) struct tk_refset clear = {0};
	struct tk_blob_source source = tk_fetch_source(verify->fetch);
	struct tk_extent *extents = NULL;
	size_t count = 0;
	enum tk_rc rc;

	if ((rc = must_be_clear(tree, segment->base, err)) || (rc = add_clear_refs(verify, segment->base, 0, &clear, err)))
		return rc;
	for (unsigned i = 0; i < segment->overlay_count; i++)
		if ((rc = must_be_clear(tree, segment->overlays[i], err)) || (rc = add_clear_refs(verify, segment->overlays[i], 0, &clear, err)))
			return rc;
	rc = tk_segment_extents(&source, verify->packs, segment, &extents, &count, err);
	verify->result->blobs_checked += 1 + segment->overlay_count;
	tell_progress(verify);
	if (!rc)
		rc = check_extents(verify, extents, count, &clear, path, err);
	free(extents);
	return rc;
}

/* The maps count as looked at: the data pass need not open them again. */
static enum tk_rc
see_maps(struct tk_verify *verify, const struct tk_refset *tree, struct tk_err *err)
{
	bool added;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < tree->cap && !rc; i++) {
		struct tk_blob_ref ref = tree->slots[i];

		if (ref.pack != TK_PACK_NONE && !(rc = tk_refset_add(&verify->seen, ref, &added, err)))
			rc = tk_refset_add(&verify->seen, (struct tk_blob_ref){ref.pack, UINT32_MAX}, &added, err);
	}
	return rc;
}

static enum tk_rc
check_segments(struct tk_verify *verify, const struct tk_entry *entry, struct tk_err *err)
{
	TK_AUTO(tk_refset_release) struct tk_refset tree = {0};
	struct tk_blob_source source = tk_fetch_source(verify->fetch);
	struct tk_segment *segments = NULL;
	size_t count = 0;
	bool added = true;
	enum tk_rc rc;

	/* Another point with the same version of the file. */
	if (!verify->naming && ((rc = tk_refset_add(&verify->seen, entry->segments, &added, err)) || !added))
		return rc;
	if (!(rc = add_clear_refs(verify, entry->segments, SEGMENT_LEVELS, &tree, err)))
		rc = tk_segments_read(&source, verify->packs, entry->segments, entry->meta.size_bytes, verify->segment_bytes, &segments, &count, err);
	if (!rc)
		rc = see_maps(verify, &tree, err);
	else
		rc = tk_verify_note(verify, rc, entry->segments, NULL, entry->path, err);
	for (size_t i = 0; i < count && !rc; i++) {
		if ((rc = tk_verify_go_on(verify, err)))
			break;
		want_maps(verify, segments, count, i);
		rc = check_segment(verify, &segments[i], &tree, entry->path, err);
		rc = tk_verify_note(verify, rc, segments[i].base, NULL, entry->path, err);
	}
	free(segments);
	return rc;
}

/* ---- pages ---- */

static enum tk_rc
check_entry(struct tk_verify *verify, const struct tk_entry *entry, const struct tk_refset *clear, struct tk_err *err)
{
	enum tk_rc rc;

	if (entry->kind != TK_CONTENT_SEGMENTS)
		return check_extents(verify, entry->extents, entry->extent_count, clear, entry->path, err);
	rc = must_be_clear(clear, entry->segments, err);
	return rc ? rc : check_segments(verify, entry, err);
}

static enum tk_rc
check_leaf(struct tk_verify *verify, const struct tk_page_info *leaf, struct tk_err *err)
{
	TK_AUTO(tk_leaf_cleanup) struct tk_leaf_reader *reader = NULL;
	TK_AUTO(tk_portable_cleanup) struct tk_portable *portable = NULL;
	TK_AUTO(tk_refset_release) struct tk_refset clear = {0};
	TK_AUTO(tk_entry_release) struct tk_entry entry;
	struct tk_digest digest;
	bool done = false;
	enum tk_rc rc;

	tk_entry_init(&entry);
	if ((rc = tk_portable_begin(verify->suite, &portable, err)))
		return rc;
	if (!(rc = add_clear_refs(verify, leaf->ref, 0, &clear, err)))
		rc = tk_page_loader_leaf(verify->loader, leaf, &reader, err);
	while (!rc && !(rc = tk_leaf_next(reader, &entry, &done, err)) && !done)
		if (!(rc = tk_portable_add(portable, &entry, err)))
			rc = check_entry(verify, &entry, &clear, err);
	if (!rc && !(rc = tk_portable_end(portable, &digest, err)) && memcmp(&digest, &leaf->portable, sizeof(digest)) != 0)
		rc = tk_err_set(err, TK_ECORRUPT, "a page does not match the digest that its parent has of it");
	return rc;
}

static enum tk_rc
check_node(struct tk_verify *verify, const struct tk_page_info *page, struct tk_page_info **children, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_refset_release) struct tk_refset clear = {0};
	enum tk_rc rc = tk_page_loader_children(verify->loader, page, children, count, err);

	if (!rc)
		rc = add_clear_refs(verify, page->ref, 0, &clear, err);
	for (size_t i = 0; i < *count && !rc; i++)
		rc = must_be_clear(&clear, (*children)[i].ref, err);
	return rc;
}

enum tk_rc
tk_verify_page(struct tk_verify *verify, const struct tk_page_info *page, struct tk_err *err)
{
	struct tk_page_info *children = NULL;
	size_t count = 0;
	bool added = true, pack_added;
	enum tk_rc rc;

	if ((rc = tk_verify_go_on(verify, err)) || (rc = tk_refset_add(&verify->seen, page->ref, &added, err)) || !added ||
	    (rc = tk_refset_add(&verify->seen, (struct tk_blob_ref){page->ref.pack, UINT32_MAX}, &pack_added, err)))
		return rc;
	if (page->level == 0)
		rc = check_leaf(verify, page, err);
	else
		rc = check_node(verify, page, &children, &count, err);
	verify->result->blobs_checked++;
	tell_progress(verify);
	rc = tk_verify_note(verify, rc, page->ref, page, NULL, err);
	/* A page that is damaged hides what is below it; its neighbours are looked at all the same. */
	for (size_t i = 0; i < count && !rc; i++) {
		want_pages(verify, children, count, i);
		rc = tk_verify_page(verify, &children[i], err);
	}
	tk_page_infos_free(children, count);
	return rc;
}
