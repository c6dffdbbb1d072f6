/* twinkeep config check */
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cli/cli.h"
#include "cli/verbs.h"

static const char *
plural(size_t count)
{
	return count == 1 ? "" : "s";
}

/* The document of --json: ok, and the mistakes one by one. */
static void
mistakes_tell(struct tk_output *out, const struct tk_mistakes *mistakes)
{
	json_t *list = json_array();

	for (size_t i = 0; i < mistakes->count; i++) {
		const struct tk_mistake *mistake = &mistakes->items[i];

		tk_out_warn(out, TK_ECONFIG, "%s:%u: %s", mistake->file, mistake->line, mistake->text);
		(void)json_array_append_new(list, json_pack("{s:o, s:I, s:o}", "file", tk_json_text(mistake->file), "line",
			(json_int_t)mistake->line, "text", tk_json_text(mistake->text)));
	}
	tk_out_set(out, "ok", json_boolean(mistakes->count == 0));
	tk_out_set(out, "mistakes", list);
}

/* No mistake of the file, and yet no backup before it is done. */
static void
keyless_tell(struct tk_output *out, const struct tk_config *cfg)
{
	for (size_t i = 0; i < cfg->dataset_count; i++) {
		const struct tk_config_dataset *dataset = &cfg->datasets[i];

		if (!dataset->has_domain_id)
			tk_out_warn(out, TK_ECONFIG, "%s:%u: dataset %s has no keys yet; run twinkeep key add --dataset %s", dataset->where.file, dataset->where.line, dataset->name,
				    dataset->name);
	}
}

static void
exposed_tell(struct tk_output *out, const char *path, mode_t forbidden, const char *what)
{
	struct stat st;

	if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & forbidden) != 0)
		tk_out_warn(out, TK_EDENIED, "%s can be %s by others (mode %03o); run chmod go-rwx on it", path, what, (unsigned)st.st_mode & 0777);
}

/* Who writes the configuration gives a command that runs as this user; who reads a key has the data. */
static void
modes_tell(struct tk_output *out, const struct tk_config *cfg)
{
	char path[PATH_MAX];
	struct dirent *entry;
	struct stat st;
	DIR *keys;

	for (size_t i = 0; i < cfg->files.count; i++)
		exposed_tell(out, cfg->files.items[i], S_IWGRP | S_IWOTH, "written");
	(void)snprintf(path, sizeof(path), "%s/keys", cfg->home);
	/* Behind a closed door the files' own modes say nothing. */
	if (stat(path, &st) || (st.st_mode & 0077) == 0 || !(keys = opendir(path)))
		return;
	while ((entry = readdir(keys)))
		if (snprintf(path, sizeof(path), "%s/keys/%s", cfg->home, entry->d_name) < (int)sizeof(path))
			exposed_tell(out, path, S_IRWXG | S_IRWXO, "read");
	(void)closedir(keys);
}

int
tk_verb_config_check(const struct tk_cli *cli)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	struct tk_mistakes mistakes;
	struct tk_err err;
	enum tk_rc rc;
	int status = 0;

	tk_err_clear(&err);
	rc = tk_cli_config_load(cli, &cfg, &mistakes, &err);
	if (rc && mistakes.count == 0) {
		status = tk_out_fail(cli->out, &err);
		tk_mistakes_release(&mistakes);
		return status;
	}
	mistakes_tell(cli->out, &mistakes);
	if (rc) {
		status = tk_rc_exit_status(rc);
	} else {
		/* "default" counts only when the file defines it. */
		size_t own = 0;

		for (size_t i = 0; i < cfg->policy_count; i++)
			own += cfg->policies[i].where.line > 0;
		tk_out_text(cli->out, "%s: %zu site%s, %zu dataset%s, %zu polic%s: no mistake\n", cfg->files.items[0], cfg->site_count,
			plural(cfg->site_count), cfg->dataset_count, plural(cfg->dataset_count), own, own == 1 ? "y" : "ies");
		keyless_tell(cli->out, cfg);
		modes_tell(cli->out, cfg);
	}
	tk_mistakes_release(&mistakes);
	return status;
}
