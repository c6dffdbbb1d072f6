/* recordio.h -- private to engine/vault: how every record begins and ends, and a writer whose first fault sticks.
 *
 * A record is `magic[8], u16 version = 1, u8 suite, u64 critical bits, ..., bytes public key, bytes signature`; the signature is over a text of the
 * record's kind and everything before it. Pure functions, any thread. */
#ifndef TK_VAULT_RECORDIO_H
#define TK_VAULT_RECORDIO_H

#include "engine/base/buf.h"
#include "engine/base/cursor.h"
#include "engine/vault/envelope.h"
#include "engine/vault/ids.h"
#include "engine/vault/records.h"

/* Appends to a buffer; after a fault the calls do nothing, and tk_writer_end says what it was. */
struct tk_writer {
	struct tk_buf *out;     /* borrowed */
	size_t start_bytes;     /* where the record begins in it */
	enum tk_rc rc;
	struct tk_err *err;
};

void tk_writer_begin(struct tk_writer *w, struct tk_buf *out, const char *magic, enum tk_suite suite, struct tk_err *err);
/* As begin, for bytes that are no record of their own (a body to be sealed). */
void tk_writer_begin_plain(struct tk_writer *w, struct tk_buf *out, struct tk_err *err);
void tk_writer_u8(struct tk_writer *w, uint8_t value);
void tk_writer_u32(struct tk_writer *w, uint32_t value);
void tk_writer_u64(struct tk_writer *w, uint64_t value);
void tk_writer_uv(struct tk_writer *w, uint64_t value);
void tk_writer_sv(struct tk_writer *w, int64_t value);
void tk_writer_raw(struct tk_writer *w, const void *src, size_t len_bytes);
void tk_writer_bytes(struct tk_writer *w, const void *src, size_t len_bytes);
void tk_writer_id(struct tk_writer *w, const struct tk_id *id);
void tk_writer_digest(struct tk_writer *w, const struct tk_digest *digest);
/* epoch, sequence, point id. */
void tk_writer_head(struct tk_writer *w, const struct tk_head *head);
/* Seals *plain as `bytes`: salt || commitment || cipher text || tag, or without the first two when `salt` is NULL. All of the record so far is the
 * associated data. */
void tk_writer_seal(struct tk_writer *w, enum tk_suite suite, const struct tk_envelope *env, const uint8_t *salt, const struct tk_buf *plain);
/* Public key and signature; `key` (may be NULL) receives the public key. */
void tk_writer_sign(struct tk_writer *w, const char *text, enum tk_suite suite, const uint8_t seed[TK_KEY_BYTES], uint8_t *key);
/* TK_OK, or the fault, and then `out` is as it was before. A record over TK_RECORD_MAX is TK_EINVAL. */
TK_MUST_CHECK enum tk_rc tk_writer_end(struct tk_writer *w);

/* Begins to read a record: magic, version, suite, critical bits. `what` names it in errors. Errors: TK_ECORRUPT, TK_EUNSUPPORTED. */
TK_MUST_CHECK enum tk_rc tk_record_open(struct tk_cursor *cur, const void *record, size_t len_bytes, const char *magic, const char *what,
    enum tk_suite *suite, struct tk_err *err);
void tk_record_id(struct tk_cursor *cur, struct tk_id *id);
void tk_record_digest(struct tk_cursor *cur, struct tk_digest *digest);
/* A head that is there: epoch and sequence from 1. */
void tk_record_head(struct tk_cursor *cur, struct tk_head *head);
/* `bytes` of exactly a public key's length. */
void tk_record_key(struct tk_cursor *cur, uint8_t key[TK_KEY_BYTES]);
/* A text without NUL as a malloc'ed string; NULL on a fault or when memory ran out (*rc is then TK_ENOMEM). */
char *tk_record_text(struct tk_cursor *cur, size_t max_bytes, enum tk_rc *rc);
/* Reads the end of a record and checks the signature under the key inside, which goes to `key`. Errors: TK_ECORRUPT. */
TK_MUST_CHECK enum tk_rc tk_record_verify(struct tk_cursor *cur, const char *text, const char *what, enum tk_suite suite,
    uint8_t key[TK_KEY_BYTES], struct tk_err *err);

/* As tk_point_seal with a salt that the caller chose: for test vectors only. */
TK_MUST_CHECK enum tk_rc tk_point_seal_with(const uint8_t salt[TK_SALT_BYTES], struct tk_point *point, const struct tk_point_body *body,
    const struct tk_domain_keys *keys, const uint8_t writer_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err);
/* The body alone, plain. decode: on TK_OK the caller releases *out. */
TK_MUST_CHECK enum tk_rc tk_point_body_encode(const struct tk_point_body *body, struct tk_buf *plain, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_point_body_decode(const void *plain, size_t plain_bytes, struct tk_point_body *out, struct tk_err *err);

#endif
