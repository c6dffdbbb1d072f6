/* tls.h -- one TLS 1.3 connection over a connected stream socket, in blocking style with time-outs.
 *
 * Threads: one thread may read while another writes; never two readers, never two writers. tk_tls_abort(),
 * tk_tls_pending() and tk_tls_exporter() may be called by any thread while the connection lives; free only after
 * the others have left. (OpenSSL's object is guarded by a lock that is never held while waiting for the network.)
 *
 * Time-outs are in milliseconds: below 0 waits for ever, 0 does not wait. SIGPIPE is never raised. After an error of
 * read or write other than a read's TK_ETIMEOUT the connection is good for nothing but abort and free.
 *
 * Errors of all calls, unless named: TK_EUNREACH (the peer is gone, also when it closed without notice), TK_ETIMEOUT,
 * TK_EDENIED (a certificate was refused, ours or the peer's), TK_EPROTO (not TLS 1.3 as it should be), TK_ECANCELLED
 * (tk_tls_abort was called), TK_ENOMEM. */
#ifndef TK_CRYPTO_TLS_H
#define TK_CRYPTO_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/err.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/tls_ctx.h"
#include "engine/crypto/x509.h"

struct tk_tls_conn;

struct tk_tls_peer {
	bool has_cert;             /* false: a client that came without; the rest is then empty */
	bool verified;             /* its chain leads to a trusted certificate; false only for an anonymous client's server */
	bool date_wrong;           /* a certificate of the chain has expired or is not valid yet: alarm, do not refuse */
	struct tk_x509_info cert;
};

/* The handshake as a server or as a client, according to the call; ctx must have that role, and gets a reference. The
 * whole of it must be done in timeout_ms. peer_name, when not NULL, must be named by the server's certificate (as
 * DNS name with or without TK_X509_DNS_SUFFIX, or as address); an anonymous client does not check it. On TK_OK the caller
 * owns *out, and *out owns fd; on an error fd stays the caller's. fd becomes non-blocking. A server that refuses the client's
 * certificate shows only at the client's first read or write. Errors: also TK_EINVAL (role, fd). */
TK_MUST_CHECK enum tk_rc tk_tls_accept(struct tk_tls_ctx *ctx, int fd, int timeout_ms, struct tk_tls_conn **out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_tls_connect(struct tk_tls_ctx *ctx, int fd, const char *peer_name, int timeout_ms, struct tk_tls_conn **out,
    struct tk_err *err);

/* Who is at the other end; borrowed, constant while the connection lives. */
const struct tk_tls_peer *tk_tls_peer(const struct tk_tls_conn *conn);

/* Waits for bytes; stores at least one and at most cap_bytes (> 0) of them. *got_bytes is 0 when the peer has ended its
 * side with tk_tls_finish(). TK_ETIMEOUT: nothing came in timeout_ms; reading may go on. */
TK_MUST_CHECK enum tk_rc tk_tls_read(struct tk_tls_conn *conn, void *dst, size_t cap_bytes, int timeout_ms, size_t *got_bytes,
    struct tk_err *err);
/* Writes all len_bytes. TK_ETIMEOUT: the peer took nothing for timeout_ms. */
TK_MUST_CHECK enum tk_rc tk_tls_write(struct tk_tls_conn *conn, const void *src, size_t len_bytes, int timeout_ms, struct tk_err *err);

/* False: a read would wait. True: something has arrived, if perhaps not a whole record yet. */
bool tk_tls_pending(struct tk_tls_conn *conn);

/* 32 bytes that both ends of this connection, and nobody else, can compute (RFC 8446, 7.5): sign them to bind a
 * signature to the channel. */
TK_MUST_CHECK enum tk_rc tk_tls_exporter(struct tk_tls_conn *conn, const char *label, uint8_t out[TK_HASH_BYTES], struct tk_err *err);

/* The writer's last call: the peer's read then gives a clean end. Reading may go on. */
TK_MUST_CHECK enum tk_rc tk_tls_finish(struct tk_tls_conn *conn, int timeout_ms, struct tk_err *err);
/* Ends waiting and coming calls of other threads with TK_ECANCELLED. */
void tk_tls_abort(struct tk_tls_conn *conn);

/* Closes the socket and frees. NULL is allowed. */
void tk_tls_free(struct tk_tls_conn *conn);
void tk_tls_cleanup(struct tk_tls_conn **conn);

#endif
