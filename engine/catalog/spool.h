/* spool.h -- sealed packs on their way to the sites: state_dir/domains/<hex>/spool/<pack name hex>.
 *
 * A pack is written as <name>.tmp and renamed once complete and fsynced. What an interrupted run left complete is reused by the next; what it left
 * unfinished is discarded (never the same salt with other bytes). A pack that had to leave before its point was published leaves the empty file <name>.away, so
 * that the next run knows to look for it at the sites. Any thread. */
#ifndef TK_CATALOG_SPOOL_H
#define TK_CATALOG_SPOOL_H

#include "engine/vault/ids.h"

struct tk_spool;
/* Removes unfinished files. */
TK_MUST_CHECK enum tk_rc tk_spool_open(const char *state_dir, const struct tk_id *domain, struct tk_spool **out, struct tk_err *err);
void tk_spool_cleanup(struct tk_spool **spool);
/* A file to write the pack into (caller closes). */
TK_MUST_CHECK enum tk_rc tk_spool_create(struct tk_spool *spool, const struct tk_pack_name *name, int *fd, struct tk_err *err);
/* fsync, rename. The directory is fsynced by tk_spool_sync. */
TK_MUST_CHECK enum tk_rc tk_spool_complete(struct tk_spool *spool, const struct tk_pack_name *name, int fd, struct tk_err *err);
/* Removes an unfinished one. */
void tk_spool_discard(struct tk_spool *spool, const struct tk_pack_name *name);
TK_MUST_CHECK enum tk_rc tk_spool_sync(struct tk_spool *spool, struct tk_err *err);
/* Opens a complete pack for reading: TK_ENOENT when it is not in the spool. */
TK_MUST_CHECK enum tk_rc tk_spool_read(struct tk_spool *spool, const struct tk_pack_name *name, int *fd, uint64_t *len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_spool_remove(struct tk_spool *spool, const struct tk_pack_name *name, struct tk_err *err);
/* Frees a complete pack's space and notes that it lies elsewhere. A note that a power cut takes away costs storing the pack again, nothing else. */
TK_MUST_CHECK enum tk_rc tk_spool_send_away(struct tk_spool *spool, const struct tk_pack_name *name, struct tk_err *err);
/* Packs that were sent away and are not here, by name (malloc'ed). */
TK_MUST_CHECK enum tk_rc tk_spool_list_away(struct tk_spool *spool, struct tk_pack_name **names, size_t *count, struct tk_err *err);
/* Removes all such notes: the point of those packs is stored. */
TK_MUST_CHECK enum tk_rc tk_spool_forget_away(struct tk_spool *spool, struct tk_err *err);
/* Bytes that may still be written to its file system. */
TK_MUST_CHECK enum tk_rc tk_spool_room(struct tk_spool *spool, uint64_t *free_bytes, struct tk_err *err);
/* Complete packs, oldest first (malloc'ed), and their bytes in all. */
TK_MUST_CHECK enum tk_rc tk_spool_list(struct tk_spool *spool, struct tk_pack_name **names, size_t *count, uint64_t *total_bytes,
				       struct tk_err *err);

#endif
