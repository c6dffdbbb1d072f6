#include "engine/crypto/sign.h"

#include "engine/base/hex.h"
#include "engine/crypto/ossl.h"

enum tk_rc
tk_sign_generate(enum tk_suite suite, uint8_t secret[TK_SIGN_SECRET_BYTES], struct tk_err *err)
{
	enum tk_rc rc = tk_suite_check(suite, err);

	return rc != TK_OK ? rc : tk_random_bytes(secret, TK_SIGN_SECRET_BYTES, err);
}

static enum tk_rc
load_secret(enum tk_suite suite, const uint8_t *secret, EVP_PKEY **out, struct tk_err *err)
{
	enum tk_rc rc = tk_suite_check(suite, err);

	if (rc != TK_OK)
		return rc;
	*out = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, secret, TK_SIGN_SECRET_BYTES);
	return *out != NULL ? TK_OK : tk_ossl_err(err, TK_EIO, "signing key");
}

enum tk_rc
tk_sign_public(enum tk_suite suite, const uint8_t secret[TK_SIGN_SECRET_BYTES], uint8_t *public_key, struct tk_err *err)
{
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *pkey = NULL;
	enum tk_rc rc = load_secret(suite, secret, &pkey, err);
	size_t len_bytes;

	if (rc != TK_OK)
		return rc;
	len_bytes = tk_suite_info(suite)->sign_public_bytes;
	if (EVP_PKEY_get_raw_public_key(pkey, public_key, &len_bytes) != 1)
		return tk_ossl_err(err, TK_EIO, "public key");
	return TK_OK;
}

enum tk_rc
tk_sign(enum tk_suite suite, const uint8_t secret[TK_SIGN_SECRET_BYTES], const void *msg, size_t len_bytes,
    uint8_t sig[TK_SIGN_SIG_BYTES], struct tk_err *err)
{
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *pkey = NULL;
	TK_AUTO(tk_ossl_mdctx_cleanup) EVP_MD_CTX *ctx = NULL;
	size_t sig_bytes = TK_SIGN_SIG_BYTES;
	enum tk_rc rc = load_secret(suite, secret, &pkey, err);

	if (rc != TK_OK)
		return rc;
	ctx = EVP_MD_CTX_new();
	if (ctx == NULL)
		return tk_ossl_err(err, TK_ENOMEM, "signing context");
	if (EVP_DigestSignInit_ex(ctx, NULL, NULL, NULL, NULL, pkey, NULL) != 1 ||
	    EVP_DigestSign(ctx, sig, &sig_bytes, msg, len_bytes) != 1 || sig_bytes != TK_SIGN_SIG_BYTES)
		return tk_ossl_err(err, TK_EIO, "sign");
	return TK_OK;
}

enum tk_rc
tk_sign_verify(enum tk_suite suite, const void *public_key, size_t public_bytes, const void *msg, size_t len_bytes,
    const void *sig, size_t sig_bytes, struct tk_err *err)
{
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *pkey = NULL;
	TK_AUTO(tk_ossl_mdctx_cleanup) EVP_MD_CTX *ctx = NULL;
	enum tk_rc rc = tk_suite_check(suite, err);

	if (rc != TK_OK)
		return rc;
	if (public_bytes != tk_suite_info(suite)->sign_public_bytes || sig_bytes != TK_SIGN_SIG_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "a signature or its key has the wrong size");
	pkey = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, public_key, public_bytes);
	if (pkey == NULL)
		return tk_ossl_err(err, TK_ECORRUPT, "not a public key");
	ctx = EVP_MD_CTX_new();
	if (ctx == NULL)
		return tk_ossl_err(err, TK_ENOMEM, "signing context");
	if (EVP_DigestVerifyInit_ex(ctx, NULL, NULL, NULL, NULL, pkey, NULL) != 1)
		return tk_ossl_err(err, TK_EIO, "verify");
	if (EVP_DigestVerify(ctx, sig, sig_bytes, msg, len_bytes) != 1)
		return tk_ossl_err(err, TK_ECORRUPT, "wrong signature");
	return TK_OK;
}
