#include "engine/job/site_line.h"

#include <stdlib.h>
#include <string.h>

#include "engine/job/site_publish.h"
#include "engine/vault/records.h"

/* What a site lists; of one that is not open, nothing. */
struct listed {
	struct tk_store_point *points;
	size_t count;
};

struct walk {
	const struct tk_site_line *line;
	struct listed *lists;                 /* by site */
	struct tk_site_publish request;
	struct tk_buf record;
	struct tk_digest parent;              /* of the point in `record` */
};

static const struct tk_head *
find_listed(const struct listed *list, const struct tk_digest *id)
{
	for (size_t i = list->count; i > 0; i--)
		if (memcmp(&list->points[i - 1].at.point, id, sizeof(*id)) == 0)
			return &list->points[i - 1].at;
	return NULL;
}

static const struct tk_head *
find_anywhere(const struct walk *walk, const struct tk_digest *id)
{
	const struct tk_head *at = NULL;

	for (size_t i = 0; i < walk->line->mend.site_count && !at; i++)
		at = find_listed(&walk->lists[i], id);
	return at;
}

static enum tk_rc
list_all(struct walk *walk, struct tk_err *err)
{
	const struct tk_site_mend *mend = &walk->line->mend;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < mend->site_count && !rc; i++) {
		struct tk_err why;
		enum tk_rc listing;

		if (!mend->open[i])
			continue;
		listing = tk_fetch_list_points(walk->line->fetch, i, mend->domain, &walk->lists[i].points, &walk->lists[i].count, &why);
		if (listing && i == mend->behind)
			rc = tk_err_set(err, listing, "%s", why.text);
	}
	return rc;
}

/* Nobody lists a point up to the end of the line that the site does not: what there is to look at in nearly every case. */
static bool
lacks_nothing(const struct walk *walk)
{
	const struct tk_site_mend *mend = &walk->line->mend;

	for (size_t i = 0; i < mend->site_count; i++)
		for (size_t k = 0; k < walk->lists[i].count; k++) {
			const struct tk_head *at = &walk->lists[i].points[k].at;

			if (i != mend->behind && tk_head_compare(at, &walk->line->end) <= 0 && !find_listed(&walk->lists[mend->behind], &at->point))
				return false;
		}
	return true;
}

struct record_call {
	struct walk *walk;
	const struct tk_head *at;
};

static enum tk_rc
call_record(struct tk_store *store, void *arg, struct tk_err *err)
{
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	const struct record_call *call = arg;
	struct walk *walk = call->walk;
	enum tk_rc rc;

	tk_buf_clear(&walk->record);
	rc = store->ops->get_point(store, walk->line->mend.domain, call->at, &walk->record, err);
	if (!rc)
		rc = tk_point_decode(walk->record.data, walk->record.len_bytes, &point, err);
	if (!rc && memcmp(&point.at, call->at, sizeof(point.at)) != 0)
		rc = tk_err_set(err, TK_EPROTO, "the site gives another point than the one it lists");
	walk->parent = point.parent;
	return rc;
}

/* The record, of whichever site gives it. */
static enum tk_rc
read_record(struct walk *walk, const struct tk_head *at, struct tk_err *err)
{
	struct record_call call = {.walk = walk, .at = at};
	enum tk_rc rc = tk_err_set(err, TK_ENOENT, "no site gives the record of point %llu of epoch %llu", (unsigned long long)at->sequence,
				   (unsigned long long)at->epoch);

	for (size_t i = 0; i < walk->line->mend.site_count && rc; i++)
		if (find_listed(&walk->lists[i], &at->point))
			rc = tk_fetch_with_session(walk->line->fetch, i, call_record, &call, err);
	return rc;
}

/* From the end downwards: a site takes a point of an ended epoch only as the parent of one that it holds, so that one which it cannot have keeps it from those
 * before. */
static enum tk_rc
give_line(struct walk *walk, size_t *given, struct tk_err *err)
{
	const struct tk_site_mend *mend = &walk->line->mend;
	const struct tk_head *at = find_anywhere(walk, &walk->line->end.point), *before;
	enum tk_rc rc = TK_OK;

	for (; at && !rc; at = before && tk_head_compare(before, at) < 0 ? before : NULL) {
		if ((rc = read_record(walk, at, err)))
			break;
		if (!find_listed(&walk->lists[mend->behind], &at->point)) {
			rc = tk_site_store(&walk->request, walk->record.data, walk->record.len_bytes, err);
			*given += !rc;
		}
		if (!rc && mend->cancel && atomic_load(mend->cancel))
			rc = tk_err_set(err, TK_ECANCELLED, "interrupted");
		before = find_anywhere(walk, &walk->parent);
	}
	return rc;
}

static enum tk_rc
give_open(struct walk *walk, size_t *given, struct tk_err *err)
{
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	const struct tk_site_mend *mend = &walk->line->mend;
	const struct tk_site *site = &mend->sites[mend->behind];
	enum tk_rc rc = site->open(site, &store, err);

	if (rc)
		return rc;
	walk->request = (struct tk_site_publish){.sites = mend->sites, .site_count = mend->site_count, .self = mend->behind, .store = store,
						 .domain = mend->domain, .journal = mend->journal, .spool = mend->spool, .stock = mend->stock,
						 .stop = mend->cancel};
	rc = give_line(walk, given, err);
	tk_site_publish_release(&walk->request);
	return rc;
}

enum tk_rc
tk_site_line(const struct tk_site_line *line, size_t *given, bool *whole, struct tk_err *err)
{
	struct walk walk = {.line = line};
	enum tk_rc rc;

	*given = 0;
	walk.lists = calloc(line->mend.site_count + 1, sizeof(*walk.lists));
	rc = walk.lists ? list_all(&walk, err) : tk_err_set(err, TK_ENOMEM, "no memory for points");
	if (!rc && !lacks_nothing(&walk))
		rc = give_open(&walk, given, err);
	*whole = !rc;
	for (size_t i = 0; walk.lists && i < line->mend.site_count; i++)
		free(walk.lists[i].points);
	free(walk.lists);
	tk_buf_release(&walk.record);
	return rc;
}
