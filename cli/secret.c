#include "cli/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "cli/signals.h"

void
tk_secret_release(struct tk_secret *secret)
{
	explicit_bzero(secret, sizeof(*secret));
}

/* Reads up to the first newline, or the end. */
static enum tk_rc
secret_read(int fd, const char *from, struct tk_secret *secret, struct tk_err *err)
{
	char *newline = NULL;
	ssize_t got = 0;

	secret->len_bytes = 0;
	while (!newline && secret->len_bytes < sizeof(secret->text)) {
		got = read(fd, secret->text + secret->len_bytes, sizeof(secret->text) - secret->len_bytes);
		if (got < 0 && errno == EINTR && !tk_signals_cancelled())
			continue;
		if (got <= 0)
			break;
		newline = memchr(secret->text + secret->len_bytes, '\n', (size_t)got);
		secret->len_bytes += (size_t)got;
	}
	if (got < 0 && errno == EINTR)
		return tk_err_set(err, TK_ECANCELLED, "interrupted while the passphrase was asked for");
	if (got < 0)
		return tk_err_errno(err, TK_EIO, "cannot read the passphrase from %s", from);
	if (newline)
		secret->len_bytes = (size_t)(newline - secret->text);
	if (secret->len_bytes > TK_SECRET_MAX || memchr(secret->text, '\0', secret->len_bytes))
		return tk_err_set(err, TK_EKEY, "the passphrase from %s is longer than %d bytes, or has a NUL in it", from, TK_SECRET_MAX);
	if (secret->len_bytes == 0)
		return tk_err_set(err, TK_EKEY, "the passphrase from %s is empty", from);
	secret->text[secret->len_bytes] = '\0';
	return TK_OK;
}

static enum tk_rc
secret_from_file(const char *path, struct tk_secret *secret, struct tk_err *err)
{
	enum tk_rc rc;
	int fd;

	if (strcmp(path, "-") == 0)
		return secret_read(STDIN_FILENO, "standard input", secret, err);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "cannot read the passphrase from %s", path);
	rc = secret_read(fd, path, secret, err);
	close(fd);
	return rc;
}

static enum tk_rc
command_spawn(const char *command, int *out_fd, pid_t *pid, struct tk_err *err)
{
	static char shell[] = "sh", flag[] = "-c";
	char copy[4096], *const args[] = {shell, flag, copy, NULL};
	posix_spawn_file_actions_t actions;
	int ends[2], failed;

	if (strlen(command) >= sizeof(copy))
		return tk_err_set(err, TK_ECONFIG, "passphrase_command is longer than %zu bytes", sizeof(copy) - 1);
	memcpy(copy, command, strlen(command) + 1);
	if (pipe2(ends, O_CLOEXEC) < 0)
		return tk_err_errno(err, TK_EIO, "a pipe to passphrase_command");
	failed = posix_spawn_file_actions_init(&actions);
	if (!failed) {
		failed = posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
		if (!failed)
			failed = posix_spawn(pid, "/bin/sh", &actions, NULL, args, environ);
		(void)posix_spawn_file_actions_destroy(&actions);
	}
	close(ends[1]);
	if (failed) {
		close(ends[0]);
		errno = failed;
		return tk_err_errno(err, TK_EIO, "cannot start passphrase_command");
	}
	*out_fd = ends[0];
	return TK_OK;
}

static enum tk_rc
secret_from_command(const char *command, struct tk_secret *secret, struct tk_err *err)
{
	pid_t pid = -1, ended;
	int fd = -1, status = 0;
	enum tk_rc rc = command_spawn(command, &fd, &pid, err);

	if (rc)
		return rc;
	rc = secret_read(fd, "passphrase_command", secret, err);
	close(fd);
	do
		ended = waitpid(pid, &status, 0);
	while (ended < 0 && errno == EINTR);
	/* A command that was cut off after its first line has ended by SIGPIPE: its line is good. */
	if (WIFEXITED(status) ? WEXITSTATUS(status) != 0 : WTERMSIG(status) != SIGPIPE)
		return tk_err_set(err, TK_EKEY, "passphrase_command failed (status %d)", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
	return rc;
}

static enum tk_rc
terminal_ask(int tty, const char *prompt, struct tk_secret *secret, struct tk_err *err)
{
	struct termios before, silent;
	enum tk_rc rc;

	if (tcgetattr(tty, &before) < 0)
		return tk_err_errno(err, TK_EIO, "the terminal");
	silent = before;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	silent.c_lflag |= ECHONL;
	if (dprintf(tty, "%s: ", prompt) < 0 || tcsetattr(tty, TCSAFLUSH, &silent) < 0)
		return tk_err_errno(err, TK_EIO, "the terminal");
	rc = secret_read(tty, "the terminal", secret, err);
	(void)tcsetattr(tty, TCSAFLUSH, &before);
	return rc;
}

static enum tk_rc
secret_from_terminal(const struct tk_secret_source *source, struct tk_secret *secret, struct tk_err *err)
{
	struct tk_secret again = {{0}, 0};
	int tty = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
	enum tk_rc rc;

	if (tty < 0)
		return tk_err_set(err, TK_EUSAGE, "%s: there is no terminal to ask for it; give %s FILE", source->prompt,
				  source->option ? source->option : "--passphrase-file");
	rc = terminal_ask(tty, source->prompt, secret, err);
	if (!rc && source->is_new) {
		rc = terminal_ask(tty, "Once more", &again, err);
		if (!rc && (again.len_bytes != secret->len_bytes || memcmp(again.text, secret->text, again.len_bytes) != 0))
			rc = tk_err_set(err, TK_EUSAGE, "the two passphrases are not the same; run it again and type the same one twice");
	}
	tk_secret_release(&again);
	close(tty);
	return rc;
}

enum tk_rc
tk_secret_get(const struct tk_secret_source *source, struct tk_secret *secret, struct tk_err *err)
{
	memset(secret, 0, sizeof(*secret));
	if (source->file && *source->file)
		return secret_from_file(source->file, secret, err);
	if (source->command && *source->command)
		return secret_from_command(source->command, secret, err);
	return secret_from_terminal(source, secret, err);
}
