/* Strangers at a site's door: however many there are, and however often they come again, they are the ones who make room. */
#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "tests/unit/net_fixture.h"

#define CROWD 600u
#define TURNS 20

/* A connection from 127.0.0.`host`, after TCP's handshake; -1 if none could be had. */
static int
knock(const struct net *net, unsigned host)
{
	struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u + host)};
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001u), .sin_port = htons(net->address.port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0)
		return fd;
	if (fd >= 0)
		close(fd);
	return -1;
}

/* The first byte of a TLS record: from here on the server waits for the rest. */
static void
begin_to_speak(int fd)
{
	assert_int_equal(send(fd, "\x16", 1, MSG_NOSIGNAL), 1);
}

static bool
is_closed(int fd, int wait_ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};
	char byte;

	return poll(&wait, 1, wait_ms) > 0 && recv(fd, &byte, 1, MSG_DONTWAIT) <= 0;
}

struct crowd {
	const struct net *net;
	int fds[CROWD];
	atomic_uint came;               /* connections made */
	atomic_bool stop;
};

/* Holds CROWD connections, every other of which has begun to speak; whichever the site closes is made anew at once. */
static void *
throng(void *arg)
{
	struct crowd *crowd = arg;

	while (!atomic_load(&crowd->stop)) {
		for (unsigned i = 0; i < CROWD && !atomic_load(&crowd->stop); i++) {
			if (crowd->fds[i] >= 0 && !is_closed(crowd->fds[i], 0))
				continue;
			if (crowd->fds[i] >= 0)
				close(crowd->fds[i]);
			crowd->fds[i] = knock(crowd->net, 2);
			if (crowd->fds[i] < 0)
				continue;
			if (i % 2)
				(void)send(crowd->fds[i], "\x16", 1, MSG_NOSIGNAL);
			atomic_fetch_add(&crowd->came, 1);
		}
	}
	return NULL;
}

static unsigned
count_lines(int log_fd, const char *word)
{
	static char text[1 << 20];
	ssize_t len = pread(log_fd, text, sizeof(text) - 1, 0);
	unsigned count = 0;

	assert_true(len >= 0);
	text[len] = '\0';
	for (const char *at = text; (at = strstr(at, word)) != NULL; at++)
		count++;
	return count;
}

static void
a_crowd_of_strangers_keeps_no_peer_out(void **state)
{
	struct net *net = *state;
	struct crowd *crowd = calloc(1, sizeof(*crowd));
	struct tk_log log = {.fd = memfd_create("log", MFD_CLOEXEC), .level = TK_LOG_INFO};
	struct tk_store *early, *store;
	struct tk_store_state told;
	pthread_t thread;

	assert_non_null(crowd);
	crowd->net = net;
	for (unsigned i = 0; i < CROWD; i++)
		crowd->fds[i] = -1;
	net->options.log = &log;
	net->options.hello_timeout_ms = 10000;
	net_serve(net);
	early = net_open(net);
	assert_int_equal(pthread_create(&thread, NULL, throng, crowd), 0);
	while (atomic_load(&crowd->came) < CROWD)
		(void)usleep(1000);
	for (int i = 0; i < TURNS; i++) {
		store = net_open(net);
		assert_int_equal(store->ops->state(store, &net->box->domain, NULL, &told, NULL), TK_OK);
		tk_store_cleanup(&store);
		assert_int_equal(early->ops->state(early, &net->box->domain, NULL, &told, NULL), TK_OK);
	}
	assert_true(tk_server_connections(net->server) <= TURNS + 1);
	atomic_store(&crowd->stop, true);
	pthread_join(thread, NULL);
	/* Most of them are gone, and the log names few. */
	assert_int_equal(count_lines(log.fd, "event=strangers"), 1);
	assert_true(count_lines(log.fd, "event=refused") <= 10);
	tk_store_cleanup(&early);
	for (unsigned i = 0; i < CROWD; i++)
		if (crowd->fds[i] >= 0)
			close(crowd->fds[i]);
	tk_server_stop(net->server);
	net->options.log = NULL;
	tk_server_free(net->server);
	net->server = NULL;
	close(log.fd);
	free(crowd);
}

static void
close_all(int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		close(fds[i]);
}

static void
the_network_that_sent_the_most_makes_room(void **state)
{
	struct net *net = *state;
	int fds[5];

	net->options.max_strangers = 4;
	net->options.hello_timeout_ms = 10000;
	net_serve(net);
	for (unsigned i = 0; i < 4; i++) {
		fds[i] = knock(net, i == 0 ? 1 : 2);
		assert_true(fds[i] >= 0);
		begin_to_speak(fds[i]);
		(void)usleep(50000);
	}
	fds[4] = knock(net, 2);
	assert_true(fds[4] >= 0);
	begin_to_speak(fds[4]);
	assert_true(is_closed(fds[1], 5000));
	assert_false(is_closed(fds[0], 200) || is_closed(fds[2], 0) || is_closed(fds[3], 0) || is_closed(fds[4], 0));
	close_all(fds, 5);
}

static void
the_silent_do_not_push_out_who_speaks(void **state)
{
	struct net *net = *state;
	int fds[12];

	net->options.max_strangers = 4;
	net->options.hello_timeout_ms = 10000;
	net_serve(net);
	for (unsigned i = 0; i < 12; i++) {
		fds[i] = knock(net, 2);
		assert_true(fds[i] >= 0);
		if (i >= 4)
			continue;
		begin_to_speak(fds[i]);
		(void)usleep(50000);
	}
	for (unsigned i = 4; i < 8; i++)
		assert_true(is_closed(fds[i], 5000));
	for (unsigned i = 0; i < 12; i++)
		assert_true(is_closed(fds[i], 0) == (i >= 4 && i < 8));
	close_all(fds, 12);
}

static void
a_site_that_stops_does_not_wait_for_strangers(void **state)
{
	struct net *net = *state;
	int64_t start_ns;
	int fds[3];

	net->options.hello_timeout_ms = 20000;
	net->options.drain_timeout_ms = 20000;
	net_serve(net);
	for (unsigned i = 0; i < 3; i++) {
		fds[i] = knock(net, 1);
		assert_true(fds[i] >= 0);
		if (i > 0)
			begin_to_speak(fds[i]);
	}
	(void)usleep(100000);
	start_ns = tk_clock_mono_ns();
	tk_server_stop(net->server);
	assert_true(tk_clock_mono_ns() - start_ns < 10000000000);
	close_all(fds, 3);
}

static void
recoveries_have_a_bound_of_their_own(void **state)
{
	struct net *net = *state;
	struct tk_tls_config config = {.role = TK_TLS_CLIENT, .anonymous = true};
	struct tk_client_options options = {.site_name = NULL, .role = TK_ROLE_RECOVERY, .io_timeout_ms = 3000, .connect_timeout_ms = 3000};
	struct tk_store *recovering[4], *one_more = NULL, *store;
	struct tk_err err;

	net_serve(net);
	assert_int_equal(tk_tls_ctx_new(&config, &options.tls, NULL), TK_OK);
	options.address = net->address;
	for (unsigned i = 0; i < 4; i++)
		assert_int_equal(tk_client_open(&options, &recovering[i], NULL), TK_OK);
	assert_int_equal(tk_client_open(&options, &one_more, &err), TK_EUNREACH);
	assert_non_null(strstr(err.text, "as many connections"));
	store = net_open(net);
	tk_store_cleanup(&store);
	for (unsigned i = 0; i < 4; i++)
		tk_store_cleanup(&recovering[i]);
	tk_tls_ctx_free(options.tls);
}

#define OVER_NET(name) cmocka_unit_test_setup_teardown(name, net_setup, net_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		OVER_NET(a_crowd_of_strangers_keeps_no_peer_out),
		OVER_NET(the_network_that_sent_the_most_makes_room),
		OVER_NET(the_silent_do_not_push_out_who_speaks),
		OVER_NET(a_site_that_stops_does_not_wait_for_strangers),
		OVER_NET(recoveries_have_a_bound_of_their_own),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
