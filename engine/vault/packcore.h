/* packcore.h -- private to engine/vault's pack sources and their tests: what writing and reading packs share. */
#ifndef TK_VAULT_PACKCORE_H
#define TK_VAULT_PACKCORE_H

#include "engine/crypto/suite.h"
#include "engine/vault/pack.h"

#define TK_BLOB_AAD_BYTES 14

/* As tk_pack_head_begin under a name that the caller chose. Only for test vectors: a name is the salt of a pack's key, and must never be
 * used for a second pack. */
TK_MUST_CHECK enum tk_rc tk_pack_head_make(const struct tk_domain_keys *keys, enum tk_suite suite, enum tk_pack_type type,
    const struct tk_id *incarnation, const struct tk_pack_name *name, struct tk_pack_head *out, struct tk_err *err);

/* Nonce and the associated data after the header of one blob. */
void tk_blob_seal_params(uint32_t blob, const struct tk_blob_info *info, uint8_t nonce[TK_NONCE_BYTES], uint8_t aad[TK_BLOB_AAD_BYTES]);

/* The most plain bytes a blob of the type may have; 0: there is no such type. */
uint32_t tk_blob_plain_max(unsigned type);

/* True when the type may name other blobs. */
bool tk_blob_has_refs(unsigned type);

/* *twice: does any name occur twice, or equal `own` (NULL: not asked)? Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_pack_names_twice(const struct tk_pack_name *names, size_t count, const struct tk_pack_name *own, bool *twice,
    struct tk_err *err);

#endif
