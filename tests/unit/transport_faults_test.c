/* What happens when a side falls silent, is full, breaks off, sends rubbish or stops. */
#include "tests/unit/unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/crypto/sign.h"
#include "engine/vault/keycore.h"
#include "tests/unit/net_fixture.h"
#include "transport/recover.h"
#include "transport/session.h"

static int64_t
ms_since(int64_t start_ns)
{
	return (tk_clock_mono_ns() - start_ns) / 1000000;
}

/* Accepts TCP connections and says nothing, ever. */
static int
listen_and_be_silent(struct tk_address *address)
{
	static const struct tk_address loopback = {.host = "127.0.0.1"};
	char text[TK_ADDRESS_TEXT_MAX];
	unsigned count = 0;
	int fd;

	assert_int_equal(tk_address_listen(&loopback, &fd, &count, 1, NULL), TK_OK);
	tk_address_of_socket(fd, false, false, text);
	assert_int_equal(tk_address_parse(text, address, NULL), TK_OK);
	return fd;
}

static void
a_site_that_accepts_and_never_answers_times_out(void **state)
{
	struct net *net = *state;
	struct tk_store *store = NULL;
	int64_t start_ns = tk_clock_mono_ns();
	int fd = listen_and_be_silent(&net->client.address);

	net->client.connect_timeout_ms = 300;
	assert_int_equal(tk_client_open(&net->client, &store, NULL), TK_ETIMEOUT);
	assert_true(ms_since(start_ns) < 2500);
	close(fd);
	assert_int_equal(tk_client_open(&net->client, &store, NULL), TK_EUNREACH);
}

/* A site that does TLS and answers HELLO, then hangs: alive or not even that. */
struct hung_site {
	int listen_fd;
	struct tk_tls_ctx *tls;
	bool pings;
	atomic_bool stop;
};

static void *
hang(void *arg)
{
	struct hung_site *hung = arg;
	struct tk_session *session = NULL;
	struct tk_tls_conn *tls = NULL;
	Tk__Wire__Welcome welcome = TK__WIRE__WELCOME__INIT;
	struct tk_frame frame;
	int fd;

	do {
		fd = accept(hung->listen_fd, NULL, NULL);
	} while (fd < 0);
	if (tk_tls_accept(hung->tls, fd, 2000, &tls, NULL) || tk_session_new(tls, fd, 2000, &session, NULL) ||
	    tk_session_recv(session, 2000, &frame, NULL))
		return arg;
	welcome.version = TK_PROTOCOL_VERSION;
	welcome.role = TK_ROLE_SOURCE;
	if (tk_session_send_message(session, TK_FRAME_WELCOME, false, frame.head.request, &welcome, NULL))
		return arg;
	while (!atomic_load(&hung->stop)) {
		(void)usleep(20000);
		if (hung->pings && !tk_session_ping(session, 10))
			break;
	}
	tk_session_free(session);
	return NULL;
}

static void
hung_site_test(struct net *net, bool pings, int64_t at_most_ms)
{
	struct hung_site hung = {.pings = pings, .tls = net_server_tls(net)};
	struct tk_store *store;
	struct tk_store_state site;
	int64_t start_ns;
	pthread_t thread;
	void *failed;

	hung.listen_fd = listen_and_be_silent(&net->client.address);
	assert_int_equal(pthread_create(&thread, NULL, hang, &hung), 0);
	net->client.io_timeout_ms = 300;
	net->client.work_timeout_ms = 600;
	store = net_open(net);
	start_ns = tk_clock_mono_ns();
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_ETIMEOUT);
	assert_true(ms_since(start_ns) < at_most_ms);
	/* The session is dead from here on. */
	assert_int_equal(store->ops->flush(store, NULL), TK_EUNREACH);
	atomic_store(&hung.stop, true);
	tk_store_cleanup(&store);
	pthread_join(thread, &failed);
	assert_null(failed);
	tk_tls_ctx_free(hung.tls);
	close(hung.listen_fd);
}

static void
a_site_that_hangs_times_out(void **state)
{
	hung_site_test(*state, false, 2000);
}

static void
a_site_that_only_says_that_it_lives_times_out_too(void **state)
{
	hung_site_test(*state, true, 3000);
}

static void
a_full_site_refuses_politely(void **state)
{
	struct net *net = *state;
	struct tk_store *first, *second = NULL;
	struct tk_err err;

	net->options.max_connections = 1;
	net_serve(net);
	first = net_open(net);
	assert_int_equal(tk_client_open(&net->client, &second, &err), TK_EUNREACH);
	assert_non_null(strstr(err.text, "as many connections"));
	tk_store_cleanup(&first);
	for (int i = 0; i < 100 && tk_server_connections(net->server); i++)
		(void)usleep(20000);
	second = net_open(net);
	tk_store_cleanup(&second);
}

/* A connection of the source that speaks frames by hand. */
static struct tk_session *
open_by_hand(struct net *net)
{
	struct tk_session *session = NULL;
	struct tk_tls_conn *tls = NULL;
	int fd = -1;

	assert_int_equal(tk_address_connect(&net->address, 2000, &fd, NULL), TK_OK);
	assert_int_equal(tk_tls_connect(net->client.tls, fd, "site-a", 2000, &tls, NULL), TK_OK);
	assert_int_equal(tk_session_new(tls, fd, 2000, &session, NULL), TK_OK);
	return session;
}

static void
say_hello(struct net *net, struct tk_session *session)
{
	Tk__Wire__Hello hello = TK__WIRE__HELLO__INIT;
	struct tk_frame frame;

	hello.version = TK_PROTOCOL_VERSION;
	hello.role = TK_ROLE_SOURCE;
	hello.source = tk_message_bytes(net->client.source.b, TK_ID_BYTES);
	assert_int_equal(tk_session_send_message(session, TK_FRAME_HELLO, false, 1, &hello, NULL), TK_OK);
	assert_int_equal(tk_session_recv(session, 2000, &frame, NULL), TK_OK);
	assert_int_equal(frame.head.type, TK_FRAME_WELCOME);
}

static struct tk_session *
greet_by_hand(struct net *net)
{
	struct tk_session *session = open_by_hand(net);

	say_hello(net, session);
	return session;
}

static void
expect_protocol_error(struct tk_session *session)
{
	struct tk_frame frame;
	struct tk_err err;

	do {
		if (tk_session_recv(session, 2000, &frame, &err))
			fail_msg("no last word: %s", err.text);
	} while (frame.head.type == TK_FRAME_PING);
	assert_true(frame.head.type == TK_FRAME_BYE || frame.head.type == TK_FRAME_ERROR);
	assert_int_equal(tk_message_error(frame.body, frame.head.len_bytes, NULL), TK_EPROTO);
	tk_session_free(session);
}

static void
broken_frames_end_the_connection_and_nothing_else(void **state)
{
	static const uint8_t huge[TK_FRAME_HEADER_BYTES] = {0xff, 0xff, 0xff, 0xff, TK_FRAME_PACK_DATA};
	static const uint8_t half[5] = {200, 0, 0, 0, TK_FRAME_HAVE};
	struct net *net = *state;
	struct tk_frame_head data = {.type = TK_FRAME_PACK_DATA, .len_bytes = 4, .request = 2}, reply = {.type = TK_FRAME_STATE, .request = 3};
	struct tk_store *store;
	struct tk_session *session;
	struct tk_store_state site;

	net_serve(net);
	session = open_by_hand(net);
	assert_int_equal(tk_tls_write(tk_session_tls(session), huge, sizeof(huge), 1000, NULL), TK_OK);
	tk_session_free(session);

	session = greet_by_hand(net);
	assert_int_equal(tk_tls_write(tk_session_tls(session), huge, sizeof(huge), 1000, NULL), TK_OK);
	expect_protocol_error(session);

	session = greet_by_hand(net);
	assert_int_equal(tk_session_send(session, &data, "data", NULL), TK_OK);
	expect_protocol_error(session);

	session = greet_by_hand(net);
	assert_int_equal(tk_session_send(session, &reply, NULL, NULL), TK_OK);
	expect_protocol_error(session);

	session = greet_by_hand(net);
	assert_int_equal(tk_tls_write(tk_session_tls(session), half, sizeof(half), 1000, NULL), TK_OK);
	tk_session_free(session);

	store = net_open(net);
	assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &site, NULL), TK_OK);
	tk_store_cleanup(&store);
}

static void
a_pack_that_breaks_off_leaves_nothing_behind(void **state)
{
	struct net *net = *state;
	Tk__Wire__PackBegin begin = TK__WIRE__PACK_BEGIN__INIT;
	struct tk_frame_head data = {.type = TK_FRAME_PACK_DATA, .len_bytes = 300, .request = 2};
	struct tk_session *session;
	struct made_pack pack;

	net_serve(net);
	make_small_pack(net->box, &pack);
	session = greet_by_hand(net);
	begin.name = tk_message_bytes(pack.ident.name.b, TK_DIGEST_BYTES);
	begin.len_bytes = pack.ident.len_bytes;
	assert_int_equal(tk_session_send_message(session, TK_FRAME_PACK_BEGIN, false, 2, &begin, NULL), TK_OK);
	assert_int_equal(tk_session_send(session, &data, pack.bytes.data, NULL), TK_OK);
	tk_session_free(session);
	for (int i = 0; i < 100 && tk_server_connections(net->server); i++)
		(void)usleep(20000);
	assert_int_equal(box_count(net->box, "tmp/*"), 0);
	assert_int_equal(box_count(net->box, "packs/*/*"), 0);
	made_pack_release(&pack);
}

/* A session sends the first half by hand and breaks; a client's session is told of it. */
static void
a_pack_that_broke_off_goes_on_where_it_was(void **state)
{
	struct net *net = *state;
	Tk__Wire__PackBegin begin = TK__WIRE__PACK_BEGIN__INIT;
	struct tk_frame_head data = {.type = TK_FRAME_PACK_DATA, .request = 2};
	struct made_blob *blobs = calloc(3000, sizeof(*blobs));
	struct tk_session *session;
	struct tk_store *store;
	struct made_pack pack;
	size_t at = 0;
	bool have;

	for (size_t i = 0; i < 3000; i++)
		blobs[i].type = TK_BLOB_DATA;
	net_serve(net);
	make_pack(net->box, blobs, 3000, &pack);
	free(blobs);
	session = greet_by_hand(net);
	begin.name = tk_message_bytes(pack.ident.name.b, TK_DIGEST_BYTES);
	begin.len_bytes = pack.ident.len_bytes;
	assert_int_equal(tk_session_send_message(session, TK_FRAME_PACK_BEGIN, false, 2, &begin, NULL), TK_OK);
	for (data.len_bytes = TK_FRAME_DATA_MAX; at < pack.bytes.len_bytes / 2; at += data.len_bytes)
		assert_int_equal(tk_session_send(session, &data, pack.bytes.data + at, NULL), TK_OK);
	tk_session_free(session);
	for (int i = 0; i < 100 && tk_server_connections(net->server); i++)
		(void)usleep(20000);
	assert_int_equal(box_count(net->box, "tmp/part-*"), 1);
	store = net_open(net);
	assert_int_equal(net_put(store, &pack, NULL), TK_OK);
	assert_int_equal(store->ops->flush(store, NULL), TK_OK);
	assert_int_equal(store->ops->have(store, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_true(have);
	assert_int_equal(box_count(net->box, "tmp/*"), 0);
	tk_store_cleanup(&store);
	made_pack_release(&pack);
}

static void *
stop_server(void *arg)
{
	tk_server_stop(arg);
	return NULL;
}

static void
a_stopping_site_finishes_the_pack_that_has_begun(void **state)
{
	struct net *net = *state;
	Tk__Wire__PackBegin begin = TK__WIRE__PACK_BEGIN__INIT;
	struct tk_frame_head data = {.type = TK_FRAME_PACK_DATA, .request = 2}, end = {.type = TK_FRAME_PACK_END, .request = 2};
	struct tk_session *session;
	struct tk_store *resting;
	struct tk_store_state site;
	struct tk_frame frame;
	struct made_pack pack;
	pthread_t stopper;

	net_serve(net);
	resting = net_open(net);
	make_small_pack(net->box, &pack);
	session = greet_by_hand(net);
	begin.name = tk_message_bytes(pack.ident.name.b, TK_DIGEST_BYTES);
	begin.len_bytes = pack.ident.len_bytes;
	assert_int_equal(tk_session_send_message(session, TK_FRAME_PACK_BEGIN, false, 2, &begin, NULL), TK_OK);
	(void)usleep(50000);
	assert_int_equal(pthread_create(&stopper, NULL, stop_server, net->server), 0);
	(void)usleep(400000);
	/* The other session was told to go. */
	assert_int_equal(resting->ops->state(resting, &net->box->domain, NULL, &site, NULL), TK_EUNREACH);
	tk_store_cleanup(&resting);
	data.len_bytes = (uint32_t)pack.bytes.len_bytes;
	assert_int_equal(tk_session_send(session, &data, pack.bytes.data, NULL), TK_OK);
	assert_int_equal(tk_session_send(session, &end, NULL, NULL), TK_OK);
	do {
		assert_int_equal(tk_session_recv(session, 2000, &frame, NULL), TK_OK);
	} while (frame.head.type == TK_FRAME_PING);
	assert_int_equal(frame.head.type, TK_FRAME_OK);
	do {
		assert_int_equal(tk_session_recv(session, 2000, &frame, NULL), TK_OK);
	} while (frame.head.type == TK_FRAME_PING);
	assert_int_equal(frame.head.type, TK_FRAME_BYE);
	pthread_join(stopper, NULL);
	assert_int_equal(box_count(net->box, "packs/*/*"), 1);
	tk_session_free(session);
	made_pack_release(&pack);
}

static void
a_drain_does_not_wait_for_ever(void **state)
{
	struct net *net = *state;
	Tk__Wire__PackBegin begin = TK__WIRE__PACK_BEGIN__INIT;
	struct tk_session *session;
	struct made_pack pack;
	int64_t start_ns;

	net->options.drain_timeout_ms = 300;
	net_serve(net);
	make_small_pack(net->box, &pack);
	session = greet_by_hand(net);
	begin.name = tk_message_bytes(pack.ident.name.b, TK_DIGEST_BYTES);
	begin.len_bytes = pack.ident.len_bytes;
	assert_int_equal(tk_session_send_message(session, TK_FRAME_PACK_BEGIN, false, 2, &begin, NULL), TK_OK);
	(void)usleep(50000);
	start_ns = tk_clock_mono_ns();
	tk_server_stop(net->server);
	assert_true(ms_since(start_ns) < 2000);
	tk_session_free(session);
	made_pack_release(&pack);
}

#define OVER_NET(name) cmocka_unit_test_setup_teardown(name, net_setup, net_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OVER_NET(a_site_that_accepts_and_never_answers_times_out),
		OVER_NET(a_site_that_hangs_times_out),
		OVER_NET(a_site_that_only_says_that_it_lives_times_out_too),
		OVER_NET(a_full_site_refuses_politely),
		OVER_NET(broken_frames_end_the_connection_and_nothing_else),
		OVER_NET(a_pack_that_broke_off_goes_on_where_it_was),
		OVER_NET(a_pack_that_breaks_off_leaves_nothing_behind),
		OVER_NET(a_stopping_site_finishes_the_pack_that_has_begun),
		OVER_NET(a_drain_does_not_wait_for_ever),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
