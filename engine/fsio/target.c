#include "engine/fsio/target.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/fsio/beneath.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/rmtree.h"
#include "engine/fsio/targetcore.h"

/* Takes over *fd. */
static struct tk_kept_dir *
kept_dir_new(int *fd)
{
	struct tk_kept_dir *dir = malloc(sizeof(*dir));

	if (!dir)
		return NULL;
	atomic_init(&dir->refs, 1);
	dir->fd = *fd;
	*fd = -1;
	return dir;
}

struct tk_kept_dir *
tk_kept_dir_take(struct tk_kept_dir *dir)
{
	atomic_fetch_add(&dir->refs, 1);
	return dir;
}

void
tk_kept_dir_cleanup(struct tk_kept_dir **dir)
{
	if (*dir && atomic_fetch_sub(&(*dir)->refs, 1) == 1) {
		tk_fd_cleanup(&(*dir)->fd);
		free(*dir);
	}
	*dir = NULL;
}

/* Takes over *root. */
static enum tk_rc
target_new(struct tk_kept_dir **root, struct tk_target **out, struct tk_err *err)
{
	*out = calloc(1, sizeof(**out));
	if (!*out || !*root) {
		free(*out);
		*out = NULL;
		return tk_err_set(err, TK_ENOMEM, "target: out of memory");
	}
	(*out)->root = *root;
	*root = NULL;
	tk_buf_init(&(*out)->path, 0);
	tk_buf_init(&(*out)->kept_path, 0);
	return TK_OK;
}

enum tk_rc
tk_target_open(const char *dir, bool create, struct tk_target **out, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	TK_AUTO(tk_kept_dir_cleanup) struct tk_kept_dir *root = NULL;
	enum tk_rc rc;

	*out = NULL;
	if (create && (rc = tk_mkdir_p_at(AT_FDCWD, dir, 0700, err)) != TK_OK)
		return rc;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return tk_err_errno(err, tk_fs_rc(), "the target %s", dir);
	root = kept_dir_new(&fd);
	return target_new(&root, out, err);
}

enum tk_rc
tk_target_dup(const struct tk_target *target, struct tk_target **out, struct tk_err *err)
{
	TK_AUTO(tk_kept_dir_cleanup) struct tk_kept_dir *root = tk_kept_dir_take(target->root);
	enum tk_rc rc = target_new(&root, out, err);

	if (rc == TK_OK)
		(*out)->is_fresh = target->is_fresh;
	return rc;
}

void
tk_target_set_fresh(struct tk_target *target)
{
	target->is_fresh = true;
}

const struct tk_look *
tk_target_look(const struct tk_target *target)
{
	return target->has_look ? &target->look : NULL;
}

void
tk_target_forget(struct tk_target *target)
{
	tk_kept_dir_cleanup(&target->kept);
}

void
tk_target_cleanup(struct tk_target **target)
{
	if (!*target)
		return;
	tk_target_forget(*target);
	tk_kept_dir_cleanup(&(*target)->root);
	tk_buf_release(&(*target)->path);
	tk_buf_release(&(*target)->kept_path);
	free(*target);
	*target = NULL;
}

/* Copies the path and cuts it: the parent's path in *parent, the rest in *name. */
static enum tk_rc
target_split(struct tk_target *target, const char *path, size_t len_bytes, const char **parent, const char **name, struct tk_err *err)
{
	char *text, *slash;
	enum tk_rc rc;

	tk_buf_clear(&target->path);
	if ((rc = tk_buf_put(&target->path, path, len_bytes, err)) != TK_OK)
		return rc;
	if ((rc = tk_buf_put_u8(&target->path, 0, err)) != TK_OK)
		return rc;
	text = (char *)target->path.data;
	slash = strrchr(text, '/');
	if (slash)
		*slash = '\0';
	*parent = slash ? text : "";
	*name = slash ? slash + 1 : *text ? text : ".";
	return TK_OK;
}

static enum tk_rc
target_keep(struct tk_target *target, const char *parent, bool create, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	enum tk_rc rc;

	tk_target_forget(target);
	tk_buf_clear(&target->kept_path);
	if ((rc = tk_buf_put(&target->kept_path, parent, strlen(parent) + 1, err)) != TK_OK)
		return rc;
	if ((rc = tk_beneath_open_dir(target->root->fd, parent, create, &fd, err)) != TK_OK)
		return rc;
	target->kept = kept_dir_new(&fd);
	return target->kept ? TK_OK : tk_err_set(err, TK_ENOMEM, "target: out of memory");
}

enum tk_rc
tk_target_parent_dir(struct tk_target *target, const char *path, size_t len_bytes, bool create_parents, struct tk_kept_dir **dir,
	const char **name, struct tk_err *err)
{
	const char *parent;
	enum tk_rc rc;

	if ((rc = tk_beneath_check(path, len_bytes, err)) != TK_OK)
		return rc;
	if ((rc = target_split(target, path, len_bytes, &parent, name, err)) != TK_OK)
		return rc;
	if (!*parent) {
		*dir = target->root;
		return TK_OK;
	}
	if (!target->kept || strcmp((const char *)target->kept_path.data, parent) != 0)
		if ((rc = target_keep(target, parent, create_parents, err)) != TK_OK)
			return rc;
	*dir = target->kept;
	return TK_OK;
}

enum tk_rc
tk_target_parent(struct tk_target *target, const char *path, size_t len_bytes, bool create_parents, int *dirfd, const char **name,
	struct tk_err *err)
{
	struct tk_kept_dir *dir;
	enum tk_rc rc = tk_target_parent_dir(target, path, len_bytes, create_parents, &dir, name, err);

	*dirfd = rc == TK_OK ? dir->fd : -1;
	return rc;
}

enum tk_rc
tk_target_stat(struct tk_target *target, const char *path, size_t len_bytes, struct tk_stat *st, struct tk_err *err)
{
	const char *name;
	int dirfd;
	enum tk_rc rc = tk_target_parent(target, path, len_bytes, false, &dirfd, &name, err);

	return rc == TK_OK ? tk_stat_at(dirfd, name, st, err) : rc;
}

enum tk_rc
tk_target_open_file(struct tk_target *target, const char *path, size_t len_bytes, int *fd, struct tk_stat *st, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int file = -1;
	const char *name;
	int dirfd;
	enum tk_rc rc;

	*fd = -1;
	if ((rc = tk_target_parent(target, path, len_bytes, false, &dirfd, &name, err)) != TK_OK)
		return rc;
	if ((rc = tk_stat_at(dirfd, name, st, err)) != TK_OK)
		return rc;
	/* Looked at before it is opened: opening a device can do things. */
	if (st->type != TK_FT_REG)
		return tk_err_set(err, TK_ENOTSAFE, "%s is not a regular file", name);
	file = tk_open_quiet(dirfd, name, false);
	if (file < 0)
		return tk_err_errno(err, errno == ELOOP ? TK_ENOTSAFE : tk_fs_rc(), "opening %s", name);
	if ((rc = tk_stat_fd(file, st, err)) != TK_OK)
		return rc;
	if (st->type != TK_FT_REG)
		return tk_err_set(err, TK_ENOTSAFE, "%s is not a regular file", name);
	*fd = file;
	file = -1;
	return TK_OK;
}

enum tk_rc
tk_target_list(struct tk_target *target, const char *path, size_t len_bytes, struct tk_dirlist *names, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	const char *name;
	int dirfd;
	enum tk_rc rc;

	if ((rc = tk_target_parent(target, path, len_bytes, false, &dirfd, &name, err)) != TK_OK)
		return rc;
	fd = tk_open_quiet(dirfd, name, true);
	if (fd < 0)
		return tk_err_errno(err, errno == ELOOP || errno == ENOTDIR ? TK_ENOTSAFE : tk_fs_rc(), "listing %s", name);
	return tk_dirlist_read(names, fd, NULL, err);
}

enum tk_rc
tk_target_remove(struct tk_target *target, const char *path, size_t len_bytes, struct tk_err *err)
{
	const char *name;
	int dirfd;
	enum tk_rc rc;

	if (len_bytes == 0)
		return tk_err_set(err, TK_ENOTSAFE, "the target itself is not removed");
	rc = tk_target_parent(target, path, len_bytes, false, &dirfd, &name, err);
	if (rc == TK_ENOENT)
		return TK_OK;
	if (rc == TK_OK)
		rc = tk_rmtree_at(dirfd, name, err);
	/* The directory that is kept may have been inside. */
	tk_target_forget(target);
	return rc;
}

enum tk_rc
tk_target_sync(struct tk_target *target, struct tk_err *err)
{
	return syncfs(target->root->fd) < 0 ? tk_err_errno(err, TK_EIO, "making the target durable") : TK_OK;
}
