#include "engine/crypto/tls_ctx.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

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
	if (config->role == TK_TLS_SERVER ? config->server_name != NULL : config->identity_count > 0)
		return tk_err_set(err, TK_EINVAL, "a client asks for a name, a server has further identities");
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
set_identity(SSL_CTX *ssl_ctx, struct tk_bytes cert_pem, struct tk_bytes key_pem, struct tk_err *err)
{
	TK_AUTO(tk_x509_certs_cleanup) STACK_OF(X509) *certs = NULL;
	TK_AUTO(tk_ossl_pkey_cleanup) EVP_PKEY *key = NULL;
	enum tk_rc rc = tk_x509_load_certs(cert_pem, &certs, err);

	if (rc != TK_OK)
		return tk_err_context(err, rc, "own certificate");
	rc = tk_x509_load_key(key_pem, &key, err);
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

/* The protocol's name as it stands on the wire: length, text. */
static const unsigned char alpn_wire[] = "\x0a" TK_TLS_ALPN;

static int
select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len, const unsigned char *in, unsigned int in_len, void *arg)
{
	unsigned char *chosen;

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto(&chosen, out_len, alpn_wire, sizeof(alpn_wire) - 1, in, in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static enum tk_rc
set_alpn(SSL_CTX *ssl_ctx, enum tk_tls_role role, struct tk_err *err)
{
	if (role == TK_TLS_SERVER)
		SSL_CTX_set_alpn_select_cb(ssl_ctx, select_alpn, NULL);
	else if (SSL_CTX_set_alpn_protos(ssl_ctx, alpn_wire, sizeof(alpn_wire) - 1) != 0)
		return tk_ossl_err(err, TK_ENOMEM, "TLS application protocol");
	return TK_OK;
}

/* Everything but who we are. On an error *out may be there and is the caller's all the same. */
static enum tk_rc
make_ssl_ctx(const struct tk_tls_config *config, struct tk_bytes cert_pem, struct tk_bytes key_pem, SSL_CTX **out, struct tk_err *err)
{
	enum tk_rc rc;

	*out = SSL_CTX_new(config->role == TK_TLS_SERVER ? TLS_server_method() : TLS_client_method());
	if (*out == NULL)
		return tk_ossl_err(err, TK_ENOMEM, "TLS context");
	rc = set_protocol(*out, err);
	if (rc == TK_OK)
		rc = set_alpn(*out, config->role, err);
	if (rc == TK_OK && config->anonymous)
		SSL_CTX_set_verify(*out, SSL_VERIFY_NONE, NULL);
	if (rc == TK_OK && !config->anonymous)
		rc = set_trust(*out, config, err);
	if (rc == TK_OK && !config->anonymous)
		rc = set_identity(*out, cert_pem, key_pem, err);
	return rc;
}

static int
select_identity(SSL *ssl, int *alert, void *arg)
{
	const struct tk_tls_ctx *ctx = arg;
	const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

	(void)alert;
	for (size_t i = 0; name != NULL && i < ctx->named_count; i++)
		if (strcasecmp(ctx->named[i].server_name, name) == 0)
			return SSL_set_SSL_CTX(ssl, ctx->named[i].ssl_ctx) != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

static enum tk_rc
add_identities(struct tk_tls_ctx *ctx, const struct tk_tls_config *config, struct tk_err *err)
{
	if (config->identity_count == 0)
		return TK_OK;
	ctx->named = calloc(config->identity_count, sizeof(*ctx->named));
	if (ctx->named == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for TLS identities");
	for (size_t i = 0; i < config->identity_count; i++) {
		const struct tk_tls_identity *identity = &config->identities[i];
		struct tk_tls_named *named = &ctx->named[ctx->named_count++];
		enum tk_rc rc;

		named->server_name = strdup(identity->server_name);
		if (named->server_name == NULL)
			return tk_err_set(err, TK_ENOMEM, "no memory for TLS identities");
		rc = make_ssl_ctx(config, identity->cert_pem, identity->key_pem, &named->ssl_ctx, err);
		if (rc != TK_OK)
			return tk_err_context(err, rc, "identity %s", identity->server_name);
	}
	SSL_CTX_set_tlsext_servername_callback(ctx->ssl_ctx, select_identity);
	SSL_CTX_set_tlsext_servername_arg(ctx->ssl_ctx, ctx);
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
	if (ctx->socket_method == NULL)
		return tk_ossl_err(err, TK_ENOMEM, "TLS context");
	if (config->server_name != NULL && (ctx->server_name = strdup(config->server_name)) == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for a TLS context");
	rc = make_ssl_ctx(config, config->cert_pem, config->key_pem, &ctx->ssl_ctx, err);
	if (rc == TK_OK)
		rc = add_identities(ctx, config, err);
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
	for (size_t i = 0; i < ctx->named_count; i++) {
		SSL_CTX_free(ctx->named[i].ssl_ctx);
		free(ctx->named[i].server_name);
	}
	free(ctx->named);
	free(ctx->server_name);
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
