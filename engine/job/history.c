#include "engine/job/history.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/records.h"

/* What a voter lists. */
struct listed {
	struct tk_store_point *points;
	size_t count;
};

static bool
same_point(const struct tk_head *a, const struct tk_head *b)
{
	return memcmp(&a->point, &b->point, sizeof(a->point)) == 0;
}

static enum tk_rc
list_all(const struct tk_history_opts *opts, struct listed *lists, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < opts->site_count && !rc; i++)
		if (opts->voted[i] && !opts->is_new[i])
			rc = tk_fetch_list_points(opts->fetch, i, opts->domain, &lists[i].points, &lists[i].count, err);
	return rc;
}

static enum tk_rc
check_none_later(const struct tk_history_opts *opts, const struct listed *lists, const struct tk_head *parent, struct tk_err *err)
{
	for (size_t i = 0; i < opts->site_count; i++) {
		const struct tk_head *last = lists[i].count > 0 ? &lists[i].points[lists[i].count - 1].at : NULL;

		if (last && tk_head_compare(last, parent) > 0)
			return tk_err_set(err, TK_EMISSING,
					  "site %s acknowledged point %llu of epoch %llu and does not have it whole any more, nor has another site that voted; "
					  "bring the other sites into reach, or, if it is to be given up, leave this one out of the dataset's sites",
					  opts->sites[i].name, (unsigned long long)last->sequence, (unsigned long long)last->epoch);
	}
	return TK_OK;
}

static const struct tk_head *
find_listed(const struct listed *list, const struct tk_digest *id)
{
	for (size_t k = list->count; k > 0; k--)
		if (memcmp(&list->points[k - 1].at.point, id, sizeof(*id)) == 0)
			return &list->points[k - 1].at;
	return NULL;
}

/* As any voter lists the point of this id; NULL: none does. */
static const struct tk_head *
find_point(const struct tk_history_opts *opts, const struct listed *lists, const struct tk_digest *id)
{
	const struct tk_head *at = NULL;

	for (size_t i = 0; i < opts->site_count && !at; i++)
		at = find_listed(&lists[i], id);
	return at;
}

struct record_call {
	const struct tk_id *domain;
	const struct tk_head *at;
	struct tk_digest parent;
};

static enum tk_rc
call_parent(struct tk_store *store, void *arg, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	struct record_call *call = arg;
	enum tk_rc rc = store->ops->get_point(store, call->domain, call->at, &record, err);

	if (!rc)
		rc = tk_point_decode(record.data, record.len_bytes, &point, err);
	if (!rc && !same_point(&point.at, call->at))
		rc = tk_err_set(err, TK_EPROTO, "the site gives another point than the one it lists");
	call->parent = point.parent;
	return rc;
}

/* What the point's record, of whichever voter has it whole, names as its parent. */
static enum tk_rc
parent_of(const struct tk_history_opts *opts, const struct listed *lists, const struct tk_head *at, struct tk_digest *parent, struct tk_err *err)
{
	struct record_call call = {.domain = opts->domain, .at = at};
	enum tk_rc rc = tk_err_set(err, TK_ENOENT, "no site that voted lists point %llu of epoch %llu", (unsigned long long)at->sequence,
				   (unsigned long long)at->epoch);

	for (size_t i = 0; i < opts->site_count && rc; i++)
		if (find_listed(&lists[i], &at->point))
			rc = tk_fetch_with_session(opts->fetch, i, call_parent, &call, err);
	*parent = call.parent;
	return rc;
}

/* The lowest head of the epoch; NULL: there is none. */
static const struct tk_head *
lowest_head(const struct tk_history_opts *opts, const struct tk_head *parent, size_t *site)
{
	const struct tk_head *lowest = NULL;

	for (size_t i = 0; i < opts->site_count; i++)
		if (opts->voted[i] && opts->heads[i].epoch == parent->epoch && (!lowest || opts->heads[i].sequence < lowest->sequence)) {
			lowest = &opts->heads[i];
			*site = i;
		}
	return lowest;
}

/* A head in whose place another point stands on the line, if `at` is that one. */
static const struct tk_head *
find_rival(const struct tk_history_opts *opts, const struct tk_head *at, size_t *site)
{
	for (size_t i = 0; i < opts->site_count; i++)
		if (opts->voted[i] && tk_head_compare(&opts->heads[i], at) == 0 && !same_point(&opts->heads[i], at)) {
			*site = i;
			return &opts->heads[i];
		}
	return NULL;
}

/* A head between two points of the line, where the line has none. */
static const struct tk_head *
find_between(const struct tk_history_opts *opts, const struct tk_head *below, const struct tk_head *above, size_t *site)
{
	for (size_t i = 0; i < opts->site_count; i++)
		if (opts->voted[i] && opts->heads[i].epoch == above->epoch && tk_head_compare(&opts->heads[i], below) > 0 &&
		    tk_head_compare(&opts->heads[i], above) < 0) {
			*site = i;
			return &opts->heads[i];
		}
	return NULL;
}

static enum tk_rc
two_histories(const struct tk_history_opts *opts, const struct tk_head *rival, size_t site, const struct tk_head *parent, struct tk_err *err)
{
	return tk_err_set(err, TK_EHISTORY,
			  "two histories are open: point %llu of epoch %llu at site %s is no ancestor of point %llu; look at both with `twinkeep list --site`, "
			  "and leave the sites of the one to be given up out of the dataset's sites",
			  (unsigned long long)rival->sequence, (unsigned long long)rival->epoch, opts->sites[site].name,
			  (unsigned long long)parent->sequence);
}

static enum tk_rc
cannot_tell(const struct tk_history_opts *opts, const struct tk_head *head, size_t site, const struct tk_head *parent, const struct tk_head *at,
	    struct tk_err *err)
{
	return tk_err_set(err, TK_EHISTORY,
			  "it cannot be told whether point %llu of epoch %llu at site %s is an ancestor of point %llu: no site that voted has the point before "
			  "%llu; bring the other sites into reach, or leave that one out of the dataset's sites",
			  (unsigned long long)head->sequence, (unsigned long long)head->epoch, opts->sites[site].name, (unsigned long long)parent->sequence,
			  (unsigned long long)at->sequence);
}

/* From `parent` down to the lowest head. */
static enum tk_rc
walk(const struct tk_history_opts *opts, const struct listed *lists, const struct tk_head *parent, struct tk_err *err)
{
	size_t lowest_site = 0, site = 0;
	const struct tk_head *lowest = lowest_head(opts, parent, &lowest_site), *at = parent, *rival = find_rival(opts, parent, &site);

	while (!rival && lowest && tk_head_compare(lowest, at) < 0) {
		const struct tk_head *before;
		struct tk_digest id;
		enum tk_rc rc = parent_of(opts, lists, at, &id, err);

		if (rc)
			return rc;
		before = find_point(opts, lists, &id);
		if (!before)
			return cannot_tell(opts, lowest, lowest_site, parent, at, err);
		if (!(rival = find_rival(opts, before, &site)))
			rival = find_between(opts, before, at, &site);
		at = before;
	}
	return rival ? two_histories(opts, rival, site, parent, err) : TK_OK;
}

enum tk_rc
tk_history_check(const struct tk_history_opts *opts, const struct tk_head *parent, struct tk_err *err)
{
	struct listed *lists = calloc(opts->site_count + 1, sizeof(*lists));
	enum tk_rc rc = lists ? list_all(opts, lists, err) : tk_err_set(err, TK_ENOMEM, "no memory for points");

	if (!rc)
		rc = check_none_later(opts, lists, parent, err);
	if (!rc && parent->epoch > 0)
		rc = walk(opts, lists, parent, err);
	for (size_t i = 0; lists && i < opts->site_count; i++)
		free(lists[i].points);
	free(lists);
	return rc;
}
