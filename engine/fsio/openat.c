#include "engine/fsio/openat.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/types.h>
#include <unistd.h>

/* The kernel transfers at most this much in one call; also keeps sums inside ssize_t. */
#define STEP_MAX_BYTES 0x7ffff000U

void
tk_fd_cleanup(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

enum tk_rc
tk_fd_close(int *fd, const char *what, struct tk_err *err)
{
	int rc = close(*fd);

	/* Linux frees the descriptor even when close is interrupted: never try again. */
	*fd = -1;
	if (rc < 0 && errno != EINTR)
		return tk_err_errno(err, TK_EIO, "closing %s", what);
	return TK_OK;
}

int
tk_open_quiet(int dirfd, const char *name, bool directory)
{
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | (directory ? O_DIRECTORY : 0);
	int fd = openat(dirfd, name, flags | O_NOATIME);

	/* Only the owner may leave the access time alone. */
	if (fd < 0 && errno == EPERM)
		fd = openat(dirfd, name, flags);
	return fd;
}

int
tk_open_inode(int dirfd, uint64_t ino, unsigned max_names)
{
	int listed = tk_open_quiet(dirfd, ".", true), fd = -1;
	DIR *dir = listed < 0 ? NULL : fdopendir(listed);
	const struct dirent *entry;

	if (!dir) {
		tk_fd_cleanup(&listed);
		return -1;
	}
	while (fd < 0 && max_names-- > 0 && (entry = readdir(dir)))
		if (entry->d_ino == ino)
			fd = tk_open_quiet(dirfd, entry->d_name, false);
	closedir(dir);
	return fd;
}

static size_t
step_of(size_t len_bytes)
{
	return len_bytes < STEP_MAX_BYTES ? len_bytes : STEP_MAX_BYTES;
}

enum tk_rc
tk_write_full(int fd, const void *src, size_t len_bytes, const char *what, struct tk_err *err)
{
	const uint8_t *at = src;

	while (len_bytes > 0) {
		ssize_t done = write(fd, at, step_of(len_bytes));

		if (done < 0) {
			if (errno == EINTR)
				continue;
			return tk_err_errno(err, TK_EIO, "writing %s", what);
		}
		at += done;
		len_bytes -= (size_t)done;
	}
	return TK_OK;
}

enum tk_rc
tk_pwrite_full(int fd, const void *src, size_t len_bytes, uint64_t offset_bytes, const char *what, struct tk_err *err)
{
	const uint8_t *at = src;

	while (len_bytes > 0) {
		ssize_t done = pwrite(fd, at, step_of(len_bytes), (off_t)offset_bytes);

		if (done < 0) {
			if (errno == EINTR)
				continue;
			return tk_err_errno(err, TK_EIO, "writing %s", what);
		}
		at += done;
		offset_bytes += (uint64_t)done;
		len_bytes -= (size_t)done;
	}
	return TK_OK;
}

enum tk_rc
tk_read_full(int fd, void *dst, size_t len_bytes, size_t *got_bytes, const char *what, struct tk_err *err)
{
	uint8_t *at = dst;

	*got_bytes = 0;
	while (*got_bytes < len_bytes) {
		ssize_t done = read(fd, at + *got_bytes, step_of(len_bytes - *got_bytes));

		if (done == 0)
			return TK_OK;
		if (done < 0) {
			if (errno == EINTR)
				continue;
			return tk_err_errno(err, TK_EIO, "reading %s", what);
		}
		*got_bytes += (size_t)done;
	}
	return TK_OK;
}

enum tk_rc
tk_pread_full(int fd, void *dst, size_t len_bytes, uint64_t offset_bytes, size_t *got_bytes, const char *what, struct tk_err *err)
{
	uint8_t *at = dst;

	*got_bytes = 0;
	while (*got_bytes < len_bytes) {
		ssize_t done = pread(fd, at + *got_bytes, step_of(len_bytes - *got_bytes), (off_t)(offset_bytes + *got_bytes));

		if (done == 0)
			return TK_OK;
		if (done < 0) {
			if (errno == EINTR)
				continue;
			return tk_err_errno(err, TK_EIO, "reading %s", what);
		}
		*got_bytes += (size_t)done;
	}
	return TK_OK;
}
