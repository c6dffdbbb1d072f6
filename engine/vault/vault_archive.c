#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/fsio/openat.h"
#include "engine/vault/vault_archive.h"

const char *const tk_archive_kinds[TK_ARCHIVE_KINDS] = {"points", "receipts"};

/* ---- keys ---- */

void
tk_archive_key(const struct tk_vname *parts, uint32_t kind, struct tk_pack_name *key)
{
	memcpy(key->b, parts->id_prefix, TK_ID_BYTES);
	for (unsigned i = 0; i < 8; i++)
		key->b[16 + i] = (uint8_t)(parts->sequence >> (56 - 8 * i));
	for (unsigned i = 0; i < 4; i++) {
		key->b[24 + i] = (uint8_t)(parts->epoch >> (24 - 8 * i));
		key->b[28 + i] = (uint8_t)(kind >> (24 - 8 * i));
	}
}

uint32_t
tk_archive_kind(const struct tk_pack_name *key)
{
	return (uint32_t)key->b[28] << 24 | (uint32_t)key->b[29] << 16 | (uint32_t)key->b[30] << 8 | key->b[31];
}

void
tk_archive_name(const struct tk_pack_name *key, char name[TK_POINT_FILE_NAME_MAX])
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

	while (kind < TK_ARCHIVE_KINDS && strcmp(tk_archive_kinds[kind], directory) != 0)
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
		struct tk_archive_row *grown = realloc(archive->rows, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for an archive of %zu records", cap);
		archive->rows = grown;
		archive->cap = cap;
	}
	for (size_t i = 0; i < count; i++)
		archive->rows[archive->count++] = (struct tk_archive_row){rows[i].name, number, rows[i].offset_bytes, rows[i].len_bytes};
	return TK_OK;
}

static enum tk_rc
add_container(struct tk_vault *vault, struct tk_varchive *archive, int dirfd, struct tk_archive_container *container, struct tk_err *err)
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
		struct tk_archive_container *grown = realloc(archive->containers, cap * sizeof(*grown));

		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for an archive of %zu containers", cap);
		archive->containers = grown;
		archive->container_cap = cap;
	}
	archive->containers[archive->container_count++] = (struct tk_archive_container){.number = number};
	return TK_OK;
}

int
tk_archive_compare_containers(const void *a, const void *b)
{
	const struct tk_archive_container *x = a, *y = b;

	return (x->number > y->number) - (x->number < y->number);
}

static int
compare_rows(const void *a, const void *b)
{
	const struct tk_archive_row *x = a, *y = b;
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
		qsort(archive->containers, archive->container_count, sizeof(*archive->containers), tk_archive_compare_containers);
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

enum tk_rc
tk_archive_enter(struct tk_vault *vault, const struct tk_id *domain, struct tk_varchive **out, int *dirfd, struct tk_err *err)
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

enum tk_rc
tk_archive_read(int dirfd, const struct tk_archive_row *row, struct tk_buf *out, struct tk_err *err)
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

static const struct tk_archive_row *
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
	const struct tk_archive_row *row = NULL;
	struct tk_pack_name key;
	struct tk_vname parts;
	enum tk_rc rc;

	if (kind == TK_ARCHIVE_KINDS || !name || !tk_vname_point(name, &parts))
		return tk_err_set(err, TK_ENOENT, "%s/%s: it is not there", directory, name ? name : "");
	tk_archive_key(&parts, kind, &key);
	(void)pthread_mutex_lock(&vault->archive_lock);
	rc = tk_archive_enter(vault, domain, &archive, &dirfd, err);
	if (!rc)
		row = find_row(archive, &key);
	if (!rc)
		rc = row ? tk_archive_read(dirfd, row, out, err) : tk_err_set(err, TK_ENOENT, "%s/%s: it is not there", directory, name);
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

	if (kind == TK_ARCHIVE_KINDS)
		return TK_OK;
	(void)pthread_mutex_lock(&vault->archive_lock);
	rc = tk_archive_enter(vault, domain, &archive, &dirfd, err);
	for (size_t i = 0; !rc && i < archive->count; i++) {
		struct tk_vfile_list files = {.names = names->names, .count = loose};

		if (tk_archive_kind(&archive->rows[i].key) != kind)
			continue;
		tk_archive_name(&archive->rows[i].key, name);
		if (!tk_vfile_list_has(&files, name))
			rc = tk_vfile_list_add(names, name, err);
	}
	(void)pthread_mutex_unlock(&vault->archive_lock);
	tk_vfile_list_sort(names);
	return rc;
}
