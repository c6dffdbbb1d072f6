/* session.h -- frames over one TLS connection.
 *
 * One thread receives; any thread may send (frames do not mix); tk_session_abort may be called by any thread while the session lives. Time-outs mean time
 * without progress. After any error but a quiet receive's TK_ETIMEOUT the session is good for nothing but abort and free. */
#ifndef TK_TRANSPORT_SESSION_H
#define TK_TRANSPORT_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/crypto/tls.h"
#include "transport/frame.h"

struct tk_session;

struct tk_frame {
	struct tk_frame_head head;
	const uint8_t *body;         /* head.len_bytes of them, borrowed until the next receive */
};

/* On TK_OK the session owns the connection; fd is the connection's own socket (to look at, not to use). Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_session_new(struct tk_tls_conn *tls, int fd, int io_timeout_ms, struct tk_session **out, struct tk_err *err);
/* Says the end to the peer if that needs no waiting, closes, frees. NULL is allowed. */
void tk_session_free(struct tk_session *session);
void tk_session_cleanup(struct tk_session **session);

/* Sends one frame, all of it. Errors: TK_EINVAL (too long, nothing was sent), TK_EUNREACH, TK_ETIMEOUT, TK_ECANCELLED. */
TK_MUST_CHECK enum tk_rc tk_session_send(struct tk_session *session, const struct tk_frame_head *head, const void *body,
					 struct tk_err *err);
/* Encodes a generated Protocol Buffers struct (message.h) and sends it. */
TK_MUST_CHECK enum tk_rc tk_session_send_message(struct tk_session *session, enum tk_frame_type type, bool more, uint32_t request,
						 const void *message, struct tk_err *err);
/* Sends an ERROR or BYE frame. */
TK_MUST_CHECK enum tk_rc tk_session_send_error(struct tk_session *session, enum tk_frame_type type, uint32_t request, enum tk_rc code,
					       const char *text, struct tk_err *err);

/*
 * Waits up to wait_ms for the beginning of a frame (0: takes only what is there), and while it comes up to the io time-out for each piece. TK_ETIMEOUT with
 * tk_session_is_quiet(): nothing came, the session is well. TK_EUNREACH: also when the peer ended it. TK_EPROTO: what came is no frame.
 */
TK_MUST_CHECK enum tk_rc tk_session_recv(struct tk_session *session, int wait_ms, struct tk_frame *frame, struct tk_err *err);
/* No piece of a frame waits to be completed. */
bool tk_session_is_quiet(const struct tk_session *session);

/* Sends a PING if nothing was sent for quiet_ms, nobody is sending now and there is room; false when the peer cannot be reached any more. */
bool tk_session_ping(struct tk_session *session, int64_t quiet_ms);

/* Ends waiting and coming calls of other threads with TK_ECANCELLED. */
void tk_session_abort(struct tk_session *session);

struct tk_tls_conn *tk_session_tls(struct tk_session *session);
/* Bytes of frames, both ways; any thread. */
uint64_t tk_session_sent_bytes(const struct tk_session *session);
uint64_t tk_session_received_bytes(const struct tk_session *session);

#endif
