#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "engine/fsio/openat.h"
#include "engine/fsio/rmtree.h"
#include "engine/fsio/targetcore.h"
#include "engine/fsio/xattrio.h"

/* What makes one object that is not a regular file. */
struct maker {
	const char *link_target;   /* a symlink */
	const char *old_name;      /* a hard link to it, in old_dirfd */
	int old_dirfd;
	mode_t mode;               /* a node */
	dev_t rdev;
};

struct tk_target_file {
	struct tk_kept_dir *dir;   /* a reference */
	int fd;
	const char *current_name;  /* where it lies, its own name or the temporary one; NULL: nowhere, or it is committed */
	char tmp_name[TK_TMP_NAME_MAX];
	char name[];
};

static int
maker_run(const struct maker *maker, int dirfd, const char *name)
{
	if (maker->link_target)
		return symlinkat(maker->link_target, dirfd, name);
	if (maker->old_name)
		return linkat(maker->old_dirfd, maker->old_name, dirfd, name, 0);
	return mknodat(dirfd, name, maker->mode, maker->rdev);
}

/* Immutable or append-only directories and originals refuse new names: clears that, and tries once more. */
static int
maker_run_hard(const struct maker *maker, int dirfd, const char *name)
{
	bool cleared;

	if (maker_run(maker, dirfd, name) == 0)
		return 0;
	if (errno != EPERM)
		return -1;
	cleared = tk_meta_unlock(dirfd, ".");
	if (maker->old_name)
		cleared |= tk_meta_unlock(maker->old_dirfd, maker->old_name);
	if (!cleared) {
		errno = EPERM;
		return -1;
	}
	return maker_run(maker, dirfd, name);
}

/* Renames over whatever is there: immutable, a directory, or both. The temporary name is gone afterwards, if it worked. */
static enum tk_rc
rename_over(int dirfd, const char *tmp_name, const char *name, struct tk_err *err)
{
	int done = renameat(dirfd, tmp_name, dirfd, name);
	enum tk_rc rc;

	if (done < 0 && errno == EPERM) {
		(void)tk_meta_unlock(dirfd, ".");
		(void)tk_meta_unlock(dirfd, name);
		done = renameat(dirfd, tmp_name, dirfd, name);
	}
	if (done < 0 && (errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST)) {
		if ((rc = tk_rmtree_at(dirfd, name, err)) != TK_OK)
			return rc;
		done = renameat(dirfd, tmp_name, dirfd, name);
	}
	return done < 0 ? tk_err_errno(err, tk_fs_rc(), "putting %s in its place", name) : TK_OK;
}

static enum tk_rc
make_replacing(int dirfd, const char *name, const struct maker *maker, struct tk_err *err)
{
	char tmp_name[TK_TMP_NAME_MAX];
	enum tk_rc rc;

	if (maker_run_hard(maker, dirfd, name) == 0)
		return TK_OK;
	if (errno != EEXIST)
		return tk_err_errno(err, tk_fs_rc(), "making %s", name);
	if ((rc = tk_publish_tmp_name(tmp_name, err)) != TK_OK)
		return rc;
	if (maker_run_hard(maker, dirfd, tmp_name) < 0)
		return tk_err_errno(err, tk_fs_rc(), "making %s", name);
	rc = rename_over(dirfd, tmp_name, name, err);
	/* Renaming one hard link over another one of the same object does nothing, and keeps both names. */
	if (rc != TK_OK || maker->old_name)
		(void)unlinkat(dirfd, tmp_name, 0);
	return rc;
}

static enum tk_rc
target_make(struct tk_target *target, const char *path, size_t len_bytes, const struct maker *maker, struct tk_err *err)
{
	const char *name;
	int dirfd;
	enum tk_rc rc;

	if (len_bytes == 0)
		return tk_err_set(err, TK_ENOTSAFE, "the target itself is not replaced");
	if ((rc = tk_target_parent(target, path, len_bytes, true, &dirfd, &name, err)) != TK_OK)
		return rc;
	return make_replacing(dirfd, name, maker, err);
}

enum tk_rc
tk_target_symlink(struct tk_target *target, const char *path, size_t len_bytes, const char *link_target, struct tk_err *err)
{
	return target_make(target, path, len_bytes, &(struct maker){.link_target = link_target}, err);
}

enum tk_rc
tk_target_mknod(struct tk_target *target, const char *path, size_t len_bytes, enum tk_ftype type, uint32_t dev_major, uint32_t dev_minor,
	struct tk_err *err)
{
	struct maker maker = {.mode = S_IRUSR | S_IWUSR, .rdev = makedev(dev_major, dev_minor)};

	switch (type) {
	case TK_FT_FIFO: maker.mode |= S_IFIFO; break;
	case TK_FT_CHAR: maker.mode |= S_IFCHR; break;
	case TK_FT_BLOCK: maker.mode |= S_IFBLK; break;
	default: return tk_err_set(err, TK_EINVAL, "a node of type %d", (int)type);
	}
	return target_make(target, path, len_bytes, &maker, err);
}

enum tk_rc
tk_target_hardlink(struct tk_target *target, const char *old_path, size_t old_len_bytes, const char *path, size_t len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int old_dirfd = -1;
	const char *old_name;
	char *own_name;
	int dirfd;
	enum tk_rc rc;

	if ((rc = tk_target_parent(target, old_path, old_len_bytes, false, &dirfd, &old_name, err)) != TK_OK)
		return rc;
	/* Both would be lost with the next path. */
	if ((old_dirfd = fcntl(dirfd, F_DUPFD_CLOEXEC, 0)) < 0)
		return tk_err_errno(err, TK_EIO, "linking %s", old_name);
	if (!(own_name = strdup(old_name)))
		return tk_err_set(err, TK_ENOMEM, "linking a file: out of memory");
	rc = target_make(target, path, len_bytes, &(struct maker){.old_name = own_name, .old_dirfd = old_dirfd}, err);
	free(own_name);
	return rc;
}

/* A directory that is there already is made usable for us; its metadata is applied at the end. */
static enum tk_rc
mkdir_take_over(int dirfd, const char *name, struct tk_err *err)
{
	struct tk_stat st;
	enum tk_rc rc;

	if ((rc = tk_stat_at(dirfd, name, &st, err)) != TK_OK)
		return rc;
	if (st.type == TK_FT_DIR) {
		(void)tk_meta_unlock(dirfd, name);
		if ((st.mode & 0700) != 0700)
			(void)fchmodat(dirfd, name, st.mode | 0700, AT_SYMLINK_NOFOLLOW);
		return TK_OK;
	}
	if ((rc = tk_rmtree_at(dirfd, name, err)) != TK_OK)
		return rc;
	if (mkdirat(dirfd, name, 0700) == 0)
		return TK_OK;
	rc = tk_err_errno(err, tk_fs_rc(), "making the directory %s", name);
	/* Meanwhile another thread may have made it, as a parent. */
	return tk_stat_at(dirfd, name, &st, NULL) == TK_OK && st.type == TK_FT_DIR ? TK_OK : rc;
}

enum tk_rc
tk_target_mkdir(struct tk_target *target, const char *path, size_t len_bytes, struct tk_err *err)
{
	const char *name;
	int dirfd;
	enum tk_rc rc;

	if (len_bytes == 0)
		return TK_OK;
	if ((rc = tk_target_parent(target, path, len_bytes, true, &dirfd, &name, err)) != TK_OK)
		return rc;
	if (mkdirat(dirfd, name, 0700) == 0)
		return TK_OK;
	if (errno == EPERM && tk_meta_unlock(dirfd, ".") && mkdirat(dirfd, name, 0700) == 0)
		return TK_OK;
	if (errno == EEXIST)
		return mkdir_take_over(dirfd, name, err);
	return tk_err_errno(err, tk_fs_rc(), "making the directory %s", name);
}

/* Never what is there already, nor through a symlink. */
static bool
new_open(struct tk_target_file *file, const char *name)
{
	file->fd = openat(file->dir->fd, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (file->fd >= 0)
		file->current_name = name;
	return file->fd >= 0;
}

static enum tk_rc
pending_open(struct tk_target *target, struct tk_target_file *file, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (int again = 0; again < 3; again++) {
		int why;

		if ((rc = tk_tmp_names_next(&target->names, file->tmp_name, err)) != TK_OK)
			return rc;
		if (new_open(file, file->tmp_name))
			return TK_OK;
		why = errno;
		rc = tk_err_errno(err, tk_fs_rc(), "creating %s", file->name);
		/* Somebody guessed the name, or the directory is immutable. */
		if (why == EEXIST)
			target->names.left = 0;
		else if (why != EPERM || !tk_meta_unlock(file->dir->fd, "."))
			return rc;
	}
	return rc;
}

/* Does it have attributes that would have to be taken away? */
static enum tk_rc
is_bare(const struct tk_target_file *file, bool *bare, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf names = {0};
	struct tk_xattrio xattrs;
	enum tk_rc rc;

	*bare = true;
	if ((rc = tk_xattrio_init(&xattrs, file->fd, file->dir->fd, file->current_name, err)) != TK_OK ||
	    (rc = tk_xattrio_list(&xattrs, &names, err)) != TK_OK)
		return rc;
	for (size_t at = 0; at < names.len_bytes; at += strnlen((const char *)names.data + at, names.len_bytes - at) + 1)
		*bare &= !tk_meta_wants_xattr((const char *)names.data + at);
	return TK_OK;
}

/* In a fresh target all directories are this process's own and nobody else's doing: how the first new file looks, all do. Where that is not plain (an inherited
 * ACL, a file system that gives files owners of its own) each is looked at. */
static enum tk_rc
learn_look(struct tk_target *target, const struct tk_target_file *file, struct tk_err *err)
{
	struct tk_stat st;
	bool bare = false;
	enum tk_rc rc;

	if ((rc = tk_stat_fd(file->fd, &st, err)) != TK_OK || (rc = is_bare(file, &bare, err)) != TK_OK)
		return rc;
	target->look = (struct tk_look){.uid = st.uid, .gid = st.gid};
	target->has_looked = true;
	target->has_look = st.mode == 0600 && bare;
	return TK_OK;
}

static enum tk_rc
file_begin(struct tk_target *target, const char *path, size_t len_bytes, bool named, struct tk_target_file **out, struct tk_err *err)
{
	TK_AUTO(tk_target_file_cleanup) struct tk_target_file *file = NULL;
	struct tk_kept_dir *dir;
	const char *name;
	size_t name_bytes;
	enum tk_rc rc;

	*out = NULL;
	if (len_bytes == 0)
		return tk_err_set(err, TK_ENOTSAFE, "the target itself is not replaced");
	if ((rc = tk_target_parent_dir(target, path, len_bytes, true, &dir, &name, err)) != TK_OK)
		return rc;
	name_bytes = strlen(name) + 1;
	if (!(file = malloc(sizeof(*file) + name_bytes)))
		return tk_err_set(err, TK_ENOMEM, "creating a file: out of memory");
	file->dir = tk_kept_dir_take(dir);
	file->fd = -1;
	file->current_name = NULL;
	memcpy(file->name, name, name_bytes);
	if (!(named && target->is_fresh && new_open(file, file->name)) && (rc = pending_open(target, file, err)) != TK_OK)
		return rc;
	if (target->is_fresh && !target->has_looked && (rc = learn_look(target, file, err)) != TK_OK)
		return rc;
	*out = file;
	file = NULL;
	return TK_OK;
}

enum tk_rc
tk_target_file_begin(struct tk_target *target, const char *path, size_t len_bytes, struct tk_target_file **out, struct tk_err *err)
{
	return file_begin(target, path, len_bytes, false, out, err);
}

enum tk_rc
tk_target_file_begin_named(struct tk_target *target, const char *path, size_t len_bytes, struct tk_target_file **out, struct tk_err *err)
{
	return file_begin(target, path, len_bytes, true, out, err);
}

int
tk_target_file_fd(const struct tk_target_file *file)
{
	return file->fd;
}

int
tk_target_file_dirfd(const struct tk_target_file *file)
{
	return file->dir->fd;
}

const char *
tk_target_file_current_name(const struct tk_target_file *file)
{
	return file->current_name;
}

enum tk_rc
tk_target_file_set_size(const struct tk_target_file *file, uint64_t size_bytes, struct tk_err *err)
{
	if (size_bytes > INT64_MAX)
		return tk_err_set(err, TK_EINVAL, "%s: a size out of range", file->name);
	if (ftruncate(file->fd, (off_t)size_bytes) < 0)
		return tk_err_errno(err, TK_EIO, "setting the size of %s", file->name);
	return TK_OK;
}

enum tk_rc
tk_target_file_reserve(struct tk_target_file *file, uint64_t offset_bytes, uint64_t len_bytes, struct tk_err *err)
{
	if (len_bytes == 0)
		return TK_OK;
	if (offset_bytes > INT64_MAX || len_bytes > INT64_MAX - offset_bytes)
		return tk_err_set(err, TK_EINVAL, "%s: a size out of range", file->name);
	while (fallocate(file->fd, FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes, (off_t)len_bytes) < 0) {
		if (errno == EOPNOTSUPP || errno == ENOSYS)
			return TK_OK;
		if (errno != EINTR)
			return tk_err_errno(err, TK_EIO, "reserving space for %s", file->name);
	}
	return TK_OK;
}

enum tk_rc
tk_target_file_clear(const struct tk_target_file *file, uint64_t offset_bytes, uint64_t len_bytes, struct tk_err *err)
{
	static const uint8_t zeros[65536];
	enum tk_rc rc;

	if (len_bytes == 0)
		return TK_OK;
	if (offset_bytes > INT64_MAX || len_bytes > INT64_MAX - offset_bytes)
		return tk_err_set(err, TK_EINVAL, "%s: a size out of range", file->name);
	if (fallocate(file->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes, (off_t)len_bytes) == 0)
		return TK_OK;
	while (len_bytes > 0) {
		size_t piece = len_bytes < sizeof(zeros) ? (size_t)len_bytes : sizeof(zeros);

		if ((rc = tk_pwrite_full(file->fd, zeros, piece, offset_bytes, file->name, err)) != TK_OK)
			return rc;
		offset_bytes += piece;
		len_bytes -= piece;
	}
	return TK_OK;
}

enum tk_rc
tk_target_file_commit(struct tk_target_file *file, struct tk_err *err)
{
	enum tk_rc rc;

	/* Close first: some file systems report a full disk only here. */
	if ((rc = tk_fd_close(&file->fd, file->name, err)) != TK_OK)
		return rc;
	if (file->current_name != file->name && (rc = rename_over(file->dir->fd, file->current_name, file->name, err)) != TK_OK)
		return rc;
	file->current_name = NULL;
	return TK_OK;
}

void
tk_target_file_cleanup(struct tk_target_file **file)
{
	if (!*file)
		return;
	if ((*file)->current_name)
		(void)unlinkat((*file)->dir->fd, (*file)->current_name, 0);
	tk_fd_cleanup(&(*file)->fd);
	tk_kept_dir_cleanup(&(*file)->dir);
	free(*file);
	*file = NULL;
}
