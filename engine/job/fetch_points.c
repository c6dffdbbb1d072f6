#include "engine/job/fetch_points.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Records of points asked for at once, and kept. */
#define POINTS_AT_ONCE 16u
#define KNOWN_POINTS (2 * POINTS_AT_ONCE)

/* epoch 0: none. */
struct known_point {
	struct tk_head at;
	struct tk_buf record;
};

struct tk_known_points {
	pthread_mutex_t lock;
	struct known_point points[KNOWN_POINTS];
	size_t next;
};

enum tk_rc
tk_known_points_new(struct tk_known_points **out, struct tk_err *err)
{
	struct tk_known_points *known = calloc(1, sizeof(*known));

	if (!known)
		return tk_err_set(err, TK_ENOMEM, "no memory for the records of points");
	(void)pthread_mutex_init(&known->lock, NULL);
	*out = known;
	return TK_OK;
}

void
tk_known_points_cleanup(struct tk_known_points **known)
{
	if (!*known)
		return;
	for (size_t i = 0; i < KNOWN_POINTS; i++)
		tk_buf_release(&(*known)->points[i].record);
	(void)pthread_mutex_destroy(&(*known)->lock);
	free(*known);
	*known = NULL;
}

/* Takes the record over. It is checked as any when it is asked for. */
static void
keep_point(struct tk_fetch *fetch, const struct tk_head *at, struct tk_buf *record)
{
	struct tk_known_points *known = tk_fetch_known_points(fetch);
	struct known_point *point;

	pthread_mutex_lock(&known->lock);
	point = &known->points[known->next++ % KNOWN_POINTS];
	tk_buf_release(&point->record);
	*point = (struct known_point){*at, *record};
	memset(record, 0, sizeof(*record));
	pthread_mutex_unlock(&known->lock);
}

bool
tk_fetch_known_point(struct tk_fetch *fetch, const struct tk_head *at, struct tk_buf *record)
{
	struct tk_known_points *known = tk_fetch_known_points(fetch);
	bool found = false;

	tk_buf_clear(record);
	pthread_mutex_lock(&known->lock);
	for (size_t i = 0; i < KNOWN_POINTS && !found && at->epoch > 0; i++)
		found = memcmp(&known->points[i].at, at, sizeof(*at)) == 0 &&
			!tk_buf_put(record, known->points[i].record.data, known->points[i].record.len_bytes, NULL);
	pthread_mutex_unlock(&known->lock);
	return found;
}

struct points_call {
	struct tk_fetch *fetch;
	const struct tk_id *domain;
	const struct tk_store_point *points;
	size_t count;
};

/* A record that does not come is told of by who asks for it; a session that broke is not used again. */
static enum tk_rc
call_points(struct tk_store *store, void *arg, struct tk_err *err)
{
	struct points_call *call = arg;
	struct tk_store_ask asks[POINTS_AT_ONCE];

	for (size_t i = 0; i < call->count; i++)
		asks[i] = (struct tk_store_ask){.kind = TK_ASK_POINT, .id = call->domain, .at = &call->points[i].at};
	tk_store_ahead(store, asks, call->count);
	for (size_t i = 0; i < call->count; i++) {
		TK_AUTO(tk_buf_release) struct tk_buf record = {0};

		enum tk_rc rc = store->ops->get_point(store, call->domain, &call->points[i].at, &record, err);

		if (rc == TK_EUNREACH || rc == TK_ETIMEOUT || rc == TK_EPROTO)
			return rc;
		if (!rc)
			keep_point(call->fetch, &call->points[i].at, &record);
	}
	return TK_OK;
}

size_t
tk_fetch_points(struct tk_fetch *fetch, const struct tk_id *domain, const struct tk_store_point *points, size_t count)
{
	struct points_call call = {fetch, domain, points, count < POINTS_AT_ONCE ? count : POINTS_AT_ONCE};
	struct tk_err why;

	/* Who asks for a record that did not come finds out why. */
	if (tk_fetch_is_remote(fetch))
		(void)!tk_fetch_with_session(fetch, SIZE_MAX, call_points, &call, &why);
	return call.count;
}

struct list_call {
	struct tk_fetch *fetch;
	const struct tk_id *domain;
	struct tk_store_point *points;
	size_t count;
};

static enum tk_rc
call_list(struct tk_store *store, void *arg, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf record = {0};
	struct list_call *call = arg;
	const struct tk_head newest = {0};
	const struct tk_store_ask asks[] = {{.kind = TK_ASK_POINTS, .id = call->domain}, {.kind = TK_ASK_POINT, .id = call->domain, .at = &newest}};
	size_t count = 0;
	struct tk_store_point *points = NULL;
	enum tk_rc rc;

	tk_store_ahead(store, asks, 2);
	if ((rc = store->ops->list_points(store, call->domain, &points, &count, err))) {
		free(points);
		return rc;
	}
	if (store->ops->ahead && count > 0 && !store->ops->get_point(store, call->domain, &newest, &record, NULL))
		keep_point(call->fetch, &points[count - 1].at, &record);
	call->points = points;
	call->count = count;
	return TK_OK;
}

enum tk_rc
tk_fetch_list_points(struct tk_fetch *fetch, size_t site, const struct tk_id *domain, struct tk_store_point **points, size_t *count, struct tk_err *err)
{
	struct list_call call = {.fetch = fetch, .domain = domain};
	enum tk_rc rc = tk_fetch_with_session(fetch, site, call_list, &call, err);

	*points = call.points;
	*count = call.count;
	return rc;
}
