#include "engine/fsio/rmtree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/fsio/fstat.h"
#include "engine/fsio/metaapply.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

/* The way down from the top: for each level its name and what its parent is, to know it again on the way up. */
struct rmtree {
	int fd;                  /* the directory being emptied */
	uint64_t dev;            /* the one file system that is touched */
	struct tk_buf names;     /* of the levels, each ended by a NUL */
	struct tk_buf parents;   /* inode numbers, u64 */
};

/* Unlinks; where flags forbid it, clears those of the object and of its directory, and tries once more. -1 with errno. */
static int
unlink_hard(int dirfd, const char *name, int flags)
{
	int saved;

	if (unlinkat(dirfd, name, flags) == 0 || errno == ENOENT)
		return 0;
	saved = errno;
	if (saved == EPERM) {
		bool cleared = tk_meta_unlock(dirfd, name);

		cleared |= tk_meta_unlock(dirfd, ".");
		if (cleared && (unlinkat(dirfd, name, flags) == 0 || errno == ENOENT))
			return 0;
		saved = cleared ? errno : saved;
	}
	errno = saved;
	return -1;
}

static bool
is_not_empty(void)
{
	return errno == ENOTEMPTY || errno == EEXIST;
}

/* Opens a directory to be emptied; refuses another file system. */
static enum tk_rc
open_victim(int dirfd, const char *name, uint64_t dev, int *fd, struct tk_stat *st, struct tk_err *err)
{
	enum tk_rc rc;

	*fd = tk_open_quiet(dirfd, name, true);
	if (*fd < 0)
		return tk_err_errno(err, tk_fs_rc(), "removing the directory %s", name);
	if ((rc = tk_stat_fd(*fd, st, err)) == TK_OK && st->dev == dev && !st->is_mount_root)
		return TK_OK;
	tk_fd_cleanup(fd);
	return rc != TK_OK ? rc : tk_err_set(err, TK_ENOTSAFE, "%s is a mount point: not removed", name);
}

/* Removes what can be removed at once; *name becomes the first directory that must be emptied before (or ""). */
static enum tk_rc
sweep_level(struct rmtree *rm, char name[256 * 4], struct tk_err *err)
{
	TK_AUTO(tk_dir_cleanup) DIR *dir = NULL;
	int fd = openat(rm->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;

	name[0] = '\0';
	if (fd < 0 || !(dir = fdopendir(fd))) {
		tk_fd_cleanup(&fd);
		return tk_err_errno(err, TK_EIO, "reading a directory to remove");
	}
	while ((errno = 0, entry = readdir(dir))) {
		const char *at = entry->d_name;

		if (strcmp(at, ".") == 0 || strcmp(at, "..") == 0)
			continue;
		if (entry->d_type != DT_DIR && unlink_hard(rm->fd, at, 0) == 0)
			continue;
		if (entry->d_type != DT_DIR && errno != EISDIR)
			return tk_err_errno(err, tk_fs_rc(), "removing %s", at);
		if (unlink_hard(rm->fd, at, AT_REMOVEDIR) == 0)
			continue;
		if (!is_not_empty() && errno != EBUSY)
			return tk_err_errno(err, tk_fs_rc(), "removing the directory %s", at);
		memcpy(name, at, strlen(at) + 1);
		return TK_OK;
	}
	return errno ? tk_err_errno(err, TK_EIO, "reading a directory to remove") : TK_OK;
}

static enum tk_rc
go_down(struct rmtree *rm, const char *name, struct tk_err *err)
{
	struct tk_stat here, st;
	enum tk_rc rc;
	int next;

	if ((rc = tk_stat_fd(rm->fd, &here, err)) != TK_OK)
		return rc;
	if ((rc = open_victim(rm->fd, name, rm->dev, &next, &st, err)) != TK_OK)
		return rc;
	tk_fd_cleanup(&rm->fd);
	rm->fd = next;
	if ((rc = tk_buf_put(&rm->names, name, strlen(name) + 1, err)) != TK_OK)
		return rc;
	return tk_buf_put_u64(&rm->parents, here.ino, err);
}

static enum tk_rc
go_up(struct rmtree *rm, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int up = openat(rm->fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct tk_stat st;
	uint64_t ino = 0;
	size_t at;

	if (up < 0 || tk_stat_fd(up, &st, NULL) != TK_OK)
		return tk_err_errno(err, TK_EIO, "removing a directory");
	rm->parents.len_bytes -= sizeof(ino);
	for (size_t i = 0; i < sizeof(ino); i++)
		ino |= (uint64_t)rm->parents.data[rm->parents.len_bytes + i] << (8 * i);
	/* Whoever moves directories about must not make us delete elsewhere. */
	if (st.ino != ino || st.dev != rm->dev)
		return tk_err_set(err, TK_ENOTSAFE, "a directory moved while it was removed");
	for (at = rm->names.len_bytes - 1; at > 0 && rm->names.data[at - 1] != '\0'; at--)
		;
	if (unlink_hard(up, (const char *)rm->names.data + at, AT_REMOVEDIR) < 0 && !is_not_empty())
		return tk_err_errno(err, tk_fs_rc(), "removing the directory %s", (const char *)rm->names.data + at);
	rm->names.len_bytes = at;
	tk_fd_cleanup(&rm->fd);
	rm->fd = up;
	up = -1;
	return TK_OK;
}

static enum tk_rc
empty_tree(struct rmtree *rm, struct tk_err *err)
{
	char name[256 * 4];
	enum tk_rc rc;

	for (;;) {
		if ((rc = sweep_level(rm, name, err)) != TK_OK)
			return rc;
		if (name[0])
			rc = go_down(rm, name, err);
		else if (rm->names.len_bytes == 0)
			return TK_OK;
		else
			rc = go_up(rm, err);
		if (rc != TK_OK)
			return rc;
	}
}

enum tk_rc
tk_rmtree_at(int dirfd, const char *name, struct tk_err *err)
{
	struct rmtree rm = {.fd = -1};
	struct tk_stat here, st;
	enum tk_rc rc;

	if (unlink_hard(dirfd, name, 0) == 0)
		return TK_OK;
	if (errno != EISDIR && errno != EPERM)
		return tk_err_errno(err, tk_fs_rc(), "removing %s", name);
	if (unlink_hard(dirfd, name, AT_REMOVEDIR) == 0)
		return TK_OK;
	if (!is_not_empty() && errno != EBUSY)
		return tk_err_errno(err, tk_fs_rc(), "removing %s", name);
	if ((rc = tk_stat_fd(dirfd, &here, err)) != TK_OK)
		return rc;
	rm.dev = here.dev;
	if ((rc = open_victim(dirfd, name, rm.dev, &rm.fd, &st, err)) != TK_OK)
		return rc;
	tk_buf_init(&rm.names, 0);
	tk_buf_init(&rm.parents, 0);
	rc = empty_tree(&rm, err);
	tk_fd_cleanup(&rm.fd);
	tk_buf_release(&rm.names);
	tk_buf_release(&rm.parents);
	if (rc == TK_OK && unlink_hard(dirfd, name, AT_REMOVEDIR) < 0)
		return tk_err_errno(err, tk_fs_rc(), "removing the directory %s", name);
	return rc;
}
