/* twinkeep ls */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "cli/listing.h"
#include "cli/reading.h"
#include "cli/verbs.h"

struct listing {
	const struct tk_cli *cli;
	struct tk_home home;
	struct tk_reading reading;
	struct tk_opened_point opened;
	char *path;                           /* owned; as in the manifest */
	json_t *entries;
};

static void
tell_entry(const struct listing *listing, const struct tk_entry *entry)
{
	const struct tk_meta *meta = &entry->meta;
	char mode[TK_LISTING_MODE_MAX], owner[TK_LISTING_OWNER_MAX], group[TK_LISTING_OWNER_MAX], size[TK_FORMAT_MAX], when[TK_FORMAT_MAX];
	char *name = tk_listing_name(entry->path, entry->path_bytes);

	tk_listing_mode(meta, mode);
	tk_listing_owner(meta->uname, meta->uid, owner);
	tk_listing_owner(meta->gname, meta->gid, group);
	if (meta->type == TK_FT_CHAR || meta->type == TK_FT_BLOCK)
		(void)snprintf(size, sizeof(size), "%" PRIu32 ",%" PRIu32, meta->dev_major, meta->dev_minor);
	else
		(void)snprintf(size, sizeof(size), "%" PRIu64, meta->size_bytes);
	tk_out_text(listing->cli->out, "%s %-8s %-8s %12s %s %s", mode, owner, group, size, tk_format_time(tk_listing_mtime_ns(meta), when),
		    name ? name : "?");
	free(name);
	if (meta->link_target) {
		name = tk_listing_text(meta->link_target);
		tk_out_text(listing->cli->out, " -> %s", name ? name : "?");
		free(name);
	}
	tk_out_text(listing->cli->out, "\n");
}

static enum tk_rc
list_entries(struct listing *listing, struct tk_err *err)
{
	TK_AUTO(tk_page_loader_cleanup) struct tk_page_loader *loader = NULL;
	TK_AUTO(tk_page_info_release) struct tk_page_info root = {0};
	TK_AUTO(tk_treewalk_cleanup) struct tk_treewalk *walk = NULL;
	TK_AUTO(tk_entry_release) struct tk_entry entry;
	uint64_t found = 0;
	bool done = false;
	enum tk_rc rc;

	tk_entry_init(&entry);
	if ((rc = tk_reading_tree(&listing->reading, &listing->opened, &loader, &root, err)) ||
	    (rc = tk_treewalk_begin(loader, &root, listing->path, strlen(listing->path), &walk, err)))
		return rc;
	while (!(rc = tk_treewalk_next(walk, &entry, &done, err)) && !done) {
		if (atomic_load(listing->cli->cancel))
			return tk_err_set(err, TK_ECANCELLED, "interrupted");
		found++;
		tell_entry(listing, &entry);
		if (listing->cli->out->json)
			(void)json_array_append_new(listing->entries, tk_listing_json(&entry));
	}
	if (!rc && found == 0 && listing->path[0])
		return tk_err_set(err, TK_ENOENT, "the point has no /%s; give a full path, as twinkeep ls without PATH shows it", listing->path);
	return rc;
}

static enum tk_rc
list_all(struct listing *listing, struct tk_err *err)
{
	const char *path = tk_cli_operand(listing->cli, 1), *point;
	const struct tk_config_dataset *dataset;
	enum tk_rc rc;

	if ((rc = tk_reading_path(path ? path : "", &listing->path, err)) || (rc = tk_home_open(listing->cli, &listing->home, err)) ||
	    (rc = tk_home_dataset(&listing->home, tk_cli_operand(listing->cli, 0), &dataset, &point, err)) ||
	    (rc = tk_home_unlock_machine(&listing->home, err)) || (rc = tk_reading_open(&listing->home, dataset, false, &listing->reading, err)) ||
	    (rc = tk_reading_point(&listing->reading, point, &listing->opened, err)))
		return rc;
	return list_entries(listing, err);
}

int
tk_verb_ls(const struct tk_cli *cli)
{
	struct listing listing = {.cli = cli, .entries = json_array()};
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	listing.home.keys_fd = -1;
	if (list_all(&listing, &err))
		status = tk_out_fail(cli->out, &err);
	if (listing.opened.point.at.epoch > 0) {
		tk_out_set(cli->out, "dataset", tk_json_text(listing.reading.dataset->name));
		tk_out_set(cli->out, "point", tk_json_digest(&listing.opened.point.at.point));
	}
	tk_out_set(cli->out, "entries", listing.entries);
	tk_opened_point_release(&listing.opened);
	tk_reading_release(&listing.reading);
	tk_home_release(&listing.home);
	free(listing.path);
	return status;
}
