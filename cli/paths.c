#include "cli/paths.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum tk_rc
tk_path_absolute(const char *path, char dst[PATH_MAX], struct tk_err *err)
{
	char here[PATH_MAX];
	int len;

	if (path[0] == '/')
		len = snprintf(dst, PATH_MAX, "%s", path);
	else if (getcwd(here, sizeof(here)))
		len = snprintf(dst, PATH_MAX, "%s/%s", strcmp(here, "/") == 0 ? "" : here, path);
	else
		return tk_err_errno(err, TK_EUSAGE, "%s: there is no working directory", path);
	if (len < 0 || len >= PATH_MAX)
		return tk_err_set(err, TK_EUSAGE, "%s: the path is too long", path);
	while (len > 1 && dst[len - 1] == '/')
		dst[--len] = '\0';
	return TK_OK;
}
