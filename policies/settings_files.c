/* The files of a configuration: where they are, and their bytes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policies/settings_keys.h"

#define FILE_MAX_BYTES (1 << 20)

enum tk_rc
tk_config_file_read(const char *path, char **text, size_t *len_bytes, struct tk_err *err)
{
	struct stat st;
	ssize_t got;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);

	*text = NULL;
	if (fd < 0)
		return tk_err_errno(err, TK_EIO, "cannot read %s", path);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size > FILE_MAX_BYTES) {
		close(fd);
		return tk_err_set(err, TK_ECONFIG, "%s is not a regular file of at most 1 MiB", path);
	}
	*text = malloc(FILE_MAX_BYTES);
	got = *text ? read(fd, *text, FILE_MAX_BYTES) : -1;
	close(fd);
	if (got < 0) {
		free(*text);
		*text = NULL;
		return tk_err_errno(err, TK_EIO, "cannot read %s", path);
	}
	*len_bytes = (size_t)got;
	return TK_OK;
}

void
tk_config_include_path(const char *including, const char *name, char path[PATH_MAX])
{
	const char *slash = strrchr(including, '/');
	int dir_len = slash ? (int)(slash - including) + 1 : 0;

	if (name[0] == '/') {
		(void)snprintf(path, PATH_MAX, "%s", name);
		return;
	}
	(void)snprintf(path, PATH_MAX, "%.*s%s", dir_len, including, name);
	if (access(path, F_OK) < 0) {
		(void)snprintf(path, PATH_MAX, "%s/%s", TK_POLICY_DIR, name);
		if (access(path, F_OK) < 0)
			(void)snprintf(path, PATH_MAX, "%.*s%s", dir_len, including, name);
	}
}
