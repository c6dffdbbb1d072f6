#include <stdio.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "engine/base/hex.h"
#include "engine/crypto/x509_priv.h"

#define NS_PER_S INT64_C(1000000000)
#define NAME_LEN_MAX 48
#define SERIAL_BYTES 16

enum tk_rc
tk_x509_check_name(const char *name, struct tk_err *err)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	static const char later[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";

	if (name == NULL || strspn(name, first) == 0)
		return tk_err_set(err, TK_EINVAL, "the name of a node starts with a letter or a digit");
	if (strlen(name) > NAME_LEN_MAX)
		return tk_err_set(err, TK_EINVAL, "the name of a node has at most %d characters", NAME_LEN_MAX);
	if (name[strspn(name, later)] != '\0')
		return tk_err_set(err, TK_EINVAL, "the name of a node has letters, digits, '-', '_' and '.' only");
	return TK_OK;
}

/* Appends what was written to a memory BIO. */
static enum tk_rc
append_bio(BIO *bio, struct tk_buf *dst, struct tk_err *err)
{
	char *text = NULL;
	long len = BIO_get_mem_data(bio, &text);

	return len > 0 ? tk_buf_put(dst, text, (size_t)len, err) : tk_ossl_err(err, TK_EIO, "PEM text");
}

enum tk_rc
tk_x509_make_key(struct tk_buf *key_pem, struct tk_err *err)
{
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	TK_AUTO(tk_ossl_bio_cleanup) BIO *bio = BIO_new(BIO_s_mem());

	if (key == NULL || bio == NULL || PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL) != 1)
		return tk_ossl_err(err, TK_EIO, "make a P-256 key");
	return append_bio(bio, key_pem, err);
}

enum tk_rc
tk_x509_public_key(struct tk_bytes key_pem, struct tk_buf *public_pem, struct tk_err *err)
{
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *key = NULL;
	TK_AUTO(tk_ossl_bio_cleanup) BIO *bio = NULL;
	enum tk_rc rc = tk_x509_load_key(key_pem, &key, err);

	if (rc != TK_OK)
		return rc;
	bio = BIO_new(BIO_s_mem());
	if (bio == NULL || PEM_write_bio_PUBKEY(bio, key) != 1)
		return tk_ossl_err(err, TK_EIO, "public key");
	return append_bio(bio, public_pem, err);
}

static enum tk_rc
load_public(struct tk_bytes pem, EVP_PKEY **out, struct tk_err *err)
{
	TK_AUTO(tk_ossl_bio_cleanup) BIO *bio = NULL;

	if (pem.len_bytes == 0 || pem.len_bytes > TK_PEM_MAX_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "a PEM text of %zu bytes", pem.len_bytes);
	bio = BIO_new_mem_buf(pem.data, (int)pem.len_bytes);
	*out = bio != NULL ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
	return *out != NULL ? TK_OK : tk_ossl_err(err, TK_ECORRUPT, "not a public key in PEM form");
}

static enum tk_rc
set_serial(X509 *cert, struct tk_err *err)
{
	uint8_t serial[SERIAL_BYTES];
	BIGNUM *number;
	bool done;
	enum tk_rc rc = tk_random_bytes(serial, sizeof(serial), err);

	if (rc != TK_OK)
		return rc;
	/* Positive and never zero (RFC 5280, 4.1.2.2). */
	serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40);
	number = BN_bin2bn(serial, sizeof(serial), NULL);
	done = number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL;
	BN_free(number);
	return done ? TK_OK : tk_ossl_err(err, TK_ENOMEM, "serial number");
}

static enum tk_rc
set_validity(X509 *cert, const struct tk_x509_request *request, struct tk_err *err)
{
	time_t now = (time_t)(request->now_ns / NS_PER_S);
	int days = (int)(request->years * 1461 / 4);

	if (request->years < 1 || request->years > 100)
		return tk_err_set(err, TK_EINVAL, "a certificate is valid for 1 to 100 years, not %u", request->years);
	if (X509_time_adj_ex(X509_getm_notBefore(cert), -1, 0, &now) == NULL ||
	    X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, &now) == NULL)
		return tk_ossl_err(err, TK_EINVAL, "dates of a certificate");
	return TK_OK;
}

static enum tk_rc
add_extension(X509 *cert, X509 *issuer, int nid, const char *value, struct tk_err *err)
{
	X509_EXTENSION *ext;
	X509V3_CTX ctx;
	bool done;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	X509V3_set_ctx_nodb(&ctx);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	done = ext != NULL && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return done ? TK_OK : tk_ossl_err(err, TK_EIO, "certificate extension %s", OBJ_nid2sn(nid));
}

/* What CA and node certificates have in common: version 3, serial, dates, subject, key. */
static enum tk_rc
new_cert(const struct tk_x509_request *request, EVP_PKEY *key, X509 **out, struct tk_err *err)
{
	TK_AUTO(tk_ossl_x509_cleanup) X509 *cert = NULL;
	X509_NAME *subject;
	enum tk_rc rc = tk_x509_check_name(request->name, err);

	if (rc != TK_OK)
		return rc;
	cert = X509_new();
	if (cert == NULL || X509_set_version(cert, X509_VERSION_3) != 1 || X509_set_pubkey(cert, key) != 1)
		return tk_ossl_err(err, TK_EIO, "new certificate");
	rc = set_serial(cert, err);
	if (rc == TK_OK)
		rc = set_validity(cert, request, err);
	if (rc != TK_OK)
		return rc;
	subject = X509_get_subject_name(cert);
	if (X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_ASC, (const unsigned char *)"twinkeep", -1, -1, 0) != 1 ||
	    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)request->name, -1, -1, 0) != 1)
		return tk_ossl_err(err, TK_EIO, "subject of a certificate");
	*out = cert;
	cert = NULL;
	return TK_OK;
}

static enum tk_rc
sign_and_append(X509 *cert, EVP_PKEY *ca_key, struct tk_buf *cert_pem, struct tk_err *err)
{
	TK_AUTO(tk_ossl_bio_cleanup) BIO *bio = BIO_new(BIO_s_mem());
	/* Keys with a hash of their own (Ed25519) want none named here. */
	const EVP_MD *md = EVP_PKEY_is_a(ca_key, "ED25519") || EVP_PKEY_is_a(ca_key, "ED448") ? NULL : EVP_sha256();

	if (bio == NULL || X509_sign(cert, ca_key, md) <= 0 || PEM_write_bio_X509(bio, cert) != 1)
		return tk_ossl_err(err, TK_EIO, "sign a certificate");
	return append_bio(bio, cert_pem, err);
}

enum tk_rc
tk_x509_make_ca(const struct tk_x509_request *request, struct tk_bytes ca_key_pem, struct tk_buf *cert_pem, struct tk_err *err)
{
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *key = NULL;
	TK_AUTO(tk_ossl_x509_cleanup) X509 *cert = NULL;
	enum tk_rc rc = tk_x509_load_key(ca_key_pem, &key, err);

	if (rc == TK_OK)
		rc = new_cert(request, key, &cert, err);
	if (rc == TK_OK && X509_set_issuer_name(cert, X509_get_subject_name(cert)) != 1)
		rc = tk_ossl_err(err, TK_EIO, "issuer of a certificate");
	if (rc == TK_OK)
		rc = add_extension(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0", err);
	if (rc == TK_OK)
		rc = add_extension(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign", err);
	if (rc == TK_OK)
		rc = add_extension(cert, cert, NID_subject_key_identifier, "hash", err);
	return rc != TK_OK ? rc : sign_and_append(cert, key, cert_pem, err);
}

static enum tk_rc
add_node_extensions(X509 *cert, X509 *ca, const char *name, struct tk_err *err)
{
	char san[sizeof("DNS:") + NAME_LEN_MAX + sizeof(TK_X509_DNS_SUFFIX)];
	enum tk_rc rc;

	(void)snprintf(san, sizeof(san), "DNS:%s%s", name, TK_X509_DNS_SUFFIX);
	rc = add_extension(cert, ca, NID_basic_constraints, "critical,CA:FALSE", err);
	if (rc == TK_OK)
		rc = add_extension(cert, ca, NID_key_usage, "critical,digitalSignature", err);
	if (rc == TK_OK)
		rc = add_extension(cert, ca, NID_ext_key_usage, "serverAuth,clientAuth", err);
	if (rc == TK_OK)
		rc = add_extension(cert, ca, NID_subject_alt_name, san, err);
	if (rc == TK_OK)
		rc = add_extension(cert, ca, NID_subject_key_identifier, "hash", err);
	if (rc == TK_OK && X509_get0_subject_key_id(ca) != NULL)
		rc = add_extension(cert, ca, NID_authority_key_identifier, "keyid:always", err);
	return rc;
}

enum tk_rc
tk_x509_issue(const struct tk_x509_request *request, struct tk_bytes public_pem, struct tk_bytes ca_cert_pem,
    struct tk_bytes ca_key_pem, struct tk_buf *cert_pem, struct tk_err *err)
{
	TK_AUTO(tk_x509_certs_cleanup) STACK_OF(X509) *ca_certs = NULL;
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *ca_key = NULL;
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *node_key = NULL;
	TK_AUTO(tk_ossl_x509_cleanup) X509 *cert = NULL;
	X509 *ca;
	enum tk_rc rc = tk_x509_load_certs(ca_cert_pem, &ca_certs, err);

	if (rc == TK_OK)
		rc = tk_x509_load_key(ca_key_pem, &ca_key, err);
	if (rc == TK_OK)
		rc = load_public(public_pem, &node_key, err);
	if (rc == TK_OK)
		rc = new_cert(request, node_key, &cert, err);
	if (rc != TK_OK)
		return rc;
	ca = sk_X509_value(ca_certs, 0);
	if (X509_check_private_key(ca, ca_key) != 1)
		return tk_ossl_err(err, TK_EKEY, "the CA's private key does not belong to its certificate");
	if (X509_set_issuer_name(cert, X509_get_subject_name(ca)) != 1)
		return tk_ossl_err(err, TK_EIO, "issuer of a certificate");
	rc = add_node_extensions(cert, ca, request->name, err);
	return rc != TK_OK ? rc : sign_and_append(cert, ca_key, cert_pem, err);
}
