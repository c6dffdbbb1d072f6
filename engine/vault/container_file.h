/* container_file.h -- containers in their directory: named by a number, 16 hexadecimal digits; a higher one is newer.
 *
 * Any thread. Directory descriptors are borrowed, and open for reading. */
#ifndef TK_VAULT_CONTAINER_FILE_H
#define TK_VAULT_CONTAINER_FILE_H

#include <stdbool.h>

#include "engine/vault/container.h"

#define TK_CONTAINER_NAME_MAX 24

void tk_container_name(uint64_t number, char name[TK_CONTAINER_NAME_MAX]);
/* False: not such a name. Numbers begin with 1. */
bool tk_container_number(const char *name, uint64_t *number);

/* The table, either of the two. On TK_OK the caller frees *rows. Errors: TK_ENOENT, TK_ECORRUPT (both are damaged), TK_EUNSUPPORTED (both say
 * so), TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_container_open(int dirfd, uint64_t number, struct tk_container_row **rows, size_t *count, uint64_t *file_bytes,
					   struct tk_err *err);
/* How long a file of these is. */
uint64_t tk_container_file_bytes(const struct tk_container_row *rows, size_t count);
/*
 * Writes a container, durable under its name on TK_OK; a pending file is swept by tk_publish_sweep. Rows are ascending by name; their lengths are given, their offsets are
 * filled in. load appends the bytes of row i. Errors: TK_EEXIST, TK_EIO, TK_ENOSPC, TK_ENOMEM, load's.
 */
TK_MUST_CHECK enum tk_rc tk_container_write(int dirfd, uint64_t number, struct tk_container_row *rows, size_t count,
					    enum tk_rc (*load)(void *ctx, size_t i, struct tk_buf *out, struct tk_err *err), void *ctx, struct tk_err *err);

#endif
