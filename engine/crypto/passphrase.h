/* passphrase.h -- is a passphrase hopeless to guess? Key slots are stored at sites, so guessing happens offline. */
#ifndef TK_CRYPTO_PASSPHRASE_H
#define TK_CRYPTO_PASSPHRASE_H

#include <stddef.h>

#include "engine/base/err.h"

#define TK_PASSPHRASE_MIN 12
#define TK_PASSPHRASE_MAX 1024
#define TK_PASSPHRASE_BITS_MIN 60

/* An estimate, in bits, of what a guesser who knows common words, sequences and repetitions must try. Looks at no more than
 * TK_PASSPHRASE_MAX bytes (UTF-8). Any thread. */
unsigned tk_passphrase_bits(const char *text, size_t len_bytes);

/* TK_OK when the passphrase is long enough and its estimate reaches TK_PASSPHRASE_BITS_MIN. The error text tells the
 * operator what to do instead and never contains the passphrase. Errors: TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_passphrase_check(const char *text, size_t len_bytes, struct tk_err *err);

#endif
