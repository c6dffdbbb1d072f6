/* vault_index.h -- index.db: what a site must find fast, all of it computed from the vault's files.
 *
 * Private to engine/vault. One SQLite handle behind one lock, which a transaction holds from begin to its end; the lock is recursive, so that the
 * single calls may be used inside one. Any thread. */
#ifndef TK_VAULT_VAULT_INDEX_H
#define TK_VAULT_VAULT_INDEX_H

#include "engine/base/buf.h"
#include "engine/db/db.h"
#include "engine/vault/ids.h"

enum tk_pack_state {
	TK_PACK_WHOLE = 1,
	TK_PACK_HOLED = 2,                   /* some blobs were dropped */
	TK_PACK_GONE = 3,                    /* all were */
};

struct tk_pack_row {
	struct tk_pack_name name;
	struct tk_id domain;
	uint64_t bytes;
	uint32_t blobs;
	struct tk_digest footer;
	enum tk_pack_state state;
};

/*
 * What is known of a pack's blobs. traced: a point needed the blob, and it and all below it could be served. condemned: no point needs it any more. A blob is live
 * when it is traced and not condemned: counts (counts.h) says how many live blobs refer to it, plus of how many whole points it is the root, and is above zero just
 * then.
 */
struct tk_pack_marks {
	struct tk_buf traced;                /* bit maps */
	struct tk_buf condemned;
	struct tk_buf counts;
};

enum tk_point_state {
	TK_POINT_BROKEN = 0,                 /* not every blob below it can be served: it counts nothing */
	TK_POINT_WHOLE = 1,                  /* every blob below it is live */
	TK_POINT_UNTRACED = 2,               /* of an index that counted nothing yet: to be traced when the domain is loaded */
	TK_POINT_EXPIRING = 3,               /* expired, and counted in no case; what only it needed is not condemned yet */
	TK_POINT_EXPIRED = 4,
};
static inline bool
tk_point_is_expired(enum tk_point_state state)
{
	return state == TK_POINT_EXPIRING || state == TK_POINT_EXPIRED;
}

struct tk_point_row {
	struct tk_id domain;
	struct tk_head at;
	uint64_t counter;                    /* of its receipt; 0: unknown */
	uint64_t received_ns;
	enum tk_point_state state;
	struct tk_pack_name root_pack;       /* zeros: its record could not be read */
	uint32_t root_blob;
};

struct tk_vindex;

/* Opens or makes the index. *fresh: it must be filled from the files. A damaged file is replaced by an empty one. */
TK_MUST_CHECK enum tk_rc tk_vindex_open(const char *path, struct tk_vindex **out, bool *fresh, struct tk_err *err);
void tk_vindex_close(struct tk_vindex *index);
/* The index holds all that the packs' files say; from now on open finds it not fresh. */
TK_MUST_CHECK enum tk_rc tk_vindex_built(struct tk_vindex *index, struct tk_err *err);

/* TK_AUTO(tk_vindex_txn_cleanup) struct tk_vindex_txn txn = {0}; cleanup rolls back unless committed. */
struct tk_vindex_txn {
	struct tk_vindex *index;
	struct tk_db_txn db;
};
TK_MUST_CHECK enum tk_rc tk_vindex_begin(struct tk_vindex *index, struct tk_vindex_txn *txn, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vindex_commit(struct tk_vindex_txn *txn, struct tk_err *err);
void tk_vindex_txn_cleanup(struct tk_vindex_txn *txn);

/* TK_ENOENT when there is no row. marks may be NULL; else its buffers are cleared and filled. */
TK_MUST_CHECK enum tk_rc tk_vindex_pack(struct tk_vindex *index, const struct tk_pack_name *name, struct tk_pack_row *row,
					struct tk_pack_marks *marks, struct tk_err *err);
/* Adds the pack, or sets the state of the row that is there. */
TK_MUST_CHECK enum tk_rc tk_vindex_put_pack(struct tk_vindex *index, const struct tk_pack_row *row, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vindex_put_marks(struct tk_vindex *index, const struct tk_pack_name *name, const struct tk_pack_marks *marks,
					     struct tk_err *err);
/* The first pack after `after` (NULL: of all) in the order of names that has condemned blobs, found without a look at the others. TK_ENOENT: there is none. */
TK_MUST_CHECK enum tk_rc tk_vindex_next_condemned(struct tk_vindex *index, const struct tk_pack_name *after, struct tk_pack_row *row,
						  struct tk_pack_marks *marks, struct tk_err *err);
/* Calls `each` for every pack row in order of names, not under the lock. */
TK_MUST_CHECK enum tk_rc tk_vindex_each_pack(struct tk_vindex *index, enum tk_rc (*each)(void *ctx, const struct tk_pack_row *row, struct tk_err *err),
					     void *ctx, struct tk_err *err);

TK_MUST_CHECK enum tk_rc tk_vindex_put_point(struct tk_vindex *index, const struct tk_point_row *row, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vindex_drop_point(struct tk_vindex *index, const struct tk_id *domain, uint64_t epoch, uint64_t sequence,
					      struct tk_err *err);
/* The point of this (epoch, sequence); TK_ENOENT. */
TK_MUST_CHECK enum tk_rc tk_vindex_point(struct tk_vindex *index, const struct tk_id *domain, uint64_t epoch, uint64_t sequence,
					 struct tk_point_row *row, struct tk_err *err);
/* The point of this id; TK_ENOENT. */
TK_MUST_CHECK enum tk_rc tk_vindex_point_by_id(struct tk_vindex *index, const struct tk_id *domain, const struct tk_digest *id,
					       struct tk_point_row *row, struct tk_err *err);
/* All points of a domain by (epoch, sequence); *out is malloc'ed. */
TK_MUST_CHECK enum tk_rc tk_vindex_points(struct tk_vindex *index, const struct tk_id *domain, struct tk_point_row **out, size_t *count,
					  struct tk_err *err);
/* Those in this state. */
TK_MUST_CHECK enum tk_rc tk_vindex_points_in(struct tk_vindex *index, const struct tk_id *domain, enum tk_point_state state, struct tk_point_row **out,
					     size_t *count, struct tk_err *err);
/* The highest receipt counter of any point. */
TK_MUST_CHECK enum tk_rc tk_vindex_counter(struct tk_vindex *index, uint64_t *counter, struct tk_err *err);

void tk_pack_marks_release(struct tk_pack_marks *marks);

#endif
