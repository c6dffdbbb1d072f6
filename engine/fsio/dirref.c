#include "engine/fsio/dirref.h"

#include <stdlib.h>

#include "engine/fsio/openat.h"

enum tk_rc
tk_dirref_new(int *fd, struct tk_dirref **out, struct tk_err *err)
{
	struct tk_dirref *dir = malloc(sizeof(*dir));

	if (!dir) {
		tk_fd_cleanup(fd);
		return tk_err_set(err, TK_ENOMEM, "no memory for a directory");
	}
	dir->fd = *fd;
	atomic_init(&dir->holders, 1);
	*fd = -1;
	*out = dir;
	return TK_OK;
}

struct tk_dirref *
tk_dirref_hold(struct tk_dirref *dir)
{
	atomic_fetch_add_explicit(&dir->holders, 1, memory_order_relaxed);
	return dir;
}

void
tk_dirref_drop(struct tk_dirref **dir)
{
	struct tk_dirref *held = *dir;

	*dir = NULL;
	if (!held || atomic_fetch_sub_explicit(&held->holders, 1, memory_order_acq_rel) > 1)
		return;
	tk_fd_cleanup(&held->fd);
	free(held);
}
