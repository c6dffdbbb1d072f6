#include "engine/crypto/tag.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/params.h>

#include "engine/crypto/ipsecmb.h"
#include "engine/crypto/ossl.h"

#define LEN_MAX ((size_t)1 << 30)

struct tk_tagger {
	EVP_CIPHER *cipher;
	EVP_CIPHER_CTX *ctx;
	struct tk_mb_gmac *fast;              /* NULL: all with OpenSSL */
};

/* By OpenSSL. */
static enum tk_rc
tag_slowly(struct tk_tagger *tagger, const void *data, size_t len_bytes, uint8_t tag[TK_TAG_BYTES], struct tk_err *err)
{
	static const uint8_t nonce[12];
	/* Not by EVP_CIPHER_CTX_ctrl, which looks for what it is asked by name first: that is a tenth of a short block's time. */
	OSSL_PARAM params[] = {OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, TK_TAG_BYTES), OSSL_PARAM_construct_end()};
	uint8_t rest[EVP_MAX_BLOCK_LENGTH];
	int done = 0;

	/* A nonce and no key: the expanded key stays. */
	if (EVP_EncryptInit_ex2(tagger->ctx, NULL, NULL, nonce, NULL) != 1 ||
	    (len_bytes > 0 && EVP_EncryptUpdate(tagger->ctx, NULL, &done, data, (int)len_bytes) != 1) ||
	    EVP_EncryptFinal_ex(tagger->ctx, rest, &done) != 1 ||
	    EVP_CIPHER_CTX_get_params(tagger->ctx, params) != 1)
		return tk_ossl_err(err, TK_EIO, "tag");
	return TK_OK;
}

/* What is not seen to give OpenSSL's tags is not used: facts outlive the library's version, and go with a home to other machines. */
static enum tk_rc
find_fast(struct tk_tagger *tagger, const uint8_t key[TK_TAG_KEY_BYTES], struct tk_err *err)
{
	static const char text[] = "the same tag by either way, of a text that is longer than a few blocks of the cipher";
	uint8_t want[TK_TAG_BYTES], got[TK_TAG_BYTES];
	enum tk_rc rc = tag_slowly(tagger, text, sizeof(text), want, err);

	if (rc || !(tagger->fast = tk_mb_gmac_new(key)))
		return rc;
	tk_mb_gmac(tagger->fast, text, sizeof(text), got);
	if (memcmp(want, got, sizeof(got)) != 0) {
		tk_mb_gmac_free(tagger->fast);
		tagger->fast = NULL;
	}
	return TK_OK;
}

enum tk_rc
tk_tagger_new(const uint8_t key[TK_TAG_KEY_BYTES], struct tk_tagger **out, struct tk_err *err)
{
	TK_AUTO(tk_tagger_cleanup) struct tk_tagger *tagger = calloc(1, sizeof(*tagger));
	enum tk_rc rc;

	if (!tagger)
		return tk_err_set(err, TK_ENOMEM, "no memory for a tagger");
	/* Not the suite's cipher: tags stay on this machine, and the bound rests on GHASH. */
	tagger->cipher = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (!tagger->cipher)
		return tk_ossl_err(err, TK_EUNSUPPORTED, "the OpenSSL provider has no AES-256-GCM");
	tagger->ctx = EVP_CIPHER_CTX_new();
	if (!tagger->ctx)
		return tk_ossl_err(err, TK_ENOMEM, "tagger");
	if (EVP_EncryptInit_ex2(tagger->ctx, tagger->cipher, key, NULL, NULL) != 1)
		return tk_ossl_err(err, TK_EIO, "tagger");
	if ((rc = find_fast(tagger, key, err)))
		return rc;
	*out = tagger;
	tagger = NULL;
	return TK_OK;
}

void
tk_tagger_cleanup(struct tk_tagger **tagger)
{
	if (!*tagger)
		return;
	tk_mb_gmac_free((*tagger)->fast);
	EVP_CIPHER_CTX_free((*tagger)->ctx);
	EVP_CIPHER_free((*tagger)->cipher);
	free(*tagger);
	*tagger = NULL;
}

enum tk_rc
tk_tag(struct tk_tagger *tagger, const void *data, size_t len_bytes, uint8_t tag[TK_TAG_BYTES], struct tk_err *err)
{
	if (len_bytes > LEN_MAX)
		return tk_err_set(err, TK_EINVAL, "%zu bytes are too many for one tag", len_bytes);
	if (!tagger->fast)
		return tag_slowly(tagger, data, len_bytes, tag, err);
	tk_mb_gmac(tagger->fast, data, len_bytes, tag);
	return TK_OK;
}
