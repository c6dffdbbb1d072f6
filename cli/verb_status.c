/* twinkeep status */
#include <stdlib.h>
#include <string.h>

#include "cli/health.h"
#include "cli/verbs.h"
#include "engine/base/clock.h"

static json_t *
time_json(int64_t wall_ns)
{
	return wall_ns ? tk_json_time(wall_ns) : json_null();
}

static json_t *
run_json(const struct tk_run_row *run)
{
	if (run->end_ns == 0)
		return json_null();
	return json_pack("{s:o, s:i, s:o, s:o}", "time", tk_json_time(run->end_ns), "exit_status", run->exit_status, "site",
			 run->site[0] ? tk_json_text(run->site) : json_null(), "text", tk_json_text(run->text));
}

static const char *
state_name(const struct tk_health_site *site)
{
	if (site->disabled)
		return "disabled";
	if (site->refused)
		return "refused";
	if (site->behind)
		return "set-back";
	return site->reachable ? "reachable" : "unreachable";
}

static json_t *
site_json(const struct tk_health_site *site)
{
	json_t *doc = json_object();

#define SET(name, value) (void)json_object_set_new(doc, name, value)
	SET("site", tk_json_text(site->name));
	SET("local", json_boolean(site->is_local));
	SET("reachable", json_boolean(site->reachable));
	SET("state", json_string(state_name(site)));
	SET("set_back", json_boolean(site->behind));
	SET("point", site->has_point ? tk_json_digest(&site->last.point) : json_null());
	SET("sequence", site->has_point ? json_integer((json_int_t)site->last.sequence) : json_null());
	SET("created", time_json(site->created_ns));
	SET("lag_points", site->reachable ? json_integer((json_int_t)site->lag_points) : json_null());
	SET("lag_seconds", site->reachable ? json_integer((json_int_t)(site->lag_ns / 1000000000)) : json_null());
	SET("last_verify", run_json(&site->verify));
#undef SET
	return doc;
}

static const char *
severity_name(enum tk_severity severity)
{
	return severity == TK_CRITICAL ? "critical" : "warning";
}

static int64_t
age_ns(int64_t then_ns)
{
	int64_t now_ns = tk_clock_wall_ns();

	return now_ns > then_ns ? now_ns - then_ns : 0;
}

static json_t *
health_json(const struct tk_health *health)
{
	json_t *doc = json_object(), *sites = json_array(), *alarms = json_array();
	int64_t rpo_ms = health->dataset->policy->rpo_ms;

	for (size_t i = 0; i < health->site_count; i++)
		(void)json_array_append_new(sites, site_json(&health->sites[i]));
	for (size_t i = 0; i < health->alarm_count; i++)
		(void)json_array_append_new(alarms, json_pack("{s:s, s:s, s:o}", "alarm", health->alarms[i].kind, "severity", severity_name(health->alarms[i].severity),
							   "message", tk_json_text(health->alarms[i].text)));
#define SET(name, value) (void)json_object_set_new(doc, name, value)
	SET("dataset", tk_json_text(health->dataset->name));
	SET("point", health->has_point ? tk_json_digest(&health->newest.point) : json_null());
	SET("epoch", json_integer((json_int_t)health->newest.epoch));
	SET("sequence", json_integer((json_int_t)health->newest.sequence));
	SET("created", time_json(health->created_ns));
	SET("age_seconds", health->has_point ? json_integer((json_int_t)(age_ns(health->scan_start_ns) / 1000000000)) : json_null());
	SET("rpo_seconds", rpo_ms > 0 ? json_integer((json_int_t)(rpo_ms / 1000)) : json_null());
	SET("ack_rule", json_string(tk_ack_rule_name(health->dataset->policy->ack)));
	SET("ack_met", json_boolean(health->ack_met));
	SET("protected", json_boolean(health->exit_status == 0));
	SET("sites", sites);
	SET("last_backup", run_json(&health->backup));
	SET("last_drill", run_json(&health->drill));
	SET("spool_bytes", json_integer((json_int_t)health->spool_bytes));
	SET("alarms", alarms);
#undef SET
	return doc;
}

static const char *
age(int64_t then_ns, char dst[TK_FORMAT_MAX])
{
	return then_ns ? tk_format_duration(age_ns(then_ns) / 1000000, dst) : "never";
}

static const char *
state_text(const struct tk_health_site *site)
{
	if (site->disabled)
		return "disabled";
	if (site->refused)
		return "REFUSED";
	if (site->behind)
		return "SET BACK";
	return site->reachable ? "reachable" : "UNREACHABLE";
}

static void
tell_site(struct tk_table *table, const struct tk_health *health, const struct tk_health_site *site)
{
	char when[TK_FORMAT_MAX], lag[TK_FORMAT_MAX];

	tk_table_cell(table, "  %s", site->name);
	tk_table_cell(table, "%s", state_text(site));
	tk_table_cell(table, "%s", site->has_point ? tk_format_time(site->created_ns, when) : "-");
	if (site->has_point)
		tk_table_cell(table, "%llu", (unsigned long long)site->last.sequence);
	else
		tk_table_cell(table, "-");
	if (!site->reachable)
		tk_table_cell(table, "?");
	else if (site->lag_points == 0)
		tk_table_cell(table, "none");
	else
		tk_table_cell(table, "%llu point%s, %s", (unsigned long long)site->lag_points, site->lag_points == 1 ? "" : "s",
			      tk_format_duration(site->lag_ns / 1000000, lag));
	if (site->verify.end_ns == 0)
		tk_table_cell(table, "%s", health->history_known ? "never" : "not known");
	else
		tk_table_cell(table, "%s%s", tk_format_time(site->verify.end_ns, when), site->verify.exit_status ? " (DAMAGED)" : "");
}

static void
tell_runs(struct tk_output *out, const struct tk_health *health)
{
	char ago[TK_FORMAT_MAX], size[TK_FORMAT_MAX];

	tk_out_text(out, "  last backup run: %s%s", age(health->backup.end_ns, ago), health->backup.end_ns ? " ago" : "");
	if (health->backup.exit_status)
		tk_out_text(out, ", exit status %d", health->backup.exit_status);
	tk_out_text(out, "; last drill: %s%s; spool: %s\n", age(health->drill.end_ns, ago), health->drill.end_ns ? " ago" : "",
		    tk_format_size(health->spool_bytes, size));
}

static void
tell_text(struct tk_output *out, const struct tk_health *health)
{
	char ago[TK_FORMAT_MAX], size[TK_FORMAT_MAX];
	struct tk_table table;

	if (health->has_point)
		tk_out_text(out, "%s: last point %s ago (epoch %llu, sequence %llu); ack rule %s %s\n", health->dataset->name, age(health->created_ns, ago),
			    (unsigned long long)health->newest.epoch, (unsigned long long)health->newest.sequence,
			    tk_ack_rule_name(health->dataset->policy->ack), health->ack_met ? "met" : "NOT met");
	else
		tk_out_text(out, "%s: no point\n", health->dataset->name);
	tk_table_init(&table, "  SITE|STATE|LAST POINT|>SEQUENCE|LAG|LAST VERIFY");
	for (size_t i = 0; i < health->site_count; i++)
		tell_site(&table, health, &health->sites[i]);
	tk_table_finish(&table, out);
	if (health->history_known)
		tell_runs(out, health);
	else
		tk_out_text(out, "  last backup run: not known; last drill: not known; spool: %s\n", tk_format_size(health->spool_bytes, size));
	for (size_t i = 0; i < health->alarm_count; i++)
		tk_out_text(out, "  ALARM %s: %s (%s)\n", health->alarms[i].kind, health->alarms[i].text, severity_name(health->alarms[i].severity));
}

static int
tell_dataset(struct tk_home *home, const struct tk_config_dataset *dataset, json_t *docs)
{
	struct tk_output *out = home->cli->out;
	struct tk_health health;
	struct tk_err err;
	int status;

	tk_err_clear(&err);
	if (tk_health_look(home, dataset, &health, &err)) {
		status = tk_out_fail(out, &err);
	} else {
		status = health.exit_status;
		tell_text(out, &health);
		(void)json_array_append_new(docs, health_json(&health));
	}
	tk_health_release(&health);
	return status;
}

static bool
is_asked_for(const struct tk_cli *cli, const char *name)
{
	for (int i = 0; i < cli->command.operand_count; i++)
		if (strcmp(tk_cli_operand(cli, i), name) == 0)
			return true;
	return cli->command.operand_count == 0;
}

static enum tk_rc
check_names(const struct tk_cli *cli, struct tk_home *home, struct tk_err *err)
{
	const struct tk_config_dataset *dataset;
	enum tk_rc rc = TK_OK;

	for (int i = 0; i < cli->command.operand_count && !rc; i++)
		rc = tk_cli_dataset(home->cfg, tk_cli_operand(cli, i), &dataset, err);
	return rc;
}

/* In rising order: 5, 4, anything else, 7, 6. */
static int
worse(int a, int b)
{
	static const int order[] = {0, 5, 4, 1, 7, 6};
	size_t ia = 3, ib = 3;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		ia = order[i] == a ? i : ia;
		ib = order[i] == b ? i : ib;
	}
	return ib > ia ? b : a;
}

int
tk_verb_status(const struct tk_cli *cli)
{
	struct tk_home home = {.keys_fd = -1};
	json_t *docs = json_array();
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	if (tk_home_open(cli, &home, &err) || check_names(cli, &home, &err) || tk_home_unlock_machine(&home, &err)) {
		status = tk_out_fail(cli->out, &err);
	} else {
		for (size_t i = 0; i < home.cfg->dataset_count; i++) {
			int one = is_asked_for(cli, home.cfg->datasets[i].name) ? tell_dataset(&home, &home.cfg->datasets[i], docs) : 0;

			status = worse(status, one);
		}
	}
	tk_out_set(cli->out, "datasets", docs);
	tk_home_release(&home);
	return status;
}
