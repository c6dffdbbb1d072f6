/* The first configuration of a home, and the policy files that people name. */
#include "policies/settings.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "policies/settings_keys.h"

/* In double quotes a backslash, a quote and "${" would mean something else. */
static void
put_quoted(FILE *out, const char *text)
{
	putc('"', out);
	for (; *text; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\' || c == '$')
			fprintf(out, "\\%c", c);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

static void
put_sites(FILE *out, const struct tk_config_init *init)
{
	fputs("\n# Sites: who stores the recovery points. local = true: in this node's city, counts for ack = all-local.\n", out);
	for (size_t i = 0; i < init->site_count; i++) {
		fprintf(out, "site %s {\n\turl = ", init->sites[i].name);
		put_quoted(out, init->sites[i].url);
		fprintf(out, "\n\tlocal = %s\n}\n", init->sites[i].local ? "true" : "false");
	}
}

static void
put_datasets(FILE *out, const struct tk_config_init *init)
{
	fputs("\n# Datasets: what is protected. The id names the dataset's keys and history: never change it.\n", out);
	for (size_t i = 0; i < init->dataset_count; i++) {
		const struct tk_config_init_dataset *dataset = &init->datasets[i];
		char id[2 * sizeof(dataset->domain_id) + 1];

		tk_hex_encode(dataset->domain_id, sizeof(dataset->domain_id), id);
		fprintf(out, "dataset %s {\n\tid = %s\n\tpaths = {", dataset->name, id);
		for (size_t j = 0; j < dataset->paths->count; j++) {
			fputs(j ? ", " : " ", out);
			put_quoted(out, dataset->paths->items[j]);
		}
		fprintf(out, " }\n\tpolicy = %s\n\t# exclude = { \"*.tmp\", \"/srv/data/cache\" }\n\t# sites = { a, b }   # all when left out\n}\n",
			init->policy_name ? init->policy_name : "default");
	}
}

static void
put_all(FILE *out, const struct tk_config_init *init)
{
	fputs("# The configuration of twinkeep: see twinkeep.conf(5); check it with `twinkeep config check`.\n"
		"# Sizes: 512K, 64M, 10G. Durations: 5min, 24h, 30d, \"2 weeks\". Quotes around anything but a plain word.\n\n", out);
	fprintf(out, "source = %s\n", init->source);
	fputs("# spool_max = 20G          # for sites that are slow or away\n"
		"# threads = 0              # one for each core\n"
		"# passphrase_command = \"pass show twinkeep\"\n", out);
	put_sites(out, init);
	if (init->policy_include) {
		fputs("\n# The policy; edit the included file, or copy its section to here.\ninclude(", out);
		put_quoted(out, init->policy_include);
		fputs(")\n", out);
	} else if (!init->policy_name) {
		fputs("\n# The policy: what is left out has the value of twinkeep.conf(5).\n"
			"policy default {\n\tack = all-local          # any, quorum, all-local, all\n"
			"\trpo = 24h\n\trto = 4h\n\tkeep { daily = 14 }\n}\n", out);
	}
	put_datasets(out, init);
}

static enum tk_rc
init_check(const struct tk_config_init *init, struct tk_err *err)
{
	const char *bad = NULL;

	if (!tk_name_is_valid(init->source))
		bad = init->source;
	if (init->policy_name && !tk_name_is_valid(init->policy_name))
		bad = init->policy_name;
	for (size_t i = 0; i < init->site_count; i++)
		if (!tk_name_is_valid(init->sites[i].name))
			bad = init->sites[i].name;
	for (size_t i = 0; i < init->dataset_count; i++)
		if (!tk_name_is_valid(init->datasets[i].name))
			bad = init->datasets[i].name;
	if (bad)
		return tk_err_set(err, TK_EINVAL, "\"%.80s\" is not a name; write letters, digits, '.', '_' and '-', at most 64", bad);
	return TK_OK;
}

enum tk_rc
tk_config_write(const struct tk_config_init *init, char **text, struct tk_err *err)
{
	size_t len_bytes;
	FILE *out;
	bool bad;
	enum tk_rc rc = init_check(init, err);

	*text = NULL;
	if (rc)
		return rc;
	out = open_memstream(text, &len_bytes);
	if (!out)
		return tk_err_set(err, TK_ENOMEM, "out of memory");
	put_all(out, init);
	bad = ferror(out) != 0;
	if (fclose(out) != 0 || bad) {
		free(*text);
		*text = NULL;
		return tk_err_set(err, TK_ENOMEM, "out of memory");
	}
	return TK_OK;
}

/* The path of a policy file: as it is if it is there, else among the shipped ones. */
static bool
policy_path(const char *text, char path[PATH_MAX])
{
	char shipped[PATH_MAX];

	if (realpath(text, path))
		return true;
	if (strchr(text, '/') || !*text)
		return false;
	(void)snprintf(shipped, sizeof(shipped), "%s/%s", TK_POLICY_DIR, text);
	if (realpath(shipped, path))
		return true;
	(void)snprintf(shipped, sizeof(shipped), "%s/%s.conf", TK_POLICY_DIR, text);
	return realpath(shipped, path) != NULL;
}

enum tk_rc
tk_config_policy_file(const char *text, char **path, char **name, struct tk_err *err)
{
	static const char frame[] = "site s { url = \"dir:/s\" local = true }\ndataset d { paths = { \"/d\" } }\ninclude(\"%s\")\n";
	TK_AUTO(tk_config_cleanup) struct tk_config *cfg = NULL;
	char found[PATH_MAX], document[PATH_MAX + sizeof(frame)];
	enum tk_rc rc;

	*path = *name = NULL;
	if (!policy_path(text, found) || strpbrk(found, "\"\\$"))
		return tk_err_set(err, TK_ENOENT, "there is no policy file %s; name a file, or one from %s, where make install puts those of policies/ready", text, TK_POLICY_DIR);
	(void)snprintf(document, sizeof(document), frame, found);
	rc = tk_config_parse(document, strlen(document), "/policy", &cfg, NULL, err);
	if (rc)
		return rc;
	if (strcmp(cfg->policies[0].name, "default") == 0 && cfg->policies[0].where.line == 0)
		return tk_err_set(err, TK_ECONFIG, "%s defines no policy; write policy NAME { ... } in it", found);
	*path = strdup(found);
	*name = strdup(cfg->policies[0].name);
	if (*path && *name)
		return TK_OK;
	free(*path);
	free(*name);
	*path = *name = NULL;
	return tk_err_set(err, TK_ENOMEM, "out of memory");
}
