#include "engine/job/site_mend.h"

#include <stdlib.h>
#include <string.h>

#include "engine/job/site_marks.h"
#include "engine/job/site_publish.h"

/* What the sites told of promises; `all` borrows from `of`. */
struct told {
	struct tk_marks all;
	struct tk_site_marks *of;             /* by site */
};

struct mending {
	const struct tk_site_mend *mend;
	struct tk_site_publish request;
	struct told told;
	struct tk_digest *given;              /* points that it holds by now */
	size_t given_count;
	struct tk_buf record, receipt;
};

static bool
is_given(const struct mending *m, const struct tk_head *at)
{
	for (size_t i = 0; i < m->given_count; i++)
		if (memcmp(&m->given[i], &at->point, sizeof(at->point)) == 0)
			return true;
	return false;
}

static enum tk_rc
note_given(struct mending *m, const struct tk_head *at, struct tk_err *err)
{
	struct tk_digest *more = realloc(m->given, (m->given_count + 1) * sizeof(*more));

	if (!more)
		return tk_err_set(err, TK_ENOMEM, "no memory for points");
	m->given = more;
	m->given[m->given_count++] = at->point;
	return TK_OK;
}

/* One that is not to be had whole, or that the site cannot take beside what it has, is left out: *all says so. */
static enum tk_rc
give_point(struct mending *m, struct tk_store *from, const struct tk_head *at, bool *all, struct tk_err *err)
{
	const struct tk_site_mend *mend = m->mend;
	struct tk_site_receipt receipt;
	enum tk_rc rc;

	if (is_given(m, at))
		return TK_OK;
	tk_buf_clear(&m->record);
	if (from->ops->get_point(from, mend->domain, at, &m->record, err)) {
		*all = false;
		return TK_OK;
	}
	rc = tk_site_publish(&m->request, at, m->record.data, m->record.len_bytes, &m->receipt, &receipt, err);
	if (!rc || rc == TK_EBEHIND)
		return note_given(m, at, err);
	if (rc == TK_EMISSING || rc == TK_ECORRUPT || rc == TK_ECONFLICT || rc == TK_EFENCED || rc == TK_EDENIED) {
		tk_log_event(mend->log, TK_LOG_WARN, "mend", "site=%s sequence=%llu reason=\"%s\"", mend->sites[mend->behind].name,
			     (unsigned long long)at->sequence, err->text);
		*all = false;
		return TK_OK;
	}
	return rc;
}

/* Points and promises of one open site. *all: the site that is behind now holds every point of it. */
static enum tk_rc
bring_from(struct mending *m, size_t site, struct tk_store *from, bool *all, struct tk_err *err)
{
	const struct tk_site_mend *mend = m->mend;
	struct tk_store_point *points = NULL;
	struct tk_store_state state;
	struct tk_err why;
	size_t count = 0;
	enum tk_rc rc = TK_OK;

	*all = !tk_site_meet(from, mend->domain, mend->journal, mend->sites[site].name, &m->told.of[site], &state, &why) &&
	       !tk_site_marks_gather(&m->told.of[site], &m->told.all, &why) && !from->ops->list_points(from, mend->domain, &points, &count, &why);
	for (size_t i = 0; *all && i < count && !rc; i++)
		rc = give_point(m, from, &points[i].at, all, err);
	free(points);
	if (!rc && *all)
		(void)tk_marks_add_asked(&m->told.all, &state.site_id);
	return rc;
}

static enum tk_rc
bring_all(struct mending *m, size_t *complete, struct tk_err *err)
{
	const struct tk_site_mend *mend = m->mend;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < mend->site_count && !rc; i++) {
		TK_AUTO(tk_store_cleanup) struct tk_store *from = NULL;
		struct tk_err why;
		bool all = false;

		if (i == mend->behind || !mend->open[i] || mend->sites[i].open(&mend->sites[i], &from, &why))
			continue;
		rc = bring_from(m, i, from, &all, err);
		*complete += all;
		if (!rc && mend->cancel && atomic_load(mend->cancel))
			rc = tk_err_set(err, TK_ECANCELLED, "interrupted");
	}
	return rc;
}

static enum tk_rc
tell(struct mending *m, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf list = {0};
	struct tk_store_state state;
	enum tk_rc rc = tk_marks_encode(&m->told.all, &list, err);

	return rc ? rc : m->request.store->ops->state(m->request.store, m->mend->domain, &list, &state, err);
}

static enum tk_rc
mend_open(struct mending *m, struct tk_store *store, size_t *complete, struct tk_err *err)
{
	const struct tk_site_mend *mend = m->mend;
	struct tk_store_state state;
	enum tk_rc rc;

	m->request = (struct tk_site_publish){.sites = mend->sites, .site_count = mend->site_count, .self = mend->behind, .store = store,
					      .domain = mend->domain, .journal = mend->journal, .spool = mend->spool, .stock = mend->stock,
					      .stop = mend->cancel};
	if ((rc = store->ops->state(store, mend->domain, NULL, &state, err)))
		return rc;
	if (!state.domain_known && (rc = store->ops->put_genesis(store, mend->genesis->data, mend->genesis->len_bytes, err)))
		return rc;
	rc = bring_all(m, complete, err);
	tk_site_publish_release(&m->request);
	return rc ? rc : tell(m, err);
}

static void
release(struct mending *m)
{
	for (size_t i = 0; m->told.of && i < m->mend->site_count; i++)
		tk_site_marks_release(&m->told.of[i]);
	free(m->told.of);
	free(m->given);
	tk_buf_release(&m->record);
	tk_buf_release(&m->receipt);
	free(m);
}

enum tk_rc
tk_site_mend(const struct tk_site_mend *mend, size_t *complete, struct tk_err *err)
{
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	const struct tk_site *site = &mend->sites[mend->behind];
	struct mending *m = calloc(1, sizeof(*m));
	enum tk_rc rc;

	*complete = 0;
	if (!m)
		return tk_err_set(err, TK_ENOMEM, "no memory to mend a site");
	m->mend = mend;
	m->told.of = calloc(mend->site_count, sizeof(*m->told.of));
	rc = m->told.of ? site->open(site, &store, err) : tk_err_set(err, TK_ENOMEM, "no memory to mend a site");
	if (!rc)
		rc = mend_open(m, store, complete, err);
	release(m);
	return rc;
}
