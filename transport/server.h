/* server.h -- a site's side: serves a vault to sources over TLS (docs/PROTOCOL.md).
 *
 * One thread accepts, and shows every so often to all peers that the site lives; one thread serves each connection. What a peer may do is decided by
 * the registry. Memory for a connection is bounded; packs stream into the vault's pending file. Peers and strangers are counted apart: however many
 * strangers come, each new one takes the place of another stranger, never a peer's. */
#ifndef TK_TRANSPORT_SERVER_H
#define TK_TRANSPORT_SERVER_H

#include "engine/base/log.h"
#include "engine/crypto/tls_ctx.h"
#include "engine/vault/vault.h"
#include "transport/address.h"
#include "transport/registry.h"

#define TK_SERVER_LISTEN_MAX 16u
#define TK_SERVER_CONNECTIONS 64u
#define TK_SERVER_STRANGERS 128u
#define TK_SERVER_IO_TIMEOUT_MS 30000
#define TK_SERVER_HELLO_TIMEOUT_MS 10000
#define TK_SERVER_IDLE_TIMEOUT_MS 86400000 /* a long scan asks nothing; dead peers are noticed by TCP */
#define TK_SERVER_DRAIN_TIMEOUT_MS 30000
#define TK_SERVER_PING_MS 5000

/* Zeros stand for the values above. */
struct tk_server_options {
	struct tk_vault *vault;                 /* borrowed until tk_server_free; TK_VAULT_SERVE */
	const struct tk_log *log;               /* borrowed until tk_server_free; may be NULL */
	const struct tk_address *listen;        /* borrowed during start only */
	unsigned listen_count;
	unsigned max_connections;               /* of known peers */
	unsigned max_strangers;                 /* silent ones, and as many that have not shown yet who they are; at most TK_SERVER_STRANGERS */
	int io_timeout_ms, hello_timeout_ms, idle_timeout_ms, drain_timeout_ms, ping_ms;
	unsigned recover_per_minute;            /* recovery requests of one address; four times as many of all; 0: 10 */
};

struct tk_server;

/*
 * Listens and begins to serve. On TK_OK the caller owns *out, and the server owns `registry` and a reference to `tls` (a server's context with
 * peer_cert_optional, without which nobody can recover); on an error registry stays the caller's.
 * Errors: TK_EUNREACH (address), TK_EINVAL, TK_ENOMEM.
 */
TK_MUST_CHECK enum tk_rc tk_server_start(const struct tk_server_options *options, struct tk_tls_ctx *tls, struct tk_registry *registry,
					 struct tk_server **out, struct tk_err *err);

/* The address that listening socket `index` really has; false after the last. */
bool tk_server_address(const struct tk_server *server, unsigned index, char dst[TK_ADDRESS_TEXT_MAX]);

/* From now on new connections use `tls` (a reference is taken) and `registry` (owned by the server). Sessions go on, but for those whose peer the new
 * registry does not have as it was: they are closed. Any thread. */
void tk_server_reload(struct tk_server *server, struct tk_tls_ctx *tls, struct tk_registry *registry);

/* Connections of peers and recoveries that are served now. Any thread. */
unsigned tk_server_connections(struct tk_server *server);

/* Stops accepting, lets requests in flight come to their end within the drain time-out, then closes what is left. Returns when all threads have ended. */
void tk_server_stop(struct tk_server *server);
/* Stops if need be; frees. NULL is allowed. */
void tk_server_free(struct tk_server *server);
void tk_server_cleanup(struct tk_server **server);

#endif
