/* twinkeepd as a program: its home, its signals, its exit statuses. It is run from the build directory. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "tests/unit/net_fixture.h"
#include "transport/enrol.h"

struct site {
	struct scratch *scratch;
	struct net_node ca, node;
	struct tk_id source;
	char home[96], invitation[96], program[512];
};

static struct tk_bytes
bytes_of(const struct tk_buf *buf)
{
	return (struct tk_bytes){buf->data, buf->len_bytes};
}

static pid_t
spawn(const struct site *site, char *const argv[])
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		int fd = openat(site->scratch->fd, "output", O_WRONLY | O_CREAT | O_APPEND, 0644);

		(void)dup2(fd, STDOUT_FILENO);
		(void)dup2(fd, STDERR_FILENO);
		(void)execv(site->program, argv);
		_exit(127);
	}
	return pid;
}

static int
status_of(pid_t pid)
{
	int status = -1;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

#define MAX_WORDS 12
/* twinkeepd with these words (NULL: the end), to its end; gives its exit status. */
static int
run(struct site *site, const char *const *words)
{
	char copies[MAX_WORDS][128], *argv[MAX_WORDS + 2] = {site->program};
	size_t i;

	for (i = 0; words[i]; i++) {
		(void)snprintf(copies[i], sizeof(copies[i]), "%s", words[i]);
		argv[i + 1] = copies[i];
	}
	argv[i + 1] = NULL;
	return status_of(spawn(site, argv));
}

static pid_t
start(struct site *site)
{
	char home_word[] = "--home", foreground[] = "--foreground";
	char *argv[] = {site->program, home_word, site->home, foreground, NULL};

	return spawn(site, argv);
}

static int
setup(void **state)
{
	struct site *site = calloc(1, sizeof(*site));
	struct tk_invite_request request = {.site_name = "site-a", .source_name = "city", .now_ns = tk_clock_wall_ns(), .years = 1};
	const char *builddir = getenv("TK_BUILDDIR");
	void *scratch = NULL;

	assert_non_null(site);
	if (scratch_setup(&scratch))
		return -1;
	site->scratch = scratch;
	(void)snprintf(site->program, sizeof(site->program), "%s/twinkeepd", builddir ? builddir : ".");
	(void)scratch_path(site->scratch, "home", site->home, sizeof(site->home));
	(void)scratch_path(site->scratch, "invitation", site->invitation, sizeof(site->invitation));
	net_make_ca(&site->ca, "city");
	net_make_node(&site->ca, &site->node, "city");
	memset(&site->source, 0x21, sizeof(site->source));
	request.source = site->source;
	request.source_cert_pem = bytes_of(&site->node.cert);
	request.ca_cert_pem = bytes_of(&site->ca.cert);
	request.ca_key_pem = bytes_of(&site->ca.key);
	assert_int_equal(tk_invite_make_file(&request, site->invitation, NULL), TK_OK);
	*state = site;
	return 0;
}

static int
teardown(void **state)
{
	struct site *site = *state;
	void *scratch = site->scratch;

	net_node_release(&site->ca);
	net_node_release(&site->node);
	free(site);
	return scratch_teardown(&scratch);
}

static void
init(struct site *site)
{
	const char *const words[] = {"init", "--home", site->home, "--invite", site->invitation, "--listen", "127.0.0.1:0", NULL};

	assert_int_equal(run(site, words), 0);
}

/* Waits until the daemon has said where it listens. */
static void
wait_for_address(struct site *site, struct tk_address *address)
{
	char text[TK_ADDRESS_TEXT_MAX];

	for (int i = 0; i < 250; i++) {
		(void)scratch_read(site->scratch, "home/twinkeepd.pid", text, sizeof(text));
		if (text[0]) {
			(void)scratch_read(site->scratch, "home/twinkeepd.addr", text, sizeof(text));
			text[strcspn(text, "\n")] = '\0';
			assert_int_equal(tk_address_parse(text, address, NULL), TK_OK);
			return;
		}
		(void)usleep(20000);
	}
	fail_msg("the daemon does not start");
}

static enum tk_rc
open_session(struct site *site, const struct tk_address *address, struct tk_store **store)
{
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *tls = NULL;
	struct tk_client_options options = {.address = *address, .site_name = "site-a", .role = TK_ROLE_SOURCE, .source = site->source,
		.io_timeout_ms = 3000, .connect_timeout_ms = 3000};
	enum tk_rc rc = tk_source_tls(&site->source, bytes_of(&site->ca.cert), bytes_of(&site->node.cert), bytes_of(&site->node.key), &tls, NULL);

	options.tls = tls;
	return rc ? rc : tk_client_open(&options, store, NULL);
}

static void
a_site_is_made_serves_and_stops(void **state)
{
	struct site *site = *state;
	const char *const again[] = {"init", "--home", site->home, "--invite", site->invitation, NULL};
	const char *const second[] = {"--home", site->home, "--foreground", NULL};
	struct tk_address address;
	struct tk_store *store = NULL;
	char text[64];
	pid_t pid;

	init(site);
	assert_int_equal(run(site, again), 1);
	pid = start(site);
	wait_for_address(site, &address);
	(void)scratch_read(site->scratch, "home/twinkeepd.pid", text, sizeof(text));
	assert_int_equal(atol(text), pid);
	assert_int_equal(open_session(site, &address, &store), TK_OK);
	assert_int_equal(run(site, second), 9);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(status_of(pid), 0);
	tk_store_cleanup(&store);
	assert_int_equal(faccessat(site->scratch->fd, "home/twinkeepd.pid", F_OK, 0), -1);
	assert_int_equal(faccessat(site->scratch->fd, "home/twinkeepd.addr", F_OK, 0), -1);
}

static void
a_killed_daemon_starts_again(void **state)
{
	struct site *site = *state;
	struct tk_address address;
	struct tk_store *store = NULL;
	pid_t pid;

	init(site);
	pid = start(site);
	wait_for_address(site, &address);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_int_equal(status_of(pid), -1);
	assert_int_equal(unlinkat(site->scratch->fd, "home/twinkeepd.pid", 0), 0);
	pid = start(site);
	wait_for_address(site, &address);
	assert_int_equal(open_session(site, &address, &store), TK_OK);
	tk_store_cleanup(&store);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(status_of(pid), 0);
}

static void
a_revoked_source_is_out_after_a_reload(void **state)
{
	struct site *site = *state;
	const char *const revoke[] = {"revoke", "--home", site->home, "city", NULL};
	const char *const unknown[] = {"revoke", "--home", site->home, "nobody", NULL};
	struct tk_address address;
	struct tk_store *store = NULL, *refused = NULL;
	struct tk_store_state told;
	enum tk_rc rc = TK_OK;
	pid_t pid;

	init(site);
	pid = start(site);
	wait_for_address(site, &address);
	assert_int_equal(open_session(site, &address, &store), TK_OK);
	assert_int_equal(run(site, revoke), 0);
	assert_int_equal(run(site, unknown), 1);
	assert_int_equal(kill(pid, SIGHUP), 0);
	for (int i = 0; i < 100 && !rc; i++) {
		rc = store->ops->state(store, &site->source, NULL, &told, NULL);
		(void)usleep(20000);
	}
	assert_int_equal(rc, TK_EUNREACH);
	assert_int_equal(open_session(site, &address, &refused), TK_EDENIED);
	tk_store_cleanup(&store);
	assert_int_equal(kill(pid, SIGTERM), 0);
	assert_int_equal(status_of(pid), 0);
}

static void
in_the_background_the_parent_ends_when_the_daemon_is_ready(void **state)
{
	struct site *site = *state;
	const char *const words[] = {"--home", site->home, NULL};
	char text[4096];
	pid_t pid;

	init(site);
	assert_int_equal(run(site, words), 0);
	(void)scratch_read(site->scratch, "home/twinkeepd.pid", text, sizeof(text));
	pid = (pid_t)atol(text);
	assert_true(pid > 1);
	/* A second one is told so on its own terminal. */
	assert_int_not_equal(run(site, words), 0);
	(void)scratch_read(site->scratch, "home/twinkeepd.log", text, sizeof(text));
	assert_non_null(strstr(text, "event=ready site=site-a"));
	assert_int_equal(kill(pid, SIGTERM), 0);
	for (int i = 0; i < 250 && faccessat(site->scratch->fd, "home/twinkeepd.pid", F_OK, 0) == 0; i++)
		(void)usleep(20000);
	assert_int_equal(faccessat(site->scratch->fd, "home/twinkeepd.pid", F_OK, 0), -1);
}

static void
the_service_manager_hears_that_it_is_ready(void **state)
{
	struct site *site = *state;
	struct sockaddr_un where = {.sun_family = AF_UNIX};
	struct timeval patience = {.tv_sec = 5};
	char text[1024] = "";
	ssize_t got;
	pid_t pid;
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	init(site);
	assert_true(fd >= 0);
	(void)scratch_path(site->scratch, "notify", where.sun_path, sizeof(where.sun_path));
	assert_int_equal(bind(fd, (struct sockaddr *)&where, sizeof(where)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", where.sun_path, 1), 0);
	pid = start(site);
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	got = recv(fd, text, sizeof(text) - 1, 0);
	assert_true(got > 0);
	text[got] = '\0';
	assert_non_null(strstr(text, "READY=1"));
	assert_int_equal(kill(pid, SIGTERM), 0);
	do {
		got = recv(fd, text, sizeof(text) - 1, 0);
		assert_true(got > 0);
		text[got] = '\0';
	} while (!strstr(text, "STOPPING=1"));
	assert_int_equal(status_of(pid), 0);
	close(fd);
}

static void
mistakes_have_their_exit_statuses(void **state)
{
	struct site *site = *state;
	const char *const bogus[] = {"serve", NULL}, *const option[] = {"--bogus", NULL}, *const no_invite[] = {"init", "--home", site->home, NULL};
	const char *const empty[] = {"--home", site->home, "--foreground", NULL};
	const char *const help[] = {"--help", NULL};
	char text[256];

	assert_int_equal(run(site, bogus), 2);
	assert_int_equal(run(site, option), 2);
	assert_int_equal(run(site, no_invite), 2);
	assert_int_equal(run(site, help), 0);
	assert_int_equal(run(site, empty), 2);
	init(site);
	(void)snprintf(text, sizeof(text), "daemon { vault = \"%s/vault\" listen = {\"nonsense\"} }\n", site->home);
	scratch_file(site->scratch, "home/twinkeepd.conf", text);
	assert_int_equal(run(site, empty), 2);
	scratch_file(site->scratch, "home/twinkeepd.conf", "daemon { vault = \"/nowhere\" listen = {\":0\"} }\n");
	assert_int_equal(run(site, empty), 1);
	scratch_file(site->scratch, "home/twinkeepd.conf", "source = x\n");
	assert_int_equal(run(site, empty), 2);
}

#define SITE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SITE(a_site_is_made_serves_and_stops),
		SITE(a_killed_daemon_starts_again),
		SITE(a_revoked_source_is_out_after_a_reload),
		SITE(in_the_background_the_parent_ends_when_the_daemon_is_ready),
		SITE(the_service_manager_hears_that_it_is_ready),
		SITE(mistakes_have_their_exit_statuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
