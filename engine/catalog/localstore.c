#include "engine/catalog/localstore.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/catalog/domaindir.h"
#include "engine/catalog/markset.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/dirlist.h"
#include "engine/fsio/fstat.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define KINDS 3u
#define NAME_BYTES_MAX 80u
#define FILE_BYTES_MAX (64u << 20)
#define SHARD_LEN 2u

struct kind {
	const char *dir;
	int dirfd;
	struct tk_markset marks;
	atomic_ullong put_bytes;
};

struct tk_localstore {
	enum tk_suite suite;
	struct kind kinds[KINDS];
	pthread_mutex_t lock;                 /* of the marks */
	pthread_rwlock_t sweeping;            /* held for reading by put: a sweep must not take a temporary file away */
};

enum tk_rc
tk_localstore_open(const char *state_dir, const struct tk_id *domain, enum tk_suite suite, struct tk_localstore **out, struct tk_err *err)
{
	static const char *const dirs[KINDS] = {[TK_LOCAL_FACTS] = "facts", [TK_LOCAL_SIGNATURE] = "sig", [TK_LOCAL_META] = "meta"};
	TK_AUTO(tk_localstore_cleanup) struct tk_localstore *store = calloc(1, sizeof(*store));
	enum tk_rc rc;

	if (!store)
		return tk_err_set(err, TK_ENOMEM, "no memory for the local store");
	store->suite = suite;
	(void)pthread_mutex_init(&store->lock, NULL);
	(void)pthread_rwlock_init(&store->sweeping, NULL);
	for (size_t i = 0; i < KINDS; i++) {
		store->kinds[i].dir = dirs[i];
		store->kinds[i].dirfd = -1;
	}
	for (size_t i = 0; i < KINDS; i++)
		if ((rc = tk_domain_dir_open(state_dir, domain, dirs[i], &store->kinds[i].dirfd, err)))
			return rc;
	*out = store;
	store = NULL;
	return TK_OK;
}

void
tk_localstore_cleanup(struct tk_localstore **store)
{
	if (!*store)
		return;
	for (size_t i = 0; i < KINDS; i++) {
		tk_fd_cleanup(&(*store)->kinds[i].dirfd);
		tk_markset_release(&(*store)->kinds[i].marks);
	}
	(void)pthread_mutex_destroy(&(*store)->lock);
	(void)pthread_rwlock_destroy(&(*store)->sweeping);
	free(*store);
	*store = NULL;
}

static enum tk_rc
check_name(enum tk_local_kind kind, const char *name, struct tk_err *err)
{
	size_t len = strlen(name);

	if ((unsigned)kind >= KINDS || len == 0 || len > NAME_BYTES_MAX || strspn(name, "0123456789abcdef-") != len)
		return tk_err_set(err, TK_EINVAL, "not a name for the local store");
	return TK_OK;
}

/* Opens the shard directory of a name; -1 with errno. */
static int
open_shard(const struct kind *kind, const char *name, bool make)
{
	char shard[SHARD_LEN + 1] = {0};
	int fd;

	memcpy(shard, name, strnlen(name, SHARD_LEN));
	fd = openat(kind->dirfd, shard, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0 || errno != ENOENT || !make)
		return fd;
	if (mkdirat(kind->dirfd, shard, 0700) < 0 && errno != EEXIST)
		return -1;
	return openat(kind->dirfd, shard, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* The digest covers the name too: a file under another's name is as bad as a torn one. */
static enum tk_rc
digest_of(const struct tk_localstore *store, const char *name, const void *data, size_t len_bytes, uint8_t digest[TK_HASH_BYTES],
	  struct tk_err *err)
{
	struct tk_bytes parts[2] = {{name, strlen(name) + 1}, {data, len_bytes}};

	return tk_hash_parts(store->suite, parts, 2, digest, err);
}

enum tk_rc
tk_localstore_mark(struct tk_localstore *store, enum tk_local_kind kind, const char *name, struct tk_err *err)
{
	enum tk_rc rc = check_name(kind, name, err);

	if (rc)
		return rc;
	pthread_mutex_lock(&store->lock);
	rc = tk_markset_add(&store->kinds[kind].marks, name, err);
	pthread_mutex_unlock(&store->lock);
	return rc;
}

enum tk_rc
tk_localstore_get(struct tk_localstore *store, enum tk_local_kind kind, const char *name, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int shard = -1;
	uint8_t digest[TK_HASH_BYTES];
	size_t body_bytes;
	enum tk_rc rc = check_name(kind, name, err);

	if (rc)
		return rc;
	if ((shard = open_shard(&store->kinds[kind], name, false)) < 0)
		return tk_err_errno(err, tk_fs_rc(), "opening the local store");
	if ((rc = tk_read_file_at(shard, name, FILE_BYTES_MAX, out, err)))
		return rc;
	body_bytes = out->len_bytes < TK_HASH_BYTES ? 0 : out->len_bytes - TK_HASH_BYTES;
	if ((rc = digest_of(store, name, out->data, body_bytes, digest, err)))
		return rc;
	if (out->len_bytes < TK_HASH_BYTES || memcmp(out->data + body_bytes, digest, sizeof(digest)) != 0) {
		(void)unlinkat(shard, name, 0);
		tk_buf_clear(out);
		return tk_err_set(err, TK_ENOENT, "%s in the local store is damaged", name);
	}
	out->len_bytes = body_bytes;
	return TK_OK;
}

/* Atomic, and not durable: after a power cut the file may be short or empty, which its digest shows. */
static enum tk_rc
write_tmp(int shard, const char *tmp, const void *data, size_t len_bytes, const uint8_t digest[TK_HASH_BYTES], struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = openat(shard, tmp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	enum tk_rc rc;

	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "creating a file of the local store");
	if ((rc = tk_write_full(fd, data, len_bytes, "the local store", err)) ||
	    (rc = tk_write_full(fd, digest, TK_HASH_BYTES, "the local store", err)))
		return rc;
	return tk_fd_close(&fd, "the local store", err);
}

static enum tk_rc
write_file(int shard, const char *name, const void *data, size_t len_bytes, const uint8_t digest[TK_HASH_BYTES], struct tk_err *err)
{
	char tmp[TK_TMP_NAME_MAX];
	enum tk_rc rc;

	if ((rc = tk_publish_tmp_name(tmp, err)))
		return rc;
	rc = write_tmp(shard, tmp, data, len_bytes, digest, err);
	if (!rc && renameat(shard, tmp, shard, name) < 0)
		rc = tk_err_errno(err, TK_EIO, "renaming a file of the local store");
	if (rc)
		(void)unlinkat(shard, tmp, 0);
	return rc;
}

enum tk_rc
tk_localstore_put(struct tk_localstore *store, enum tk_local_kind kind, const char *name, const void *data, size_t len_bytes,
		  struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int shard = -1;
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc = tk_localstore_mark(store, kind, name, err);

	if (rc)
		return rc;
	if (len_bytes > FILE_BYTES_MAX - TK_HASH_BYTES)
		return tk_err_set(err, TK_EINVAL, "%zu bytes are too many for the local store", len_bytes);
	if ((rc = digest_of(store, name, data, len_bytes, digest, err)))
		return rc;
	atomic_fetch_add(&store->kinds[kind].put_bytes, len_bytes);
	pthread_rwlock_rdlock(&store->sweeping);
	if ((shard = open_shard(&store->kinds[kind], name, true)) < 0)
		rc = tk_err_errno(err, tk_fs_rc(), "opening the local store");
	else
		rc = write_file(shard, name, data, len_bytes, digest, err);
	pthread_rwlock_unlock(&store->sweeping);
	return rc;
}

static bool
is_marked(void *ctx, const char *name)
{
	return tk_markset_has(ctx, name);
}

static enum tk_rc
sweep_kind(struct kind *kind, struct tk_err *err)
{
	TK_AUTO(tk_dirlist_release) struct tk_dirlist shards;
	TK_AUTO(tk_fd_cleanup) int top = openat(kind->dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *name;
	enum tk_rc rc;

	tk_dirlist_init(&shards);
	if (top < 0)
		return tk_err_errno(err, TK_EIO, "sweeping the local store");
	rc = tk_dirlist_read(&shards, top, NULL, err);
	while (!rc && (name = tk_dirlist_peek(&shards))) {
		TK_AUTO(tk_fd_cleanup) int shard = tk_open_quiet(top, name, true);

		if (shard >= 0)
			rc = tk_domain_dir_sweep(shard, is_marked, &kind->marks, err);
		if (!rc)
			rc = tk_dirlist_advance(&shards, err);
	}
	return rc;
}

enum tk_rc
tk_localstore_sweep(struct tk_localstore *store, enum tk_local_kind kind, struct tk_err *err)
{
	enum tk_rc rc;

	if ((unsigned)kind >= KINDS)
		return tk_err_set(err, TK_EINVAL, "not a kind of the local store");
	pthread_rwlock_wrlock(&store->sweeping);
	pthread_mutex_lock(&store->lock);
	rc = sweep_kind(&store->kinds[kind], err);
	pthread_mutex_unlock(&store->lock);
	pthread_rwlock_unlock(&store->sweeping);
	return rc;
}

uint64_t
tk_localstore_put_bytes(const struct tk_localstore *store, enum tk_local_kind kind)
{
	return atomic_load(&store->kinds[kind].put_bytes);
}
