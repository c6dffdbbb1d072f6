#include "engine/fsio/xattrio.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "engine/fsio/fstat.h"

/* The kernel's own limits (XATTR_LIST_MAX, XATTR_SIZE_MAX). */
#define XATTR_CAP_BYTES 65536

enum tk_rc
tk_xattrio_init(struct tk_xattrio *io, int fd, int parent_dirfd, const char *name, struct tk_err *err)
{
	int len;

	io->fd = fd;
	io->path[0] = '\0';
	if (fd >= 0)
		return TK_OK;

	/* The magic link leads to the very directory behind the descriptor, and the l-calls do not follow the
	 * last component: no race with whoever renames things above it. */
	len = snprintf(io->path, sizeof(io->path), "/proc/self/fd/%d/%s", parent_dirfd, name);
	if (len < 0 || (size_t)len >= sizeof(io->path))
		return tk_err_set(err, TK_EINVAL, "the name is too long: %s", name);
	return TK_OK;
}

static ssize_t
io_list(const struct tk_xattrio *io, void *dst, size_t len_bytes)
{
	return io->fd >= 0 ? flistxattr(io->fd, dst, len_bytes) : llistxattr(io->path, dst, len_bytes);
}

static ssize_t
io_get(const struct tk_xattrio *io, const char *name, void *dst, size_t len_bytes)
{
	return io->fd >= 0 ? fgetxattr(io->fd, name, dst, len_bytes) : lgetxattr(io->path, name, dst, len_bytes);
}

/* Tries with what memory is there, and with all that the kernel could want when that was too little. */
static ssize_t
io_read(const struct tk_xattrio *io, const char *name, struct tk_buf *dst, enum tk_rc *rc, struct tk_err *err)
{
	ssize_t got = -1;

	tk_buf_clear(dst);
	for (size_t room = 256; room <= XATTR_CAP_BYTES; room *= 256) {
		if ((*rc = tk_buf_reserve(dst, room, err)) != TK_OK)
			return -1;
		got = name ? io_get(io, name, dst->data, room) : io_list(io, dst->data, room);
		if (got >= 0 || errno != ERANGE)
			break;
	}
	if (got >= 0)
		dst->len_bytes = (size_t)got;
	return got;
}

/* In a rescue system without /proc, symlinks and nodes have no attributes; they have not vanished. */
static bool
no_proc(const struct tk_xattrio *io)
{
	return io->fd < 0 && errno == ENOENT && access("/proc/self/fd", F_OK) < 0;
}

enum tk_rc
tk_xattrio_list(const struct tk_xattrio *io, struct tk_buf *names, struct tk_err *err)
{
	enum tk_rc rc;

	if (io_read(io, NULL, names, &rc, err) >= 0)
		return TK_OK;
	if (rc != TK_OK)
		return rc;
	if (errno == EOPNOTSUPP || errno == ENOSYS || no_proc(io))
		return TK_OK;
	return tk_err_errno(err, tk_fs_rc(), "listing extended attributes");
}

enum tk_rc
tk_xattrio_get(const struct tk_xattrio *io, const char *name, struct tk_buf *value, struct tk_err *err)
{
	enum tk_rc rc;

	if (io_read(io, name, value, &rc, err) >= 0)
		return TK_OK;
	if (rc != TK_OK)
		return rc;
	if (errno == ENODATA || errno == EOPNOTSUPP)
		return TK_EMISSING;
	return tk_err_errno(err, tk_fs_rc(), "reading the extended attribute %s", name);
}

int
tk_xattrio_set(const struct tk_xattrio *io, const char *name, const void *value, size_t len_bytes)
{
	return io->fd >= 0 ? fsetxattr(io->fd, name, value, len_bytes, 0) : lsetxattr(io->path, name, value, len_bytes, 0);
}

int
tk_xattrio_remove(const struct tk_xattrio *io, const char *name)
{
	return io->fd >= 0 ? fremovexattr(io->fd, name) : lremovexattr(io->path, name);
}
