/* vault_archive.h -- what reading an archive and filling it share; for engine/vault/vault_archive*.c only.
 *
 * Points and receipts never expire: one run a minute makes a million small files a year of them. The older ones move into containers, domains/<hex>/archive/; a file
 * in points/ or receipts/ comes before one of the same name in there, so a crash between the two steps changes nothing.
 * All of it under the vault's archive_lock. */
#ifndef TK_VAULT_VAULT_ARCHIVE_H
#define TK_VAULT_VAULT_ARCHIVE_H

#include "engine/vault/container_file.h"
#include "engine/vault/vault_core.h"

/* The kinds of record, by the number that the last field of a key has: the names of their directories. */
enum { TK_ARCHIVE_KINDS = 2 };
extern const char *const tk_archive_kinds[TK_ARCHIVE_KINDS];

/* Where a record is. */
struct tk_archive_row {
	struct tk_pack_name key;         /* id prefix[16], sequence u64, epoch u32, kind u32; the numbers big-endian */
	uint64_t container;
	uint64_t offset_bytes, len_bytes;
};

struct tk_archive_container {
	uint64_t number;
	size_t row_count;                /* 0: it could not be read */
	bool chosen;                     /* to be merged */
};

struct tk_varchive {
	struct tk_varchive *next;
	struct tk_id domain;
	bool loaded;
	struct timespec seen;            /* the directory's mtime when it was read */
	struct tk_archive_row *rows;     /* owned; ascending by key, each key once */
	size_t count, cap;
	struct tk_archive_container *containers; /* owned; ascending */
	size_t container_count, container_cap;
};

void tk_archive_key(const struct tk_vname *parts, uint32_t kind, struct tk_pack_name *key);
uint32_t tk_archive_kind(const struct tk_pack_name *key);
void tk_archive_name(const struct tk_pack_name *key, char name[TK_POINT_FILE_NAME_MAX]);
int tk_archive_compare_containers(const void *a, const void *b);

/* The archive as it is now, and its directory, which the caller closes (-1: there is none yet). */
TK_MUST_CHECK enum tk_rc tk_archive_enter(struct tk_vault *vault, const struct tk_id *domain, struct tk_varchive **out, int *dirfd, struct tk_err *err);
/* Appends the record's bytes. */
TK_MUST_CHECK enum tk_rc tk_archive_read(int dirfd, const struct tk_archive_row *row, struct tk_buf *out, struct tk_err *err);

#endif
