/* twinkeep cat */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/reading.h"
#include "cli/verbs.h"
#include "engine/fsio/openat.h"
#include "engine/job/readfile.h"

#define ZEROS_BYTES 65536u

static enum tk_rc
write_out(void *ctx, uint64_t offset_bytes, const uint8_t *data, size_t len_bytes, struct tk_err *err)
{
	static const uint8_t zeros[ZEROS_BYTES];
	enum tk_rc rc = TK_OK;

	(void)ctx;
	(void)offset_bytes;
	if (data)
		return tk_write_full(STDOUT_FILENO, data, len_bytes, "standard output", err);
	for (size_t done = 0; done < len_bytes && !rc;) {
		size_t part = len_bytes - done < ZEROS_BYTES ? len_bytes - done : ZEROS_BYTES;

		rc = tk_write_full(STDOUT_FILENO, zeros, part, "standard output", err);
		done += part;
	}
	return rc;
}

static enum tk_rc
read_entry(struct tk_reading *reading, const struct tk_opened_point *opened, const char *path, struct tk_err *err)
{
	TK_AUTO(tk_page_loader_cleanup) struct tk_page_loader *loader = NULL;
	TK_AUTO(tk_page_info_release) struct tk_page_info root = {0};
	TK_AUTO(tk_entry_release) struct tk_entry entry;
	const struct tk_read_file_opts opts = {.fetch = reading->fetch, .packs = reading->packs, .point = &opened->point, .body = &opened->body,
					       .cancel = reading->home->cli->cancel};
	const struct tk_byte_sink sink = {.write = write_out};
	enum tk_rc rc;

	tk_entry_init(&entry);
	if ((rc = tk_reading_tree(reading, opened, &loader, &root, err)))
		return rc;
	rc = tk_tree_lookup(loader, &root, path, strlen(path), &entry, err);
	if (rc == TK_ENOENT)
		return tk_err_set(err, TK_ENOENT, "the point has no /%s; twinkeep ls shows what it has, by full paths", path);
	if (!rc && entry.inconsistent)
		tk_out_warn(reading->home->cli->out, TK_EINVAL, "/%s changed while it was backed up: its content may never have been so at one moment", path);
	return rc ? rc : tk_read_file(&opts, &entry, &sink, err);
}

static enum tk_rc
cat_point(struct tk_home *home, const struct tk_config_dataset *dataset, const char *point, const char *path, struct tk_err *err)
{
	struct tk_reading reading;
	struct tk_opened_point opened = {0};
	enum tk_rc rc = tk_reading_open(home, dataset, false, &reading, err);

	if (!rc)
		rc = tk_reading_point(&reading, point, &opened, err);
	if (!rc)
		rc = read_entry(&reading, &opened, path, err);
	tk_opened_point_release(&opened);
	tk_reading_release(&reading);
	return rc;
}

static enum tk_rc
cat_all(const struct tk_cli *cli, struct tk_home *home, char **path, struct tk_err *err)
{
	const struct tk_config_dataset *dataset;
	const char *point;
	enum tk_rc rc;

	if (tk_cli_flag(cli, TK_OPT_JSON))
		return tk_err_set(err, TK_EUSAGE, "cat and --json would both write to standard output: leave --json out");
	if ((rc = tk_reading_path(tk_cli_operand(cli, 1), path, err)) || (rc = tk_home_open(cli, home, err)) ||
	    (rc = tk_home_dataset(home, tk_cli_operand(cli, 0), &dataset, &point, err)) || (rc = tk_home_unlock_passphrase(home, err)))
		return rc;
	return cat_point(home, dataset, point, *path, err);
}

int
tk_verb_cat(const struct tk_cli *cli)
{
	struct tk_home home = {.keys_fd = -1};
	char *path = NULL;
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	if (cat_all(cli, &home, &path, &err))
		status = tk_out_fail(cli->out, &err);
	tk_home_release(&home);
	free(path);
	return status;
}
