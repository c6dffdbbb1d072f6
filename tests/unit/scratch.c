#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/unit/scratch.h"

static int
setup_below(const char *dir, void **state)
{
	struct scratch *scratch = calloc(1, sizeof(*scratch));

	assert_non_null(scratch);
	(void)snprintf(scratch->path, sizeof(scratch->path), "%s/tk-unit-XXXXXX", dir);
	assert_non_null(mkdtemp(scratch->path));
	scratch->fd = open(scratch->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(scratch->fd >= 0);
	*state = scratch;
	return 0;
}

int
scratch_setup(void **state)
{
	return setup_below("/tmp", state);
}

int
scratch_setup_fast(void **state)
{
	return setup_below(access("/dev/shm", W_OK | X_OK) == 0 ? "/dev/shm" : "/tmp", state);
}

int
scratch_teardown(void **state)
{
	struct scratch *scratch = *state;
	char command[256];

	close(scratch->fd);
	(void)snprintf(command, sizeof(command), "chattr -R -ia %s 2>/dev/null; chmod -R u+rwx %s; rm -rf %s", scratch->path,
		scratch->path, scratch->path);
	if (system(command) != 0)
		return -1;
	free(scratch);
	return 0;
}

void
scratch_file(const struct scratch *scratch, const char *name, const char *text)
{
	int fd = openat(scratch->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

void
scratch_dir(const struct scratch *scratch, const char *name)
{
	assert_int_equal(mkdirat(scratch->fd, name, 0755), 0);
}

const char *
scratch_read(const struct scratch *scratch, const char *name, char *buf, size_t size)
{
	int fd = openat(scratch->fd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, buf, size - 1);

	if (fd >= 0)
		close(fd);
	buf[got > 0 ? got : 0] = '\0';
	return buf;
}

const char *
scratch_path(const struct scratch *scratch, const char *name, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s/%s", scratch->path, name);
	return buf;
}
