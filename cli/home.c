#include "cli/home.h"

#include <errno.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/secret.h"
#include "engine/base/cores.h"
#include "engine/base/hex.h"
#include "engine/crypto/aead.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/sign.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "engine/vault/vault_store.h"
#include "policies/nearest.h"
#include "policies/select.h"
#include "transport/client.h"
#include "transport/enrol.h"

/* Each has 4 to 9 MiB of buffers. What so many compress and seal, 3 GB/s, neither disks nor networks take. */
#define THREADS_MAX 16u

#define KEY_FILE_MAX (1u << 20)
#define CA_SALT_BYTES 32

static enum tk_rc
open_keys_dir(struct tk_home *home, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int fd = open(home->cfg->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd >= 0)
		home->keys_fd = openat(fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || home->keys_fd < 0)
		return tk_err_errno(err, TK_EIO, "the keys of %s", home->cfg->home);
	return TK_OK;
}

static void
home_init(const struct tk_cli *cli, struct tk_home *home)
{
	memset(home, 0, sizeof(*home));
	home->cli = cli;
	home->keys_fd = -1;
	(void)pthread_mutex_init(&home->lock, NULL);
}

static enum tk_rc
open_parts(struct tk_home *home, struct tk_err *err)
{
	enum tk_rc rc = open_keys_dir(home, err);

	if (rc)
		return rc;
	home->sites = calloc(home->cfg->site_count + 1, sizeof(*home->sites));
	if (!home->sites)
		return tk_err_set(err, TK_ENOMEM, "no memory for the sites");
	for (size_t i = 0; i < home->cfg->site_count; i++)
		home->sites[i] = (struct tk_home_site){.home = home, .conf = &home->cfg->sites[i]};
	return tk_home_find_former(home, err);
}

unsigned
tk_home_threads(const struct tk_home *home)
{
	unsigned cores = tk_cores_usable();

	if (home->cfg->threads)
		return (unsigned)home->cfg->threads;
	return cores < THREADS_MAX ? cores : THREADS_MAX;
}

enum tk_rc
tk_home_open(const struct tk_cli *cli, struct tk_home *home, struct tk_err *err)
{
	enum tk_rc rc;

	home_init(cli, home);
	if ((rc = tk_cli_config(cli, &home->cfg, err)) || (rc = tk_cli_sites_check(cli, home->cfg, err)))
		return rc;
	return open_parts(home, err);
}

enum tk_rc
tk_home_open_config(const struct tk_cli *cli, struct tk_config *cfg, struct tk_home *home, struct tk_err *err)
{
	home_init(cli, home);
	home->cfg = cfg;
	return open_parts(home, err);
}

void
tk_home_release(struct tk_home *home)
{
	for (size_t i = 0; home->sites && i < home->cfg->site_count; i++)
		tk_vault_cleanup(&home->sites[i].vault);
	free(home->sites);
	tk_home_free_former(home);
	tk_tls_ctx_free(home->tls);
	tk_keyring_release(&home->ring);
	if (home->keys_fd >= 0)
		close(home->keys_fd);
	tk_config_cleanup(&home->cfg);
	(void)pthread_mutex_destroy(&home->lock);
}

enum tk_rc
tk_home_read_key_file(struct tk_home *home, const char *name, struct tk_buf *out, struct tk_err *err)
{
	enum tk_rc rc = tk_read_file_at(home->keys_fd, name, KEY_FILE_MAX, out, err);

	return rc ? tk_err_context(err, rc, "%s/keys", home->cfg->home) : TK_OK;
}

enum tk_rc
tk_home_read_record(struct tk_home *home, const struct tk_id *domain, const char *kind, struct tk_buf *out, struct tk_err *err)
{
	char name[2 * sizeof(domain->b) + 32];

	tk_hex_encode(domain->b, sizeof(domain->b), name);
	(void)snprintf(name + 2 * sizeof(domain->b), sizeof(name) - 2 * sizeof(domain->b), ".%s", kind);
	return tk_home_read_key_file(home, name, out, err);
}

/* ---- unlocking ---- */

enum tk_rc
tk_home_unlock_machine(struct tk_home *home, struct tk_err *err)
{
	TK_AUTO(tk_wipe_buf) struct tk_buf key = {0};
	TK_AUTO(tk_buf_release) struct tk_buf slot = {0};
	enum tk_rc rc;

	if ((rc = tk_home_read_key_file(home, "machine.key", &key, err)) || (rc = tk_home_read_key_file(home, "machine.slot", &slot, err)) ||
	    (rc = tk_slot_open(slot.data, slot.len_bytes, key.data, key.len_bytes, &home->ring, err)))
		return tk_err_context(err, rc, "unlocking by the machine key");
	home->unlocked = true;
	return TK_OK;
}

bool
tk_home_is_passphrase_slot(const char *name)
{
	size_t len = strlen(name);

	return strncmp(name, "passphrase-", 11) == 0 && len > 5 && strcmp(name + len - 5, ".slot") == 0;
}

/* Tries every passphrase slot of the home. */
enum tk_rc
tk_home_try_passphrase(struct tk_home *home, const struct tk_secret *secret, struct tk_keyring *ring, struct tk_err *err)
{
	TK_AUTO(tk_dir_cleanup) DIR *dir = NULL;
	int fd = openat(home->keys_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	enum tk_rc rc = TK_EKEY;
	struct tk_err why, told;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return tk_err_errno(err, TK_EIO, "the keys of %s", home->cfg->home);
	tk_err_clear(&told);
	while (rc && (entry = readdir(dir))) {
		TK_AUTO(tk_buf_release) struct tk_buf slot = {0};

		if (!tk_home_is_passphrase_slot(entry->d_name))
			continue;
		if (!(rc = tk_home_read_key_file(home, entry->d_name, &slot, &why)))
			rc = tk_slot_open(slot.data, slot.len_bytes, secret->text, secret->len_bytes, ring, &why);
		/* A slot that is damaged hides neither a good one nor that the passphrase fits none. */
		if (rc == TK_EKEY || !told.rc)
			told = why;
	}
	if (!rc)
		return TK_OK;
	return told.rc ? tk_err_set(err, told.rc, "%s", told.text) : tk_err_set(err, TK_EKEY, "%s has no passphrase slot", home->cfg->home);
}

enum tk_rc
tk_home_unlock_secret(struct tk_home *home, const struct tk_secret *secret, struct tk_err *err)
{
	enum tk_rc rc = tk_home_try_passphrase(home, secret, &home->ring, err);

	home->unlocked = rc == TK_OK;
	return rc;
}

enum tk_rc
tk_home_ask_passphrase(struct tk_home *home, struct tk_secret *secret, struct tk_err *err)
{
	char prompt[128];

	(void)snprintf(prompt, sizeof(prompt), "Passphrase of %s", home->cfg->source);
	return tk_cli_passphrase(home->cli, home->cfg, prompt, false, secret, err);
}

enum tk_rc
tk_home_unlock_passphrase(struct tk_home *home, struct tk_err *err)
{
	TK_AUTO(tk_secret_release) struct tk_secret secret = {0};
	enum tk_rc rc = tk_home_ask_passphrase(home, &secret, err);

	return rc ? rc : tk_home_unlock_secret(home, &secret, err);
}

/* ---- datasets and sites ---- */

static const struct tk_config_dataset *
find_former(const struct tk_home *home, const char *name)
{
	for (size_t i = 0; name && i < home->former_count; i++)
		if (strcmp(home->former[i].name, name) == 0)
			return &home->former[i];
	return NULL;
}

enum tk_rc
tk_home_dataset(struct tk_home *home, const char *text, const struct tk_config_dataset **dataset, const char **point, struct tk_err *err)
{
	char name[256];
	enum tk_rc rc;

	*point = NULL;
	if (text && (rc = tk_point_spec_split(text, name, sizeof(name), point, err)))
		return err ? (err->rc = TK_EUSAGE) : TK_EUSAGE;
	if ((rc = tk_cli_dataset(home->cfg, text ? name : NULL, dataset, err)) && !(*dataset = find_former(home, text ? name : NULL)))
		return rc;
	return TK_OK;
}

static enum tk_rc
need_tls(struct tk_home *home, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf ca = {0}, cert = {0};
	TK_AUTO(tk_wipe_buf) struct tk_buf key = {0};
	enum tk_rc rc;

	if (home->tls)
		return TK_OK;
	if ((rc = tk_home_read_key_file(home, "ca.pem", &ca, err)) || (rc = tk_home_read_key_file(home, "tls.pem", &cert, err)) ||
	    (rc = tk_home_read_key_file(home, "tls.key", &key, err)))
		return rc;
	return tk_source_tls(&home->ring.source, (struct tk_bytes){ca.data, ca.len_bytes}, (struct tk_bytes){cert.data, cert.len_bytes},
			     (struct tk_bytes){key.data, key.len_bytes}, &home->tls, err);
}

/* What the dataset's policy lets a session send at this time of day. */
static uint64_t
bandwidth_now(void *ctx)
{
	const struct tk_home_site *site = ctx;
	time_t now = time(NULL);
	struct tm local;

	if (!site->policy->bandwidth_bytes || !localtime_r(&now, &local))
		return site->policy->bandwidth_bytes;
	return tk_window_contains(&site->policy->window, local.tm_hour * 60 + local.tm_min) ? site->policy->bandwidth_bytes : 0;
}

static enum tk_rc
open_daemon(struct tk_home_site *site, struct tk_store **out, struct tk_err *err)
{
	struct tk_home *home = site->home;
	struct tk_client_options options = {.site_name = site->conf->name, .role = TK_ROLE_SOURCE, .source = home->ring.source,
					    .node_name = home->cfg->source, .greet_ahead = true, .connect_timeout_ms = (int)site->conf->connect_timeout_ms,
					    .io_timeout_ms = (int)site->conf->io_timeout_ms};
	enum tk_rc rc;

	if (site->policy) {
		options.bandwidth = bandwidth_now;
		options.bandwidth_ctx = site;
	}
	pthread_mutex_lock(&home->lock);
	rc = need_tls(home, err);
	pthread_mutex_unlock(&home->lock);
	if (rc)
		return rc;
	(void)snprintf(options.address.host, sizeof(options.address.host), "%s", site->conf->url.host);
	options.address.port = site->conf->url.port;
	options.tls = home->tls;
	if (home->ring.has_operator_seed)
		options.operator_seed = home->ring.operator_seed;
	return tk_client_open(&options, out, err);
}

/* All sessions of a directory share its vault. */
static enum tk_rc
open_dir(struct tk_home_site *site, struct tk_store **out, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	pthread_mutex_lock(&site->home->lock);
	if (!site->vault)
		rc = tk_vault_open(site->conf->url.path, site->mode, site->home->cli->log, &site->vault, err);
	pthread_mutex_unlock(&site->home->lock);
	/* A vault that is not there is a site that does not answer. */
	if (rc == TK_ENOENT && err)
		err->rc = rc = TK_EUNREACH;
	return rc ? rc : tk_vault_store_new(site->vault, out, err);
}

static enum tk_rc
open_site(const struct tk_site *site, struct tk_store **out, struct tk_err *err)
{
	struct tk_home_site *own = site->ctx;

	return own->conf->url.kind == TK_SITE_DIR ? open_dir(own, out, err) : open_daemon(own, out, err);
}

static bool
is_wanted(const struct tk_cli *cli, const char *name)
{
	const struct tk_values *wanted = &cli->command.values[TK_OPT_SITE];

	for (size_t i = 0; i < wanted->count; i++)
		if (strcmp(wanted->items[i], name) == 0)
			return true;
	return wanted->count == 0;
}

enum tk_rc
tk_home_find_site(const struct tk_home *home, const char *name, const struct tk_config_site **out, struct tk_err *err)
{
	struct tk_nearest nearest;

	*out = tk_config_site_find(home->cfg, name);
	if (*out)
		return TK_OK;
	tk_nearest_init(&nearest, name);
	for (size_t i = 0; i < home->cfg->site_count; i++)
		tk_nearest_offer(&nearest, home->cfg->sites[i].name);
	if (nearest.best)
		return tk_err_set(err, TK_EUSAGE, "there is no site \"%s\": the nearest is \"%s\"", name, nearest.best);
	return tk_err_set(err, TK_EUSAGE, "there is no site \"%s\": add a site section to %s", name, home->cfg->files.items[0]);
}

struct tk_site
tk_home_site(struct tk_home *home, size_t index, enum tk_vault_mode mode)
{
	struct tk_home_site *own = &home->sites[index];

	own->mode = mode;
	return (struct tk_site){.name = own->conf->name, .is_local = own->conf->local, .is_remote = own->conf->url.kind != TK_SITE_DIR,
				.ctx = own, .open = open_site};
}

enum tk_rc
tk_home_sites(struct tk_home *home, const struct tk_config_dataset *dataset, enum tk_vault_mode mode, struct tk_site **out, size_t *count,
	      struct tk_err *err)
{
	struct tk_site *sites = calloc(dataset->sites.count + 1, sizeof(*sites));
	size_t used = 0;

	if (!sites)
		return tk_err_set(err, TK_ENOMEM, "no memory for the sites");
	for (size_t i = 0; i < dataset->sites.count; i++) {
		const struct tk_config_site *conf = tk_config_site_find(home->cfg, dataset->sites.items[i]);

		if (conf && conf->enabled && is_wanted(home->cli, conf->name)) {
			size_t index = (size_t)(conf - home->cfg->sites);

			home->sites[index].policy = dataset->policy;
			sites[used++] = tk_home_site(home, index, mode);
		}
	}
	if (used == 0) {
		free(sites);
		return tk_err_set(err, TK_EUSAGE, "dataset %s has no such site, or it is not enabled", dataset->name);
	}
	*out = sites;
	*count = used;
	return TK_OK;
}

enum tk_rc
tk_home_ack_sites(const struct tk_home *home, const struct tk_config_dataset *dataset, bool (*is_marked)(void *ctx, const char *site), void *ctx,
		  struct tk_ack_site **out, size_t *count, struct tk_err *err)
{
	struct tk_ack_site *list = calloc(dataset->sites.count + 1, sizeof(*list));

	*count = 0;
	*out = list;
	if (!list)
		return tk_err_set(err, TK_ENOMEM, "no memory for the sites");
	for (size_t i = 0; i < dataset->sites.count; i++) {
		const struct tk_config_site *conf = tk_config_site_find(home->cfg, dataset->sites.items[i]);

		if (conf)
			list[(*count)++] = (struct tk_ack_site){.name = conf->name, .local = conf->local, .marked = is_marked && is_marked(ctx, conf->name)};
	}
	return TK_OK;
}

/* ---- the history of runs ---- */

struct tk_journal *
tk_home_journal(const struct tk_home *home, struct tk_err *err)
{
	struct tk_journal *journal = NULL;

	if (access(home->cfg->state_dir, W_OK | X_OK) != 0 && errno != ENOENT) {
		(void)tk_err_errno(err, TK_EIO, "the journal in %s cannot be written", home->cfg->state_dir);
		return NULL;
	}
	return tk_journal_open(home->cfg->state_dir, &journal, err) ? NULL : journal;
}

void
tk_home_note_run(const struct tk_home *home, const struct tk_id *domain, const struct tk_run_row *row)
{
	struct tk_err err;
	TK_AUTO(tk_journal_cleanup) struct tk_journal *journal = tk_home_journal(home, &err);

	if (!journal || tk_journal_add_run(journal, domain, row, &err))
		tk_log_event(home->cli->log, TK_LOG_WARN, "history", "reason=\"%s\"", err.text);
}

/* ---- slots ---- */

enum tk_rc
tk_home_write_machine_slot(const struct tk_keyring *ring, int keys_fd, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf slot = {0};
	uint8_t key[TK_KEY_BYTES];
	enum tk_rc rc;

	if (!(rc = tk_random_bytes(key, sizeof(key), err)) &&
	    !(rc = tk_slot_seal(ring, TK_SLOT_MACHINE, key, sizeof(key), "machine", &slot, NULL, err)) &&
	    !(rc = tk_publish_file(keys_fd, "machine.key", key, sizeof(key), 0600, err)))
		rc = tk_publish_file(keys_fd, "machine.slot", slot.data, slot.len_bytes, 0600, err);
	tk_wipe(key, sizeof(key));
	return rc;
}

/* The slot last: it is what is looked for. */
static enum tk_rc
put_passphrase_slot(int keys_fd, const struct tk_buf *slot, const uint8_t recovery[TK_KEY_BYTES], struct tk_id *slot_id, struct tk_err *err)
{
	struct tk_slot_info info;
	char hex[2 * TK_ID_BYTES + 1], name[2 * TK_ID_BYTES + 32];
	enum tk_rc rc = tk_slot_read_info(slot->data, slot->len_bytes, &info, err);

	if (rc)
		return rc;
	tk_hex_encode(info.slot_id.b, sizeof(info.slot_id.b), hex);
	(void)snprintf(name, sizeof(name), "passphrase-%s.recovery", hex);
	if ((rc = tk_publish_file(keys_fd, name, recovery, TK_KEY_BYTES, 0600, err)))
		return rc;
	(void)snprintf(name, sizeof(name), "passphrase-%s.slot", hex);
	if (slot_id)
		*slot_id = info.slot_id;
	return tk_publish_file(keys_fd, name, slot->data, slot->len_bytes, 0600, err);
}

enum tk_rc
tk_home_write_passphrase_slot(const struct tk_keyring *ring, int keys_fd, const struct tk_secret *secret, const char *label, struct tk_id *slot_id,
			      struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf slot = {0};
	uint8_t recovery[TK_KEY_BYTES];
	enum tk_rc rc = tk_slot_seal(ring, TK_SLOT_PASSPHRASE, secret->text, secret->len_bytes, label, &slot, recovery, err);

	return rc ? rc : put_passphrase_slot(keys_fd, &slot, recovery, slot_id, err);
}

enum tk_rc
tk_home_adopt_passphrase_slot(int keys_fd, const struct tk_buf *slot, const struct tk_secret *secret, struct tk_err *err)
{
	uint8_t seed[TK_KEY_BYTES], recovery[TK_KEY_BYTES];
	enum tk_rc rc;

	if (slot->len_bytes < TK_SLOT_HEAD_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "a slot of %zu bytes", slot->len_bytes);
	rc = tk_slot_recovery_seed(slot->data, TK_SLOT_HEAD_BYTES, secret->text, secret->len_bytes, seed, err);
	if (!rc)
		rc = tk_sign_public(TK_SUITE_AES, seed, recovery, err);
	tk_wipe(seed, sizeof(seed));
	return rc ? rc : put_passphrase_slot(keys_fd, slot, recovery, NULL, err);
}

/* ---- the CA's key ---- */

static enum tk_rc
ca_aead(const struct tk_keyring *ring, const uint8_t salt[CA_SALT_BYTES], struct tk_aead **out, struct tk_err *err)
{
	static const char info[] = "twinkeep ca key";
	uint8_t key[TK_AEAD_KEY_MAX];
	size_t key_bytes = tk_suite_info(ring->suite)->aead_key_bytes;
	enum tk_rc rc;

	if (!ring->has_operator_seed)
		return tk_err_set(err, TK_EKEY, "the CA's key opens with the passphrase only");
	rc = tk_hkdf(ring->suite, (struct tk_bytes){ring->operator_seed, TK_KEY_BYTES}, (struct tk_bytes){salt, CA_SALT_BYTES},
		     (struct tk_bytes){info, sizeof(info) - 1}, key, key_bytes, err);
	if (!rc)
		rc = tk_aead_new(ring->suite, key, key_bytes, out, err);
	tk_wipe(key, sizeof(key));
	return rc;
}

enum tk_rc
tk_home_seal_ca_key(const struct tk_keyring *ring, struct tk_bytes key_pem, struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_aead_cleanup) struct tk_aead *aead = NULL;
	const uint8_t nonce[TK_NONCE_BYTES] = {0};
	uint8_t salt[CA_SALT_BYTES];
	size_t sealed_bytes;
	enum tk_rc rc;

	if ((rc = tk_random_bytes(salt, sizeof(salt), err)) || (rc = ca_aead(ring, salt, &aead, err)) ||
	    (rc = tk_buf_put(out, salt, sizeof(salt), err)))
		return rc;
	sealed_bytes = key_pem.len_bytes + tk_aead_tag_bytes(aead);
	if ((rc = tk_buf_reserve(out, sealed_bytes, err)) ||
	    (rc = tk_aead_seal(aead, nonce, NULL, 0, key_pem.data, key_pem.len_bytes, out->data + out->len_bytes, err)))
		return rc;
	out->len_bytes += sealed_bytes;
	return TK_OK;
}

enum tk_rc
tk_home_open_ca_key(const struct tk_keyring *ring, const struct tk_buf *sealed, struct tk_buf *key_pem, struct tk_err *err)
{
	TK_AUTO(tk_aead_cleanup) struct tk_aead *aead = NULL;
	const uint8_t nonce[TK_NONCE_BYTES] = {0};
	size_t body_bytes;
	enum tk_rc rc;

	if (sealed->len_bytes < CA_SALT_BYTES + TK_AEAD_TAG_MAX)
		return tk_err_set(err, TK_ECORRUPT, "the CA's key is damaged");
	body_bytes = sealed->len_bytes - CA_SALT_BYTES;
	if ((rc = ca_aead(ring, sealed->data, &aead, err)) || (rc = tk_buf_reserve(key_pem, body_bytes, err)) ||
	    (rc = tk_aead_open(aead, nonce, NULL, 0, sealed->data + CA_SALT_BYTES, body_bytes, key_pem->data, err)))
		return rc;
	key_pem->len_bytes = body_bytes - tk_aead_tag_bytes(aead);
	return TK_OK;
}
