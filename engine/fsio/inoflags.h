/* inoflags.h -- inode flags (chattr(1)) as a portable set of bits: those that make sense to restore.
 *
 * Any thread. Only regular files and directories have them; never hand in a device: the ioctl would reach its
 * driver. */
#ifndef TK_FSIO_INOFLAGS_H
#define TK_FSIO_INOFLAGS_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/err.h"

/* The numbers are stable: they are written into manifests. */
#define TK_INO_IMMUTABLE 0x0001U
#define TK_INO_APPEND 0x0002U
#define TK_INO_NODUMP 0x0004U
#define TK_INO_NOATIME 0x0008U
#define TK_INO_SYNC 0x0010U
#define TK_INO_DIRSYNC 0x0020U
#define TK_INO_COMPRESS 0x0040U
#define TK_INO_NOCOW 0x0080U
#define TK_INO_JOURNAL_DATA 0x0100U
#define TK_INO_TOPDIR 0x0200U

/* From and to the kernel's FS_*_FL bits; what has no counterpart is dropped. */
uint32_t tk_inoflags_from_kernel(unsigned kernel);
unsigned tk_inoflags_to_kernel(uint32_t flags);

/* 0 when the file system has no flags. fd: opened for reading, not O_PATH. Errors: TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_inoflags_get(int fd, uint32_t *flags, struct tk_err *err);

/* Makes the object's flags equal to `flags`; flags of the kernel that have no bit here stay as they are.
 * *applied is false when some bit was refused (the others are set). */
void tk_inoflags_set(int fd, uint32_t flags, bool *applied);

/* Clears immutable and append-only, so that the object can be replaced. True when something was cleared. */
bool tk_inoflags_unlock(int fd);

#endif
