/* ids.h -- the names of the vault's things (docs/FORMAT.md), and the table that gives packs short numbers.
 *
 * Plain data; compare with memcmp. */
#ifndef TK_VAULT_IDS_H
#define TK_VAULT_IDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#define TK_DIGEST_BYTES 32
#define TK_ID_BYTES 16
#define TK_KEY_BYTES 32

#define TK_BLOB_DATA_MAX (1u << 20)      /* plain bytes of a data blob */
#define TK_BLOB_META_MAX (8u << 20)      /* plain bytes of any other blob */
#define TK_RECORD_MAX (1u << 20)         /* point, receipt, vote, grant, genesis, slot */
#define TK_PATH_BYTES_MAX (1u << 20)
#define TK_LEAF_BYTES 32768u             /* of the content digest */
#define TK_SEGMENT_BYTES (64u << 20)     /* default; tests make it tiny */

struct tk_digest { uint8_t b[TK_DIGEST_BYTES]; };
struct tk_pack_name { uint8_t b[TK_DIGEST_BYTES]; };
struct tk_id { uint8_t b[TK_ID_BYTES]; };         /* domain, source, site, incarnation, slot */

enum tk_blob_type {
	TK_BLOB_DATA = 1,
	TK_BLOB_LEAF = 2,
	TK_BLOB_NODE = 3,
	TK_BLOB_BASE_MAP = 4,
	TK_BLOB_OVERLAY_MAP = 5,
	TK_BLOB_SEGMENT_NODE = 6,
	TK_BLOB_CONTENTS = 7,
};

/* Where a blob is: pack is a number of a tk_packtab. */
struct tk_blob_ref {
	uint32_t pack;
	uint32_t blob;
};

#define TK_PACK_NONE UINT32_MAX          /* "no blob", and the pack of a hole */

/* Where some bytes of a file are. A hole has ref.pack == TK_PACK_NONE. length_bytes is never 0. */
struct tk_extent {
	struct tk_blob_ref ref;
	uint32_t offset_bytes;
	uint32_t length_bytes;
};

/* One recovery point's place in its domain's history. epoch 0: none. */
struct tk_head {
	uint64_t epoch;
	uint64_t sequence;
	struct tk_digest point;
};

/* Pack names <-> small numbers, for the life of one job. Any thread. */
struct tk_packtab;

TK_MUST_CHECK enum tk_rc tk_packtab_new(struct tk_packtab **out, struct tk_err *err);
void tk_packtab_free(struct tk_packtab *tab);
void tk_packtab_cleanup(struct tk_packtab **tab);
/* The number of a name, given on first sight. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_packtab_intern(struct tk_packtab *tab, const struct tk_pack_name *name, uint32_t *number,
					   struct tk_err *err);
/* The name of a number that tk_packtab_intern gave. */
struct tk_pack_name tk_packtab_name(struct tk_packtab *tab, uint32_t number);
size_t tk_packtab_count(struct tk_packtab *tab);

#endif
