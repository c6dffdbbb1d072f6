/* targetcore.h -- what the two parts of a target share; for engine/fsio/target*.c only. */
#ifndef TK_FSIO_TARGETCORE_H
#define TK_FSIO_TARGETCORE_H

#include <stdatomic.h>

#include "engine/base/buf.h"
#include "engine/fsio/metaapply.h"
#include "engine/fsio/publish.h"
#include "engine/fsio/target.h"

/* An open directory, shared by handles and pending files. */
struct tk_kept_dir {
	atomic_uint refs;
	int fd;
};

struct tk_target {
	struct tk_kept_dir *root;
	struct tk_kept_dir *kept;    /* the parent opened last, or NULL */
	struct tk_buf path;          /* the path asked for last, cut in two at its last slash */
	struct tk_buf kept_path;     /* the kept parent's path, NUL-terminated */
	struct tk_tmp_names names;
	bool is_fresh;               /* tk_target_set_fresh */
	bool has_looked;             /* at the first new file, where is_fresh */
	bool has_look;               /* and all others look like it */
	struct tk_look look;
};

/* As tk_target_parent; *dir is borrowed likewise. */
TK_MUST_CHECK enum tk_rc tk_target_parent_dir(struct tk_target *target, const char *path, size_t len_bytes, bool create_parents,
	struct tk_kept_dir **dir, const char **name, struct tk_err *err);
/* One more reference. */
struct tk_kept_dir *tk_kept_dir_take(struct tk_kept_dir *dir);
/* Gives a reference back; the last one closes. *dir may be NULL, and becomes it. */
void tk_kept_dir_cleanup(struct tk_kept_dir **dir);

#endif
