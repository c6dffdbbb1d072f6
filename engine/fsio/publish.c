#include "engine/fsio/publish.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/fsio/dirlist.h"
#include "engine/fsio/fstat.h"
#include "engine/fsio/openat.h"

#define TMP_RANDOM_BYTES 12
/* So many names are counted on from a random one. */
#define TMP_NAMES_A_SEED 1000000u

struct tk_publish {
	int dirfd;                        /* borrowed */
	int fd;
	bool has_name;                    /* the temporary name is there */
	char tmp_name[TK_TMP_NAME_MAX];
};

bool
tk_publish_is_tmp(const char *name)
{
	return strncmp(name, TK_TMP_PREFIX, sizeof(TK_TMP_PREFIX) - 1) == 0;
}

enum tk_rc
tk_publish_tmp_name(char dst[TK_TMP_NAME_MAX], struct tk_err *err)
{
	uint8_t random[TMP_RANDOM_BYTES];
	enum tk_rc rc = tk_random_bytes(random, sizeof(random), err);

	memcpy(dst, TK_TMP_PREFIX, sizeof(TK_TMP_PREFIX));
	if (rc == TK_OK)
		tk_hex_encode(random, sizeof(random), dst + sizeof(TK_TMP_PREFIX) - 1);
	return rc;
}

enum tk_rc
tk_tmp_names_next(struct tk_tmp_names *names, char dst[TK_TMP_NAME_MAX], struct tk_err *err)
{
	enum tk_rc rc;

	if (names->left == 0) {
		if ((rc = tk_random_bytes(names->bytes, sizeof(names->bytes), err)) != TK_OK)
			return rc;
		names->left = TMP_NAMES_A_SEED;
	}
	names->left--;
	for (size_t i = sizeof(names->bytes); i-- > 0 && ++names->bytes[i] == 0;)
		;
	memcpy(dst, TK_TMP_PREFIX, sizeof(TK_TMP_PREFIX));
	tk_hex_encode(names->bytes, sizeof(names->bytes), dst + sizeof(TK_TMP_PREFIX) - 1);
	return TK_OK;
}

enum tk_rc
tk_publish_sweep(int dirfd, struct tk_err *err)
{
	TK_AUTO(tk_dirlist_release) struct tk_dirlist names;
	TK_AUTO(tk_fd_cleanup) int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *name;
	enum tk_rc rc;

	tk_dirlist_init(&names);
	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "sweeping temporary files");
	rc = tk_dirlist_read(&names, fd, NULL, err);
	while (rc == TK_OK && (name = tk_dirlist_peek(&names))) {
		if (tk_publish_is_tmp(name) && unlinkat(dirfd, name, 0) < 0 && errno != ENOENT)
			return tk_err_errno(err, TK_EIO, "removing the leftover %s", name);
		rc = tk_dirlist_advance(&names, err);
	}
	return rc;
}

enum tk_rc
tk_publish_begin(int dirfd, uint32_t mode, struct tk_publish **out, struct tk_err *err)
{
	TK_AUTO(tk_publish_cleanup) struct tk_publish *txn = calloc(1, sizeof(*txn));
	enum tk_rc rc;

	*out = NULL;
	if (!txn)
		return tk_err_set(err, TK_ENOMEM, "publishing a file: out of memory");
	txn->dirfd = dirfd;
	txn->fd = -1;
	if ((rc = tk_publish_tmp_name(txn->tmp_name, err)) != TK_OK)
		return rc;
	txn->fd = openat(dirfd, txn->tmp_name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (txn->fd < 0)
		return tk_err_errno(err, tk_fs_rc(), "creating a temporary file");
	txn->has_name = true;
	if (mode != 0600 && fchmod(txn->fd, mode) < 0)
		return tk_err_errno(err, TK_EIO, "mode of a temporary file");
	*out = txn;
	txn = NULL;
	return TK_OK;
}

int
tk_publish_fd(const struct tk_publish *txn)
{
	return txn->fd;
}

void
tk_publish_cleanup(struct tk_publish **txn)
{
	if (!*txn)
		return;
	if ((*txn)->has_name)
		(void)unlinkat((*txn)->dirfd, (*txn)->tmp_name, 0);
	tk_fd_cleanup(&(*txn)->fd);
	free(*txn);
	*txn = NULL;
}

/* Gives the file its name; never over an existing one unless asked. -1 with errno. */
static int
publish_rename(const struct tk_publish *txn, const char *name, bool replace)
{
	if (replace)
		return renameat(txn->dirfd, txn->tmp_name, txn->dirfd, name);
	if (renameat2(txn->dirfd, txn->tmp_name, txn->dirfd, name, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL && errno != ENOSYS)
		return -1;
	/* A file system without it: a hard link does not replace either. */
	if (linkat(txn->dirfd, txn->tmp_name, txn->dirfd, name, 0) < 0)
		return -1;
	return unlinkat(txn->dirfd, txn->tmp_name, 0);
}

enum tk_rc
tk_publish_commit(struct tk_publish *txn, const char *name, bool replace, struct tk_err *err)
{
	enum tk_rc rc;

	/* The name appears only once the data is down: a crash between the two leaves a temporary file to sweep. */
	if (fsync(txn->fd) < 0)
		return tk_err_errno(err, TK_EIO, "fsync of %s", name);
	if (publish_rename(txn, name, replace) < 0)
		return tk_err_errno(err, errno == EEXIST ? TK_EEXIST : TK_EIO, "publishing %s", name);
	txn->has_name = false;
	if ((rc = tk_fd_close(&txn->fd, name, err)) != TK_OK)
		return rc;
	return tk_fsync_dir(txn->dirfd, name, err);
}

enum tk_rc
tk_publish_file(int dirfd, const char *name, const void *bytes, size_t len_bytes, uint32_t mode, struct tk_err *err)
{
	TK_AUTO(tk_publish_cleanup) struct tk_publish *txn = NULL;
	enum tk_rc rc;

	if ((rc = tk_publish_begin(dirfd, mode, &txn, err)) != TK_OK)
		return rc;
	if ((rc = tk_write_full(txn->fd, bytes, len_bytes, name, err)) != TK_OK)
		return rc;
	return tk_publish_commit(txn, name, true, err);
}

enum tk_rc
tk_read_file_at(int dirfd, const char *name, size_t max_bytes, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = tk_open_quiet(dirfd, name, false);
	struct tk_stat st;
	size_t got;
	enum tk_rc rc;

	tk_buf_clear(out);
	if (fd < 0)
		return tk_err_errno(err, tk_fs_rc(), "opening %s", name);
	if ((rc = tk_stat_fd(fd, &st, err)) != TK_OK)
		return rc;
	if (st.type != TK_FT_REG || st.size_bytes > max_bytes)
		return tk_err_set(err, TK_EINVAL, "%s is not a regular file of at most %zu bytes", name, max_bytes);
	/* One byte more than expected shows a file that grew meanwhile. */
	if ((rc = tk_buf_reserve(out, (size_t)st.size_bytes + 1, err)) != TK_OK)
		return rc;
	if ((rc = tk_read_full(fd, out->data, (size_t)st.size_bytes + 1, &got, name, err)) != TK_OK)
		return rc;
	if (got > st.size_bytes)
		return tk_err_set(err, TK_EIO, "%s grew while it was read", name);
	out->len_bytes = got;
	return TK_OK;
}

enum tk_rc
tk_fsync_dir(int dirfd, const char *what, struct tk_err *err)
{
	return fsync(dirfd) < 0 ? tk_err_errno(err, TK_EIO, "fsync of the directory of %s", what) : TK_OK;
}

/* Makes one component of `path` durable; *dirfd moves into it. */
static enum tk_rc
mkdir_step(int *dirfd, const char *name, uint32_t mode, const char *path, struct tk_err *err)
{
	int next;
	bool made = mkdirat(*dirfd, name, mode) == 0;
	int refusal = made ? 0 : errno;

	/* On a read-only or foreign parent mkdir may complain of something else than the directory being there. */
	next = openat(*dirfd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (next < 0) {
		/* Where nothing is, mkdir's word is the reason. */
		if (errno == ENOENT && refusal)
			errno = refusal;
		return tk_err_errno(err, errno == ENOTDIR ? TK_EEXIST : tk_fs_rc(), "making the directory %s", path);
	}
	if (made && fsync(*dirfd) < 0) {
		enum tk_rc rc = tk_err_errno(err, TK_EIO, "fsync of the parent of %s", name);

		close(next);
		return rc;
	}
	tk_fd_cleanup(dirfd);
	*dirfd = next;
	return TK_OK;
}

enum tk_rc
tk_mkdir_p_at(int dirfd, const char *path, uint32_t mode, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int at = openat(dirfd, *path == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char name[NAME_MAX + 1];
	const char *rest = path;
	enum tk_rc rc;

	if (at < 0)
		return tk_err_errno(err, tk_fs_rc(), "making the directory %s", path);
	while (*rest) {
		size_t len = strcspn(rest, "/");

		if (len > NAME_MAX)
			return tk_err_set(err, TK_EINVAL, "a name in %s is too long", path);
		memcpy(name, rest, len);
		name[len] = '\0';
		if (len > 0 && (rc = mkdir_step(&at, name, mode, path, err)) != TK_OK)
			return rc;
		rest += len;
		rest += *rest == '/';
	}
	return TK_OK;
}

void
tk_dir_cleanup(DIR **dir)
{
	if (*dir)
		closedir(*dir);
	*dir = NULL;
}
