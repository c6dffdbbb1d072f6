/* Where the bytes of the version before may still lie on disk, when a file has taken its place or goes on from it. */
#include "engine/fsio/openat.h"
#include "engine/job/scan_core.h"

/* Of a directory in which a file that was renamed is looked for: more are not worth the way through it. */
#define NAMES_MAX 4096u

/* Where, seen from the directory of a file, another of the tree is. */
static enum tk_rc
relative_path(const struct tk_walk_entry *now, const struct tk_entry *other, struct tk_buf *out, struct tk_err *err)
{
	size_t shared = 0;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < now->path_len_bytes && i < other->path_bytes && now->path[i] == other->path[i]; i++)
		if (now->path[i] == '/')
			shared = i + 1;
	for (size_t i = shared; i < now->path_len_bytes && !rc; i++)
		if (now->path[i] == '/')
			rc = tk_buf_put(out, "../", 3, err);
	if (!rc)
		rc = tk_buf_put(out, other->path + shared, other->path_bytes - shared, err);
	return rc ? rc : tk_buf_put_u8(out, '\0', err);
}

static bool
is_still(const struct tk_entry *was, int fd)
{
	struct tk_stat st;

	return !tk_stat_fd(fd, &st, NULL) && st.type == TK_FT_REG && st.size_bytes == was->meta.size_bytes && st.mtime_s == was->meta.mtime_s &&
	       st.mtime_ns == was->meta.mtime_ns;
}

enum tk_rc
tk_scan_open_past(const struct tk_walk_entry *now, const struct tk_entry *was, const struct tk_sidecar *side, int *fd, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf path = {0};
	enum tk_rc rc = TK_OK;

	*fd = -1;
	if (tk_path_compare(was->path, was->path_bytes, now->path, now->path_len_bytes) != 0) {
		if ((rc = relative_path(now, was, &path, err)))
			return rc;
		*fd = tk_open_quiet(now->parent->fd, (const char *)path.data, false);
	} else if (side->ino != 0 && side->ino != now->st.ino) {
		*fd = tk_open_inode(now->parent->fd, side->ino, NAMES_MAX);
	}
	if (*fd >= 0 && !is_still(was, *fd))
		tk_fd_cleanup(fd);
	return TK_OK;
}
