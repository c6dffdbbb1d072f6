/* The domains of a home: their keys, records, and the datasets that they were made for. */
#include "cli/home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/crypto/sign.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "engine/vault/records.h"

#define DOMAIN_HEX (2 * TK_ID_BYTES)
#define FILE_NAME_MAX (DOMAIN_HEX + 16)
#define NOTE_MAX 256

enum tk_rc
tk_home_domain(const struct tk_home *home, const struct tk_config_dataset *dataset, struct tk_id *domain, struct tk_err *err)
{
	if (!dataset->has_domain_id)
		return tk_err_set(err, TK_ECONFIG, "dataset %s has no keys yet; run twinkeep key add --dataset %s", dataset->name, dataset->name);
	memcpy(domain->b, dataset->domain_id, sizeof(domain->b));
	if (home->unlocked && !tk_keyring_domain(&home->ring, domain))
		return tk_err_set(err, TK_ECONFIG, "dataset %s: this home cannot use the keys of its id yet, or never had them; run twinkeep key add --dataset %s", dataset->name,
				  dataset->name);
	return TK_OK;
}

bool
tk_home_has_keys(struct tk_home *home, const struct tk_config_dataset *dataset)
{
	struct tk_id domain;
	struct tk_err err;

	if (!tk_home_domain(home, dataset, &domain, &err))
		return true;
	(void)tk_out_fail(home->cli->out, &err);
	return false;
}

/* ---- records ---- */

static void
file_name(const struct tk_id *domain, const char *kind, char name[FILE_NAME_MAX])
{
	char hex[DOMAIN_HEX + 1];

	tk_hex_encode(domain->b, sizeof(domain->b), hex);
	(void)snprintf(name, FILE_NAME_MAX, "%s.%s", hex, kind);
}

/* A record that is there may be at sites already, and another one of its kind would be refused there. */
static enum tk_rc
put_record(int keys_fd, const struct tk_id *domain, const char *kind, const struct tk_buf *record, struct tk_err *err)
{
	char name[FILE_NAME_MAX];

	file_name(domain, kind, name);
	if (faccessat(keys_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return TK_OK;
	return tk_publish_file(keys_fd, name, record->data, record->len_bytes, 0600, err);
}

enum tk_rc
tk_home_write_domain(const struct tk_keyring *ring, int keys_fd, const char *source_name, const struct tk_id *domain, const struct tk_id *incarnation,
		     struct tk_err *err)
{
	struct tk_genesis genesis = {.suite = ring->suite, .domain = *domain, .source = ring->source, .incarnation = *incarnation,
				     .created_ns = tk_clock_wall_ns()};
	struct tk_grant grant = {.suite = ring->suite, .domain = *domain, .incarnation = *incarnation, .epoch = 1, .created_ns = genesis.created_ns};
	TK_AUTO(tk_buf_release) struct tk_buf genesis_record = {0}, grant_record = {0};
	enum tk_rc rc;

	(void)snprintf(genesis.source_name, sizeof(genesis.source_name), "%s", source_name);
	if ((rc = tk_sign_public(ring->suite, ring->operator_seed, genesis.operator_key, err)) ||
	    (rc = tk_sign_public(ring->suite, ring->writer_seed, genesis.writer_key, err)))
		return rc;
	memcpy(grant.writer_key, genesis.writer_key, sizeof(grant.writer_key));
	if ((rc = tk_genesis_seal(&genesis, ring->operator_seed, &genesis_record, err)) || (rc = tk_grant_seal(&grant, ring->operator_seed, &grant_record, err)) ||
	    (rc = put_record(keys_fd, domain, "genesis", &genesis_record, err)))
		return rc;
	return put_record(keys_fd, domain, "grant", &grant_record, err);
}

/* ---- the datasets that domains were made for ---- */

enum tk_rc
tk_home_note_domain(int keys_fd, const struct tk_id *domain, const char *dataset, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf note = {0};
	char name[FILE_NAME_MAX], line[NOTE_MAX];

	file_name(domain, "dataset", name);
	(void)snprintf(line, sizeof(line), "%s\n", dataset);
	if (!tk_read_file_at(keys_fd, name, NOTE_MAX, &note, NULL) && note.len_bytes == strlen(line) && memcmp(note.data, line, note.len_bytes) == 0)
		return TK_OK;
	return tk_publish_file(keys_fd, name, line, strlen(line), 0600, err);
}

/* Is this file of HOME/keys a note? Then *domain is whose. */
static bool
is_note(const char *name, struct tk_id *domain)
{
	char hex[DOMAIN_HEX + 1];

	if (strlen(name) != DOMAIN_HEX + strlen(".dataset") || strcmp(name + DOMAIN_HEX, ".dataset") != 0)
		return false;
	(void)snprintf(hex, sizeof(hex), "%.*s", (int)DOMAIN_HEX, name);
	return tk_hex_decode(hex, domain->b, sizeof(domain->b), NULL) == TK_OK;
}

static bool
is_configured(const struct tk_home *home, const struct tk_id *domain)
{
	for (size_t i = 0; i < home->cfg->dataset_count; i++)
		if (home->cfg->datasets[i].has_domain_id && memcmp(home->cfg->datasets[i].domain_id, domain->b, sizeof(domain->b)) == 0)
			return true;
	return false;
}

/* Which dataset the note names; false: it is none, or damaged. */
static bool
read_note(struct tk_home *home, const char *file, char dataset[NOTE_MAX])
{
	TK_AUTO(tk_buf_release) struct tk_buf note = {0};

	if (tk_home_read_key_file(home, file, &note, NULL) || note.len_bytes == 0 || note.len_bytes >= NOTE_MAX)
		return false;
	(void)snprintf(dataset, NOTE_MAX, "%.*s", (int)note.len_bytes - 1, (const char *)note.data);
	return tk_name_is_valid(dataset);
}

typedef enum tk_rc note_fn(struct tk_home *home, const struct tk_id *domain, const char *dataset, void *ctx, struct tk_err *err);

/* Goes over the notes of domains that no dataset of the configuration has, in order of their ids. */
static enum tk_rc
for_notes(struct tk_home *home, note_fn *fn, void *ctx, struct tk_err *err)
{
	struct dirent **names = NULL;
	int count = scandirat(home->keys_fd, ".", &names, NULL, alphasort);
	enum tk_rc rc = count < 0 ? tk_err_errno(err, TK_EIO, "the keys of %s", home->cfg->home) : TK_OK;

	for (int i = 0; i < count; i++) {
		char dataset[NOTE_MAX];
		struct tk_id domain;

		if (!rc && is_note(names[i]->d_name, &domain) && !is_configured(home, &domain) && read_note(home, names[i]->d_name, dataset))
			rc = fn(home, &domain, dataset, ctx, err);
		free(names[i]);
	}
	free(names);
	return rc;
}

struct sought {
	const char *dataset;
	struct tk_id domain;
	bool found;
};

static enum tk_rc
look_for_keys(struct tk_home *home, const struct tk_id *domain, const char *dataset, void *ctx, struct tk_err *err)
{
	struct sought *sought = ctx;

	(void)err;
	if (sought->found || strcmp(dataset, sought->dataset) != 0 || !tk_keyring_domain(&home->ring, domain))
		return TK_OK;
	sought->domain = *domain;
	sought->found = true;
	return TK_OK;
}

enum tk_rc
tk_home_noted_domain(struct tk_home *home, const char *dataset, struct tk_id *domain, struct tk_err *err)
{
	struct sought sought = {.dataset = dataset};
	enum tk_rc rc = for_notes(home, look_for_keys, &sought, err);

	if (rc)
		return rc;
	*domain = sought.domain;
	return sought.found ? TK_OK : tk_err_set(err, TK_ENOENT, "no keys were made for a dataset %s", dataset);
}

/* ---- datasets that were taken out of the configuration ---- */

/* Sites and policy belong to the configuration, the list of the sites to all of them together. */
static enum tk_rc
add_former(struct tk_home *home, const struct tk_id *domain, const char *dataset, void *ctx, struct tk_err *err)
{
	const struct tk_strings *sites = ctx;
	struct tk_config_dataset *grown, *former;
	char name[FILE_NAME_MAX];

	/* Without a genesis nothing was ever stored. */
	file_name(domain, "genesis", name);
	if (tk_config_dataset_find(home->cfg, dataset) || faccessat(home->keys_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return TK_OK;
	grown = realloc(home->former, (home->former_count + 1) * sizeof(*grown));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for the datasets");
	home->former = grown;
	former = &grown[home->former_count];
	*former = (struct tk_config_dataset){.name = strdup(dataset), .policy = tk_config_policy_find(home->cfg, "default"), .sites = *sites, .has_domain_id = true};
	if (!former->name)
		return tk_err_set(err, TK_ENOMEM, "no memory for the datasets");
	memcpy(former->domain_id, domain->b, sizeof(former->domain_id));
	home->former_count++;
	return TK_OK;
}

enum tk_rc
tk_home_find_former(struct tk_home *home, struct tk_err *err)
{
	struct tk_strings sites = {calloc(home->cfg->site_count + 1, sizeof(*sites.items)), home->cfg->site_count};
	enum tk_rc rc;

	if (!sites.items)
		return tk_err_set(err, TK_ENOMEM, "no memory for the sites");
	for (size_t i = 0; i < sites.count; i++)
		sites.items[i] = home->cfg->sites[i].name;
	rc = for_notes(home, add_former, &sites, err);
	if (home->former_count == 0)
		free(sites.items);
	return rc;
}

void
tk_home_free_former(struct tk_home *home)
{
	for (size_t i = 0; i < home->former_count; i++)
		free(home->former[i].name);
	if (home->former_count > 0)
		free(home->former[0].sites.items);
	free(home->former);
}
