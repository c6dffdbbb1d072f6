#include "engine/vault/driver.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/base/fault.h"
#include "engine/base/hex.h"
#include "engine/fsio/openat.h"

#define SHARDS 256
#define PACK_HEX_MAX (2 * TK_DIGEST_BYTES + 1)
#define PACK_PATH_MAX (PACK_HEX_MAX + 3)

struct dir_driver {
	struct tk_driver base;
	int packs_fd;
	pthread_mutex_t sync_lock;     /* one sync at a time: who waited finds the other's work done, not begun */
	pthread_mutex_t lock;          /* over what follows */
	bool made_shard;               /* packs/ itself has names that are not synced */
	bool unsynced[SHARDS];
};

static struct dir_driver *
self_of(struct tk_driver *driver)
{
	return (struct dir_driver *)driver;
}

static void
shard_name(unsigned shard, char name[3])
{
	const uint8_t byte = (uint8_t)shard;

	tk_hex_encode(&byte, 1, name);
}

static void
pack_path(const struct tk_pack_name *name, char path[PACK_PATH_MAX])
{
	tk_hex_encode(name->b, 1, path);
	path[2] = '/';
	tk_hex_encode(name->b, sizeof(name->b), path + 3);
}

/* After the name changed: a sync that runs between the two would take an earlier mark away without the name. */
static void
mark_unsynced(struct dir_driver *self, const struct tk_pack_name *name)
{
	(void)pthread_mutex_lock(&self->lock);
	self->unsynced[name->b[0]] = true;
	(void)pthread_mutex_unlock(&self->lock);
}

static enum tk_rc
make_shard(struct dir_driver *self, const struct tk_pack_name *name, struct tk_err *err)
{
	char shard[3];

	shard_name(name->b[0], shard);
	if (mkdirat(self->packs_fd, shard, 0700) < 0)
		return errno == EEXIST ? TK_OK : tk_err_errno(err, TK_EIO, "making packs/%s", shard);
	(void)pthread_mutex_lock(&self->lock);
	self->made_shard = true;
	(void)pthread_mutex_unlock(&self->lock);
	return TK_OK;
}

static enum tk_rc
dir_put(struct tk_driver *driver, const struct tk_pack_name *name, const struct tk_pending *pending, bool replace, struct tk_err *err)
{
	struct dir_driver *self = self_of(driver);
	char path[PACK_PATH_MAX];
	enum tk_rc rc = tk_fault_point("pack.fsync", err);

	if (rc)
		return rc;
	pack_path(name, path);
	if (fsync(pending->fd) < 0)
		return tk_err_errno(err, TK_EIO, "fsync of pack %s", path);
	rc = tk_fault_point("pack.rename", err);
	if (!rc)
		rc = make_shard(self, name, err);
	if (rc)
		return rc;
	if (renameat2(pending->dirfd, pending->name, self->packs_fd, path, replace ? 0 : RENAME_NOREPLACE) < 0)
		return tk_err_errno(err, errno == EEXIST ? TK_EEXIST : TK_EIO, "storing pack %s", path);
	mark_unsynced(self, name);
	return TK_OK;
}

static enum tk_rc
sync_shard(struct dir_driver *self, unsigned shard, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	char name[3];

	shard_name(shard, name);
	fd = tk_open_quiet(self->packs_fd, name, true);
	if (fd < 0 || fsync(fd) < 0)
		return tk_err_errno(err, TK_EIO, "fsync of packs/%s", name);
	return TK_OK;
}

/* One fsync a directory that changed, however many packs came into it. What fails stays marked. */
static enum tk_rc
sync_marked(struct dir_driver *self, struct tk_err *err)
{
	bool due[SHARDS], made_shard;
	enum tk_rc rc = tk_fault_point("pack.dirsync", err);

	(void)pthread_mutex_lock(&self->lock);
	memcpy(due, self->unsynced, sizeof(due));
	made_shard = self->made_shard;
	memset(self->unsynced, 0, sizeof(self->unsynced));
	self->made_shard = false;
	(void)pthread_mutex_unlock(&self->lock);

	for (unsigned i = 0; i < SHARDS && !rc; i++) {
		rc = due[i] ? sync_shard(self, i, err) : TK_OK;
		due[i] = due[i] && rc;
	}
	if (!rc && made_shard && fsync(self->packs_fd) < 0)
		rc = tk_err_errno(err, TK_EIO, "fsync of packs");
	if (!rc)
		return TK_OK;

	(void)pthread_mutex_lock(&self->lock);
	for (unsigned i = 0; i < SHARDS; i++)
		self->unsynced[i] |= due[i];
	self->made_shard |= made_shard;
	(void)pthread_mutex_unlock(&self->lock);
	return rc;
}

static enum tk_rc
dir_sync(struct tk_driver *driver, struct tk_err *err)
{
	struct dir_driver *self = self_of(driver);
	enum tk_rc rc;

	(void)pthread_mutex_lock(&self->sync_lock);
	rc = sync_marked(self, err);
	(void)pthread_mutex_unlock(&self->sync_lock);
	return rc;
}

static enum tk_rc
open_pack(struct dir_driver *self, const struct tk_pack_name *name, int flags, int *fd, struct tk_err *err)
{
	char path[PACK_PATH_MAX];

	pack_path(name, path);
	*fd = openat(self->packs_fd, path, flags | O_NOFOLLOW | O_CLOEXEC);
	return *fd < 0 ? tk_err_errno(err, TK_EIO, "pack %s", path) : TK_OK;
}

static enum tk_rc
dir_get(struct tk_driver *driver, const struct tk_pack_name *name, uint64_t offset_bytes, void *dst, size_t len_bytes, size_t *got_bytes,
	struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	enum tk_rc rc = open_pack(self_of(driver), name, O_RDONLY, &fd, err);

	*got_bytes = 0;
	return rc ? rc : tk_pread_full(fd, dst, len_bytes, offset_bytes, got_bytes, "pack", err);
}

static enum tk_rc
dir_size(struct tk_driver *driver, const struct tk_pack_name *name, uint64_t *len_bytes, struct tk_err *err)
{
	char path[PACK_PATH_MAX];
	struct stat st;

	pack_path(name, path);
	if (fstatat(self_of(driver)->packs_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return tk_err_errno(err, TK_EIO, "pack %s", path);
	*len_bytes = (uint64_t)st.st_size;
	return TK_OK;
}

static void
dir_close_stream(DIR **dir)
{
	if (*dir)
		closedir(*dir);
	*dir = NULL;
}

static enum tk_rc
list_shard(struct dir_driver *self, unsigned shard, enum tk_rc (*each)(void *, const struct tk_pack_name *, struct tk_err *), void *ctx,
	   struct tk_err *err)
{
	TK_AUTO(dir_close_stream) DIR *dir = NULL;
	struct tk_pack_name name;
	struct dirent *entry;
	enum tk_rc rc = TK_OK;
	char path[3];
	int fd;

	shard_name(shard, path);
	fd = tk_open_quiet(self->packs_fd, path, true);
	if (fd < 0)
		return errno == ENOENT ? TK_OK : tk_err_errno(err, TK_EIO, "packs/%s", path);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return tk_err_errno(err, TK_EIO, "packs/%s", path);
	}
	while (!rc && (errno = 0, entry = readdir(dir)))
		if (!tk_hex_decode(entry->d_name, name.b, sizeof(name.b), NULL) && name.b[0] == shard)
			rc = each(ctx, &name, err);
	return !rc && errno ? tk_err_errno(err, TK_EIO, "reading packs/%s", path) : rc;
}

static enum tk_rc
dir_list(struct tk_driver *driver, enum tk_rc (*each)(void *, const struct tk_pack_name *, struct tk_err *), void *ctx, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (unsigned i = 0; i < SHARDS && !rc; i++)
		rc = list_shard(self_of(driver), i, each, ctx, err);
	return rc;
}

static enum tk_rc
dir_drop(struct tk_driver *driver, const struct tk_pack_name *name, const struct tk_byte_range *ranges, size_t count, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	enum tk_rc rc = open_pack(self_of(driver), name, O_RDWR, &fd, err);

	for (size_t i = 0; i < count && !rc; i++) {
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)ranges[i].offset_bytes, (off_t)ranges[i].len_bytes) == 0)
			continue;
		/* A file system without holes keeps the space until the whole pack goes; the blob counts as gone all the same. */
		if (errno == EOPNOTSUPP)
			return TK_OK;
		rc = tk_err_errno(err, TK_EIO, "giving back space of a pack");
	}
	return rc;
}

static enum tk_rc
dir_remove(struct tk_driver *driver, const struct tk_pack_name *name, struct tk_err *err)
{
	struct dir_driver *self = self_of(driver);
	char path[PACK_PATH_MAX];

	pack_path(name, path);
	if (unlinkat(self->packs_fd, path, 0) < 0)
		return errno == ENOENT ? TK_OK : tk_err_errno(err, TK_EIO, "removing pack %s", path);
	mark_unsynced(self, name);
	return TK_OK;
}

static enum tk_rc
dir_room(struct tk_driver *driver, uint64_t *free_bytes, uint64_t *total_bytes, struct tk_err *err)
{
	struct statvfs fs;

	if (fstatvfs(self_of(driver)->packs_fd, &fs) < 0)
		return tk_err_errno(err, TK_EIO, "free space of packs");
	*free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
	*total_bytes = (uint64_t)fs.f_blocks * fs.f_frsize;
	return TK_OK;
}

static void
dir_close(struct tk_driver *driver)
{
	struct dir_driver *self = self_of(driver);

	tk_fd_cleanup(&self->packs_fd);
	(void)pthread_mutex_destroy(&self->lock);
	(void)pthread_mutex_destroy(&self->sync_lock);
	free(self);
}

static const struct tk_driver_ops dir_ops = {
	.caps = TK_DRIVER_CAP_DROP,
	.put = dir_put,
	.sync = dir_sync,
	.get = dir_get,
	.size = dir_size,
	.list = dir_list,
	.drop = dir_drop,
	.remove = dir_remove,
	.room = dir_room,
	.close = dir_close,
};

enum tk_rc
tk_dir_driver_new(int vault_dirfd, struct tk_driver **out, struct tk_err *err)
{
	struct dir_driver *self = calloc(1, sizeof(*self));

	if (!self)
		return tk_err_set(err, TK_ENOMEM, "no memory for a vault driver");
	self->base.ops = &dir_ops;
	self->packs_fd = tk_open_quiet(vault_dirfd, "packs", true);
	if (self->packs_fd < 0) {
		free(self);
		return tk_err_errno(err, TK_EIO, "packs");
	}
	(void)pthread_mutex_init(&self->lock, NULL);
	(void)pthread_mutex_init(&self->sync_lock, NULL);
	*out = &self->base;
	return TK_OK;
}
