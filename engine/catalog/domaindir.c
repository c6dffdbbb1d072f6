#include "engine/catalog/domaindir.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/fsio/dirlist.h"
#include "engine/fsio/fstat.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

enum tk_rc
tk_domain_dir_open(const char *state_dir, const struct tk_id *domain, const char *sub, int *dirfd, struct tk_err *err)
{
	char hex[2 * TK_ID_BYTES + 1];
	char path[PATH_MAX];
	enum tk_rc rc;
	int len;

	tk_hex_encode(domain->b, sizeof(domain->b), hex);
	len = snprintf(path, sizeof(path), "%s/domains/%s/%s", state_dir, hex, sub);
	if (len < 0 || (size_t)len >= sizeof(path))
		return tk_err_set(err, TK_EINVAL, "the path of the state directory is too long");
	if ((rc = tk_mkdir_p_at(AT_FDCWD, path, 0700, err)))
		return rc;
	*dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *dirfd < 0 ? tk_err_errno(err, tk_fs_rc(), "opening %s", path) : TK_OK;
}

enum tk_rc
tk_domain_dir_sweep(int dirfd, bool (*keep)(void *ctx, const char *name), void *ctx, struct tk_err *err)
{
	TK_AUTO(tk_dirlist_release) struct tk_dirlist names;
	TK_AUTO(tk_fd_cleanup) int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const char *name;
	enum tk_rc rc;

	tk_dirlist_init(&names);
	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "looking for files that are not needed");
	rc = tk_dirlist_read(&names, fd, NULL, err);
	while (!rc && (name = tk_dirlist_peek(&names))) {
		if (!keep(ctx, name))
			(void)unlinkat(dirfd, name, 0);
		rc = tk_dirlist_advance(&names, err);
	}
	return rc;
}
