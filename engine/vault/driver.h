/* driver.h -- where a vault keeps its packs: the border behind which a directory, later an object store, lies.
 *
 * A driver stores immutable files by pack name and knows nothing of what is in them. Everything else of a vault (promises, identity, index) stays in
 * the vault's directory. Calls come from many threads at once. */
#ifndef TK_VAULT_DRIVER_H
#define TK_VAULT_DRIVER_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/vault/ids.h"

enum tk_driver_cap {
	TK_DRIVER_CAP_DROP = 1,  /* drop frees the space of single blobs; without it space returns with the whole pack only */
};

/* A complete pack that waits under a temporary name in the vault's tmp/. */
struct tk_pending {
	int dirfd;               /* borrowed: the directory of the temporary name */
	const char *name;
	int fd;                  /* borrowed: open for reading */
	uint64_t len_bytes;
};

struct tk_byte_range {
	uint64_t offset_bytes;
	uint64_t len_bytes;
};

struct tk_driver;

struct tk_driver_ops {
	unsigned caps;           /* of enum tk_driver_cap */
	/*
	 * Stores the pending file under `name`: its bytes are durable on TK_OK, its name only after the next sync. The temporary name is gone
	 * on TK_OK and stays on an error. Unless `replace`, a name that is there already is TK_EEXIST. Errors: TK_EIO, TK_ENOSPC.
	 */
	TK_MUST_CHECK enum tk_rc (*put)(struct tk_driver *driver, const struct tk_pack_name *name, const struct tk_pending *pending, bool replace,
					struct tk_err *err);
	/* Makes durable the names of all puts and removals that returned before the call. */
	TK_MUST_CHECK enum tk_rc (*sync)(struct tk_driver *driver, struct tk_err *err);
	/* Reads up to len_bytes at offset into dst; *got_bytes is less only at the end of the pack. TK_ENOENT: no such pack. */
	TK_MUST_CHECK enum tk_rc (*get)(struct tk_driver *driver, const struct tk_pack_name *name, uint64_t offset_bytes, void *dst, size_t len_bytes,
					size_t *got_bytes, struct tk_err *err);
	/* TK_ENOENT: no such pack. */
	TK_MUST_CHECK enum tk_rc (*size)(struct tk_driver *driver, const struct tk_pack_name *name, uint64_t *len_bytes, struct tk_err *err);
	/* Calls `each` for every pack, in no order; stops at the first error and returns it. Packs that come or go meanwhile may be missed. */
	TK_MUST_CHECK enum tk_rc (*list)(struct tk_driver *driver,
					 enum tk_rc (*each)(void *ctx, const struct tk_pack_name *name, struct tk_err *err), void *ctx,
					 struct tk_err *err);
	/* Gives back the space of these ranges, which read as anything from now on; the rest and the length stay. May free less than asked. */
	TK_MUST_CHECK enum tk_rc (*drop)(struct tk_driver *driver, const struct tk_pack_name *name, const struct tk_byte_range *ranges, size_t count,
					 struct tk_err *err);
	/* Removes the pack; harmless when it is not there. Durable after the next sync. */
	TK_MUST_CHECK enum tk_rc (*remove)(struct tk_driver *driver, const struct tk_pack_name *name, struct tk_err *err);
	/* Makes few objects of many small ones, when it is time; costs nothing when it is not. Packs, names and what sync promised stay. After an error (a full disk) all is as
	 * it was, and a later call tries again. */
	TK_MUST_CHECK enum tk_rc (*tidy)(struct tk_driver *driver, struct tk_err *err);
	/* Bytes that may still be stored. */
	TK_MUST_CHECK enum tk_rc (*room)(struct tk_driver *driver, uint64_t *free_bytes, uint64_t *total_bytes, struct tk_err *err);
	void (*close)(struct tk_driver *driver);
};

/* The first member of every driver. */
struct tk_driver {
	const struct tk_driver_ops *ops;
};

/* The directory driver: packs/ below vault_dirfd (borrowed only during the call), as docs/FORMAT.md says. only_writer: the caller holds the vault's lock; otherwise only get,
 * size and list may be called, and another process may be changing the directory. Errors: TK_EIO, TK_ENOENT, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_dir_driver_new(int vault_dirfd, bool only_writer, struct tk_driver **out, struct tk_err *err);

#endif
