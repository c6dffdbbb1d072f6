/* vault_text.h -- the little text files of a vault: a first line that says what it is, then lines `key value`.
 *
 * Private to engine/vault. Any thread. */
#ifndef TK_VAULT_VAULT_TEXT_H
#define TK_VAULT_VAULT_TEXT_H

#include <stdbool.h>

#include "engine/base/buf.h"
#include "engine/vault/ids.h"

/* Appends one line. */
TK_MUST_CHECK enum tk_rc tk_vtext_line(struct tk_buf *text, const char *key, const char *value, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vtext_hex(struct tk_buf *text, const char *key, const void *bytes, size_t len_bytes, struct tk_err *err);
/* Is the first line exactly this? */
bool tk_vtext_begins(const struct tk_buf *text, const char *first_line);
/* The value of the first line with this key into dst, NUL-terminated. Errors: TK_ECORRUPT (no such line, or longer than max_bytes - 1). */
TK_MUST_CHECK enum tk_rc tk_vtext_get(const struct tk_buf *text, const char *key, char *dst, size_t max_bytes, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vtext_get_hex(const struct tk_buf *text, const char *key, void *dst, size_t len_bytes, struct tk_err *err);

#endif
