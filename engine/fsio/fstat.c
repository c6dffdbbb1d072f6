#include "engine/fsio/fstat.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define NS_PER_S 1000000000LL
/* Block counts and birth times are not asked for with the rest: some file systems must work for them. */
#define STAT_MASK (STATX_TYPE | STATX_MODE | STATX_NLINK | STATX_UID | STATX_GID | STATX_SIZE | STATX_MTIME | \
	STATX_CTIME | STATX_INO)

enum tk_rc
tk_fs_rc(void)
{
	switch (errno) {
	case ENOENT:
	case ENOTDIR:
	case ESTALE:
		return TK_ENOENT;
	case EACCES:
	case EPERM:
		return TK_EDENIED;
	default:
		return TK_EIO;
	}
}

static enum tk_ftype
ftype_of(unsigned mode)
{
	switch (mode & S_IFMT) {
	case S_IFREG: return TK_FT_REG;
	case S_IFDIR: return TK_FT_DIR;
	case S_IFLNK: return TK_FT_SYMLINK;
	case S_IFIFO: return TK_FT_FIFO;
	case S_IFCHR: return TK_FT_CHAR;
	case S_IFBLK: return TK_FT_BLOCK;
	default: return TK_FT_OTHER;
	}
}

static enum tk_rc
stat_any(int dirfd, const char *name, int flags, struct tk_stat *st, struct tk_err *err)
{
	struct statx sx;

	if (statx(dirfd, name, flags | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STAT_MASK, &sx) < 0)
		return tk_err_errno(err, tk_fs_rc(), "stat of %s", *name ? name : "an open file");
	*st = (struct tk_stat){
		.type = ftype_of(sx.stx_mode),
		.mode = sx.stx_mode & 07777U,
		.uid = sx.stx_uid,
		.gid = sx.stx_gid,
		.nlink = sx.stx_nlink,
		.size_bytes = sx.stx_size,
		.mtime_s = sx.stx_mtime.tv_sec,
		.mtime_ns = sx.stx_mtime.tv_nsec,
		.ctime_s = sx.stx_ctime.tv_sec,
		.ctime_ns = sx.stx_ctime.tv_nsec,
		.dev = makedev(sx.stx_dev_major, sx.stx_dev_minor),
		.ino = sx.stx_ino,
		.rdev_major = sx.stx_rdev_major,
		.rdev_minor = sx.stx_rdev_minor,
		.is_mount_root = (sx.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0,
		.is_nodump = (sx.stx_attributes & STATX_ATTR_NODUMP) != 0,
	};
	return TK_OK;
}

enum tk_rc
tk_stat_at(int dirfd, const char *name, struct tk_stat *st, struct tk_err *err)
{
	return stat_any(dirfd, name, 0, st, err);
}

enum tk_rc
tk_stat_fd(int fd, struct tk_stat *st, struct tk_err *err)
{
	return stat_any(fd, "", AT_EMPTY_PATH, st, err);
}

bool
tk_stat_born(int dirfd, const char *name, int64_t *born_ns)
{
	struct statx sx;

	if (statx(dirfd, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT, STATX_BTIME, &sx) < 0 || !(sx.stx_mask & STATX_BTIME))
		return false;
	*born_ns = sx.stx_btime.tv_sec * NS_PER_S + sx.stx_btime.tv_nsec;
	return true;
}
