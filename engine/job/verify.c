#include "engine/job/verify.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/job/rebuild.h"
#include "engine/job/verify_core.h"

enum tk_rc
tk_verify_go_on(const struct tk_verify *verify, struct tk_err *err)
{
	if (verify->opts->cancel && atomic_load(verify->opts->cancel))
		return tk_err_set(err, TK_ECANCELLED, "interrupted");
	return TK_OK;
}

/* ---- points ---- */

static enum tk_rc
check_tree(struct tk_verify *verify, const struct tk_point *point, const struct tk_point_body *body, struct tk_err *err)
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
	root.entries = rc ? body->entries : root.entries;
	return rc ? tk_verify_note(verify, rc, ref, &root, NULL, err) : tk_verify_page(verify, &root, err);
}

/* What the point brought is looked at too, whether a page uses it or not. */
static enum tk_rc
know_packs(struct tk_verify *verify, const struct tk_point *point, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;
	uint32_t number;

	for (size_t i = 0; i < point->pack_count && !rc; i++)
		rc = tk_packtab_intern(verify->packs, &point->packs[i].name, &number, err);
	return rc;
}

static enum tk_rc
check_point(struct tk_verify *verify, const struct tk_head *at, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	TK_AUTO(tk_point_body_release) struct tk_point_body body = {0};
	enum tk_rc rc;

	verify->whole = true;
	rc = tk_fetch_point(verify->fetch, verify->opts->domain, at, verify->opts->keys, &record, &point, &body, err);
	rc = rc ? tk_verify_note_point(verify, rc, at, err) : check_tree(verify, &point, &body, err);
	if (!rc)
		rc = know_packs(verify, &point, err);
	if (rc || verify->naming)
		return rc;
	verify->result->points_checked++;
	if (verify->whole && tk_head_compare(at, &verify->result->newest) > 0)
		verify->result->newest = *at;
	return TK_OK;
}

struct point_list {
	struct tk_store_point *points;
	size_t count;
};

static enum tk_rc
check_points(struct tk_verify *verify, const struct point_list *list, struct tk_err *err)
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

/* ---- data ---- */

static bool
drawn(struct tk_verify *verify)
{
	verify->draw = verify->draw * 6364136223846793005ull + 1442695040888963407ull;
	return (double)(verify->draw >> 40) / (double)(1 << 24) * 100.0 < verify->opts->data_percent;
}

static enum tk_rc
check_blob(struct tk_verify *verify, struct tk_blob_ref ref, const struct tk_blob_info *info, struct tk_err *err)
{
	struct tk_progress_event event = {.phase = "verify"};
	bool used = tk_refset_has(&verify->seen, ref);
	struct tk_fetched *blob = NULL;
	enum tk_rc rc;

	/* Pages and maps that are used were opened in the first pass. */
	if (used && info->type != TK_BLOB_DATA)
		return TK_OK;
	rc = tk_fetch_blob(verify->fetch, ref, info->type, &blob, err);
	tk_fetch_release(verify->fetch, blob);
	if (!used && (rc == TK_EMISSING || rc == TK_ENOENT))
		return TK_OK;
	verify->result->blobs_checked++;
	verify->result->checked_bytes += info->sealed_bytes;
	event.files_done = verify->result->blobs_checked;
	event.bytes_done = verify->result->checked_bytes;
	if (verify->result->blobs_checked % 64 == 0)
		tk_progress_report(verify->opts->progress, &event);
	return tk_verify_note(verify, rc, ref, NULL, NULL, err);
}

/* Reads and opens the blobs of a pack: all, or a sample. */
static enum tk_rc
check_pack(struct tk_verify *verify, uint32_t pack, struct tk_err *err)
{
	const struct tk_pack_index *index = NULL;
	struct tk_blob_ref ref = {pack, UINT32_MAX};
	enum tk_rc rc = tk_fetch_index(verify->fetch, pack, &index, err);

	/* A pack that no point uses any more may be gone. */
	if ((rc == TK_EMISSING || rc == TK_ENOENT) && !tk_refset_has(&verify->seen, ref))
		return TK_OK;
	if (rc)
		return tk_verify_note(verify, rc, ref, NULL, NULL, err);
	for (ref.blob = 0; ref.blob < index->blob_count && !rc; ref.blob++)
		if (!(rc = tk_verify_go_on(verify, err)) && drawn(verify))
			rc = check_blob(verify, ref, &index->blobs[ref.blob], err);
	tk_fetch_index_release(verify->fetch, index);
	return rc;
}

static enum tk_rc
check_packs(struct tk_verify *verify, struct tk_err *err)
{
	size_t count = verify->opts->data_percent > 0 ? tk_packtab_count(verify->packs) : 0;
	enum tk_rc rc = TK_OK;

	for (uint32_t pack = 0; pack < count && !rc; pack++)
		rc = check_pack(verify, pack, err);
	return rc;
}

/* ---- a site ---- */

/* The pages are gone through once more, to name the files that need what is damaged. */
static enum tk_rc
name_files(struct tk_verify *verify, const struct point_list *list, struct tk_err *err)
{
	uint64_t blobs_checked = verify->result->blobs_checked;
	enum tk_rc rc;

	if (verify->bad.count == 0)
		return TK_OK;
	verify->naming = true;
	tk_refset_release(&verify->seen);
	rc = check_points(verify, list, err);
	verify->result->blobs_checked = blobs_checked;
	return rc;
}

enum tk_rc
tk_verify_site(const struct tk_verify_opts *opts, struct tk_verify_result *result, struct tk_err *err)
{
	struct tk_verify verify = {.opts = opts, .result = result};
	struct tk_fetch_opts fetch = {.sites = opts->site, .site_count = 1, .keys = opts->keys};
	struct point_list list = {0};
	struct tk_err own;
	enum tk_rc rc;

	/* Damage is told by its text, also to a caller who wants none. */
	err = err ? err : &own;
	memset(result, 0, sizeof(*result));
	rc = tk_packtab_new(&verify.packs, err);
	fetch.packs = verify.packs;
	if (!rc && !(rc = tk_fetch_new(&fetch, &verify.fetch, err)) && !(rc = tk_random_bytes(&verify.draw, sizeof(verify.draw), err)))
		rc = tk_fetch_list_points(verify.fetch, 0, opts->domain, &list.points, &list.count, err);
	if (!rc && !(rc = check_points(&verify, &list, err)) && !(rc = check_packs(&verify, err)))
		rc = name_files(&verify, &list, err);
	free(list.points);
	tk_page_loader_cleanup(&verify.loader);
	tk_fetch_cleanup(&verify.fetch);
	tk_packtab_cleanup(&verify.packs);
	tk_refset_release(&verify.seen);
	tk_refset_release(&verify.bad);
	tk_refset_release(&verify.named);
	return rc;
}
