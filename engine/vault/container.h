/* container.h -- many small packs in one file (docs/FORMAT.md, section 8): the table that says where each lies.
 *
 * Pure functions, any thread. */
#ifndef TK_VAULT_CONTAINER_H
#define TK_VAULT_CONTAINER_H

#include "engine/base/buf.h"
#include "engine/vault/ids.h"

#define TK_CONTAINER_ROWS_MAX 16384u
#define TK_CONTAINER_BYTES_MAX (256u << 20)
#define TK_CONTAINER_HEAD_BYTES 16u      /* of a table: says how long it is */
#define TK_CONTAINER_END_BYTES 16u       /* of the file: says how long the second table is */

/* A pack inside: plain data. */
struct tk_container_row {
	struct tk_pack_name name;
	uint64_t offset_bytes;
	uint64_t len_bytes;
};

/* How long a table of so many rows is. */
size_t tk_container_table_bytes(size_t count);
/* Appends the table, and after it the end of a file when `at_end`. Rows are ascending by name; every pack lies between the tables. Errors: TK_ENOMEM, TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_container_encode(const struct tk_container_row *rows, size_t count, bool at_end, struct tk_buf *out, struct tk_err *err);
/* How long the table is, by the first bytes of a file, or by its last ones. Errors: TK_ECORRUPT, TK_EUNSUPPORTED. */
TK_MUST_CHECK enum tk_rc tk_container_head(const uint8_t head[TK_CONTAINER_HEAD_BYTES], size_t *table_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_container_end(const uint8_t end[TK_CONTAINER_END_BYTES], size_t *table_bytes, struct tk_err *err);
/* Reads a whole table of a file of this length. On TK_OK the caller frees *rows. Errors: TK_ECORRUPT, TK_EUNSUPPORTED, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_container_decode(const uint8_t *table, size_t table_bytes, uint64_t file_bytes, struct tk_container_row **rows, size_t *count,
					     struct tk_err *err);

#endif
