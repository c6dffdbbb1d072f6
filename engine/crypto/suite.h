/* suite.h -- the cipher suites: one id in every authenticated header says which algorithms sealed it.
 *
 * Constant tables, callable from any thread. No other folder knows which library does the work: a
 * deployment may swap the OpenSSL provider below without touching a caller. */
#ifndef TK_CRYPTO_SUITE_H
#define TK_CRYPTO_SUITE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"

/* The values are part of the format. */
enum tk_suite {
	TK_SUITE_AES = 1,    /* AES-256-GCM, SHA-256, Ed25519; the default */
	TK_SUITE_CHACHA = 2, /* ChaCha20-Poly1305, SHA-256, Ed25519 */
	TK_SUITE_GM = 3,     /* SM4-CTR with HMAC-SM3 (encrypt-then-MAC), SM3, SM2 */
};

/* Sizes that hold for every suite; arrays are made with these. */
#define TK_HASH_BYTES 32
#define TK_NONCE_BYTES 12
#define TK_AEAD_KEY_MAX 48
#define TK_AEAD_TAG_MAX 32
#define TK_SIGN_SECRET_BYTES 32
#define TK_SIGN_PUBLIC_MAX 33
#define TK_SIGN_SIG_BYTES 64

struct tk_suite_info {
	enum tk_suite suite;
	const char *name;          /* "aes", "chacha", "gm": the word of the command line and the configuration */
	size_t aead_key_bytes;
	size_t aead_tag_bytes;
	size_t sign_public_bytes;  /* Ed25519: the 32 bytes of RFC 8032; SM2: the compressed point */
};

/* Borrowed bytes: one part of a message given in pieces. */
struct tk_bytes {
	const void *data;
	size_t len_bytes;
};

/* The row of a suite, or NULL for an id that is not in the table. Static storage. */
const struct tk_suite_info *tk_suite_info(enum tk_suite suite);

/* Reads a suite's name. Errors: TK_EINVAL, naming the words that are known. */
TK_MUST_CHECK enum tk_rc tk_suite_parse(const char *name, enum tk_suite *out, struct tk_err *err);

/* TK_OK when this build and its provider can do all of the suite. `id` may come from outside.
 * Errors: TK_EUNSUPPORTED (unknown id, or known but not available here). */
TK_MUST_CHECK enum tk_rc tk_suite_check(uint64_t id, struct tk_err *err);

#endif
