/* twinkeep site list, site invite: what a source says and makes of its sites. */
#include <stdlib.h>
#include <string.h>

#include "cli/home.h"
#include "cli/paths.h"
#include "cli/vault_home.h"
#include "cli/verbs.h"
#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/catalog/journal.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/sign.h"
#include "engine/vault/vault.h"
#include "transport/enrol.h"

#define CERT_YEARS 20

/* ---- list ---- */

struct listed_site {
	bool reachable, enrolled;
	bool has_state;
	struct tk_store_state state;
	int64_t last_receipt_ns;
	struct tk_err why;
};

/* Of any dataset; *last_ns: the newest, 0: none. */
static size_t
count_receipts(const struct tk_home *home, struct tk_journal *journal, const char *site, int64_t *last_ns)
{
	size_t given = 0;

	*last_ns = 0;

	for (size_t i = 0; journal && i < home->cfg->dataset_count; i++) {
		struct tk_journal_receipt *receipts = NULL;
		struct tk_id domain;
		size_t count = 0;

		memcpy(domain.b, home->cfg->datasets[i].domain_id, sizeof(domain.b));
		if (tk_journal_receipts(journal, &domain, &receipts, &count, NULL))
			continue;
		for (size_t k = 0; k < count; k++) {
			if (strcmp(receipts[k].site, site) != 0)
				continue;
			given++;
			if (receipts[k].time_ns > *last_ns)
				*last_ns = receipts[k].time_ns;
		}
		free(receipts);
	}
	return given;
}

static enum tk_rc
ask_site(struct tk_home *home, size_t index, struct tk_store_state *state, struct tk_err *err)
{
	struct tk_site site = tk_home_site(home, index, TK_VAULT_READ);
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct tk_id domain = {{0}};
	enum tk_rc rc = site.open(&site, &store, err);

	if (rc)
		return rc;
	if (home->cfg->dataset_count > 0)
		memcpy(domain.b, home->cfg->datasets[0].domain_id, sizeof(domain.b));
	return store->ops->state(store, &domain, NULL, state, err);
}

static void
look_at_site(struct tk_home *home, struct tk_journal *journal, size_t index, struct listed_site *out)
{
	const struct tk_config_site *conf = &home->cfg->sites[index];
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	(void)count_receipts(home, journal, conf->name, &out->last_receipt_ns);
	rc = conf->enabled ? ask_site(home, index, &out->state, &out->why) : tk_err_set(&out->why, TK_ECONFIG, "it is not enabled in the configuration");
	/* A vault that knows nothing of the dataset yet answers all the same. */
	if (!rc)
		tk_err_clear(&out->why);
	out->has_state = rc == TK_OK;
	out->enrolled = rc == TK_OK;
	/* A refusal is an answer. */
	out->reachable = rc == TK_OK || rc == TK_EDENIED;
}

static json_t *
site_json(const struct tk_config_site *conf, const struct listed_site *site)
{
	char hex[2 * TK_ID_BYTES + 1];

	tk_hex_encode(site->state.vault_incarnation.b, sizeof(site->state.vault_incarnation.b), hex);
	return json_pack("{s:o, s:o, s:b, s:b, s:b, s:o, s:o, s:o, s:o, s:o}", "site", tk_json_text(conf->name), "url", tk_json_text(conf->url_text), "local",
			 conf->local, "enabled", conf->enabled, "reachable", site->reachable, "enrolled",
			 site->reachable ? json_boolean(site->enrolled) : json_null(), "vault_incarnation",
			 site->has_state ? json_string(hex) : json_null(), "free_bytes",
			 site->has_state ? json_integer((json_int_t)site->state.free_bytes) : json_null(), "last_receipt",
			 site->last_receipt_ns ? tk_json_time(site->last_receipt_ns) : json_null(), "reason",
			 site->why.rc ? tk_json_text(site->why.text) : json_null());
}

static void
add_site_row(struct tk_table *table, const struct tk_config_site *conf, const struct listed_site *site)
{
	char when[TK_FORMAT_MAX], hex[2 * TK_ID_BYTES + 1];

	tk_hex_encode(site->state.vault_incarnation.b, sizeof(site->state.vault_incarnation.b), hex);
	tk_table_cell(table, "%s", conf->name);
	tk_table_cell(table, "%s", conf->url_text);
	tk_table_cell(table, "%s", conf->local ? "yes" : "no");
	tk_table_cell(table, "%s", site->reachable ? "yes" : "no");
	tk_table_cell(table, "%s", !site->reachable ? "-" : site->enrolled ? "yes" : "no");
	tk_table_cell(table, "%s", site->has_state ? hex : "-");
	tk_table_cell(table, "%s", site->last_receipt_ns ? tk_format_time(site->last_receipt_ns, when) : "-");
}

static enum tk_rc
list_sites(const struct tk_cli *cli, struct tk_home *home, struct tk_err *err)
{
	TK_AUTO(tk_journal_cleanup) struct tk_journal *journal = NULL;
	struct tk_table table;
	json_t *sites = json_array();
	struct tk_err quiet;
	enum tk_rc rc;

	if ((rc = tk_home_open(cli, home, err)) || (rc = tk_home_unlock_machine(home, err))) {
		json_decref(sites);
		return rc;
	}
	/* Before the first backup there is none. */
	(void)!tk_journal_open(home->cfg->state_dir, &journal, &quiet);
	tk_table_init(&table, "SITE|URL|LOCAL|REACHABLE|ENROLLED|VAULT INCARNATION|LAST RECEIPT");
	for (size_t i = 0; i < home->cfg->site_count; i++) {
		const struct tk_config_site *conf = &home->cfg->sites[i];
		struct listed_site site;

		look_at_site(home, journal, i, &site);
		add_site_row(&table, conf, &site);
		(void)json_array_append_new(sites, site_json(conf, &site));
		if (site.why.rc) {
			(void)tk_err_context(&site.why, site.why.rc, "site %s", conf->name);
			(void)tk_out_fail(cli->out, &site.why);
		}
	}
	tk_table_finish(&table, cli->out);
	tk_out_set(cli->out, "sites", sites);
	return TK_OK;
}

int
tk_verb_site_list(const struct tk_cli *cli)
{
	struct tk_home home;
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	if (list_sites(cli, &home, &err))
		status = tk_out_fail(cli->out, &err);
	tk_home_release(&home);
	return status;
}

/* ---- invite ---- */

static enum tk_rc
output_path(const struct tk_cli *cli, const struct tk_home *home, const char *name, char path[PATH_MAX], struct tk_err *err)
{
	const char *output = tk_cli_value(cli, TK_OPT_OUTPUT);

	if (output)
		return tk_path_absolute(output, path, err);
	if (snprintf(path, PATH_MAX, "%s/%s.invite", home->cfg->home, name) >= PATH_MAX)
		return tk_err_set(err, TK_EUSAGE, "%s: the path is too long", home->cfg->home);
	return TK_OK;
}

static enum tk_rc
make_invitation(struct tk_home *home, const char *name, const char *path, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf ca = {0}, cert = {0}, sealed = {0};
	TK_AUTO(tk_wipe_buf) struct tk_buf ca_key = {0};
	struct tk_invite_request request = {.site_name = name, .source_name = home->cfg->source, .source = home->ring.source,
					    .now_ns = tk_clock_wall_ns(), .years = CERT_YEARS};
	enum tk_rc rc;

	if ((rc = tk_home_read_key_file(home, "ca.pem", &ca, err)) || (rc = tk_home_read_key_file(home, "tls.pem", &cert, err)) ||
	    (rc = tk_home_read_key_file(home, "ca.key.sealed", &sealed, err)) || (rc = tk_home_open_ca_key(&home->ring, &sealed, &ca_key, err)) ||
	    (rc = tk_sign_public(home->ring.suite, home->ring.operator_seed, request.operator_key, err)))
		return rc;
	request.ca_cert_pem = (struct tk_bytes){ca.data, ca.len_bytes};
	request.source_cert_pem = (struct tk_bytes){cert.data, cert.len_bytes};
	request.ca_key_pem = (struct tk_bytes){ca_key.data, ca_key.len_bytes};
	return tk_invite_make_file(&request, path, err);
}

/* A site that gave receipts has a vault somewhere: what looks like a new disk may be one that is not mounted. */
static enum tk_rc
check_is_new(struct tk_home *home, const struct tk_config_site *site, struct tk_err *err)
{
	TK_AUTO(tk_journal_cleanup) struct tk_journal *journal = NULL;
	int64_t last_ns;
	size_t given;
	enum tk_rc rc;

	if (tk_cli_flag(home->cli, TK_OPT_FORCE) || tk_is_vault(site->url.path))
		return TK_OK;
	if ((rc = tk_home_unlock_machine(home, err)) || (rc = tk_journal_open(home->cfg->state_dir, &journal, err)))
		return rc;
	if ((given = count_receipts(home, journal, site->name, &last_ns)) == 0)
		return TK_OK;
	return tk_err_set(err, TK_EUSAGE, "site %s has given receipts for %zu point%s, and there is no vault in %s; if its disk is not mounted, mount it; --force makes "
			  "a new, empty vault there", site->name, given, given == 1 ? "" : "s", site->url.path);
}

/* A directory needs no invitation, only a vault. No backup makes one by itself: what looks empty may be a disk that is not mounted. */
static enum tk_rc
make_vault(struct tk_home *home, const struct tk_config_site *site, struct tk_err *err)
{
	struct tk_output *out = home->cli->out;
	enum tk_rc rc = check_is_new(home, site, err);

	if (rc)
		return rc;
	rc = tk_vault_create(site->url.path, site->name, err);
	if (rc == TK_EEXIST && !err->sys_errno)
		return tk_err_set(err, TK_EUSAGE, "site %s has its vault in %s; it is used as it is, and needs no invitation", site->name, site->url.path);
	if (rc)
		return tk_err_context(err, rc, "site %s", site->name);
	tk_out_set(out, "site", tk_json_text(site->name));
	tk_out_set(out, "vault", tk_json_text(site->url.path));
	tk_out_text(out, "The vault of site %s is made in %s: it is given what it lacks with the next backup.\n", site->name, site->url.path);
	return TK_OK;
}

static enum tk_rc
invite(const struct tk_cli *cli, struct tk_home *home, struct tk_err *err)
{
	const struct tk_config_site *site;
	char path[PATH_MAX];
	enum tk_rc rc;

	if ((rc = tk_home_open(cli, home, err)) || (rc = tk_home_find_site(home, tk_cli_operand(cli, 0), &site, err)))
		return rc;
	if (site->url.kind == TK_SITE_DIR)
		return make_vault(home, site, err);
	if ((rc = output_path(cli, home, site->name, path, err)) || (rc = tk_home_unlock_passphrase(home, err)) ||
	    (rc = make_invitation(home, site->name, path, err)))
		return rc;
	tk_out_set(cli->out, "site", tk_json_text(site->name));
	tk_out_set(cli->out, "invitation", tk_json_text(path));
	tk_out_text(cli->out, "%s lets site %s join. It holds the site's private key: bring it there over a safe channel, run\n", path, site->name);
	tk_out_text(cli->out, "  twinkeep site enrol %s FILE --home DIR --listen ADDRESS:PORT\nthere, and delete both copies.\n", site->name);
	return TK_OK;
}

int
tk_verb_site_invite(const struct tk_cli *cli)
{
	struct tk_home home;
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	if (invite(cli, &home, &err))
		status = tk_out_fail(cli->out, &err);
	tk_home_release(&home);
	return status;
}
