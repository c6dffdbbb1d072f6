/* tls_priv.h -- private to engine/crypto: the inside of a TLS context, and the socket below a connection. */
#ifndef TK_CRYPTO_TLS_PRIV_H
#define TK_CRYPTO_TLS_PRIV_H

#include <stdatomic.h>

#include "engine/crypto/ossl.h"
#include "engine/crypto/tls_ctx.h"

/* A server's further identity: a whole context, since OpenSSL takes trust from it too once it was chosen. */
struct tk_tls_named {
	char *server_name;
	SSL_CTX *ssl_ctx;
};

struct tk_tls_ctx {
	atomic_uint refs;
	SSL_CTX *ssl_ctx;
	BIO_METHOD *socket_method; /* outlives every connection: each holds a reference to this context */
	enum tk_tls_role role;
	bool anonymous;
	uint64_t rekey_after_bytes;
	struct tk_tls_named *named;
	size_t named_count;
	char *server_name;         /* a client's; NULL: none */
};

/* The socket as the BIO sees it; what went wrong last is kept for the error text. */
struct tk_tls_socket {
	int fd;
	int sys_errno;
	bool eof;
};

/* A BIO over *sock (borrowed: must outlive the BIO) that never raises SIGPIPE. NULL when memory ran out. */
BIO *tk_tls_socket_bio(const struct tk_tls_ctx *ctx, struct tk_tls_socket *sock);
/* On success the caller frees it with BIO_meth_free. NULL when memory ran out. */
BIO_METHOD *tk_tls_socket_method(void);

#endif
