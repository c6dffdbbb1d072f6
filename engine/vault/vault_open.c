#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/sign.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "engine/vault/vault_core.h"
#include "engine/vault/vault_text.h"

#define VAULT_LINE "twinkeep vault 1"
#define IDENTITY_LINE "twinkeep identity 1"
#define TEXT_BYTES_MAX 65536
#define FEATURES_MAX 24

static enum tk_rc
check_site_name(const char *name, struct tk_err *err)
{
	size_t len = strlen(name);

	if (len == 0 || len >= sizeof(((struct tk_vault_site *)NULL)->name))
		return tk_err_set(err, TK_EINVAL, "a site's name has 1 to 255 bytes");
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
			return tk_err_set(err, TK_EINVAL, "a site's name has no control characters");
	return TK_OK;
}

static enum tk_rc
write_identity(int root_fd, const char *site_name, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf text = {0};
	uint8_t seed[TK_SIGN_SECRET_BYTES];
	struct tk_id site_id;
	enum tk_rc rc = tk_random_bytes(site_id.b, sizeof(site_id.b), err);

	/* Room first: growing would leave a copy of the seed in freed memory. */
	if (!rc)
		rc = tk_buf_reserve(&text, 1024, err);
	if (!rc)
		rc = tk_sign_generate(TK_VAULT_SUITE, seed, err);
	if (!rc)
		rc = tk_buf_put(&text, IDENTITY_LINE "\n", strlen(IDENTITY_LINE) + 1, err);
	if (!rc)
		rc = tk_vtext_hex(&text, "site", site_id.b, sizeof(site_id.b), err);
	if (!rc)
		rc = tk_vtext_line(&text, "name", site_name, err);
	if (!rc)
		rc = tk_vtext_hex(&text, "seed", seed, sizeof(seed), err);
	if (!rc)
		rc = tk_vfile_put(root_fd, "identity", text.data, text.len_bytes, "identity", err);
	tk_wipe(seed, sizeof(seed));
	tk_wipe(text.data, text.len_bytes);
	return rc;
}

/* The incarnation, then those before it, one a line. */
static enum tk_rc
write_incarnation(int root_fd, const struct tk_id *now, const struct tk_id *former, size_t former_count, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf text = {0};
	char hex[TK_VAULT_HEX_ID];
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i <= former_count && !rc; i++) {
		tk_hex_encode(i ? former[i - 1].b : now->b, TK_ID_BYTES, hex);
		rc = tk_buf_put(&text, hex, strlen(hex), err);
		if (!rc)
			rc = tk_buf_put(&text, "\n", 1, err);
	}
	return rc ? rc : tk_vfile_put(root_fd, "incarnation", text.data, text.len_bytes, "incarnation", err);
}

static enum tk_rc
write_vault_file(int root_fd, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf text = {0};
	struct tk_id vault_id;
	enum tk_rc rc = tk_random_bytes(vault_id.b, sizeof(vault_id.b), err);

	if (!rc)
		rc = tk_buf_put(&text, VAULT_LINE "\n", strlen(VAULT_LINE) + 1, err);
	if (!rc)
		rc = tk_vtext_hex(&text, "id", vault_id.b, sizeof(vault_id.b), err);
	if (!rc)
		rc = tk_vtext_line(&text, "critical", "0", err);
	if (!rc)
		rc = tk_vtext_line(&text, "optional", "0", err);
	return rc ? rc : tk_vfile_put(root_fd, "VAULT", text.data, text.len_bytes, "vault", err);
}

enum tk_rc
tk_vault_create(const char *path, const char *site_name, struct tk_err *err)
{
	static const char *const directories[] = {"tmp", "packs", "packs/small", "packs/merged", "domains", "sources", "dropped", "marks"};
	TK_AUTO(tk_fd_cleanup) int root_fd = -1;
	struct tk_id incarnation;
	enum tk_rc rc = check_site_name(site_name, err);

	if (!rc)
		rc = tk_mkdir_p_at(AT_FDCWD, path, 0700, err);
	if (rc)
		return rc;
	root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return tk_err_errno(err, TK_EIO, "%s", path);
	if (faccessat(root_fd, "VAULT", F_OK, 0) == 0)
		return tk_err_set(err, TK_EEXIST, "%s: a vault is there already", path);
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]) && !rc; i++)
		rc = tk_vfile_mkdir(root_fd, directories[i], err);
	if (!rc)
		rc = write_identity(root_fd, site_name, err);
	if (!rc)
		rc = tk_random_bytes(incarnation.b, sizeof(incarnation.b), err);
	if (!rc)
		rc = write_incarnation(root_fd, &incarnation, NULL, 0, err);
	/* Last: only a directory with this file is a vault. */
	if (!rc)
		rc = write_vault_file(root_fd, err);
	return rc ? tk_err_context(err, rc, "making vault %s", path) : TK_OK;
}

static enum tk_rc
read_vault_file(struct tk_vault *vault, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf text = {0};
	char critical[FEATURES_MAX];
	enum tk_rc rc = tk_vfile_get(vault->root_fd, "VAULT", TEXT_BYTES_MAX, &text, err);

	if (rc)
		return rc;
	if (!tk_vtext_begins(&text, VAULT_LINE))
		return tk_err_set(err, TK_EUNSUPPORTED, "VAULT does not begin with `" VAULT_LINE "`");
	rc = tk_vtext_get_hex(&text, "id", vault->site.vault_id.b, sizeof(vault->site.vault_id.b), err);
	if (!rc)
		rc = tk_vtext_get(&text, "critical", critical, sizeof(critical), err);
	if (!rc && strcmp(critical, "0") != 0)
		rc = tk_err_set(err, TK_EUNSUPPORTED, "VAULT asks for features %s that this program does not know", critical);
	return rc ? tk_err_context(err, rc, "VAULT") : TK_OK;
}

static enum tk_rc
read_identity(struct tk_vault *vault, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf text = {0};
	enum tk_rc rc = tk_buf_reserve(&text, TEXT_BYTES_MAX, err);

	if (!rc)
		rc = tk_vfile_get(vault->root_fd, "identity", TEXT_BYTES_MAX, &text, err);
	if (!rc && !tk_vtext_begins(&text, IDENTITY_LINE))
		rc = tk_err_set(err, TK_EUNSUPPORTED, "it does not begin with `" IDENTITY_LINE "`");
	if (!rc)
		rc = tk_vtext_get_hex(&text, "site", vault->site.site_id.b, sizeof(vault->site.site_id.b), err);
	if (!rc)
		rc = tk_vtext_get(&text, "name", vault->site.name, sizeof(vault->site.name), err);
	if (!rc)
		rc = tk_vtext_get_hex(&text, "seed", vault->site_seed, sizeof(vault->site_seed), err);
	if (!rc)
		rc = tk_sign_public(TK_VAULT_SUITE, vault->site_seed, vault->site.site_key, err);
	tk_wipe(text.data, text.len_bytes);
	return rc ? tk_err_context(err, rc, "identity") : TK_OK;
}

static enum tk_rc
read_incarnation(struct tk_vault *vault, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf text = {0};
	const size_t line_bytes = TK_VAULT_HEX_ID;
	char hex[TK_VAULT_HEX_ID];
	struct tk_id id;
	size_t count;
	enum tk_rc rc = tk_vfile_get(vault->root_fd, "incarnation", TEXT_BYTES_MAX, &text, err);

	count = text.len_bytes / line_bytes;
	if (!rc && (count == 0 || text.len_bytes % line_bytes != 0))
		rc = tk_err_set(err, TK_ECORRUPT, "incarnation: not lines of 32 digits");
	if (rc)
		return rc;
	vault->former = calloc(count, sizeof(*vault->former));
	if (!vault->former)
		return tk_err_set(err, TK_ENOMEM, "no memory for incarnations");
	for (size_t i = 0; i < count; i++) {
		memcpy(hex, text.data + i * line_bytes, line_bytes - 1);
		hex[line_bytes - 1] = '\0';
		if (text.data[(i + 1) * line_bytes - 1] != '\n' || tk_hex_decode(hex, id.b, sizeof(id.b), NULL))
			return tk_err_set(err, TK_ECORRUPT, "incarnation: line %zu is damaged", i + 1);
		if (i == 0)
			vault->incarnation = id;
		else
			vault->former[vault->former_count++] = id;
	}
	return TK_OK;
}

/* What a crash left pending was never acknowledged. */
static enum tk_rc
sweep_tmp(struct tk_vault *vault, struct tk_err *err)
{
	struct tk_vfile_list list;
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc = tk_vfile_list(vault->root_fd, "tmp", &list, err);

	for (size_t i = 0; i < list.count && !rc; i++) {
		if ((size_t)snprintf(path, sizeof(path), "tmp/%s", list.names[i]) >= sizeof(path))
			continue;
		if (unlinkat(vault->root_fd, path, 0) < 0 && errno != ENOENT)
			rc = tk_err_errno(err, TK_EIO, "sweeping %s", path);
	}
	tk_vfile_list_release(&list);
	return rc;
}

static enum tk_rc
open_index(struct tk_vault *vault, struct tk_err *err)
{
	char path[4096];
	bool fresh;
	enum tk_rc rc;

	if ((size_t)snprintf(path, sizeof(path), "%s/index.db", vault->path) >= sizeof(path))
		return tk_err_set(err, TK_EINVAL, "the vault's path is too long");
	rc = tk_vindex_open(path, &vault->index, &fresh, err);
	if (!rc && fresh) {
		tk_log_event(vault->log, TK_LOG_INFO, "index-rebuild", "vault=%s", vault->path);
		rc = tk_vault_rebuild(vault, err);
		if (!rc)
			rc = tk_vindex_built(vault->index, err);
	}
	return rc;
}

static enum tk_rc
open_serving(struct tk_vault *vault, struct tk_err *err)
{
	uint64_t counter;
	enum tk_rc rc = read_incarnation(vault, err);

	if (!rc)
		rc = read_identity(vault, err);
	if (!rc)
		rc = tk_lock_file(vault->root_fd, "lock", &vault->lock_fd, err);
	/* A killed process may have left names here that are seen, but not durable. */
	if (!rc)
		rc = tk_fsync_dir(vault->root_fd, vault->path, err);
	if (!rc)
		rc = sweep_tmp(vault, err);
	if (!rc)
		rc = tk_dir_driver_new(vault->root_fd, true, &vault->driver, err);
	if (!rc)
		rc = open_index(vault, err);
	if (!rc)
		rc = tk_vdomain_load_all(vault, err);
	if (!rc)
		rc = tk_vindex_counter(vault->index, &counter, err);
	if (!rc)
		tk_vault_counter_given(vault, counter);
	return rc;
}

/* A reader signs nothing and promises nothing: a vault whose secrets or incarnation are lost gives its points back all the same. */
static enum tk_rc
open_reading(struct tk_vault *vault, struct tk_err *err)
{
	struct tk_err why;

	if (read_incarnation(vault, &why))
		tk_log_event(vault->log, TK_LOG_WARN, "vault-without-incarnation", "vault=%s error=%s", vault->path, why.text);
	if (read_identity(vault, NULL))
		tk_log_event(vault->log, TK_LOG_WARN, "vault-without-identity", "vault=%s", vault->path);
	return tk_dir_driver_new(vault->root_fd, false, &vault->driver, err);
}

static enum tk_rc
open_all(struct tk_vault *vault, struct tk_err *err)
{
	enum tk_rc rc;

	vault->root_fd = open(vault->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (vault->root_fd < 0)
		return tk_err_errno(err, TK_EIO, "no vault");
	rc = read_vault_file(vault, err);
	if (rc)
		return rc;
	vault->behind = faccessat(vault->root_fd, "behind", F_OK, 0) == 0;
	return vault->mode == TK_VAULT_SERVE ? open_serving(vault, err) : open_reading(vault, err);
}

static enum tk_rc
init_locks(struct tk_vault *vault, struct tk_err *err)
{
	pthread_rwlockattr_t attr;

	/* A condemn that waits must not be passed by publishers for ever. */
	if (pthread_rwlockattr_init(&attr) || pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP) ||
	    pthread_rwlock_init(&vault->refs, &attr))
		return tk_err_set(err, TK_ENOMEM, "no locks for a vault");
	(void)pthread_rwlockattr_destroy(&attr);
	(void)pthread_mutex_init(&vault->domains_lock, NULL);
	(void)pthread_mutex_init(&vault->flush_lock, NULL);
	(void)pthread_mutex_init(&vault->pack_lock, NULL);
	(void)pthread_mutex_init(&vault->archive_lock, NULL);
	(void)pthread_mutex_init(&vault->marks_lock, NULL);
	(void)pthread_mutex_init(&vault->counter_lock, NULL);
	return TK_OK;
}

enum tk_rc
tk_vault_open(const char *path, enum tk_vault_mode mode, const struct tk_log *log, struct tk_vault **out, struct tk_err *err)
{
	TK_AUTO(tk_vault_cleanup) struct tk_vault *vault = NULL;
	struct tk_vault *fresh = calloc(1, sizeof(*fresh));
	enum tk_rc rc;

	if (!fresh)
		return tk_err_set(err, TK_ENOMEM, "no memory for a vault");
	rc = init_locks(fresh, err);
	if (rc) {
		free(fresh);
		return rc;
	}
	vault = fresh;
	vault->mode = mode;
	vault->log = log;
	vault->root_fd = -1;
	vault->lock_fd = -1;
	vault->path = strdup(path);
	if (!vault->path)
		return tk_err_set(err, TK_ENOMEM, "no memory for a path");
	rc = open_all(vault, err);
	if (rc)
		return tk_err_context(err, rc, "vault %s", path);
	*out = vault;
	vault = NULL;
	return TK_OK;
}

void
tk_vault_close(struct tk_vault *vault)
{
	if (!vault)
		return;
	tk_vdomain_free_all(vault);
	tk_varchive_free_all(vault);
	tk_vindex_close(vault->index);
	if (vault->driver)
		vault->driver->ops->close(vault->driver);
	free(vault->pending);
	free(vault->former);
	free(vault->path);
	tk_wipe(vault->site_seed, sizeof(vault->site_seed));
	(void)pthread_rwlock_destroy(&vault->refs);
	(void)pthread_mutex_destroy(&vault->domains_lock);
	(void)pthread_mutex_destroy(&vault->flush_lock);
	(void)pthread_mutex_destroy(&vault->pack_lock);
	(void)pthread_mutex_destroy(&vault->archive_lock);
	(void)pthread_mutex_destroy(&vault->marks_lock);
	(void)pthread_mutex_destroy(&vault->counter_lock);
	tk_fd_cleanup(&vault->root_fd);
	/* Last: who takes the lock next finds everything closed. */
	tk_fd_cleanup(&vault->lock_fd);
	free(vault);
}

void
tk_vault_cleanup(struct tk_vault **vault)
{
	tk_vault_close(*vault);
	*vault = NULL;
}

const struct tk_vault_site *
tk_vault_site(const struct tk_vault *vault)
{
	return &vault->site;
}

void
tk_vault_id_path(char path[TK_VFILE_PATH_MAX], const char *directory, const struct tk_id *id, const char *tail)
{
	char hex[TK_VAULT_HEX_ID];

	tk_hex_encode(id->b, sizeof(id->b), hex);
	(void)snprintf(path, TK_VFILE_PATH_MAX, "%s/%s%s%s", directory, hex, tail ? "/" : "", tail ? tail : "");
}

bool
tk_vault_is_behind(struct tk_vault *vault)
{
	bool behind;

	(void)pthread_mutex_lock(&vault->counter_lock);
	behind = vault->behind;
	(void)pthread_mutex_unlock(&vault->counter_lock);
	return behind;
}

enum tk_rc
tk_vault_storable(struct tk_vault *vault, struct tk_err *err)
{
	return vault->mode == TK_VAULT_SERVE ? TK_OK : tk_err_set(err, TK_EINVAL, "vault %s was opened for reading", vault->path);
}

enum tk_rc
tk_vault_writable(struct tk_vault *vault, struct tk_err *err)
{
	enum tk_rc rc = tk_vault_storable(vault, err);

	if (!rc && tk_vault_is_behind(vault))
		rc = tk_err_set(err, TK_EBEHIND, "vault %s is older than a promise it gave: it promises nothing until it is re-admitted", vault->path);
	return rc;
}

enum tk_rc
tk_vault_set_behind(struct tk_vault *vault, const char *why, struct tk_err *err)
{
	enum tk_rc rc;

	/* In memory first: a vault that cannot write its marker must not go on giving receipts either. */
	(void)pthread_mutex_lock(&vault->counter_lock);
	vault->behind = true;
	rc = tk_vfile_put(vault->root_fd, "behind", why, strlen(why), "behind", err);
	(void)pthread_mutex_unlock(&vault->counter_lock);
	tk_log_event(vault->log, TK_LOG_ERROR, "vault-behind", "vault=%s why=%s", vault->path, why);
	return rc;
}

uint64_t
tk_vault_next_counter(struct tk_vault *vault, struct tk_id *incarnation)
{
	uint64_t counter;

	(void)pthread_mutex_lock(&vault->counter_lock);
	counter = ++vault->counter;
	*incarnation = vault->incarnation;
	(void)pthread_mutex_unlock(&vault->counter_lock);
	return counter;
}

void
tk_vault_counter_given(struct tk_vault *vault, uint64_t counter)
{
	(void)pthread_mutex_lock(&vault->counter_lock);
	if (counter > vault->counter)
		vault->counter = counter;
	(void)pthread_mutex_unlock(&vault->counter_lock);
}

static enum tk_rc
new_incarnation_locked(struct tk_vault *vault, const struct tk_id *more, size_t more_count, struct tk_err *err)
{
	size_t count = 1 + more_count + vault->former_count;
	struct tk_id *former = calloc(count, sizeof(*former));
	struct tk_id fresh;
	enum tk_rc rc;

	if (!former)
		return tk_err_set(err, TK_ENOMEM, "no memory for incarnations");
	former[0] = vault->incarnation;
	if (more_count > 0)
		memcpy(former + 1, more, more_count * sizeof(*former));
	if (vault->former_count > 0)
		memcpy(former + 1 + more_count, vault->former, vault->former_count * sizeof(*former));
	rc = tk_random_bytes(fresh.b, sizeof(fresh.b), err);
	if (!rc)
		rc = write_incarnation(vault->root_fd, &fresh, former, count, err);
	if (rc) {
		free(former);
		return rc;
	}
	free(vault->former);
	vault->former = former;
	vault->former_count = count;
	vault->incarnation = fresh;
	/* The marker goes last: before that, whatever happens, nothing is promised. */
	rc = tk_vfile_remove(vault->root_fd, "behind", err);
	if (!rc)
		vault->behind = false;
	return rc;
}

enum tk_rc
tk_vault_new_incarnation(struct tk_vault *vault, const struct tk_id *more, size_t more_count, struct tk_err *err)
{
	enum tk_rc rc;

	(void)pthread_mutex_lock(&vault->counter_lock);
	rc = new_incarnation_locked(vault, more, more_count, err);
	(void)pthread_mutex_unlock(&vault->counter_lock);
	return rc;
}
