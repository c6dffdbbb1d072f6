/* twinkeep list */
#include <stdlib.h>
#include <string.h>

#include "cli/reading.h"
#include "cli/verbs.h"
#include "engine/catalog/journal.h"

/* When the point was last verified at any site, from this home's own history; 0: never here. */
static int64_t
last_verified(struct tk_journal *journal, const struct tk_id *domain)
{
	struct tk_run_row row;

	if (!journal || tk_journal_last_run(journal, domain, "verify", NULL, true, &row, NULL))
		return 0;
	return row.end_ns;
}

static json_t *
point_json(struct tk_reading *reading, const struct tk_opened_point *opened, int64_t verified_ns)
{
	const struct tk_point_body *body = &opened->body;
	const struct tk_head *at = &reading->points[opened->index].at;

	return json_pack("{s:o, s:o, s:I, s:I, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "dataset", tk_json_text(reading->dataset->name),
			 "point", tk_json_digest(&at->point), "epoch", (json_int_t)at->epoch, "sequence", (json_int_t)at->sequence, "created",
			 tk_json_time(body->scan_end_ns), "scan_start", tk_json_time(body->scan_start_ns), "files_total", (json_int_t)body->files,
			 "files_unreadable", (json_int_t)body->files_unreadable, "files_inconsistent", (json_int_t)body->files_inconsistent,
			 "total_bytes", (json_int_t)body->total_bytes, "stored_bytes", (json_int_t)body->stored_bytes, "sites",
			 tk_reading_holders(reading, opened->index), "last_verified", verified_ns ? tk_json_time(verified_ns) : json_null());
}

static void
add_row(struct tk_table *table, struct tk_reading *reading, const struct tk_opened_point *opened, int64_t verified_ns)
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
	tk_table_cell(table, "%s", verified_ns ? tk_format_time(verified_ns, when) : "never");
}

static enum tk_rc
list_dataset(struct tk_home *home, const struct tk_config_dataset *dataset, struct tk_table *table, json_t *points, struct tk_err *err)
{
	TK_AUTO(tk_reading_release) struct tk_reading reading = {0};
	TK_AUTO(tk_journal_cleanup) struct tk_journal *journal = NULL;
	struct tk_err quiet;
	int64_t verified_ns;
	enum tk_rc rc = tk_reading_open(home, dataset, &reading, err);

	if (rc)
		return rc;
	(void)!tk_journal_open(home->cfg->state_dir, &journal, &quiet);
	verified_ns = last_verified(journal, &reading.domain);
	for (size_t i = 0; i < reading.point_count && !rc; i++) {
		struct tk_opened_point opened;

		rc = tk_reading_open_index(&reading, i, &opened, err);
		if (!rc) {
			add_row(table, &reading, &opened, verified_ns);
			(void)json_array_append_new(points, point_json(&reading, &opened, verified_ns));
		}
		tk_opened_point_release(&opened);
		/* One damaged record does not hide the others. */
		if (rc == TK_ECORRUPT || rc == TK_EMISSING || rc == TK_ENOENT) {
			tk_out_warn(home->cli->out, rc, "point %llu of %s: %s", (unsigned long long)reading.points[i].at.sequence, dataset->name, err->text);
			rc = TK_OK;
		}
	}
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
