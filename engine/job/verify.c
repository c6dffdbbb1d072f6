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
	if (!rc && verify->opts->data_percent > 0 && tk_fetch_is_remote(verify->fetch))
		tk_prefetch_want_indexes(verify->prefetch, verify->packs, point.packs, point.pack_count);
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
	const struct tk_store_point *points;
	size_t count;
};

static enum tk_rc
check_points(struct tk_verify *verify, const struct point_list *list, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;
	bool found = false;
	size_t known = 0;

	for (size_t i = 0; i < list->count && !rc; i++) {
		if (i == known && !verify->opts->only)
			known += tk_fetch_points(verify->fetch, verify->opts->domain, list->points + i, list->count - i);
		if (verify->opts->only && memcmp(&verify->opts->only->point, &list->points[i].at.point, sizeof(struct tk_digest)) != 0)
			continue;
		found = true;
		rc = check_point(verify, &list->points[i].at, err);
	}
	if (!rc && !found && verify->opts->only)
		return tk_err_set(err, TK_ENOENT, "site %s does not have the point", verify->opts->site->name);
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
	struct point_list list = {opts->points, opts->point_count};
	struct tk_store_point *listed = NULL;
	struct tk_err own;
	enum tk_rc rc;

	/* Damage is told by its text, also to a caller who wants none. */
	err = err ? err : &own;
	memset(result, 0, sizeof(*result));
	rc = tk_packtab_new(&verify.packs, err);
	fetch.packs = verify.packs;
	if (!rc && !(rc = tk_fetch_new(&fetch, &verify.fetch, err)) && !(rc = tk_random_bytes(&verify.draw, sizeof(verify.draw), err)))
		rc = tk_prefetch_new(verify.fetch, &verify.prefetch, err);
	if (!rc && opts->idle)
		tk_fetch_move_sessions(opts->idle, opts->idle_site, verify.fetch, 0);
	if (!rc && !opts->points && !(rc = tk_fetch_list_points(verify.fetch, 0, opts->domain, &listed, &list.count, err)))
		list.points = listed;
	if (!rc && !(rc = check_points(&verify, &list, err)) && (opts->data_percent <= 0 || !(rc = tk_verify_packs(&verify, err))))
		rc = name_files(&verify, &list, err);
	free(listed);
	tk_page_loader_cleanup(&verify.loader);
	tk_prefetch_cleanup(&verify.prefetch);
	tk_fetch_cleanup(&verify.fetch);
	tk_packtab_cleanup(&verify.packs);
	tk_refset_release(&verify.seen);
	tk_refset_release(&verify.bad);
	tk_refset_release(&verify.named);
	return rc;
}
