/* client.h -- a session (engine/vault/store.h) with a twinkeepd over TLS.
 *
 * A dead, slow or hung site ends in TK_EUNREACH or TK_ETIMEOUT: no call waits longer than its time-outs. Packs are sent without waiting for
 * the site to store them, a bounded number at a time. */
#ifndef TK_TRANSPORT_CLIENT_H
#define TK_TRANSPORT_CLIENT_H

#include "engine/crypto/tls_ctx.h"
#include "engine/vault/store.h"
#include "transport/address.h"
#include "transport/message.h"

#define TK_CLIENT_CONNECT_TIMEOUT_MS 10000
#define TK_CLIENT_IO_TIMEOUT_MS 30000
#define TK_CLIENT_WORK_TIMEOUT_MS 600000
#define TK_CLIENT_WINDOW_PACKS 16u
#define TK_CLIENT_WINDOW_BYTES (256ull << 20)

/* All borrowed during the open only. Zeros stand for the values above. */
struct tk_client_options {
	struct tk_address address;
	struct tk_tls_ctx *tls;                 /* a client's context; gets a reference */
	const char *site_name;                  /* must be named by the site's certificate; NULL: any certificate of our CA */
	enum tk_role role;                      /* TK_ROLE_SOURCE or TK_ROLE_OPERATOR */
	struct tk_id source;                    /* whose domains are meant */
	const char *node_name;                  /* for the site's log */
	const uint8_t *operator_seed;           /* NULL, or the operator's signing seed: needed for drop_slot and for replacing a slot */
	bool greet_ahead;                       /* the site's answer to hello is not waited for: what it refuses comes out of the first call */
	int connect_timeout_ms;                 /* TCP and TLS together, about */
	int io_timeout_ms;                      /* without any byte going either way */
	int work_timeout_ms;                    /* while the site only says that it lives */
	unsigned window_packs;                  /* sent but not yet acknowledged; at most 64 */
	uint64_t window_bytes;
	/* Asked while packs are sent: bytes a second that this session may send now; 0: as fast as it goes. NULL: never limited. Called by the
	 * thread that uses the session; lives as long as the session. */
	uint64_t (*bandwidth)(void *ctx);
	void *bandwidth_ctx;
};

/*
 * Connects and says hello. On TK_OK the caller owns *out. Errors: TK_EUNREACH, TK_ETIMEOUT; TK_EDENIED: the site's certificate is not
 * the one expected, or the site does not know us; TK_EUNSUPPORTED (version); TK_EPROTO.
 */
TK_MUST_CHECK enum tk_rc tk_client_open(const struct tk_client_options *options, struct tk_store **out, struct tk_err *err);

/* Bytes sent through a session that tk_client_open gave: what its site cost so far. */
uint64_t tk_client_sent_bytes(const struct tk_store *store);
uint64_t tk_client_received_bytes(const struct tk_store *store);
/* The site's certificate, or one above it, has expired or is not valid yet: to be told, never a reason to stop a restore. */
bool tk_client_date_wrong(const struct tk_store *store);

#endif
