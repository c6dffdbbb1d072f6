/* twinkeep restore */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/fault_list.h"
#include "cli/reading.h"
#include "cli/unlocking.h"
#include "cli/verbs.h"
#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/catalog/journal.h"
#include "engine/job/restore.h"

struct restoring {
	const struct tk_cli *cli;
	struct tk_home home;
	struct tk_reading reading;
	struct tk_opened_point opened;
	struct tk_restore_result result;
	struct tk_fault_list faults;
	int64_t began_ns;
};

static void
on_fault(void *ctx, const char *path, const struct tk_err *err)
{
	struct restoring *restoring = ctx;

	tk_fault_list_note(&restoring->faults, path, err);
}

static enum tk_rc
check_options(const struct tk_cli *cli, struct tk_err *err)
{
	bool tar = tk_cli_flag(cli, TK_OPT_TAR), target = tk_cli_value(cli, TK_OPT_TARGET) != NULL;

	if (tar == target)
		return tk_err_set(err, TK_EUSAGE, "give either --target DIR or --tar");
	if (tar && tk_cli_flag(cli, TK_OPT_JSON))
		return tk_err_set(err, TK_EUSAGE, "--tar and --json would both write to standard output: leave one out");
	if (tar && isatty(STDOUT_FILENO))
		return tk_err_set(err, TK_EUSAGE, "--tar writes an archive to standard output: redirect it");
	if (tar && tk_cli_flag(cli, TK_OPT_DELETE))
		return tk_err_set(err, TK_EUSAGE, "--delete has no meaning with --tar");
	return TK_OK;
}

static enum tk_rc
run_restore(struct restoring *restoring, struct tk_err *err)
{
	const struct tk_cli *cli = restoring->cli;
	const struct tk_values *paths = &cli->command.values[TK_OPT_PATH];
	struct tk_home *home = &restoring->home;
	struct tk_restore_opts opts = {
		.packs = restoring->reading.packs, .fetch = restoring->reading.fetch, .point = &restoring->opened.point,
		.body = &restoring->opened.body, .target = tk_cli_value(cli, TK_OPT_TARGET),
		.tar_fd = tk_cli_flag(cli, TK_OPT_TAR) ? STDOUT_FILENO : -1, .paths = paths->items, .path_count = paths->count,
		.strip = tk_cli_flag(cli, TK_OPT_STRIP), .delete_extra = tk_cli_flag(cli, TK_OPT_DELETE),
		.numeric_ids = restoring->reading.dataset->policy->numeric_ids,
		.threads = tk_home_threads(home), .cancel = cli->cancel,
		.progress = cli->progress, .on_fault = on_fault, .ctx = restoring,
	};
	enum tk_rc rc = tk_restore_run(&opts, &restoring->result, err);

	if (rc == TK_EINVAL && err)
		err->rc = rc = TK_EUSAGE;
	return rc;
}

/* Sites are asked for their points while the passphrase is tried. If that is wrong, nothing else is told; if it opens more keys than the machine slot, they are asked again. */
static enum tk_rc
unlock_and_list(struct restoring *restoring, const struct tk_config_dataset *dataset, struct tk_err *err)
{
	TK_AUTO(tk_unlocking_release) struct tk_unlocking unlocking;
	struct tk_home *home = &restoring->home;
	struct tk_err why;
	enum tk_rc rc = tk_unlocking_begin(home, &unlocking, err), listed = TK_EKEY;
	bool better = false;

	if (rc)
		return rc;
	if (home->unlocked)
		listed = tk_reading_open(home, dataset, true, &restoring->reading, &why);
	if ((rc = tk_unlocking_end(&unlocking, &better, err)))
		return rc;
	if (better) {
		tk_reading_release(&restoring->reading);
		tk_unlocking_take(&unlocking);
		return tk_reading_open(home, dataset, true, &restoring->reading, err);
	}
	if (listed && err)
		*err = why;
	return listed;
}

static enum tk_rc
restore_all(struct restoring *restoring, struct tk_err *err)
{
	const struct tk_config_dataset *dataset;
	const char *point;
	enum tk_rc rc;

	if ((rc = check_options(restoring->cli, err)) || (rc = tk_home_open(restoring->cli, &restoring->home, err)) ||
	    (rc = tk_home_dataset(&restoring->home, tk_cli_operand(restoring->cli, 0), &dataset, &point, err)) ||
	    (rc = unlock_and_list(restoring, dataset, err)) ||
	    (rc = tk_reading_point(&restoring->reading, point, &restoring->opened, err)))
		return rc;
	return run_restore(restoring, err);
}

static json_t *
not_applied_json(const struct tk_not_applied *counts)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "owner", (json_int_t)counts->owner, "mode", (json_int_t)counts->mode, "xattr",
			 (json_int_t)counts->xattr, "acl", (json_int_t)counts->acl, "flags", (json_int_t)counts->flags, "times",
			 (json_int_t)counts->times, "device", (json_int_t)counts->device);
}

static json_t *
sites_used(const struct tk_reading *reading)
{
	json_t *list = json_array();

	for (size_t i = 0; i < reading->site_count; i++)
		if (tk_fetch_site_used(reading->fetch, i))
			(void)json_array_append_new(list, tk_json_text(reading->sites[i].name));
	return list;
}

static void
tell_not_applied(struct tk_output *out, const struct tk_not_applied *counts)
{
	if (tk_not_applied_none(counts))
		return;
	tk_out_text(out, "not applied here: owner %llu, mode %llu, xattrs %llu, ACLs %llu, flags %llu, times %llu, devices %llu\n",
		    (unsigned long long)counts->owner, (unsigned long long)counts->mode, (unsigned long long)counts->xattr,
		    (unsigned long long)counts->acl, (unsigned long long)counts->flags, (unsigned long long)counts->times,
		    (unsigned long long)counts->device);
}

static void
tell(const struct restoring *restoring, enum tk_rc rc)
{
	const struct tk_restore_result *result = &restoring->result;
	const struct tk_reading *reading = &restoring->reading;
	struct tk_output *out = restoring->cli->out;
	const struct tk_head *at = &restoring->opened.point.at;
	uint64_t fetched = tk_fetch_bytes(reading->fetch);
	int64_t elapsed_ns = tk_clock_mono_ns() - restoring->began_ns;
	char size[TK_FORMAT_MAX], got[TK_FORMAT_MAX], took[TK_FORMAT_MAX], when[TK_FORMAT_MAX], id[17];

	tk_out_set(out, "dataset", tk_json_text(reading->dataset->name));
	tk_out_set(out, "point", tk_json_digest(&at->point));
	tk_out_set(out, "created", tk_json_time(restoring->opened.body.scan_end_ns));
	tk_out_set(out, "files_restored", json_integer((json_int_t)result->files_restored));
	tk_out_set(out, "restored_bytes", json_integer((json_int_t)result->restored_bytes));
	tk_out_set(out, "fetched_bytes", json_integer((json_int_t)fetched));
	tk_out_set(out, "reused_bytes", json_integer((json_int_t)result->reused_bytes));
	tk_out_set(out, "deleted", json_integer((json_int_t)result->deleted));
	tk_out_set(out, "tree_digest", result->tree_complete ? tk_json_digest(&result->tree) : json_null());
	tk_out_set(out, "verified", json_boolean(result->verified));
	tk_out_set(out, "not_applied", not_applied_json(&result->not_applied));
	tk_out_set(out, "head_confirmed_by", tk_reading_holders(reading, restoring->opened.index));
	tk_out_set(out, "sites_used", sites_used(reading));
	tk_out_set(out, "elapsed_seconds", json_real((double)elapsed_ns / 1e9));
	/* Standard output carries the archive; of a run that restored nothing, its error says all. */
	if (tk_cli_flag(restoring->cli, TK_OPT_TAR) || (rc && result->files_restored == 0))
		return;
	tk_hex_encode(at->point.b, 8, id);
	tk_out_text(out, "point %s of %s: %llu files, %s restored in %s; %s fetched: %s\n", id,
		    tk_format_time(restoring->opened.body.scan_end_ns, when), (unsigned long long)result->files_restored,
		    tk_format_size(result->restored_bytes, size), tk_format_duration(elapsed_ns / 1000000, took), tk_format_size(fetched, got),
		    result->verified ? "verified, every digest matches" : "NOT verified");
	tell_not_applied(out, &result->not_applied);
}

int
tk_verb_restore(const struct tk_cli *cli)
{
	struct restoring restoring = {.cli = cli, .faults.cli = cli, .began_ns = tk_clock_mono_ns()};
	struct tk_err err;
	enum tk_rc rc;
	int status = 0;

	tk_err_clear(&err);
	restoring.home.keys_fd = -1;
	rc = restore_all(&restoring, &err);
	tk_fault_list_tell(&restoring.faults);
	if (restoring.opened.point.at.epoch > 0)
		tell(&restoring, rc);
	if (rc) {
		status = tk_out_fail(cli->out, &err);
	} else if (restoring.result.faults > 0) {
		(void)tk_err_set(&err, restoring.result.damaged ? TK_ECORRUPT : TK_EIO, "%llu file%s not restored; all else is in place",
				 (unsigned long long)restoring.result.faults, restoring.result.faults == 1 ? " is" : "s are");
		status = tk_out_fail(cli->out, &err);
	}
	tk_opened_point_release(&restoring.opened);
	tk_reading_release(&restoring.reading);
	tk_home_release(&restoring.home);
	return status;
}
