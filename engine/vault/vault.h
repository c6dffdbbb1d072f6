/* vault.h -- the vault of a site: a directory of packs and promises (docs/FORMAT.md, section 8), and all that a site does with it.
 *
 * Used in-process (a `dir:` site) and by the daemon, from many threads at once: every function but create, open and close may be called
 * by any thread at any time. Nothing here holds a key of a source: what is stored is sealed or signed. What is durable when, and
 * by which write, fsync and rename, is in docs/DURABILITY.md.
 *
 * Locks, in the order in which they are taken (a later one may be taken under an earlier one, never the reverse):
 *   flush_lock     one flush, drop or heal at a time
 *   domain->lock   the promises of one domain: votes, grants, points, receipts, its head
 *   refs           (read-write) a publish or expiry holds it shared, with its domain, from the first look at a blob to its commit; condemn and drop hold it alone
 *   pack_lock      "is this name taken?" and the rename that takes it; the list of packs that wait for a flush
 *   index lock     the SQLite handle; inside it nothing else is locked
 *   archive_lock   the containers of points and receipts
 *   marks_lock     the files in marks/
 *   counter_lock   the counter of receipts and votes, the incarnation, the flag `behind` */
#ifndef TK_VAULT_VAULT_H
#define TK_VAULT_VAULT_H

#include "engine/base/log.h"
#include "engine/vault/records.h"
#include "engine/vault/store.h"

enum tk_vault_mode {
	TK_VAULT_SERVE, /* exclusive: takes the lock, uses and if need be rebuilds index.db */
	TK_VAULT_READ,  /* no lock, no SQLite, writes nothing: list, get and check only; everything else is TK_EINVAL */
};

struct tk_vault;

/* Makes an empty vault in the directory `path` (made if need be): a random site id and signing seed, a first incarnation. Durable on TK_OK; a
 * directory that a crash left half made may be tried again. Errors: TK_EEXIST (a vault is there), TK_EINVAL (site name). */
TK_MUST_CHECK enum tk_rc tk_vault_create(const char *path, const char *site_name, struct tk_err *err);

/*
 * Opens a vault; `log` (may be NULL) is borrowed until close. In TK_VAULT_SERVE: sweeps tmp/, rebuilds a missing or damaged index.db from the files, adopts
 * what a crash left between file and index. Errors: TK_ENOENT; TK_ELOCKED names the process that holds it; TK_EUNSUPPORTED
 * (version or critical feature); TK_ECORRUPT (VAULT, identity or incarnation damaged).
 */
TK_MUST_CHECK enum tk_rc tk_vault_open(const char *path, enum tk_vault_mode mode, const struct tk_log *log, struct tk_vault **out,
				       struct tk_err *err);
void tk_vault_close(struct tk_vault *vault);
void tk_vault_cleanup(struct tk_vault **vault);

struct tk_vault_site {
	struct tk_id vault_id, site_id;
	char name[256];
	uint8_t site_key[TK_KEY_BYTES];         /* public */
};
/* Borrowed until close; never changes. */
const struct tk_vault_site *tk_vault_site(const struct tk_vault *vault);

/* What the vault says of a domain (see store.h). A promise of its own that it does not know shows that it was rolled back: it then marks itself `behind`, durably,
 * and promises nothing until readmit: it still takes packs and points, so as to catch up, but votes and receipts are TK_EBEHIND. Promises of other sites in this
 * domain are kept, and told by get_record. */
TK_MUST_CHECK enum tk_rc tk_vault_state(struct tk_vault *vault, const struct tk_id *domain, const struct tk_buf *known,
					struct tk_store_state *out, struct tk_err *err);

/* Why a vault that is behind may not promise again yet: one line each, by what was shown and told to it. */
#define TK_VAULT_LACK_MAX 512
struct tk_vault_lacks {
	char (*lines)[TK_VAULT_LACK_MAX];
	size_t count;
};
void tk_vault_lacks_release(struct tk_vault_lacks *lacks);
/*
 * An operator's act, once the vault has caught up: a new incarnation, and promises again. It must hold again what the promises named that it is known to have
 * given, must have heard of every epoch that other sites have promised, and must have been given everything by so many of them that the rest could neither
 * acknowledge nor elect with it. A vote that it forgot it takes up again. Durable on TK_OK. Harmless when the vault was not behind.
 * TK_EBEHIND: something is lacking, and not `forced`. *lacks says what, or what was overridden; the caller releases it on any return.
 */
TK_MUST_CHECK enum tk_rc tk_vault_readmit(struct tk_vault *vault, bool forced, struct tk_vault_lacks *lacks, struct tk_err *err);

/*
 * Receives a pack: begin, write its bytes in order, commit. Commit checks every byte without a key (trailer, footer digest, header digest, blob
 * digests, blobs fill the pack, the header's name is `name`), stores and ends; only after the next tk_vault_flush may anyone be told. The same bytes
 * under the same name again are harmless (they replace what is there, so that a damaged copy heals). Cleanup forgets an uncommitted pack, but for what came of it if nothing was wrong with that and it is over 1 MiB:
 * a later begin finds it held, and may skip to its end instead of writing it again.
 * Errors: TK_ENOSPC (at begin: room for the pack and a reserve for promises is wanted), TK_ECORRUPT, TK_EUNSUPPORTED, TK_ECONFLICT
 * (other bytes are known under this name), TK_EBEHIND.
 */
struct tk_vault_pack;
TK_MUST_CHECK enum tk_rc tk_vault_pack_begin(struct tk_vault *vault, const struct tk_pack_name *name, uint64_t len_bytes,
					     struct tk_vault_pack **out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_pack_write(struct tk_vault_pack *pack, const void *data, size_t len_bytes, struct tk_err *err);
/* How much an attempt before had written; and going on from a place in it (not before what was written): *left_bytes are to be written then. TK_EINVAL: it is not held. */
uint64_t tk_vault_pack_held(const struct tk_vault_pack *pack);
TK_MUST_CHECK enum tk_rc tk_vault_pack_skip(struct tk_vault_pack *pack, uint64_t to_bytes, uint64_t *left_bytes, struct tk_err *err);
/* Begins with all bytes of a file of this machine that nobody writes any more: by a second name for it where it lies on the vault's file system and has one name only,
 * else by a copy. fd: open for reading; the caller's. */
TK_MUST_CHECK enum tk_rc tk_vault_pack_take(struct tk_vault *vault, const struct tk_pack_name *name, int fd, uint64_t len_bytes,
					    struct tk_vault_pack **out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_pack_commit(struct tk_vault_pack *pack, struct tk_err *err);
void tk_vault_pack_cleanup(struct tk_vault_pack **pack);
/* Makes durable (names and index rows) every pack whose commit returned before the call. Many waiting packs cost one fsync a directory and one transaction. */
TK_MUST_CHECK enum tk_rc tk_vault_flush(struct tk_vault *vault, struct tk_err *err);

/* have[i]: the whole pack is here and durable. */
TK_MUST_CHECK enum tk_rc tk_vault_have(struct tk_vault *vault, const struct tk_pack_name *names, size_t count, bool *have, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_pack_size(struct tk_vault *vault, const struct tk_pack_name *name, uint64_t *len_bytes, struct tk_err *err);
/* As get_range of store.h. */
TK_MUST_CHECK enum tk_rc tk_vault_get_range(struct tk_vault *vault, const struct tk_pack_name *name, uint64_t offset_bytes, uint32_t len_bytes,
					    struct tk_buf *out, struct tk_err *err);

/* Promises: as put_genesis, publish and vote of store.h. */
TK_MUST_CHECK enum tk_rc tk_vault_put_genesis(struct tk_vault *vault, const void *record, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_publish(struct tk_vault *vault, const void *record, size_t len_bytes, struct tk_buf *receipt,
					  struct tk_pack_names *missing, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_vote(struct tk_vault *vault, const void *grant, size_t len_bytes, struct tk_buf *vote, struct tk_err *err);

/* Reading promises: as list_points, get_point, get_record of store.h. A point counts as stored when its receipt is. */
TK_MUST_CHECK enum tk_rc tk_vault_list_points(struct tk_vault *vault, const struct tk_id *domain, struct tk_store_point **out, size_t *count,
					      struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_get_point(struct tk_vault *vault, const struct tk_id *domain, const struct tk_head *asked, struct tk_buf *out,
					    struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_get_record(struct tk_vault *vault, const struct tk_id *domain, int kind, uint64_t epoch, struct tk_buf *out,
					     struct tk_err *err);
/* The domains with a genesis record; *out is malloc'ed. */
TK_MUST_CHECK enum tk_rc tk_vault_list_domains(struct tk_vault *vault, struct tk_id **out, size_t *count, struct tk_err *err);

/* What a source leaves for `recover`: as the slot and config calls of store.h. A slot whose id is there already is replaced. */
TK_MUST_CHECK enum tk_rc tk_vault_put_slot(struct tk_vault *vault, const void *slot, size_t len_bytes, const uint8_t *recovery_key,
					   struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_drop_slot(struct tk_vault *vault, const struct tk_id *slot_id, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_get_slot(struct tk_vault *vault, const struct tk_id *source, unsigned index, struct tk_buf *out,
					   struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_put_config(struct tk_vault *vault, const void *record, size_t len_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vault_get_config(struct tk_vault *vault, const struct tk_id *source, struct tk_buf *out, struct tk_err *err);
/* Which source and slot registered this recovery public key; TK_ENOENT: none did. */
TK_MUST_CHECK enum tk_rc tk_vault_find_recovery_key(struct tk_vault *vault, const uint8_t recovery_key[TK_KEY_BYTES], struct tk_id *source,
						    struct tk_id *slot_id, struct tk_err *err);
/* The sources that left a slot or a configuration; *out is malloc'ed. */
TK_MUST_CHECK enum tk_rc tk_vault_list_sources(struct tk_vault *vault, struct tk_id **out, size_t *count, struct tk_err *err);

/* Scrub without a key. As check_pack of store.h; blobs that were dropped are not looked at. */
TK_MUST_CHECK enum tk_rc tk_vault_check_pack(struct tk_vault *vault, const struct tk_pack_name *name, uint32_t **bad_blobs, size_t *bad_count,
					     struct tk_err *err);
/* One thing that verify_all looked at: a pack, or a record (path below the vault). All of it is borrowed during the call. */
struct tk_vault_finding {
	const struct tk_pack_name *pack;        /* NULL: a record */
	const char *path;                       /* NULL: a pack */
	enum tk_rc rc;                          /* TK_OK; TK_ECORRUPT; TK_ENOENT: indexed, but the file is gone; TK_EIO */
	const uint32_t *bad_blobs;              /* TK_ECORRUPT with a count: these blobs alone are damaged */
	size_t bad_count;
	const char *text;                       /* of the error */
};
/* Looks at every pack and every genesis, grant, vote, point and receipt; tells `each` of all of them, good ones too. TK_OK means that the walk came to its
 * end; `each` stops it with an error. */
TK_MUST_CHECK enum tk_rc tk_vault_verify_all(struct tk_vault *vault, enum tk_rc (*each)(void *ctx, const struct tk_vault_finding *finding, struct tk_err *err),
					     void *ctx, struct tk_err *err);

/* Expiry in two phases: blobs are condemned, which loses nothing, and dropped later. */
struct tk_vault_blob {
	struct tk_pack_name pack;
	uint32_t blob;
};
struct tk_vault_expiry {
	size_t points;                          /* that had not expired before */
	uint64_t blobs, sealed_bytes;           /* condemned with them */
	uint64_t packs_read, refs_followed;     /* what it cost to find them */
};
/*
 * The content of these points, named by epoch and sequence, is wanted no more; their records and receipts stay. What they alone needed is condemned: found from their
 * roots downwards by counts, at a cost that depends on what goes, not on how many points there are. All or none, durable on TK_OK; a crash may leave some. A point that
 * expired before is passed over. *out may not be NULL.
 * Errors: TK_ENOENT: a point that is not known here. TK_EINVAL: the newest whole point of the domain, on which the next one builds. TK_ECONFLICT: a point that is not
 * among them is not whole here: what is left of it would go with others. TK_ECORRUPT: what goes cannot be read. TK_EBEHIND.
 */
TK_MUST_CHECK enum tk_rc tk_vault_expire(struct tk_vault *vault, const struct tk_id *domain, const struct tk_head *points, size_t count,
					 struct tk_vault_expiry *out, struct tk_err *err);
/* What a cycle may drop, pack by pack, at a cost that depends on that alone: the condemned blobs of the first pack after *pack (zeros: of all) in the order of names
 * that has some. *pack becomes that one; *blobs is malloc'ed. *count 0: there is none. */
TK_MUST_CHECK enum tk_rc tk_vault_next_condemned(struct tk_vault *vault, struct tk_pack_name *pack, struct tk_vault_blob **blobs, size_t *count,
						 struct tk_err *err);
/*
 * Marks blobs that no point needs as garbage, durably: nothing is lost yet, and a publish that references one takes the mark away. For what never came to be in
 * a point, as the packs of runs that were given up. All or none of them. Errors: TK_ECONFLICT: a point needs one, or a publish failed halfway; TK_ENOENT: a
 * blob that is not here.
 */
TK_MUST_CHECK enum tk_rc tk_vault_condemn(struct tk_vault *vault, const struct tk_vault_blob *blobs, size_t count, struct tk_err *err);
/* Drops those of the blobs that are still condemned: the bitmap in dropped/ is durable before any space goes. *dropped (may be NULL) counts them. A pack
 * without a blob left is removed; its bitmap stays and says that it was dropped, not lost. TK_ECONFLICT: a publish failed halfway, try again. */
TK_MUST_CHECK enum tk_rc tk_vault_drop(struct tk_vault *vault, const struct tk_vault_blob *blobs, size_t count, size_t *dropped, struct tk_err *err);

#endif
