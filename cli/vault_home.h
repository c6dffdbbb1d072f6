/* vault_home.h -- the vault that a site's name means: at the site its daemon's, at the source that of a dir: site. */
#ifndef TK_CLI_VAULT_HOME_H
#define TK_CLI_VAULT_HOME_H

#include "cli/home.h"

struct tk_vault_home {
	bool is_source;
	struct tk_home source;
	const struct tk_config_site *site;     /* of the source */
	struct tk_config *config;              /* of the daemon */
	const char *vault;                     /* path; NULL: it is at a twinkeepd elsewhere */
};
/* For TK_AUTO, from zeros. */
void tk_vault_home_release(struct tk_vault_home *where);

/* Is this the home of a daemon, not of a source? */
bool tk_is_site_home(const char *home);
/* The site `name` in the home that the command names. Release whatever the result. Errors: TK_EUSAGE (no such site, or the vault is another one's), those of
 * reading. */
TK_MUST_CHECK enum tk_rc tk_vault_home_find(const struct tk_cli *cli, const char *name, struct tk_vault_home *where, struct tk_err *err);
bool tk_is_vault(const char *path);
/* rc, with what to do about a daemon's vault that is not in its place. */
enum tk_rc tk_vault_home_gone(const char *path, struct tk_err *err, enum tk_rc rc);
/* rc, with what to do about a vault that its daemon holds. */
enum tk_rc tk_vault_home_locked(struct tk_err *err, enum tk_rc rc);

#endif
