#include "engine/vault/dir_core.h"

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
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

/* How often a pack is looked for that was merged meanwhile. */
#define LOOKS 3

static struct dir_driver *
self_of(struct tk_driver *driver)
{
	return (struct dir_driver *)driver;
}

static void
shard_name(unsigned shard, char name[8])
{
	const uint8_t byte = (uint8_t)shard;

	if (shard == TK_DIR_SMALL_SHARD)
		memcpy(name, "small", sizeof("small"));
	else
		tk_hex_encode(&byte, 1, name);
}

void
tk_dir_pack_path(unsigned shard, const struct tk_pack_name *name, char path[TK_DIR_PATH_MAX])
{
	char hex[TK_DIR_HEX_MAX], shard_hex[8];

	shard_name(shard, shard_hex);
	tk_hex_encode(name->b, sizeof(name->b), hex);
	(void)snprintf(path, TK_DIR_PATH_MAX, "%s/%s", shard_hex, hex);
}

void
tk_dir_mark_unsynced(struct dir_driver *self, unsigned shard)
{
	(void)pthread_mutex_lock(&self->lock);
	self->unsynced[shard] = true;
	(void)pthread_mutex_unlock(&self->lock);
}

/* packs/small is there from the start. */
static enum tk_rc
make_shard(struct dir_driver *self, unsigned shard, struct tk_err *err)
{
	char name[8];

	shard_name(shard, name);
	if (mkdirat(self->packs_fd, name, 0700) < 0)
		return errno == EEXIST ? TK_OK : tk_err_errno(err, TK_EIO, "making packs/%s", name);
	(void)pthread_mutex_lock(&self->lock);
	self->made_shard = true;
	(void)pthread_mutex_unlock(&self->lock);
	return TK_OK;
}

/* ---- where a pack is ---- */

static bool
find_place(struct dir_driver *self, const struct tk_pack_name *name, struct tk_place *out)
{
	const struct tk_place *place;

	(void)pthread_rwlock_rdlock(&self->places_lock);
	place = tk_places_find(&self->places, name);
	if (place)
		*out = *place;
	(void)pthread_rwlock_unlock(&self->places_lock);
	return place != NULL;
}

static bool
seen_before(int fd, const struct timespec *seen)
{
	struct stat st;

	return fd < 0 || (fstat(fd, &st) == 0 && st.st_mtim.tv_sec == seen->tv_sec && st.st_mtim.tv_nsec == seen->tv_nsec);
}

/* A pack was not where it should be. *again: it may be somewhere else by now. */
static enum tk_rc
look_again(struct dir_driver *self, bool was_known, bool *again, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	*again = was_known;
	if (self->only_writer)
		return TK_OK;
	(void)pthread_rwlock_wrlock(&self->places_lock);
	if (!seen_before(self->small_fd, &self->small_seen) || !seen_before(self->merged_fd, &self->merged_seen)) {
		*again = true;
		rc = tk_dir_load(self, err);
	}
	(void)pthread_rwlock_unlock(&self->places_lock);
	return rc;
}

static int
open_at_place(const struct dir_driver *self, const struct tk_pack_name *name, const struct tk_place *place, int flags, struct tk_byte_range *range)
{
	char path[TK_DIR_PATH_MAX], container[TK_CONTAINER_NAME_MAX];

	*range = (struct tk_byte_range){0, UINT64_MAX};
	if (place && place->container != TK_PLACE_SMALL) {
		*range = (struct tk_byte_range){place->offset_bytes, place->len_bytes};
		tk_container_name(place->container, container);
		return openat(self->merged_fd, container, flags | O_NOFOLLOW | O_CLOEXEC);
	}
	tk_dir_pack_path(place ? TK_DIR_SMALL_SHARD : name->b[0], name, path);
	return openat(self->packs_fd, path, flags | O_NOFOLLOW | O_CLOEXEC);
}

/* *range: where the pack is in the file; a file of its own goes as far as it goes. */
static enum tk_rc
open_pack(struct dir_driver *self, const struct tk_pack_name *name, int flags, int *fd, struct tk_byte_range *range, struct tk_err *err)
{
	char path[TK_DIR_PATH_MAX];
	struct tk_place place;
	bool again = true;
	enum tk_rc rc = TK_OK;

	for (unsigned look = 0; look < LOOKS && again && !rc; look++) {
		bool known = find_place(self, name, &place);

		*fd = open_at_place(self, name, known ? &place : NULL, flags, range);
		if (*fd >= 0)
			return TK_OK;
		tk_dir_pack_path(name->b[0], name, path);
		rc = tk_err_errno(err, TK_EIO, "pack %s", path + 3);
		if (rc == TK_ENOENT)
			rc = look_again(self, known, &again, err);
	}
	return rc ? rc : tk_err_set(err, TK_ENOENT, "pack %s: it is not there", path + 3);
}

/* ---- putting ---- */

static enum tk_rc
put_file(struct dir_driver *self, unsigned shard, const char *path, const struct tk_pending *pending, bool replace, struct tk_err *err)
{
	enum tk_rc rc = tk_fault_point("pack.rename", err);

	if (!rc)
		rc = make_shard(self, shard, err);
	if (rc)
		return rc;
	if (renameat2(pending->dirfd, pending->name, self->packs_fd, path, replace ? 0 : RENAME_NOREPLACE) < 0)
		return tk_err_errno(err, errno == EEXIST ? TK_EEXIST : TK_EIO, "storing pack %s", path);
	tk_dir_mark_unsynced(self, shard);
	return TK_OK;
}

static enum tk_rc
note_small_file(struct dir_driver *self, const struct tk_pack_name *name, struct tk_err *err)
{
	struct tk_place place = {.name = *name, .container = TK_PLACE_SMALL};
	const struct tk_place *before;
	enum tk_rc rc;

	(void)pthread_rwlock_wrlock(&self->places_lock);
	before = tk_places_find(&self->places, name);
	place.shadowed = before && (before->shadowed || before->container != TK_PLACE_SMALL);
	rc = tk_places_set(&self->places, &place, err);
	(void)pthread_rwlock_unlock(&self->places_lock);
	return rc;
}

static enum tk_rc
dir_put(struct tk_driver *driver, const struct tk_pack_name *name, const struct tk_pending *pending, bool replace, struct tk_err *err)
{
	struct dir_driver *self = self_of(driver);
	unsigned shard = pending->len_bytes < TK_DIR_SMALL_BYTES ? TK_DIR_SMALL_SHARD : name->b[0];
	char path[TK_DIR_PATH_MAX];
	struct tk_place place;
	enum tk_rc rc = tk_fault_point("pack.fsync", err);

	if (rc)
		return rc;
	tk_dir_pack_path(shard, name, path);
	if (!replace && find_place(self, name, &place))
		return tk_err_set(err, TK_EEXIST, "storing pack %s", path);
	if (fsync(pending->fd) < 0)
		return tk_err_errno(err, TK_EIO, "fsync of pack %s", path);
	rc = put_file(self, shard, path, pending, replace, err);
	return rc || shard != TK_DIR_SMALL_SHARD ? rc : note_small_file(self, name, err);
}

static enum tk_rc
sync_shard(struct dir_driver *self, unsigned shard, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	char name[8];

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
	bool due[TK_DIR_SHARDS], made_shard;
	enum tk_rc rc = tk_fault_point("pack.dirsync", err);

	(void)pthread_mutex_lock(&self->lock);
	memcpy(due, self->unsynced, sizeof(due));
	made_shard = self->made_shard;
	memset(self->unsynced, 0, sizeof(self->unsynced));
	self->made_shard = false;
	(void)pthread_mutex_unlock(&self->lock);

	for (unsigned i = 0; i < TK_DIR_SHARDS && !rc; i++) {
		rc = due[i] ? sync_shard(self, i, err) : TK_OK;
		due[i] = due[i] && rc;
	}
	if (!rc && made_shard && fsync(self->packs_fd) < 0)
		rc = tk_err_errno(err, TK_EIO, "fsync of packs");
	if (!rc)
		return TK_OK;

	(void)pthread_mutex_lock(&self->lock);
	for (unsigned i = 0; i < TK_DIR_SHARDS; i++)
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

/* ---- reading ---- */

static enum tk_rc
dir_get(struct tk_driver *driver, const struct tk_pack_name *name, uint64_t offset_bytes, void *dst, size_t len_bytes, size_t *got_bytes,
	struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	struct tk_byte_range range;
	enum tk_rc rc = open_pack(self_of(driver), name, O_RDONLY, &fd, &range, err);

	*got_bytes = 0;
	if (rc || offset_bytes >= range.len_bytes)
		return rc;
	if (len_bytes > range.len_bytes - offset_bytes)
		len_bytes = (size_t)(range.len_bytes - offset_bytes);
	return tk_pread_full(fd, dst, len_bytes, range.offset_bytes + offset_bytes, got_bytes, "pack", err);
}

static enum tk_rc
dir_size(struct tk_driver *driver, const struct tk_pack_name *name, uint64_t *len_bytes, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	struct tk_byte_range range;
	struct stat st;
	enum tk_rc rc = open_pack(self_of(driver), name, O_RDONLY, &fd, &range, err);

	if (!rc && fstat(fd, &st) < 0)
		rc = tk_err_errno(err, TK_EIO, "size of a pack");
	if (!rc)
		*len_bytes = range.len_bytes == UINT64_MAX ? (uint64_t)st.st_size : range.len_bytes;
	return rc;
}

/* ---- listing ---- */

struct listing {
	struct dir_driver *self;
	enum tk_rc (*each)(void *ctx, const struct tk_pack_name *name, struct tk_err *err);
	void *ctx;
};

static enum tk_rc
list_shard(const struct listing *listing, unsigned shard, struct tk_err *err)
{
	TK_AUTO(tk_dir_cleanup) DIR *dir = NULL;
	struct tk_pack_name name;
	struct tk_place place;
	struct dirent *entry;
	enum tk_rc rc = TK_OK;
	char path[8];
	int fd;

	shard_name(shard, path);
	fd = tk_open_quiet(listing->self->packs_fd, path, true);
	if (fd < 0)
		return errno == ENOENT ? TK_OK : tk_err_errno(err, TK_EIO, "packs/%s", path);
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return tk_err_errno(err, TK_EIO, "packs/%s", path);
	}
	while (!rc && (errno = 0, entry = readdir(dir)))
		if (!tk_hex_decode(entry->d_name, name.b, sizeof(name.b), NULL) && name.b[0] == shard && !find_place(listing->self, &name, &place))
			rc = listing->each(listing->ctx, &name, err);
	return !rc && errno ? tk_err_errno(err, TK_EIO, "reading packs/%s", path) : rc;
}

/* A copy: who is called may call back. */
static enum tk_rc
copy_names(struct dir_driver *self, struct tk_pack_name **names, size_t *count, struct tk_err *err)
{
	const struct tk_place *place;
	size_t at = 0;

	*count = 0;
	(void)pthread_rwlock_rdlock(&self->places_lock);
	*names = malloc((self->places.count + 1) * sizeof(**names));
	while (*names && (place = tk_places_next(&self->places, &at)))
		(*names)[(*count)++] = place->name;
	(void)pthread_rwlock_unlock(&self->places_lock);
	return *names ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for the names of packs");
}

static enum tk_rc
dir_list(struct tk_driver *driver, enum tk_rc (*each)(void *, const struct tk_pack_name *, struct tk_err *), void *ctx, struct tk_err *err)
{
	const struct listing listing = {self_of(driver), each, ctx};
	struct tk_pack_name *names = NULL;
	size_t count;
	enum tk_rc rc = copy_names(listing.self, &names, &count, err);

	for (size_t i = 0; i < count && !rc; i++)
		rc = each(ctx, &names[i], err);
	free(names);
	for (unsigned i = 0; i < TK_DIR_SMALL_SHARD && !rc; i++)
		rc = list_shard(&listing, i, err);
	return rc;
}

/* ---- giving back space ---- */

static enum tk_rc
punch(int fd, uint64_t offset_bytes, uint64_t len_bytes, struct tk_err *err)
{
	/* A file system without holes keeps the space until the whole file goes; what was in it counts as gone all the same. */
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset_bytes, (off_t)len_bytes) == 0 || errno == EOPNOTSUPP)
		return TK_OK;
	return tk_err_errno(err, TK_EIO, "giving back space of a pack");
}

/* The spool still has this very file, for a site that lacks it. */
static bool
has_other_name(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && st.st_nlink > 1;
}

static enum tk_rc
dir_drop(struct tk_driver *driver, const struct tk_pack_name *name, const struct tk_byte_range *ranges, size_t count, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	struct tk_byte_range pack;
	enum tk_rc rc = open_pack(self_of(driver), name, O_RDWR, &fd, &pack, err);

	if (!rc && has_other_name(fd))
		return TK_OK;
	for (size_t i = 0; i < count && !rc; i++)
		if (ranges[i].offset_bytes <= pack.len_bytes && ranges[i].len_bytes <= pack.len_bytes - ranges[i].offset_bytes)
			rc = punch(fd, pack.offset_bytes + ranges[i].offset_bytes, ranges[i].len_bytes, err);
	return rc;
}

static enum tk_rc
remove_file(struct dir_driver *self, unsigned shard, const struct tk_pack_name *name, struct tk_err *err)
{
	char path[TK_DIR_PATH_MAX];

	tk_dir_pack_path(shard, name, path);
	if (unlinkat(self->packs_fd, path, 0) < 0)
		return errno == ENOENT ? TK_OK : tk_err_errno(err, TK_EIO, "removing pack %s", path);
	tk_dir_mark_unsynced(self, shard);
	return TK_OK;
}

/* From a container: it is told to be gone before its bytes go. */
static enum tk_rc
remove_merged(struct dir_driver *self, const struct tk_pack_name *name, const struct tk_place *place, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	struct tk_byte_range range;
	enum tk_rc rc = tk_dir_gone_add(self, name, err);

	if (rc || place->container == TK_PLACE_SMALL)
		return rc;
	fd = open_at_place(self, name, place, O_RDWR, &range);
	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "a container of packs");
	return punch(fd, range.offset_bytes, range.len_bytes, err);
}

static enum tk_rc
remove_placed(struct dir_driver *self, const struct tk_pack_name *name, struct tk_err *err)
{
	const struct tk_place *found = tk_places_find(&self->places, name);
	struct tk_place place;
	enum tk_rc rc = TK_OK;

	if (!found)
		return TK_OK;
	place = *found;
	if (place.shadowed || place.container != TK_PLACE_SMALL)
		rc = remove_merged(self, name, &place, err);
	if (!rc && place.container == TK_PLACE_SMALL)
		rc = remove_file(self, TK_DIR_SMALL_SHARD, name, err);
	if (!rc)
		tk_places_remove(&self->places, name);
	return rc;
}

static enum tk_rc
dir_remove(struct tk_driver *driver, const struct tk_pack_name *name, struct tk_err *err)
{
	struct dir_driver *self = self_of(driver);
	enum tk_rc rc;

	(void)pthread_rwlock_wrlock(&self->places_lock);
	rc = remove_placed(self, name, err);
	(void)pthread_rwlock_unlock(&self->places_lock);
	return rc ? rc : remove_file(self, name->b[0], name, err);
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

	tk_fd_cleanup(&self->small_fd);
	tk_fd_cleanup(&self->merged_fd);
	tk_fd_cleanup(&self->packs_fd);
	tk_places_release(&self->places);
	free(self->containers);
	(void)pthread_rwlock_destroy(&self->places_lock);
	(void)pthread_mutex_destroy(&self->merge_lock);
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
	.tidy = tk_dir_tidy,
	.room = dir_room,
	.close = dir_close,
};

static enum tk_rc
open_inside(struct dir_driver *self, const char *name, int *fd, struct tk_err *err)
{
	*fd = tk_open_quiet(self->packs_fd, name, true);
	if (*fd < 0 && errno == ENOENT && self->only_writer) {
		if (mkdirat(self->packs_fd, name, 0700) < 0)
			return tk_err_errno(err, TK_EIO, "making packs/%s", name);
		self->made_shard = true;
		*fd = tk_open_quiet(self->packs_fd, name, true);
	}
	return *fd < 0 && (errno != ENOENT || self->only_writer) ? tk_err_errno(err, TK_EIO, "packs/%s", name) : TK_OK;
}

static enum tk_rc
open_directories(struct dir_driver *self, int vault_dirfd, struct tk_err *err)
{
	enum tk_rc rc;

	self->packs_fd = tk_open_quiet(vault_dirfd, "packs", true);
	if (self->packs_fd < 0)
		return tk_err_errno(err, TK_EIO, "packs");
	rc = open_inside(self, "small", &self->small_fd, err);
	if (!rc)
		rc = open_inside(self, "merged", &self->merged_fd, err);
	if (!rc && self->only_writer)
		rc = tk_publish_sweep(self->merged_fd, err);
	return rc ? rc : tk_dir_load(self, err);
}

enum tk_rc
tk_dir_driver_new(int vault_dirfd, bool only_writer, struct tk_driver **out, struct tk_err *err)
{
	struct dir_driver *self = calloc(1, sizeof(*self));
	enum tk_rc rc;

	if (!self)
		return tk_err_set(err, TK_ENOMEM, "no memory for a vault driver");
	self->base.ops = &dir_ops;
	self->only_writer = only_writer;
	self->packs_fd = self->small_fd = self->merged_fd = -1;
	(void)pthread_mutex_init(&self->lock, NULL);
	(void)pthread_mutex_init(&self->sync_lock, NULL);
	(void)pthread_mutex_init(&self->merge_lock, NULL);
	(void)pthread_rwlock_init(&self->places_lock, NULL);
	rc = open_directories(self, vault_dirfd, err);
	if (rc)
		dir_close(&self->base);
	else
		*out = &self->base;
	return rc;
}
