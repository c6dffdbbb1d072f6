#include "engine/vault/vault_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/fault.h"
#include "engine/base/hex.h"
#include "engine/fsio/openat.h"

enum tk_rc
tk_vfile_tmp_name(char name[TK_VFILE_TMP_MAX], struct tk_err *err)
{
	uint8_t random[8];
	enum tk_rc rc = tk_random_bytes(random, sizeof(random), err);

	memcpy(name, "p-", 2);
	tk_hex_encode(random, sizeof(random), name + 2);
	return rc;
}

static enum tk_rc
fault_at(const char *what, const char *step, struct tk_err *err)
{
	char name[64];

	(void)snprintf(name, sizeof(name), "%s.%s", what, step);
	return tk_fault_point(name, err);
}

static enum tk_rc
sync_parent(int root_fd, const char *path, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	const char *slash = strrchr(path, '/');
	char parent[TK_VFILE_PATH_MAX];

	(void)snprintf(parent, sizeof(parent), "%.*s", slash ? (int)(slash - path) : 1, slash ? path : ".");
	fd = tk_open_quiet(root_fd, parent, true);
	if (fd < 0 || fsync(fd) < 0)
		return tk_err_errno(err, TK_EIO, "fsync of %s", parent);
	return TK_OK;
}

static enum tk_rc
write_tmp(int root_fd, const char *tmp, const void *data, size_t len_bytes, const char *what, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = openat(root_fd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	enum tk_rc rc;

	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "making %s", tmp);
	rc = tk_write_full(fd, data, len_bytes, what, err);
	if (!rc)
		rc = fault_at(what, "fsync", err);
	if (!rc && fsync(fd) < 0)
		rc = tk_err_errno(err, TK_EIO, "fsync of %s", tmp);
	return rc ? rc : tk_fd_close(&fd, tmp, err);
}

enum tk_rc
tk_vfile_put(int root_fd, const char *path, const void *data, size_t len_bytes, const char *what, struct tk_err *err)
{
	char name[TK_VFILE_TMP_MAX], tmp[TK_VFILE_TMP_MAX + 8];
	enum tk_rc rc = tk_vfile_tmp_name(name, err);

	if (rc)
		return rc;
	(void)snprintf(tmp, sizeof(tmp), "tmp/%s", name);
	rc = write_tmp(root_fd, tmp, data, len_bytes, what, err);
	if (!rc)
		rc = fault_at(what, "rename", err);
	if (!rc && renameat(root_fd, tmp, root_fd, path) < 0)
		rc = tk_err_errno(err, TK_EIO, "renaming to %s", path);
	if (rc) {
		(void)unlinkat(root_fd, tmp, 0);
		return tk_err_context(err, rc, "%s", path);
	}
	rc = fault_at(what, "dirsync", err);
	return rc ? rc : sync_parent(root_fd, path, err);
}

enum tk_rc
tk_vfile_remove(int root_fd, const char *path, struct tk_err *err)
{
	if (unlinkat(root_fd, path, 0) < 0 && errno != ENOENT)
		return tk_err_errno(err, TK_EIO, "removing %s", path);
	return sync_parent(root_fd, path, err);
}

enum tk_rc
tk_vfile_get(int root_fd, const char *path, size_t max_bytes, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = openat(root_fd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	size_t got;
	enum tk_rc rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return tk_err_errno(err, TK_EIO, "%s", path);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max_bytes)
		return tk_err_set(err, TK_ECORRUPT, "%s: not a file of at most %zu bytes", path, max_bytes);
	rc = tk_buf_reserve(out, (size_t)st.st_size, err);
	if (!rc && st.st_size > 0) {
		rc = tk_read_full(fd, out->data + out->len_bytes, (size_t)st.st_size, &got, path, err);
		if (!rc)
			out->len_bytes += got;
	}
	return rc;
}

enum tk_rc
tk_vfile_mkdir(int root_fd, const char *path, struct tk_err *err)
{
	if (mkdirat(root_fd, path, 0700) < 0 && errno != EEXIST)
		return tk_err_errno(err, TK_EIO, "making %s", path);
	/* Also when it was there: the one who made it may have died before its fsync. */
	return sync_parent(root_fd, path, err);
}

static int
compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

enum tk_rc
tk_vfile_list_add(struct tk_vfile_list *list, const char *name, struct tk_err *err)
{
	size_t cap = list->cap ? list->cap * 2 : 16;
	char **grown;

	if (list->count == list->cap) {
		grown = realloc(list->names, cap * sizeof(*grown));
		if (!grown)
			return tk_err_set(err, TK_ENOMEM, "no memory for a list of names");
		list->names = grown;
		list->cap = cap;
	}
	list->names[list->count] = strdup(name);
	if (!list->names[list->count])
		return tk_err_set(err, TK_ENOMEM, "no memory for a name");
	list->count++;
	return TK_OK;
}

static enum tk_rc
list_fill(DIR *dir, struct tk_vfile_list *list, const char *path, struct tk_err *err)
{
	struct dirent *entry;
	enum tk_rc rc = TK_OK;

	while (!rc && (errno = 0, entry = readdir(dir)))
		if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
			rc = tk_vfile_list_add(list, entry->d_name, err);
	return !rc && errno ? tk_err_errno(err, TK_EIO, "reading %s", path) : rc;
}

enum tk_rc
tk_vfile_list(int root_fd, const char *path, struct tk_vfile_list *out, struct tk_err *err)
{
	int fd = tk_open_quiet(root_fd, path, true);
	enum tk_rc rc;
	DIR *dir;

	memset(out, 0, sizeof(*out));
	if (fd < 0)
		return errno == ENOENT ? TK_OK : tk_err_errno(err, TK_EIO, "%s", path);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return tk_err_errno(err, TK_EIO, "%s", path);
	}
	rc = list_fill(dir, out, path, err);
	closedir(dir);
	if (rc)
		tk_vfile_list_release(out);
	else
		tk_vfile_list_sort(out);
	return rc;
}

void
tk_vfile_list_sort(struct tk_vfile_list *list)
{
	if (list->count > 0)
		qsort(list->names, list->count, sizeof(*list->names), compare_names);
}

void
tk_vfile_list_release(struct tk_vfile_list *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->names[i]);
	free(list->names);
	memset(list, 0, sizeof(*list));
}

bool
tk_vfile_list_has(const struct tk_vfile_list *list, const char *name)
{
	return list->count > 0 && bsearch(&name, list->names, list->count, sizeof(*list->names), compare_names) != NULL;
}
