/* statx_walk: the floor under a scan that finds nothing changed: one thread, every directory read, every entry statx'ed, nothing else. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static unsigned long
walk(int dirfd, const char *name)
{
	int fd = openat(dirfd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	unsigned long count = 0;
	const struct dirent *entry;

	if (!dir)
		return 0;
	while ((entry = readdir(dir))) {
		struct statx st;

		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
		    statx(fd, entry->d_name, AT_SYMLINK_NOFOLLOW, STATX_BASIC_STATS, &st) < 0)
			continue;
		count++;
		if (S_ISDIR(st.stx_mode))
			count += walk(fd, entry->d_name);
	}
	closedir(dir);
	return count;
}

int
main(int argc, char **argv)
{
	if (argc != 2) {
		(void)fprintf(stderr, "usage: statx_walk DIR\n");
		return 2;
	}
	return printf("%lu entries\n", walk(AT_FDCWD, argv[1])) < 0;
}
