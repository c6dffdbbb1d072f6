/* envelope.h -- private to engine/vault: what is sealed under keys of its own, once (docs/FORMAT.md: pack, point body, slot, configuration).
 *
 * HKDF gives a sealing key and a commitment from a secret and a random salt. The commitment is compared before anything is opened, so that
 * a wrong key (TK_EKEY) is told from damage (TK_ECORRUPT). Pure functions, any thread. */
#ifndef TK_VAULT_ENVELOPE_H
#define TK_VAULT_ENVELOPE_H

#include "engine/base/buf.h"
#include "engine/base/cursor.h"
#include "engine/crypto/suite.h"
#include "engine/vault/ids.h"

#define TK_SALT_BYTES 32
#define TK_COMMITMENT_BYTES 32

/* The okm of the format: key, commitment, and what a slot derives besides. Secret: wiped by tk_envelope_wipe. */
struct tk_envelope {
	uint8_t key[TK_KEY_BYTES];
	uint8_t commitment[TK_COMMITMENT_BYTES];
	uint8_t extra[TK_KEY_BYTES];
};

/* TK_OK when the format knows the suite and its keys have the sizes of version 1. `id` may come from outside. Errors: TK_EUNSUPPORTED. */
TK_MUST_CHECK enum tk_rc tk_envelope_suite(uint64_t id, enum tk_suite *suite, struct tk_err *err);

/* Derives from secret and salt; info is text || the parts. extra is filled when with_extra. Errors: TK_EUNSUPPORTED, TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_envelope_derive(enum tk_suite suite, const uint8_t secret[TK_KEY_BYTES], const uint8_t salt[TK_SALT_BYTES],
    const char *text, const struct tk_bytes *parts, size_t part_count, bool with_extra, struct tk_envelope *out, struct tk_err *err);
void tk_envelope_wipe(struct tk_envelope *env);

/* Appends `bytes`: uv length, then head || cipher text || tag of plain under nonce zero. head is in the clear (salt and commitment, or empty).
 * The associated data is out's bytes from aad_start on, as they are before the field. */
TK_MUST_CHECK enum tk_rc tk_envelope_put(enum tk_suite suite, const struct tk_envelope *env, size_t aad_start, struct tk_bytes head,
    const struct tk_buf *plain, struct tk_buf *out, struct tk_err *err);
/* Opens cipher text || tag into *plain (cleared first; holds secrets: tk_envelope_buf_wipe). Errors: TK_ECORRUPT, TK_ENOMEM, TK_EIO. */
TK_MUST_CHECK enum tk_rc tk_envelope_open(enum tk_suite suite, const struct tk_envelope *env, struct tk_bytes aad, struct tk_bytes sealed,
    struct tk_buf *plain, struct tk_err *err);

/* Overwrites all memory of a buffer, then releases it; for TK_AUTO. The buffer must have had its room reserved before secrets went in. */
void tk_envelope_buf_wipe(struct tk_buf *buf);

/* Reads `bytes` of at most max_bytes - 1 that hold no NUL into dst, NUL-terminated; a fault of the cursor otherwise. */
void tk_envelope_text(struct tk_cursor *cur, char *dst, size_t max_bytes);

#endif
