#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "engine/vault/vault_archive.h"

#define LOOSE_MAX 128u           /* so many points stand as files before the older ones are moved... */
#define LOOSE_KEPT 64u           /* ...all but so many */
#define YOUNG_MERGE_COUNT 16u    /* so many containers become one... */
#define YOUNG_ROWS 1024u         /* ...that have fewer records than this: all fit in one */
_Static_assert(YOUNG_MERGE_COUNT * YOUNG_ROWS <= TK_CONTAINER_ROWS_MAX, "a merge must take all rows");

/* ---- moving records into it ---- */

/* Records in memory, as they are to be written; for so many points that is some hundred KiB. */
struct moving {
	struct tk_container_row *rows;
	struct tk_buf *bytes;
	size_t count, cap;
};

static void
moving_release(struct moving *moving)
{
	for (size_t i = 0; moving->bytes && i < moving->cap; i++)
		tk_buf_release(&moving->bytes[i]);
	free(moving->bytes);
	free(moving->rows);
}

static enum tk_rc
moving_init(struct moving *moving, size_t cap, struct tk_err *err)
{
	moving->cap = cap;
	moving->rows = calloc(cap, sizeof(*moving->rows));
	moving->bytes = calloc(cap, sizeof(*moving->bytes));
	return moving->rows && moving->bytes ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory to archive records");
}

/* A point and its receipt, when both are whole; what is damaged stays where everyone looks for it first. */
static void
take_point(struct tk_vault *vault, const struct tk_id *domain, const char *name, struct moving *moving)
{
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	struct tk_buf *bytes = &moving->bytes[moving->count];
	struct tk_receipt receipt;
	struct tk_vname parts;

	if (!tk_vname_point(name, &parts) || tk_vread_point(vault, domain, name, &point, &bytes[0], NULL) ||
	    tk_vread_receipt(vault, domain, name, &receipt, &bytes[1], NULL))
		return;
	for (uint32_t kind = 0; kind < TK_ARCHIVE_KINDS; kind++) {
		tk_archive_key(&parts, kind, &moving->rows[moving->count].name);
		moving->rows[moving->count].len_bytes = bytes[kind].len_bytes;
		moving->count++;
	}
}

/* Rows and bytes are sorted together: the file wants them in the order of their names. */
static void
sort_moving(struct moving *moving)
{
	for (size_t i = 1; i < moving->count; i++) {
		struct tk_container_row row = moving->rows[i];
		struct tk_buf bytes = moving->bytes[i];
		size_t at = i;

		for (; at > 0 && memcmp(&row.name, &moving->rows[at - 1].name, sizeof(row.name)) < 0; at--) {
			moving->rows[at] = moving->rows[at - 1];
			moving->bytes[at] = moving->bytes[at - 1];
		}
		moving->rows[at] = row;
		moving->bytes[at] = bytes;
	}
}

static enum tk_rc
give_bytes(void *ctx, size_t i, struct tk_buf *out, struct tk_err *err)
{
	const struct moving *moving = ctx;

	return tk_buf_put(out, moving->bytes[i].data, moving->bytes[i].len_bytes, err);
}

static enum tk_rc
unlink_loose(struct tk_vault *vault, const struct tk_id *domain, const struct moving *moving, struct tk_err *err)
{
	char name[TK_POINT_FILE_NAME_MAX], path[TK_VFILE_PATH_MAX];

	for (size_t i = 0; i < moving->count; i++) {
		tk_archive_name(&moving->rows[i].name, name);
		tk_vrecord_path(path, domain, tk_archive_kinds[tk_archive_kind(&moving->rows[i].name)], name);
		if (unlinkat(vault->root_fd, path, 0) < 0 && errno != ENOENT)
			return tk_err_errno(err, TK_EIO, "removing %s, which is in the archive", path);
	}
	return TK_OK;
}

static enum tk_rc
ready_archive(struct tk_vault *vault, const struct tk_id *domain, struct tk_varchive **out, int *dirfd, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc;

	tk_vrecord_path(path, domain, "archive", NULL);
	rc = tk_vfile_mkdir(vault->root_fd, path, err);
	if (!rc)
		rc = tk_archive_enter(vault, domain, out, dirfd, err);
	return rc ? rc : tk_publish_sweep(*dirfd, err);
}

static uint64_t
next_number(const struct tk_varchive *archive)
{
	return archive->container_count > 0 ? archive->containers[archive->container_count - 1].number + 1 : 1;
}

static enum tk_rc
move_points(struct tk_vault *vault, const struct tk_id *domain, struct moving *moving, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	struct tk_varchive *archive;
	enum tk_rc rc;

	sort_moving(moving);
	(void)pthread_mutex_lock(&vault->archive_lock);
	rc = ready_archive(vault, domain, &archive, &dirfd, err);
	if (!rc)
		rc = tk_container_write(dirfd, next_number(archive), moving->rows, moving->count, give_bytes, moving, err);
	if (!rc) {
		archive->loaded = false;
		rc = unlink_loose(vault, domain, moving, err);
	}
	(void)pthread_mutex_unlock(&vault->archive_lock);
	return rc;
}

/* ---- merging containers ---- */

struct merging {
	int dirfd;
	const struct tk_archive_row *const *from;
};

static enum tk_rc
copy_row(void *ctx, size_t i, struct tk_buf *out, struct tk_err *err)
{
	const struct merging *merging = ctx;

	return tk_archive_read(merging->dirfd, merging->from[i], out, err);
}

static bool
is_chosen(const struct tk_varchive *archive, uint64_t number)
{
	const struct tk_archive_container key = {.number = number};
	const struct tk_archive_container *found = bsearch(&key, archive->containers, archive->container_count, sizeof(key), tk_archive_compare_containers);

	return found && found->chosen;
}

/* The oldest young ones, when there are enough of them. */
static bool
choose(struct tk_varchive *archive)
{
	size_t young = 0;

	for (size_t i = 0; i < archive->container_count; i++) {
		struct tk_archive_container *container = &archive->containers[i];

		container->chosen = young < YOUNG_MERGE_COUNT && container->row_count > 0 && container->row_count < YOUNG_ROWS;
		young += container->chosen;
	}
	return young == YOUNG_MERGE_COUNT;
}

static enum tk_rc
write_merged(struct tk_varchive *archive, int dirfd, struct tk_err *err)
{
	const struct tk_archive_row **from = calloc(archive->count + 1, sizeof(const struct tk_archive_row *));
	struct tk_container_row *rows = calloc(archive->count + 1, sizeof(*rows));
	size_t count = 0;
	enum tk_rc rc = from && rows ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory to merge an archive");

	for (size_t i = 0; !rc && i < archive->count; i++) {
		if (!is_chosen(archive, archive->rows[i].container))
			continue;
		from[count] = &archive->rows[i];
		rows[count++] = (struct tk_container_row){.name = archive->rows[i].key, .len_bytes = archive->rows[i].len_bytes};
	}
	if (!rc) {
		struct merging merging = {dirfd, from};

		rc = tk_container_write(dirfd, next_number(archive), rows, count, copy_row, &merging, err);
	}
	free(from);
	free(rows);
	return rc;
}

static enum tk_rc
merge_young(struct tk_varchive *archive, int dirfd, struct tk_err *err)
{
	char name[TK_CONTAINER_NAME_MAX];
	enum tk_rc rc;

	if (!choose(archive))
		return TK_OK;
	rc = write_merged(archive, dirfd, err);
	for (size_t i = 0; i < archive->container_count && !rc; i++) {
		if (!archive->containers[i].chosen)
			continue;
		tk_container_name(archive->containers[i].number, name);
		if (unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
			rc = tk_err_errno(err, TK_EIO, "removing archive/%s, which was merged", name);
	}
	archive->loaded = false;
	return rc;
}

static enum tk_rc
merge_archive(struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	struct tk_varchive *archive;
	enum tk_rc rc;

	(void)pthread_mutex_lock(&vault->archive_lock);
	rc = tk_archive_enter(vault, domain, &archive, &dirfd, err);
	if (!rc && dirfd >= 0)
		rc = merge_young(archive, dirfd, err);
	(void)pthread_mutex_unlock(&vault->archive_lock);
	return rc;
}

enum tk_rc
tk_varchive_tidy(struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err)
{
	TK_AUTO(moving_release) struct moving moving = {0};
	struct tk_vfile_list loose;
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc;

	tk_vrecord_path(path, domain, "receipts", NULL);
	rc = tk_vfile_list(vault->root_fd, path, &loose, err);
	if (!rc && loose.count >= LOOSE_MAX) {
		size_t count = loose.count - LOOSE_KEPT < TK_CONTAINER_ROWS_MAX / TK_ARCHIVE_KINDS ? loose.count - LOOSE_KEPT : TK_CONTAINER_ROWS_MAX / TK_ARCHIVE_KINDS;

		rc = moving_init(&moving, count * TK_ARCHIVE_KINDS, err);
		for (size_t i = 0; i < count && !rc; i++)
			take_point(vault, domain, loose.names[i], &moving);
		if (!rc && moving.count > 0)
			rc = move_points(vault, domain, &moving, err);
		if (!rc)
			rc = merge_archive(vault, domain, err);
	}
	tk_vfile_list_release(&loose);
	return rc ? tk_err_context(err, rc, "archiving points") : TK_OK;
}
