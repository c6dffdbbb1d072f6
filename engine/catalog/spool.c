#include "engine/catalog/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/catalog/domaindir.h"
#include "engine/fsio/dirlist.h"
#include "engine/fsio/fstat.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define HEX_LEN (2 * sizeof(struct tk_pack_name))
#define TMP_SUFFIX ".tmp"
#define AWAY_SUFFIX ".away"
#define NAME_MAX_BYTES (HEX_LEN + sizeof(AWAY_SUFFIX))

struct tk_spool {
	int dirfd;
};

struct spooled {
	struct tk_pack_name name;
	int64_t mtime_ns;
};

static void
pack_file(const struct tk_pack_name *name, const char *suffix, char dst[NAME_MAX_BYTES])
{
	tk_hex_encode(name->b, sizeof(name->b), dst);
	memcpy(dst + HEX_LEN, suffix, strlen(suffix) + 1);
}

/* ctx: the suffix. */
static bool
has_not(void *ctx, const char *name)
{
	const char *suffix = ctx;
	size_t len = strlen(name);
	size_t tail = strlen(suffix);

	return len < tail || strcmp(name + len - tail, suffix) != 0;
}

static enum tk_rc
sweep(struct tk_spool *spool, const char *suffix, struct tk_err *err)
{
	char text[sizeof(AWAY_SUFFIX)];

	(void)snprintf(text, sizeof(text), "%s", suffix);
	return tk_domain_dir_sweep(spool->dirfd, has_not, text, err);
}

enum tk_rc
tk_spool_open(const char *state_dir, const struct tk_id *domain, struct tk_spool **out, struct tk_err *err)
{
	TK_AUTO(tk_spool_cleanup) struct tk_spool *spool = calloc(1, sizeof(*spool));
	enum tk_rc rc;

	if (!spool)
		return tk_err_set(err, TK_ENOMEM, "no memory for the spool");
	spool->dirfd = -1;
	if ((rc = tk_domain_dir_open(state_dir, domain, "spool", &spool->dirfd, err)) ||
	    (rc = sweep(spool, TMP_SUFFIX, err)))
		return tk_err_context(err, rc, "opening the spool");
	*out = spool;
	spool = NULL;
	return TK_OK;
}

void
tk_spool_cleanup(struct tk_spool **spool)
{
	if (!*spool)
		return;
	tk_fd_cleanup(&(*spool)->dirfd);
	free(*spool);
	*spool = NULL;
}

enum tk_rc
tk_spool_create(struct tk_spool *spool, const struct tk_pack_name *name, int *fd, struct tk_err *err)
{
	char file[NAME_MAX_BYTES];

	pack_file(name, TMP_SUFFIX, file);
	*fd = openat(spool->dirfd, file, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return *fd < 0 ? tk_err_errno(err, errno == EEXIST ? TK_EEXIST : TK_EIO, "creating %s in the spool", file) : TK_OK;
}

enum tk_rc
tk_spool_complete(struct tk_spool *spool, const struct tk_pack_name *name, int fd, struct tk_err *err)
{
	char from[NAME_MAX_BYTES];
	char to[NAME_MAX_BYTES];

	pack_file(name, TMP_SUFFIX, from);
	pack_file(name, "", to);
	/* A name without the suffix promises whole bytes, also after a power cut: a pack sent twice must be the same twice. */
	if (fsync(fd) < 0)
		return tk_err_errno(err, TK_EIO, "fsync of %s in the spool", from);
	if (renameat(spool->dirfd, from, spool->dirfd, to) < 0)
		return tk_err_errno(err, TK_EIO, "renaming %s in the spool", from);
	return TK_OK;
}

void
tk_spool_discard(struct tk_spool *spool, const struct tk_pack_name *name)
{
	char file[NAME_MAX_BYTES];

	pack_file(name, TMP_SUFFIX, file);
	(void)unlinkat(spool->dirfd, file, 0);
}

enum tk_rc
tk_spool_sync(struct tk_spool *spool, struct tk_err *err)
{
	return tk_fsync_dir(spool->dirfd, "the spool", err);
}

enum tk_rc
tk_spool_read(struct tk_spool *spool, const struct tk_pack_name *name, int *fd, uint64_t *len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int file_fd = -1;
	char file[NAME_MAX_BYTES];
	struct stat st;

	pack_file(name, "", file);
	file_fd = openat(spool->dirfd, file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	if (file_fd < 0)
		return tk_err_errno(err, tk_fs_rc(), "opening %s in the spool", file);
	if (fstat(file_fd, &st) < 0)
		return tk_err_errno(err, TK_EIO, "looking at %s in the spool", file);
	if (!S_ISREG(st.st_mode))
		return tk_err_set(err, TK_ECORRUPT, "%s in the spool is not a file", file);
	*len_bytes = (uint64_t)st.st_size;
	*fd = file_fd;
	file_fd = -1;
	return TK_OK;
}

enum tk_rc
tk_spool_remove(struct tk_spool *spool, const struct tk_pack_name *name, struct tk_err *err)
{
	char file[NAME_MAX_BYTES];

	pack_file(name, "", file);
	if (unlinkat(spool->dirfd, file, 0) < 0 && errno != ENOENT)
		return tk_err_errno(err, TK_EIO, "removing %s from the spool", file);
	return TK_OK;
}

enum tk_rc
tk_spool_send_away(struct tk_spool *spool, const struct tk_pack_name *name, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	char file[NAME_MAX_BYTES];

	pack_file(name, AWAY_SUFFIX, file);
	fd = openat(spool->dirfd, file, O_WRONLY | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	/* On a full disk the pack goes without a note. */
	if (fd < 0 && errno != ENOSPC && errno != EDQUOT)
		return tk_err_errno(err, TK_EIO, "creating %s in the spool", file);
	return tk_spool_remove(spool, name, err);
}

enum tk_rc
tk_spool_forget_away(struct tk_spool *spool, struct tk_err *err)
{
	return sweep(spool, AWAY_SUFFIX, err);
}

enum tk_rc
tk_spool_room(struct tk_spool *spool, uint64_t *free_bytes, struct tk_err *err)
{
	struct statvfs fs;

	if (fstatvfs(spool->dirfd, &fs) < 0)
		return tk_err_errno(err, TK_EIO, "looking for room in the spool");
	*free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	return TK_OK;
}

static int
by_age(const void *left, const void *right)
{
	const struct spooled *a = left;
	const struct spooled *b = right;

	if (a->mtime_ns != b->mtime_ns)
		return a->mtime_ns < b->mtime_ns ? -1 : 1;
	return memcmp(&a->name, &b->name, sizeof(a->name));
}

/* Looks at one name; *taken says whether it is a complete pack. Senders remove packs meanwhile: one that is gone is no fault. */
static enum tk_rc
look_at(const struct tk_spool *spool, const char *file, struct spooled *row, uint64_t *size_bytes, bool *taken, struct tk_err *err)
{
	struct stat st;

	*taken = false;
	if (tk_hex_decode(file, row->name.b, sizeof(row->name.b), NULL))
		return TK_OK;
	if (fstatat(spool->dirfd, file, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? TK_OK : tk_err_errno(err, TK_EIO, "looking at %s in the spool", file);
	*taken = S_ISREG(st.st_mode);
	row->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	*size_bytes = (uint64_t)st.st_size;
	return TK_OK;
}

static enum tk_rc
collect(const struct tk_spool *spool, struct tk_dirlist *files, struct tk_buf *rows, uint64_t *total_bytes, struct tk_err *err)
{
	const char *file;
	enum tk_rc rc = TK_OK;

	while (!rc && (file = tk_dirlist_peek(files))) {
		struct spooled row = {0};
		uint64_t size_bytes = 0;
		bool taken;

		if ((rc = look_at(spool, file, &row, &size_bytes, &taken, err)))
			return rc;
		if (taken) {
			*total_bytes += size_bytes;
			if ((rc = tk_buf_put(rows, &row, sizeof(row), err)))
				return rc;
		}
		rc = tk_dirlist_advance(files, err);
	}
	return rc;
}

static enum tk_rc
read_names(const struct tk_spool *spool, struct tk_dirlist *files, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = openat(spool->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd < 0 ? tk_err_errno(err, TK_EIO, "reading the spool") : tk_dirlist_read(files, fd, NULL, err);
}

enum tk_rc
tk_spool_list(struct tk_spool *spool, struct tk_pack_name **names, size_t *count, uint64_t *total_bytes, struct tk_err *err)
{
	TK_AUTO(tk_dirlist_release) struct tk_dirlist files;
	TK_AUTO(tk_buf_release) struct tk_buf rows;
	struct spooled row;
	enum tk_rc rc;

	tk_dirlist_init(&files);
	tk_buf_init(&rows, 0);
	*total_bytes = 0;
	if ((rc = read_names(spool, &files, err)) || (rc = collect(spool, &files, &rows, total_bytes, err)))
		return rc;
	*count = rows.len_bytes / sizeof(row);
	*names = calloc(*count ? *count : 1, sizeof(**names));
	if (!*names)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of the spool");
	if (*count)
		qsort(rows.data, *count, sizeof(row), by_age);
	for (size_t i = 0; i < *count; i++) {
		memcpy(&row, rows.data + i * sizeof(row), sizeof(row));
		(*names)[i] = row.name;
	}
	return TK_OK;
}

/* Is this the note of a pack that is not here? A crash may have left both: then the pack counts. */
static bool
is_away(const struct tk_spool *spool, const char *file, struct tk_pack_name *name)
{
	char hex[HEX_LEN + 1];

	if (strlen(file) != HEX_LEN + sizeof(AWAY_SUFFIX) - 1 || strcmp(file + HEX_LEN, AWAY_SUFFIX) != 0)
		return false;
	memcpy(hex, file, HEX_LEN);
	hex[HEX_LEN] = '\0';
	return tk_hex_decode(hex, name->b, sizeof(name->b), NULL) == TK_OK && faccessat(spool->dirfd, hex, F_OK, AT_SYMLINK_NOFOLLOW) < 0;
}

enum tk_rc
tk_spool_list_away(struct tk_spool *spool, struct tk_pack_name **names, size_t *count, struct tk_err *err)
{
	TK_AUTO(tk_dirlist_release) struct tk_dirlist files;
	TK_AUTO(tk_buf_release) struct tk_buf found;
	struct tk_pack_name name;
	const char *file;
	enum tk_rc rc;

	tk_dirlist_init(&files);
	tk_buf_init(&found, 0);
	rc = read_names(spool, &files, err);
	while (!rc && (file = tk_dirlist_peek(&files))) {
		if (is_away(spool, file, &name))
			rc = tk_buf_put(&found, &name, sizeof(name), err);
		if (!rc)
			rc = tk_dirlist_advance(&files, err);
	}
	if (rc)
		return rc;
	*count = found.len_bytes / sizeof(name);
	*names = malloc(found.len_bytes + 1);
	if (!*names)
		return tk_err_set(err, TK_ENOMEM, "no memory for the list of the spool");
	if (*count)
		memcpy(*names, found.data, found.len_bytes);
	return TK_OK;
}
