/* taracl.h -- POSIX ACLs between the kernel's raw attribute and libarchive's entries.
 *
 * The raw form is that of linux/posix_acl_xattr.h: a version (2), then tag, permissions, id, little-endian. Any thread. */
#ifndef TK_ARCHIVE_TARACL_H
#define TK_ARCHIVE_TARACL_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/fsio/meta.h"

struct archive_entry;

/* Adds the ACLs of the meta to the entry, whose mode is set already. Errors: TK_ECORRUPT (malformed), TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_taracl_put(struct archive_entry *entry, const struct tk_meta *meta, struct tk_err *err);

/* Adds the ACLs of the entry to the meta, whose mode is set already: its group bits become the mask, as the kernel has it.
 * Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_taracl_get(struct archive_entry *entry, struct tk_meta *meta, struct tk_err *err);

#endif
