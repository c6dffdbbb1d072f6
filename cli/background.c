#include "cli/background.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/fsio/openat.h"

static _Noreturn void
wait_as_parent(pid_t child, int fd)
{
	uint8_t well;
	int status = 0;
	ssize_t got;

	do {
		got = read(fd, &well, 1);
	} while (got < 0 && errno == EINTR);
	if (got == 1)
		_exit(0);
	/* Nothing came: it ends, and says why on standard error before it does. */
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			_exit(1);
	_exit(WIFEXITED(status) && WEXITSTATUS(status) != 0 ? WEXITSTATUS(status) : 1);
}

enum tk_rc
tk_background_begin(int *ready_fd, struct tk_err *err)
{
	int fds[2];
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return tk_err_errno(err, TK_EIO, "make a pipe");
	pid = fork();
	if (pid > 0)
		wait_as_parent(pid, (close(fds[1]), fds[0]));
	(void)close(fds[0]);
	*ready_fd = fds[1];
	if (pid < 0 || setsid() < 0)
		return tk_err_errno(err, TK_EIO, "go to the background");
	return TK_OK;
}

void
tk_background_ready(int *ready_fd, int log_fd)
{
	static const uint8_t well = 0;
	int null_fd;

	if (*ready_fd < 0)
		return;
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd >= 0) {
		(void)dup2(null_fd, STDIN_FILENO);
		(void)dup2(log_fd >= 0 ? log_fd : null_fd, STDOUT_FILENO);
		(void)dup2(log_fd >= 0 ? log_fd : null_fd, STDERR_FILENO);
	}
	tk_fd_cleanup(&null_fd);
	/* A parent that was killed meanwhile is no reason to stop. */
	if (write(*ready_fd, &well, 1) < 0)
		errno = 0;
	tk_fd_cleanup(ready_fd);
}
