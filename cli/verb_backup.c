/* twinkeep backup */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/emptied.h"
#include "cli/home.h"
#include "cli/priority.h"
#include "cli/reading.h"
#include "cli/verbs.h"
#include "engine/base/clock.h"
#include "engine/catalog/identity.h"
#include "engine/job/backup.h"

#define SECONDS_A_DAY 86400
#define SKIP_DIRS_MAX 256

/* One dataset's run. */
struct run {
	struct tk_home *home;
	const struct tk_config_dataset *dataset;
	struct tk_site *sites;
	size_t site_count;
	struct tk_voter *voters;              /* all sites of the dataset */
	struct tk_backup_result result;
	json_t *errors;                       /* files and sites, for --json */
	uint64_t faults_shown;
	bool named_sites;                     /* --site: the ack rule is judged over the whole set all the same */
};

/* ---- the ack rule, over all sites of the dataset ---- */

struct receipts {
	const struct run *run;
	const bool *has;                      /* for each of the run's sites; NULL: none has one */
};

static bool
has_receipt(void *ctx, const char *site)
{
	const struct receipts *receipts = ctx;

	for (size_t i = 0; receipts->has && i < receipts->run->site_count; i++)
		if (receipts->has[i] && strcmp(receipts->run->sites[i].name, site) == 0)
			return true;
	return false;
}

/* Without memory for the sites no rule is met. */
static void
judge(void *ctx, const bool *has, size_t count, bool *met, bool *safe)
{
	const struct run *run = ctx;
	struct receipts receipts = {run, has};
	struct tk_ack_site *list;
	struct tk_err err;
	size_t listed;
	enum tk_rc rc = tk_home_ack_sites(run->home, run->dataset, has_receipt, &receipts, &list, &listed, &err);

	(void)count;
	*met = !rc && tk_ack_is_met(run->dataset->policy->ack, list, listed);
	*safe = !rc && tk_ack_is_safe(run->dataset->policy->ack, list, listed);
	free(list);
}

static enum tk_rc
take_voters(struct run *run, struct tk_voters *out, struct tk_err *err)
{
	struct tk_ack_site *list;
	struct tk_ack_fence fence;
	size_t count;
	enum tk_rc rc = tk_home_ack_sites(run->home, run->dataset, NULL, NULL, &list, &count, err);

	if (rc)
		return rc;
	fence = tk_ack_fence(run->dataset->policy->ack, list, count);
	run->voters = calloc(count + 1, sizeof(*run->voters));
	for (size_t i = 0; run->voters && i < count; i++)
		run->voters[i] = (struct tk_voter){list[i].name, list[i].local || !fence.locals_count};
	*out = (struct tk_voters){run->voters, count, fence.least};
	free(list);
	return run->voters ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for the sites");
}

/* ---- notes ---- */

static void
add_error(struct run *run, const char *code, const char *path, const char *message)
{
	(void)json_array_append_new(run->errors, json_pack("{s:s, s:o, s:o}", "code", code, "path", tk_json_text(path), "message",
							   tk_json_text(message)));
}

static void
on_note(void *ctx, enum tk_scan_note note, const char *path, const struct tk_err *err)
{
	struct run *run = ctx;
	struct tk_output *out = run->home->cli->out;
	char name[512];

	(void)tk_format_name(path, name, sizeof(name));
	switch (note) {
	case TK_NOTE_UNREADABLE:
		tk_out_warn(out, TK_EIO, "/%s could not be read and is not in the point: %s%s", name, err ? err->text : "unknown",
			    err && err->rc == TK_EDENIED ? "; run it as a user who may, or exclude it" : "");
		add_error(run, "unreadable", path, err ? err->text : "");
		break;
	case TK_NOTE_INCONSISTENT:
		tk_out_warn(out, TK_EIO, "/%s changed while it was read: stored as it was read, marked inconsistent; the next run reads it again", name);
		add_error(run, "inconsistent", path, "changed while it was read");
		break;
	case TK_NOTE_NOT_GROWN:
		tk_out_warn(out, TK_EINVAL, "/%s was changed elsewhere than at its end, though its policy says append_only: it was read as a whole; take it out of this policy", name);
		add_error(run, "not-append-only", path, "changed elsewhere than at its end");
		break;
	case TK_NOTE_SILENT_CHANGE:
		tk_out_warn(out, TK_ECORRUPT, "/%s has other content than before though nothing says that it was changed; look at the disk", name);
		add_error(run, "silent-change", path, "content changed, times did not");
		break;
	case TK_NOTE_VANISHED:
	case TK_NOTE_SKIPPED:
		tk_log_event(run->home->cli->log, TK_LOG_INFO, note == TK_NOTE_VANISHED ? "vanished" : "skipped", "path=\"/%s\"%s%s", name,
			     err ? " reason=" : "", err ? err->text : "");
		break;
	}
}

/* ---- what the run is given ---- */

static void
add_skip_dir(struct tk_dev_ino *dirs, size_t *count, const char *path)
{
	struct stat st;

	if (path && *count < SKIP_DIRS_MAX && stat(path, &st) == 0)
		dirs[(*count)++] = (struct tk_dev_ino){(uint64_t)st.st_dev, (uint64_t)st.st_ino};
}

/* Homes, spools and vaults of this machine are never backed up into themselves. */
static size_t
skip_dirs(const struct tk_home *home, struct tk_dev_ino *dirs)
{
	size_t count = 0;

	add_skip_dir(dirs, &count, home->cfg->home);
	add_skip_dir(dirs, &count, home->cfg->state_dir);
	for (size_t i = 0; i < home->cfg->site_count; i++)
		if (home->cfg->sites[i].url.kind == TK_SITE_DIR)
			add_skip_dir(dirs, &count, home->cfg->sites[i].url.path);
	return count;
}

static enum tk_rc
compile_excludes(const struct tk_config_dataset *dataset, struct tk_exclude **out, struct tk_err *err)
{
	size_t own = dataset->exclude.count, shared = dataset->policy->exclude.count;
	const char **patterns = calloc(own + shared + 1, sizeof(*patterns));
	enum tk_rc rc;

	if (!patterns)
		return tk_err_set(err, TK_ENOMEM, "no memory for patterns");
	for (size_t i = 0; i < shared; i++)
		patterns[i] = dataset->policy->exclude.items[i];
	for (size_t i = 0; i < own; i++)
		patterns[shared + i] = dataset->exclude.items[i];
	rc = tk_exclude_new(patterns, own + shared, out, err);
	free(patterns);
	return rc;
}

static enum tk_codec
codec_of(enum tk_compression compression)
{
	if (compression == TK_COMPRESS_LZ4)
		return TK_CODEC_LZ4;
	return compression == TK_COMPRESS_NONE ? TK_CODEC_RAW : TK_CODEC_ZSTD;
}

static enum tk_trust_rule
trust_rule(enum tk_trust_choice choice)
{
	if (choice == TK_TRUST_CHOICE_MTIME)
		return TK_TRUST_MTIME;
	return choice == TK_TRUST_CHOICE_MOVES ? TK_TRUST_MOVES : TK_TRUST_CTIME;
}

static enum tk_signature_kind
signature_of(enum tk_signature choice)
{
	if (choice == TK_SIGN_NEVER)
		return TK_SIGNATURE_NEVER;
	return choice == TK_SIGN_ROLLING ? TK_SIGNATURE_ROLLING : TK_SIGNATURE_TAGS;
}

static void
take_policy(const struct run *run, struct tk_backup_opts *opts)
{
	const struct tk_config_policy *policy = run->dataset->policy;
	int64_t longest_ms = 0;

	opts->cross_file_systems = !policy->one_file_system;
	opts->skip_caches = policy->cachedir_tag;
	opts->skip_nodump = policy->nodump;
	opts->codec = codec_of(policy->compression);
	opts->level = (int)policy->level;
	opts->signature = signature_of(policy->signature);
	opts->block_bytes = (size_t)policy->block_size_bytes;
	opts->delta_min_bytes = policy->delta_min_size_bytes;
	opts->rewrite_percent = (unsigned)policy->rewrite_percent;
	opts->retries = (unsigned)policy->read_retries;
	opts->trust = trust_rule(policy->trust);
	opts->append_only = policy->append_only;
	opts->reread_period_s = (int64_t)policy->reread_days * SECONDS_A_DAY;
	for (size_t i = 0; i < run->site_count; i++) {
		const struct tk_home_site *own = run->sites[i].ctx;

		if (own->conf->connect_timeout_ms > longest_ms)
			longest_ms = own->conf->connect_timeout_ms;
	}
	/* A site has its time for connecting and as much again to say what it holds. */
	opts->open_timeout_ms = 2 * longest_ms;
	opts->linger_ms = policy->linger_ms;
	opts->reconnect_ms = policy->reconnect_ms;
}

/* The section may have another name than when the keys were made. */
static void
note_name(const struct run *run, const struct tk_id *domain)
{
	struct tk_err err;

	if (!tk_cli_flag(run->home->cli, TK_OPT_DRY_RUN) && tk_home_note_domain(run->home->keys_fd, domain, run->dataset->name, &err))
		tk_log_event(run->home->cli->log, TK_LOG_WARN, "dataset-name", "reason=\"%s\"", err.text);
}

static enum tk_rc
run_dataset(struct run *run, const struct tk_id *domain, struct tk_err *err)
{
	struct tk_home *home = run->home;
	const struct tk_cli *cli = home->cli;
	TK_AUTO(tk_buf_release) struct tk_buf genesis = {0}, grant = {0};
	TK_AUTO(tk_exclude_cleanup) struct tk_exclude *exclude = NULL;
	struct tk_dev_ino skip[SKIP_DIRS_MAX];
	struct tk_priority before;
	struct tk_backup_opts opts = {
		.dataset_name = run->dataset->name, .source_name = home->cfg->source, .state_dir = home->cfg->state_dir, .ring = &home->ring,
		.domain = *domain, .genesis = &genesis, .first_grant = &grant, .roots = (const char *const *)run->dataset->paths.items,
		.root_count = run->dataset->paths.count, .skip_dirs = skip, .spool_max_bytes = home->cfg->spool_max_bytes,
		.threads = tk_home_threads(home),
		.dry_run = tk_cli_flag(cli, TK_OPT_DRY_RUN), .judge = judge, .judge_ctx = run,
		.prepare_site = tk_home_prepare_site, .prepare_site_ahead = tk_home_prepare_site_ahead, .prepare_ctx = home, .cancel = cli->cancel, .progress = cli->progress, .on_note = on_note,
		.note_ctx = run, .log = cli->log,
	};
	enum tk_rc rc;

	if ((rc = tk_identity_read(home->keys_fd, &opts.incarnation, err)) || (rc = tk_home_read_record(home, domain, "genesis", &genesis, err)) ||
	    (rc = tk_home_read_record(home, domain, "grant", &grant, err)) || (rc = compile_excludes(run->dataset, &exclude, err)) ||
	    (rc = tk_home_sites(home, run->dataset, TK_VAULT_SERVE, &run->sites, &run->site_count, err)) ||
	    (rc = take_voters(run, &opts.voters, err)))
		return rc;
	note_name(run, domain);
	opts.exclude = exclude;
	opts.skip_dir_count = skip_dirs(home, skip);
	opts.sites = run->sites;
	opts.site_count = run->site_count;
	take_policy(run, &opts);
	tk_priority_lower(run->dataset->policy, &before);
	rc = tk_backup_run(&opts, &run->result, err);
	tk_priority_restore(&before);
	return rc;
}

/* ---- what is told ---- */

static json_t *
receipts_json(const struct run *run)
{
	json_t *list = json_array();

	for (size_t i = 0; run->result.sites && i < run->site_count; i++) {
		const struct tk_backup_site *site = &run->result.sites[i];

		if (site->has_receipt)
			(void)json_array_append_new(list, json_pack("{s:o, s:o, s:o}", "site", tk_json_text(run->sites[i].name), "time",
								    tk_json_time(site->receipt_ns), "digest",
								    tk_json_digest(&site->receipt_digest)));
	}
	return list;
}

static json_t *
run_json(const struct run *run)
{
	const struct tk_backup_result *result = &run->result;
	const struct tk_scan_stats *scan = &result->scan;
	json_t *doc = json_object(), *sent = json_object();
	bool made = result->point.epoch > 0, dry = tk_cli_flag(run->home->cli, TK_OPT_DRY_RUN);

	for (size_t i = 0; result->sites && i < run->site_count; i++)
		(void)json_object_set_new(sent, run->sites[i].name, json_integer((json_int_t)result->sites[i].sent_bytes));
#define SET(name, value) (void)json_object_set_new(doc, name, value)
#define SET_N(name, value) SET(name, json_integer((json_int_t)(value)))
	SET("dataset", tk_json_text(run->dataset->name));
	SET("point", made ? tk_json_digest(&result->point.point) : json_null());
	SET("dry_run", json_boolean(dry));
	SET("epoch", made ? json_integer((json_int_t)result->point.epoch) : json_null());
	SET("sequence", made ? json_integer((json_int_t)result->point.sequence) : json_null());
	SET("created", made ? tk_json_time(result->created_ns) : json_null());
	SET_N("files_total", scan->files);
	SET_N("files_new", scan->files_new);
	SET_N("files_changed", scan->files_changed);
	SET_N("files_removed", scan->files_removed);
	SET_N("files_unreadable", scan->files_unreadable);
	SET_N("files_inconsistent", scan->files_inconsistent);
	SET_N("files_moved", scan->files_moved);
	SET_N("files_reread", scan->files_reread);
	SET_N("reread_bytes", scan->reread_bytes);
	SET_N("total_bytes", scan->total_bytes);
	SET_N("read_bytes", result->read_bytes);
	SET_N("literal_bytes", result->literal_bytes);
	SET_N("stored_bytes", result->stored_bytes);
	SET("sent_bytes", sent);
	SET("elapsed_seconds", json_real((double)result->elapsed_ns / 1e9));
	SET_N("rewritten_bytes", result->rewritten_bytes);
	SET("ack_rule", json_string(tk_ack_rule_name(run->dataset->policy->ack)));
	/* Nothing is known of a run that was not made. */
	SET("ack_met", dry ? json_null() : json_boolean(result->ack_met));
	SET("ack_safe", dry ? json_null() : json_boolean(result->ack_safe));
	SET("possibly_fenced", json_boolean(result->possibly_fenced));
	SET("receipts", receipts_json(run));
	SET("errors", json_incref(run->errors));
#undef SET_N
#undef SET
	return doc;
}

static void
add_site_error(struct run *run, const char *site, const struct tk_err *why)
{
	(void)json_array_append_new(run->errors, json_pack("{s:s, s:o, s:o}", "code", tk_rc_name(why->rc), "site", tk_json_text(site), "message",
							   tk_json_text(why->text)));
}

/* Names each site that gave no receipt, and why. Of a run that failed, each site that was to blame, unless the run's own line says it. */
static void
tell_missing(struct run *run, enum tk_rc rc)
{
	bool failed = rc != TK_OK;
	struct tk_output *out = run->home->cli->out;

	for (size_t i = 0; run->result.sites && i < run->site_count; i++) {
		const struct tk_backup_site *site = &run->result.sites[i];
		struct tk_err why = site->failure;

		if (site->has_receipt || (failed && !why.rc))
			continue;
		if (!why.rc)
			(void)tk_err_set(&why, TK_ETIMEOUT, "it did not finish in time");
		add_site_error(run, run->sites[i].name, &why);
		if (rc == TK_ELOCKED && why.rc == TK_ELOCKED)
			continue;
		(void)tk_err_context(&why, why.rc, "site %s %s", run->sites[i].name, failed ? "failed" : "does not hold the point");
		(void)tk_out_fail(out, &why);
	}
}

/* Sites that the ack rule counts and this run did not ask are as much to blame as those that failed. */
static void
tell_left_out(struct run *run)
{
	for (size_t i = 0; i < run->dataset->sites.count; i++) {
		const char *name = run->dataset->sites.items[i];
		const struct tk_config_site *conf = tk_config_site_find(run->home->cfg, name);
		struct tk_err why;
		size_t k = 0;

		while (k < run->site_count && strcmp(run->sites[k].name, name) != 0)
			k++;
		if (k < run->site_count)
			continue;
		if (conf && !conf->enabled)
			(void)tk_err_set(&why, TK_ECONFIG, "it is not enabled in the configuration; write enabled = true when it is back");
		else
			(void)tk_err_set(&why, TK_EUSAGE, "it was left out; run it without --site");
		add_site_error(run, name, &why);
		(void)tk_err_context(&why, why.rc, "site %s does not hold the point", name);
		(void)tk_out_fail(run->home->cli->out, &why);
	}
}

/* With an ack rule that few sites meet, silent ones could have met it too, or have elected another writer: the run stands by its rule, and says so. */
static void
warn_unasked(struct run *run)
{
	char names[256] = "", text[TK_ERR_TEXT_MAX];
	size_t used = 0;

	for (size_t i = 0; i < run->dataset->sites.count && used < sizeof(names); i++) {
		const char *name = run->dataset->sites.items[i];
		bool asked = false;

		for (size_t k = 0; k < run->site_count; k++)
			asked |= run->result.sites[k].asked && strcmp(run->sites[k].name, name) == 0;
		if (!asked)
			used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", used > 0 ? ", " : "", name);
	}
	(void)snprintf(text, sizeof(text),
		       "possibly fenced: sites that were not asked (%s) could hold points of dataset %s that this home does not know, or have elected another "
		       "writer; run it again when they answer", names, run->dataset->name);
	tk_out_warn(run->home->cli->out, TK_EUNREACH, "%s", text);
	(void)json_array_append_new(run->errors, json_pack("{s:s, s:o}", "code", tk_rc_name(TK_EUNREACH), "message", tk_json_text(text)));
}

static void
tell_text(const struct run *run)
{
	const struct tk_backup_result *result = &run->result;
	struct tk_output *out = run->home->cli->out;
	char total[TK_FORMAT_MAX], stored[TK_FORMAT_MAX], took[TK_FORMAT_MAX], id[17];
	size_t held = 0;

	for (size_t i = 0; result->sites && i < run->site_count; i++)
		held += result->sites[i].has_receipt;
	(void)tk_format_size(result->scan.total_bytes, total);
	(void)tk_format_size(result->stored_bytes, stored);
	(void)tk_format_duration(result->elapsed_ns / 1000000, took);
	tk_out_text(out, "%s: %llu files, %s; %llu new, %llu changed, %llu removed\n", run->dataset->name, (unsigned long long)result->scan.files,
		    total, (unsigned long long)result->scan.files_new, (unsigned long long)result->scan.files_changed,
		    (unsigned long long)result->scan.files_removed);
	if (result->point.epoch == 0) {
		tk_out_text(out, "A rehearsal: nothing was stored or sent.\n");
		return;
	}
	(void)snprintf(id, sizeof(id), "%02x%02x%02x%02x%02x%02x%02x%02x", result->point.point.b[0], result->point.point.b[1],
		       result->point.point.b[2], result->point.point.b[3], result->point.point.b[4], result->point.point.b[5],
		       result->point.point.b[6], result->point.point.b[7]);
	tk_out_text(out, "point %s (epoch %llu, sequence %llu): %s stored in %s, held by %zu of %zu sites; ack rule %s %s\n", id,
		    (unsigned long long)result->point.epoch, (unsigned long long)result->point.sequence, stored, took, held, run->dataset->sites.count,
		    tk_ack_rule_name(run->dataset->policy->ack), result->ack_met ? "met" : "NOT met");
	if (result->rewritten_bytes)
		tk_out_text(out, "%s lay too scattered and were stored anew.\n", tk_format_size(result->rewritten_bytes, total));
	if (result->epoch_won)
		tk_out_text(out, result->sites_changed ? "The sites of %s or their rule changed: it won epoch %llu, which says what they are.\n" :
				 "This home had no journal of %s: it won epoch %llu.\n", run->dataset->name, (unsigned long long)result->epoch_won);
}

static int
status_of(const struct run *run, enum tk_rc rc, const struct tk_err *err)
{
	if (rc)
		return tk_out_fail(run->home->cli->out, err);
	if (run->result.point.epoch == 0)
		return 0;
	if (!run->result.ack_met)
		return 4;
	return run->result.scan.files_unreadable > 0 ? 3 : 0;
}

/* A run that another one kept from beginning, or that was only a rehearsal, is no run. */
static void
note_run(const struct run *run, const struct tk_id *domain, int64_t start_ns, int status, enum tk_rc rc, const struct tk_err *err)
{
	const struct tk_backup_result *result = &run->result;
	char stored[TK_FORMAT_MAX], unread[64] = "";
	struct tk_run_row row = {.kind = "backup", .at = result->point, .start_ns = start_ns, .end_ns = tk_clock_wall_ns(), .exit_status = status};

	if (tk_cli_flag(run->home->cli, TK_OPT_DRY_RUN) || rc == TK_ELOCKED || rc == TK_EUSAGE || rc == TK_ECONFIG)
		return;
	if (result->scan.files_unreadable > 0)
		(void)snprintf(unread, sizeof(unread), " and %llu that could not be read", (unsigned long long)result->scan.files_unreadable);
	if (rc)
		(void)snprintf(row.text, sizeof(row.text), "%.*s", (int)sizeof(row.text) - 1, err->text);
	else
		(void)snprintf(row.text, sizeof(row.text), "%llu files%s, %s stored, ack rule %s%s", (unsigned long long)result->scan.files, unread,
			       tk_format_size(result->stored_bytes, stored), result->ack_met ? "met" : "not met", result->possibly_fenced ? ", possibly fenced" : "");
	tk_home_note_run(run->home, domain, &row);
}

/* Nothing left of what was there, or little: more often a file system that is not mounted, or an accident, than a wish. It is said with every run as long as the dataset is
 * empty. The points before stand. */
static void
warn_lost(struct run *run, const struct tk_id *domain)
{
	const struct tk_scan_stats *scan = &run->result.scan;
	uint64_t before = scan->files + scan->files_removed - (scan->files_new < scan->files ? scan->files_new : scan->files);
	struct tk_output *out = run->home->cli->out;

	if (scan->files > 0 && scan->files < (before + 1) / 2) {
		tk_out_warn(out, TK_ENOENT, "dataset %s has %llu files, and had %llu in the point before: see whether they are gone for good; the earlier points stand",
			    run->dataset->name, (unsigned long long)scan->files, (unsigned long long)before);
		add_error(run, "shrunk", run->dataset->paths.items[0], "less than half is left of what the point before had");
		return;
	}
	if (scan->files > 0)
		return;
	if (before == 0)
		before = tk_emptied_files_before(run->home, domain);
	if (before == 0)
		return;
	tk_out_warn(out, TK_ENOENT, "dataset %s is empty, and had %llu files in the last point that was not: see whether its file system is mounted; the earlier points stand",
		    run->dataset->name, (unsigned long long)before);
	add_error(run, "emptied", run->dataset->paths.items[0], "nothing is left of what an earlier point had");
}

static int
backup_one(struct tk_home *home, const char *name, json_t *docs)
{
	struct run run = {.home = home, .errors = json_array()};
	int64_t start_ns = tk_clock_wall_ns();
	const char *point = NULL;
	struct tk_id domain;
	struct tk_err err;
	enum tk_rc rc;
	int status;

	tk_err_clear(&err);
	rc = tk_home_dataset(home, name, &run.dataset, &point, &err);
	if (!rc && run.dataset->paths.count == 0)
		rc = tk_err_set(&err, TK_ECONFIG, "dataset %s was taken out of the configuration; its points can be restored, and to make more put its section back and run "
				"twinkeep key add --dataset %s", run.dataset->name, run.dataset->name);
	if (!rc)
		rc = tk_home_domain(home, run.dataset, &domain, &err);
	if (!rc && point)
		rc = tk_err_set(&err, TK_EUSAGE, "a backup makes the point: write %s without @", run.dataset->name);
	if (!rc)
		rc = run_dataset(&run, &domain, &err);
	if (rc || run.result.point.epoch > 0)
		tell_missing(&run, rc);
	if (!rc && run.result.point.epoch > 0 && !run.result.ack_met)
		tell_left_out(&run);
	if (!rc && run.result.possibly_fenced)
		warn_unasked(&run);
	if (!rc) {
		warn_lost(&run, &domain);
		tell_text(&run);
	}
	status = status_of(&run, rc, &err);
	if (run.dataset)
		note_run(&run, &domain, start_ns, status, rc, &err);
	if (rc && run.errors)
		(void)json_array_append_new(run.errors, json_pack("{s:s, s:o}", "code", tk_rc_name(rc), "message", tk_json_text(err.text)));
	if (run.dataset)
		(void)json_array_append_new(docs, run_json(&run));
	json_decref(run.errors);
	tk_backup_result_release(&run.result);
	free(run.sites);
	free(run.voters);
	return status;
}

/* One dataset's object as the document itself; several as "runs". */
static void
tell_documents(const struct tk_cli *cli, json_t *docs, bool single)
{
	const char *key;
	json_t *value;

	if (!single) {
		tk_out_set(cli->out, "runs", json_incref(docs));
		return;
	}
	json_object_foreach(json_array_get(docs, 0), key, value)
		if (strcmp(key, "errors") != 0)
			tk_out_set(cli->out, key, json_incref(value));
}

/* The worst of several: anything that failed before anything that was only short of perfect. */
static int
worse(int a, int b)
{
	static const int order[] = {0, 3, 4, 9, 7, 2, 8, 5, 6, 1};
	size_t ia = 0, ib = 0;

	for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++) {
		ia = order[i] == a ? i : ia;
		ib = order[i] == b ? i : ib;
	}
	return ia >= ib ? a : b;
}

int
tk_verb_backup(const struct tk_cli *cli)
{
	struct tk_home home;
	struct tk_err err;
	json_t *docs = json_array();
	size_t count;
	int status = 0;

	tk_err_clear(&err);
	if (tk_home_open(cli, &home, &err) || tk_home_unlock_machine(&home, &err)) {
		status = tk_out_fail(cli->out, &err);
	} else {
		count = cli->command.operand_count > 0 ? (size_t)cli->command.operand_count : home.cfg->dataset_count;
		for (size_t i = 0; i < count; i++) {
			const char *name = cli->command.operand_count > 0 ? tk_cli_operand(cli, (int)i) : home.cfg->datasets[i].name;

			status = worse(status, backup_one(&home, name, docs));
		}
		tell_documents(cli, docs, count == 1);
	}
	json_decref(docs);
	tk_home_release(&home);
	return status;
}
