/* TLS between two threads: who is let in, who is refused, time-outs, both directions at once. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/crypto/tls.h"

#define TIMEOUT_MS 10000
#define DAY_NS (INT64_C(86400) * 1000000000)

struct identity {
	struct tk_buf key, cert;
};

/* One CA, a site and a source below it, a stranger below another CA; made once for all tests. */
struct world {
	struct identity ca, other_ca, site, source, stranger, expired;
};

static struct tk_bytes
bytes_of(const struct tk_buf *buf)
{
	return (struct tk_bytes){buf->data, buf->len_bytes};
}

static void
make_ca(struct identity *ca, const char *name)
{
	const struct tk_x509_request request = {name, tk_clock_wall_ns(), 10};

	assert_int_equal(tk_x509_make_key(&ca->key, NULL), TK_OK);
	assert_int_equal(tk_x509_make_ca(&request, bytes_of(&ca->key), &ca->cert, NULL), TK_OK);
}

static void
make_node(const struct identity *ca, struct identity *node, const char *name, int64_t now_ns)
{
	const struct tk_x509_request request = {name, now_ns, 1};
	struct tk_buf public_key;

	tk_buf_init(&public_key, 0);
	assert_int_equal(tk_x509_make_key(&node->key, NULL), TK_OK);
	assert_int_equal(tk_x509_public_key(bytes_of(&node->key), &public_key, NULL), TK_OK);
	assert_int_equal(tk_x509_issue(&request, bytes_of(&public_key), bytes_of(&ca->cert), bytes_of(&ca->key), &node->cert, NULL), TK_OK);
	tk_buf_release(&public_key);
}

static int
make_world(void **state)
{
	struct world *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return -1;
	make_ca(&w->ca, "ca");
	make_ca(&w->other_ca, "ca");
	make_node(&w->ca, &w->site, "site_a.dc-1", tk_clock_wall_ns());
	make_node(&w->ca, &w->source, "source", tk_clock_wall_ns());
	make_node(&w->other_ca, &w->stranger, "source", tk_clock_wall_ns());
	make_node(&w->ca, &w->expired, "source", tk_clock_wall_ns() - 1000 * DAY_NS);
	*state = w;
	return 0;
}

static int
free_world(void **state)
{
	struct world *w = *state;
	struct identity *all[] = {&w->ca, &w->other_ca, &w->site, &w->source, &w->stranger, &w->expired};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		tk_wipe_buf(&all[i]->key);
		tk_buf_release(&all[i]->cert);
	}
	free(w);
	return 0;
}

static struct tk_tls_config
config_of(enum tk_tls_role role, const struct identity *ca, const struct identity *own)
{
	return (struct tk_tls_config){.role = role, .ca_pem = bytes_of(&ca->cert), .cert_pem = bytes_of(&own->cert),
	    .key_pem = bytes_of(&own->key)};
}

static struct tk_tls_config
anonymous_config(void)
{
	return (struct tk_tls_config){.role = TK_TLS_CLIENT, .anonymous = true};
}

/* One end of a connection being made in a thread of its own. */
struct end {
	struct tk_tls_config config;
	const char *peer_name;
	int fd;
	enum tk_rc rc;
	struct tk_err err;
	struct tk_tls_conn *conn;
};

static void *
open_end(void *arg)
{
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *ctx = NULL;
	struct end *end = arg;

	end->rc = tk_tls_ctx_new(&end->config, &ctx, &end->err);
	if (end->rc == TK_OK)
		end->rc = end->config.role == TK_TLS_SERVER ? tk_tls_accept(ctx, end->fd, TIMEOUT_MS, &end->conn, &end->err) :
		    tk_tls_connect(ctx, end->fd, end->peer_name, TIMEOUT_MS, &end->conn, &end->err);
	/* A client learns that it was refused with its first read. */
	if (end->rc != TK_OK)
		(void)shutdown(end->fd, SHUT_WR);
	return NULL;
}

static void
open_pair(struct end *server, struct end *client)
{
	pthread_t thread;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	server->fd = fds[0];
	client->fd = fds[1];
	assert_int_equal(pthread_create(&thread, NULL, open_end, server), 0);
	(void)open_end(client);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

static void
close_end(struct end *end)
{
	if (end->conn == NULL)
		close(end->fd);
	tk_tls_free(end->conn);
}

static void
close_pair(struct end *server, struct end *client)
{
	close_end(client);
	close_end(server);
}

static void
open_good_pair(const struct world *w, struct end *server, struct end *client)
{
	*server = (struct end){.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	*client = (struct end){.config = config_of(TK_TLS_CLIENT, &w->ca, &w->source), .peer_name = "site_a.dc-1"};
	open_pair(server, client);
	assert_int_equal(server->rc, TK_OK);
	assert_int_equal(client->rc, TK_OK);
}

static void
both_ends_know_each_other(void **state)
{
	const struct world *w = *state;
	struct tk_x509_info site, source;
	struct end server, client;
	char text[16];
	size_t got;

	open_good_pair(w, &server, &client);
	assert_int_equal(tk_x509_read(bytes_of(&w->site.cert), &site, NULL), TK_OK);
	assert_int_equal(tk_x509_read(bytes_of(&w->source.cert), &source, NULL), TK_OK);
	assert_true(tk_tls_peer(server.conn)->has_cert && tk_tls_peer(server.conn)->verified);
	assert_string_equal(tk_tls_peer(server.conn)->cert.name, "source");
	assert_memory_equal(tk_tls_peer(server.conn)->cert.pin, source.pin, sizeof(source.pin));
	assert_true(tk_tls_peer(client.conn)->has_cert && tk_tls_peer(client.conn)->verified);
	assert_string_equal(tk_tls_peer(client.conn)->cert.name, "site_a.dc-1");
	assert_memory_equal(tk_tls_peer(client.conn)->cert.pin, site.pin, sizeof(site.pin));
	assert_false(tk_tls_peer(client.conn)->date_wrong || tk_tls_peer(server.conn)->date_wrong);

	assert_false(tk_tls_pending(server.conn));
	assert_int_equal(tk_tls_write(client.conn, "hello", 5, TIMEOUT_MS, NULL), TK_OK);
	assert_true(tk_tls_pending(server.conn));
	assert_int_equal(tk_tls_read(server.conn, text, 2, TIMEOUT_MS, &got, NULL), TK_OK);
	assert_int_equal(got, 2);
	assert_true(tk_tls_pending(server.conn));
	assert_int_equal(tk_tls_read(server.conn, text, sizeof(text), TIMEOUT_MS, &got, NULL), TK_OK);
	assert_memory_equal(text, "llo", 3);
	close_pair(&server, &client);
}

static void
the_exporter_gives_both_ends_the_same_and_each_label_another(void **state)
{
	uint8_t a[TK_HASH_BYTES], b[TK_HASH_BYTES], c[TK_HASH_BYTES];
	struct end server, client;

	open_good_pair(*state, &server, &client);
	assert_int_equal(tk_tls_exporter(server.conn, "EXPORTER-twinkeep-test", a, NULL), TK_OK);
	assert_int_equal(tk_tls_exporter(client.conn, "EXPORTER-twinkeep-test", b, NULL), TK_OK);
	assert_int_equal(tk_tls_exporter(client.conn, "EXPORTER-twinkeep-other", c, NULL), TK_OK);
	assert_memory_equal(a, b, sizeof(a));
	assert_memory_not_equal(a, c, sizeof(a));
	close_pair(&server, &client);
}

static void
a_server_below_another_ca_is_refused(void **state)
{
	const struct world *w = *state;
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->other_ca, &w->stranger)};
	struct end client = {.config = config_of(TK_TLS_CLIENT, &w->ca, &w->source)};

	open_pair(&server, &client);
	assert_int_equal(client.rc, TK_EDENIED);
	assert_non_null(strstr(client.err.text, "certificate is not accepted"));
	assert_int_equal(server.rc, TK_EDENIED);
	close_pair(&server, &client);
}

static void
a_server_of_another_name_is_refused(void **state)
{
	const struct world *w = *state;
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->ca, &w->source)};
	struct end client = {.config = config_of(TK_TLS_CLIENT, &w->ca, &w->source), .peer_name = "site_a.dc-1"};

	open_pair(&server, &client);
	assert_int_equal(client.rc, TK_EDENIED);
	close_pair(&server, &client);
}

/* In TLS 1.3 a client has finished before the server looks at its certificate. */
static void
assert_refused_by_server(struct end *server, struct end *client)
{
	char byte;
	size_t got;

	assert_int_equal(server->rc, TK_EDENIED);
	assert_int_equal(client->rc, TK_OK);
	assert_int_equal(tk_tls_read(client->conn, &byte, 1, TIMEOUT_MS, &got, &client->err), TK_EDENIED);
	assert_non_null(strstr(client->err.text, "does not accept our certificate"));
}

/* A site of two sources has a certificate of each one's CA; its trust is both CAs. */
static void
a_server_shows_the_certificate_of_the_ca_that_the_client_asks_for(void **state)
{
	const struct world *w = *state;
	struct identity site = {0};
	struct tk_tls_identity named = {.server_name = "b.twinkeep"};
	struct tk_buf both;
	struct end server, client;

	make_node(&w->other_ca, &site, "site_a.dc-1", tk_clock_wall_ns());
	named.cert_pem = bytes_of(&site.cert);
	named.key_pem = bytes_of(&site.key);
	tk_buf_init(&both, 0);
	assert_int_equal(tk_buf_put(&both, w->ca.cert.data, w->ca.cert.len_bytes, NULL), TK_OK);
	assert_int_equal(tk_buf_put(&both, w->other_ca.cert.data, w->other_ca.cert.len_bytes, NULL), TK_OK);

	server = (struct end){.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	server.config.ca_pem = bytes_of(&both);
	server.config.identities = &named;
	server.config.identity_count = 1;
	client = (struct end){.config = config_of(TK_TLS_CLIENT, &w->other_ca, &w->stranger), .peer_name = "site_a.dc-1"};
	client.config.server_name = "B.twinkeep";
	open_pair(&server, &client);
	assert_int_equal(client.rc, TK_OK);
	assert_int_equal(server.rc, TK_OK);
	assert_true(tk_tls_peer(server.conn)->verified);
	close_pair(&server, &client);

	server.conn = client.conn = NULL;
	client.config = config_of(TK_TLS_CLIENT, &w->ca, &w->source);
	open_pair(&server, &client);
	assert_int_equal(client.rc, TK_OK);
	close_pair(&server, &client);
	tk_buf_release(&both);
	tk_wipe_buf(&site.key);
	tk_buf_release(&site.cert);
}

static void
a_client_below_another_ca_is_refused(void **state)
{
	const struct world *w = *state;
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	struct end client = {.config = config_of(TK_TLS_CLIENT, &w->ca, &w->stranger)};

	open_pair(&server, &client);
	assert_refused_by_server(&server, &client);
	close_pair(&server, &client);
}

static void
a_refused_client_that_only_writes_is_told_too(void **state)
{
	const struct world *w = *state;
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	struct end client = {.config = config_of(TK_TLS_CLIENT, &w->ca, &w->stranger)};

	open_pair(&server, &client);
	assert_int_equal(client.rc, TK_OK);
	close(server.fd);
	assert_int_equal(tk_tls_write(client.conn, "x", 1, TIMEOUT_MS, NULL), TK_EDENIED);
	close_end(&client);
}

static void
a_client_without_a_certificate_is_refused(void **state)
{
	const struct world *w = *state;
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	struct end client = {.config = anonymous_config()};

	open_pair(&server, &client);
	assert_refused_by_server(&server, &client);
	close_pair(&server, &client);
}

static void
an_optional_certificate_lets_an_empty_machine_in_but_no_stranger(void **state)
{
	const struct world *w = *state;
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	struct end client = {.config = anonymous_config(), .peer_name = "whatever"};
	struct end server2, stranger = {.config = config_of(TK_TLS_CLIENT, &w->ca, &w->stranger)};

	server.config.peer_cert_optional = true;
	server2 = server;
	open_pair(&server, &client);
	assert_int_equal(server.rc, TK_OK);
	assert_int_equal(client.rc, TK_OK);
	assert_false(tk_tls_peer(server.conn)->has_cert || tk_tls_peer(server.conn)->verified);
	assert_true(tk_tls_peer(client.conn)->has_cert);
	assert_false(tk_tls_peer(client.conn)->verified);
	assert_string_equal(tk_tls_peer(client.conn)->cert.name, "site_a.dc-1");
	close_pair(&server, &client);

	open_pair(&server2, &stranger);
	assert_refused_by_server(&server2, &stranger);
	close_pair(&server2, &stranger);
}

static void
an_expired_certificate_is_flagged_and_not_refused(void **state)
{
	const struct world *w = *state;
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	struct end client = {.config = config_of(TK_TLS_CLIENT, &w->ca, &w->expired), .peer_name = "site_a.dc-1"};

	open_pair(&server, &client);
	assert_int_equal(server.rc, TK_OK);
	assert_int_equal(client.rc, TK_OK);
	assert_true(tk_tls_peer(server.conn)->verified && tk_tls_peer(server.conn)->date_wrong);
	assert_false(tk_tls_peer(client.conn)->date_wrong);
	close_pair(&server, &client);
}

/* A ClientHello that offers TLS 1.2 and nothing newer. */
static void
a_tls_1_2_client_is_refused(void **state)
{
	static const uint8_t head[] = {0x16, 0x03, 0x01, 0x00, 0x49, 0x01, 0x00, 0x00, 0x45, 0x03, 0x03};
	static const uint8_t tail[] = {
		0x00,                                                       /* no session id */
		0x00, 0x02, 0xc0, 0x2b, 0x01, 0x00,                         /* ECDHE-ECDSA-AES128-GCM-SHA256, no compression */
		0x00, 0x1a,
		0x00, 0x0a, 0x00, 0x04, 0x00, 0x02, 0x00, 0x17,             /* groups: P-256 */
		0x00, 0x0d, 0x00, 0x04, 0x00, 0x02, 0x04, 0x03,             /* signatures: ECDSA with SHA-256 */
		0x00, 0x0b, 0x00, 0x02, 0x01, 0x00, 0x00, 0x17, 0x00, 0x00, /* point format, extended master secret */
	};
	const struct world *w = *state;
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	uint8_t random[32] = {7}, alert[7];
	pthread_t thread;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	server.fd = fds[0];
	assert_int_equal(pthread_create(&thread, NULL, open_end, &server), 0);
	assert_int_equal(write(fds[1], head, sizeof(head)), sizeof(head));
	assert_int_equal(write(fds[1], random, sizeof(random)), sizeof(random));
	assert_int_equal(write(fds[1], tail, sizeof(tail)), sizeof(tail));
	assert_int_equal(recv(fds[1], alert, sizeof(alert), MSG_WAITALL), sizeof(alert));
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(server.rc, TK_EPROTO);
	assert_non_null(strstr(server.err.text, "unsupported protocol"));
	assert_int_equal(alert[6], 70); /* protocol_version */
	close_end(&server);
	close(fds[1]);
}

static void
bytes_that_are_no_tls_are_a_protocol_error(void **state)
{
	const struct world *w = *state;
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	server.fd = fds[0];
	assert_int_equal(write(fds[1], "GET / HTTP/1.1\r\n\r\n", 18), 18);
	(void)open_end(&server);
	assert_int_equal(server.rc, TK_EPROTO);
	close_end(&server);
	close(fds[1]);
}

static void
a_silent_client_times_out_in_the_handshake(void **state)
{
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *ctx = NULL;
	const struct world *w = *state;
	struct tk_tls_config config = config_of(TK_TLS_SERVER, &w->ca, &w->site);
	struct tk_tls_conn *conn;
	int64_t start_ns = tk_clock_mono_ns();
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(tk_tls_ctx_new(&config, &ctx, NULL), TK_OK);
	assert_int_equal(tk_tls_accept(ctx, fds[0], 100, &conn, NULL), TK_ETIMEOUT);
	assert_true(tk_clock_mono_ns() - start_ns >= INT64_C(100) * 1000000);
	assert_int_equal(close(fds[0]), 0);
	close(fds[1]);
}

static void
a_read_times_out_and_may_go_on(void **state)
{
	struct end server, client;
	char byte;
	size_t got;

	open_good_pair(*state, &server, &client);
	assert_int_equal(tk_tls_read(server.conn, &byte, 1, 0, &got, NULL), TK_ETIMEOUT);
	assert_int_equal(tk_tls_read(server.conn, &byte, 1, 50, &got, NULL), TK_ETIMEOUT);
	assert_int_equal(tk_tls_write(client.conn, "x", 1, TIMEOUT_MS, NULL), TK_OK);
	assert_int_equal(tk_tls_read(server.conn, &byte, 1, TIMEOUT_MS, &got, NULL), TK_OK);
	assert_int_equal(byte, 'x');
	close_pair(&server, &client);
}

static void
a_write_that_nobody_reads_times_out(void **state)
{
	static const uint8_t bytes[4 << 20];
	struct end server, client;

	open_good_pair(*state, &server, &client);
	assert_int_equal(tk_tls_write(client.conn, bytes, sizeof(bytes), 50, NULL), TK_ETIMEOUT);
	close_pair(&server, &client);
}

static void
a_clean_end_is_told_from_a_cut(void **state)
{
	struct end server, client;
	char byte;
	size_t got = 1;

	open_good_pair(*state, &server, &client);
	assert_int_equal(tk_tls_finish(client.conn, TIMEOUT_MS, NULL), TK_OK);
	assert_int_equal(tk_tls_read(server.conn, &byte, 1, TIMEOUT_MS, &got, NULL), TK_OK);
	assert_int_equal(got, 0);
	/* The other direction is still open. */
	assert_int_equal(tk_tls_write(server.conn, "y", 1, TIMEOUT_MS, NULL), TK_OK);
	assert_int_equal(tk_tls_read(client.conn, &byte, 1, TIMEOUT_MS, &got, NULL), TK_OK);
	assert_int_equal(byte, 'y');
	close_pair(&server, &client);

	open_good_pair(*state, &server, &client);
	close_end(&client);
	assert_int_equal(tk_tls_read(server.conn, &byte, 1, TIMEOUT_MS, &got, NULL), TK_EUNREACH);
	close_end(&server);
}

static void
writing_to_a_peer_that_is_gone_raises_no_signal(void **state)
{
	static const uint8_t bytes[1 << 20];
	struct end server, client;

	assert_true(signal(SIGPIPE, SIG_DFL) != SIG_ERR);
	open_good_pair(*state, &server, &client);
	close_end(&server);
	assert_int_equal(tk_tls_write(client.conn, bytes, sizeof(bytes), TIMEOUT_MS, NULL), TK_EUNREACH);
	assert_int_equal(tk_tls_finish(client.conn, TIMEOUT_MS, NULL), TK_EUNREACH);
	close_end(&client);
}

static void *
read_one(void *arg)
{
	struct end *end = arg;
	char byte;
	size_t got;

	end->rc = tk_tls_read(end->conn, &byte, 1, -1, &got, &end->err);
	return NULL;
}

static void
abort_wakes_a_reader_that_waits_for_ever(void **state)
{
	struct end server, client;
	pthread_t thread;

	open_good_pair(*state, &server, &client);
	assert_int_equal(pthread_create(&thread, NULL, read_one, &server), 0);
	usleep(20000);
	tk_tls_abort(server.conn);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(server.rc, TK_ECANCELLED);
	assert_int_equal(tk_tls_write(server.conn, "x", 1, TIMEOUT_MS, NULL), TK_ECANCELLED);
	close_pair(&server, &client);
}

#define STREAM_BYTES ((size_t)12 << 20)

struct stream {
	struct tk_tls_conn *conn;
	uint8_t seed;
	enum tk_rc rc;
	size_t wrong;
};

static uint8_t
stream_byte(uint8_t seed, size_t at)
{
	return (uint8_t)(at * 31 + at / 4099 + seed);
}

static void *
write_stream(void *arg)
{
	struct stream *s = arg;
	size_t piece = 70001, done = 0;
	uint8_t *bytes = malloc(piece);

	while (bytes != NULL && s->rc == TK_OK && done < STREAM_BYTES) {
		size_t n = STREAM_BYTES - done < piece ? STREAM_BYTES - done : piece;

		for (size_t i = 0; i < n; i++)
			bytes[i] = stream_byte(s->seed, done + i);
		s->rc = tk_tls_write(s->conn, bytes, n, TIMEOUT_MS, NULL);
		done += n;
	}
	if (s->rc == TK_OK)
		s->rc = tk_tls_finish(s->conn, TIMEOUT_MS, NULL);
	free(bytes);
	return NULL;
}

static void *
read_stream(void *arg)
{
	static _Thread_local uint8_t bytes[30000];
	struct stream *s = arg;
	size_t done = 0, got = 1;

	while (s->rc == TK_OK && got > 0) {
		s->rc = tk_tls_read(s->conn, bytes, sizeof(bytes), TIMEOUT_MS, &got, NULL);
		for (size_t i = 0; i < got; i++)
			s->wrong += bytes[i] != stream_byte(s->seed, done + i);
		done += got;
	}
	s->wrong += done != STREAM_BYTES;
	return NULL;
}

static void
run_streams(const struct world *w, uint64_t rekey_after_bytes)
{
	struct end server = {.config = config_of(TK_TLS_SERVER, &w->ca, &w->site)};
	struct end client = {.config = config_of(TK_TLS_CLIENT, &w->ca, &w->source), .peer_name = "site_a.dc-1"};
	struct stream streams[4] = {0};
	pthread_t threads[4];

	server.config.rekey_after_bytes = client.config.rekey_after_bytes = rekey_after_bytes;
	open_pair(&server, &client);
	assert_int_equal(server.rc, TK_OK);
	assert_int_equal(client.rc, TK_OK);
	streams[0] = (struct stream){.conn = server.conn, .seed = 1};
	streams[1] = (struct stream){.conn = client.conn, .seed = 1};
	streams[2] = (struct stream){.conn = client.conn, .seed = 2};
	streams[3] = (struct stream){.conn = server.conn, .seed = 2};
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, i % 2 == 0 ? write_stream : read_stream, &streams[i]), 0);
	for (size_t i = 0; i < 4; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(streams[i].rc, TK_OK);
		assert_int_equal(streams[i].wrong, 0);
	}
	close_pair(&server, &client);
}

static void
both_directions_carry_megabytes_at_once(void **state)
{
	run_streams(*state, 0);
}

static void
keys_change_under_way_without_a_trace(void **state)
{
	run_streams(*state, 100000);
}

static void
a_context_refuses_what_contradicts_itself(void **state)
{
	const struct world *w = *state;
	struct tk_tls_config config = config_of(TK_TLS_CLIENT, &w->ca, &w->source);
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *ctx = NULL;
	struct tk_tls_conn *conn;

	config.key_pem = bytes_of(&w->site.key);
	assert_int_equal(tk_tls_ctx_new(&config, &ctx, NULL), TK_EKEY);
	config.key_pem = (struct tk_bytes){"garbage", 7};
	assert_int_equal(tk_tls_ctx_new(&config, &ctx, NULL), TK_ECORRUPT);
	config.key_pem = (struct tk_bytes){NULL, 0};
	assert_int_equal(tk_tls_ctx_new(&config, &ctx, NULL), TK_EINVAL);
	config = config_of(TK_TLS_CLIENT, &w->ca, &w->source);
	config.anonymous = true;
	assert_int_equal(tk_tls_ctx_new(&config, &ctx, NULL), TK_EINVAL);
	config.anonymous = false;
	config.peer_cert_optional = true;
	assert_int_equal(tk_tls_ctx_new(&config, &ctx, NULL), TK_EINVAL);
	config.peer_cert_optional = false;
	assert_int_equal(tk_tls_ctx_new(&config, &ctx, NULL), TK_OK);
	assert_int_equal(tk_tls_accept(ctx, 0, 0, &conn, NULL), TK_EINVAL);
	assert_int_equal(tk_tls_connect(ctx, -1, NULL, 0, &conn, NULL), TK_EINVAL);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ends_know_each_other),
		cmocka_unit_test(the_exporter_gives_both_ends_the_same_and_each_label_another),
		cmocka_unit_test(a_server_below_another_ca_is_refused),
		cmocka_unit_test(a_server_of_another_name_is_refused),
		cmocka_unit_test(a_server_shows_the_certificate_of_the_ca_that_the_client_asks_for),
		cmocka_unit_test(a_client_below_another_ca_is_refused),
		cmocka_unit_test(a_refused_client_that_only_writes_is_told_too),
		cmocka_unit_test(a_client_without_a_certificate_is_refused),
		cmocka_unit_test(an_optional_certificate_lets_an_empty_machine_in_but_no_stranger),
		cmocka_unit_test(an_expired_certificate_is_flagged_and_not_refused),
		cmocka_unit_test(a_tls_1_2_client_is_refused),
		cmocka_unit_test(bytes_that_are_no_tls_are_a_protocol_error),
		cmocka_unit_test(a_silent_client_times_out_in_the_handshake),
		cmocka_unit_test(a_read_times_out_and_may_go_on),
		cmocka_unit_test(a_write_that_nobody_reads_times_out),
		cmocka_unit_test(a_clean_end_is_told_from_a_cut),
		cmocka_unit_test(writing_to_a_peer_that_is_gone_raises_no_signal),
		cmocka_unit_test(abort_wakes_a_reader_that_waits_for_ever),
		cmocka_unit_test(both_directions_carry_megabytes_at_once),
		cmocka_unit_test(keys_change_under_way_without_a_trace),
		cmocka_unit_test(a_context_refuses_what_contradicts_itself),
	};

	return cmocka_run_group_tests(tests, make_world, free_world);
}
