/* paths.h -- directories as a command line names them. Any thread. */
#ifndef TK_CLI_PATHS_H
#define TK_CLI_PATHS_H

#include <limits.h>

#include "engine/base/err.h"

/* The path as it is from /, without slashes at its end; nothing need be there. Errors: TK_EUSAGE (too long, or no working directory). */
TK_MUST_CHECK enum tk_rc tk_path_absolute(const char *path, char dst[PATH_MAX], struct tk_err *err);

#endif
