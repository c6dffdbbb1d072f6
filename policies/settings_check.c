/* What only the whole configuration shows, and its memory. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policies/nearest.h"
#include "policies/settings_keys.h"

void
tk_mistake_add(struct tk_mistakes *mistakes, const char *file, unsigned line, const char *fmt, ...)
{
	struct tk_err err;
	char text[TK_ERR_TEXT_MAX];
	va_list args;
	struct tk_mistake next;
	size_t at = mistakes->count;

	if (mistakes->count == TK_MISTAKES_MAX)
		return;
	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	/* Through an error: one line, whatever stood in the file. */
	(void)tk_err_set(&err, TK_ECONFIG, "%s", text);
	next = (struct tk_mistake){strdup(file ? file : TK_CONFIG_FILE), line, strdup(err.text)};
	if (!next.file || !next.text) {
		free(next.file);
		free(next.text);
		return;
	}
	for (; at > 0 && mistakes->items[at - 1].line > line && strcmp(mistakes->items[at - 1].file, next.file) == 0; at--)
		mistakes->items[at] = mistakes->items[at - 1];
	mistakes->items[at] = next;
	mistakes->count++;
}

void
tk_mistake_add_unknown(struct tk_mistakes *mistakes, const char *file, unsigned line, enum tk_config_section section, const char *name)
{
	static const char *const of[TK_SECTION_COUNT] = {"here", "of site", "of dataset", "of policy", "of daemon", "of keep"};
	const char *near = tk_config_key_nearest(section, name);

	tk_mistake_add(mistakes, file, line, "\"%s\" is not a key %s; %s%s", name, of[section],
		near ? "write " : "remove it, or see twinkeep.conf(5) for the keys", near ? near : "");
}

void
tk_mistakes_release(struct tk_mistakes *mistakes)
{
	for (size_t i = 0; i < mistakes->count; i++) {
		free(mistakes->items[i].file);
		free(mistakes->items[i].text);
	}
	mistakes->count = 0;
}

const struct tk_config_site *
tk_config_site_find(const struct tk_config *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->site_count; i++)
		if (strcmp(cfg->sites[i].name, name) == 0)
			return &cfg->sites[i];
	return NULL;
}

const struct tk_config_dataset *
tk_config_dataset_find(const struct tk_config *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->dataset_count; i++)
		if (strcmp(cfg->datasets[i].name, name) == 0)
			return &cfg->datasets[i];
	return NULL;
}

const struct tk_config_policy *
tk_config_policy_find(const struct tk_config *cfg, const char *name)
{
	for (size_t i = 0; i < cfg->policy_count; i++)
		if (strcmp(cfg->policies[i].name, name) == 0)
			return &cfg->policies[i];
	return NULL;
}

static enum tk_rc
default_policy_add(struct tk_config *cfg, struct tk_err *err)
{
	struct tk_config_policy *grown, *policy;

	if (tk_config_policy_find(cfg, "default"))
		return TK_OK;
	grown = realloc(cfg->policies, (cfg->policy_count + 1) * sizeof(*grown));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "out of memory");
	cfg->policies = grown;
	policy = &grown[cfg->policy_count++];
	memset(policy, 0, sizeof(*policy));
	policy->where.file = cfg->files.items[0];
	policy->name = strdup("default");
	if (!policy->name || tk_config_section_init(TK_SECTION_POLICY, policy, err) || tk_config_section_init(TK_SECTION_KEEP, &policy->keep, err))
		return tk_err_set(err, TK_ENOMEM, "out of memory");
	return TK_OK;
}

static void
policy_resolve(struct tk_config *cfg, struct tk_config_dataset *dataset, struct tk_mistakes *mistakes)
{
	struct tk_nearest nearest;

	dataset->policy = tk_config_policy_find(cfg, dataset->policy_name);
	if (dataset->policy)
		return;
	tk_nearest_init(&nearest, dataset->policy_name);
	for (size_t i = 0; i < cfg->policy_count; i++)
		tk_nearest_offer(&nearest, cfg->policies[i].name);
	if (nearest.best)
		tk_mistake_add(mistakes, dataset->policy_where.file, dataset->policy_where.line,
			"dataset %s: there is no policy \"%s\"; write %s", dataset->name, dataset->policy_name, nearest.best);
	else
		tk_mistake_add(mistakes, dataset->policy_where.file, dataset->policy_where.line,
			"dataset %s: there is no policy \"%s\"; define it, or write include(\"%s.conf\") at the top if it is a shipped one",
			dataset->name, dataset->policy_name, dataset->policy_name);
}

static enum tk_rc
sites_resolve(const struct tk_config *cfg, struct tk_config_dataset *dataset, struct tk_mistakes *mistakes, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < dataset->sites.count; i++) {
		const char *name = dataset->sites.items[i];
		struct tk_nearest nearest;

		for (size_t j = 0; j < i; j++)
			if (strcmp(dataset->sites.items[j], name) == 0)
				tk_mistake_add(mistakes, dataset->sites_where.file, dataset->sites_where.line, "dataset %s names the site %s twice; keep one",
					dataset->name, name);
		if (tk_config_site_find(cfg, name))
			continue;
		tk_nearest_init(&nearest, name);
		for (size_t j = 0; j < cfg->site_count; j++)
			tk_nearest_offer(&nearest, cfg->sites[j].name);
		tk_mistake_add(mistakes, dataset->sites_where.file, dataset->sites_where.line, "dataset %s: there is no site \"%s\"; %s%s",
			dataset->name, name, nearest.best ? "write " : "add a site section for it, or remove it", nearest.best ? nearest.best : "");
	}
	for (size_t i = 0; !rc && i < cfg->site_count && !dataset->sites_where.line; i++)
		rc = tk_strings_add(&dataset->sites, cfg->sites[i].name, err);
	return rc;
}

static void
ack_check(const struct tk_config *cfg, const struct tk_config_dataset *dataset, struct tk_mistakes *mistakes)
{
	size_t locals = 0;

	if (!dataset->policy || dataset->policy->ack != TK_ACK_ALL_LOCAL || cfg->site_count == 0)
		return;
	for (size_t i = 0; i < dataset->sites.count; i++) {
		const struct tk_config_site *site = tk_config_site_find(cfg, dataset->sites.items[i]);

		locals += site && site->local;
	}
	if (locals == 0)
		tk_mistake_add(mistakes, dataset->where.file, dataset->where.line,
			"dataset %s wants ack = all-local (policy %s), but none of its sites is local; write local = true in a site, or ack = quorum in the policy",
			dataset->name, dataset->policy->name);
}

static bool
path_is_inside(const char *path, const char *dir)
{
	size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

	return strncmp(path, dir, len) == 0 && (path[len] == '/' || path[len] == '\0');
}

static void
paths_check(const struct tk_config_dataset *dataset, struct tk_mistakes *mistakes)
{
	for (size_t i = 0; i < dataset->paths.count; i++)
		for (size_t j = 0; j < dataset->paths.count; j++)
			if (i != j && path_is_inside(dataset->paths.items[i], dataset->paths.items[j]) &&
				(i > j || strcmp(dataset->paths.items[i], dataset->paths.items[j]) != 0))
				tk_mistake_add(mistakes, dataset->where.file, dataset->where.line, "dataset %s: %s is inside %s; keep the outer path only",
					dataset->name, dataset->paths.items[i], dataset->paths.items[j]);
}

static void
ids_check(const struct tk_config *cfg, const struct tk_config_dataset *dataset, struct tk_mistakes *mistakes)
{
	for (const struct tk_config_dataset *other = cfg->datasets; dataset->has_domain_id && other < dataset; other++)
		if (other->has_domain_id && memcmp(other->domain_id, dataset->domain_id, sizeof(dataset->domain_id)) == 0)
			tk_mistake_add(mistakes, dataset->where.file, dataset->where.line,
				"dataset %s has the id of dataset %s; restore the id that was made for it", dataset->name, other->name);
}

static void
sites_check(const struct tk_config *cfg, struct tk_mistakes *mistakes)
{
	for (size_t i = 0; i < cfg->site_count; i++)
		for (size_t j = 0; j < i; j++)
			if (cfg->sites[i].url_text && cfg->sites[j].url_text && strcmp(cfg->sites[i].url_text, cfg->sites[j].url_text) == 0)
				tk_mistake_add(mistakes, cfg->sites[i].where.file, cfg->sites[i].where.line,
					"site %s has the url of site %s; a site counts once: write another url", cfg->sites[i].name, cfg->sites[j].name);
}

enum tk_rc
tk_config_check(struct tk_config *cfg, struct tk_mistakes *mistakes, struct tk_err *err)
{
	enum tk_rc rc = default_policy_add(cfg, err);

	if (!rc && cfg->daemon.listen.count == 0)
		rc = tk_strings_add(&cfg->daemon.listen, tk_config_key_find(TK_SECTION_DAEMON, "listen")->info.fallback, err);
	if (cfg->site_count == 0 && !cfg->daemon.present)
		tk_mistake_add(mistakes, cfg->files.items[0], 1, "there is no site; write site NAME { url = \"dir:/path\" } or url = \"tk://host:port\"");
	if (cfg->dataset_count == 0 && !cfg->daemon.present)
		tk_mistake_add(mistakes, cfg->files.items[0], 1, "there is no dataset; write dataset NAME { paths = { \"/path\" } }");
	sites_check(cfg, mistakes);
	for (size_t i = 0; !rc && i < cfg->dataset_count; i++) {
		struct tk_config_dataset *dataset = &cfg->datasets[i];

		policy_resolve(cfg, dataset, mistakes);
		rc = sites_resolve(cfg, dataset, mistakes, err);
		ack_check(cfg, dataset, mistakes);
		paths_check(dataset, mistakes);
		ids_check(cfg, dataset, mistakes);
	}
	return rc;
}

void
tk_config_free(struct tk_config *cfg)
{
	if (!cfg)
		return;
	for (size_t i = 0; i < cfg->site_count; i++) {
		tk_config_section_release(TK_SECTION_SITE, &cfg->sites[i]);
		free(cfg->sites[i].name);
	}
	for (size_t i = 0; i < cfg->dataset_count; i++) {
		tk_config_section_release(TK_SECTION_DATASET, &cfg->datasets[i]);
		free(cfg->datasets[i].name);
	}
	for (size_t i = 0; i < cfg->policy_count; i++) {
		tk_config_section_release(TK_SECTION_POLICY, &cfg->policies[i]);
		free(cfg->policies[i].name);
	}
	tk_config_section_release(TK_SECTION_DAEMON, &cfg->daemon);
	tk_config_section_release(TK_SECTION_TOP, cfg);
	free(cfg->sites);
	free(cfg->datasets);
	free(cfg->policies);
	free(cfg->home);
	tk_strings_release(&cfg->files);
	free(cfg);
}

void
tk_config_cleanup(struct tk_config **cfg)
{
	tk_config_free(*cfg);
	*cfg = NULL;
}

const char *
tk_config_state_default(const char *home)
{
	return strcmp(home, TK_HOME_DEFAULT) == 0 ? TK_STATE_DEFAULT : NULL;
}

const struct tk_config_key_info *
tk_config_key_info(size_t index)
{
	return index < tk_config_key_count ? &tk_config_key_table[index].info : NULL;
}
