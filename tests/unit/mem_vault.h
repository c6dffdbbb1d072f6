/* mem_vault.h -- for tests: metadata blobs kept in memory, a repeatable random generator, made-up entries. */
#ifndef TK_TESTS_MEM_VAULT_H
#define TK_TESTS_MEM_VAULT_H

#include "tests/unit/unit.h"

#include "engine/vault/blob_source.h"
#include "engine/vault/entry.h"
#include "engine/vault/page.h"

struct mem_blob {
	struct tk_blob_ref ref;
	enum tk_blob_type type;
	uint8_t *data;
	size_t len_bytes;
	struct tk_blob_ref *refs;
	size_t ref_count;
};

struct mem_vault {
	struct tk_packtab *packs;
	struct mem_blob *blobs;
	size_t count, cap;
	uint32_t pack;             /* that blobs go to */
	uint32_t pack_blobs;
	uint32_t pack_blobs_max;   /* then a new pack begins */
	uint64_t put_bytes;
	size_t reads;
	size_t leaves_made;
	struct tk_page_sink sink;
	struct tk_blob_source source;
};

void mem_vault_init(struct mem_vault *vault, uint32_t pack_blobs_max);
void mem_vault_release(struct mem_vault *vault);
const struct mem_blob *mem_vault_find(const struct mem_vault *vault, struct tk_blob_ref ref);

/* xorshift64*: the same numbers on every machine. */
struct mem_rand {
	uint64_t state;
};
uint64_t mem_rand_next(struct mem_rand *rand);
uint64_t mem_rand_below(struct mem_rand *rand, uint64_t limit);

/* Fills *entry (own kind) with what `seed` says for this path. */
void mem_entry_make(struct tk_entry *entry, const char *path, uint64_t seed, uint32_t packs);

#endif
