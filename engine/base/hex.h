/* hex.h -- bytes as lower-case hexadecimal text, and random bytes. */
#ifndef TK_BASE_HEX_H
#define TK_BASE_HEX_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

/* Writes 2 * len_bytes digits and a NUL to dst. */
void tk_hex_encode(const void *src, size_t len_bytes, char *dst);
/* Reads exactly 2 * len_bytes digits. Errors: TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_hex_decode(const char *text, void *dst, size_t len_bytes, struct tk_err *err);
/* Fills dst from the kernel's generator (getrandom(2)). Errors: TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_random_bytes(void *dst, size_t len_bytes, struct tk_err *err);

#endif
