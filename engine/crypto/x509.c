#include "engine/crypto/x509.h"

#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "engine/crypto/hash.h"
#include "engine/crypto/x509_priv.h"

#define NS_PER_S INT64_C(1000000000)

/* OpenSSL's own callback would ask on the terminal. */
static int
no_passphrase(char *dst, int cap, int writing, void *arg)
{
	(void)dst;
	(void)cap;
	(void)writing;
	(void)arg;
	return -1;
}

static enum tk_rc
open_pem(struct tk_bytes pem, BIO **out, struct tk_err *err)
{
	if (pem.len_bytes == 0 || pem.len_bytes > TK_PEM_MAX_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "a PEM text of %zu bytes", pem.len_bytes);
	*out = BIO_new_mem_buf(pem.data, (int)pem.len_bytes);
	return *out != NULL ? TK_OK : tk_ossl_err(err, TK_ENOMEM, "PEM text");
}

enum tk_rc
tk_x509_load_certs(struct tk_bytes pem, STACK_OF(X509) **out, struct tk_err *err)
{
	TK_AUTO(tk_x509_certs_cleanup) STACK_OF(X509) *certs = sk_X509_new_null();
	TK_AUTO(tk_ossl_bio_cleanup) BIO *bio = NULL;
	enum tk_rc rc = open_pem(pem, &bio, err);
	X509 *cert;

	if (rc != TK_OK)
		return rc;
	if (certs == NULL)
		return tk_ossl_err(err, TK_ENOMEM, "certificates");
	/* For SM2 on OpenSSL before 4, X509_set0_distinguishing_id belongs here, on every certificate. */
	while ((cert = PEM_read_bio_X509(bio, NULL, no_passphrase, NULL)) != NULL) {
		if (sk_X509_push(certs, cert) == 0) {
			X509_free(cert);
			return tk_ossl_err(err, TK_ENOMEM, "certificates");
		}
	}
	/* "No start line" is how the end of the file looks; after at least one certificate it is no fault. */
	if (sk_X509_num(certs) == 0 || ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return tk_ossl_err(err, TK_ECORRUPT, "not a certificate in PEM form");
	ERR_clear_error();
	*out = certs;
	certs = NULL;
	return TK_OK;
}

enum tk_rc
tk_x509_load_key(struct tk_bytes pem, EVP_PKEY **out, struct tk_err *err)
{
	TK_AUTO(tk_ossl_bio_cleanup) BIO *bio = NULL;
	enum tk_rc rc = open_pem(pem, &bio, err);

	if (rc != TK_OK)
		return rc;
	*out = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	if (*out == NULL)
		return tk_ossl_err(err, TK_ECORRUPT, "not an unencrypted private key in PEM form");
	/* Decoders that were tried before the right one leave entries behind. */
	ERR_clear_error();
	return TK_OK;
}

void
tk_x509_certs_cleanup(STACK_OF(X509) **certs)
{
	sk_X509_pop_free(*certs, X509_free);
	*certs = NULL;
}

static int64_t
time_ns(const ASN1_TIME *when)
{
	struct tm tm = {0};
	time_t seconds;

	if (ASN1_TIME_to_tm(when, &tm) != 1)
		return 0;
	seconds = timegm(&tm);
	if (seconds > INT64_MAX / NS_PER_S)
		return INT64_MAX;
	if (seconds < INT64_MIN / NS_PER_S)
		return INT64_MIN;
	return (int64_t)seconds * NS_PER_S;
}

/* Names go into logs and messages: only printable ASCII is kept. */
static void
copy_name(const ASN1_STRING *from, char dst[TK_X509_NAME_MAX])
{
	unsigned char *text = NULL;
	int len = ASN1_STRING_to_UTF8(&text, from);

	dst[0] = '\0';
	if (len > 0 && len < TK_X509_NAME_MAX) {
		for (int i = 0; i < len; i++)
			dst[i] = (char)(text[i] > ' ' && text[i] < 0x7f ? text[i] : '?');
		dst[len] = '\0';
	}
	OPENSSL_free(text);
}

static void
read_name(X509 *cert, char dst[TK_X509_NAME_MAX])
{
	X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
	GENERAL_NAMES *alts;

	dst[0] = '\0';
	if (at >= 0)
		copy_name(X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)), dst);
	if (dst[0] != '\0')
		return;
	alts = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	for (int i = 0; alts != NULL && i < sk_GENERAL_NAME_num(alts) && dst[0] == '\0'; i++) {
		const GENERAL_NAME *alt = sk_GENERAL_NAME_value(alts, i);

		if (alt->type == GEN_DNS)
			copy_name(alt->d.dNSName, dst);
	}
	GENERAL_NAMES_free(alts);
}

enum tk_rc
tk_x509_describe(X509 *cert, struct tk_x509_info *info, struct tk_err *err)
{
	unsigned char *spki = NULL;
	int len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
	enum tk_rc rc;

	if (len <= 0)
		return tk_ossl_err(err, TK_ECORRUPT, "public key of a certificate");
	rc = tk_hash(TK_SUITE_AES, spki, (size_t)len, info->pin, err);
	OPENSSL_free(spki);
	if (rc != TK_OK)
		return rc;
	read_name(cert, info->name);
	info->not_before_ns = time_ns(X509_get0_notBefore(cert));
	info->not_after_ns = time_ns(X509_get0_notAfter(cert));
	info->is_ca = X509_check_ca(cert) > 0;
	ERR_clear_error();
	return TK_OK;
}

enum tk_rc
tk_x509_read(struct tk_bytes cert_pem, struct tk_x509_info *info, struct tk_err *err)
{
	TK_AUTO(tk_x509_certs_cleanup) STACK_OF(X509) *certs = NULL;
	enum tk_rc rc = tk_x509_load_certs(cert_pem, &certs, err);

	return rc != TK_OK ? rc : tk_x509_describe(sk_X509_value(certs, 0), info, err);
}

enum tk_rc
tk_x509_match(struct tk_bytes cert_pem, struct tk_bytes key_pem, struct tk_err *err)
{
	TK_AUTO(tk_x509_certs_cleanup) STACK_OF(X509) *certs = NULL;
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *key = NULL;
	enum tk_rc rc = tk_x509_load_certs(cert_pem, &certs, err);

	if (rc == TK_OK)
		rc = tk_x509_load_key(key_pem, &key, err);
	if (rc != TK_OK)
		return rc;
	if (X509_check_private_key(sk_X509_value(certs, 0), key) != 1)
		return tk_ossl_err(err, TK_EKEY, "the private key does not belong to the certificate");
	return TK_OK;
}
