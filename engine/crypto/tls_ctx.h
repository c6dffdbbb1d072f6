/* tls_ctx.h -- what many TLS connections share: trust anchors, own certificate and key, policy.
 *
 * TLS 1.3 (RFC 8446) only; session tickets and early data are off, so that every connection proves the keys anew. A context
 * never changes: to reload certificates make a new one and drop the old, which lives until its last connection ends.
 * Contexts may be shared by any number of threads. */
#ifndef TK_CRYPTO_TLS_CTX_H
#define TK_CRYPTO_TLS_CTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/crypto/suite.h"

struct tk_tls_ctx;

/* The one application protocol (RFC 7301) that both ends must name, else there is no connection. */
#define TK_TLS_ALPN "twinkeep/1"

enum tk_tls_role {
	TK_TLS_CLIENT,
	TK_TLS_SERVER,
};

/* What a server shows to clients who ask for this name (RFC 6066, 3): a site is certified by each of its sources' CAs. */
struct tk_tls_identity {
	const char *server_name;
	struct tk_bytes cert_pem;
	struct tk_bytes key_pem;
};

/* All PEM is borrowed during the call only. */
struct tk_tls_config {
	enum tk_tls_role role;
	struct tk_bytes ca_pem;      /* one or more certificates; each is trusted as it stands, intermediates too */
	struct tk_bytes cert_pem;    /* own certificate first, then what else is to be sent of its chain */
	struct tk_bytes key_pem;
	const struct tk_tls_identity *identities; /* server: further ones; cert_pem above is for whoever asks for none of them */
	size_t identity_count;
	const char *server_name;     /* client: the name to ask the server for; NULL: none. It is not what the certificate is checked against. */
	bool peer_cert_optional;     /* server: let clients without a certificate in; what they may do is for the caller to limit */
	bool anonymous;              /* client: no own certificate (all PEM empty), and the server's is not verified; for a machine that has nothing
	                              * yet. The caller checks the server's pin as soon as it knows it. */
	uint64_t rekey_after_bytes;  /* change the sending key after so many bytes; 0: 32 GiB, well inside AES-GCM's limit (RFC 8446, 5.5) */
};

/* On TK_OK the caller owns one reference in *out. Errors: TK_EINVAL (config contradicts itself), TK_ECORRUPT (PEM),
 * TK_EKEY (key and certificate do not match), TK_ENOMEM, TK_EIO (the provider failed). */
TK_MUST_CHECK enum tk_rc tk_tls_ctx_new(const struct tk_tls_config *config, struct tk_tls_ctx **out, struct tk_err *err);
/* One reference more; returns ctx. */
struct tk_tls_ctx *tk_tls_ctx_ref(struct tk_tls_ctx *ctx);
/* Drops one reference; frees with the last. NULL is allowed. */
void tk_tls_ctx_free(struct tk_tls_ctx *ctx);
void tk_tls_ctx_cleanup(struct tk_tls_ctx **ctx);

#endif
