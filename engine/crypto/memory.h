/* memory.h -- the memory that OpenSSL allocates. */
#ifndef TK_CRYPTO_MEMORY_H
#define TK_CRYPTO_MEMORY_H

#include <stdbool.h>

/* From now on large memory of OpenSSL's, which is a passphrase's scrypt and nothing else, lies in huge pages where the system has them for whoever asks
 * (transparent_hugepage "madvise" or "always"): 128 MiB are 64 page faults then, not 32768, and a fifth less time. For the whole process; by the main thread, before
 * anything else of engine/crypto. False: OpenSSL has allocated before, and all stays as it is. */
bool tk_crypto_memory_begin(void);

#endif
