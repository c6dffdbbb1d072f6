#include "transport/server.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/fsio/openat.h"
#include "transport/server_core.h"

#define TICK_MS 250
#define DRAIN_TICK_MS 20
#define RECOVER_PER_MINUTE 10u
#define RECOVER_TOTAL 4u
/* A recovery tries a passphrase on every slot, a second each. */
#define RECOVERING_MS 300000
#define FULL_TICK_MS 2
#define ACCEPT_BATCH 32u
#define REFUSED_LINES_PER_MINUTE 10u
#define REFUSED_LINES_TOTAL 60u

static void
conn_free(struct tk_conn *conn)
{
	if (!conn)
		return;
	if (conn->fd >= 0)
		(void)close(conn->fd);
	tk_tls_ctx_free(conn->tls);
	free(conn);
}

/* Joins connections that have ended. Only the accepting thread does this, and it alone takes them out of the list. */
static void
reap(struct tk_server *server)
{
	struct tk_conn *ended = NULL, **link, *conn;

	pthread_mutex_lock(&server->lock);
	for (link = &server->conns; (conn = *link) != NULL;) {
		if (!atomic_load(&conn->done)) {
			link = &conn->next;
			continue;
		}
		*link = conn->next;
		conn->next = ended;
		ended = conn;
		server->all_count--;
		tk_door_leave(conn);
	}
	pthread_mutex_unlock(&server->lock);
	while ((conn = ended) != NULL) {
		ended = conn->next;
		pthread_join(conn->thread, NULL);
		conn_free(conn);
	}
}

void
tk_conn_abort(struct tk_conn *conn)
{
	if (conn->session)
		tk_session_abort(conn->session);
	else if (conn->fd >= 0)
		(void)shutdown(conn->fd, SHUT_RDWR);
}

/* Shows all peers that the site lives, and ends those who never say who they are. */
static void
tick(struct tk_server *server)
{
	int64_t now_ns = tk_clock_mono_ns();

	pthread_mutex_lock(&server->lock);
	for (struct tk_conn *conn = server->conns; conn; conn = conn->next) {
		int64_t allowed_ms = conn->stage == TK_CONN_RECOVERING ? RECOVERING_MS : 2 * (int64_t)server->options.hello_timeout_ms;

		if (conn->stage != TK_CONN_KNOWN && now_ns - conn->accepted_ns > allowed_ms * 1000000)
			tk_conn_abort(conn);
		else if (conn->session && conn->stage >= TK_CONN_RECOVERING && !tk_session_ping(conn->session, server->options.ping_ms))
			tk_conn_abort(conn);
	}
	tk_door_report(server, now_ns);
	pthread_mutex_unlock(&server->lock);
}

/* Puts the connection into the list and starts its thread. */
static enum tk_rc
conn_start(struct tk_server *server, struct tk_conn *conn, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	pthread_mutex_lock(&server->lock);
	conn->tls = tk_tls_ctx_ref(server->tls);
	if (pthread_create(&conn->thread, NULL, tk_conn_run, conn))
		rc = tk_err_set(err, TK_ENOMEM, "no thread for a connection");
	if (!rc) {
		conn->next = server->conns;
		server->conns = conn;
		server->all_count++;
		tk_door_enter(conn, TK_CONN_SILENT);
	}
	pthread_mutex_unlock(&server->lock);
	return rc;
}

/* False: nobody waits there. */
static bool
accept_one(struct tk_server *server, int listen_fd)
{
	struct tk_conn *conn;
	struct tk_err err;
	int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	enum tk_rc rc;

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			tk_log_event(server->log, TK_LOG_ERROR, "accept-failed", "text=\"%s\"", strerror(errno));
			(void)poll(NULL, 0, TICK_MS);
		}
		return false;
	}
	conn = calloc(1, sizeof(*conn));
	if (!conn) {
		(void)close(fd);
		return false;
	}
	conn->server = server;
	conn->fd = fd;
	conn->accepted_ns = tk_clock_mono_ns();
	tk_address_of_socket(fd, true, false, conn->address);
	tk_address_of_socket(fd, true, true, conn->host);
	conn->network = tk_address_network(fd);
	rc = tk_address_tune(fd, &err);
	if (!rc)
		rc = conn_start(server, conn, &err);
	if (rc) {
		tk_door_log_refused(conn, rc, &err);
		conn_free(conn);
	}
	return true;
}

static void
close_listening(struct tk_server *server)
{
	for (unsigned i = 0; i < server->listen_count; i++)
		(void)close(server->listen_fds[i]);
	server->listen_count = 0;
}

/* Lets what is in flight come to its end, for a while. Strangers have nothing in flight. */
static void
drain(struct tk_server *server)
{
	int64_t give_up_ns = tk_clock_mono_ns() + (int64_t)server->options.drain_timeout_ms * 1000000;
	bool aborted = false;

	tk_door_clear(server);
	for (;;) {
		reap(server);
		/* The list is changed by this thread alone. */
		if (!server->conns)
			return;
		tick(server);
		if (!aborted && tk_clock_mono_ns() > give_up_ns) {
			pthread_mutex_lock(&server->lock);
			for (struct tk_conn *conn = server->conns; conn; conn = conn->next)
				tk_conn_abort(conn);
			pthread_mutex_unlock(&server->lock);
			aborted = true;
		}
		(void)poll(NULL, 0, DRAIN_TICK_MS);
	}
}

static void *
accept_run(void *arg)
{
	struct tk_server *server = arg;
	struct pollfd wait[TK_SERVER_LISTEN_MAX + 1];

	for (unsigned i = 0; i < server->listen_count; i++)
		wait[i] = (struct pollfd){.fd = server->listen_fds[i], .events = POLLIN};
	wait[server->listen_count] = (struct pollfd){.fd = server->stop_fd, .events = POLLIN};
	while (!atomic_load(&server->stopping)) {
		bool room = tk_door_has_room(server);
		int ready = room ? poll(wait, server->listen_count + 1, TICK_MS) : poll(NULL, 0, FULL_TICK_MS);

		for (unsigned i = 0; ready > 0 && i < server->listen_count; i++)
			for (unsigned n = 0; wait[i].revents && n < ACCEPT_BATCH && accept_one(server, server->listen_fds[i]); n++)
				continue;
		reap(server);
		tick(server);
	}
	close_listening(server);
	drain(server);
	return NULL;
}

static int
or_default(int value, int fallback)
{
	return value > 0 ? value : fallback;
}

static void
set_options(struct tk_server *server, const struct tk_server_options *options)
{
	struct tk_server_options *own = &server->options;

	*own = *options;
	own->listen = NULL;
	own->max_connections = options->max_connections ? options->max_connections : TK_SERVER_CONNECTIONS;
	if (!options->max_strangers || options->max_strangers > TK_SERVER_STRANGERS)
		own->max_strangers = TK_SERVER_STRANGERS;
	own->io_timeout_ms = or_default(options->io_timeout_ms, TK_SERVER_IO_TIMEOUT_MS);
	own->hello_timeout_ms = or_default(options->hello_timeout_ms, TK_SERVER_HELLO_TIMEOUT_MS);
	own->idle_timeout_ms = or_default(options->idle_timeout_ms, TK_SERVER_IDLE_TIMEOUT_MS);
	own->drain_timeout_ms = or_default(options->drain_timeout_ms, TK_SERVER_DRAIN_TIMEOUT_MS);
	own->ping_ms = or_default(options->ping_ms, TK_SERVER_PING_MS);
	own->recover_per_minute = options->recover_per_minute ? options->recover_per_minute : RECOVER_PER_MINUTE;
	server->vault = options->vault;
	server->log = options->log;
}

static enum tk_rc
server_begin(struct tk_server *server, const struct tk_server_options *options, struct tk_err *err)
{
	char address[TK_ADDRESS_TEXT_MAX];
	enum tk_rc rc = tk_rate_new(server->options.recover_per_minute, RECOVER_TOTAL * server->options.recover_per_minute,
				    &server->recover_rate, err);

	if (!rc)
		rc = tk_rate_new(REFUSED_LINES_PER_MINUTE, REFUSED_LINES_TOTAL, &server->refused_rate, err);
	for (unsigned i = 0; !rc && i < options->listen_count; i++)
		rc = tk_address_listen(&options->listen[i], server->listen_fds, &server->listen_count, TK_SERVER_LISTEN_MAX, err);
	if (rc)
		return rc;
	server->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (server->stop_fd < 0)
		return tk_err_errno(err, TK_EIO, "make an eventfd");
	for (unsigned i = 0; tk_server_address(server, i, address); i++)
		tk_log_event(server->log, TK_LOG_INFO, "listening", "address=%s", address);
	if (pthread_create(&server->accept_thread, NULL, accept_run, server))
		return tk_err_set(err, TK_ENOMEM, "no thread to accept connections");
	server->started = true;
	return TK_OK;
}

enum tk_rc
tk_server_start(const struct tk_server_options *options, struct tk_tls_ctx *tls, struct tk_registry *registry, struct tk_server **out,
		struct tk_err *err)
{
	struct tk_server *server;
	enum tk_rc rc;

	if (!options->listen_count)
		return tk_err_set(err, TK_EINVAL, "no address to listen on");
	server = calloc(1, sizeof(*server));
	if (!server || pthread_mutex_init(&server->lock, NULL)) {
		free(server);
		return tk_err_set(err, TK_ENOMEM, "no memory for a server");
	}
	server->stop_fd = -1;
	set_options(server, options);
	server->tls = tk_tls_ctx_ref(tls);
	server->registry = registry;
	rc = server_begin(server, options, err);
	if (rc) {
		server->registry = NULL;
		tk_server_free(server);
		return rc;
	}
	*out = server;
	return TK_OK;
}

bool
tk_server_address(const struct tk_server *server, unsigned index, char dst[TK_ADDRESS_TEXT_MAX])
{
	if (index >= server->listen_count)
		return false;
	tk_address_of_socket(server->listen_fds[index], false, false, dst);
	return true;
}

/* Does the new registry still give the peer what it has? Under server->lock. */
static bool
still_allowed(const struct tk_registry *registry, const struct tk_conn *conn)
{
	const struct tk_peer *peer = tk_registry_find(registry, conn->pin);

	return peer && peer->role == conn->peer.role && memcmp(peer->id.b, conn->peer.id.b, TK_ID_BYTES) == 0 &&
	       memcmp(peer->owner.b, conn->peer.owner.b, TK_ID_BYTES) == 0 &&
	       memcmp(peer->operator_key, conn->peer.operator_key, TK_KEY_BYTES) == 0;
}

void
tk_server_reload(struct tk_server *server, struct tk_tls_ctx *tls, struct tk_registry *registry)
{
	struct tk_registry *old_registry;
	struct tk_tls_ctx *old_tls;

	pthread_mutex_lock(&server->lock);
	old_registry = server->registry;
	old_tls = server->tls;
	server->registry = registry;
	server->tls = tk_tls_ctx_ref(tls);
	for (struct tk_conn *conn = server->conns; conn; conn = conn->next) {
		if (conn->stage == TK_CONN_KNOWN && !still_allowed(registry, conn)) {
			atomic_store(&conn->revoked, true);
			tk_conn_abort(conn);
		}
	}
	pthread_mutex_unlock(&server->lock);
	tk_registry_free(old_registry);
	tk_tls_ctx_free(old_tls);
}

unsigned
tk_server_connections(struct tk_server *server)
{
	unsigned count;

	pthread_mutex_lock(&server->lock);
	count = tk_door_count_served(server);
	pthread_mutex_unlock(&server->lock);
	return count;
}

void
tk_server_stop(struct tk_server *server)
{
	static const uint64_t one = 1;

	if (!server->started)
		return;
	atomic_store(&server->stopping, true);
	/* Without the wake-up the accepting thread finds out at its next tick. */
	if (write(server->stop_fd, &one, sizeof(one)) < 0 && errno != EAGAIN)
		tk_log_event(server->log, TK_LOG_WARN, "stop", "text=\"%s\"", strerror(errno));
	pthread_join(server->accept_thread, NULL);
	server->started = false;
}

void
tk_server_free(struct tk_server *server)
{
	if (!server)
		return;
	tk_server_stop(server);
	close_listening(server);
	if (server->stop_fd >= 0)
		(void)close(server->stop_fd);
	tk_rate_free(server->recover_rate);
	tk_rate_free(server->refused_rate);
	tk_registry_free(server->registry);
	tk_tls_ctx_free(server->tls);
	pthread_mutex_destroy(&server->lock);
	free(server);
}

void
tk_server_cleanup(struct tk_server **server)
{
	tk_server_free(*server);
	*server = NULL;
}
