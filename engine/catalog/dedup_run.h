/* dedup_run.h -- one sorted run of the dedup index: an immutable file, memory-mapped. Private to engine/catalog; local.
 *
 * rows, 32 bytes each, ascending by id: id[16], u32 pack index, u32 blob, u32 offset, u32 length (never 0); from byte 0, 256 a block.
 * block table, 48 bytes a block: first id[16], digest[32] of the block's rows
 * pack table: name[32] each
 * trailer, 64 bytes: "TWKDDUP1", u32 version = 1, u32 pack count, u64 row count, 8 zero bytes, digest[32] of block table, pack table and the
 * trailer before it.
 *
 * Opening hashes the tables alone (0.6% of the rows); a block is checked when it is touched first. Checking all at open would read and hash
 * 256 MB for each terabyte protected (0.2 s), in runs that find nothing changed too. The block table is also the search index: a look-up touches
 * one block. One thread. */
#ifndef TK_CATALOG_DEDUP_RUN_H
#define TK_CATALOG_DEDUP_RUN_H

#include "engine/base/buf.h"
#include "engine/crypto/hash.h"
#include "engine/vault/ids.h"

#define TK_DEDUP_ID_BYTES 16
#define TK_DEDUP_ROW_BYTES 32u
#define TK_DEDUP_BLOCK_ROWS 256u
#define TK_DEDUP_TRAILER_BYTES 64u

struct tk_dedup_row {
	uint8_t id[TK_DEDUP_ID_BYTES];
	struct tk_extent extent;              /* ref.pack: a number of the packtab */
};

struct tk_dedup_run {
	uint64_t number;                      /* of the file's name */
	int fd;                               /* blocks are read through it to be checked; -1: in memory only */
	const uint8_t *data;                  /* borrowed, or mapped */
	size_t len_bytes;
	size_t row_count, block_count, pack_count;
	const uint8_t *blocks;                /* the tables, in data */
	const uint8_t *names;
	uint32_t *packs;                      /* numbers by index, or TK_PACK_NONE while not asked for */
	uint8_t *checked;                     /* a bit a block */
};

/* Takes over the file and maps it. Errors: TK_ECORRUPT, TK_EIO, TK_ENOMEM; the descriptor is closed then. */
TK_MUST_CHECK enum tk_rc tk_dedup_run_open(int fd, struct tk_hash_ctx *hash, struct tk_dedup_run *run, struct tk_err *err);
/* The same over borrowed bytes. */
TK_MUST_CHECK enum tk_rc tk_dedup_run_over(const void *bytes, size_t len_bytes, struct tk_hash_ctx *hash, struct tk_dedup_run *run,
					   struct tk_err *err);
/* Unmaps and closes. */
void tk_dedup_run_release(struct tk_dedup_run *run);

/* Looks an id up. TK_ECORRUPT: the run is damaged. */
TK_MUST_CHECK enum tk_rc tk_dedup_run_find(struct tk_dedup_run *run, struct tk_hash_ctx *hash, struct tk_packtab *packs,
					   const uint8_t id[TK_DEDUP_ID_BYTES], struct tk_extent *extent, bool *found, struct tk_err *err);
/* Checks a block, unless that was done before. Errors: TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_dedup_run_check_block(struct tk_dedup_run *run, struct tk_hash_ctx *hash, size_t block, struct tk_err *err);
/* Row `at` of a block that was checked. Errors: TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_dedup_run_row(struct tk_dedup_run *run, struct tk_packtab *packs, size_t at, struct tk_dedup_row *row,
					  struct tk_err *err);

/* Writes a run from rows that come in ascending order: init, rows, finish. */
struct tk_dedup_out {
	int fd;                               /* borrowed */
	struct tk_hash_ctx *hash;             /* borrowed */
	struct tk_packtab *packs;             /* borrowed */
	struct tk_buf block, table, names;
	uint32_t *places;                     /* by pack number: index + 1, or 0 */
	size_t place_count;
	uint32_t pack_count;
	uint64_t row_count;
};
void tk_dedup_out_init(struct tk_dedup_out *out, int fd, struct tk_hash_ctx *hash, struct tk_packtab *packs);
TK_MUST_CHECK enum tk_rc tk_dedup_out_row(struct tk_dedup_out *out, const struct tk_dedup_row *row, struct tk_err *err);
/* All bytes are written; not fsynced. */
TK_MUST_CHECK enum tk_rc tk_dedup_out_finish(struct tk_dedup_out *out, struct tk_err *err);
void tk_dedup_out_release(struct tk_dedup_out *out);

#endif
