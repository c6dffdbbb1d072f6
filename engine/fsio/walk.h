/* walk.h -- what is there: a pull iterator over several roots, sorted, in bounded memory.
 *
 * One owner, one thread at a time. Everything is opened relative to its directory's descriptor: only the roots are
 * ever resolved as whole paths. Depth is bounded by memory for the path alone, not by descriptors or PATH_MAX.
 *
 * The order is that of tk_path_cmp: '/' below every other byte, so a directory comes right before what is in it.
 * Paths have no leading '/'; the root "/" has the path "". Names are any bytes but '/' and NUL. */
#ifndef TK_FSIO_WALK_H
#define TK_FSIO_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/fsio/dirref.h"
#include "engine/fsio/exclude.h"
#include "engine/fsio/fstat.h"

/* <0, 0, >0: by bytes, '/' below every other byte, a prefix before what it is a prefix of. */
int tk_path_cmp(const char *a, size_t a_len_bytes, const char *b, size_t b_len_bytes);

/* Why something is not in the walk, or not fully. */
enum tk_walk_note {
	TK_WALK_UNREADABLE,    /* no permission or an I/O error: of a directory, nothing below it is seen */
	TK_WALK_VANISHED,      /* was listed, is gone (or was replaced) */
	TK_WALK_SOCKET,        /* sockets, and types unknown here, are not backed up */
	TK_WALK_EXCLUDED,      /* by a pattern */
	TK_WALK_SKIPPED,       /* one of skip_dirs */
	TK_WALK_NODUMP,        /* has the nodump flag */
	TK_WALK_CACHE,         /* a directory with CACHEDIR.TAG: it and its tag are there, the rest is not */
	TK_WALK_OTHER_FS,      /* a mount point: it is there, what is mounted is not */
};

struct tk_dev_ino {
	uint64_t dev;
	uint64_t ino;
};

struct tk_walk_opts {
	const char *const *roots;             /* absolute; copied */
	size_t root_count;
	const struct tk_exclude *exclude;     /* borrowed until free; NULL: nothing. Roots are never excluded */
	bool cross_file_systems;              /* default: stay on the file system of the root */
	bool skip_caches;                     /* honour CACHEDIR.TAG (https://bford.info/cachedir/) */
	bool skip_nodump;                     /* honour chattr +d */
	const struct tk_dev_ino *skip_dirs;   /* borrowed until free: neither they nor what is in them */
	size_t skip_dir_count;
	const char *tmp_dir;                  /* borrowed; where directories over 256k names spill; NULL: /var/tmp */
	size_t spill_names;                   /* 0: the default */
	/* Called from within tk_walk_next; path as in an entry; err is NULL or says more. May be NULL. */
	void (*on_note)(void *ctx, const char *path, size_t path_len_bytes, enum tk_walk_note note, const struct tk_err *err);
	void *note_ctx;
};

/* Everything in it is valid until the next call with this walk. */
struct tk_walk_entry {
	const char *path;          /* NUL-terminated */
	size_t path_len_bytes;
	size_t root_len_bytes;     /* the path of the root that it was reached from is so much of its path */
	struct tk_dirref *parent;  /* borrowed; who wants it for longer holds it. name is relative to it */
	const char *name;          /* of a root: the last component of its resolved path, or "." */
	struct tk_stat st;
	bool is_root;
};

struct tk_walk;

/*
 * Checks the roots. They may overlap or repeat: every object is visited once, and a root inside another one is
 * visited even where the outer walk would not go (excluded, another file system). A root that is a symlink is
 * followed: the entry has the symlink's path and the target's type. Symlinks further down are entries.
 * On TK_OK the caller owns *out. Errors: TK_ENOENT and TK_EDENIED (naming the root), TK_ECONFIG (not absolute, or
 * has ".."), TK_ENOMEM.
 */
TK_MUST_CHECK enum tk_rc tk_walk_new(const struct tk_walk_opts *opts, struct tk_walk **out, struct tk_err *err);
void tk_walk_free(struct tk_walk *walk);
void tk_walk_cleanup(struct tk_walk **walk);

/* The next entry; *entry is NULL at the end. What cannot be read is a note, not an error.
 * Errors: TK_ENOMEM, TK_EIO and TK_ENOSPC (of the temporary file): the walk is over. */
TK_MUST_CHECK enum tk_rc tk_walk_next(struct tk_walk *walk, const struct tk_walk_entry **entry, struct tk_err *err);

/* The directory that was given last is not entered (roots below it still are). */
void tk_walk_skip_children(struct tk_walk *walk);

#endif
