/* twinkeep list */
#include <stdlib.h>
#include <string.h>

#include "cli/reading.h"
#include "cli/verbs.h"
#include "engine/catalog/verified.h"

/* What this home's own history says of the points of one dataset; not known: the journal cannot be read. */
struct history {
	bool known;
	struct tk_run_row *runs;
	size_t count;
};

static void
read_history(const struct tk_home *home, const struct tk_id *domain, struct history *history)
{
	TK_AUTO(tk_journal_cleanup) struct tk_journal *journal = NULL;
	struct tk_err err;

	memset(history, 0, sizeof(*history));
	journal = tk_home_journal(home, &err);
	history->known = journal && !tk_journal_verifications(journal, domain, &history->runs, &history->count, &err);
	if (!history->known)
		tk_out_warn(home->cli->out, err.rc, "when points were verified is not known: %s", err.text);
}

/* Of one point, over the sites that hold it. */
struct verdict {
	int64_t whole_ns;                     /* the oldest of the sites'; 0: not found whole at each of them */
	char text[256];                       /* the column */
	json_t *sites;                        /* owned */
};

static const char *
depth_name(enum tk_run_depth depth)
{
	static const char *const names[] = {"structure", "sample", "data"};

	return names[depth];
}

static json_t *
site_json(const char *site, const struct tk_verified *verified)
{
	const struct tk_run_row *run = verified->damage ? verified->damage : verified->whole;

	return json_pack("{s:o, s:s, s:o, s:o}", "site", tk_json_text(site), "result", !run ? "never" : verified->damage ? "in doubt" : "whole", "time",
			 run ? tk_json_time(run->end_ns) : json_null(), "depth", run ? json_string(depth_name(run->depth)) : json_null());
}

static void
add_name(char *names, size_t size, const char *name)
{
	size_t used = strlen(names);

	(void)snprintf(names + used, size - used, "%s%s", used > 0 ? "," : "", name);
}

/* A date stands for every site that holds the point, or says for which. */
static void
tell_verdict(const struct history *history, struct verdict *verdict, int64_t oldest_ns, const char *whole, const char *doubt, const char *never)
{
	char when[TK_FORMAT_MAX];

	if (!history->known)
		(void)snprintf(verdict->text, sizeof(verdict->text), "not known");
	else if (doubt[0])
		(void)snprintf(verdict->text, sizeof(verdict->text), "IN DOUBT at %s", doubt);
	else if (!whole[0])
		(void)snprintf(verdict->text, sizeof(verdict->text), "never");
	else if (never[0])
		(void)snprintf(verdict->text, sizeof(verdict->text), "%s (%s; never at %s)", tk_format_time(oldest_ns, when), whole, never);
	else
		(void)snprintf(verdict->text, sizeof(verdict->text), "%s", tk_format_time(oldest_ns, when));
	verdict->whole_ns = doubt[0] || never[0] ? 0 : oldest_ns;
}

static void
judge(const struct tk_reading *reading, size_t index, const struct history *history, struct verdict *verdict)
{
	const struct tk_listed_point *point = &reading->points[index];
	char whole[96] = "", doubt[96] = "", never[96] = "";
	int64_t oldest_ns = 0;

	verdict->sites = json_array();
	for (size_t i = 0; i < reading->site_count && history->known; i++) {
		const char *site = reading->sites[i].name;
		struct tk_verified found;

		if (!point->held[i])
			continue;
		found = tk_verified_point(history->runs, history->count, site, &point->at);
		(void)json_array_append_new(verdict->sites, site_json(site, &found));
		if (found.damage)
			add_name(doubt, sizeof(doubt), site);
		else if (!found.whole)
			add_name(never, sizeof(never), site);
		else
			add_name(whole, sizeof(whole), site);
		if (found.whole && (oldest_ns == 0 || found.whole->end_ns < oldest_ns))
			oldest_ns = found.whole->end_ns;
	}
	tell_verdict(history, verdict, oldest_ns, whole, doubt, never);
}

static json_t *
point_json(struct tk_reading *reading, const struct tk_opened_point *opened, const struct verdict *verdict)
{
	const struct tk_point_body *body = &opened->body;
	const struct tk_head *at = &reading->points[opened->index].at;

	return json_pack("{s:o, s:o, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:O}", "dataset", tk_json_text(reading->dataset->name),
			 "point", tk_json_digest(&at->point), "epoch", (json_int_t)at->epoch, "sequence", (json_int_t)at->sequence, "created",
			 tk_json_time(body->scan_end_ns), "scan_start", tk_json_time(body->scan_start_ns), "files_total", (json_int_t)body->files,
			 "files_unreadable", (json_int_t)body->files_unreadable, "files_inconsistent", (json_int_t)body->files_inconsistent,
			 "total_bytes", (json_int_t)body->total_bytes, "stored_bytes", (json_int_t)body->stored_bytes, "sites",
			 tk_reading_holders(reading, opened->index), "last_verified", verdict->whole_ns ? tk_json_time(verdict->whole_ns) : json_null(),
			 "verified", verdict->sites);
}

static void
add_row(struct tk_table *table, struct tk_reading *reading, const struct tk_opened_point *opened, const struct verdict *verdict)
{
	const struct tk_head *at = &reading->points[opened->index].at;
	char when[TK_FORMAT_MAX], total[TK_FORMAT_MAX], stored[TK_FORMAT_MAX], sites[512] = "";

	for (size_t i = 0; i < reading->site_count; i++) {
		if (!reading->points[opened->index].held[i])
			continue;
		if (sites[0])
			(void)strncat(sites, ",", sizeof(sites) - strlen(sites) - 1);
		(void)strncat(sites, reading->sites[i].name, sizeof(sites) - strlen(sites) - 1);
	}
	tk_table_cell(table, "%s", reading->dataset->name);
	tk_table_cell(table, "%02x%02x%02x%02x%02x%02x", at->point.b[0], at->point.b[1], at->point.b[2], at->point.b[3], at->point.b[4],
		      at->point.b[5]);
	tk_table_cell(table, "%s", tk_format_time(opened->body.scan_end_ns, when));
	tk_table_cell(table, "%llu", (unsigned long long)at->epoch);
	tk_table_cell(table, "%llu", (unsigned long long)at->sequence);
	tk_table_cell(table, "%llu", (unsigned long long)opened->body.files);
	tk_table_cell(table, "%s", tk_format_size(opened->body.total_bytes, total));
	tk_table_cell(table, "%s", tk_format_size(opened->body.stored_bytes, stored));
	tk_table_cell(table, "%s", sites);
	tk_table_cell(table, "%s", verdict->text);
}

static enum tk_rc
list_dataset(struct tk_home *home, const struct tk_config_dataset *dataset, struct tk_table *table, json_t *points, struct tk_err *err)
{
	TK_AUTO(tk_reading_release) struct tk_reading reading = {0};
	struct history history;
	enum tk_rc rc = tk_reading_open(home, dataset, false, &reading, err);

	if (rc)
		return rc;
	read_history(home, &reading.domain, &history);
	for (size_t i = 0; i < reading.point_count && !rc; i++) {
		struct tk_opened_point opened;

		rc = tk_reading_open_index(&reading, i, &opened, err);
		if (!rc) {
			struct verdict verdict;

			judge(&reading, i, &history, &verdict);
			add_row(table, &reading, &opened, &verdict);
			(void)json_array_append_new(points, point_json(&reading, &opened, &verdict));
			json_decref(verdict.sites);
		}
		tk_opened_point_release(&opened);
		/* One damaged record does not hide the others. */
		if (rc == TK_ECORRUPT || rc == TK_EMISSING || rc == TK_ENOENT) {
			tk_out_warn(home->cli->out, rc, "point %llu of %s: %s", (unsigned long long)reading.points[i].at.sequence, dataset->name, err->text);
			rc = TK_OK;
		}
	}
	free(history.runs);
	return rc;
}

/* Those that were taken out of the configuration, too: their points are still there. */
static enum tk_rc
list_all(struct tk_home *home, struct tk_table *table, json_t *points, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; !rc && i < home->cfg->dataset_count; i++)
		if (tk_home_has_keys(home, &home->cfg->datasets[i]))
			rc = list_dataset(home, &home->cfg->datasets[i], table, points, err);
	for (size_t i = 0; !rc && i < home->former_count; i++)
		rc = list_dataset(home, &home->former[i], table, points, err);
	return rc;
}

int
tk_verb_list(const struct tk_cli *cli)
{
	struct tk_home home;
	struct tk_table table;
	struct tk_err err;
	json_t *points = json_array();
	const char *operand = tk_cli_operand(cli, 0), *point = NULL;
	const struct tk_config_dataset *only = NULL;
	enum tk_rc rc;
	int status = 0;

	tk_err_clear(&err);
	tk_table_init(&table, "DATASET|POINT|TIME|>EPOCH|>SEQUENCE|>FILES|>SIZE|>STORED|SITES|VERIFIED");
	rc = tk_home_open(cli, &home, &err);
	if (!rc)
		rc = tk_home_unlock_machine(&home, &err);
	if (!rc && operand)
		rc = tk_home_dataset(&home, operand, &only, &point, &err);
	if (!rc)
		rc = only ? list_dataset(&home, only, &table, points, &err) : list_all(&home, &table, points, &err);
	if (rc)
		status = tk_out_fail(cli->out, &err);
	/* No head without a body under an error. */
	table.broken |= status != 0 && json_array_size(points) == 0;
	tk_table_finish(&table, cli->out);
	tk_out_set(cli->out, "points", points);
	tk_home_release(&home);
	return status;
}
