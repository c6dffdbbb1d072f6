/* dedup_core.h -- what the files of the dedup index share. Private to engine/catalog. */
#ifndef TK_CATALOG_DEDUP_CORE_H
#define TK_CATALOG_DEDUP_CORE_H

#include <pthread.h>

#include "engine/catalog/dedup.h"
#include "engine/catalog/dedup_rows.h"
#include "engine/catalog/dedup_run.h"

#define TK_DEDUP_FILE_NAME_BYTES 21           /* 16 hex digits, ".run", NUL */

struct tk_dedup {
	int dirfd;
	pthread_mutex_t lock;                 /* held by find and add */
	struct tk_packtab *packs;             /* borrowed */
	struct tk_hash_ctx *hash;
	struct tk_dedup_run *runs;            /* oldest first */
	size_t run_count, run_cap;
	uint64_t next_number;
	struct tk_dedup_rows added;
	uint8_t missed[TK_DEDUP_ID_BYTES];    /* the id that was looked for last, in vain: mostly the one that is added next */
	bool has_missed;
};

/* Opens the run of this number and puts it last. TK_ECORRUPT: damaged; nothing was put. */
TK_MUST_CHECK enum tk_rc tk_dedup_load_run(struct tk_dedup *dedup, uint64_t number, struct tk_err *err);
/* Forgets a run, and removes its file. */
void tk_dedup_drop_run(struct tk_dedup *dedup, size_t index);
void tk_dedup_file_name(uint64_t number, char dst[TK_DEDUP_FILE_NAME_BYTES]);

#endif
