/* vault_core.h -- what an open vault is made of. Private to engine/vault/vault_*.c; the order of locks is in vault.h. */
#ifndef TK_VAULT_VAULT_CORE_H
#define TK_VAULT_VAULT_CORE_H

#include <pthread.h>

#include "engine/vault/driver.h"
#include "engine/vault/marks.h"
#include "engine/vault/opening.h"
#include "engine/vault/vault.h"
#include "engine/vault/vault_file.h"
#include "engine/vault/vault_index.h"

#define TK_VAULT_HEX_ID (2 * TK_ID_BYTES + 1)
#define TK_VAULT_HEX_NAME (2 * TK_DIGEST_BYTES + 1)
#define TK_VAULT_SUITE TK_SUITE_AES      /* of the site's own signatures */

/* One domain's promises as they stand. Never freed before close. */
struct tk_vdomain {
	struct tk_vdomain *next;
	struct tk_id id;
	pthread_mutex_t lock;                /* over what follows */
	bool loaded;                         /* false: files and index must be compared before anything is promised */
	bool unsettled;                      /* counted in vault->unsettled: a receipt may be on disk whose blobs are not marked */
	struct tk_genesis genesis;
	uint64_t promised_epoch;
	struct tk_digest promised_grant;
	struct tk_head head;                 /* the newest whole point */
	struct tk_head expired_last;         /* the newest that ever expired, by epoch and sequence */
};

struct tk_vault {
	enum tk_vault_mode mode;
	const struct tk_log *log;
	char *path;
	int root_fd;
	int lock_fd;
	struct tk_vault_site site;
	uint8_t site_seed[TK_KEY_BYTES];
	struct tk_driver *driver;
	struct tk_vindex *index;             /* NULL when read-only */

	pthread_mutex_t domains_lock;        /* the list, not what is in it; taken alone */
	struct tk_vdomain *domains;

	pthread_mutex_t flush_lock;
	pthread_rwlock_t refs;
	uint64_t unsettled;                  /* domains; under refs, changed with atomic adds, since publishers share it. Nothing is condemned or dropped while there is one */

	pthread_mutex_t pack_lock;
	struct tk_pack_row *pending;         /* renamed, not yet durable */
	size_t pending_count, pending_cap;

	pthread_mutex_t archive_lock;        /* over what follows, and the files in archive/ */
	struct tk_varchive *archives;

	pthread_mutex_t marks_lock;          /* over the files in marks/ */
	pthread_mutex_t counter_lock;
	struct tk_id incarnation;
	struct tk_id *former;                /* incarnations before this one */
	size_t former_count;
	uint64_t counter;                    /* last one given, of receipts and votes */
	bool behind;
};

/* TK_OK when the vault may store what others bring: served here. One that is behind catches up so; it promises nothing. */
TK_MUST_CHECK enum tk_rc tk_vault_storable(struct tk_vault *vault, struct tk_err *err);
/* TK_OK when the vault may promise, and drop: served here, and not behind. */
TK_MUST_CHECK enum tk_rc tk_vault_writable(struct tk_vault *vault, struct tk_err *err);
bool tk_vault_is_behind(struct tk_vault *vault);
/* The vault was rolled back: durable marker first, then every write is refused. */
TK_MUST_CHECK enum tk_rc tk_vault_set_behind(struct tk_vault *vault, const char *why, struct tk_err *err);
/* The next number of a receipt or vote, and the incarnation that gives it. */
uint64_t tk_vault_next_counter(struct tk_vault *vault, struct tk_id *incarnation);
/* Numbers up to this one were given. */
void tk_vault_counter_given(struct tk_vault *vault, uint64_t counter);

/* A new incarnation, after the present one and `more` of the vault's own that it did not know of; then it is not behind any more. Durable. */
TK_MUST_CHECK enum tk_rc tk_vault_new_incarnation(struct tk_vault *vault, const struct tk_id *more, size_t more_count, struct tk_err *err);

/* "<directory>/<hex of id>[/tail]" into path[TK_VFILE_PATH_MAX]. */
void tk_vault_id_path(char path[TK_VFILE_PATH_MAX], const char *directory, const struct tk_id *id, const char *tail);

/* vault_domain.c: enter gives the domain locked and loaded. TK_ENOENT: no genesis of it is here. */
TK_MUST_CHECK enum tk_rc tk_vdomain_enter(struct tk_vault *vault, const struct tk_id *id, struct tk_vdomain **out, struct tk_err *err);
/* As enter, and makes an unloaded entry for a new domain: for put_genesis. */
TK_MUST_CHECK enum tk_rc tk_vdomain_enter_any(struct tk_vault *vault, const struct tk_id *id, struct tk_vdomain **out, struct tk_err *err);
/* Around the files and the transaction of a publish, with domain and `refs` held: the domain is not loaded, and not settled, until the end. */
void tk_vdomain_promise_begin(struct tk_vault *vault, struct tk_vdomain *domain);
void tk_vdomain_promise_end(struct tk_vault *vault, struct tk_vdomain *domain);
/* Loads what a failure left unloaded, so that expiry may look at it. */
TK_MUST_CHECK enum tk_rc tk_vdomain_settle_all(struct tk_vault *vault, struct tk_err *err);
/* For TK_AUTO. */
void tk_vdomain_leave(struct tk_vdomain **domain);
/* Loads every domain that has a directory: at open. */
TK_MUST_CHECK enum tk_rc tk_vdomain_load_all(struct tk_vault *vault, struct tk_err *err);
void tk_vdomain_free_all(struct tk_vault *vault);

/* vault_names.c: the parts of a point's or receipt's file name, and the epoch of a vote's or grant's. False: not such a name. */
struct tk_vname {
	uint64_t epoch;
	uint64_t sequence;
	uint8_t id_prefix[TK_ID_BYTES];
};
bool tk_vname_point(const char *name, struct tk_vname *out);
bool tk_vname_epoch(const char *name, uint64_t *epoch);

/* vault_names.c: reads and checks one record of a domain's directory; `name` is a file in it. TK_ENOENT, TK_ECORRUPT. The caller releases
 * the point. record (may be NULL) receives the bytes. */
TK_MUST_CHECK enum tk_rc tk_vread_genesis(struct tk_vault *vault, const struct tk_id *domain, struct tk_genesis *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vread_point(struct tk_vault *vault, const struct tk_id *domain, const char *name, struct tk_point *out,
					struct tk_buf *record, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vread_receipt(struct tk_vault *vault, const struct tk_id *domain, const char *name, struct tk_receipt *out,
					  struct tk_buf *record, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vread_vote(struct tk_vault *vault, const struct tk_id *domain, uint64_t epoch, struct tk_vote *out,
				       struct tk_buf *record, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vread_grant(struct tk_vault *vault, const struct tk_id *domain, const char *name, struct tk_grant *out,
					struct tk_buf *record, struct tk_err *err);
/* The bytes of one of a domain's records, in the place of what *record held; name: NULL for "genesis". */
TK_MUST_CHECK enum tk_rc tk_vread_record(struct tk_vault *vault, const struct tk_id *domain, const char *directory, const char *name,
					 struct tk_buf *record, struct tk_err *err);
/* The names in one of a domain's directories ("points", "receipts", "votes", "grants"). */
TK_MUST_CHECK enum tk_rc tk_vread_list(struct tk_vault *vault, const struct tk_id *domain, const char *directory, struct tk_vfile_list *out,
				       struct tk_err *err);
/* The site set of the newest epoch that a stored point opens; TK_ENOENT: there is none. */
TK_MUST_CHECK enum tk_rc tk_vread_site_set(struct tk_vault *vault, const struct tk_id *domain, struct tk_site_set *out, struct tk_err *err);
/* "domains/<hex>/<directory>/<name>" */
void tk_vrecord_path(char path[TK_VFILE_PATH_MAX], const struct tk_id *domain, const char *directory, const char *name);

/* vault_archive.c, vault_archive_tidy.c: points and receipts in containers. Any thread; get appends. list adds the names that are not there, and sorts. */
TK_MUST_CHECK enum tk_rc tk_varchive_get(struct tk_vault *vault, const struct tk_id *domain, const char *directory, const char *name,
					 struct tk_buf *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_varchive_list(struct tk_vault *vault, const struct tk_id *domain, const char *directory, struct tk_vfile_list *names,
					  struct tk_err *err);
/* Moves the older records of a domain there when many stand as files. After an error all is as it was, or twice. */
TK_MUST_CHECK enum tk_rc tk_varchive_tidy(struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err);
void tk_varchive_free_all(struct tk_vault *vault);

/* vault_grant.c: is this grant allowed to open its epoch, as far as this site knows? */
TK_MUST_CHECK enum tk_rc tk_vgrant_allowed(struct tk_vault *vault, const struct tk_vdomain *domain, const struct tk_grant *grant, struct tk_err *err);
/* A stored grant. TK_ENOENT. */
TK_MUST_CHECK enum tk_rc tk_vgrant_load(struct tk_vault *vault, const struct tk_id *domain, uint64_t epoch, const struct tk_digest *digest,
					struct tk_grant *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vgrant_store(struct tk_vault *vault, const struct tk_grant *grant, const void *record, size_t len_bytes,
					 struct tk_err *err);
/* "<epoch %08x>-<digest, 32 digits>" */
#define TK_VGRANT_NAME_MAX 64
void tk_vgrant_name(uint64_t epoch, const struct tk_digest *digest, char name[TK_VGRANT_NAME_MAX]);

/* vault_marks.c: what others know. shown: looks for the vault's own promises among the marks, and is behind from now on if it does not know one; keeps that one
 * (for readmit), and of the other sites' promises in `domain` the newest of each (keep_others). Takes the lock of domains that the marks name. */
TK_MUST_CHECK enum tk_rc tk_vmarks_shown(struct tk_vault *vault, const struct tk_id *domain, const struct tk_marks *shown, bool keep_others,
					 struct tk_err *err);
/* The marks kept for a domain: *bytes holds what they borrow from. None is TK_OK. */
TK_MUST_CHECK enum tk_rc tk_vmarks_load(struct tk_vault *vault, const struct tk_id *domain, struct tk_buf *bytes, struct tk_marks *out,
					struct tk_err *err);
/* The vault is about to be let in: drops its own promises, and which sites were asked. */
TK_MUST_CHECK enum tk_rc tk_vmarks_settle(struct tk_vault *vault, const struct tk_id *domain, struct tk_err *err);
/* A promise of this vault's own? */
bool tk_vmark_is_own(const struct tk_vault *vault, const struct tk_mark *mark);

/* vault_vote.c: puts a vote's record in its place. */
TK_MUST_CHECK enum tk_rc tk_vvote_store(struct tk_vault *vault, const struct tk_id *domain, uint64_t epoch, struct tk_bytes record, struct tk_err *err);

/* vault_parts.c: packs of which a part came. A part of the pack gets the name tmp_name and is opened: how long it is (under max_bytes), and *fd is the caller's; 0: there is none. */
uint64_t tk_vparts_take(int tmp_fd, const struct tk_pack_name *name, const char *tmp_name, uint64_t max_bytes, int *fd);
/* Keeps the first len_bytes of a pending file for the next attempt. False: it is not worth it, or could not be. */
bool tk_vparts_keep(struct tk_vault *vault, int tmp_fd, const struct tk_pack_name *name, const char *tmp_name, int fd, uint64_t len_bytes);
/* Gives up all parts. */
void tk_vparts_drop(struct tk_vault *vault, int tmp_fd);

/* vault_pack.c: header and footer of a stored pack, checked. TK_ENOENT, TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_vpack_index(struct tk_vault *vault, const struct tk_pack_name *name, struct tk_pack_index **out, struct tk_err *err);
/* The row that a pack's index gives. */
void tk_vpack_row(const struct tk_pack_index *index, struct tk_pack_row *row);

/* vault_drop.c: the bitmap of what was dropped from a pack; empty when nothing was. */
TK_MUST_CHECK enum tk_rc tk_vdropped_get(struct tk_vault *vault, const struct tk_pack_name *name, struct tk_buf *bits, struct tk_err *err);
/* The whole pack is there again. */
TK_MUST_CHECK enum tk_rc tk_vdropped_forget(struct tk_vault *vault, const struct tk_pack_name *name, struct tk_err *err);

/* vault_rebuild.c: fills an empty index from the packs that are there. Points follow when their domains are loaded. */
TK_MUST_CHECK enum tk_rc tk_vault_rebuild(struct tk_vault *vault, struct tk_err *err);

#endif
