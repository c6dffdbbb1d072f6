#include "engine/job/verify.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/job/rebuild.h"
#include "engine/job/refset.h"
#include "engine/vault/treewalk.h"

struct verify {
	const struct tk_verify_opts *opts;
	struct tk_verify_result *result;
	struct tk_packtab *packs;
	struct tk_fetch *fetch;
	struct tk_page_loader *loader;
	struct tk_refset seen;                /* metadata blobs that were checked, data blobs that exist */
	struct tk_refset bad;                 /* damaged data blobs */
	enum tk_suite suite;
	uint64_t segment_bytes;
	bool whole;                           /* the point being checked, so far */
	bool naming;                          /* second pass: which files need the damaged blobs */
	uint64_t draw;                        /* of the sample */
};

void
tk_verify_result_release(struct tk_verify_result *result)
{
	for (size_t i = 0; i < result->damaged_count; i++) {
		for (size_t k = 0; k < result->damaged[i].file_count; k++)
			free(result->damaged[i].files[k]);
		free(result->damaged[i].files);
	}
	free(result->damaged);
	memset(result, 0, sizeof(*result));
}

static bool
is_damage(enum tk_rc rc)
{
	return rc == TK_ECORRUPT || rc == TK_EMISSING || rc == TK_ENOENT || rc == TK_EUNSUPPORTED;
}

static enum tk_rc
add_damage(struct verify *verify, const struct tk_pack_name *pack, uint32_t blob, const struct tk_err *why, struct tk_err *err)
{
	struct tk_verify_result *result = verify->result;
	struct tk_damage *grown, *damage;

	verify->whole = false;
	for (size_t i = 0; i < result->damaged_count; i++)
		if (result->damaged[i].blob == blob && memcmp(&result->damaged[i].pack, pack, sizeof(*pack)) == 0)
			return TK_OK;
	grown = realloc(result->damaged, (result->damaged_count + 1) * sizeof(*grown));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of damage");
	result->damaged = grown;
	damage = &grown[result->damaged_count++];
	memset(damage, 0, sizeof(*damage));
	damage->pack = *pack;
	damage->blob = blob;
	memcpy(damage->text, why->text, sizeof(damage->text) - 1);
	return TK_OK;
}

/* Notes damage and goes on; passes anything else. */
static enum tk_rc
note(struct verify *verify, enum tk_rc rc, struct tk_blob_ref ref, struct tk_err *err)
{
	struct tk_pack_name name;
	struct tk_err why;

	if (!rc || !is_damage(rc))
		return rc;
	why = *err;
	name = tk_packtab_name(verify->packs, ref.pack);
	return add_damage(verify, &name, ref.blob, &why, err);
}

static enum tk_rc
check_cancel(const struct verify *verify, struct tk_err *err)
{
	if (verify->opts->cancel && atomic_load(verify->opts->cancel))
		return tk_err_set(err, TK_ECANCELLED, "interrupted");
	return TK_OK;
}

static void
tell_progress(const struct verify *verify)
{
	struct tk_progress_event event = {.phase = "verify", .files_done = verify->result->blobs_checked, .bytes_done = verify->result->checked_bytes};

	if (verify->result->blobs_checked % 64 == 0)
		tk_progress_report(verify->opts->progress, &event);
}

/* ---- the first pass: pages and references ---- */

/* Names a file that needs a damaged blob. */
static enum tk_rc
name_file(struct verify *verify, struct tk_blob_ref ref, const char *path, struct tk_err *err)
{
	struct tk_pack_name name = tk_packtab_name(verify->packs, ref.pack);

	for (size_t i = 0; i < verify->result->damaged_count; i++) {
		struct tk_damage *damage = &verify->result->damaged[i];
		char **grown;

		if (memcmp(&damage->pack, &name, sizeof(name)) != 0 || (damage->blob != ref.blob && damage->blob != UINT32_MAX))
			continue;
		if (damage->file_count > 0 && strcmp(damage->files[damage->file_count - 1], path) == 0)
			continue;
		damage->files_affected++;
		if (damage->file_count >= TK_DAMAGE_FILES_MAX)
			continue;
		grown = realloc(damage->files, (damage->file_count + 1) * sizeof(*grown));
		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for paths");
		damage->files = grown;
		damage->files[damage->file_count] = strdup(path);
		if (!damage->files[damage->file_count])
			return tk_err_set(err, TK_ENOMEM, "no memory for paths");
		damage->file_count++;
	}
	return TK_OK;
}

/* Does the site have the data blob? */
static enum tk_rc
check_ref(struct verify *verify, struct tk_blob_ref ref, const char *path, struct tk_err *err)
{
	const struct tk_pack_index *index = NULL;
	bool added = false;
	enum tk_rc rc;

	if (ref.pack == TK_PACK_NONE)
		return TK_OK;
	if (verify->naming)
		return tk_refset_has(&verify->bad, ref) ? name_file(verify, ref, path, err) : TK_OK;
	if ((rc = tk_refset_add(&verify->seen, ref, &added, err)) || !added)
		return rc;
	rc = tk_fetch_index(verify->fetch, ref.pack, &index, err);
	if (!rc) {
		if (ref.blob >= index->blob_count || index->blobs[ref.blob].type != TK_BLOB_DATA)
			rc = tk_err_set(err, TK_ECORRUPT, "%s refers to a blob that is not there", path);
		tk_fetch_index_release(verify->fetch, index);
		return note(verify, rc, ref, err);
	}
	return note(verify, rc, (struct tk_blob_ref){ref.pack, UINT32_MAX}, err);
}

static enum tk_rc
check_extents(struct verify *verify, const struct tk_extent *extents, size_t count, const char *path, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < count && !rc; i++)
		rc = check_ref(verify, extents[i].ref, path, err);
	return rc;
}

static enum tk_rc
check_segments(struct verify *verify, const struct tk_entry *entry, struct tk_err *err)
{
	struct tk_blob_source source = tk_fetch_source(verify->fetch);
	struct tk_segment *segments = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_segments_read(&source, verify->packs, entry->segments, entry->meta.size_bytes, verify->segment_bytes, &segments, &count, err);

	if (rc)
		return note(verify, rc, entry->segments, err);
	for (size_t i = 0; i < count && !rc; i++) {
		struct tk_extent *extents = NULL;
		size_t extent_count = 0;

		rc = tk_segment_extents(&source, verify->packs, &segments[i], &extents, &extent_count, err);
		verify->result->blobs_checked += 1 + segments[i].overlay_count;
		rc = rc ? note(verify, rc, segments[i].base, err) : check_extents(verify, extents, extent_count, entry->path, err);
		free(extents);
	}
	free(segments);
	return rc;
}

static enum tk_rc
check_leaf(struct verify *verify, const struct tk_page_info *leaf, struct tk_err *err)
{
	TK_AUTO(tk_leaf_cleanup) struct tk_leaf_reader *reader = NULL;
	TK_AUTO(tk_portable_cleanup) struct tk_portable *portable = NULL;
	TK_AUTO(tk_entry_release) struct tk_entry entry;
	struct tk_digest digest;
	bool done = false;
	enum tk_rc rc;

	tk_entry_init(&entry);
	if ((rc = tk_portable_begin(verify->suite, &portable, err)))
		return rc;
	rc = tk_page_loader_leaf(verify->loader, leaf, &reader, err);
	while (!rc && !(rc = tk_leaf_next(reader, &entry, &done, err)) && !done) {
		if ((rc = tk_portable_add(portable, &entry, err)))
			break;
		if (entry.kind == TK_CONTENT_SEGMENTS)
			rc = check_segments(verify, &entry, err);
		else
			rc = check_extents(verify, entry.extents, entry.extent_count, entry.path, err);
	}
	if (!rc && !(rc = tk_portable_end(portable, &digest, err)) && memcmp(&digest, &leaf->portable, sizeof(digest)) != 0)
		rc = tk_err_set(err, TK_ECORRUPT, "a page does not match the digest that its parent has of it");
	verify->result->blobs_checked++;
	tell_progress(verify);
	return note(verify, rc, leaf->ref, err);
}

/* A page and all below it; what was checked for another point is not checked again. */
static enum tk_rc
check_page(struct verify *verify, const struct tk_page_info *page, struct tk_err *err)
{
	struct tk_page_info *children = NULL;
	size_t count = 0;
	bool added = true;
	enum tk_rc rc;

	if ((rc = check_cancel(verify, err)) || (rc = tk_refset_add(&verify->seen, page->ref, &added, err)) || !added)
		return rc;
	if (page->level == 0)
		return check_leaf(verify, page, err);
	rc = tk_page_loader_children(verify->loader, page, &children, &count, err);
	verify->result->blobs_checked++;
	if (rc)
		return note(verify, rc, page->ref, err);
	for (size_t i = 0; i < count && !rc; i++)
		rc = check_page(verify, &children[i], err);
	tk_page_infos_free(children, count);
	return rc;
}

/* ---- points ---- */

static enum tk_rc
check_tree(struct verify *verify, const struct tk_point *point, const struct tk_point_body *body, struct tk_err *err)
{
	TK_AUTO(tk_page_info_release) struct tk_page_info root = {0};
	struct tk_blob_source source = tk_fetch_source(verify->fetch);
	struct tk_blob_ref ref = {0, point->root_blob};
	enum tk_rc rc;

	verify->suite = point->suite;
	verify->segment_bytes = body->segment_bytes;
	tk_page_loader_cleanup(&verify->loader);
	if ((rc = tk_packtab_intern(verify->packs, &point->root_pack, &ref.pack, err)) ||
	    (rc = tk_page_loader_new(point->suite, verify->packs, &source, &verify->loader, err)))
		return rc;
	rc = tk_page_loader_root(verify->loader, ref, &root, err);
	if (!rc && memcmp(&root.portable, &body->tree, sizeof(root.portable)) != 0)
		rc = tk_err_set(err, TK_ECORRUPT, "the root page does not match the point's tree digest");
	return rc ? note(verify, rc, ref, err) : check_page(verify, &root, err);
}

/* Reads and opens the blobs of a pack: all, or a sample. */
static enum tk_rc
check_pack_data(struct verify *verify, const struct tk_pack_name *name, struct tk_err *err)
{
	const struct tk_pack_index *index = NULL;
	struct tk_blob_ref ref = {0, UINT32_MAX};
	bool added;
	enum tk_rc rc;

	if ((rc = tk_packtab_intern(verify->packs, name, &ref.pack, err)))
		return rc;
	if ((rc = tk_fetch_index(verify->fetch, ref.pack, &index, err)))
		return note(verify, rc, ref, err);
	for (ref.blob = 0; ref.blob < index->blob_count && !rc; ref.blob++) {
		struct tk_fetched *blob = NULL;

		verify->draw = verify->draw * 6364136223846793005ull + 1442695040888963407ull;
		if ((double)(verify->draw >> 40) / (double)(1 << 24) * 100.0 >= verify->opts->data_percent)
			continue;
		if ((rc = check_cancel(verify, err)))
			break;
		rc = tk_fetch_blob(verify->fetch, ref, index->blobs[ref.blob].type, &blob, err);
		tk_fetch_release(verify->fetch, blob);
		verify->result->blobs_checked++;
		verify->result->checked_bytes += index->blobs[ref.blob].sealed_bytes;
		tell_progress(verify);
		if (is_damage(rc) && !(rc = note(verify, rc, ref, err)))
			rc = tk_refset_add(&verify->bad, ref, &added, err);
	}
	tk_fetch_index_release(verify->fetch, index);
	return rc;
}

static enum tk_rc
check_point(struct verify *verify, const struct tk_head *at, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	TK_AUTO(tk_point_body_release) struct tk_point_body body = {0};
	struct tk_pack_name none = {{0}};
	struct tk_err why;
	enum tk_rc rc;

	verify->whole = true;
	rc = tk_fetch_point(verify->fetch, verify->opts->domain, at, verify->opts->keys, &record, &point, &body, err);
	if (is_damage(rc)) {
		(void)tk_err_context(err, rc, "point %llu", (unsigned long long)at->sequence);
		why = *err;
		return add_damage(verify, &none, (uint32_t)at->sequence, &why, err);
	}
	if (rc || (rc = check_tree(verify, &point, &body, err)))
		return rc;
	for (size_t i = 0; i < point.pack_count && !rc && verify->opts->data_percent > 0 && !verify->naming; i++)
		rc = check_pack_data(verify, &point.packs[i].name, err);
	if (!rc && !verify->naming) {
		verify->result->points_checked++;
		if (verify->whole && tk_head_compare(at, &verify->result->newest) > 0)
			verify->result->newest = *at;
	}
	return rc;
}

struct list_call {
	const struct tk_id *domain;
	struct tk_store_point *points;
	size_t count;
};

static enum tk_rc
call_list(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct list_call *call = arg;

	return store->ops->list_points(store, call->domain, &call->points, &call->count, err);
}

static enum tk_rc
check_points(struct verify *verify, const struct list_call *list, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;
	bool found = false;

	for (size_t i = 0; i < list->count && !rc; i++) {
		if (verify->opts->only && memcmp(&verify->opts->only->point, &list->points[i].at.point, sizeof(struct tk_digest)) != 0)
			continue;
		found = true;
		rc = check_point(verify, &list->points[i].at, err);
	}
	if (!rc && !found && verify->opts->only)
		return tk_err_set(err, TK_ENOENT, "site %s does not have the point", verify->opts->site->name);
	return rc;
}

enum tk_rc
tk_verify_site(const struct tk_verify_opts *opts, struct tk_verify_result *result, struct tk_err *err)
{
	struct verify verify = {.opts = opts, .result = result, .draw = 88172645463325252ull};
	struct tk_fetch_opts fetch = {.sites = opts->site, .site_count = 1, .keys = opts->keys};
	struct list_call list = {.domain = opts->domain};
	enum tk_rc rc;

	memset(result, 0, sizeof(*result));
	rc = tk_packtab_new(&verify.packs, err);
	fetch.packs = verify.packs;
	if (!rc && !(rc = tk_fetch_new(&fetch, &verify.fetch, err)) && !(rc = tk_random_bytes(&verify.draw, sizeof(verify.draw), err)))
		rc = tk_fetch_with_session(verify.fetch, 0, call_list, &list, err);
	if (!rc)
		rc = check_points(&verify, &list, err);
	if (!rc && verify.bad.count > 0) {
		/* The pages are gone through once more, to name the files that need what is damaged. */
		uint64_t blobs_checked = result->blobs_checked;

		verify.naming = true;
		tk_refset_release(&verify.seen);
		rc = check_points(&verify, &list, err);
		result->blobs_checked = blobs_checked;
	}
	free(list.points);
	tk_page_loader_cleanup(&verify.loader);
	tk_fetch_cleanup(&verify.fetch);
	tk_packtab_cleanup(&verify.packs);
	tk_refset_release(&verify.seen);
	tk_refset_release(&verify.bad);
	return rc;
}
