/* twinkeep verify */
#include <stdlib.h>
#include <string.h>

#include "cli/listing.h"
#include "cli/reading.h"
#include "cli/verbs.h"
#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/catalog/damaged.h"
#include "engine/job/verify.h"

#define FILES_SHOWN_MAX 5u

/* One dataset, all its sites. */
struct verifying {
	struct tk_home *home;
	const struct tk_config_dataset *dataset;
	struct tk_reading reading;
	struct tk_opened_point opened;        /* with @POINT */
	bool has_point;
	double data_percent;
	json_t *damaged, *sites;
	uint64_t points_checked, blobs_checked, damaged_total;
	size_t answered, silent;
	int failure;                          /* exit status of a site that failed otherwise */
};

static enum tk_rc
data_percent(const struct tk_cli *cli, double *percent, struct tk_err *err)
{
	const char *text = tk_cli_value(cli, TK_OPT_SAMPLE);
	char *end;

	*percent = tk_cli_flag(cli, TK_OPT_DATA) ? 100.0 : 0.0;
	if (!text)
		return TK_OK;
	*percent = strtod(text, &end);
	if (end != text && *end == '%')
		end++;
	if (end == text || *end || !(*percent > 0.0 && *percent <= 100.0))
		return tk_err_set(err, TK_EUSAGE, "--sample %s: write a number over 0, up to 100", text);
	if (tk_cli_flag(cli, TK_OPT_DATA))
		return tk_err_set(err, TK_EUSAGE, "--data checks every blob: leave --sample out");
	return TK_OK;
}

/* ---- damage ---- */

static json_t *
damage_json(const char *site, const struct tk_damage *damage)
{
	json_t *files = json_array(), *doc;
	char pack[2 * TK_DIGEST_BYTES + 1];

	for (size_t i = 0; i < damage->file_count; i++)
		(void)json_array_append_new(files, tk_listing_json_path(damage->files[i]));
	tk_hex_encode(damage->pack.b, sizeof(damage->pack.b), pack);
	doc = json_pack("{s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "site", tk_json_text(site), "point",
			damage->is_point ? tk_json_digest(&damage->point.point) : json_null(), "pack", damage->is_point ? json_null() : json_string(pack),
			"blob", damage->blob == UINT32_MAX ? json_null() : json_integer((json_int_t)damage->blob), "files", files, "files_affected",
			(json_int_t)damage->files_affected, "text", tk_json_text(damage->text));
	return doc;
}

/* "site a: pack 0123456789abcdef, blob 3: the tag is wrong; 2 files need it: /a, /b" on one line of standard error. */
static void
tell_damage(struct verifying *verifying, const char *site, const struct tk_damage *damage)
{
	char text[4096], pack[2 * TK_DIGEST_BYTES + 1];
	size_t len;

	tk_hex_encode(damage->is_point ? damage->point.point.b : damage->pack.b, TK_DIGEST_BYTES, pack);
	(void)snprintf(text, sizeof(text), "%s: site %s: %s %.16s", verifying->dataset->name, site, damage->is_point ? "point" : "pack", pack);
	len = strlen(text);
	if (damage->blob != UINT32_MAX)
		(void)snprintf(text + len, sizeof(text) - len, ", blob %u", (unsigned)damage->blob);
	len = strlen(text);
	(void)snprintf(text + len, sizeof(text) - len, ": %s", damage->text);
	len = strlen(text);
	if (damage->files_affected > 0)
		(void)snprintf(text + len, sizeof(text) - len, "; %llu file%s affected%s", (unsigned long long)damage->files_affected,
			       damage->files_affected == 1 ? " is" : "s are", damage->file_count > 0 ? ":" : "");
	for (size_t i = 0; i < damage->file_count && i < FILES_SHOWN_MAX; i++) {
		len = strlen(text);
		(void)snprintf(text + len, sizeof(text) - len, " /%s", damage->files[i]);
	}
	if (damage->file_count > 0 && damage->files_affected > damage->file_count) {
		len = strlen(text);
		(void)snprintf(text + len, sizeof(text) - len, " ...");
	}
	tk_out_warn(verifying->home->cli->out, TK_ECORRUPT, "%s", text);
}

/* ---- one site ---- */

/* The newest point that the site listed: what came to it since may have been looked at, or not. */
static struct tk_head
newest_held(const struct tk_reading *reading, size_t index)
{
	for (size_t i = reading->point_count; i > 0; i--)
		if (reading->points[i - 1].held[index])
			return reading->points[i - 1].at;
	return (struct tk_head){0};
}

/* *out: what the site listed; the caller frees it. */
static enum tk_rc
points_held(const struct tk_reading *reading, size_t index, struct tk_store_point **out, size_t *count, struct tk_err *err)
{
	struct tk_store_point *list = calloc(reading->point_count + 1, sizeof(*list));

	*out = list;
	*count = 0;
	for (size_t i = 0; list && i < reading->point_count; i++)
		if (reading->points[i].held[index])
			list[(*count)++] = (struct tk_store_point){.at = reading->points[i].at, .received_ns = (uint64_t)reading->points[i].received_ns};
	return list ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for the list of points");
}

static enum tk_run_depth
depth_of(double data_percent)
{
	if (data_percent >= 100.0)
		return TK_DEPTH_DATA;
	return data_percent > 0.0 ? TK_DEPTH_SAMPLE : TK_DEPTH_STRUCTURE;
}

static void
note_run(struct verifying *verifying, size_t index, int64_t start_ns, int status, const struct tk_verify_result *result)
{
	struct tk_run_row row = {.kind = "verify", .covers = verifying->has_point ? TK_COVERS_POINT : TK_COVERS_UP_TO,
				 .depth = depth_of(verifying->data_percent), .start_ns = start_ns, .end_ns = tk_clock_wall_ns(), .exit_status = status};

	row.at = verifying->has_point ? verifying->opened.point.at : newest_held(&verifying->reading, index);
	(void)snprintf(row.site, sizeof(row.site), "%s", verifying->reading.sites[index].name);
	(void)snprintf(row.text, sizeof(row.text), "%llu points, %llu blobs, %.0f%% of data, %llu damaged", (unsigned long long)result->points_checked,
		       (unsigned long long)result->blobs_checked, verifying->data_percent, (unsigned long long)result->damaged_total);
	tk_home_note_run(verifying->home, &verifying->reading.domain, &row);
}

/* The next backup stores anew what is damaged, as far as the files are still there. */
static void
note_damage(struct verifying *verifying, const struct tk_damage *damage)
{
	struct tk_err err;

	if (!damage->is_point && tk_damaged_add(verifying->home->cfg->state_dir, &verifying->reading.domain, &damage->pack, &err))
		tk_out_warn(verifying->home->cli->out, err.rc, "%s: the next backup is not told of the damage: %s", verifying->dataset->name, err.text);
}

/* Has a backup dealt with all the damage that is listed, so that the next one has no more to do about it? */
static bool
was_stored_anew(const struct verifying *verifying, const struct tk_verify_result *result)
{
	struct tk_damaged known = {0};
	struct tk_err err;
	size_t settled = 0, packs = 0;

	if (!tk_damaged_read(verifying->home->cfg->state_dir, &verifying->reading.domain, &known, &err)) {
		for (size_t i = 0; i < result->damaged_count; i++) {
			packs += !result->damaged[i].is_point;
			for (size_t k = 0; k < known.count && !result->damaged[i].is_point; k++)
				settled += known.rows[k].settled && memcmp(&known.rows[k].name, &result->damaged[i].pack, sizeof(known.rows[k].name)) == 0;
		}
		tk_damaged_release(&known);
	}
	return packs > 0 && settled == packs;
}

static void
take_result(struct verifying *verifying, const char *site, const struct tk_verify_result *result)
{
	struct tk_output *out = verifying->home->cli->out;
	char size[TK_FORMAT_MAX];
	bool stored_anew = was_stored_anew(verifying, result);

	verifying->points_checked += result->points_checked;
	verifying->blobs_checked += result->blobs_checked;
	verifying->damaged_total += result->damaged_total;
	for (size_t i = 0; i < result->damaged_count; i++) {
		tell_damage(verifying, site, &result->damaged[i]);
		note_damage(verifying, &result->damaged[i]);
		(void)json_array_append_new(verifying->damaged, damage_json(site, &result->damaged[i]));
	}
	tk_out_text(out, "%s at %s: %llu point%s, %llu blobs", verifying->dataset->name, site, (unsigned long long)result->points_checked,
		    result->points_checked == 1 ? "" : "s", (unsigned long long)result->blobs_checked);
	if (result->checked_bytes > 0)
		tk_out_text(out, ", %s of data", tk_format_size(result->checked_bytes, size));
	if (result->damaged_total > 0)
		tk_out_text(out, ": %llu DAMAGED; %s\n", (unsigned long long)result->damaged_total,
			    stored_anew ? "a backup since has stored anew what of it was still here; the points before stay damaged at this site, and restore takes them from the sites "
			    "that are whole; to heal it, make its vault anew (twinkeep site invite, then site readmit)" :
			    "the next backup stores anew what of it is still here");
	else
		tk_out_text(out, ": whole\n");
}

static json_t *
site_json(const char *site, const struct tk_verify_result *result, const struct tk_err *failure)
{
	return json_pack("{s:o, s:b, s:I, s:I, s:I, s:I, s:o}", "site", tk_json_text(site), "ok", !failure && result->damaged_total == 0, "points_checked",
			 (json_int_t)result->points_checked, "blobs_checked", (json_int_t)result->blobs_checked, "checked_bytes",
			 (json_int_t)result->checked_bytes, "damaged_total", (json_int_t)result->damaged_total, "error",
			 failure ? tk_json_text(failure->text) : json_null());
}

static enum tk_rc
verify_site(struct verifying *verifying, size_t index, struct tk_err *err)
{
	const struct tk_cli *cli = verifying->home->cli;
	const struct tk_site *site = &verifying->reading.sites[index];
	struct tk_verify_opts opts = {.site = site, .domain = &verifying->reading.domain, .keys = verifying->reading.keys, .data_percent = verifying->data_percent,
				      .threads = tk_home_threads(verifying->home), .cancel = cli->cancel, .progress = cli->progress};
	struct tk_verify_result result;
	struct tk_store_point *points = NULL;
	int64_t start_ns = tk_clock_wall_ns();
	int status;
	enum tk_rc rc;

	/* A site that lacks the point that was named lags; that is the business of status. */
	if (verifying->has_point && !verifying->reading.points[verifying->opened.index].held[index]) {
		tk_out_text(cli->out, "%s at %s: it does not hold the point\n", verifying->dataset->name, site->name);
		return TK_OK;
	}
	if (verifying->has_point)
		opts.only = &verifying->opened.point.at;
	if ((rc = points_held(&verifying->reading, index, &points, &opts.point_count, err)))
		return rc;
	opts.points = points;
	opts.idle = verifying->reading.fetch;
	opts.idle_site = index;
	rc = tk_verify_site(&opts, &result, err);
	free(points);
	/* What was found before it was cut short stands. */
	status = result.damaged_total > 0 ? 5 : rc ? tk_rc_exit_status(rc) : 0;
	take_result(verifying, site->name, &result);
	(void)json_array_append_new(verifying->sites, site_json(site->name, &result, rc ? err : NULL));
	if (rc != TK_ECANCELLED || status == 5)
		note_run(verifying, index, start_ns, status, &result);
	tk_verify_result_release(&result);
	if (!rc) {
		verifying->answered++;
		return TK_OK;
	}
	if (rc == TK_ECANCELLED || rc == TK_ENOMEM || rc == TK_EKEY)
		return rc;
	(void)tk_out_fail(cli->out, err);
	if (status == 7)
		verifying->silent++;
	else
		verifying->failure = status;
	return TK_OK;
}

/* A site that did not even list its points is not asked a second time; reading has said why. */
static void
skip_silent(struct verifying *verifying, size_t index)
{
	const struct tk_verify_result nothing = {0};
	struct tk_err err;

	(void)tk_err_set(&err, TK_EUNREACH, "it does not answer");
	(void)json_array_append_new(verifying->sites, site_json(verifying->reading.sites[index].name, &nothing, &err));
	verifying->silent++;
}

static enum tk_rc
verify_sites(struct verifying *verifying, const char *point, struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = tk_reading_open(verifying->home, verifying->dataset, true, &verifying->reading, err)))
		return rc;
	verifying->has_point = point != NULL;
	if (point && (rc = tk_reading_point(&verifying->reading, point, &verifying->opened, err)))
		return rc;
	for (size_t i = 0; i < verifying->reading.site_count && !rc; i++) {
		if (!verifying->reading.answered[i])
			skip_silent(verifying, i);
		else
			rc = verify_site(verifying, i, err);
	}
	return rc;
}

/* ---- one dataset ---- */

static int
status_of(const struct verifying *verifying)
{
	if (verifying->damaged_total > 0)
		return 5;
	if (verifying->failure)
		return verifying->failure;
	return verifying->silent > 0 ? 7 : 0;
}

static int
verify_dataset(struct tk_home *home, const struct tk_config_dataset *dataset, const char *point, double percent, json_t *runs)
{
	struct verifying verifying = {.home = home, .dataset = dataset, .data_percent = percent, .damaged = json_array(),
				      .sites = json_array()};
	struct tk_err err;
	int status;

	tk_err_clear(&err);
	status = verify_sites(&verifying, point, &err) ? tk_out_fail(home->cli->out, &err) : status_of(&verifying);
	if (verifying.damaged_total > 0)
		status = 5;
	(void)json_array_append_new(runs, json_pack("{s:o, s:b, s:I, s:I, s:o, s:I, s:i, s:o}", "dataset", tk_json_text(dataset->name), "ok", status == 0,
						    "points_checked", (json_int_t)verifying.points_checked, "blobs_checked",
						    (json_int_t)verifying.blobs_checked, "damaged", verifying.damaged, "damaged_total",
						    (json_int_t)verifying.damaged_total, "repaired", 0, "sites", verifying.sites));
	tk_opened_point_release(&verifying.opened);
	tk_reading_release(&verifying.reading);
	return status;
}

/* Damage weighs most, then whatever else went wrong. */
static int
worse(int a, int b)
{
	if (a == 5 || b == 5)
		return 5;
	return a ? a : b;
}

static enum tk_rc
verify_all(const struct tk_cli *cli, struct tk_home *home, json_t *runs, int *status, struct tk_err *err)
{
	const char *operand = tk_cli_operand(cli, 0), *point = NULL;
	const struct tk_config_dataset *only = NULL;
	double percent;
	enum tk_rc rc;

	if ((rc = data_percent(cli, &percent, err)) || (rc = tk_home_open(cli, home, err)) || (rc = tk_home_unlock_machine(home, err)) ||
	    (operand && (rc = tk_home_dataset(home, operand, &only, &point, err))))
		return rc;
	if (only)
		*status = verify_dataset(home, only, point, percent, runs);
	for (size_t i = 0; !only && i < home->cfg->dataset_count; i++)
		if (tk_home_has_keys(home, &home->cfg->datasets[i]))
			*status = worse(*status, verify_dataset(home, &home->cfg->datasets[i], NULL, percent, runs));
	return TK_OK;
}

/* One dataset's object as the document itself; several as "runs". */
static void
tell_documents(struct tk_output *out, json_t *runs, int status)
{
	const char *key;
	json_t *value;

	tk_out_set(out, "ok", json_boolean(status == 0));
	if (json_array_size(runs) != 1) {
		tk_out_set(out, "runs", json_incref(runs));
		return;
	}
	json_object_foreach(json_array_get(runs, 0), key, value)
		tk_out_set(out, key, json_incref(value));
}

int
tk_verb_verify(const struct tk_cli *cli)
{
	struct tk_home home = {.keys_fd = -1};
	json_t *runs = json_array();
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	if (verify_all(cli, &home, runs, &status, &err))
		status = tk_out_fail(cli->out, &err);
	tell_documents(cli->out, runs, status);
	json_decref(runs);
	tk_home_release(&home);
	return status;
}
