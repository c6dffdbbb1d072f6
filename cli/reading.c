#include "cli/reading.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/job/rebuild.h"
#include "policies/select.h"

/* Adds a site's point to the merged list, in its place. site SIZE_MAX: nobody holds it. */
static enum tk_rc
merge_point(struct tk_reading *reading, size_t site, const struct tk_store_point *found, struct tk_err *err)
{
	struct tk_listed_point *grown, *row;
	size_t at = reading->point_count;

	while (at > 0 && tk_head_compare(&reading->points[at - 1].at, &found->at) > 0)
		at--;
	for (size_t k = at; k > 0 && tk_head_compare(&reading->points[k - 1].at, &found->at) == 0; k--) {
		row = &reading->points[k - 1];
		if (memcmp(&row->at.point, &found->at.point, sizeof(found->at.point)) != 0)
			continue;
		if (site == SIZE_MAX)
			return TK_OK;
		row->held[site] = true;
		if ((int64_t)found->received_ns < row->received_ns)
			row->received_ns = (int64_t)found->received_ns;
		return TK_OK;
	}
	grown = realloc(reading->points, (reading->point_count + 1) * sizeof(*grown));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of points");
	reading->points = grown;
	memmove(grown + at + 1, grown + at, (reading->point_count - at) * sizeof(*grown));
	reading->point_count++;
	row = &grown[at];
	row->at = found->at;
	row->received_ns = (int64_t)found->received_ns;
	row->held = calloc(reading->site_count, sizeof(*row->held));
	if (!row->held)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of points");
	if (site != SIZE_MAX)
		row->held[site] = true;
	return TK_OK;
}

enum tk_rc
tk_reading_add_point(struct tk_reading *reading, const struct tk_head *at, int64_t time_ns, struct tk_err *err)
{
	const struct tk_store_point point = {.at = *at, .received_ns = (uint64_t)time_ns};

	return merge_point(reading, SIZE_MAX, &point, err);
}

static void
on_fault(void *ctx, const char *site, const struct tk_err *err)
{
	const struct tk_reading *reading = ctx;

	tk_log_event(reading->home->cli->log, TK_LOG_INFO, "read", "site=%s reason=\"%s\"", site, err->text);
}

/* One site being asked, by a thread of its own. */
struct asking {
	struct tk_reading *reading;
	size_t site;
	struct tk_store_point *points;
	size_t count;
	struct tk_err why;
	enum tk_rc rc;
	pthread_t thread;
	bool started;
};

static void *
ask_main(void *arg)
{
	struct asking *asking = arg;

	asking->rc = tk_fetch_list_points(asking->reading->fetch, asking->site, &asking->reading->domain, &asking->points, &asking->count,
					  &asking->why);
	return NULL;
}

static enum tk_rc
take_answer(struct tk_reading *reading, const struct asking *asking, struct tk_err *why, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (asking->rc) {
		/* With --json and a site down, the caller still sees which one. */
		(void)tk_out_fail(reading->home->cli->out, &asking->why);
		*why = asking->why;
		reading->why[asking->site] = asking->why;
		return TK_OK;
	}
	reading->answered[asking->site] = true;
	reading->sites_answered++;
	for (size_t i = 0; i < asking->count && !rc; i++)
		rc = merge_point(reading, asking->site, &asking->points[i], err);
	return rc;
}

static enum tk_rc
list_sites(struct tk_reading *reading, struct tk_err *why, struct tk_err *err)
{
	struct asking *all = calloc(reading->site_count, sizeof(*all));
	enum tk_rc rc = TK_OK;

	reading->answered = calloc(reading->site_count, sizeof(*reading->answered));
	reading->why = calloc(reading->site_count, sizeof(*reading->why));
	if (!all || !reading->answered || !reading->why) {
		free(all);
		return tk_err_set(err, TK_ENOMEM, "no memory for the sites");
	}
	for (size_t i = 0; i < reading->site_count; i++) {
		all[i].reading = reading;
		all[i].site = i;
		all[i].started = pthread_create(&all[i].thread, NULL, ask_main, &all[i]) == 0;
		if (!all[i].started)
			(void)ask_main(&all[i]);
	}
	for (size_t i = 0; i < reading->site_count; i++) {
		if (all[i].started)
			(void)pthread_join(all[i].thread, NULL);
		if (!rc)
			rc = take_answer(reading, &all[i], why, err);
		free(all[i].points);
	}
	free(all);
	return rc;
}

enum tk_rc
tk_reading_open(struct tk_home *home, const struct tk_config_dataset *dataset, bool much, struct tk_reading *reading, struct tk_err *err)
{
	struct tk_fetch_opts fetch = {.on_fault = on_fault, .ctx = reading};
	struct tk_err why;
	enum tk_rc rc;

	memset(reading, 0, sizeof(*reading));
	tk_err_clear(&why);
	reading->home = home;
	reading->dataset = dataset;
	if ((rc = tk_home_domain(home, dataset, &reading->domain, err)))
		return rc;
	reading->keys = tk_keyring_domain(&home->ring, &reading->domain);
	if ((rc = tk_home_sites(home, dataset, TK_VAULT_READ, &reading->sites, &reading->site_count, err)) || (rc = tk_packtab_new(&reading->packs, err)))
		return rc;
	fetch.sites = reading->sites;
	fetch.site_count = reading->site_count;
	fetch.keys = reading->keys;
	fetch.packs = reading->packs;
	if ((rc = tk_fetch_new(&fetch, &reading->fetch, err)))
		return rc;
	if (much)
		tk_fetch_open_more(reading->fetch);
	rc = list_sites(reading, &why, err);
	if (!rc && reading->sites_answered == 0)
		return tk_err_set(err, tk_rc_exit_status(why.rc) == 1 ? TK_EUNREACH : why.rc, "dataset %s: none of its sites answers", dataset->name);
	return rc;
}

void
tk_reading_release(struct tk_reading *reading)
{
	for (size_t i = 0; i < reading->point_count; i++)
		free(reading->points[i].held);
	free(reading->points);
	free(reading->answered);
	free(reading->why);
	tk_fetch_cleanup(&reading->fetch);
	tk_packtab_cleanup(&reading->packs);
	free(reading->sites);
	memset(reading, 0, sizeof(*reading));
}

enum tk_rc
tk_reading_open_index(struct tk_reading *reading, size_t index, struct tk_opened_point *out, struct tk_err *err)
{
	memset(out, 0, sizeof(*out));
	out->index = index;
	return tk_fetch_point(reading->fetch, &reading->domain, &reading->points[index].at, reading->keys, &out->record, &out->point, &out->body,
			      err);
}

void
tk_opened_point_release(struct tk_opened_point *point)
{
	tk_buf_release(&point->record);
	tk_point_release(&point->point);
	tk_point_body_release(&point->body);
}

/* Does the text need to know when scans ended? Ids and "latest" do not, and then no record is fetched. */
static bool
is_time(const char *text)
{
	return text && strchr(text, '-') != NULL;
}

static enum tk_rc
fill_candidates(struct tk_reading *reading, bool with_times, struct tk_candidate *list, struct tk_err *err)
{
	for (size_t i = 0; i < reading->point_count; i++) {
		const struct tk_listed_point *point = &reading->points[i];
		struct tk_opened_point opened;
		enum tk_rc rc;

		memcpy(list[i].id, point->at.point.b, sizeof(list[i].id));
		list[i].epoch = point->at.epoch;
		list[i].sequence = point->at.sequence;
		list[i].scan_end_ns = point->received_ns;
		if (!with_times)
			continue;
		rc = tk_reading_open_index(reading, i, &opened, err);
		list[i].scan_end_ns = opened.body.scan_end_ns;
		tk_opened_point_release(&opened);
		if (rc)
			return rc;
	}
	return TK_OK;
}

enum tk_rc
tk_reading_point(struct tk_reading *reading, const char *text, struct tk_opened_point *out, struct tk_err *err)
{
	struct tk_candidate *list;
	size_t index = 0;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	if (reading->point_count == 0)
		return tk_err_set(err, TK_ENOENT, "dataset %s has no point at %s", reading->dataset->name,
				  reading->site_count == 1 ? reading->sites[0].name : "any site that answers");
	list = calloc(reading->point_count, sizeof(*list));
	if (!list)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of points");
	rc = fill_candidates(reading, is_time(text), list, err);
	if (!rc)
		rc = tk_point_select(text, list, reading->point_count, &index, err);
	free(list);
	if (rc == TK_EINVAL && err)
		err->rc = rc = TK_EUSAGE;
	return rc ? tk_err_context(err, rc, "dataset %s", reading->dataset->name) : tk_reading_open_index(reading, index, out, err);
}

enum tk_rc
tk_reading_tree(struct tk_reading *reading, const struct tk_opened_point *point, struct tk_page_loader **loader, struct tk_page_info *root,
		struct tk_err *err)
{
	struct tk_blob_source source = tk_fetch_source(reading->fetch);
	struct tk_blob_ref ref = {0, point->point.root_blob};
	enum tk_rc rc;

	if ((rc = tk_packtab_intern(reading->packs, &point->point.root_pack, &ref.pack, err)) ||
	    (rc = tk_page_loader_new(point->point.suite, reading->packs, &source, loader, err)) ||
	    (rc = tk_page_loader_root(*loader, ref, root, err)))
		return rc;
	if (memcmp(&root->portable, &point->body.tree, sizeof(root->portable)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "the root page does not match the point's tree digest");
	return TK_OK;
}

enum tk_rc
tk_reading_path(const char *text, char **out, struct tk_err *err)
{
	const char *from = text;
	char *path;
	size_t len;

	while (*from == '/')
		from++;
	path = strdup(from);
	if (!path)
		return tk_err_set(err, TK_ENOMEM, "no memory for a path");
	for (len = strlen(path); len > 0 && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	if (tk_path_check(path, len, NULL)) {
		free(path);
		return tk_err_set(err, TK_EUSAGE, "%s: write the path without empty, \".\" and \"..\" parts", text);
	}
	*out = path;
	return TK_OK;
}

json_t *
tk_reading_holders(const struct tk_reading *reading, size_t index)
{
	json_t *list = json_array();

	for (size_t i = 0; i < reading->site_count; i++)
		if (reading->points[index].held[i])
			(void)json_array_append_new(list, tk_json_text(reading->sites[i].name));
	return list;
}

json_t *
tk_json_digest(const struct tk_digest *digest)
{
	char hex[2 * sizeof(digest->b) + 1];

	tk_hex_encode(digest->b, sizeof(digest->b), hex);
	return json_string(hex);
}
