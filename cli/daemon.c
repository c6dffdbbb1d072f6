#include "cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/background.h"
#include "cli/notify.h"
#include "cli/vault_home.h"
#include "engine/base/clock.h"
#include "engine/fsio/openat.h"
#include "engine/vault/vault.h"
#include "transport/enrol.h"
#include "transport/home_file.h"
#include "transport/server.h"

#define CONFIG_MAX (1u << 20)
/* How often the status line is brought up to date. */
#define STATUS_MS 10000

struct daemon {
	const struct tk_daemon_options *options;
	int home_fd, log_fd, ready_fd;
	struct tk_log log;
	struct tk_config *config;
	struct tk_vault *vault;
	struct tk_tls_ctx *tls;
	struct tk_server *server;
	sigset_t signals;
};

enum tk_rc
tk_daemon_config(const char *home, struct tk_config **out, struct tk_err *err)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *config = NULL;
	char path[4096];
	struct tk_buf text;
	enum tk_rc rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/%s", home, TK_SITE_CONFIG_FILE) >= sizeof(path))
		return tk_err_set(err, TK_EINVAL, "the path of the home is too long");
	tk_buf_init(&text, CONFIG_MAX + 1);
	rc = tk_home_file_get(AT_FDCWD, path, CONFIG_MAX, &text, err);
	if (!rc)
		rc = tk_config_parse((const char *)text.data, text.len_bytes, path, &config, NULL, err);
	else if (rc == TK_ENOENT)
		rc = tk_config_load(home, tk_config_state_default(home), &config, NULL, err);
	tk_buf_release(&text);
	if (rc)
		return rc;
	if (!config->daemon.present)
		return tk_err_set(err, TK_ECONFIG, "%s: no daemon section; write daemon { listen = {\":7443\"} vault = \"/path\" }",
				  config->files.count ? config->files.items[0] : path);
	*out = config;
	config = NULL;
	return TK_OK;
}

static enum tk_log_level
log_level(const struct daemon *daemon)
{
	int level = (int)daemon->config->log_level + daemon->options->verbosity;

	if (level < (int)TK_LOG_ERROR)
		return TK_LOG_ERROR;
	return level > (int)TK_LOG_DEBUG ? TK_LOG_DEBUG : (enum tk_log_level)level;
}

static enum tk_rc
open_log(struct daemon *daemon, struct tk_err *err)
{
	daemon->log.level = log_level(daemon);
	daemon->log.fd = STDERR_FILENO;
	if (daemon->options->foreground)
		return TK_OK;
	daemon->log_fd = openat(daemon->home_fd, TK_DAEMON_LOG_FILE, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (daemon->log_fd < 0)
		return tk_err_errno(err, TK_EIO, "open the log %s/%s", daemon->options->home, TK_DAEMON_LOG_FILE);
	daemon->log.fd = daemon->log_fd;
	return TK_OK;
}

static enum tk_rc
start_server(struct daemon *daemon, struct tk_err *err)
{
	const struct tk_config_daemon *config = &daemon->config->daemon;
	struct tk_address listen[TK_SERVER_LISTEN_MAX];
	struct tk_server_options options = {.vault = daemon->vault, .log = &daemon->log, .listen = listen, .max_connections = (unsigned)config->max_clients};
	TK_AUTO(tk_registry_cleanup) struct tk_registry *registry = NULL;
	enum tk_rc rc = TK_OK;

	if (config->listen.count > TK_SERVER_LISTEN_MAX)
		return tk_err_set(err, TK_ECONFIG, "more than %u addresses to listen on", TK_SERVER_LISTEN_MAX);
	for (size_t i = 0; !rc && i < config->listen.count; i++)
		rc = tk_address_parse(config->listen.items[i], &listen[options.listen_count++], err);
	if (rc)
		return tk_err_context(err, tk_err_set(err, TK_ECONFIG, "%s", err->text), "listen");
	rc = tk_registry_load(config->vault, &daemon->log, &registry, err);
	if (!rc)
		rc = tk_server_start(&options, daemon->tls, registry, &daemon->server, err);
	if (!rc)
		registry = NULL;
	return rc;
}

/* For scripts and people: who runs, and where it listens. */
static enum tk_rc
write_marks(struct daemon *daemon, struct tk_err *err)
{
	char text[TK_SERVER_LISTEN_MAX * TK_ADDRESS_TEXT_MAX], address[TK_ADDRESS_TEXT_MAX];
	size_t len = 0;
	enum tk_rc rc;

	for (unsigned i = 0; tk_server_address(daemon->server, i, address); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s\n", address);
	rc = tk_home_file_put(daemon->home_fd, TK_DAEMON_ADDR_FILE, text, len, 0644, err);
	if (rc)
		return rc;
	len = (size_t)snprintf(text, sizeof(text), "%ld\n", (long)getpid());
	return tk_home_file_put(daemon->home_fd, TK_DAEMON_PID_FILE, text, len, 0644, err);
}

/* What fails keeps everything as it was: a slip in a file must not take the site down. */
static void
reload(struct daemon *daemon)
{
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *tls = NULL;
	TK_AUTO(tk_config_cleanup) struct tk_config *config = NULL;
	struct tk_registry *registry = NULL;
	struct tk_err err;
	enum tk_rc rc;

	tk_notify_reloading();
	rc = tk_daemon_config(daemon->options->home, &config, &err);
	if (!rc)
		rc = tk_site_home_tls(daemon->options->home, &tls, &err);
	if (!rc)
		rc = tk_registry_load(daemon->config->daemon.vault, &daemon->log, &registry, &err);
	if (rc) {
		tk_log_event(&daemon->log, TK_LOG_ERROR, "reload-failed", "text=\"%s\"", err.text);
	} else {
		tk_server_reload(daemon->server, tls, registry);
		tk_log_event(&daemon->log, TK_LOG_INFO, "reloaded", "home=%s", daemon->options->home);
	}
	tk_notify("READY=1");
}

static void
show_status(struct daemon *daemon)
{
	tk_notify("STATUS=site %s serves %u connections", tk_vault_site(daemon->vault)->name, tk_server_connections(daemon->server));
}

/* Until somebody asks for the end. */
static void
serve(struct daemon *daemon)
{
	int64_t watchdog_ms = tk_notify_watchdog_ms(), wait_ms = watchdog_ms && watchdog_ms < STATUS_MS ? watchdog_ms : STATUS_MS;
	struct timespec wait = {.tv_sec = wait_ms / 1000, .tv_nsec = wait_ms % 1000 * 1000000};

	for (;;) {
		int number;

		show_status(daemon);
		if (watchdog_ms)
			tk_notify("WATCHDOG=1");
		number = sigtimedwait(&daemon->signals, NULL, &wait);
		if (number == SIGHUP)
			reload(daemon);
		else if (number == SIGTERM || number == SIGINT)
			return;
	}
}

/* Before there are threads: all of them inherit the mask, and the signals come to serve() alone. */
static enum tk_rc
block_signals(struct daemon *daemon, struct tk_err *err)
{
	sigemptyset(&daemon->signals);
	sigaddset(&daemon->signals, SIGTERM);
	sigaddset(&daemon->signals, SIGINT);
	sigaddset(&daemon->signals, SIGHUP);
	if (pthread_sigmask(SIG_BLOCK, &daemon->signals, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return tk_err_set(err, TK_EIO, "cannot set up signals");
	return TK_OK;
}

static enum tk_rc
daemon_begin(struct daemon *daemon, struct tk_err *err)
{
	const char *home = daemon->options->home;
	enum tk_rc rc;

	daemon->home_fd = open(home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (daemon->home_fd < 0)
		return errno == ENOENT ? tk_err_set(err, TK_ECONFIG, "there is no home %s; make one with `twinkeep site enrol`, or name it with --home", home)
				       : tk_err_errno(err, TK_EIO, "open the home %s", home);
	rc = tk_daemon_config(home, &daemon->config, err);
	if (!rc)
		rc = open_log(daemon, err);
	if (!rc && !daemon->options->foreground)
		rc = tk_background_begin(&daemon->ready_fd, err);
	if (!rc)
		rc = block_signals(daemon, err);
	if (!rc)
		rc = tk_site_home_tls(home, &daemon->tls, err);
	if (!rc)
		rc = tk_vault_home_gone(daemon->config->daemon.vault, err,
					tk_vault_open(daemon->config->daemon.vault, TK_VAULT_SERVE, &daemon->log, &daemon->vault, err));
	if (!rc)
		rc = start_server(daemon, err);
	return rc ? rc : write_marks(daemon, err);
}

static void
daemon_end(struct daemon *daemon)
{
	if (daemon->server) {
		(void)unlinkat(daemon->home_fd, TK_DAEMON_ADDR_FILE, 0);
		tk_server_free(daemon->server);
		(void)unlinkat(daemon->home_fd, TK_DAEMON_PID_FILE, 0);
	}
	tk_vault_close(daemon->vault);
	tk_tls_ctx_free(daemon->tls);
	tk_config_free(daemon->config);
	tk_fd_cleanup(&daemon->home_fd);
	tk_fd_cleanup(&daemon->log_fd);
	tk_fd_cleanup(&daemon->ready_fd);
}

enum tk_rc
tk_daemon_run(const struct tk_daemon_options *options, struct tk_err *err)
{
	struct daemon daemon = {.options = options, .home_fd = -1, .log_fd = -1, .ready_fd = -1};
	enum tk_rc rc = daemon_begin(&daemon, err);

	if (!rc) {
		tk_log_event(&daemon.log, TK_LOG_INFO, "ready", "site=%s pid=%ld", tk_vault_site(daemon.vault)->name, (long)getpid());
		tk_notify("READY=1\nMAINPID=%ld", (long)getpid());
		tk_background_ready(&daemon.ready_fd, daemon.log_fd);
		serve(&daemon);
		tk_log_event(&daemon.log, TK_LOG_INFO, "stopping", "connections=%u", tk_server_connections(daemon.server));
		tk_notify("STOPPING=1\nSTATUS=finishing what is in flight");
	}
	daemon_end(&daemon);
	return rc;
}
