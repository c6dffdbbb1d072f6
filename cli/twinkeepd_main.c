/* twinkeepd: the daemon of a site, and the few commands that make its home and say whom it serves. */
#include "config.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/daemon.h"
#include "cli/output.h"
#include "engine/base/hex.h"
#include "transport/enrol.h"
#include "transport/server.h"

struct args {
	const char *command;            /* NULL: run */
	const char *operand;
	char *home;                     /* absolute, owned */
	const char *invite, *vault;
	const char *listen[TK_SERVER_LISTEN_MAX];
	size_t listen_count;
	bool foreground;
	int verbosity;
};

static const char usage_text[] =
	"Usage: twinkeepd [--home DIR] [--foreground] [-v] [-q]\n"
	"       twinkeepd init [--home DIR] --invite FILE [--listen ADDRESS:PORT]... [--vault DIR]\n"
	"       twinkeepd accept [--home DIR] --invite FILE\n"
	"       twinkeepd peers [--home DIR]\n"
	"       twinkeepd revoke [--home DIR] NAME\n"
	"\n"
	"twinkeepd is the daemon of a site: it stores the recovery points that sources send, sealed, gives signed receipts for them, and serves them.\n"
	"\n"
	"Without a command: serves the vault of the home until SIGTERM; SIGHUP reloads certificates and peers.\n"
	"  init     makes the home of a new site from an invitation (twinkeep site invite)\n"
	"  accept   lets a further source in, from its invitation\n"
	"  peers    lists who is registered\n"
	"  revoke   takes a peer's rights away; a running daemon closes its sessions at the next SIGHUP (twinkeep site revoke sends it)\n"
	"\n"
	"  --home DIR       the home; default TWINKEEP_HOME or " TK_HOME_DEFAULT "\n"
	"  --foreground     stay, and log to standard error instead of twinkeepd.log in the home\n"
	"  --invite FILE    the invitation; delete it afterwards, it holds a private key\n"
	"  --listen A:P     where to listen; [::1]:7443 for IPv6, port 0 for any; may be repeated; default :7443, every address\n"
	"  --vault DIR      where to store; default vault in the home\n"
	"  -v, -q           log more, log less\n"
	"  --help, --version\n";

enum { OPT_HOME = 256, OPT_FOREGROUND, OPT_INVITE, OPT_LISTEN, OPT_VAULT, OPT_HELP, OPT_VERSION };

static const struct option long_options[] = {
	{"home", required_argument, NULL, OPT_HOME},
	{"foreground", no_argument, NULL, OPT_FOREGROUND},
	{"invite", required_argument, NULL, OPT_INVITE},
	{"listen", required_argument, NULL, OPT_LISTEN},
	{"vault", required_argument, NULL, OPT_VAULT},
	{"verbose", no_argument, NULL, 'v'},
	{"quiet", no_argument, NULL, 'q'},
	{"help", no_argument, NULL, OPT_HELP},
	{"version", no_argument, NULL, OPT_VERSION},
	{NULL, 0, NULL, 0},
};

/* A path as it is from /: the daemon keeps working wherever it was started. */
static enum tk_rc
absolute(const char *path, char **out, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf text = {0};
	char here[4096];
	enum tk_rc rc = TK_OK;

	if (path[0] != '/') {
		if (!getcwd(here, sizeof(here)))
			return tk_err_errno(err, TK_EIO, "find the working directory");
		rc = tk_buf_put(&text, here, strlen(here), err);
		if (!rc)
			rc = tk_buf_put(&text, "/", 1, err);
	}
	if (!rc)
		rc = tk_buf_put(&text, path, strlen(path) + 1, err);
	if (rc)
		return rc;
	free(*out);
	*out = strdup((const char *)text.data);
	return *out ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for a path");
}

static enum tk_rc
take_option(struct args *args, int option, struct tk_err *err)
{
	switch (option) {
	case OPT_HOME:
		return absolute(optarg, &args->home, err);
	case OPT_FOREGROUND:
		args->foreground = true;
		return TK_OK;
	case OPT_INVITE:
		args->invite = optarg;
		return TK_OK;
	case OPT_LISTEN:
		if (args->listen_count == TK_SERVER_LISTEN_MAX)
			return tk_err_set(err, TK_EUSAGE, "more than %u addresses to listen on", TK_SERVER_LISTEN_MAX);
		args->listen[args->listen_count++] = optarg;
		return TK_OK;
	case OPT_VAULT:
		args->vault = optarg;
		return TK_OK;
	case 'v':
		args->verbosity++;
		return TK_OK;
	case 'q':
		args->verbosity--;
		return TK_OK;
	default:
		return tk_err_set(err, TK_EUSAGE, "see twinkeepd --help");
	}
}

static enum tk_rc
take_args(struct args *args, int argc, char **argv, struct tk_err *err)
{
	const char *home = getenv("TWINKEEP_HOME");
	int option;
	enum tk_rc rc = absolute(home && *home ? home : TK_HOME_DEFAULT, &args->home, err);

	while (!rc && (option = getopt_long(argc, argv, "vq", long_options, NULL)) != -1) {
		if (option == OPT_HELP || option == OPT_VERSION) {
			(void)fputs(option == OPT_HELP ? usage_text : "twinkeepd " PACKAGE_VERSION "\n", stdout);
			exit(fflush(stdout) == 0 ? 0 : 1);
		}
		rc = take_option(args, option, err);
	}
	if (rc)
		return rc;
	args->command = optind < argc ? argv[optind++] : NULL;
	args->operand = optind < argc ? argv[optind++] : NULL;
	if (optind < argc)
		return tk_err_set(err, TK_EUSAGE, "too many words: see twinkeepd --help");
	return TK_OK;
}

static enum tk_rc
need_invite(const struct args *args, struct tk_invite *invite, struct tk_err *err)
{
	if (!args->invite || args->operand)
		return tk_err_set(err, TK_EUSAGE, "write twinkeepd %s --home DIR --invite FILE", args->command);
	return tk_invite_read(args->invite, invite, err);
}

static enum tk_rc
command_init(const struct args *args, struct tk_err *err)
{
	static const char *const default_listen[] = {":7443"};
	struct tk_address address;
	struct tk_invite invite = {0};
	char *vault = NULL;
	enum tk_rc rc = need_invite(args, &invite, err);

	for (size_t i = 0; !rc && i < args->listen_count; i++)
		rc = tk_address_parse(args->listen[i], &address, err);
	if (!rc && args->vault)
		rc = absolute(args->vault, &vault, err);
	if (!rc)
		rc = tk_site_home_create(args->home, &invite, args->listen_count ? args->listen : default_listen,
					 args->listen_count ? args->listen_count : 1, vault, err);
	if (!rc)
		(void)printf("site %s of source %s: start it with twinkeepd --home %s, and delete %s%s\n", invite.site_name, invite.source_name,
			     args->home, args->invite,
			     invite.cert_pem.len_bytes ? "" : "; put its certificate and key into keys/tls.pem and keys/tls.key first");
	tk_invite_release(&invite);
	free(vault);
	return rc;
}

static enum tk_rc
command_accept(const struct args *args, struct tk_err *err)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *config = NULL;
	struct tk_invite invite = {0};
	enum tk_rc rc = need_invite(args, &invite, err);

	if (!rc)
		rc = tk_daemon_config(args->home, &config, err);
	if (!rc)
		rc = tk_site_home_add_source(args->home, config->daemon.vault, &invite, err);
	if (!rc)
		(void)printf("source %s may store here: send SIGHUP to the daemon, and delete %s\n", invite.source_name, args->invite);
	tk_invite_release(&invite);
	return rc;
}

static const char *
role_name(enum tk_role role)
{
	switch (role) {
	case TK_ROLE_SOURCE:
		return "source";
	case TK_ROLE_OPERATOR:
		return "operator";
	case TK_ROLE_PEER_SITE:
		return "peer-site";
	case TK_ROLE_AUDITOR:
		return "auditor";
	case TK_ROLE_RECOVERY:
		break;
	}
	return "-";
}

static enum tk_rc
command_peers(const struct args *args, struct tk_err *err)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *config = NULL;
	TK_AUTO(tk_registry_cleanup) struct tk_registry *registry = NULL;
	const struct tk_log log = {STDERR_FILENO, TK_LOG_WARN};
	const struct tk_peer *peer;
	char id[2 * TK_ID_BYTES + 1], pin[2 * TK_PIN_BYTES + 1];
	enum tk_rc rc = tk_daemon_config(args->home, &config, err);

	if (!rc)
		rc = tk_registry_load(config->daemon.vault, &log, &registry, err);
	for (size_t i = 0; !rc && (peer = tk_registry_at(registry, i)) != NULL; i++) {
		tk_hex_encode(peer->id.b, TK_ID_BYTES, id);
		tk_hex_encode(peer->pins[0], TK_PIN_BYTES, pin);
		(void)printf("%s %s %s %s sha256:%s\n", peer->name, role_name(peer->role), peer->state == TK_PEER_ACTIVE ? "active" : "revoked", id,
			     pin);
	}
	return rc;
}

static enum tk_rc
command_revoke(const struct args *args, struct tk_err *err)
{
	TK_AUTO(tk_config_cleanup) struct tk_config *config = NULL;
	enum tk_rc rc;

	if (!args->operand)
		return tk_err_set(err, TK_EUSAGE, "write twinkeepd revoke --home DIR NAME");
	rc = tk_daemon_config(args->home, &config, err);
	if (!rc)
		rc = tk_registry_revoke(config->daemon.vault, args->operand, err);
	if (!rc)
		(void)printf("%s has no rights any more: send SIGHUP to the daemon\n", args->operand);
	return rc;
}

static enum tk_rc
run(const struct args *args, struct tk_err *err)
{
	const struct tk_daemon_options options = {.home = args->home, .foreground = args->foreground, .verbosity = args->verbosity};

	if (!args->command)
		return tk_daemon_run(&options, err);
	if (strcmp(args->command, "init") == 0)
		return command_init(args, err);
	if (strcmp(args->command, "accept") == 0)
		return command_accept(args, err);
	if (strcmp(args->command, "peers") == 0)
		return command_peers(args, err);
	if (strcmp(args->command, "revoke") == 0)
		return command_revoke(args, err);
	return tk_err_set(err, TK_EUSAGE, "there is no command \"%s\": see twinkeepd --help", args->command);
}

int
main(int argc, char **argv)
{
	struct args args = {0};
	struct tk_err err;
	const char *advice;
	enum tk_rc rc;

	tk_err_clear(&err);
	rc = take_args(&args, argc, argv, &err);
	if (!rc)
		rc = run(&args, &err);
	free(args.home);
	if (!rc && fflush(stdout) != 0)
		rc = tk_err_set(&err, TK_EIO, "cannot write to standard output");
	if (rc) {
		advice = tk_err_advice(&err);
		(void)fprintf(stderr, "twinkeepd: %s%s%s\n", err.text, advice ? ": " : "", advice ? advice : "");
	}
	return tk_rc_exit_status(rc);
}
