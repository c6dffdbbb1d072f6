#include "engine/crypto/tls_ctx.h"

#include <stdlib.h>

#include "engine/crypto/tls_priv.h"
#include "engine/crypto/x509_priv.h"

#define REKEY_AFTER_BYTES ((uint64_t)32 << 30)
/* Four records a read(2). */
#define READ_AHEAD_BYTES 68000

static enum tk_rc
check_config(const struct tk_tls_config *config, struct tk_err *err)
{
	const bool empty = config->ca_pem.len_bytes == 0 && config->cert_pem.len_bytes == 0 && config->key_pem.len_bytes == 0;
	const bool whole = config->ca_pem.len_bytes > 0 && config->cert_pem.len_bytes > 0 && config->key_pem.len_bytes > 0;

	if (config->anonymous ? config->role != TK_TLS_CLIENT || !empty : !whole)
		return tk_err_set(err, TK_EINVAL, "TLS wants CA, certificate and key, or an anonymous client with none");
	if (config->peer_cert_optional && config->role != TK_TLS_SERVER)
		return tk_err_set(err, TK_EINVAL, "only a server may do without the peer's certificate");
	return TK_OK;
}

static enum tk_rc
set_protocol(SSL_CTX *ssl_ctx, struct tk_err *err)
{
	if (SSL_CTX_set_min_proto_version(ssl_ctx, TLS1_3_VERSION) != 1 ||
	    SSL_CTX_set_max_proto_version(ssl_ctx, TLS1_3_VERSION) != 1 || SSL_CTX_set_num_tickets(ssl_ctx, 0) != 1 ||
	    SSL_CTX_set_max_early_data(ssl_ctx, 0) != 1)
		return tk_ossl_err(err, TK_EIO, "TLS 1.3");
	SSL_CTX_set_options(ssl_ctx, SSL_OP_NO_TICKET);
	SSL_CTX_set_session_cache_mode(ssl_ctx, SSL_SESS_CACHE_OFF);
	/* A writer that was told to wait comes back with the same bytes, at whatever address. */
	SSL_CTX_set_mode(ssl_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	SSL_CTX_set_read_ahead(ssl_ctx, 1);
	SSL_CTX_set_default_read_buffer_len(ssl_ctx, READ_AHEAD_BYTES);
	return TK_OK;
}

static enum tk_rc
set_trust(SSL_CTX *ssl_ctx, const struct tk_tls_config *config, struct tk_err *err)
{
	TK_AUTO(tk_x509_certs_cleanup) STACK_OF(X509) *certs = NULL;
	X509_STORE *store = SSL_CTX_get_cert_store(ssl_ctx);
	enum tk_rc rc = tk_x509_load_certs(config->ca_pem, &certs, err);

	if (rc != TK_OK)
		return tk_err_context(err, rc, "CA");
	for (int i = 0; i < sk_X509_num(certs); i++)
		if (X509_STORE_add_cert(store, sk_X509_value(certs, i)) != 1)
			return tk_ossl_err(err, TK_EIO, "CA certificate");
	/* Dates are looked at after the handshake: a date that has passed must alarm, never keep a restore out. */
	if (X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN | X509_V_FLAG_NO_CHECK_TIME) != 1)
		return tk_ossl_err(err, TK_EIO, "CA certificate");
	/* For SM2 on OpenSSL before 4, the peer's chain gets its distinguishing id in a callback set here with
	 * SSL_CTX_set_cert_verify_callback. */
	SSL_CTX_set_verify(ssl_ctx, config->peer_cert_optional ? SSL_VERIFY_PEER :
	    SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return TK_OK;
}

static enum tk_rc
set_identity(SSL_CTX *ssl_ctx, const struct tk_tls_config *config, struct tk_err *err)
{
	TK_AUTO(tk_x509_certs_cleanup) STACK_OF(X509) *certs = NULL;
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *key = NULL;
	enum tk_rc rc = tk_x509_load_certs(config->cert_pem, &certs, err);

	if (rc != TK_OK)
		return tk_err_context(err, rc, "own certificate");
	rc = tk_x509_load_key(config->key_pem, &key, err);
	if (rc != TK_OK)
		return tk_err_context(err, rc, "own key");
	if (X509_check_private_key(sk_X509_value(certs, 0), key) != 1)
		return tk_ossl_err(err, TK_EKEY, "the private key does not belong to the certificate");
	if (SSL_CTX_use_certificate(ssl_ctx, sk_X509_value(certs, 0)) != 1 || SSL_CTX_use_PrivateKey(ssl_ctx, key) != 1)
		return tk_ossl_err(err, TK_EIO, "own certificate");
	for (int i = 1; i < sk_X509_num(certs); i++)
		if (SSL_CTX_add1_chain_cert(ssl_ctx, sk_X509_value(certs, i)) != 1)
			return tk_ossl_err(err, TK_EIO, "chain of the own certificate");
	return TK_OK;
}

enum tk_rc
tk_tls_ctx_new(const struct tk_tls_config *config, struct tk_tls_ctx **out, struct tk_err *err)
{
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *ctx = NULL;
	enum tk_rc rc = check_config(config, err);

	if (rc != TK_OK)
		return rc;
	ctx = calloc(1, sizeof(*ctx));
	if (ctx == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for a TLS context");
	atomic_init(&ctx->refs, 1);
	ctx->role = config->role;
	ctx->anonymous = config->anonymous;
	ctx->rekey_after_bytes = config->rekey_after_bytes > 0 ? config->rekey_after_bytes : REKEY_AFTER_BYTES;
	ctx->socket_method = tk_tls_socket_method();
	ctx->ssl_ctx = SSL_CTX_new(config->role == TK_TLS_SERVER ? TLS_server_method() : TLS_client_method());
	if (ctx->socket_method == NULL || ctx->ssl_ctx == NULL)
		return tk_ossl_err(err, TK_ENOMEM, "TLS context");
	rc = set_protocol(ctx->ssl_ctx, err);
	if (rc == TK_OK && config->anonymous)
		SSL_CTX_set_verify(ctx->ssl_ctx, SSL_VERIFY_NONE, NULL);
	if (rc == TK_OK && !config->anonymous)
		rc = set_trust(ctx->ssl_ctx, config, err);
	if (rc == TK_OK && !config->anonymous)
		rc = set_identity(ctx->ssl_ctx, config, err);
	if (rc != TK_OK)
		return rc;
	*out = ctx;
	ctx = NULL;
	return TK_OK;
}

struct tk_tls_ctx *
tk_tls_ctx_ref(struct tk_tls_ctx *ctx)
{
	atomic_fetch_add(&ctx->refs, 1);
	return ctx;
}

void
tk_tls_ctx_free(struct tk_tls_ctx *ctx)
{
	if (ctx == NULL || atomic_fetch_sub(&ctx->refs, 1) != 1)
		return;
	SSL_CTX_free(ctx->ssl_ctx);
	BIO_meth_free(ctx->socket_method);
	free(ctx);
}

void
tk_tls_ctx_cleanup(struct tk_tls_ctx **ctx)
{
	tk_tls_ctx_free(*ctx);
	*ctx = NULL;
}
