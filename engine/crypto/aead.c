#include "engine/crypto/aead.h"

#include <stdlib.h>
#include <string.h>

#include "engine/crypto/hash.h"
#include "engine/crypto/ossl.h"

/* Contexts are made for the direction that is first used: most users only seal or only open. */
struct tk_aead {
	const struct tk_suite_info *info;
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *seal;
	EVP_CIPHER_CTX *open;
	uint8_t key[TK_AEAD_KEY_MAX];
};

enum tk_rc
tk_aead_new(enum tk_suite suite, const void *key, size_t key_bytes, struct tk_aead **out, struct tk_err *err)
{
	TK_AUTO(tk_aead_cleanup) struct tk_aead *aead = calloc(1, sizeof(*aead));
	enum tk_rc rc;

	if (aead == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for a cipher context");
	rc = tk_ossl_fetch_aead(suite, &aead->cipher, err);
	if (rc != TK_OK)
		return rc;
	aead->info = tk_suite_info(suite);
	rc = tk_aead_rekey(aead, key, key_bytes, err);
	if (rc != TK_OK)
		return rc;
	*out = aead;
	aead = NULL;
	return TK_OK;
}

void
tk_aead_free(struct tk_aead *aead)
{
	if (aead == NULL)
		return;
	EVP_CIPHER_CTX_free(aead->seal);
	EVP_CIPHER_CTX_free(aead->open);
	EVP_CIPHER_free(aead->cipher);
	tk_wipe(aead, sizeof(*aead));
	free(aead);
}

void
tk_aead_cleanup(struct tk_aead **aead)
{
	tk_aead_free(*aead);
	*aead = NULL;
}

size_t
tk_aead_tag_bytes(const struct tk_aead *aead)
{
	return aead->info->aead_tag_bytes;
}

static enum tk_rc
set_key(struct tk_aead *aead, EVP_CIPHER_CTX *ctx, int sealing, struct tk_err *err)
{
	if (EVP_CipherInit_ex2(ctx, aead->cipher, aead->key, NULL, sealing, NULL) != 1)
		return tk_ossl_err(err, TK_EIO, "cipher key");
	return TK_OK;
}

enum tk_rc
tk_aead_rekey(struct tk_aead *aead, const void *key, size_t key_bytes, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	if (key_bytes != aead->info->aead_key_bytes)
		return tk_err_set(err, TK_EINVAL, "a key of suite %s has %zu bytes, not %zu", aead->info->name,
		    aead->info->aead_key_bytes, key_bytes);
	memcpy(aead->key, key, key_bytes);
	if (aead->seal != NULL)
		rc = set_key(aead, aead->seal, 1, err);
	if (rc == TK_OK && aead->open != NULL)
		rc = set_key(aead, aead->open, 0, err);
	return rc;
}

/* Readies the context of one direction for a message: nonce and associated data. */
static enum tk_rc
start(struct tk_aead *aead, EVP_CIPHER_CTX **ctx, int sealing, const uint8_t *nonce, const struct tk_bytes *aad,
    size_t aad_count, struct tk_err *err)
{
	size_t aad_bytes = 0;
	int done;

	if (*ctx == NULL) {
		enum tk_rc rc;

		*ctx = EVP_CIPHER_CTX_new();
		if (*ctx == NULL)
			return tk_ossl_err(err, TK_ENOMEM, "cipher context");
		rc = set_key(aead, *ctx, sealing, err);
		if (rc != TK_OK) {
			EVP_CIPHER_CTX_free(*ctx);
			*ctx = NULL;
			return rc;
		}
	}
	/* A new nonce and no key: the expanded key stays. */
	if (EVP_CipherInit_ex2(*ctx, NULL, NULL, nonce, sealing, NULL) != 1)
		return tk_ossl_err(err, TK_EIO, "cipher nonce");
	for (size_t i = 0; i < aad_count; i++) {
		if (aad[i].len_bytes > TK_AEAD_LEN_MAX - aad_bytes)
			return tk_err_set(err, TK_EINVAL, "more than %zu bytes of associated data", TK_AEAD_LEN_MAX);
		aad_bytes += aad[i].len_bytes;
		if (aad[i].len_bytes > 0 &&
		    EVP_CipherUpdate(*ctx, NULL, &done, aad[i].data, (int)aad[i].len_bytes) != 1)
			return tk_ossl_err(err, TK_EIO, "associated data");
	}
	return TK_OK;
}

enum tk_rc
tk_aead_seal(struct tk_aead *aead, const uint8_t nonce[TK_NONCE_BYTES], const struct tk_bytes *aad, size_t aad_count,
    const void *plain, size_t len_bytes, void *out, struct tk_err *err)
{
	uint8_t *cipher = out;
	uint8_t *tag = cipher + len_bytes;
	int done = 0;
	enum tk_rc rc;

	if (len_bytes > TK_AEAD_LEN_MAX)
		return tk_err_set(err, TK_EINVAL, "%zu bytes are too many to seal at once", len_bytes);
	rc = start(aead, &aead->seal, 1, nonce, aad, aad_count, err);
	if (rc != TK_OK)
		return rc;
	if (len_bytes > 0 &&
	    (EVP_CipherUpdate(aead->seal, cipher, &done, plain, (int)len_bytes) != 1 || (size_t)done != len_bytes))
		return tk_ossl_err(err, TK_EIO, "seal");
	if (EVP_CipherFinal_ex(aead->seal, tag, &done) != 1 || done != 0 ||
	    EVP_CIPHER_CTX_ctrl(aead->seal, EVP_CTRL_AEAD_GET_TAG, (int)aead->info->aead_tag_bytes, tag) != 1)
		return tk_ossl_err(err, TK_EIO, "seal");
	return TK_OK;
}

enum tk_rc
tk_aead_open(struct tk_aead *aead, const uint8_t nonce[TK_NONCE_BYTES], const struct tk_bytes *aad, size_t aad_count,
    const void *sealed, size_t sealed_bytes, void *out, struct tk_err *err)
{
	const size_t tag_bytes = aead->info->aead_tag_bytes;
	uint8_t tag[TK_AEAD_TAG_MAX];
	uint8_t rest[EVP_MAX_BLOCK_LENGTH];
	size_t len_bytes;
	int done = 0;
	enum tk_rc rc;

	if (sealed_bytes < tag_bytes)
		return tk_err_set(err, TK_ECORRUPT, "sealed bytes are shorter than their tag");
	len_bytes = sealed_bytes - tag_bytes;
	if (len_bytes > TK_AEAD_LEN_MAX)
		return tk_err_set(err, TK_EINVAL, "%zu bytes are too many to open at once", len_bytes);
	memcpy(tag, (const uint8_t *)sealed + len_bytes, tag_bytes);
	rc = start(aead, &aead->open, 0, nonce, aad, aad_count, err);
	if (rc == TK_OK && EVP_CIPHER_CTX_ctrl(aead->open, EVP_CTRL_AEAD_SET_TAG, (int)tag_bytes, tag) != 1)
		rc = tk_ossl_err(err, TK_EIO, "open");
	if (rc == TK_OK && len_bytes > 0 &&
	    (EVP_CipherUpdate(aead->open, out, &done, sealed, (int)len_bytes) != 1 || (size_t)done != len_bytes))
		rc = tk_ossl_err(err, TK_EIO, "open");
	if (rc == TK_OK && EVP_CipherFinal_ex(aead->open, rest, &done) != 1)
		rc = tk_ossl_err(err, TK_ECORRUPT, "authentication failed: damaged bytes or a wrong key");
	if (rc != TK_OK)
		tk_wipe(out, len_bytes);
	return rc;
}
