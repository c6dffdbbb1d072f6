/* twinkeep site readmit: an operator lets a site back in whose vault was set back, or made anew. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli/vault_home.h"
#include "cli/verbs.h"
#include "engine/catalog/journal.h"
#include "policies/ack.h"

/* What is against it. */
struct against {
	json_t *lacking;
	struct tk_err first;
	const char *next_step;
};

static TK_PRINTF(2, 3) void
object(struct against *against, const char *fmt, ...)
{
	struct tk_err err;
	char text[TK_ERR_TEXT_MAX];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	(void)tk_err_set(&err, TK_EBEHIND, "%s", text);
	if (json_array_size(against->lacking) == 0)
		against->first = err;
	(void)json_array_append_new(against->lacking, tk_json_text(text));
}

/* ---- a vault that was set back, where it is ---- */

static enum tk_rc
readmit_vault(const struct tk_cli *cli, const char *path, struct against *against, struct tk_err *err)
{
	TK_AUTO(tk_vault_cleanup) struct tk_vault *vault = NULL;
	struct tk_vault_lacks lacks = {0};
	enum tk_rc rc = tk_vault_open(path, TK_VAULT_SERVE, cli->log, &vault, err);

	if (rc)
		return tk_vault_home_locked(err, rc);
	rc = tk_vault_readmit(vault, tk_cli_flag(cli, TK_OPT_FORCE), &lacks, err);
	for (size_t i = 0; i < lacks.count; i++)
		object(against, "%s", lacks.lines[i]);
	against->next_step = "run `twinkeep backup` at its source while the other sites are in reach, and readmit it then";
	tk_vault_lacks_release(&lacks);
	return rc;
}

/* ---- a vault that was made anew, at the source: its key is not the one that was pinned ---- */

/* One other site's word on a dataset. TK_EFENCED: another writer has been elected meanwhile. */
static enum tk_rc
ask(struct tk_home *home, struct tk_journal *journal, const struct tk_config_dataset *dataset, const char *name, bool *asked, struct tk_err *err)
{
	const struct tk_config_site *conf = tk_config_site_find(home->cfg, name);
	struct tk_site site = tk_home_site(home, (size_t)(conf - home->cfg->sites), TK_VAULT_READ);
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	TK_AUTO(tk_epoch_release) struct tk_epoch epoch = {0};
	struct tk_store_state state;
	struct tk_id domain;
	struct tk_err why;

	memcpy(domain.b, dataset->domain_id, sizeof(domain.b));
	*asked = conf->enabled && !site.open(&site, &store, &why) && !store->ops->state(store, &domain, NULL, &state, &why);
	if (*asked && !tk_journal_get_epoch(journal, &domain, &epoch, &why) && state.promised_epoch > epoch.epoch)
		return tk_err_set(err, TK_EFENCED, "site %s has promised epoch %llu of dataset %s to another writer (this home holds %llu)", name,
				  (unsigned long long)state.promised_epoch, dataset->name, (unsigned long long)epoch.epoch);
	return TK_OK;
}

/* What the old vault promised somebody of those asked had a part in, unless the rest could have acknowledged or elected with it. */
static enum tk_rc
ask_others(struct tk_home *home, struct tk_journal *journal, const struct tk_config_dataset *dataset, const char *name, struct against *against,
	   struct tk_err *err)
{
	enum tk_ack_rule rule = dataset->policy->ack;
	struct tk_ack_site *sites = calloc(dataset->sites.count + 1, sizeof(*sites));
	size_t answered = 0;
	enum tk_rc rc = sites ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for the sites");

	for (size_t i = 0; i < dataset->sites.count && !rc; i++) {
		const char *other = dataset->sites.items[i];
		bool asked = false;

		if (strcmp(other, name) != 0)
			rc = ask(home, journal, dataset, other, &asked, err);
		sites[i] = (struct tk_ack_site){.name = other, .local = tk_config_site_find(home->cfg, other)->local, .marked = asked};
		answered += asked;
	}
	if (!rc && !tk_ack_asked_enough(rule, sites, dataset->sites.count))
		object(against, "dataset %s: what the old vault of site %s promised is not known to those other sites that answer (%zu of %zu; ack rule %s)",
		       dataset->name, name, answered, dataset->sites.count - 1, tk_ack_rule_name(rule));
	free(sites);
	return rc;
}

static bool
has_site(const struct tk_config_dataset *dataset, const char *name)
{
	for (size_t i = 0; i < dataset->sites.count; i++)
		if (strcmp(dataset->sites.items[i], name) == 0)
			return true;
	return false;
}

static enum tk_rc
accept_key(struct tk_home *home, struct tk_journal *journal, const char *name, struct against *against, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	against->next_step = "run it again when they do";
	for (size_t i = 0; i < home->cfg->dataset_count && !rc; i++)
		if (home->cfg->datasets[i].has_domain_id && has_site(&home->cfg->datasets[i], name))
			rc = ask_others(home, journal, &home->cfg->datasets[i], name, against, err);
	if (!rc && json_array_size(against->lacking) > 0 && !tk_cli_flag(home->cli, TK_OPT_FORCE)) {
		*err = against->first;
		rc = err->rc;
	}
	return rc ? rc : tk_journal_forget_site(journal, name, err);
}

/* *changed: the site shows another key than the one that is pinned. */
static enum tk_rc
look_at_key(const struct tk_vault_home *where, struct tk_journal *journal, struct tk_home *home, bool *changed, struct tk_store_state *state,
	    struct tk_err *err)
{
	struct tk_site site = tk_home_site(home, (size_t)(where->site - home->cfg->sites), TK_VAULT_READ);
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	uint8_t key[TK_KEY_BYTES];
	struct tk_id id, domain = {{0}};
	enum tk_rc rc = tk_journal_site_key(journal, where->site->name, &id, key, err);

	*changed = false;
	memset(state, 0, sizeof(*state));
	/* Nothing pinned is nothing to forget. */
	if (rc)
		return rc == TK_ENOENT ? TK_OK : rc;
	if (home->cfg->dataset_count > 0)
		memcpy(domain.b, home->cfg->datasets[0].domain_id, sizeof(domain.b));
	if ((rc = site.open(&site, &store, err)) || (rc = store->ops->state(store, &domain, NULL, state, err)))
		return tk_err_context(err, rc, "site %s", where->site->name);
	*changed = memcmp(&id, &state->site_id, sizeof(id)) != 0 || memcmp(key, state->site_key, sizeof(key)) != 0;
	return TK_OK;
}

static enum tk_rc
readmit_at_source(const struct tk_cli *cli, struct tk_vault_home *where, struct against *against, struct tk_err *err)
{
	TK_AUTO(tk_journal_cleanup) struct tk_journal *journal = NULL;
	struct tk_store_state state;
	bool changed;
	enum tk_rc rc;

	if ((rc = tk_home_unlock_machine(&where->source, err)) || (rc = tk_journal_open(where->source.cfg->state_dir, &journal, err)) ||
	    (rc = look_at_key(where, journal, &where->source, &changed, &state, err)))
		return rc;
	if (changed)
		rc = accept_key(&where->source, journal, where->site->name, against, err);
	else if (!where->vault && state.read_only)
		rc = tk_err_set(err, TK_EUSAGE, "the vault of site %s was set back and is not here; stop its twinkeepd and run `twinkeep site readmit %s` there, "
				"with --home of the daemon",
				where->site->name, where->site->name);
	if (!rc && changed)
		tk_out_text(cli->out, "The next backup accepts the key that site %s shows, and gives it what it lacks.\n", where->site->name);
	else if (!rc && !where->vault)
		tk_out_text(cli->out, "Site %s shows the key that is known here: there is nothing to accept.\n", where->site->name);
	return rc;
}

/* ---- */

/* With --force, what was overridden; else what it lacks. */
static void
tell_against(const struct tk_cli *cli, struct against *against, enum tk_rc rc, struct tk_err *err)
{
	size_t count = json_array_size(against->lacking), i;
	json_t *line;

	if (rc && rc == TK_EBEHIND && count > 0) {
		(void)tk_err_set(err, rc, "site %s is not let in: %s%s; %s, or let it in as it is with --force", tk_cli_operand(cli, 0), against->first.text,
				 count > 1 ? " (and more, see --json)" : "", against->next_step);
		tk_out_set(cli->out, "lacking", json_incref(against->lacking));
	}
	if (rc)
		return;
	tk_out_set(cli->out, "overridden", json_incref(against->lacking));
	json_array_foreach(against->lacking, i, line)
		tk_out_warn(cli->out, TK_EBEHIND, "let in with --force; %s", json_string_value(line));
}

static enum tk_rc
readmit(const struct tk_cli *cli, struct tk_vault_home *where, struct against *against, struct tk_err *err)
{
	const char *name = tk_cli_operand(cli, 0);
	enum tk_rc rc;

	if ((rc = tk_vault_home_find(cli, name, where, err)) || (where->vault && (rc = readmit_vault(cli, where->vault, against, err))) ||
	    (where->is_source && (rc = readmit_at_source(cli, where, against, err))))
		return rc;
	tk_out_set(cli->out, "readmitted", tk_json_text(name));
	if (where->vault)
		tk_out_text(cli->out, "The vault of site %s gives receipts and votes again.\n", name);
	return TK_OK;
}

int
tk_verb_site_readmit(const struct tk_cli *cli)
{
	TK_AUTO(tk_vault_home_release) struct tk_vault_home where = {0};
	struct against against = {.lacking = json_array()};
	struct tk_err err;
	enum tk_rc rc;

	tk_err_clear(&err);
	rc = readmit(cli, &where, &against, &err);
	tell_against(cli, &against, rc, &err);
	json_decref(against.lacking);
	return rc ? tk_out_fail(cli->out, &err) : 0;
}
