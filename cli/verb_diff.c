/* twinkeep diff */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/listing.h"
#include "cli/reading.h"
#include "cli/verbs.h"

struct side {
	const struct tk_config_dataset *dataset;
	struct tk_reading reading;
	struct tk_opened_point opened;
	struct tk_page_loader *loader;
	struct tk_page_info root;
};

struct comparing {
	const struct tk_cli *cli;
	struct tk_home home;
	struct side old, now;
	json_t *changes;
	uint64_t added, removed, changed, metadata;
	bool began;
};

/* One line and one object; `what` (may be NULL) says which metadata differs. */
static enum tk_rc
tell(struct comparing *comparing, char mark, const char *kind, const struct tk_entry *entry, const char *what, struct tk_err *err)
{
	struct tk_output *out = comparing->cli->out;
	char *name = tk_listing_name(entry->path, entry->path_bytes);
	json_t *doc;

	if (!name)
		return tk_err_set(err, TK_ENOMEM, "no memory for a path");
	tk_out_text(out, "%c %s%s%s%s\n", mark, name, what ? " (" : "", what ? what : "", what ? ")" : "");
	free(name);
	if (out->json) {
		doc = json_pack("{s:s, s:o, s:s}", "change", kind, "path", tk_listing_json_path(entry->path), "type", tk_listing_type(entry->meta.type));
		if (what)
			(void)json_object_set_new(doc, "metadata", json_string(what));
		(void)json_array_append_new(comparing->changes, doc);
	}
	if (atomic_load(comparing->cli->cancel))
		return tk_err_set(err, TK_ECANCELLED, "interrupted");
	return TK_OK;
}

static enum tk_rc
on_added(void *ctx, const struct tk_entry *now, struct tk_err *err)
{
	struct comparing *comparing = ctx;

	comparing->added++;
	return tell(comparing, '+', "added", now, NULL, err);
}

static enum tk_rc
on_removed(void *ctx, const struct tk_entry *old, struct tk_err *err)
{
	struct comparing *comparing = ctx;

	comparing->removed++;
	return tell(comparing, '-', "removed", old, NULL, err);
}

static bool
same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool
same_xattrs(const struct tk_meta *a, const struct tk_meta *b)
{
	if (a->xattr_count != b->xattr_count)
		return false;
	for (size_t i = 0; i < a->xattr_count; i++) {
		const struct tk_xattr *x = &a->xattrs[i], *y = &b->xattrs[i];

		if (strcmp(x->name, y->name) != 0 || x->len_bytes != y->len_bytes ||
		    (x->len_bytes > 0 && memcmp(x->value, y->value, x->len_bytes) != 0))
			return false;
	}
	return true;
}

static bool
content_differs(const struct tk_entry *old, const struct tk_entry *now)
{
	if (old->meta.type != now->meta.type)
		return true;
	if (now->meta.type == TK_FT_REG)
		return memcmp(&old->content, &now->content, sizeof(now->content)) != 0;
	if (now->meta.type == TK_FT_SYMLINK)
		return !same_text(old->meta.link_target, now->meta.link_target);
	return old->meta.dev_major != now->meta.dev_major || old->meta.dev_minor != now->meta.dev_minor;
}

static void
add_word(char *dst, size_t size, bool differs, const char *word)
{
	size_t len = strlen(dst);

	if (differs)
		(void)snprintf(dst + len, size - len, "%s%s", len ? ", " : "", word);
}

static void
describe(const struct tk_entry *old, const struct tk_entry *now, char *dst, size_t size)
{
	const struct tk_meta *a = &old->meta, *b = &now->meta;
	char modes[32];

	dst[0] = '\0';
	(void)snprintf(modes, sizeof(modes), "mode %04o to %04o", (unsigned)a->mode & 07777u, (unsigned)b->mode & 07777u);
	add_word(dst, size, a->mode != b->mode, modes);
	add_word(dst, size, a->uid != b->uid || a->gid != b->gid || !same_text(a->uname, b->uname) || !same_text(a->gname, b->gname), "owner");
	add_word(dst, size, a->mtime_s != b->mtime_s || a->mtime_ns != b->mtime_ns, "mtime");
	add_word(dst, size, !same_xattrs(a, b), "xattrs");
	add_word(dst, size, a->flags != b->flags, "flags");
	add_word(dst, size, old->hardlink_group != now->hardlink_group, "links");
	add_word(dst, size, old->inconsistent != now->inconsistent, "consistency");
	if (!dst[0])
		(void)snprintf(dst, size, "other");
}

static enum tk_rc
on_changed(void *ctx, const struct tk_entry *old, const struct tk_entry *now, struct tk_err *err)
{
	struct comparing *comparing = ctx;
	char what[160];

	if (content_differs(old, now)) {
		comparing->changed++;
		return tell(comparing, 'M', "content", now, NULL, err);
	}
	comparing->metadata++;
	describe(old, now, what, sizeof(what));
	return tell(comparing, 'm', "metadata", now, what, err);
}

static enum tk_rc
open_side(struct comparing *comparing, int operand, struct side *side, struct tk_err *err)
{
	const char *text = tk_cli_operand(comparing->cli, operand), *point;
	enum tk_rc rc;

	if ((rc = tk_home_dataset(&comparing->home, text, &side->dataset, &point, err)) ||
	    (rc = tk_reading_open(&comparing->home, side->dataset, false, &side->reading, err)) ||
	    (rc = tk_reading_point(&side->reading, point, &side->opened, err)))
		return rc;
	return tk_reading_tree(&side->reading, &side->opened, &side->loader, &side->root, err);
}

static enum tk_rc
compare_all(struct comparing *comparing, struct tk_err *err)
{
	struct tk_tree_changes changes = {.ctx = comparing, .added = on_added, .removed = on_removed, .changed = on_changed};
	enum tk_rc rc;

	if ((rc = tk_home_open(comparing->cli, &comparing->home, err)) || (rc = tk_home_unlock_machine(&comparing->home, err)) ||
	    (rc = open_side(comparing, 0, &comparing->old, err)) || (rc = open_side(comparing, 1, &comparing->now, err)))
		return rc;
	comparing->began = true;
	return tk_tree_compare(comparing->old.loader, &comparing->old.root, comparing->now.loader, &comparing->now.root, &changes, err);
}

static json_t *
side_json(const struct side *side)
{
	return json_pack("{s:o, s:o}", "dataset", tk_json_text(side->dataset->name), "point", tk_json_digest(&side->opened.point.at.point));
}

static void
side_release(struct side *side)
{
	tk_page_loader_cleanup(&side->loader);
	tk_page_info_release(&side->root);
	tk_opened_point_release(&side->opened);
	tk_reading_release(&side->reading);
}

int
tk_verb_diff(const struct tk_cli *cli)
{
	struct comparing comparing = {.cli = cli, .changes = json_array()};
	struct tk_output *out = cli->out;
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	comparing.home.keys_fd = -1;
	if (compare_all(&comparing, &err))
		status = tk_out_fail(out, &err);
	if (comparing.began) {
		tk_out_set(out, "old", side_json(&comparing.old));
		tk_out_set(out, "new", side_json(&comparing.now));
		tk_out_set(out, "added", json_integer((json_int_t)comparing.added));
		tk_out_set(out, "removed", json_integer((json_int_t)comparing.removed));
		tk_out_set(out, "content_changed", json_integer((json_int_t)comparing.changed));
		tk_out_set(out, "metadata_changed", json_integer((json_int_t)comparing.metadata));
	}
	tk_out_set(out, "changes", comparing.changes);
	side_release(&comparing.old);
	side_release(&comparing.now);
	tk_home_release(&comparing.home);
	return status;
}
