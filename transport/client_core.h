/* client_core.h -- the inside of a client session, shared by transport/client*.c only. */
#ifndef TK_TRANSPORT_CLIENT_CORE_H
#define TK_TRANSPORT_CLIENT_CORE_H

#include <stdatomic.h>

#include "transport/client.h"
#include "transport/session.h"

#define TK_CLIENT_WINDOW_MAX 64u
#define TK_CLIENT_ASKED_MAX 24u

/* A pack that was sent, or is being sent, and has no answer yet. */
struct tk_client_pack {
	uint32_t request;
	uint64_t len_bytes;
	uint64_t held_bytes;                    /* the site has so much of it from an attempt before, as it says */
	struct tk_pack_name name;
};

/* A request that was sent ahead of the call that it belongs to. */
struct tk_client_asked {
	uint32_t request;
	enum tk_frame_type type;
	bool is_void;                           /* nobody comes for the answer any more: it is thrown away */
	struct tk_buf body;                     /* of the request: by it the call is recognised */
	struct tk_buf frames;                   /* what has come of the answer: heads and bodies */
};

struct tk_client {
	struct tk_store store;                  /* first: what the caller holds */
	struct tk_session *session;
	char site[TK_ADDRESS_TEXT_MAX];         /* for error texts */
	int io_timeout_ms, work_timeout_ms;
	uint32_t last_request;
	bool dead;                              /* only close is left */
	uint32_t greeting;                      /* the request of a HELLO whose answer has not come yet; 0: none */
	enum tk_role role;                      /* the one asked for */
	struct tk_client_asked asked[TK_CLIENT_ASKED_MAX]; /* in order */
	unsigned asked_count;
	struct tk_buf kept;                     /* the answer that a call came for: frames from kept_at on are still to be given out */
	size_t kept_at;
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
/* Waits until one more pack, or HELLO, was answered. */
TK_MUST_CHECK enum tk_rc tk_client_wait_pack(struct tk_client *client, struct tk_err *err);

/* Connects and does TLS. peer_name as for tk_tls_connect. */
TK_MUST_CHECK enum tk_rc tk_client_connect(const struct tk_client_options *options, struct tk_client **out, struct tk_err *err);
/* greet_ahead in the options: sends HELLO only; the answer is looked at when it comes, before any other. */
TK_MUST_CHECK enum tk_rc tk_client_hello(struct tk_client *client, const struct tk_client_options *options, struct tk_err *err);
void tk_client_free(struct tk_client *client);
void tk_client_cleanup(struct tk_client **client);

/* client_ahead.c. Sends the request now, for a call that comes soon; what cannot be is left to that call. */
void tk_client_ask(struct tk_client *client, enum tk_frame_type type, const void *message);
/* A call comes: the request that was sent for it, or 0. Whatever else was asked ahead is void then, as the call may change what was answered. */
TK_MUST_CHECK enum tk_rc tk_client_asked(struct tk_client *client, enum tk_frame_type type, const void *message, uint32_t *request,
					 struct tk_err *err);
/* True: the frame answers a request that was sent ahead, and is kept for the call. */
TK_MUST_CHECK enum tk_rc tk_client_keep(struct tk_client *client, const struct tk_frame *frame, bool *kept, struct tk_err *err);
/* The next frame of what was kept for the call; false: what is missing of the answer has not come yet. */
bool tk_client_kept(struct tk_client *client, struct tk_frame *frame);
void tk_client_void_asked(struct tk_client *client);
void tk_client_release_asked(struct tk_client *client);

/* client_packs.c */
TK_MUST_CHECK enum tk_rc tk_client_put_pack(struct tk_store *store, const struct tk_pack_name *name, int fd, uint64_t len_bytes,
					    struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_client_flush(struct tk_store *store, struct tk_err *err);

/* client_ops.c: everything else a session can do. */
extern const struct tk_store_ops tk_client_ops;

#endif
