/* keycore.h -- private to engine/vault's key sources and their tests. */
#ifndef TK_VAULT_KEYCORE_H
#define TK_VAULT_KEYCORE_H

#include "engine/vault/envelope.h"
#include "engine/vault/keyring.h"

/* What new slots choose at random, and scrypt's cost: given by the caller for test vectors and fast tests only. */
struct tk_slot_params {
	struct tk_id slot_id;
	uint8_t salt[TK_SALT_BYTES];
	uint8_t log2n;              /* passphrase slots */
};

/* As tk_slot_seal. */
TK_MUST_CHECK enum tk_rc tk_slot_seal_with(const struct tk_slot_params *params, const struct tk_keyring *ring, enum tk_slot_kind kind,
    const void *secret, size_t secret_bytes, const char *label, struct tk_buf *slot, uint8_t *recovery_public, struct tk_err *err);

/* As tk_config_seal. */
TK_MUST_CHECK enum tk_rc tk_config_seal_with(const uint8_t salt[TK_SALT_BYTES], const struct tk_keyring *ring,
    const struct tk_config_file *files, size_t count, struct tk_buf *out, struct tk_err *err);

/* The keyring's plain bytes; *plain must be empty and is to be wiped (tk_envelope_buf_wipe). */
TK_MUST_CHECK enum tk_rc tk_keyring_encode(const struct tk_keyring *ring, bool with_operator_seed, struct tk_buf *plain, struct tk_err *err);
/* On TK_OK the caller releases *ring; on an error there is nothing in it. */
TK_MUST_CHECK enum tk_rc tk_keyring_decode(const void *plain, size_t plain_bytes, struct tk_keyring *ring, struct tk_err *err);

#endif
