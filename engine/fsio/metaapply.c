#include "engine/fsio/metaapply.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/buf.h"
#include "engine/fsio/inoflags.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/xattrio.h"

/* One object, by descriptor where there is one, else by directory and name. */
struct object {
	int fd;
	int parent_dirfd;
	const char *name;
	struct tk_stat st;       /* as it is now */
	struct tk_xattrio xattrs;
};

void
tk_not_applied_add(struct tk_not_applied *sum, const struct tk_not_applied *more)
{
	sum->owner += more->owner;
	sum->mode += more->mode;
	sum->xattr += more->xattr;
	sum->acl += more->acl;
	sum->flags += more->flags;
	sum->times += more->times;
	sum->device += more->device;
}

bool
tk_not_applied_none(const struct tk_not_applied *counts)
{
	return !(counts->owner | counts->mode | counts->xattr | counts->acl | counts->flags | counts->times | counts->device);
}

static bool
has_flags(enum tk_ftype type)
{
	return type == TK_FT_REG || type == TK_FT_DIR;
}

static int
object_chown(const struct object *object, uint32_t uid, uint32_t gid)
{
	if (object->fd >= 0)
		return fchown(object->fd, uid, gid);
	return fchownat(object->parent_dirfd, object->name, uid, gid, AT_SYMLINK_NOFOLLOW);
}

static int
object_chmod(const struct object *object, uint32_t mode)
{
	if (object->fd >= 0)
		return fchmod(object->fd, mode);
	return fchmodat(object->parent_dirfd, object->name, mode, AT_SYMLINK_NOFOLLOW);
}

static int
object_set_mtime(const struct object *object, int64_t mtime_s, uint32_t mtime_ns)
{
	/* The access time is not part of a backup: it stays what it is. */
	struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_sec = mtime_s, .tv_nsec = mtime_ns}};

	if (object->fd >= 0)
		return futimens(object->fd, times);
	return utimensat(object->parent_dirfd, object->name, times, AT_SYMLINK_NOFOLLOW);
}

static bool
has_mtime(const struct object *object, const struct tk_meta *meta)
{
	return object->st.mtime_s == meta->mtime_s && object->st.mtime_ns == meta->mtime_ns;
}

static enum tk_rc
wanted_id(const struct tk_apply_opts *opts, enum tk_id_kind kind, const char *name, uint32_t *id, struct tk_err *err)
{
	bool known;

	if (opts->numeric_ids || !opts->ids || !name)
		return TK_OK;
	return tk_idmap_id(opts->ids, kind, name, &known, id, err);
}

static enum tk_rc
apply_owner(struct object *object, const struct tk_meta *meta, const struct tk_apply_opts *opts, struct tk_not_applied *counts,
	struct tk_err *err)
{
	uint32_t uid = meta->uid, gid = meta->gid;
	enum tk_rc rc;

	if ((rc = wanted_id(opts, TK_ID_USER, meta->uname, &uid, err)) != TK_OK)
		return rc;
	if ((rc = wanted_id(opts, TK_ID_GROUP, meta->gname, &gid, err)) != TK_OK)
		return rc;
	if (uid == object->st.uid && gid == object->st.gid)
		return TK_OK;
	if (object_chown(object, uid, gid) == 0) {
		object->st.uid = uid;
		object->st.gid = gid;
		/* A change of owner drops set-id bits: the mode is not what it was. */
		object->st.mode = UINT32_MAX;
		return TK_OK;
	}
	counts->owner++;
	/* An ordinary user may still give the file to one of his groups. */
	if (gid != object->st.gid && object_chown(object, UINT32_MAX, gid) == 0)
		object->st.gid = gid;
	object->st.mode = UINT32_MAX;
	return TK_OK;
}

static bool
is_acl(const char *name)
{
	return strcmp(name, TK_XATTR_ACL_ACCESS) == 0 || strcmp(name, TK_XATTR_ACL_DEFAULT) == 0;
}

/* An ACL inherited from the directory, a leftover of an older version: off with what the meta does not have. */
static enum tk_rc
remove_stale(struct object *object, const struct tk_meta *meta, struct tk_not_applied *counts, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf names;
	enum tk_rc rc;

	tk_buf_init(&names, 0);
	if ((rc = tk_xattrio_list(&object->xattrs, &names, err)) != TK_OK)
		return rc == TK_ENOMEM ? rc : TK_OK;
	for (size_t at = 0; at < names.len_bytes;) {
		const char *name = (const char *)names.data + at;

		at += strnlen(name, names.len_bytes - at) + 1;
		if (!tk_meta_wants_xattr(name) || tk_meta_find_xattr(meta, name))
			continue;
		if (tk_xattrio_remove(&object->xattrs, name) == 0 || errno == ENODATA) {
			/* Its mask was the mode's group bits. */
			if (is_acl(name))
				object->st.mode = UINT32_MAX;
			continue;
		}
		if (is_acl(name))
			counts->acl++;
		else
			counts->xattr++;
	}
	return TK_OK;
}

static void
set_xattrs(const struct object *object, const struct tk_meta *meta, bool acls, uint64_t *refused)
{
	for (size_t i = 0; i < meta->xattr_count; i++) {
		const struct tk_xattr *xattr = &meta->xattrs[i];

		if (is_acl(xattr->name) != acls)
			continue;
		if (!tk_meta_wants_xattr(xattr->name)
		    || tk_xattrio_set(&object->xattrs, xattr->name, xattr->value, xattr->len_bytes) < 0)
			(*refused)++;
	}
}

/*
 * Mode after owner, for the set-id bits; ordinary attributes before mode, since a file without write permission takes
 * none from its owner; ACLs after mode, since chmod would change their mask; times after everything.
 */
static enum tk_rc
apply_all(struct object *object, const struct tk_meta *meta, const struct tk_apply_opts *opts, struct tk_not_applied *counts,
	struct tk_err *err)
{
	enum tk_rc rc;

	if ((rc = apply_owner(object, meta, opts, counts, err)) != TK_OK)
		return rc;
	if (!opts->look && (rc = remove_stale(object, meta, counts, err)) != TK_OK)
		return rc;
	set_xattrs(object, meta, false, &counts->xattr);
	if (meta->type != TK_FT_SYMLINK && object->st.mode != meta->mode && object_chmod(object, meta->mode) < 0)
		counts->mode++;
	set_xattrs(object, meta, true, &counts->acl);
	if ((opts->look || !has_mtime(object, meta)) && object_set_mtime(object, meta->mtime_s, meta->mtime_ns) < 0)
		counts->times++;
	return TK_OK;
}

static enum tk_rc
look_at(struct object *object, enum tk_ftype type, const struct tk_look *look, struct tk_err *err)
{
	if (!look)
		return object->fd >= 0 ? tk_stat_fd(object->fd, &object->st, err) : tk_stat_at(object->parent_dirfd, object->name, &object->st, err);
	/* A directory may have inherited the set-group-id bit: its mode is always set. */
	object->st = (struct tk_stat){.type = type, .uid = look->uid, .gid = look->gid, .mode = type == TK_FT_DIR ? UINT32_MAX : 0600};
	return TK_OK;
}

enum tk_rc
tk_meta_apply(int parent_dirfd, const char *name, int fd, const struct tk_meta *meta, const struct tk_apply_opts *opts,
	struct tk_not_applied *counts, struct tk_err *err)
{
	struct object object = {.fd = fd, .parent_dirfd = parent_dirfd, .name = name};
	TK_AUTO(tk_fd_cleanup) int own_fd = -1;
	enum tk_rc rc;

	if (fd < 0 && has_flags(meta->type))
		object.fd = own_fd = tk_open_quiet(parent_dirfd, name, meta->type == TK_FT_DIR);
	if ((rc = look_at(&object, meta->type, opts->look, err)) != TK_OK)
		return rc;
	if (object.st.type != meta->type)
		return tk_err_set(err, TK_ENOTSAFE, "%s was replaced by something else", name);
	if ((rc = tk_xattrio_init(&object.xattrs, object.fd, parent_dirfd, name, err)) != TK_OK)
		return rc;
	return apply_all(&object, meta, opts, counts, err);
}

void
tk_meta_apply_flags(int parent_dirfd, const char *name, const struct tk_meta *meta, struct tk_not_applied *counts)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	bool applied = false;

	if (!has_flags(meta->type))
		return;
	fd = tk_open_quiet(parent_dirfd, name, meta->type == TK_FT_DIR);
	if (fd >= 0)
		tk_inoflags_set(fd, meta->flags, &applied);
	counts->flags += !applied && (fd >= 0 || meta->flags != 0);
}

bool
tk_meta_unlock(int parent_dirfd, const char *name)
{
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	struct tk_stat st;

	if (tk_stat_at(parent_dirfd, name, &st, NULL) != TK_OK || !has_flags(st.type))
		return false;
	fd = tk_open_quiet(parent_dirfd, name, st.type == TK_FT_DIR);
	return fd >= 0 && tk_inoflags_unlock(fd);
}
