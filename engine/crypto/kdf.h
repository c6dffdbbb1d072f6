/* kdf.h -- keys from passphrases: scrypt (RFC 7914). Callable from any thread. */
#ifndef TK_CRYPTO_KDF_H
#define TK_CRYPTO_KDF_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

#define TK_SCRYPT_SALT_BYTES 32
#define TK_SCRYPT_OUT_MAX 128
/* No parameter set that needs more memory (128 * N * r) is run: a hostile slot cannot exhaust the machine. */
#define TK_SCRYPT_MEMORY_MAX ((uint64_t)1 << 30)

/* What new slots are made with: 128 MiB, about half a second. */
#define TK_SCRYPT_LOG2N 17
#define TK_SCRYPT_R 8
#define TK_SCRYPT_P 1

/* Derives out_bytes (1 to TK_SCRYPT_OUT_MAX) from a passphrase. The parameters may come from outside: log2n 1 to 20, r and
 * p 1 to 64, r * p at most 256, and the memory bound above. `out` is wiped on an error.
 * Errors: TK_EINVAL (parameters), TK_ENOMEM, TK_EIO (the provider failed). */
TK_MUST_CHECK enum tk_rc tk_scrypt(const void *pass, size_t pass_bytes, const uint8_t *salt, size_t salt_bytes, uint32_t log2n,
    uint32_t r, uint32_t p, void *out, size_t out_bytes, struct tk_err *err);

#endif
