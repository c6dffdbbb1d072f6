#include "transport/session.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/clock.h"
#include "transport/message.h"

#define READ_CHUNK_BYTES (64u << 10)
#define IN_MAX_BYTES (TK_FRAME_HEADER_BYTES + TK_FRAME_CONTROL_MAX + READ_CHUNK_BYTES)
#define PING_TIMEOUT_MS 1000

struct tk_session {
	struct tk_tls_conn *tls;
	int fd;                          /* borrowed from tls */
	int io_timeout_ms;
	struct tk_buf in;                /* the receiver's own: what was read and not yet given out begins at in_at */
	size_t in_at;
	pthread_mutex_t send_lock;       /* over out, and over the order of what is sent */
	struct tk_buf out;
	bool send_failed;                /* under send_lock: half a frame may have gone out */
	_Atomic int64_t last_sent_ns;
	_Atomic uint64_t sent_bytes, received_bytes;
};

enum tk_rc
tk_session_new(struct tk_tls_conn *tls, int fd, int io_timeout_ms, struct tk_session **out, struct tk_err *err)
{
	struct tk_session *session = calloc(1, sizeof(*session));

	if (!session || pthread_mutex_init(&session->send_lock, NULL)) {
		free(session);
		return tk_err_set(err, TK_ENOMEM, "no memory for a session");
	}
	session->fd = fd;
	session->io_timeout_ms = io_timeout_ms;
	tk_buf_init(&session->in, IN_MAX_BYTES);
	tk_buf_init(&session->out, TK_FRAME_HEADER_BYTES + TK_FRAME_CONTROL_MAX);
	atomic_init(&session->last_sent_ns, tk_clock_mono_ns());
	session->tls = tls;
	*out = session;
	return TK_OK;
}

void
tk_session_free(struct tk_session *session)
{
	if (!session)
		return;
	/* The peer will find out anyway; this only spares it a doubt. */
	if (!session->send_failed && tk_tls_finish(session->tls, 0, NULL) != TK_OK)
		session->send_failed = true;
	tk_tls_free(session->tls);
	pthread_mutex_destroy(&session->send_lock);
	tk_buf_release(&session->in);
	tk_buf_release(&session->out);
	free(session);
}

void
tk_session_cleanup(struct tk_session **session)
{
	tk_session_free(*session);
	*session = NULL;
}

/* Under send_lock: out holds the frame's body behind room for its head. */
static enum tk_rc
send_out(struct tk_session *session, struct tk_frame_head head, int timeout_ms, struct tk_err *err)
{
	enum tk_rc rc;

	if (session->send_failed)
		return tk_err_set(err, TK_EUNREACH, "the connection is lost");
	head.len_bytes = (uint32_t)(session->out.len_bytes - TK_FRAME_HEADER_BYTES);
	rc = tk_frame_encode_head(&head, session->out.data, err);
	if (rc)
		return rc;
	rc = tk_tls_write(session->tls, session->out.data, session->out.len_bytes, timeout_ms, err);
	if (rc) {
		session->send_failed = true;
		return rc;
	}
	atomic_store(&session->last_sent_ns, tk_clock_mono_ns());
	atomic_fetch_add(&session->sent_bytes, session->out.len_bytes);
	return TK_OK;
}

static enum tk_rc
begin_out(struct tk_session *session, struct tk_err *err)
{
	static const uint8_t room[TK_FRAME_HEADER_BYTES];

	tk_buf_clear(&session->out);
	return tk_buf_put(&session->out, room, sizeof(room), err);
}

enum tk_rc
tk_session_send(struct tk_session *session, const struct tk_frame_head *head, const void *body, struct tk_err *err)
{
	enum tk_rc rc;

	pthread_mutex_lock(&session->send_lock);
	rc = begin_out(session, err);
	if (!rc)
		rc = tk_buf_put(&session->out, body, head->len_bytes, err);
	if (!rc)
		rc = send_out(session, *head, session->io_timeout_ms, err);
	pthread_mutex_unlock(&session->send_lock);
	return rc;
}

enum tk_rc
tk_session_send_message(struct tk_session *session, enum tk_frame_type type, bool more, uint32_t request, const void *message,
			struct tk_err *err)
{
	struct tk_frame_head head = {.type = type, .more = more, .request = request};
	enum tk_rc rc;

	pthread_mutex_lock(&session->send_lock);
	rc = begin_out(session, err);
	if (!rc)
		rc = tk_message_encode(message, &session->out, err);
	if (!rc)
		rc = send_out(session, head, session->io_timeout_ms, err);
	pthread_mutex_unlock(&session->send_lock);
	return rc;
}

enum tk_rc
tk_session_send_error(struct tk_session *session, enum tk_frame_type type, uint32_t request, enum tk_rc code, const char *text,
		      struct tk_err *err)
{
	Tk__Wire__Error message = TK__WIRE__ERROR__INIT;

	message.code = tk_frame_code_of(code);
	message.text = tk_message_bytes(text, strlen(text));
	return tk_session_send_message(session, type, false, request, &message, err);
}

bool
tk_session_ping(struct tk_session *session, int64_t quiet_ms)
{
	struct tk_frame_head head = {.type = TK_FRAME_PING};
	struct pollfd room = {.fd = session->fd, .events = POLLOUT};
	bool well = true;

	if (tk_clock_mono_ns() - atomic_load(&session->last_sent_ns) < quiet_ms * 1000000)
		return true;
	/* What waits in the socket's buffer is not made shorter by a PING, and a write that has to wait would fail. */
	if (poll(&room, 1, 0) <= 0 || !(room.revents & POLLOUT))
		return true;
	/* Who sends now shows life better than a PING does. */
	if (pthread_mutex_trylock(&session->send_lock))
		return true;
	if (begin_out(session, NULL) || send_out(session, head, PING_TIMEOUT_MS, NULL))
		well = false;
	pthread_mutex_unlock(&session->send_lock);
	return well;
}

/* How much of the frame at in_at is still to come: 0 when it is whole. */
static enum tk_rc
frame_missing(const struct tk_session *session, struct tk_frame_head *head, size_t *missing, struct tk_err *err)
{
	size_t have = session->in.len_bytes - session->in_at, want;
	enum tk_rc rc;

	if (have < TK_FRAME_HEADER_BYTES) {
		*missing = TK_FRAME_HEADER_BYTES - have;
		return TK_OK;
	}
	rc = tk_frame_decode_head(session->in.data + session->in_at, head, err);
	if (rc)
		return rc;
	want = TK_FRAME_HEADER_BYTES + (size_t)head->len_bytes;
	*missing = want > have ? want - have : 0;
	return TK_OK;
}

static enum tk_rc
read_more(struct tk_session *session, size_t missing, int timeout_ms, struct tk_err *err)
{
	size_t got, want = missing > READ_CHUNK_BYTES ? missing : READ_CHUNK_BYTES;
	enum tk_rc rc;

	/* What was given out makes room: the buffer never holds more than one frame and one chunk. */
	if (session->in_at) {
		session->in.len_bytes -= session->in_at;
		memmove(session->in.data, session->in.data + session->in_at, session->in.len_bytes);
		session->in_at = 0;
	}
	rc = tk_buf_reserve(&session->in, want, err);
	if (rc)
		return rc;
	rc = tk_tls_read(session->tls, session->in.data + session->in.len_bytes, want, timeout_ms, &got, err);
	if (rc)
		return rc;
	if (!got)
		return tk_err_set(err, TK_EUNREACH, "the other side closed the connection");
	session->in.len_bytes += got;
	atomic_fetch_add(&session->received_bytes, got);
	return TK_OK;
}

enum tk_rc
tk_session_recv(struct tk_session *session, int wait_ms, struct tk_frame *frame, struct tk_err *err)
{
	size_t missing;
	enum tk_rc rc;

	for (;;) {
		rc = frame_missing(session, &frame->head, &missing, err);
		if (rc)
			return rc;
		if (!missing)
			break;
		rc = read_more(session, missing, tk_session_is_quiet(session) ? wait_ms : session->io_timeout_ms, err);
		if (rc)
			return rc;
	}
	frame->body = session->in.data + session->in_at + TK_FRAME_HEADER_BYTES;
	session->in_at += TK_FRAME_HEADER_BYTES + (size_t)frame->head.len_bytes;
	return TK_OK;
}

bool
tk_session_is_quiet(const struct tk_session *session)
{
	return session->in_at == session->in.len_bytes;
}

void
tk_session_abort(struct tk_session *session)
{
	tk_tls_abort(session->tls);
}

struct tk_tls_conn *
tk_session_tls(struct tk_session *session)
{
	return session->tls;
}

uint64_t
tk_session_sent_bytes(const struct tk_session *session)
{
	return atomic_load(&session->sent_bytes);
}

uint64_t
tk_session_received_bytes(const struct tk_session *session)
{
	return atomic_load(&session->received_bytes);
}
