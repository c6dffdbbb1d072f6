/* One value of the configuration: from its text to its place in a struct, by the type of its key. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "policies/nearest.h"
#include "policies/settings_keys.h"

enum tk_rc
tk_strings_add(struct tk_strings *list, const char *text, struct tk_err *err)
{
	char **grown = realloc(list->items, (list->count + 1) * sizeof(*grown));

	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "out of memory");
	list->items = grown;
	grown[list->count] = strdup(text);
	if (!grown[list->count])
		return tk_err_set(err, TK_ENOMEM, "out of memory");
	list->count++;
	return TK_OK;
}

void
tk_strings_release(struct tk_strings *list)
{
	for (size_t i = 0; i < list->count; i++)
		free(list->items[i]);
	free(list->items);
	*list = (struct tk_strings){NULL, 0};
}

static enum tk_rc
text_store(char **place, const char *text, struct tk_err *err)
{
	char *copy = strdup(text);

	if (!copy)
		return tk_err_set(err, TK_ENOMEM, "out of memory");
	free(*place);
	*place = copy;
	return TK_OK;
}

static enum tk_rc
choice_store(const struct tk_config_key *key, void *place, const char *text, struct tk_err *err)
{
	const char *at = key->info.type;
	int value = 0;

	for (; at; value++) {
		size_t len = strcspn(at, "|");

		if (strlen(text) == len && strncmp(text, at, len) == 0) {
			memcpy(place, &value, sizeof(value));
			return TK_OK;
		}
		at = at[len] ? at + len + 1 : NULL;
	}
	return tk_err_set(err, TK_EINVAL, "%s cannot be \"%.60s\"; write one of %s", key->info.name, text, key->info.type);
}

static enum tk_rc
bool_store(const struct tk_config_key *key, bool *place, const char *text, struct tk_err *err)
{
	static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		for (int value = 0; value < 2; value++)
			if (strcmp(text, words[i][value]) == 0) {
				*place = value != 0;
				return TK_OK;
			}
	return tk_err_set(err, TK_EINVAL, "%s cannot be \"%.60s\"; write true or false", key->info.name, text);
}

static enum tk_rc
number_store(const struct tk_config_key *key, uint64_t *place, const char *text, struct tk_err *err)
{
	size_t digits = strspn(text, "0123456789");
	uint64_t value = digits > 0 && digits < 19 ? strtoull(text, NULL, 10) : UINT64_MAX;

	if (text[digits] || value < key->min || value > key->max)
		return tk_err_set(err, TK_EINVAL, "%s cannot be \"%.60s\"; write a number from %llu to %llu", key->info.name, text,
			(unsigned long long)key->min, (unsigned long long)key->max);
	*place = value;
	return TK_OK;
}

static enum tk_rc
range_check(const struct tk_config_key *key, uint64_t value, const char *text, struct tk_err *err)
{
	if (value < key->min)
		return tk_err_set(err, TK_EINVAL, "%s = %.60s is too small; write more, such as %s", key->info.name, text, key->info.fallback);
	if (value > key->max)
		return tk_err_set(err, TK_EINVAL, "%s = %.60s is too large; write less, such as %s", key->info.name, text, key->info.fallback);
	return TK_OK;
}

static enum tk_rc
size_store(const struct tk_config_key *key, uint64_t *place, const char *text, struct tk_err *err)
{
	enum tk_rc rc;

	if (strcmp(text, "auto") == 0 && strcmp(key->info.fallback, "auto") == 0) {
		*place = 0;
		return TK_OK;
	}
	rc = tk_size_parse(text, place, err);
	if (rc)
		return tk_err_context(err, rc, "%s", key->info.name);
	return range_check(key, *place, text, err);
}

static enum tk_rc
duration_store(const struct tk_config_key *key, int64_t *place, const char *text, struct tk_err *err)
{
	enum tk_rc rc = tk_duration_parse(text, place, err);

	if (rc)
		return tk_err_context(err, rc, "%s", key->info.name);
	return range_check(key, (uint64_t)*place, text, err);
}

/* An absolute path, stored without slashes at its end; ".." and empty parts would make two names for one place. */
static enum tk_rc
path_clean(const struct tk_config_key *key, const char *text, char clean[4096], struct tk_err *err)
{
	size_t len = strlen(text);

	if (text[0] != '/')
		return tk_err_set(err, TK_EINVAL, "%s: \"%.200s\" is a relative path; write it from the root, such as /srv/data", key->info.name, text);
	if (len >= 4096)
		return tk_err_set(err, TK_EINVAL, "%s: the path \"%.60s...\" is too long; write at most 4095 bytes", key->info.name, text);
	while (len > 1 && text[len - 1] == '/')
		len--;
	memcpy(clean, text, len);
	clean[len] = '\0';
	for (const char *at = clean; at; at = strchr(at + 1, '/')) {
		size_t part = strcspn(at + 1, "/");

		if ((part == 0 && len > 1) || (part == 1 && at[1] == '.') || (part == 2 && at[1] == '.' && at[2] == '.'))
			return tk_err_set(err, TK_EINVAL, "%s: \"%.200s\" has an empty part, . or ..; write the path without them", key->info.name, text);
	}
	return TK_OK;
}

static enum tk_rc
path_store(const struct tk_config_key *key, void *place, const char *text, struct tk_err *err)
{
	char clean[4096];
	enum tk_rc rc;

	if (!*text && key->info.fallback)
		return text_store(place, "", err);
	rc = path_clean(key, text, clean, err);
	if (rc)
		return rc;
	return key->type == TK_KEY_DIR ? text_store(place, clean, err) : tk_strings_add(place, clean, err);
}

static enum tk_rc
url_store(struct tk_config_site *site, const char *text, struct tk_err *err)
{
	enum tk_rc rc = tk_site_url_parse(text, &site->url, err);

	return rc ? tk_err_context(err, rc, "url") : text_store(&site->url_text, text, err);
}

static enum tk_rc
domain_store(struct tk_config_dataset *dataset, const char *text, struct tk_err *err)
{
	if (tk_hex_decode(text, dataset->domain_id, sizeof(dataset->domain_id), NULL))
		return tk_err_set(err, TK_EINVAL, "id cannot be \"%.60s\"; write the 32 hexadecimal digits that init made", text);
	dataset->has_domain_id = true;
	return TK_OK;
}

static enum tk_rc
name_store(const struct tk_config_key *key, char **place, const char *text, struct tk_err *err)
{
	if (!tk_name_is_valid(text))
		return tk_err_set(err, TK_EINVAL, "%s: \"%.80s\" is not a name; write letters, digits, '.', '_' and '-', at most 64", key->info.name, text);
	return text_store(place, text, err);
}

enum tk_rc
tk_config_key_store(const struct tk_config_key *key, void *base, const char *text, struct tk_err *err)
{
	void *place = (char *)base + key->offset;
	enum tk_rc rc;

	switch (key->type) {
	case TK_KEY_STRING:
	case TK_KEY_COMMAND:
		return text_store(place, text, err);
	case TK_KEY_NAME:
		return name_store(key, place, text, err);
	case TK_KEY_DIR:
	case TK_KEY_PATHS:
		return path_store(key, place, text, err);
	case TK_KEY_URL:
		return url_store(base, text, err);
	case TK_KEY_LIST:
		if (!*text)
			return tk_err_set(err, TK_EINVAL, "%s has an empty element; write {} for none", key->info.name);
		return tk_strings_add(place, text, err);
	case TK_KEY_BOOL:
		return bool_store(key, place, text, err);
	case TK_KEY_CHOICE:
		return choice_store(key, place, text, err);
	case TK_KEY_NUMBER:
		return number_store(key, place, text, err);
	case TK_KEY_SIZE:
		return size_store(key, place, text, err);
	case TK_KEY_DURATION:
		return duration_store(key, place, text, err);
	case TK_KEY_WINDOW:
		rc = tk_window_parse(text, place, err);
		return rc ? tk_err_context(err, rc, "%s", key->info.name) : TK_OK;
	case TK_KEY_DOMAIN:
		return domain_store(base, text, err);
	}
	return tk_err_set(err, TK_EINVAL, "%s has no type", key->info.name);
}

enum tk_rc
tk_config_section_init(enum tk_config_section section, void *base, struct tk_err *err)
{
	for (size_t i = 0; i < tk_config_key_count; i++) {
		const struct tk_config_key *key = &tk_config_key_table[i];
		bool list = key->type == TK_KEY_LIST || key->type == TK_KEY_PATHS || key->type == TK_KEY_DOMAIN;
		enum tk_rc rc;

		/* A list's fallback would have to go when the file gives one: it is filled in by the check. */
		if (key->info.section != section || !key->info.fallback || list)
			continue;
		rc = tk_config_key_store(key, base, key->info.fallback, err);
		if (rc)
			return rc;
	}
	return TK_OK;
}

void
tk_config_section_release(enum tk_config_section section, void *base)
{
	for (size_t i = 0; i < tk_config_key_count; i++) {
		const struct tk_config_key *key = &tk_config_key_table[i];
		void *place = (char *)base + key->offset;

		if (key->info.section != section)
			continue;
		switch (key->type) {
		case TK_KEY_STRING:
		case TK_KEY_COMMAND:
		case TK_KEY_DIR:
		case TK_KEY_NAME:
			free(*(char **)place);
			*(char **)place = NULL;
			break;
		case TK_KEY_LIST:
		case TK_KEY_PATHS:
			tk_strings_release(place);
			break;
		case TK_KEY_URL:
			free(((struct tk_config_site *)base)->url_text);
			((struct tk_config_site *)base)->url_text = NULL;
			break;
		case TK_KEY_BOOL:
		case TK_KEY_CHOICE:
		case TK_KEY_NUMBER:
		case TK_KEY_SIZE:
		case TK_KEY_DURATION:
		case TK_KEY_WINDOW:
		case TK_KEY_DOMAIN:
			break;
		}
	}
}
