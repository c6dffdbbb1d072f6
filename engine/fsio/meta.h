/* meta.h -- everything about an object but its content: captured at the source, carried in a manifest.
 *
 * A tk_meta owns what it points to; one owner, one thread at a time. Applying it is in metaapply.h. */
#ifndef TK_FSIO_META_H
#define TK_FSIO_META_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/fsio/fstat.h"
#include "engine/fsio/idmap.h"

#define TK_XATTR_ACL_ACCESS "system.posix_acl_access"
#define TK_XATTR_ACL_DEFAULT "system.posix_acl_default"

struct tk_xattr {
	char *name;       /* owned */
	uint8_t *value;   /* owned; NULL only when len_bytes is 0 */
	size_t len_bytes;
};

struct tk_meta {
	enum tk_ftype type;
	uint32_t mode;            /* 07777 only */
	uint32_t uid;
	uint32_t gid;
	char *uname;              /* owned; NULL: unknown */
	char *gname;
	int64_t mtime_s;
	uint32_t mtime_ns;
	uint64_t size_bytes;      /* of a regular file, else 0 */
	uint32_t dev_major;       /* of a device node, else 0 */
	uint32_t dev_minor;
	char *link_target;        /* of a symlink, any bytes but NUL; else NULL */
	struct tk_xattr *xattrs;  /* sorted by name; POSIX ACLs are the raw system.posix_acl_* attributes */
	size_t xattr_count;
	uint32_t flags;           /* TK_INO_* */
};

void tk_meta_init(struct tk_meta *meta);
/* Frees what it holds; leaves it as tk_meta_init does. */
void tk_meta_release(struct tk_meta *meta);

/* Sets the attribute (copies name and value), keeping the order; replaces one of the same name. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_meta_put_xattr(struct tk_meta *meta, const char *name, const void *value, size_t len_bytes, struct tk_err *err);
/* NULL when it is not there. */
const struct tk_xattr *tk_meta_find_xattr(const struct tk_meta *meta, const char *name);

/* True for the attributes that are backed up: user.*, security.capability, POSIX ACLs and, for root, trusted.*. */
bool tk_meta_wants_xattr(const char *name);

/*
 * Fills *meta (released first) for the object `name` in parent_dirfd, whose cheap part st was taken already.
 * `fd` is the object open for reading, or -1: regular files and directories are then opened here; nothing else
 * is ever opened, so that a FIFO cannot block and a device is not touched. A file system without extended
 * attributes or flags gives none. `ids` may be NULL: no names.
 * Errors: TK_ENOENT (vanished), TK_EDENIED, TK_ENOMEM, TK_EIO; *meta is then empty.
 */
TK_MUST_CHECK enum tk_rc tk_meta_capture(int parent_dirfd, const char *name, int fd, const struct tk_stat *st, struct tk_idmap *ids,
	struct tk_meta *meta, struct tk_err *err);

#endif
