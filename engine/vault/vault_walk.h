/* vault_walk.h -- from blob to blob by the references in the clear: which packs were met, what the index says of them, and which blobs are to be followed yet.
 *
 * Private to engine/vault. One thread, which holds the domain and `refs` (shared) from init until what changed is committed: nobody else writes marks of this domain's
 * packs meanwhile. What a walk does with a blob that it meets is its user's (vault_trace.c, vault_condemn.c). */
#ifndef TK_VAULT_VAULT_WALK_H
#define TK_VAULT_VAULT_WALK_H

#include "engine/vault/vault_core.h"

struct tk_vwalk_pack {
	struct tk_pack_row row;
	struct tk_pack_marks marks;
	struct tk_buf dropped;
	struct tk_buf seen;                    /* blobs, for whoever must not follow one twice and cannot tell by the marks */
	struct tk_pack_index *index;           /* read when a blob of it must be followed */
	uint32_t *numbers;                     /* reference index -> number in `packs` */
	bool held;                             /* the index has a row of it */
	bool missing;                          /* held or not: something of it that is wanted is not there */
	bool changed;                          /* marks: to be stored */
	bool revived, emptied;                 /* a blob of it came to be needed, or to be needed no more */
};

struct tk_vwalk {
	struct tk_vault *vault;                /* borrowed */
	struct tk_id domain;
	struct tk_packtab *names;
	struct tk_vwalk_pack **packs;          /* by number */
	size_t pack_count, pack_cap;
	struct tk_blob_ref *todo;              /* blobs that were met, but not followed yet */
	size_t todo_count, todo_cap;
	uint64_t indexes_read, refs_followed;  /* what it cost */
};

/* release is wanted after init, whatever that gave. */
TK_MUST_CHECK enum tk_rc tk_vwalk_init(struct tk_vwalk *walk, struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err);
void tk_vwalk_release(struct tk_vwalk *walk);

/* The number of a pack, whose row and marks are read when it is met first. TK_EDENIED: a pack of another domain. */
TK_MUST_CHECK enum tk_rc tk_vwalk_number(struct tk_vwalk *walk, const struct tk_pack_name *name, uint32_t *number, struct tk_err *err);
/* Puts a blob on the list of those to be followed. */
TK_MUST_CHECK enum tk_rc tk_vwalk_push(struct tk_vwalk *walk, struct tk_blob_ref ref, struct tk_err *err);
/* Reads packs[number]->index, if it was not. TK_ECORRUPT, TK_ENOENT: it cannot be had. */
TK_MUST_CHECK enum tk_rc tk_vwalk_index(struct tk_vwalk *walk, uint32_t number, struct tk_err *err);

typedef enum tk_rc (*tk_vwalk_visit)(struct tk_vwalk *walk, struct tk_blob_ref child, struct tk_err *err);
/* Shows each child of the blob to `visit`. */
TK_MUST_CHECK enum tk_rc tk_vwalk_follow(struct tk_vwalk *walk, struct tk_blob_ref ref, tk_vwalk_visit visit, struct tk_err *err);
/* Follows what is on the list, and what comes onto it meanwhile. */
TK_MUST_CHECK enum tk_rc tk_vwalk_run(struct tk_vwalk *walk, tk_vwalk_visit visit, struct tk_err *err);

/* Live: a point needs it, as far as points are traced. */
bool tk_vwalk_is_live(const struct tk_pack_marks *marks, uint32_t blob);

/* Writes the marks that changed, inside the caller's transaction. */
TK_MUST_CHECK enum tk_rc tk_vwalk_store(struct tk_vwalk *walk, struct tk_err *err);

#endif
