#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "engine/vault/container_file.h"
#include "engine/vault/vault_core.h"

/* Points and receipts never expire: one run a minute makes a million small files a year of them. The older ones move into containers, domains/<hex>/archive/; a file
 * in points/ or receipts/ comes before one of the same name in there, so a crash between the two steps changes nothing. */

#define LOOSE_MAX 128u           /* so many points stand as files before the older ones are moved... */
#define LOOSE_KEPT 64u           /* ...all but so many */
#define YOUNG_MERGE_COUNT 16u    /* so many containers become one... */
#define YOUNG_ROWS 1024u         /* ...that have fewer records than this: all fit in one */
_Static_assert(YOUNG_MERGE_COUNT * YOUNG_ROWS <= TK_CONTAINER_ROWS_MAX, "a merge must take all rows");

/* The kinds of record, as the last field of a row's name says them. */
static const char *const kinds[] = {"points", "receipts"};
enum { KIND_COUNT = 2 };

/* Where a record is. */
struct row {
	struct tk_pack_name key;
	uint64_t container;
	uint64_t offset_bytes, len_bytes;
};

struct container {
	uint64_t number;
	size_t row_count;                /* 0: it could not be read */
	bool chosen;                     /* to be merged */
};

struct tk_varchive {
	struct tk_varchive *next;
	struct tk_id domain;
	bool loaded;
	struct timespec seen;            /* the directory's mtime when it was read */
	struct row *rows;                /* owned; ascending by key, each key once */
	size_t count, cap;
	struct container *containers;    /* owned; ascending */
	size_t container_count, container_cap;
};

/* ---- keys: id prefix[16], sequence u64, epoch u32, kind u32; the numbers big-endian ---- */

static void
key_of(const struct tk_vname *parts, uint32_t kind, struct tk_pack_name *key)
{
	memcpy(key->b, parts->id_prefix, TK_ID_BYTES);
	for (unsigned i = 0; i < 8; i++)
		key->b[16 + i] = (uint8_t)(parts->sequence >> (56 - 8 * i));
	for (unsigned i = 0; i < 4; i++) {
		key->b[24 + i] = (uint8_t)(parts->epoch >> (24 - 8 * i));
		key->b[28 + i] = (uint8_t)(kind >> (24 - 8 * i));
	}
}

static uint32_t
kind_of_key(const struct tk_pack_name *key)
{
	return (uint32_t)key->b[28] << 24 | (uint32_t)key->b[29] << 16 | (uint32_t)key->b[30] << 8 | key->b[31];
}

static void
name_of_key(const struct tk_pack_name *key, char name[TK_POINT_FILE_NAME_MAX])
{
	struct tk_head at = {0};

	for (unsigned i = 0; i < 8; i++)
		at.sequence = at.sequence << 8 | key->b[16 + i];
	for (unsigned i = 0; i < 4; i++)
		at.epoch = at.epoch << 8 | key->b[24 + i];
	memcpy(at.point.b, key->b, TK_ID_BYTES);
	tk_point_file_name(&at, name);
}

static uint32_t
kind_of_directory(const char *directory)
{
	uint32_t kind = 0;

	while (kind < KIND_COUNT && strcmp(kinds[kind], directory) != 0)
		kind++;
	return kind;
}

/* ---- reading an archive ---- */

static void
archive_clear(struct tk_varchive *archive)
{
	archive->count = 0;
	archive->container_count = 0;
	archive->loaded = false;
}

void
tk_varchive_free_all(struct tk_vault *vault)
{
	while (vault->archives) {
		struct tk_varchive *archive = vault->archives;

		vault->archives = archive->next;
		free(archive->rows);
		free(archive->containers);
		free(archive);
	}
}

static int
open_archive(const struct tk_vault *vault, const struct tk_id *domain)
{
	char path[TK_VFILE_PATH_MAX];

	tk_vrecord_path(path, domain, "archive", NULL);
	return tk_open_quiet(vault->root_fd, path, true);
}

static enum tk_rc
add_rows(struct tk_varchive *archive, uint64_t number, const struct tk_container_row *rows, size_t count, struct tk_err *err)
{
	if (archive->count + count > archive->cap) {
		size_t cap = (archive->count + count) * 2;
		struct row *grown = realloc(archive->rows, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for an archive of %zu records", cap);
		archive->rows = grown;
		archive->cap = cap;
	}
	for (size_t i = 0; i < count; i++)
		archive->rows[archive->count++] = (struct row){rows[i].name, number, rows[i].offset_bytes, rows[i].len_bytes};
	return TK_OK;
}

static enum tk_rc
add_container(struct tk_vault *vault, struct tk_varchive *archive, int dirfd, struct container *container, struct tk_err *err)
{
	struct tk_container_row *rows = NULL;
	struct tk_err why;
	uint64_t bytes;
	enum tk_rc rc = tk_container_open(dirfd, container->number, &rows, &container->row_count, &bytes, &why);

	/* What was in it is missing then, and is told as such by who looks for it. */
	if (rc == TK_ECORRUPT || rc == TK_ENOENT) {
		tk_log_event(vault->log, TK_LOG_ERROR, "archive-damaged", "error=%s", why.text);
		return TK_OK;
	}
	if (!rc)
		rc = add_rows(archive, container->number, rows, container->row_count, &why);
	free(rows);
	if (rc && err)
		*err = why;
	return rc;
}

static enum tk_rc
note_number(struct tk_varchive *archive, uint64_t number, struct tk_err *err)
{
	if (archive->container_count == archive->container_cap) {
		size_t cap = archive->container_cap ? archive->container_cap * 2 : 16;
		struct container *grown = realloc(archive->containers, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for an archive of %zu containers", cap);
		archive->containers = grown;
		archive->container_cap = cap;
	}
	archive->containers[archive->container_count++] = (struct container){.number = number};
	return TK_OK;
}

static int
compare_containers(const void *a, const void *b)
{
	const struct container *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static int
compare_rows(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int order = memcmp(&x->key, &y->key, sizeof(x->key));

	return order ? order : (x->container > y->container) - (x->container < y->container);
}

/* Of rows with one key the newest container's stays. */
static void
sort_rows(struct tk_varchive *archive)
{
	size_t kept = 0;

	if (archive->count > 0)
		qsort(archive->rows, archive->count, sizeof(*archive->rows), compare_rows);
	for (size_t i = 0; i < archive->count; i++)
		if (i + 1 == archive->count || memcmp(&archive->rows[i].key, &archive->rows[i + 1].key, sizeof(archive->rows[i].key)) != 0)
			archive->rows[kept++] = archive->rows[i];
	archive->count = kept;
}

static enum tk_rc
load(struct tk_vault *vault, struct tk_varchive *archive, int dirfd, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	struct tk_vfile_list names;
	uint64_t number;
	enum tk_rc rc;

	archive_clear(archive);
	tk_vrecord_path(path, &archive->domain, "archive", NULL);
	rc = tk_vfile_list(vault->root_fd, path, &names, err);
	for (size_t i = 0; i < names.count && !rc; i++)
		if (tk_container_number(names.names[i], &number))
			rc = note_number(archive, number, err);
	tk_vfile_list_release(&names);
	if (archive->container_count > 0)
		qsort(archive->containers, archive->container_count, sizeof(*archive->containers), compare_containers);
	for (size_t i = 0; i < archive->container_count && !rc; i++)
		rc = add_container(vault, archive, dirfd, &archive->containers[i], err);
	sort_rows(archive);
	archive->loaded = !rc;
	return rc;
}

static struct tk_varchive *
find_archive(struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err)
{
	struct tk_varchive *archive = vault->archives;

	while (archive && memcmp(&archive->domain, domain, sizeof(*domain)) != 0)
		archive = archive->next;
	if (archive)
		return archive;
	archive = calloc(1, sizeof(*archive));
	if (!archive) {
		(void)tk_err_set(err, TK_ENOMEM, "no memory for an archive");
		return NULL;
	}
	archive->domain = *domain;
	archive->next = vault->archives;
	vault->archives = archive;
	return archive;
}

/* The archive as it is now, and its directory (-1: there is none yet). Needs archive_lock. */
static enum tk_rc
enter(struct tk_vault *vault, const struct tk_id *domain, struct tk_varchive **out, int *dirfd, struct tk_err *err)
{
	struct tk_varchive *archive = find_archive(vault, domain, err);
	struct stat st;

	*dirfd = -1;
	if (!archive)
		return TK_ENOMEM;
	*out = archive;
	*dirfd = open_archive(vault, domain);
	if (*dirfd < 0) {
		archive_clear(archive);
		return errno == ENOENT ? TK_OK : tk_err_errno(err, TK_EIO, "archive of a domain");
	}
	if (fstat(*dirfd, &st) < 0)
		return tk_err_errno(err, TK_EIO, "archive of a domain");
	if (archive->loaded && archive->seen.tv_sec == st.st_mtim.tv_sec && archive->seen.tv_nsec == st.st_mtim.tv_nsec)
		return TK_OK;
	/* Taken before it is read: what comes meanwhile is seen the next time. */
	archive->seen = st.st_mtim;
	return load(vault, archive, *dirfd, err);
}

static enum tk_rc
read_row(int dirfd, const struct row *row, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	char name[TK_CONTAINER_NAME_MAX];
	size_t got;
	enum tk_rc rc;

	tk_container_name(row->container, name);
	fd = tk_open_quiet(dirfd, name, false);
	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "archive %s", name);
	if (row->len_bytes > TK_RECORD_MAX)
		return tk_err_set(err, TK_ECORRUPT, "archive %s: a record that is too long", name);
	rc = tk_buf_reserve(out, (size_t)row->len_bytes, err);
	if (!rc)
		rc = tk_pread_full(fd, out->data + out->len_bytes, (size_t)row->len_bytes, row->offset_bytes, &got, name, err);
	if (!rc)
		out->len_bytes += got;
	return rc;
}

static const struct row *
find_row(const struct tk_varchive *archive, const struct tk_pack_name *key)
{
	size_t low = 0, high = archive->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = memcmp(key, &archive->rows[middle].key, sizeof(*key));

		if (order == 0)
			return &archive->rows[middle];
		if (order < 0)
			high = middle;
		else
			low = middle + 1;
	}
	return NULL;
}

enum tk_rc
tk_varchive_get(struct tk_vault *vault, const struct tk_id *domain, const char *directory, const char *name, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	uint32_t kind = kind_of_directory(directory);
	struct tk_varchive *archive;
	const struct row *row = NULL;
	struct tk_pack_name key;
	struct tk_vname parts;
	enum tk_rc rc;

	if (kind == KIND_COUNT || !name || !tk_vname_point(name, &parts))
		return tk_err_set(err, TK_ENOENT, "%s/%s: it is not there", directory, name ? name : "");
	key_of(&parts, kind, &key);
	(void)pthread_mutex_lock(&vault->archive_lock);
	rc = enter(vault, domain, &archive, &dirfd, err);
	if (!rc)
		row = find_row(archive, &key);
	if (!rc)
		rc = row ? read_row(dirfd, row, out, err) : tk_err_set(err, TK_ENOENT, "%s/%s: it is not there", directory, name);
	(void)pthread_mutex_unlock(&vault->archive_lock);
	return rc;
}

enum tk_rc
tk_varchive_list(struct tk_vault *vault, const struct tk_id *domain, const char *directory, struct tk_vfile_list *names, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int dirfd = -1;
	uint32_t kind = kind_of_directory(directory);
	char name[TK_POINT_FILE_NAME_MAX];
	struct tk_varchive *archive;
	size_t loose = names->count;
	enum tk_rc rc;

	if (kind == KIND_COUNT)
		return TK_OK;
	(void)pthread_mutex_lock(&vault->archive_lock);
	rc = enter(vault, domain, &archive, &dirfd, err);
	for (size_t i = 0; !rc && i < archive->count; i++) {
		struct tk_vfile_list files = {.names = names->names, .count = loose};

		if (kind_of_key(&archive->rows[i].key) != kind)
			continue;
		name_of_key(&archive->rows[i].key, name);
		if (!tk_vfile_list_has(&files, name))
			rc = tk_vfile_list_add(names, name, err);
	}
	(void)pthread_mutex_unlock(&vault->archive_lock);
	tk_vfile_list_sort(names);
	return rc;
}

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
	for (uint32_t kind = 0; kind < KIND_COUNT; kind++) {
		key_of(&parts, kind, &moving->rows[moving->count].name);
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
		name_of_key(&moving->rows[i].name, name);
		tk_vrecord_path(path, domain, kinds[kind_of_key(&moving->rows[i].name)], name);
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
		rc = enter(vault, domain, out, dirfd, err);
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
	const struct row *const *from;
};

static enum tk_rc
copy_row(void *ctx, size_t i, struct tk_buf *out, struct tk_err *err)
{
	const struct merging *merging = ctx;

	return read_row(merging->dirfd, merging->from[i], out, err);
}

static bool
is_chosen(const struct tk_varchive *archive, uint64_t number)
{
	const struct container key = {.number = number};
	const struct container *found = bsearch(&key, archive->containers, archive->container_count, sizeof(key), compare_containers);

	return found && found->chosen;
}

/* The oldest young ones, when there are enough of them. */
static bool
choose(struct tk_varchive *archive)
{
	size_t young = 0;

	for (size_t i = 0; i < archive->container_count; i++) {
		struct container *container = &archive->containers[i];

		container->chosen = young < YOUNG_MERGE_COUNT && container->row_count > 0 && container->row_count < YOUNG_ROWS;
		young += container->chosen;
	}
	return young == YOUNG_MERGE_COUNT;
}

static enum tk_rc
write_merged(struct tk_varchive *archive, int dirfd, struct tk_err *err)
{
	const struct row **from = calloc(archive->count + 1, sizeof(const struct row *));
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
	rc = enter(vault, domain, &archive, &dirfd, err);
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
		size_t count = loose.count - LOOSE_KEPT < TK_CONTAINER_ROWS_MAX / KIND_COUNT ? loose.count - LOOSE_KEPT : TK_CONTAINER_ROWS_MAX / KIND_COUNT;

		rc = moving_init(&moving, count * KIND_COUNT, err);
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
