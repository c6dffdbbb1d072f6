#include <string.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/kdf.h"
#include "engine/crypto/sign.h"
#include "engine/vault/keycore.h"
#include "engine/vault/recordio.h"

static const char slot_magic[] = "TWKSLOT1";

/* What scrypt parameters from outside may be: a site must not be able to weaken a guess, nor to exhaust the machine that recovers. */
enum { LOG2N_MIN = 15, LOG2N_MAX = 20, SCRYPT_R = 8, P_MAX = 4, MACHINE_SECRET_BYTES = 32 };

struct slot_head {
	struct tk_slot_info info;      /* without the label */
	unsigned log2n;
	uint32_t r, p;
	uint8_t salt[TK_SALT_BYTES];
	uint8_t commitment[TK_COMMITMENT_BYTES];
};

/* The slot's keys; env->extra is the recovery seed. */
static enum tk_rc
derive_slot_keys(const struct slot_head *head, const void *secret, size_t secret_bytes, struct tk_envelope *env, struct tk_err *err)
{
	uint8_t kind = (uint8_t)head->info.kind, suite = (uint8_t)head->info.suite;
	const struct tk_bytes info[] = {{head->info.source.b, sizeof(head->info.source.b)}, {&kind, 1}, {&suite, 1}};
	uint8_t stretched[TK_KEY_BYTES];
	enum tk_rc rc = TK_OK;

	if (head->info.kind == TK_SLOT_PASSPHRASE && secret_bytes > 0)
		rc = tk_scrypt(secret, secret_bytes, head->salt, sizeof(head->salt), head->log2n, head->r, head->p, stretched, sizeof(stretched),
		    err);
	else if (head->info.kind == TK_SLOT_MACHINE && secret_bytes == MACHINE_SECRET_BYTES)
		memcpy(stretched, secret, sizeof(stretched));
	else
		return tk_err_set(err, TK_EKEY, "%zu bytes are no secret of this kind of slot", secret_bytes);
	if (rc == TK_OK)
		rc = tk_envelope_derive(head->info.suite, stretched, head->salt, "twinkeep slot", info, 3, true, env, err);
	tk_wipe(stretched, sizeof(stretched));
	return rc;
}

static enum tk_rc
check_commitment(const struct slot_head *head, const struct tk_envelope *env, struct tk_err *err)
{
	if (tk_equal_ct(env->commitment, head->commitment, sizeof(head->commitment)))
		return TK_OK;
	return tk_err_set(err, TK_EKEY, head->info.kind == TK_SLOT_PASSPHRASE ? "wrong passphrase" : "the key file does not open this slot");
}

static void
put_head(struct tk_writer *w, const struct slot_head *head)
{
	tk_writer_u8(w, (uint8_t)head->info.kind);
	tk_writer_id(w, &head->info.slot_id);
	tk_writer_id(w, &head->info.source);
	tk_writer_u8(w, (uint8_t)head->log2n);
	tk_writer_u32(w, head->r);
	tk_writer_u32(w, head->p);
	tk_writer_raw(w, head->salt, sizeof(head->salt));
	tk_writer_raw(w, head->commitment, sizeof(head->commitment));
}

static enum tk_rc
read_head(struct tk_cursor *cur, const void *slot, size_t slot_bytes, struct slot_head *out, struct tk_err *err)
{
	unsigned kind;
	bool stretched;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	rc = tk_record_open(cur, slot, slot_bytes, slot_magic, "key slot", &out->info.suite, err);
	if (rc)
		return rc;
	kind = tk_cursor_u8(cur);
	tk_record_id(cur, &out->info.slot_id);
	tk_record_id(cur, &out->info.source);
	out->log2n = tk_cursor_u8(cur);
	out->r = tk_cursor_u32(cur);
	out->p = tk_cursor_u32(cur);
	tk_cursor_copy(cur, out->salt, sizeof(out->salt));
	tk_cursor_copy(cur, out->commitment, sizeof(out->commitment));
	rc = tk_cursor_check(cur, "key slot", err);
	if (rc)
		return rc;
	if (kind != TK_SLOT_MACHINE && kind != TK_SLOT_PASSPHRASE)
		return tk_err_set(err, TK_EUNSUPPORTED, "key slot: kind %u is not known", kind);
	out->info.kind = (enum tk_slot_kind)kind;
	stretched = out->log2n >= LOG2N_MIN && out->log2n <= LOG2N_MAX && out->r == SCRYPT_R && out->p >= 1 && out->p <= P_MAX;
	if (kind == TK_SLOT_PASSPHRASE ? !stretched : out->log2n || out->r || out->p)
		return tk_err_set(err, TK_ECORRUPT, "key slot: scrypt parameters (2^%u, %u, %u) out of bounds", out->log2n, (unsigned)out->r,
		    (unsigned)out->p);
	return TK_OK;
}

static enum tk_rc
check_seal(const struct tk_keyring *ring, enum tk_slot_kind kind, const char *label, struct tk_err *err)
{
	if (kind != TK_SLOT_MACHINE && kind != TK_SLOT_PASSPHRASE)
		return tk_err_set(err, TK_EINVAL, "a key slot of kind %d", (int)kind);
	if (kind == TK_SLOT_PASSPHRASE && !ring->has_operator_seed)
		return tk_err_set(err, TK_EINVAL, "a passphrase slot needs the operator key: unlock with a passphrase first");
	if (strlen(label) >= sizeof(((struct tk_slot_info *)0)->label))
		return tk_err_set(err, TK_EINVAL, "the label of a key slot is too long");
	return TK_OK;
}

enum tk_rc
tk_slot_seal_with(const struct tk_slot_params *params, const struct tk_keyring *ring, enum tk_slot_kind kind, const void *secret,
    size_t secret_bytes, const char *label, struct tk_buf *slot, uint8_t *recovery_public, struct tk_err *err)
{
	TK_AUTO(tk_envelope_wipe) struct tk_envelope env = {0};
	TK_AUTO(tk_envelope_buf_wipe) struct tk_buf plain = {0};
	struct slot_head head = {.info = {.kind = kind, .slot_id = params->slot_id, .source = ring->source, .suite = ring->suite}};
	struct tk_writer w;
	enum tk_rc rc = check_seal(ring, kind, label, err);

	if (rc)
		return rc;
	memcpy(head.salt, params->salt, sizeof(head.salt));
	if (kind == TK_SLOT_PASSPHRASE) {
		head.log2n = params->log2n;
		head.r = SCRYPT_R;
		head.p = TK_SCRYPT_P;
	}
	rc = derive_slot_keys(&head, secret, secret_bytes, &env, err);
	if (rc == TK_OK)
		rc = tk_keyring_encode(ring, kind == TK_SLOT_PASSPHRASE, &plain, err);
	if (rc == TK_OK && recovery_public && kind == TK_SLOT_PASSPHRASE)
		rc = tk_sign_public(TK_SUITE_AES, env.extra, recovery_public, err); /* Ed25519 whatever the suite */
	if (rc)
		return rc;
	memcpy(head.commitment, env.commitment, sizeof(head.commitment));
	tk_writer_begin(&w, slot, slot_magic, ring->suite, err);
	put_head(&w, &head);
	tk_writer_bytes(&w, label, strlen(label));
	tk_writer_seal(&w, ring->suite, &env, NULL, &plain);
	return tk_writer_end(&w);
}

enum tk_rc
tk_slot_seal(const struct tk_keyring *ring, enum tk_slot_kind kind, const void *secret, size_t secret_bytes, const char *label,
    struct tk_buf *slot, uint8_t *recovery_public, struct tk_err *err)
{
	struct tk_slot_params params = {.log2n = TK_SCRYPT_LOG2N};
	enum tk_rc rc;

	rc = tk_random_bytes(params.slot_id.b, sizeof(params.slot_id.b), err);
	if (rc == TK_OK)
		rc = tk_random_bytes(params.salt, sizeof(params.salt), err);
	return rc ? rc : tk_slot_seal_with(&params, ring, kind, secret, secret_bytes, label, slot, recovery_public, err);
}

/* A machine slot must not bring an operator seed, nor any slot another source's keys than it says. */
static enum tk_rc
check_ring(const struct slot_head *head, const struct tk_keyring *ring, struct tk_err *err)
{
	if (memcmp(&ring->source, &head->info.source, sizeof(ring->source)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "key slot: the keyring inside is another source's");
	if (head->info.kind == TK_SLOT_MACHINE && ring->has_operator_seed)
		return tk_err_set(err, TK_ECORRUPT, "key slot: an operator key in a machine slot");
	return TK_OK;
}

enum tk_rc
tk_slot_open(const void *slot, size_t slot_bytes, const void *secret, size_t secret_bytes, struct tk_keyring *ring, struct tk_err *err)
{
	TK_AUTO(tk_envelope_wipe) struct tk_envelope env = {0};
	TK_AUTO(tk_envelope_buf_wipe) struct tk_buf plain = {0};
	struct slot_head head;
	struct tk_cursor cur;
	struct tk_bytes aad = {slot, 0}, sealed;
	enum tk_rc rc;

	memset(ring, 0, sizeof(*ring));
	rc = read_head(&cur, slot, slot_bytes, &head, err);
	if (rc)
		return rc;
	tk_envelope_text(&cur, head.info.label, sizeof(head.info.label));
	aad.len_bytes = cur.pos_bytes;
	sealed.data = tk_cursor_bytes(&cur, TK_RECORD_MAX, &sealed.len_bytes);
	rc = tk_cursor_end(&cur, "key slot", err);
	if (rc == TK_OK)
		rc = derive_slot_keys(&head, secret, secret_bytes, &env, err);
	if (rc == TK_OK)
		rc = check_commitment(&head, &env, err);
	if (rc)
		return rc;
	rc = tk_envelope_open(head.info.suite, &env, aad, sealed, &plain, err);
	if (rc)
		return tk_err_context(err, rc, "key slot");
	rc = tk_keyring_decode(plain.data, plain.len_bytes, ring, err);
	if (rc)
		return rc;
	rc = check_ring(&head, ring, err);
	if (rc)
		tk_keyring_release(ring);
	return rc;
}

enum tk_rc
tk_slot_read_info(const void *slot, size_t slot_bytes, struct tk_slot_info *info, struct tk_err *err)
{
	struct slot_head head;
	struct tk_cursor cur;
	size_t len;
	enum tk_rc rc;

	rc = read_head(&cur, slot, slot_bytes, &head, err);
	if (rc)
		return rc;
	tk_envelope_text(&cur, head.info.label, sizeof(head.info.label));
	(void)tk_cursor_bytes(&cur, TK_RECORD_MAX, &len);
	*info = head.info;
	return tk_cursor_end(&cur, "key slot", err);
}

enum tk_rc
tk_slot_recovery_seed(const void *slot_head, size_t head_bytes, const void *secret, size_t secret_bytes, uint8_t seed[TK_KEY_BYTES],
    struct tk_err *err)
{
	TK_AUTO(tk_envelope_wipe) struct tk_envelope env = {0};
	struct slot_head head;
	struct tk_cursor cur;
	enum tk_rc rc;

	memset(seed, 0, TK_KEY_BYTES);
	rc = read_head(&cur, slot_head, head_bytes, &head, err);
	if (rc)
		return rc;
	if (head_bytes != TK_SLOT_HEAD_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "key slot: a head of %zu bytes", head_bytes);
	if (head.info.kind != TK_SLOT_PASSPHRASE)
		return tk_err_set(err, TK_EKEY, "only a passphrase slot recovers");
	rc = derive_slot_keys(&head, secret, secret_bytes, &env, err);
	if (rc == TK_OK)
		rc = check_commitment(&head, &env, err);
	if (rc == TK_OK)
		memcpy(seed, env.extra, TK_KEY_BYTES);
	return rc;
}
