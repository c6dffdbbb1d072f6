/* The life of one connection: TLS, hello, requests one after the other, the end. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "transport/server_core.h"

/* How often a resting connection looks whether the server stops. */
#define LOOK_MS 250

static void
say_bye(struct tk_conn *conn, enum tk_rc rc, const char *why)
{
	/* A courtesy: the peer finds the closed connection anyway. */
	if (tk_session_send_error(conn->session, TK_FRAME_BYE, 0, rc, why, NULL))
		return;
}

/* Nothing came for a while. TK_OK: go on waiting. */
static enum tk_rc
rest(struct tk_conn *conn, int64_t since_ns, struct tk_err *err)
{
	const struct tk_server_options *options = &conn->server->options;
	int64_t quiet_ms = (tk_clock_mono_ns() - since_ns) / 1000000;

	if (conn->in_pack) {
		if (quiet_ms < options->io_timeout_ms)
			return TK_OK;
		return tk_err_set(err, TK_ETIMEOUT, "the rest of a pack did not come");
	}
	if (atomic_load(&conn->server->stopping)) {
		say_bye(conn, TK_EUNREACH, "the site is stopping");
		return tk_err_set(err, TK_ECANCELLED, "the site is stopping");
	}
	if (quiet_ms < options->idle_timeout_ms)
		return TK_OK;
	say_bye(conn, TK_ETIMEOUT, "nothing was asked for a long time");
	return tk_err_set(err, TK_ETIMEOUT, "no request for a long time");
}

/* TK_EUNREACH is the usual end: the peer went. */
static enum tk_rc
serve_requests(struct tk_conn *conn, struct tk_err *err)
{
	int64_t since_ns = tk_clock_mono_ns();
	struct tk_frame frame;
	enum tk_rc rc = TK_OK;

	while (!rc) {
		rc = tk_session_recv(conn->session, LOOK_MS, &frame, err);
		if (rc == TK_ETIMEOUT && tk_session_is_quiet(conn->session)) {
			rc = rest(conn, since_ns, err);
			continue;
		}
		if (!rc)
			rc = conn->role == TK_ROLE_RECOVERY ? tk_conn_recover(conn, &frame, err) : tk_conn_request(conn, &frame, err);
		since_ns = tk_clock_mono_ns();
		if (!rc && atomic_load(&conn->server->stopping))
			rc = rest(conn, since_ns, err);
	}
	if (rc == TK_EPROTO)
		say_bye(conn, rc, err->text);
	return rc;
}

/* Who says nothing gets nothing, not even memory for TLS. */
static enum tk_rc
await_first_byte(struct tk_conn *conn, struct tk_err *err)
{
	struct pollfd wait = {.fd = conn->fd, .events = POLLIN};
	int ready;

	do {
		ready = poll(&wait, 1, conn->server->options.hello_timeout_ms);
	} while (ready < 0 && errno == EINTR);
	if (ready <= 0)
		return tk_err_set(err, TK_ETIMEOUT, "it says nothing");
	pthread_mutex_lock(&conn->server->lock);
	tk_door_enter(conn, TK_CONN_GREETING);
	pthread_mutex_unlock(&conn->server->lock);
	return TK_OK;
}

static enum tk_rc
open_session(struct tk_conn *conn, struct tk_err *err)
{
	struct tk_server *server = conn->server;
	struct tk_session *session = NULL;
	struct tk_tls_conn *tls = NULL;
	enum tk_rc rc = await_first_byte(conn, err);

	if (!rc)
		rc = tk_tls_accept(conn->tls, conn->fd, server->options.hello_timeout_ms, &tls, err);
	if (rc)
		return rc;
	rc = tk_session_new(tls, conn->fd, server->options.io_timeout_ms, &session, err);
	pthread_mutex_lock(&server->lock);
	conn->fd = -1;
	conn->session = session;
	pthread_mutex_unlock(&server->lock);
	if (rc)
		tk_tls_free(tls);
	return rc;
}

static void
close_session(struct tk_conn *conn)
{
	struct tk_session *session;
	int fd;

	tk_vault_pack_cleanup(&conn->pack);
	pthread_mutex_lock(&conn->server->lock);
	session = conn->session;
	fd = conn->fd;
	conn->session = NULL;
	conn->fd = -1;
	pthread_mutex_unlock(&conn->server->lock);
	tk_session_free(session);
	if (fd >= 0)
		(void)close(fd);
}

static void
log_end(struct tk_conn *conn, bool greeted, enum tk_rc rc, const struct tk_err *err)
{
	bool usual = rc == TK_EUNREACH || rc == TK_ECANCELLED;

	if (atomic_load(&conn->revoked))
		tk_log_event(conn->server->log, TK_LOG_WARN, "revoked", "peer=%s address=%s", conn->peer.name, conn->address);
	else if (!greeted)
		tk_door_log_refused(conn, rc, err);
	else
		tk_log_event(conn->server->log, usual ? TK_LOG_INFO : TK_LOG_WARN, "disconnected",
			     "peer=%s address=%s sent_bytes=%llu received_bytes=%llu text=\"%s\"", conn->peer.name, conn->address,
			     (unsigned long long)tk_session_sent_bytes(conn->session),
			     (unsigned long long)tk_session_received_bytes(conn->session), err->text);
}

void *
tk_conn_run(void *arg)
{
	struct tk_conn *conn = arg;
	struct tk_err err;
	bool greeted = false;
	enum tk_rc rc;

	tk_err_clear(&err);
	rc = open_session(conn, &err);
	if (!rc)
		rc = tk_conn_hello(conn, &err);
	if (!rc) {
		greeted = true;
		rc = serve_requests(conn, &err);
	}
	log_end(conn, greeted, rc, &err);
	close_session(conn);
	atomic_store(&conn->done, true);
	return NULL;
}
