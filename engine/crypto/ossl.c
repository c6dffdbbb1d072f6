#include "engine/crypto/ossl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>

enum tk_rc
tk_ossl_err(struct tk_err *err, enum tk_rc rc, const char *fmt, ...)
{
	char text[512];
	char extra[160] = "";
	const char *data = NULL;
	const char *reason;
	unsigned long code;
	int flags = 0;
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);

	code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags);
	if (code == 0)
		return tk_err_set(err, rc, "%s", text);
	if (data != NULL && (flags & ERR_TXT_STRING) != 0 && data[0] != '\0')
		(void)snprintf(extra, sizeof(extra), " (%s)", data);
	reason = ERR_reason_error_string(code);
	if (ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE)
		rc = TK_ENOMEM;
	rc = tk_err_set(err, rc, "%s: %s%s", text, reason != NULL ? reason : "unknown fault in OpenSSL", extra);
	ERR_clear_error();
	return rc;
}

enum tk_rc
tk_ossl_fetch_hash(enum tk_suite suite, EVP_MD **out, struct tk_err *err)
{
	enum tk_rc rc = tk_suite_check(suite, err);

	if (rc != TK_OK)
		return rc;
	*out = EVP_MD_fetch(NULL, "SHA256", NULL);
	if (*out == NULL)
		return tk_ossl_err(err, TK_EUNSUPPORTED, "the OpenSSL provider has no SHA-256");
	return TK_OK;
}

enum tk_rc
tk_ossl_fetch_aead(enum tk_suite suite, EVP_CIPHER **out, struct tk_err *err)
{
	const char *name = suite == TK_SUITE_CHACHA ? "ChaCha20-Poly1305" : "AES-256-GCM";
	enum tk_rc rc = tk_suite_check(suite, err);

	if (rc != TK_OK)
		return rc;
	*out = EVP_CIPHER_fetch(NULL, name, NULL);
	if (*out == NULL)
		return tk_ossl_err(err, TK_EUNSUPPORTED, "the OpenSSL provider has no %s", name);
	return TK_OK;
}

void
tk_ossl_pkey_cleanup(EVP_PKEY **pkey)
{
	EVP_PKEY_free(*pkey);
	*pkey = NULL;
}

void
tk_ossl_mdctx_cleanup(EVP_MD_CTX **ctx)
{
	EVP_MD_CTX_free(*ctx);
	*ctx = NULL;
}

void
tk_ossl_x509_cleanup(X509 **cert)
{
	X509_free(*cert);
	*cert = NULL;
}

void
tk_ossl_bio_cleanup(BIO **bio)
{
	BIO_free_all(*bio);
	*bio = NULL;
}
