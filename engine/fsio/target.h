/* target.h -- writing below a restore target, and never outside it.
 *
 * Paths come from a manifest, which may be hostile: relative, components separated by one '/', any bytes but NUL. What
 * is empty, ".", "..", absolute or has a NUL is refused (TK_ENOTSAFE). Parents are resolved strictly beneath the target
 * and never through a symlink, by descriptor; a symlink planted meanwhile is refused, not followed. The path "" is the
 * target itself. Paths may be longer than PATH_MAX.
 *
 * A handle belongs to one thread at a time: it keeps the parent directory used last, so that entries of one directory,
 * one after the other, cost nothing to resolve. Other threads use tk_target_dup. Pending files may move between
 * threads. New directories and files are 0700 and 0600 until their metadata is applied. Nothing is durable before
 * tk_target_sync. */
#ifndef TK_FSIO_TARGET_H
#define TK_FSIO_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/fsio/dirlist.h"
#include "engine/fsio/fstat.h"
#include "engine/fsio/meta.h"

struct tk_target;
struct tk_look;

/* Opens the target; dir itself may lead through symlinks. create: it is made, 0700, with its parents. On TK_OK the
 * caller owns *out. Errors: TK_ENOENT, TK_EDENIED, TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_target_open(const char *dir, bool create, struct tk_target **out, struct tk_err *err);
/* A second handle on the same target, for another thread. Errors: TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_target_dup(const struct tk_target *target, struct tk_target **out, struct tk_err *err);
void tk_target_cleanup(struct tk_target **target);

/* The caller has seen that the target is empty: what will be there is made by this process alone. Handles made from this one later know it, too. */
void tk_target_set_fresh(struct tk_target *target);
/* In a fresh target, once a file was begun with this handle: how new objects look, for tk_meta_apply; else NULL. Borrowed. */
const struct tk_look *tk_target_look(const struct tk_target *target);

/*
 * The directory that holds the path, and the path's last component, for calls of meta and metaapply. *dirfd (O_PATH) is
 * borrowed until the next call with this handle; *name points into a buffer of the handle, likewise. For "" it
 * is the target and ".". create_parents: missing ones are made, 0700.
 * Errors: TK_ENOTSAFE (a bad path, or a parent is a symlink or no directory), TK_ENOENT, TK_EDENIED, TK_EIO, TK_ENOSPC, TK_ENOMEM.
 * All functions below have these errors too.
 */
TK_MUST_CHECK enum tk_rc tk_target_parent(struct tk_target *target, const char *path, size_t len_bytes, bool create_parents,
	int *dirfd, const char **name, struct tk_err *err);

/* Drops the directory that is kept, when somebody else may have removed or moved it. */
void tk_target_forget(struct tk_target *target);

/* A symlink at the path itself is looked at, not followed. */
TK_MUST_CHECK enum tk_rc tk_target_stat(struct tk_target *target, const char *path, size_t len_bytes, struct tk_stat *st, struct tk_err *err);
/* An existing regular file for reading, as a basis; *fd is the caller's. TK_ENOTSAFE: it is something else. */
TK_MUST_CHECK enum tk_rc tk_target_open_file(struct tk_target *target, const char *path, size_t len_bytes, int *fd, struct tk_stat *st,
	struct tk_err *err);
/* The names in a directory, sorted. */
TK_MUST_CHECK enum tk_rc tk_target_list(struct tk_target *target, const char *path, size_t len_bytes, struct tk_dirlist *names, struct tk_err *err);

/* Makers. Each replaces what is in the way: atomically where both are not directories; a directory in the way of something
 * else is removed with all that is in it, and so is something else in the way of a directory. A directory that
 * exists stays with what it holds. Missing parents are made. */
TK_MUST_CHECK enum tk_rc tk_target_mkdir(struct tk_target *target, const char *path, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_target_symlink(struct tk_target *target, const char *path, size_t len_bytes, const char *link_target, struct tk_err *err);
/* type: TK_FT_FIFO, TK_FT_CHAR, TK_FT_BLOCK. TK_EDENIED: devices need root. */
TK_MUST_CHECK enum tk_rc tk_target_mknod(struct tk_target *target, const char *path, size_t len_bytes, enum tk_ftype type, uint32_t dev_major,
	uint32_t dev_minor, struct tk_err *err);
/* One more name for the object at old_path (a symlink there is linked, not followed). */
TK_MUST_CHECK enum tk_rc tk_target_hardlink(struct tk_target *target, const char *old_path, size_t old_len_bytes, const char *path, size_t len_bytes,
	struct tk_err *err);

/* Removes the object, a directory with all that is in it; never follows a symlink, never enters another file system
 * (TK_ENOTSAFE). What is not there is TK_OK. "" is refused. */
TK_MUST_CHECK enum tk_rc tk_target_remove(struct tk_target *target, const char *path, size_t len_bytes, struct tk_err *err);

struct tk_target_file;   /* a regular file in the making */

/* Opens a pending file beside the place of `path`. On TK_OK the caller owns *out; it outlives the handle. */
TK_MUST_CHECK enum tk_rc tk_target_file_begin(struct tk_target *target, const char *path, size_t len_bytes, struct tk_target_file **out,
	struct tk_err *err);
/*
 * As tk_target_file_begin, for a file whose content is written from its beginning to its end, so that its size tells how far it came. In a fresh target it has its own
 * name at once, and no rename is needed; elsewhere, or where something has that name all the same, it is pending like any other.
 */
TK_MUST_CHECK enum tk_rc tk_target_file_begin_named(struct tk_target *target, const char *path, size_t len_bytes, struct tk_target_file **out,
	struct tk_err *err);
/* Open for reading and writing: pwrite the data, ftruncate to the size, leave holes out. Borrowed. */
int tk_target_file_fd(const struct tk_target_file *file);
/* Where it is for now, for tk_meta_apply. Borrowed. */
int tk_target_file_dirfd(const struct tk_target_file *file);
const char *tk_target_file_current_name(const struct tk_target_file *file);
/* Sets the size; what is not written reads as zeros and takes no space. */
TK_MUST_CHECK enum tk_rc tk_target_file_set_size(const struct tk_target_file *file, uint64_t size_bytes, struct tk_err *err);
/* Reserves space for a run of data, where the file system can; an early TK_ENOSPC instead of a late one. */
TK_MUST_CHECK enum tk_rc tk_target_file_reserve(struct tk_target_file *file, uint64_t offset_bytes, uint64_t len_bytes, struct tk_err *err);
/* Makes a range read as zeros again, and take no space where the file system can. */
TK_MUST_CHECK enum tk_rc tk_target_file_clear(const struct tk_target_file *file, uint64_t offset_bytes, uint64_t len_bytes, struct tk_err *err);
/* Puts it in its place, closes it. Metadata but flags is applied before. After TK_OK only cleanup may follow. */
TK_MUST_CHECK enum tk_rc tk_target_file_commit(struct tk_target_file *file, struct tk_err *err);
/* Frees; removes the file unless it was committed. */
void tk_target_file_cleanup(struct tk_target_file **file);

/* Everything written below the target so far is durable after TK_OK (syncfs(2) of the target's file system).
 * Errors: TK_EIO, TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_target_sync(struct tk_target *target, struct tk_err *err);

#endif
