/* x509.h -- the small certificate authority of a cluster, and reading certificates made elsewhere.
 *
 * Keys made here are EC P-256, which every TLS 1.3 peer accepts; keys and certificates given in may be of any kind that
 * the provider knows. Everything goes in and out as PEM text; a PEM file may hold several certificates, the first
 * is then the one meant. A key's PEM is a secret: release it with tk_wipe_buf(). Nothing here asks for a passphrase: an encrypted
 * key is refused. Any thread. Errors, unless named: TK_ENOMEM, TK_EIO (the provider failed), TK_ECORRUPT (not PEM of the kind
 * wanted). Output is appended to the buffers. */
#ifndef TK_CRYPTO_X509_H
#define TK_CRYPTO_X509_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/buf.h"
#include "engine/base/err.h"
#include "engine/crypto/suite.h"

#define TK_X509_NAME_MAX 65
#define TK_X509_PIN_BYTES 32
/* A node's certificate names it as DNS:<name>.twinkeep */
#define TK_X509_DNS_SUFFIX ".twinkeep"

struct tk_x509_info {
	char name[TK_X509_NAME_MAX];     /* the subject's common name, else its first DNS name; printable, "" for none */
	uint8_t pin[TK_X509_PIN_BYTES];  /* SHA-256 of the SubjectPublicKeyInfo: stays when a certificate is renewed */
	int64_t not_before_ns;           /* wall clock; the ends of the range for dates beyond it */
	int64_t not_after_ns;
	bool is_ca;
};

/* Makes a private key. */
TK_MUST_CHECK enum tk_rc tk_x509_make_key(struct tk_buf *key_pem, struct tk_err *err);
/* The public key of a private key: what a node sends to be certified. */
TK_MUST_CHECK enum tk_rc tk_x509_public_key(struct tk_bytes key_pem, struct tk_buf *public_pem, struct tk_err *err);

/* What a certificate is to say. It is valid from a day before now_ns (clocks differ) for `years` (1 to 100). */
struct tk_x509_request {
	const char *name;            /* 1 to 48 of letters, digits, '-', '_', '.'; first a letter or digit */
	int64_t now_ns;
	unsigned years;
};

/* A self-signed certificate for a CA that may sign nodes and nothing below them. Errors: also TK_EINVAL (request). */
TK_MUST_CHECK enum tk_rc tk_x509_make_ca(const struct tk_x509_request *request, struct tk_bytes ca_key_pem, struct tk_buf *cert_pem,
    struct tk_err *err);
/* A certificate for a node, as client and server both. Errors: also TK_EINVAL (request), TK_EKEY (the CA's key and certificate
 * do not match). */
TK_MUST_CHECK enum tk_rc tk_x509_issue(const struct tk_x509_request *request, struct tk_bytes public_pem, struct tk_bytes ca_cert_pem,
    struct tk_bytes ca_key_pem, struct tk_buf *cert_pem, struct tk_err *err);

/* TK_OK for a name that a certificate may be issued to. Errors: TK_EINVAL, saying what is wrong. */
TK_MUST_CHECK enum tk_rc tk_x509_check_name(const char *name, struct tk_err *err);

/* Reads the first certificate. */
TK_MUST_CHECK enum tk_rc tk_x509_read(struct tk_bytes cert_pem, struct tk_x509_info *info, struct tk_err *err);
/* TK_OK when the private key belongs to the first certificate. Errors: also TK_EKEY. */
TK_MUST_CHECK enum tk_rc tk_x509_match(struct tk_bytes cert_pem, struct tk_bytes key_pem, struct tk_err *err);

#endif
