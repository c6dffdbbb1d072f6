#include "engine/vault/envelope.h"

#include <string.h>

#include "engine/crypto/aead.h"
#include "engine/crypto/hash.h"

#define INFO_MAX 128

static const uint8_t nonce_zero[TK_NONCE_BYTES];

enum tk_rc
tk_envelope_suite(uint64_t id, enum tk_suite *suite, struct tk_err *err)
{
	const struct tk_suite_info *info;
	enum tk_rc rc = tk_suite_check(id, err);

	if (rc)
		return rc;
	info = tk_suite_info((enum tk_suite)id);
	if (!info || info->aead_key_bytes != TK_KEY_BYTES || info->sign_public_bytes != TK_KEY_BYTES)
		return tk_err_set(err, TK_EUNSUPPORTED, "format version 1 does not know suite %llu", (unsigned long long)id);
	*suite = info->suite;
	return TK_OK;
}

enum tk_rc
tk_envelope_derive(enum tk_suite suite, const uint8_t secret[TK_KEY_BYTES], const uint8_t salt[TK_SALT_BYTES], const char *text,
    const struct tk_bytes *parts, size_t part_count, bool with_extra, struct tk_envelope *out, struct tk_err *err)
{
	uint8_t info[INFO_MAX];
	uint8_t okm[TK_KEY_BYTES + TK_COMMITMENT_BYTES + TK_KEY_BYTES];
	size_t okm_bytes = with_extra ? sizeof(okm) : TK_KEY_BYTES + TK_COMMITMENT_BYTES;
	size_t len = strlen(text);
	enum tk_rc rc;

	memcpy(info, text, len);
	for (size_t i = 0; i < part_count; i++) {
		memcpy(info + len, parts[i].data, parts[i].len_bytes);
		len += parts[i].len_bytes;
	}
	memset(out, 0, sizeof(*out));
	rc = tk_hkdf(suite, (struct tk_bytes){secret, TK_KEY_BYTES}, (struct tk_bytes){salt, TK_SALT_BYTES}, (struct tk_bytes){info, len},
	    okm, okm_bytes, err);
	if (rc == TK_OK) {
		memcpy(out->key, okm, TK_KEY_BYTES);
		memcpy(out->commitment, okm + TK_KEY_BYTES, TK_COMMITMENT_BYTES);
		if (with_extra)
			memcpy(out->extra, okm + TK_KEY_BYTES + TK_COMMITMENT_BYTES, TK_KEY_BYTES);
	}
	tk_wipe(okm, sizeof(okm));
	return rc;
}

void
tk_envelope_wipe(struct tk_envelope *env)
{
	tk_wipe(env, sizeof(*env));
}

enum tk_rc
tk_envelope_put(enum tk_suite suite, const struct tk_envelope *env, size_t aad_start, struct tk_bytes head, const struct tk_buf *plain,
    struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_aead_cleanup) struct tk_aead *aead = NULL;
	struct tk_bytes aad = {NULL, out->len_bytes - aad_start};
	size_t sealed_bytes;
	enum tk_rc rc;

	rc = tk_aead_new(suite, env->key, sizeof(env->key), &aead, err);
	if (rc)
		return rc;
	sealed_bytes = plain->len_bytes + tk_aead_tag_bytes(aead);
	rc = tk_buf_put_uv(out, head.len_bytes + sealed_bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_put(out, head.data, head.len_bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_reserve(out, sealed_bytes, err);
	if (rc)
		return rc;
	aad.data = out->data + aad_start;
	rc = tk_aead_seal(aead, nonce_zero, &aad, 1, plain->data, plain->len_bytes, out->data + out->len_bytes, err);
	if (rc == TK_OK)
		out->len_bytes += sealed_bytes;
	return rc;
}

enum tk_rc
tk_envelope_open(enum tk_suite suite, const struct tk_envelope *env, struct tk_bytes aad, struct tk_bytes sealed, struct tk_buf *plain,
    struct tk_err *err)
{
	TK_AUTO(tk_aead_cleanup) struct tk_aead *aead = NULL;
	size_t tag_bytes;
	enum tk_rc rc;

	rc = tk_aead_new(suite, env->key, sizeof(env->key), &aead, err);
	if (rc)
		return rc;
	tag_bytes = tk_aead_tag_bytes(aead);
	if (sealed.len_bytes < tag_bytes)
		return tk_err_set(err, TK_ECORRUPT, "sealed bytes are shorter than their tag");
	tk_buf_clear(plain);
	/* One byte more, so that the buffer has memory even for an empty text. */
	rc = tk_buf_reserve(plain, sealed.len_bytes - tag_bytes + 1, err);
	if (rc)
		return rc;
	rc = tk_aead_open(aead, nonce_zero, &aad, 1, sealed.data, sealed.len_bytes, plain->data, err);
	if (rc == TK_OK)
		plain->len_bytes = sealed.len_bytes - tag_bytes;
	return rc;
}

void
tk_envelope_buf_wipe(struct tk_buf *buf)
{
	tk_wipe(buf->data, buf->cap_bytes);
	tk_buf_release(buf);
}

void
tk_envelope_text(struct tk_cursor *cur, char *dst, size_t max_bytes)
{
	size_t len;
	const uint8_t *text = tk_cursor_bytes(cur, max_bytes - 1, &len);

	dst[0] = '\0';
	if (!text)
		return;
	if (memchr(text, 0, len)) {
		tk_cursor_fail(cur, "a text with a NUL in it");
		return;
	}
	memcpy(dst, text, len);
	dst[len] = '\0';
}
