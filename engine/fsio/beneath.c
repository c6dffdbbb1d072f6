#include "engine/fsio/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "engine/fsio/fstat.h"
#include "engine/fsio/openat.h"

#define DIR_FLAGS (O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)

enum tk_rc
tk_beneath_check(const char *path, size_t len_bytes, struct tk_err *err)
{
	size_t start = 0;

	if (len_bytes == 0)
		return TK_OK;
	if (memchr(path, '\0', len_bytes))
		return tk_err_set(err, TK_ENOTSAFE, "a path has a NUL in it");
	for (size_t at = 0; at <= len_bytes; at++) {
		size_t part = at - start;

		if (at < len_bytes && path[at] != '/')
			continue;
		if (part == 0 || (path[start] == '.' && (part == 1 || (part == 2 && path[start + 1] == '.'))))
			return tk_err_set(err, TK_ENOTSAFE, "the path %.*s would leave the target",
				len_bytes > 512 ? 512 : (int)len_bytes, path);
		if (part > NAME_MAX * 4)
			return tk_err_set(err, TK_ENOTSAFE, "a name of %zu bytes is too long", part);
		start = at + 1;
	}
	return TK_OK;
}

static enum tk_rc
refused(const char *path, struct tk_err *err)
{
	/* ENOTDIR is what O_DIRECTORY says of a symlink, too. */
	if (errno == ELOOP || errno == ENOTDIR || errno == EXDEV)
		return tk_err_set(err, TK_ENOTSAFE, "a symlink or something else that is no directory is in the way of %s", path);
	return tk_err_errno(err, tk_fs_rc(), "opening the directory %s", path);
}

/* One component below *fd, which moves into it. */
static enum tk_rc
step_into(int *fd, const char *name, bool create, struct tk_err *err)
{
	int next = openat(*fd, name, DIR_FLAGS);

	if (next < 0 && errno == ENOENT && create) {
		if (mkdirat(*fd, name, 0700) < 0 && errno != EEXIST)
			return tk_err_errno(err, tk_fs_rc(), "making the directory %s", name);
		next = openat(*fd, name, DIR_FLAGS);
	}
	if (next < 0)
		return refused(name, err);
	tk_fd_cleanup(fd);
	*fd = next;
	return TK_OK;
}

enum tk_rc
tk_beneath_open_steps(int dirfd, const char *path, bool create, int *fd, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int at = openat(dirfd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX * 4 + 1];
	enum tk_rc rc;

	*fd = -1;
	if (at < 0)
		return tk_err_errno(err, tk_fs_rc(), "opening the directory %s", path);
	while (*path) {
		size_t len = strcspn(path, "/");

		if (len >= sizeof(name))
			return tk_err_set(err, TK_ENOTSAFE, "a name of %zu bytes is too long", len);
		memcpy(name, path, len);
		name[len] = '\0';
		if ((rc = step_into(&at, name, create, err)) != TK_OK)
			return rc;
		path += len;
		path += *path == '/';
	}
	*fd = at;
	at = -1;
	return TK_OK;
}

static int
open_beneath(int dirfd, const char *path)
{
	struct open_how how = {
		.flags = DIR_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dirfd, path, &how, sizeof(how));
}

/* Opens a prefix of whole components that the kernel accepts in one call; *used_bytes includes the slash behind it. */
static int
open_piece(int dirfd, const char *path, size_t *used_bytes)
{
	char piece[PATH_MAX];
	size_t len = strlen(path);
	int fd;

	if (len >= sizeof(piece)) {
		len = sizeof(piece) - 1;
		while (path[len] != '/')
			len--;
	}
	memcpy(piece, path, len);
	piece[len] = '\0';
	/* EAGAIN: something was renamed above meanwhile; it says nothing about this path. */
	do
		fd = open_beneath(dirfd, piece);
	while (fd < 0 && errno == EAGAIN);
	*used_bytes = len + (path[len] == '/');
	return fd;
}

enum tk_rc
tk_beneath_open_dir(int dirfd, const char *path, bool create, int *fd, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int at = -1;

	*fd = -1;
	if (!*path)
		return tk_beneath_open_steps(dirfd, path, false, fd, err);
	for (const char *rest = path; *rest;) {
		size_t used;
		int next = open_piece(at < 0 ? dirfd : at, rest, &used);

		/* Step by step where openat2 is missing or forbidden, or where directories are. */
		if (next < 0 && (errno == ENOSYS || errno == EPERM || (errno == ENOENT && create)))
			return tk_beneath_open_steps(at < 0 ? dirfd : at, rest, create, fd, err);
		if (next < 0)
			return refused(path, err);
		tk_fd_cleanup(&at);
		at = next;
		rest += used;
	}
	*fd = at;
	at = -1;
	return TK_OK;
}
