/* recovering.h -- what `recover` gets from a site and makes a home of (docs/PROTOCOL.md). One owner, one thread. */
#ifndef TK_CLI_RECOVERING_H
#define TK_CLI_RECOVERING_H

#include <limits.h>

#include "cli/home.h"
#include "policies/site_url.h"
#include "transport/recover.h"

struct tk_recovering {
	const struct tk_cli *cli;
	char home[PATH_MAX];
	int home_fd, keys_fd;
	bool made_home;                       /* it was not there */
	bool existed;                         /* the home has a configuration: it stays as it is */
	struct tk_site_url url;               /* the site that is asked */
	struct tk_secret secret;
	struct tk_keyring own;                /* of a home that existed */
	struct tk_keyring ring;               /* what the new machine slot wraps */
	struct tk_recovered got;
	struct tk_config_file *files;
	size_t file_count;
	char state_before[PATH_MAX];          /* where an old state was moved; "": there was none */
};

/* Reads the options, opens or makes the home's directories, asks for the passphrase. Release whatever the result. Errors: TK_EUSAGE; TK_EKEY: it opens no
 * slot of the home that is there. */
TK_MUST_CHECK enum tk_rc tk_recovering_begin(const struct tk_cli *cli, struct tk_recovering *recovering, struct tk_err *err);
void tk_recovering_release(struct tk_recovering *recovering);
/* Asks the site, opens what it gave, and then checks the site by it. Writes nothing. Errors: as tk_client_recover; TK_EDENIED: the site's certificate is
 * not one that this source trusts. */
TK_MUST_CHECK enum tk_rc tk_recovering_fetch(struct tk_recovering *recovering, struct tk_err *err);
/* Writes keys and included files, and reads the configuration, which the caller then owns. Without twinkeep.conf the home is none yet. */
TK_MUST_CHECK enum tk_rc tk_recovering_write(struct tk_recovering *recovering, struct tk_config **cfg, struct tk_err *err);
/* Moves the old state aside, makes a machine key and an identity, and puts the configuration in its place. Durable. Errors: TK_ELOCKED: a run holds
 * the old state. */
TK_MUST_CHECK enum tk_rc tk_recovering_finish(struct tk_recovering *recovering, const struct tk_config *cfg, struct tk_err *err);

#endif
