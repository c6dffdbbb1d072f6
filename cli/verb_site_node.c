/* twinkeep site enrol, revoke, rebuild: what is done where a site's vault is. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/daemon.h"
#include "cli/home.h"
#include "cli/paths.h"
#include "cli/vault_home.h"
#include "cli/verbs.h"
#include "engine/catalog/journal.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "transport/address.h"
#include "transport/enrol.h"

#define LISTEN_DEFAULT ":7443"
#define PID_TEXT_MAX 32
#define COMM_MAX 64
#define DAEMON_COMM "twinkeepd\n"

static enum tk_rc
open_site_home(const struct tk_cli *cli, char home[PATH_MAX], struct tk_config **out, struct tk_err *err)
{
	enum tk_rc rc = tk_path_absolute(cli->home, home, err);

	if (rc)
		return rc;
	if (!tk_is_site_home(home))
		return tk_err_set(err, TK_ECONFIG, "%s has no %s: give --home of the site's daemon, at the site", home, TK_SITE_CONFIG_FILE);
	return tk_daemon_config(home, out, err);
}

/* A number alone proves nothing after a crash: another program may have it by now. */
static bool
is_daemon(long pid)
{
	char path[64], comm[COMM_MAX];
	TK_AUTO(tk_fd_cleanup) int fd = -1;
	size_t got = 0;

	(void)snprintf(path, sizeof(path), "/proc/%ld/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && !tk_read_full(fd, comm, sizeof(comm), &got, path, NULL) && got == strlen(DAEMON_COMM) && memcmp(comm, DAEMON_COMM, got) == 0;
}

/* The daemon of a home, when it runs; else 0. */
static pid_t
running_daemon(const char *home)
{
	TK_AUTO(tk_buf_release) struct tk_buf pid_text = {0};
	char path[PATH_MAX], digits[PID_TEXT_MAX] = "";
	long pid;

	if (snprintf(path, sizeof(path), "%s/%s", home, TK_DAEMON_PID_FILE) >= (int)sizeof(path) ||
	    tk_read_file_at(AT_FDCWD, path, PID_TEXT_MAX - 1, &pid_text, NULL))
		return 0;
	memcpy(digits, pid_text.data, pid_text.len_bytes);
	pid = strtol(digits, NULL, 10);
	return pid > 0 && is_daemon(pid) ? (pid_t)pid : 0;
}

/* Tells a running daemon to look again, and says what was or must be done. */
static void
tell_daemon(const struct tk_cli *cli, const char *home)
{
	pid_t pid = running_daemon(home);
	bool told = pid > 0 && kill(pid, SIGHUP) == 0;

	tk_out_set(cli->out, "daemon_told", json_boolean(told));
	if (told)
		tk_out_text(cli->out, "twinkeepd (process %ld) was told.\n", (long)pid);
	else if (pid > 0)
		tk_out_text(cli->out, "twinkeepd (process %ld) could not be told: send it SIGHUP.\n", (long)pid);
}

/* ---- enrol ---- */

static enum tk_rc
make_site_home(const struct tk_cli *cli, const char *home, const struct tk_invite *invite, struct tk_err *err)
{
	static const char *const fallback[] = {LISTEN_DEFAULT};
	const struct tk_values *listen = &cli->command.values[TK_OPT_LISTEN];
	const char *vault_option = tk_cli_value(cli, TK_OPT_VAULT);
	char vault[PATH_MAX];
	struct tk_address address;
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < listen->count && !rc; i++)
		if ((rc = tk_address_parse(listen->items[i], &address, err)) && err)
			err->rc = rc = TK_EUSAGE;
	if (!rc && vault_option)
		rc = tk_path_absolute(vault_option, vault, err);
	if (!rc)
		rc = tk_mkdir_p_at(AT_FDCWD, home, 0700, err);
	if (rc)
		return rc;
	return tk_site_home_create(home, invite, listen->count ? listen->items : fallback, listen->count ? listen->count : 1,
				   vault_option ? vault : NULL, err);
}

/* In the place of one that is lost with its disk; its sources are to be enrolled again, each by an invitation. */
static enum tk_rc
make_vault_anew(const struct tk_cli *cli, const char *path, const char *name, struct tk_err *err)
{
	enum tk_rc rc;

	if (!tk_cli_flag(cli, TK_OPT_FORCE))
		return tk_vault_home_gone(path, err, TK_ENOENT);
	if ((rc = tk_vault_create(path, name, err)))
		return rc;
	tk_out_text(cli->out, "A new vault is made in %s; every other source needs a new invitation, too. At each source run, when twinkeepd runs again:\n"
		    "  twinkeep site readmit %s\n", path, name);
	return TK_OK;
}

/* One more source for a site that is there. */
static enum tk_rc
join_site_home(const struct tk_cli *cli, const char *home, const struct tk_invite *invite, struct tk_err *err)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *config = NULL;
	enum tk_rc rc;

	if (tk_cli_flag(cli, TK_OPT_LISTEN) || tk_cli_flag(cli, TK_OPT_VAULT))
		return tk_err_set(err, TK_EUSAGE, "%s is a site already: its addresses and its vault stand in %s", home, TK_SITE_CONFIG_FILE);
	rc = tk_daemon_config(home, &config, err);
	if (!rc && !tk_is_vault(config->daemon.vault))
		rc = make_vault_anew(cli, config->daemon.vault, invite->site_name, err);
	return rc ? rc : tk_site_home_add_source(home, config->daemon.vault, invite, err);
}

static enum tk_rc
enrol(const struct tk_cli *cli, struct tk_err *err)
{
	TK_AUTO(tk_invite_release) struct tk_invite invite = {0};
	const char *name = tk_cli_operand(cli, 0), *file = tk_cli_operand(cli, 1);
	char home[PATH_MAX];
	bool joined;
	enum tk_rc rc;

	if ((rc = tk_path_absolute(cli->home, home, err)) || (rc = tk_invite_read(file, &invite, err)))
		return rc;
	if (strcmp(invite.site_name, name) != 0)
		return tk_err_set(err, TK_EUSAGE, "the invitation is for site %s, not for %s", invite.site_name, name);
	joined = tk_is_site_home(home);
	if ((rc = joined ? join_site_home(cli, home, &invite, err) : make_site_home(cli, home, &invite, err)))
		return rc;
	tk_out_set(cli->out, "site", tk_json_text(name));
	tk_out_set(cli->out, "home", tk_json_text(home));
	tk_out_set(cli->out, "source", tk_json_text(invite.source_name));
	tk_out_text(cli->out, "Site %s serves source %s; delete %s, it holds a private key.\n", name, invite.source_name, file);
	if (joined)
		tell_daemon(cli, home);
	else
		tk_out_text(cli->out, "Start it with: twinkeepd --home %s\n", home);
	return TK_OK;
}

int
tk_verb_site_enrol(const struct tk_cli *cli)
{
	struct tk_err err;

	tk_err_clear(&err);
	return enrol(cli, &err) ? tk_out_fail(cli->out, &err) : 0;
}

/* ---- revoke ---- */

static enum tk_rc
revoke_peer(const struct tk_cli *cli, struct tk_err *err)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *config = NULL;
	const char *name = tk_cli_operand(cli, 0);
	char home[PATH_MAX];
	enum tk_rc rc;

	if ((rc = open_site_home(cli, home, &config, err)) || (rc = tk_registry_revoke(config->daemon.vault, name, err)))
		return rc;
	tk_out_set(cli->out, "revoked", tk_json_text(name));
	tk_out_text(cli->out, "%s has no rights at this site any more.\n", name);
	tell_daemon(cli, home);
	return TK_OK;
}

int
tk_verb_site_revoke(const struct tk_cli *cli)
{
	struct tk_err err;

	tk_err_clear(&err);
	return revoke_peer(cli, &err) ? tk_out_fail(cli->out, &err) : 0;
}

/* ---- rebuild ---- */

/* Under the vault's lock; whoever opens the vault next finds no index and makes it anew, so it does not matter who that is. */
static enum tk_rc
remove_index(const char *path, struct tk_err *err)
{
	static const char *const names[] = {"index.db", "index.db-wal", "index.db-shm"};
	TK_AUTO(tk_fd_cleanup) int dirfd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	TK_AUTO(tk_fd_cleanup) int lock_fd = -1;
	enum tk_rc rc;

	if (dirfd < 0)
		return tk_err_errno(err, TK_EIO, "vault %s", path);
	if ((rc = tk_lock_file(dirfd, "lock", &lock_fd, err)))
		return tk_vault_home_locked(err, tk_err_context(err, rc, "vault %s", path));
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (unlinkat(dirfd, names[i], 0) < 0 && errno != ENOENT)
			return tk_err_errno(err, TK_EIO, "%s/%s", path, names[i]);
	return tk_fsync_dir(dirfd, path, err);
}

static enum tk_rc
count_points(struct tk_vault *vault, size_t *points, struct tk_err *err)
{
	struct tk_id *domains = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_vault_list_domains(vault, &domains, &count, err);

	*points = 0;
	for (size_t i = 0; i < count && !rc; i++) {
		struct tk_store_point *list = NULL;
		size_t listed = 0;

		rc = tk_vault_list_points(vault, &domains[i], &list, &listed, err);
		*points += listed;
		free(list);
	}
	free(domains);
	return rc;
}

static enum tk_rc
rebuild(const struct tk_cli *cli, struct tk_vault_home *where, struct tk_err *err)
{
	TK_AUTO(tk_vault_cleanup) struct tk_vault *vault = NULL;
	const char *name = tk_cli_operand(cli, 0);
	size_t points;
	enum tk_rc rc;

	if ((rc = tk_vault_home_find(cli, name, where, err)))
		return rc;
	if (!where->vault)
		return tk_err_set(err, TK_EUSAGE, "the vault of site %s is not here: run this at the site, with --home of its daemon", name);
	if ((rc = remove_index(where->vault, err)) || (rc = tk_vault_open(where->vault, TK_VAULT_SERVE, cli->log, &vault, err)) ||
	    (rc = count_points(vault, &points, err)))
		return rc;
	tk_out_set(cli->out, "site", tk_json_text(name));
	tk_out_set(cli->out, "points", json_integer((json_int_t)points));
	tk_out_text(cli->out, "The index of site %s is made anew from its files: %zu point%s.\n", name, points, points == 1 ? "" : "s");
	return TK_OK;
}

int
tk_verb_site_rebuild(const struct tk_cli *cli)
{
	TK_AUTO(tk_vault_home_release) struct tk_vault_home where = {0};
	struct tk_err err;

	tk_err_clear(&err);
	return rebuild(cli, &where, &err) ? tk_out_fail(cli->out, &err) : 0;
}
