#include "engine/fsio/meta.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/fsio/inoflags.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/xattrio.h"

void
tk_meta_init(struct tk_meta *meta)
{
	*meta = (struct tk_meta){0};
}

void
tk_meta_release(struct tk_meta *meta)
{
	for (size_t i = 0; i < meta->xattr_count; i++) {
		free(meta->xattrs[i].name);
		free(meta->xattrs[i].value);
	}
	free(meta->xattrs);
	free(meta->uname);
	free(meta->gname);
	free(meta->link_target);
	tk_meta_init(meta);
}

/* Where the name is, or belongs. */
static size_t
xattr_place(const struct tk_meta *meta, const char *name, bool *found)
{
	size_t at = 0;
	int order = 1;

	while (at < meta->xattr_count && (order = strcmp(meta->xattrs[at].name, name)) < 0)
		at++;
	*found = at < meta->xattr_count && order == 0;
	return at;
}

const struct tk_xattr *
tk_meta_find_xattr(const struct tk_meta *meta, const char *name)
{
	bool found;
	size_t at = xattr_place(meta, name, &found);

	return found ? &meta->xattrs[at] : NULL;
}

static enum tk_rc
xattr_make_room(struct tk_meta *meta, size_t at, char *name, struct tk_err *err)
{
	struct tk_xattr *rows = reallocarray(meta->xattrs, meta->xattr_count + 1, sizeof(*rows));

	if (!rows)
		return tk_err_set(err, TK_ENOMEM, "extended attributes: out of memory");
	memmove(&rows[at + 1], &rows[at], (meta->xattr_count - at) * sizeof(*rows));
	rows[at] = (struct tk_xattr){.name = name};
	meta->xattrs = rows;
	meta->xattr_count++;
	return TK_OK;
}

enum tk_rc
tk_meta_put_xattr(struct tk_meta *meta, const char *name, const void *value, size_t len_bytes, struct tk_err *err)
{
	uint8_t *copy = NULL;
	char *own_name;
	bool found;
	size_t at = xattr_place(meta, name, &found);

	if (len_bytes > 0 && !(copy = malloc(len_bytes)))
		return tk_err_set(err, TK_ENOMEM, "extended attributes: out of memory");
	if (!found) {
		own_name = strdup(name);
		if (!own_name || xattr_make_room(meta, at, own_name, err) != TK_OK) {
			free(own_name);
			free(copy);
			return tk_err_set(err, TK_ENOMEM, "extended attributes: out of memory");
		}
	}
	if (copy)
		memcpy(copy, value, len_bytes);
	free(meta->xattrs[at].value);
	meta->xattrs[at].value = copy;
	meta->xattrs[at].len_bytes = len_bytes;
	return TK_OK;
}

static bool
has_prefix(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool
tk_meta_wants_xattr(const char *name)
{
	if (has_prefix(name, "user.") || strcmp(name, "security.capability") == 0)
		return true;
	if (strcmp(name, TK_XATTR_ACL_ACCESS) == 0 || strcmp(name, TK_XATTR_ACL_DEFAULT) == 0)
		return true;
	return has_prefix(name, "trusted.") && geteuid() == 0;
}

static enum tk_rc
capture_xattrs(const struct tk_xattrio *io, struct tk_meta *meta, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf names;
	TK_AUTO(tk_buf_release) struct tk_buf value;
	enum tk_rc rc;

	tk_buf_init(&names, 0);
	tk_buf_init(&value, 0);
	if ((rc = tk_xattrio_list(io, &names, err)) != TK_OK)
		return rc;
	for (size_t at = 0; at < names.len_bytes;) {
		const char *name = (const char *)names.data + at;

		at += strnlen(name, names.len_bytes - at) + 1;
		if (!tk_meta_wants_xattr(name))
			continue;
		rc = tk_xattrio_get(io, name, &value, err);
		if (rc == TK_EMISSING)
			continue;
		if (rc == TK_OK)
			rc = tk_meta_put_xattr(meta, name, value.data, value.len_bytes, err);
		if (rc != TK_OK)
			return rc;
	}
	return TK_OK;
}

/* st_size of a symlink is a hint only (0 on some file systems), so the buffer grows until the target fits. */
static enum tk_rc
capture_link(int parent_dirfd, const char *name, struct tk_meta *meta, struct tk_err *err)
{
	for (size_t room = 256; room <= 1U << 20; room *= 4) {
		char *text = realloc(meta->link_target, room);
		ssize_t len;

		if (!text)
			return tk_err_set(err, TK_ENOMEM, "symlink target: out of memory");
		meta->link_target = text;
		len = readlinkat(parent_dirfd, name, text, room);
		if (len < 0)
			return tk_err_errno(err, errno == EINVAL ? TK_ENOENT : tk_fs_rc(), "reading the symlink %s", name);
		if ((size_t)len < room) {
			text[len] = '\0';
			return TK_OK;
		}
	}
	return tk_err_set(err, TK_EIO, "the target of the symlink %s is too long", name);
}

static enum tk_rc
capture_names(const struct tk_stat *st, struct tk_idmap *ids, struct tk_meta *meta, struct tk_err *err)
{
	const char *uname = NULL, *gname = NULL;
	enum tk_rc rc;

	if (!ids)
		return TK_OK;
	if ((rc = tk_idmap_name(ids, TK_ID_USER, st->uid, &uname, err)) != TK_OK)
		return rc;
	if ((rc = tk_idmap_name(ids, TK_ID_GROUP, st->gid, &gname, err)) != TK_OK)
		return rc;
	if ((uname && !(meta->uname = strdup(uname))) || (gname && !(meta->gname = strdup(gname))))
		return tk_err_set(err, TK_ENOMEM, "owner names: out of memory");
	return TK_OK;
}

static void
capture_stat(const struct tk_stat *st, struct tk_meta *meta)
{
	bool is_device = st->type == TK_FT_CHAR || st->type == TK_FT_BLOCK;

	meta->type = st->type;
	meta->mode = st->mode;
	meta->uid = st->uid;
	meta->gid = st->gid;
	meta->mtime_s = st->mtime_s;
	meta->mtime_ns = st->mtime_ns;
	meta->size_bytes = st->type == TK_FT_REG ? st->size_bytes : 0;
	meta->dev_major = is_device ? st->rdev_major : 0;
	meta->dev_minor = is_device ? st->rdev_minor : 0;
}

static enum tk_rc
capture_all(int parent_dirfd, const char *name, int fd, const struct tk_stat *st, struct tk_idmap *ids, struct tk_meta *meta,
	struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int own_fd = -1;
	struct tk_xattrio io;
	enum tk_rc rc;

	capture_stat(st, meta);
	if ((rc = capture_names(st, ids, meta, err)) != TK_OK)
		return rc;
	if (st->type == TK_FT_SYMLINK && (rc = capture_link(parent_dirfd, name, meta, err)) != TK_OK)
		return rc;
	if (st->type == TK_FT_REG || st->type == TK_FT_DIR) {
		if (fd < 0 && (fd = own_fd = tk_open_quiet(parent_dirfd, name, st->type == TK_FT_DIR)) < 0)
			return tk_err_errno(err, tk_fs_rc(), "opening %s", name);
		if ((rc = tk_inoflags_get(fd, &meta->flags, err)) != TK_OK)
			return rc;
	} else {
		fd = -1;
	}
	if ((rc = tk_xattrio_init(&io, fd, parent_dirfd, name, err)) != TK_OK)
		return rc;
	return capture_xattrs(&io, meta, err);
}

enum tk_rc
tk_meta_capture(int parent_dirfd, const char *name, int fd, const struct tk_stat *st, struct tk_idmap *ids, struct tk_meta *meta,
	struct tk_err *err)
{
	enum tk_rc rc;

	tk_meta_release(meta);
	rc = capture_all(parent_dirfd, name, fd, st, ids, meta, err);
	if (rc != TK_OK)
		tk_meta_release(meta);
	return rc;
}
