/* daemon.h -- the life of a site's daemon: configuration, vault, server, signals. */
#ifndef TK_CLI_DAEMON_H
#define TK_CLI_DAEMON_H

#include <stdbool.h>

#include "engine/base/log.h"
#include "policies/settings.h"

#define TK_DAEMON_PID_FILE "twinkeepd.pid"
#define TK_DAEMON_ADDR_FILE "twinkeepd.addr"
#define TK_DAEMON_LOG_FILE "twinkeepd.log"

struct tk_daemon_options {
	const char *home;               /* absolute */
	bool foreground;                /* log to standard error; else to the background, log to home/twinkeepd.log */
	int verbosity;                  /* added to the configuration's log level */
};

/* Reads home/twinkeepd.conf, or the daemon section of home/twinkeep.conf when the former is not there. On TK_OK the caller owns *out. Errors: as
 * tk_config_load; TK_ECONFIG also when there is no daemon section. */
TK_MUST_CHECK enum tk_rc tk_daemon_config(const char *home, struct tk_config **out, struct tk_err *err);

/* Serves until SIGTERM or SIGINT; SIGHUP reloads certificates and registry; the log level stays. Errors: TK_ELOCKED (another process serves the vault),
 * TK_ECONFIG, and what vault, certificates and addresses give. */
TK_MUST_CHECK enum tk_rc tk_daemon_run(const struct tk_daemon_options *options, struct tk_err *err);

#endif
