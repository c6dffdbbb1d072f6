#include "transport/home_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/fsio/openat.h"

#define PATH_BYTES_MAX 512

/* "a/b/c" -> "a/b"; "c" -> "." */
static enum tk_rc
parent_of(const char *path, char dst[PATH_BYTES_MAX], struct tk_err *err)
{
	const char *slash = strrchr(path, '/');
	size_t len = slash ? (size_t)(slash - path) : 1;

	if (len >= PATH_BYTES_MAX)
		return tk_err_set(err, TK_EINVAL, "the path %s is too long", path);
	memcpy(dst, slash ? path : ".", len);
	dst[len] = '\0';
	return TK_OK;
}

static enum tk_rc
sync_directory(int dirfd, const char *path, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	char parent[PATH_BYTES_MAX];
	enum tk_rc rc = parent_of(path, parent, err);

	if (rc)
		return rc;
	fd = openat(dirfd, parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return tk_err_errno(err, TK_EIO, "make the name %s durable", path);
	return TK_OK;
}

static enum tk_rc
write_tmp(int dirfd, const char *tmp, const void *data, size_t len_bytes, mode_t mode, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
	enum tk_rc rc;

	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "create %s", tmp);
	/* The umask must not decide who reads a key. */
	if (fchmod(fd, mode) < 0)
		return tk_err_errno(err, TK_EIO, "set the mode of %s", tmp);
	rc = tk_write_full(fd, data, len_bytes, tmp, err);
	if (rc)
		return rc;
	if (fsync(fd) < 0)
		return tk_err_errno(err, TK_EIO, "fsync of %s", tmp);
	return tk_fd_close(&fd, tmp, err);
}

enum tk_rc
tk_home_file_put(int dirfd, const char *path, const void *data, size_t len_bytes, mode_t mode, struct tk_err *err)
{
	char tmp[PATH_BYTES_MAX], hex[13];
	uint8_t random[6];
	enum tk_rc rc = tk_random_bytes(random, sizeof(random), err);

	if (rc)
		return rc;
	tk_hex_encode(random, sizeof(random), hex);
	if ((size_t)snprintf(tmp, sizeof(tmp), "%s.%s.tmp", path, hex) >= sizeof(tmp))
		return tk_err_set(err, TK_EINVAL, "the path %s is too long", path);
	rc = write_tmp(dirfd, tmp, data, len_bytes, mode, err);
	if (!rc && renameat(dirfd, tmp, dirfd, path) < 0)
		rc = tk_err_errno(err, TK_EIO, "publish %s", path);
	if (rc) {
		(void)unlinkat(dirfd, tmp, 0);
		return rc;
	}
	return sync_directory(dirfd, path, err);
}

enum tk_rc
tk_home_file_get(int dirfd, const char *path, size_t max_bytes, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = openat(dirfd, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	size_t got;
	enum tk_rc rc;

	if (fd < 0 || fstat(fd, &st) < 0)
		return tk_err_errno(err, TK_EIO, "open %s", path);
	if (!S_ISREG(st.st_mode) || (uint64_t)st.st_size > max_bytes)
		return tk_err_set(err, TK_ECORRUPT, "%s is not a file of at most %zu bytes", path, max_bytes);
	rc = tk_buf_reserve(out, (size_t)st.st_size + 1, err);
	if (rc)
		return rc;
	rc = tk_read_full(fd, out->data + out->len_bytes, (size_t)st.st_size, &got, path, err);
	if (!rc)
		out->len_bytes += got;
	return rc;
}

enum tk_rc
tk_home_file_mkdir(int dirfd, const char *path, mode_t mode, struct tk_err *err)
{
	if (mkdirat(dirfd, path, mode) == 0)
		return sync_directory(dirfd, path, err);
	if (errno != EEXIST)
		return tk_err_errno(err, TK_EIO, "make the directory %s", path);
	return TK_OK;
}
