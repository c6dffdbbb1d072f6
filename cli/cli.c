#include "cli/cli.h"

#include <stdlib.h>

#include "policies/nearest.h"

enum tk_rc
tk_cli_config_load(const struct tk_cli *cli, struct tk_config **out, struct tk_mistakes *mistakes, struct tk_err *err)
{
	enum tk_rc rc = tk_config_load(cli->home, tk_config_state_default(cli->home), out, mistakes, err);

	if (rc == TK_ENOENT)
		return tk_err_set(err, TK_ECONFIG, "%s is no home: it has no %s; give --home DIR, or make one with twinkeep init or twinkeep recover",
				  cli->home, TK_CONFIG_FILE);
	return rc;
}

enum tk_rc
tk_cli_config(const struct tk_cli *cli, struct tk_config **out, struct tk_err *err)
{
	return tk_cli_config_load(cli, out, NULL, err);
}

enum tk_rc
tk_cli_passphrase(const struct tk_cli *cli, const struct tk_config *cfg, const char *prompt, bool is_new, struct tk_secret *secret, struct tk_err *err)
{
	struct tk_secret_source source = {
		.file = tk_cli_value(cli, TK_OPT_PASSPHRASE_FILE),
		.command = cfg ? cfg->passphrase_command : NULL,
		.prompt = prompt,
		.is_new = is_new,
	};

	if (!source.file)
		source.file = getenv("TWINKEEP_PASSPHRASE_FILE");
	return tk_secret_get(&source, secret, err);
}

enum tk_rc
tk_cli_dataset(const struct tk_config *cfg, const char *text, const struct tk_config_dataset **out, struct tk_err *err)
{
	struct tk_nearest nearest;

	*out = NULL;
	if (!text && cfg->dataset_count != 1)
		return tk_err_set(err, TK_EUSAGE, "there are %zu datasets: name one", cfg->dataset_count);
	*out = text ? tk_config_dataset_find(cfg, text) : &cfg->datasets[0];
	if (*out)
		return TK_OK;
	tk_nearest_init(&nearest, text);
	for (size_t i = 0; i < cfg->dataset_count; i++)
		tk_nearest_offer(&nearest, cfg->datasets[i].name);
	if (nearest.best)
		return tk_err_set(err, TK_EUSAGE, "there is no dataset \"%s\": the nearest is \"%s\"", text, nearest.best);
	return tk_err_set(err, TK_EUSAGE, "there is no dataset \"%s\": see the dataset sections of %s", text, cfg->files.items[0]);
}

enum tk_rc
tk_cli_sites_check(const struct tk_cli *cli, const struct tk_config *cfg, struct tk_err *err)
{
	const struct tk_values *sites = &cli->command.values[TK_OPT_SITE];

	for (size_t i = 0; i < sites->count; i++) {
		struct tk_nearest nearest;

		if (tk_config_site_find(cfg, sites->items[i]))
			continue;
		tk_nearest_init(&nearest, sites->items[i]);
		for (size_t j = 0; j < cfg->site_count; j++)
			tk_nearest_offer(&nearest, cfg->sites[j].name);
		if (nearest.best)
			return tk_err_set(err, TK_EUSAGE, "there is no site \"%s\": the nearest is \"%s\"", sites->items[i], nearest.best);
		return tk_err_set(err, TK_EUSAGE, "there is no site \"%s\": see the site sections of %s", sites->items[i], cfg->files.items[0]);
	}
	return TK_OK;
}
