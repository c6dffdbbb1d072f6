#include "engine/crypto/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "engine/base/clock.h"
#include "engine/crypto/tls_priv.h"
#include "engine/crypto/x509_priv.h"

#define NS_PER_MS INT64_C(1000000)
/* How long a side sleeps at most when what it waits for may be taken by the other side's call. */
#define CROSS_WAIT_MS 50

struct tk_tls_conn {
	struct tk_tls_ctx *ctx;
	SSL *ssl;
	struct tk_tls_socket sock;
	pthread_mutex_t turn;     /* taken before lock, given up once lock is held: whoever waits goes next, so
	                           * that a busy writer cannot starve the reader */
	pthread_mutex_t lock;     /* guards ssl, and sock's fault fields */
	bool locks_made;
	atomic_bool aborted;
	struct tk_tls_peer peer;
	uint64_t sent_bytes;      /* under the present key; the writer's own */
};

/* How one call into OpenSSL ended, taken while the lock was held. */
struct outcome {
	int ssl_error;
	int sys_errno;
	bool eof;
	long verify_result;
};

static void
enter(struct tk_tls_conn *conn)
{
	pthread_mutex_lock(&conn->turn);
	pthread_mutex_lock(&conn->lock);
	pthread_mutex_unlock(&conn->turn);
	ERR_clear_error();
}

static struct outcome
leave(struct tk_tls_conn *conn, int ret)
{
	struct outcome outcome = {
		.ssl_error = SSL_get_error(conn->ssl, ret),
		.sys_errno = conn->sock.sys_errno,
		.eof = conn->sock.eof,
		.verify_result = SSL_get_verify_result(conn->ssl),
	};

	pthread_mutex_unlock(&conn->lock);
	return outcome;
}

static bool
wants_to_wait(const struct outcome *outcome)
{
	return outcome->ssl_error == SSL_ERROR_WANT_READ || outcome->ssl_error == SSL_ERROR_WANT_WRITE;
}

static int64_t
deadline_after(int timeout_ms)
{
	return timeout_ms < 0 ? INT64_MAX : tk_clock_mono_ns() + timeout_ms * NS_PER_MS;
}

/* Waits for what OpenSSL wants, at most until the deadline; `own` is the direction of the caller, where nobody else
 * interferes. TK_OK: try again. */
static enum tk_rc
wait_for(struct tk_tls_conn *conn, const struct outcome *outcome, int own, int64_t deadline_ns, struct tk_err *err)
{
	struct pollfd pfd = {.fd = conn->sock.fd, .events = outcome->ssl_error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT};
	int64_t left_ms = INT_MAX;
	int ready;

	if (deadline_ns != INT64_MAX)
		left_ms = (deadline_ns - tk_clock_mono_ns() + NS_PER_MS - 1) / NS_PER_MS;
	if (left_ms < 0)
		left_ms = 0;
	if (outcome->ssl_error != own && left_ms > CROSS_WAIT_MS)
		ready = poll(&pfd, 1, CROSS_WAIT_MS);
	else
		ready = poll(&pfd, 1, deadline_ns == INT64_MAX ? -1 : (int)(left_ms < INT_MAX ? left_ms : INT_MAX));
	if (ready < 0 && errno != EINTR)
		return tk_err_errno(err, TK_EIO, "wait for the network");
	if (ready <= 0 && deadline_ns != INT64_MAX && tk_clock_mono_ns() >= deadline_ns)
		return tk_err_set(err, TK_ETIMEOUT, "the peer does not answer in time");
	return TK_OK;
}

/* The peer's word that it does not accept who we are. */
static bool
is_refusal(int reason)
{
	switch (reason) {
	case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
	case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
	case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
	case SSL_R_TLSV1_ALERT_ACCESS_DENIED:
	case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
		return true;
	default:
		return false;
	}
}

static enum tk_rc
fail(struct tk_tls_conn *conn, const struct outcome *outcome, const char *doing, struct tk_err *err)
{
	const int reason = ERR_GET_REASON(ERR_peek_error());

	if (atomic_load(&conn->aborted)) {
		ERR_clear_error();
		return tk_err_set(err, TK_ECANCELLED, "%s: the connection was ended on request", doing);
	}
	if (outcome->ssl_error == SSL_ERROR_SSL && reason == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		ERR_clear_error();
		return tk_err_set(err, TK_EDENIED, "%s: the peer's certificate is not accepted: %s", doing,
		    X509_verify_cert_error_string(outcome->verify_result));
	}
	if (outcome->ssl_error == SSL_ERROR_SSL && reason == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE)
		return tk_ossl_err(err, TK_EDENIED, "%s: the peer has no certificate", doing);
	if (outcome->ssl_error == SSL_ERROR_SSL && is_refusal(reason))
		return tk_ossl_err(err, TK_EDENIED, "%s: the peer does not accept our certificate", doing);
	if (outcome->sys_errno != 0) {
		ERR_clear_error();
		errno = outcome->sys_errno;
		return tk_err_errno(err, TK_EUNREACH, "%s: the connection is lost", doing);
	}
	if (outcome->eof || outcome->ssl_error == SSL_ERROR_ZERO_RETURN || reason == SSL_R_PROTOCOL_IS_SHUTDOWN) {
		ERR_clear_error();
		return tk_err_set(err, TK_EUNREACH, "%s: the peer closed the connection", doing);
	}
	return tk_ossl_err(err, TK_EPROTO, "%s", doing);
}

static enum tk_rc
prepare_socket(int fd, struct tk_err *err)
{
	const int on = 1;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return tk_err_errno(err, TK_EINVAL, "socket for TLS");
	/* Frames are written whole: waiting for more only delays answers. Other kinds of sockets have no such option. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	return TK_OK;
}

static enum tk_rc
conn_new(struct tk_tls_ctx *ctx, enum tk_tls_role role, int fd, struct tk_tls_conn **out, struct tk_err *err)
{
	TK_AUTO(tk_tls_cleanup) struct tk_tls_conn *conn = NULL;
	enum tk_rc rc;
	BIO *bio;

	if (ctx->role != role)
		return tk_err_set(err, TK_EINVAL, "a TLS context of the other role");
	rc = prepare_socket(fd, err);
	if (rc != TK_OK)
		return rc;
	conn = calloc(1, sizeof(*conn));
	if (conn == NULL)
		return tk_err_set(err, TK_ENOMEM, "no memory for a TLS connection");
	conn->sock.fd = -1;
	conn->ctx = tk_tls_ctx_ref(ctx);
	atomic_init(&conn->aborted, false);
	if (pthread_mutex_init(&conn->turn, NULL) != 0)
		return tk_err_set(err, TK_ENOMEM, "no memory for a lock");
	if (pthread_mutex_init(&conn->lock, NULL) != 0) {
		pthread_mutex_destroy(&conn->turn);
		return tk_err_set(err, TK_ENOMEM, "no memory for a lock");
	}
	conn->locks_made = true;
	conn->ssl = SSL_new(ctx->ssl_ctx);
	bio = conn->ssl != NULL ? tk_tls_socket_bio(ctx, &conn->sock) : NULL;
	if (bio == NULL)
		return tk_ossl_err(err, TK_ENOMEM, "TLS connection");
	SSL_set_bio(conn->ssl, bio, bio);
	if (ctx->server_name != NULL && SSL_set_tlsext_host_name(conn->ssl, ctx->server_name) != 1)
		return tk_ossl_err(err, TK_ENOMEM, "TLS server name");
	*out = conn;
	conn = NULL;
	return TK_OK;
}

static enum tk_rc
expect_name(struct tk_tls_conn *conn, const char *name, struct tk_err *err)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(conn->ssl);
	struct in6_addr addr;
	char node[300];

	X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	if (inet_pton(AF_INET, name, &addr) == 1 || inet_pton(AF_INET6, name, &addr) == 1) {
		if (X509_VERIFY_PARAM_set1_ip_asc(param, name) != 1)
			return tk_ossl_err(err, TK_EINVAL, "peer address");
		return TK_OK;
	}
	if (name[0] == '\0' || strlen(name) > 253)
		return tk_err_set(err, TK_EINVAL, "not a name of a peer");
	(void)snprintf(node, sizeof(node), "%s%s", name, TK_X509_DNS_SUFFIX);
	if (X509_VERIFY_PARAM_set1_host(param, node, 0) != 1 || X509_VERIFY_PARAM_add1_host(param, name, 0) != 1)
		return tk_ossl_err(err, TK_EINVAL, "peer name");
	return TK_OK;
}

/* OpenSSL leaves it to us to mind when the other end named no protocol at all. */
static enum tk_rc
check_alpn(const struct tk_tls_conn *conn, struct tk_err *err)
{
	const unsigned char *name;
	unsigned int len;

	SSL_get0_alpn_selected(conn->ssl, &name, &len);
	if (len != sizeof(TK_TLS_ALPN) - 1 || memcmp(name, TK_TLS_ALPN, len) != 0)
		return tk_err_set(err, TK_EPROTO, "TLS handshake: the peer does not speak " TK_TLS_ALPN);
	return TK_OK;
}

static bool
date_is_wrong(X509 *cert)
{
	return X509_cmp_current_time(X509_get0_notBefore(cert)) >= 0 || X509_cmp_current_time(X509_get0_notAfter(cert)) <= 0;
}

static enum tk_rc
read_peer(struct tk_tls_conn *conn, struct tk_err *err)
{
	X509 *cert = SSL_get0_peer_certificate(conn->ssl);
	STACK_OF(X509) *chain = SSL_get0_verified_chain(conn->ssl);

	if (cert == NULL)
		return TK_OK;
	conn->peer.has_cert = true;
	conn->peer.verified = !conn->ctx->anonymous && SSL_get_verify_result(conn->ssl) == X509_V_OK;
	conn->peer.date_wrong = date_is_wrong(cert);
	for (int i = 0; conn->peer.verified && i < sk_X509_num(chain); i++)
		conn->peer.date_wrong = conn->peer.date_wrong || date_is_wrong(sk_X509_value(chain, i));
	return tk_x509_describe(cert, &conn->peer.cert, err);
}

/* Ends with fd owned by the connection, or by the caller when it fails. */
static enum tk_rc
handshake(struct tk_tls_conn *conn, int fd, int timeout_ms, struct tk_err *err)
{
	const int64_t deadline_ns = deadline_after(timeout_ms);
	enum tk_rc rc = TK_OK;

	conn->sock.fd = fd;
	while (rc == TK_OK) {
		struct outcome outcome;
		int ret;

		enter(conn);
		ret = conn->ctx->role == TK_TLS_SERVER ? SSL_accept(conn->ssl) : SSL_connect(conn->ssl);
		outcome = leave(conn, ret);
		if (ret == 1)
			break;
		rc = wants_to_wait(&outcome) ? wait_for(conn, &outcome, outcome.ssl_error, deadline_ns, err) :
		    fail(conn, &outcome, "TLS handshake", err);
	}
	if (rc == TK_OK)
		rc = check_alpn(conn, err);
	if (rc == TK_OK)
		rc = read_peer(conn, err);
	if (rc != TK_OK)
		conn->sock.fd = -1;
	return rc;
}

enum tk_rc
tk_tls_accept(struct tk_tls_ctx *ctx, int fd, int timeout_ms, struct tk_tls_conn **out, struct tk_err *err)
{
	TK_AUTO(tk_tls_cleanup) struct tk_tls_conn *conn = NULL;
	enum tk_rc rc = conn_new(ctx, TK_TLS_SERVER, fd, &conn, err);

	if (rc == TK_OK)
		rc = handshake(conn, fd, timeout_ms, err);
	if (rc != TK_OK)
		return rc;
	*out = conn;
	conn = NULL;
	return TK_OK;
}

enum tk_rc
tk_tls_connect(struct tk_tls_ctx *ctx, int fd, const char *peer_name, int timeout_ms, struct tk_tls_conn **out, struct tk_err *err)
{
	TK_AUTO(tk_tls_cleanup) struct tk_tls_conn *conn = NULL;
	enum tk_rc rc = conn_new(ctx, TK_TLS_CLIENT, fd, &conn, err);

	if (rc == TK_OK && peer_name != NULL)
		rc = expect_name(conn, peer_name, err);
	if (rc == TK_OK)
		rc = handshake(conn, fd, timeout_ms, err);
	if (rc != TK_OK)
		return rc;
	*out = conn;
	conn = NULL;
	return TK_OK;
}

const struct tk_tls_peer *
tk_tls_peer(const struct tk_tls_conn *conn)
{
	return &conn->peer;
}

enum tk_rc
tk_tls_read(struct tk_tls_conn *conn, void *dst, size_t cap_bytes, int timeout_ms, size_t *got_bytes, struct tk_err *err)
{
	const int64_t deadline_ns = deadline_after(timeout_ms);
	enum tk_rc rc = TK_OK;

	*got_bytes = 0;
	while (rc == TK_OK) {
		struct outcome outcome;
		int ret;

		enter(conn);
		ret = SSL_read_ex(conn->ssl, dst, cap_bytes, got_bytes);
		outcome = leave(conn, ret);
		if (ret == 1 || outcome.ssl_error == SSL_ERROR_ZERO_RETURN)
			return TK_OK;
		rc = wants_to_wait(&outcome) ? wait_for(conn, &outcome, SSL_ERROR_WANT_READ, deadline_ns, err) :
		    fail(conn, &outcome, "TLS read", err);
	}
	return rc;
}

/* A write that failed because the peer hung up: the peer may have said why, as when it refuses our certificate. */
static enum tk_rc
fail_write(struct tk_tls_conn *conn, struct outcome *outcome, struct tk_err *err)
{
	if (outcome->sys_errno == EPIPE || outcome->sys_errno == ECONNRESET) {
		struct outcome last_words;
		size_t got_bytes;
		char byte;
		int ret;

		enter(conn);
		ret = SSL_peek_ex(conn->ssl, &byte, 1, &got_bytes);
		last_words = leave(conn, ret);
		if (ret != 1 && last_words.ssl_error == SSL_ERROR_SSL && is_refusal(ERR_GET_REASON(ERR_peek_error())))
			return fail(conn, &last_words, "TLS write", err);
	}
	return fail(conn, outcome, "TLS write", err);
}

/* Changes the sending key between two records. Only once the socket has room: as long as a key update waits to be sent,
 * OpenSSL does not read either, and two ends in that state would wait for each other for ever. */
static enum tk_rc
rekey_when_due(struct tk_tls_conn *conn, int64_t deadline_ns, struct tk_err *err)
{
	const struct outcome want_room = {.ssl_error = SSL_ERROR_WANT_WRITE};
	struct pollfd pfd = {.fd = conn->sock.fd, .events = POLLOUT};

	if (conn->sent_bytes < conn->ctx->rekey_after_bytes)
		return TK_OK;
	while (poll(&pfd, 1, 0) <= 0) {
		enum tk_rc rc = wait_for(conn, &want_room, SSL_ERROR_WANT_WRITE, deadline_ns, err);

		if (rc != TK_OK)
			return rc;
	}
	enter(conn);
	/* A fault shows again, with its reason, in the write that follows. */
	if (SSL_key_update(conn->ssl, SSL_KEY_UPDATE_NOT_REQUESTED) == 1 && SSL_do_handshake(conn->ssl) == 1)
		conn->sent_bytes = 0;
	(void)leave(conn, 1);
	return TK_OK;
}

enum tk_rc
tk_tls_write(struct tk_tls_conn *conn, const void *src, size_t len_bytes, int timeout_ms, struct tk_err *err)
{
	const uint8_t *at = src;
	int64_t deadline_ns = deadline_after(timeout_ms);
	bool half_sent = false;

	while (len_bytes > 0) {
		struct outcome outcome;
		size_t taken_bytes = 0;
		enum tk_rc rc = half_sent ? TK_OK : rekey_when_due(conn, deadline_ns, err);
		int ret;

		if (rc != TK_OK)
			return rc;
		enter(conn);
		ret = SSL_write_ex(conn->ssl, at, len_bytes, &taken_bytes);
		outcome = leave(conn, ret);
		half_sent = ret != 1;
		if (ret == 1) {
			at += taken_bytes;
			len_bytes -= taken_bytes;
			conn->sent_bytes += taken_bytes;
			deadline_ns = deadline_after(timeout_ms);
			continue;
		}
		rc = wants_to_wait(&outcome) ? wait_for(conn, &outcome, SSL_ERROR_WANT_WRITE, deadline_ns, err) :
		    fail_write(conn, &outcome, err);
		if (rc != TK_OK)
			return rc;
	}
	return TK_OK;
}

bool
tk_tls_pending(struct tk_tls_conn *conn)
{
	struct pollfd pfd = {.fd = conn->sock.fd, .events = POLLIN};
	bool buffered;

	enter(conn);
	buffered = SSL_has_pending(conn->ssl) == 1;
	(void)leave(conn, 1);
	return buffered || poll(&pfd, 1, 0) > 0;
}

enum tk_rc
tk_tls_exporter(struct tk_tls_conn *conn, const char *label, uint8_t out[TK_HASH_BYTES], struct tk_err *err)
{
	int ret;

	enter(conn);
	ret = SSL_export_keying_material(conn->ssl, out, TK_HASH_BYTES, label, strlen(label), NULL, 0, 0);
	(void)leave(conn, ret);
	return ret == 1 ? TK_OK : tk_ossl_err(err, TK_EIO, "TLS exporter");
}

enum tk_rc
tk_tls_finish(struct tk_tls_conn *conn, int timeout_ms, struct tk_err *err)
{
	const int64_t deadline_ns = deadline_after(timeout_ms);
	enum tk_rc rc = TK_OK;

	while (rc == TK_OK) {
		struct outcome outcome;
		int ret;

		enter(conn);
		ret = SSL_shutdown(conn->ssl);
		outcome = leave(conn, ret);
		if (ret >= 0)
			return TK_OK;
		rc = wants_to_wait(&outcome) ? wait_for(conn, &outcome, SSL_ERROR_WANT_WRITE, deadline_ns, err) :
		    fail(conn, &outcome, "end of a TLS connection", err);
	}
	return rc;
}

void
tk_tls_abort(struct tk_tls_conn *conn)
{
	atomic_store(&conn->aborted, true);
	(void)shutdown(conn->sock.fd, SHUT_RDWR);
}

void
tk_tls_free(struct tk_tls_conn *conn)
{
	if (conn == NULL)
		return;
	SSL_free(conn->ssl);
	if (conn->sock.fd >= 0)
		close(conn->sock.fd);
	if (conn->locks_made) {
		pthread_mutex_destroy(&conn->turn);
		pthread_mutex_destroy(&conn->lock);
	}
	tk_tls_ctx_free(conn->ctx);
	free(conn);
}

void
tk_tls_cleanup(struct tk_tls_conn **conn)
{
	tk_tls_free(*conn);
	*conn = NULL;
}
