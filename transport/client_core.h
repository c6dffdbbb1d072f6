/* client_core.h -- the inside of a client session, shared by transport/client*.c only. */
#ifndef TK_TRANSPORT_CLIENT_CORE_H
#define TK_TRANSPORT_CLIENT_CORE_H

#include <stdatomic.h>

#include "transport/client.h"
#include "transport/session.h"

#define TK_CLIENT_WINDOW_MAX 64u

/* A pack that was sent, or is being sent, and has no answer yet. */
struct tk_client_pack {
	uint32_t request;
	uint64_t len_bytes;
	struct tk_pack_name name;
};

struct tk_client {
	struct tk_store store;                  /* first: what the caller holds */
	struct tk_session *session;
	char site[TK_ADDRESS_TEXT_MAX];         /* for error texts */
	int io_timeout_ms, work_timeout_ms;
	uint32_t last_request;
	bool dead;                              /* only close is left */
	struct tk_client_pack window[TK_CLIENT_WINDOW_MAX];
	unsigned in_flight, window_packs;
	uint64_t in_flight_bytes, window_bytes;
	uint64_t (*bandwidth)(void *ctx);
	void *bandwidth_ctx;
	atomic_bool aborted;
	int64_t may_send_ns;                    /* under a bandwidth limit: not before this */
	struct tk_err pack_fault;               /* of a pack answered with an error, until it was told; rc is TK_OK when none */
};

struct tk_client *tk_client_of(struct tk_store *store);

/* TK_OK while the session may be used. */
TK_MUST_CHECK enum tk_rc tk_client_alive(struct tk_client *client, struct tk_err *err);
/* Passes rc on; after a failure of the channel itself the session is dead, and the text names the site. */
enum tk_rc tk_client_fail(struct tk_client *client, enum tk_rc rc, struct tk_err *err);

/*
 * Receives the next frame that is not a PING and no answer to a pack in the window (those are taken note of). wait: false takes only what is there; *got
 * says whether there was one. BYE and broken order kill the session.
 */
TK_MUST_CHECK enum tk_rc tk_client_next(struct tk_client *client, bool wait, bool *got, struct tk_frame *frame, struct tk_err *err);
/* Waits for a frame of `want` or `other` (0: none) for the request; an ERROR frame becomes its code and text. */
TK_MUST_CHECK enum tk_rc tk_client_reply(struct tk_client *client, uint32_t request, enum tk_frame_type want, enum tk_frame_type other,
					 struct tk_frame *frame, struct tk_err *err);
/* Sends a request and waits for the (first) frame of its reply. message NULL: an empty body. */
TK_MUST_CHECK enum tk_rc tk_client_call(struct tk_client *client, enum tk_frame_type type, const void *message, enum tk_frame_type want,
					enum tk_frame_type other, struct tk_frame *frame, struct tk_err *err);
/* Waits until one more pack was answered. */
TK_MUST_CHECK enum tk_rc tk_client_wait_pack(struct tk_client *client, struct tk_err *err);

/* Connects and does TLS. peer_name as for tk_tls_connect. */
TK_MUST_CHECK enum tk_rc tk_client_connect(const struct tk_client_options *options, struct tk_client **out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_client_hello(struct tk_client *client, const struct tk_client_options *options, struct tk_err *err);
void tk_client_free(struct tk_client *client);
void tk_client_cleanup(struct tk_client **client);

/* client_packs.c */
TK_MUST_CHECK enum tk_rc tk_client_put_pack(struct tk_store *store, const struct tk_pack_name *name, int fd, uint64_t len_bytes,
					    struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_client_flush(struct tk_store *store, struct tk_err *err);

/* client_ops.c: everything else a session can do. */
extern const struct tk_store_ops tk_client_ops;

#endif
