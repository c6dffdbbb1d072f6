#include "cli/vault_home.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/daemon.h"
#include "cli/paths.h"
#include "transport/enrol.h"

void
tk_vault_home_release(struct tk_vault_home *where)
{
	if (where->is_source)
		tk_home_release(&where->source);
	tk_config_free(where->config);
}

bool
tk_is_site_home(const char *home)
{
	char path[PATH_MAX];

	return snprintf(path, sizeof(path), "%s/%s", home, TK_SITE_CONFIG_FILE) < (int)sizeof(path) && access(path, F_OK) == 0;
}

bool
tk_is_vault(const char *path)
{
	char file[PATH_MAX];

	return snprintf(file, sizeof(file), "%s/VAULT", path) < (int)sizeof(file) && access(file, F_OK) == 0;
}

enum tk_rc
tk_vault_home_gone(const char *path, struct tk_err *err, enum tk_rc rc)
{
	if (!rc || tk_is_vault(path))
		return rc;
	return tk_err_set(err, rc, "there is no vault in %s; if its disk is not mounted, mount it; if the disk is a new one, make an invitation at the source with "
			  "`twinkeep site invite`, and the vault anew with `twinkeep site enrol --force` here", path);
}

static enum tk_rc
check_vault_name(const char *path, const char *name, struct tk_err *err)
{
	TK_AUTO(tk_vault_cleanup) struct tk_vault *vault = NULL;
	enum tk_rc rc = tk_vault_open(path, TK_VAULT_READ, NULL, &vault, err);

	if (!rc && strcmp(tk_vault_site(vault)->name, name) != 0)
		rc = tk_err_set(err, TK_EUSAGE, "%s is the vault of site %s, not of %s", path, tk_vault_site(vault)->name, name);
	return rc;
}

enum tk_rc
tk_vault_home_find(const struct tk_cli *cli, const char *name, struct tk_vault_home *where, struct tk_err *err)
{
	char home[PATH_MAX];
	enum tk_rc rc = tk_path_absolute(cli->home, home, err);

	if (rc)
		return rc;
	if (tk_is_site_home(home)) {
		if ((rc = tk_daemon_config(home, &where->config, err)))
			return rc;
		if ((rc = check_vault_name(where->config->daemon.vault, name, err)))
			return tk_vault_home_gone(where->config->daemon.vault, err, rc);
		where->vault = where->config->daemon.vault;
		return TK_OK;
	}
	where->is_source = true;
	if ((rc = tk_home_open(cli, &where->source, err)) || (rc = tk_home_find_site(&where->source, name, &where->site, err)))
		return rc;
	where->vault = where->site->url.kind == TK_SITE_DIR ? where->site->url.path : NULL;
	return TK_OK;
}

enum tk_rc
tk_vault_home_locked(struct tk_err *err, enum tk_rc rc)
{
	return rc == TK_ELOCKED ? tk_err_context(err, rc, "stop the twinkeepd of this site, and start it again afterwards") : rc;
}
