/* publish.h -- files that appear whole or not at all, and are durable when they do; locks.
 *
 * Any thread; a transaction has one owner, one thread at a time. Directory descriptors are borrowed and must be open
 * for reading (not O_PATH), since the directory is fsynced. Names are single components. */
#ifndef TK_FSIO_PUBLISH_H
#define TK_FSIO_PUBLISH_H

#include <dirent.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"

/* Temporary files are called ".tk-tmp-" and random digits; what a crash left of them may be swept by whoever owns
 * the directory. */
#define TK_TMP_PREFIX ".tk-tmp-"
#define TK_TMP_NAME_MAX 48
bool tk_publish_is_tmp(const char *name);
/* A fresh name of that form into dst. Errors: TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_publish_tmp_name(char dst[TK_TMP_NAME_MAX], struct tk_err *err);
/* Many of them for one owner: random at first, then counted on, so that a name costs no system call. Zeros at first; left = 0: begin anew. A name may be guessed by who saw
 * others: open it with O_EXCL. Errors: TK_EIO. */
struct tk_tmp_names {
	uint8_t bytes[12];
	uint32_t left;
};
TK_MUST_CHECK enum tk_rc tk_tmp_names_next(struct tk_tmp_names *names, char dst[TK_TMP_NAME_MAX], struct tk_err *err);
/* Removes leftover temporary files of the directory; call it only while nobody can be publishing there.
 * Errors: TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_publish_sweep(int dirfd, struct tk_err *err);

/* Writes the file `name`, replacing one that is there. After TK_OK it is durable under its name.
 * Errors: TK_EIO, TK_ENOSPC: the old file, if any, may or may not have been replaced; never a mixture. */
TK_MUST_CHECK enum tk_rc tk_publish_file(int dirfd, const char *name, const void *bytes, size_t len_bytes, uint32_t mode,
	struct tk_err *err);

struct tk_publish;   /* one pending file */

/* dirfd must outlive the transaction. On TK_OK the caller owns *out. Errors: TK_EIO, TK_ENOSPC, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_publish_begin(int dirfd, uint32_t mode, struct tk_publish **out, struct tk_err *err);
/* The file, open for reading and writing; borrowed. */
int tk_publish_fd(const struct tk_publish *txn);
/*
 * Makes the file durable under `name`: data, then name, then directory. With replace false an existing name is
 * TK_EEXIST, and stays as it is. After TK_OK the transaction is spent: only tk_publish_cleanup may follow.
 * Errors: TK_EEXIST, TK_EIO, TK_ENOSPC: nobody may be told; the name may or may not be there.
 */
TK_MUST_CHECK enum tk_rc tk_publish_commit(struct tk_publish *txn, const char *name, bool replace, struct tk_err *err);
/* Frees; removes the temporary file unless it was renamed. *txn may be NULL. */
void tk_publish_cleanup(struct tk_publish **txn);

/* The whole of a regular file into *out (cleared first). Errors: TK_ENOENT, TK_EINVAL (over max_bytes, or not a
 * regular file), TK_EDENIED, TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_read_file_at(int dirfd, const char *name, size_t max_bytes, struct tk_buf *out, struct tk_err *err);

/* Errors: TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_fsync_dir(int dirfd, const char *what, struct tk_err *err);
/* Makes the directory and its missing parents (each durable in its parent); one that exists is fine. path: relative
 * to dirfd, or absolute. Follows symlinks: for this program's own directories only. Errors: TK_EIO, TK_EDENIED,
 * TK_ENOSPC, TK_EEXIST (something else is there). */
TK_MUST_CHECK enum tk_rc tk_mkdir_p_at(int dirfd, const char *path, uint32_t mode, struct tk_err *err);

/* For TK_AUTO: closedir when not NULL. */
void tk_dir_cleanup(DIR **dir);

/*
 * Takes the exclusive lock of this file (made if missing, 0600), without waiting. On TK_OK *lock_fd is the caller's:
 * closing it (also by the death of the process and its children) gives the lock back. The file stays.
 * Errors: TK_ELOCKED (naming the holder's process id when it is known), TK_EIO, TK_EDENIED.
 */
TK_MUST_CHECK enum tk_rc tk_lock_file(int dirfd, const char *name, int *lock_fd, struct tk_err *err);

#endif
