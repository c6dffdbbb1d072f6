#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

#include "engine/fsio/fstat.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

/* The holder wrote its number after it took the lock; between the two there is none. */
static enum tk_rc
lock_refused(int fd, const char *name, struct tk_err *err)
{
	char text[24] = "";
	size_t got = 0;
	long pid;

	if (tk_pread_full(fd, text, sizeof(text) - 1, 0, &got, name, NULL) != TK_OK)
		got = 0;
	text[got] = '\0';
	pid = strtol(text, NULL, 10);
	if (pid > 0)
		return tk_err_set(err, TK_ELOCKED, "%s is held by process %ld", name, pid);
	return tk_err_set(err, TK_ELOCKED, "%s is held by another process", name);
}

enum tk_rc
tk_lock_file(int dirfd, const char *name, int *lock_fd, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = openat(dirfd, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
	char text[24];
	int len;
	enum tk_rc rc;

	*lock_fd = -1;
	if (fd < 0)
		return tk_err_errno(err, tk_fs_rc(), "opening the lock %s", name);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return lock_refused(fd, name, err);
		return tk_err_errno(err, TK_EIO, "locking %s", name);
	}
	len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	if (ftruncate(fd, 0) < 0)
		return tk_err_errno(err, TK_EIO, "writing the lock %s", name);
	if ((rc = tk_pwrite_full(fd, text, (size_t)len, 0, name, err)) != TK_OK)
		return rc;
	*lock_fd = fd;
	fd = -1;
	return TK_OK;
}
