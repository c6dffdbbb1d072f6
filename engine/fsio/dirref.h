/* dirref.h -- a directory's descriptor that is held by several: the last one who lets go closes it.
 *
 * Any thread; a holder may hold once more, and pass that on. */
#ifndef TK_FSIO_DIRREF_H
#define TK_FSIO_DIRREF_H

#include <stdatomic.h>

#include "engine/base/err.h"

struct tk_dirref {
	int fd;
	atomic_uint holders;
};

/* Takes *fd over (and sets it to -1), also on an error. The caller is the one holder. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_dirref_new(int *fd, struct tk_dirref **out, struct tk_err *err);
struct tk_dirref *tk_dirref_hold(struct tk_dirref *dir);
/* Lets go and sets *dir to NULL, which it may be. */
void tk_dirref_drop(struct tk_dirref **dir);

#endif
