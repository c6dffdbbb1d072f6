#include "cli/recovering.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cli/paths.h"
#include "engine/base/clock.h"
#include "engine/base/hex.h"
#include "engine/catalog/identity.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"
#include "transport/client.h"
#include "transport/enrol.h"
#include "transport/home_file.h"

#define NS_PER_S 1000000000LL
#define MOVES_MAX 100

/* ---- before anything is asked ---- */

static enum tk_rc
open_directories(struct tk_recovering *recovering, struct tk_err *err)
{
	enum tk_rc rc;

	recovering->made_home = access(recovering->home, F_OK) != 0;
	if ((rc = tk_mkdir_p_at(AT_FDCWD, recovering->home, 0700, err)))
		return rc;
	recovering->home_fd = open(recovering->home, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (recovering->home_fd < 0)
		return tk_err_errno(err, TK_EIO, "home %s", recovering->home);
	if (faccessat(recovering->home_fd, TK_SITE_CONFIG_FILE, F_OK, 0) == 0)
		return tk_err_set(err, TK_EUSAGE, "%s is the home of a site's daemon: recover into another directory", recovering->home);
	recovering->existed = faccessat(recovering->home_fd, TK_CONFIG_FILE, F_OK, 0) == 0;
	if ((rc = tk_mkdir_p_at(recovering->home_fd, "keys", 0700, err)))
		return rc;
	recovering->keys_fd = openat(recovering->home_fd, "keys", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return recovering->keys_fd < 0 ? tk_err_errno(err, TK_EIO, "home %s", recovering->home) : TK_OK;
}

/* A home that is there must be of the same source, and its passphrase is asked for as its configuration says. */
static enum tk_rc
unlock_existing(struct tk_recovering *recovering, struct tk_err *err)
{
	struct tk_home home;
	enum tk_rc rc = tk_home_open(recovering->cli, &home, err);

	if (!rc)
		rc = tk_cli_passphrase(recovering->cli, home.cfg, "Passphrase", false, &recovering->secret, err);
	if (!rc)
		rc = tk_home_unlock_secret(&home, &recovering->secret, err);
	if (!rc) {
		recovering->own = home.ring;
		memset(&home.ring, 0, sizeof(home.ring));
	}
	tk_home_release(&home);
	return rc;
}

enum tk_rc
tk_recovering_begin(const struct tk_cli *cli, struct tk_recovering *recovering, struct tk_err *err)
{
	enum tk_rc rc;

	memset(recovering, 0, sizeof(*recovering));
	recovering->cli = cli;
	recovering->home_fd = recovering->keys_fd = -1;
	tk_recovered_init(&recovering->got);
	if (tk_site_url_parse(tk_cli_value(cli, TK_OPT_SITE_URL), &recovering->url, err))
		return tk_err_context(err, err->rc = TK_EUSAGE, "--site");
	if ((rc = tk_path_absolute(cli->home, recovering->home, err)) || (rc = open_directories(recovering, err)))
		return rc;
	if (recovering->existed)
		return unlock_existing(recovering, err);
	return tk_cli_passphrase(cli, NULL, "Passphrase", false, &recovering->secret, err);
}

void
tk_recovering_release(struct tk_recovering *recovering)
{
	tk_secret_release(&recovering->secret);
	tk_keyring_release(&recovering->own);
	tk_keyring_release(&recovering->ring);
	tk_recovered_release(&recovering->got);
	tk_config_files_free(recovering->files, recovering->file_count);
	/* Where nothing came of it, nothing stays: what has something in it is not removed. */
	if (recovering->made_home && recovering->home_fd >= 0) {
		(void)unlinkat(recovering->home_fd, "keys", AT_REMOVEDIR);
		(void)rmdir(recovering->home);
	}
	tk_fd_cleanup(&recovering->home_fd);
	tk_fd_cleanup(&recovering->keys_fd);
}

/* ---- what the site gives ---- */

static struct tk_bytes
file_content(const struct tk_recovering *recovering, const char *name)
{
	for (size_t i = 0; i < recovering->file_count; i++)
		if (strcmp(recovering->files[i].name, name) == 0)
			return (struct tk_bytes){recovering->files[i].content.data, recovering->files[i].content.len_bytes};
	return (struct tk_bytes){NULL, 0};
}

/* The recovery ran with a server that could not be checked. Now it can: no session, no home. */
static enum tk_rc
check_server(const struct tk_recovering *recovering, const struct tk_address *address, struct tk_err *err)
{
	TK_AUTO(tk_tls_ctx_cleanup) struct tk_tls_ctx *tls = NULL;
	TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
	struct tk_client_options options = {.address = *address, .role = TK_ROLE_SOURCE, .source = recovering->got.source, .node_name = "recover"};
	enum tk_rc rc = tk_source_tls(&recovering->got.source, file_content(recovering, "keys/ca.pem"), file_content(recovering, "keys/tls.pem"),
				      file_content(recovering, "keys/tls.key"), &tls, err);

	options.tls = tls;
	if (!rc)
		rc = tk_client_open(&options, &store, err);
	return rc ? tk_err_context(err, rc, "checking the site by the certificates that it gave") : TK_OK;
}

static void
forget_slot(struct tk_recovered *got, const struct tk_buf *slot)
{
	for (size_t i = 0; i < got->slot_count; i++)
		if (got->slots[i].len_bytes == slot->len_bytes && memcmp(got->slots[i].data, slot->data, slot->len_bytes) == 0)
			tk_buf_clear(&got->slots[i]);
}

/* Of several slots that the passphrase opens, takes the one that knows most: an older one may have outlived a rotation. The home does not get the
 * others, since it might be unlocked by them. */
static void
take_richest(struct tk_recovering *recovering)
{
	struct tk_recovered *got = &recovering->got;

	for (size_t i = 0; i < got->slot_count; i++) {
		struct tk_buf *slot = &got->slots[i], given = got->slot;
		TK_AUTO(tk_keyring_release) struct tk_keyring ring = {0};
		struct tk_keyring old = recovering->ring;
		struct tk_slot_info info;

		if (slot->len_bytes == given.len_bytes && memcmp(slot->data, given.data, given.len_bytes) == 0)
			continue;
		if (tk_slot_read_info(slot->data, slot->len_bytes, &info, NULL) || info.kind != TK_SLOT_PASSPHRASE ||
		    tk_slot_open(slot->data, slot->len_bytes, recovering->secret.text, recovering->secret.len_bytes, &ring, NULL) ||
		    memcmp(&ring.source, &got->source, sizeof(ring.source)) != 0)
			continue;
		if (tk_keyring_weight(&ring) <= tk_keyring_weight(&recovering->ring)) {
			tk_buf_clear(slot);
			continue;
		}
		recovering->ring = ring;
		ring = old;
		forget_slot(got, &given);
		got->slot = *slot;
		*slot = given;
		tk_buf_clear(slot);
	}
}

static enum tk_rc
open_given(struct tk_recovering *recovering, struct tk_err *err)
{
	const struct tk_recovered *got = &recovering->got;
	enum tk_rc rc;

	if ((rc = tk_slot_open(got->slot.data, got->slot.len_bytes, recovering->secret.text, recovering->secret.len_bytes, &recovering->ring, err)))
		return rc;
	take_richest(recovering);
	if (memcmp(&recovering->ring.source, &got->source, sizeof(got->source)) != 0)
		return tk_err_set(err, TK_EPROTO, "the site gave the slot of another source");
	if ((rc = tk_config_open(&recovering->ring, got->config.data, got->config.len_bytes, &recovering->files, &recovering->file_count, err)))
		return tk_err_context(err, rc, "the configuration that the site keeps");
	if (!file_content(recovering, TK_CONFIG_FILE).data)
		return tk_err_set(err, TK_ECORRUPT, "the configuration that the site keeps has no " TK_CONFIG_FILE);
	/* A home that is there may know keys that this site was not told of yet. */
	if (recovering->existed && tk_keyring_weight(&recovering->own) > tk_keyring_weight(&recovering->ring)) {
		struct tk_keyring given = recovering->ring;

		recovering->ring = recovering->own;
		recovering->own = given;
	}
	return TK_OK;
}

enum tk_rc
tk_recovering_fetch(struct tk_recovering *recovering, struct tk_err *err)
{
	const struct tk_id *source = recovering->existed ? &recovering->own.source : NULL;
	const struct tk_secret *secret = &recovering->secret;
	struct tk_address address = {.port = recovering->url.port};
	enum tk_rc rc;

	if (recovering->url.kind == TK_SITE_DIR) {
		rc = tk_vault_dir_recover(recovering->url.path, secret->text, secret->len_bytes, source, &recovering->got, err);
		return rc ? rc : open_given(recovering, err);
	}
	(void)snprintf(address.host, sizeof(address.host), "%s", recovering->url.host);
	if ((rc = tk_client_recover(&address, secret->text, secret->len_bytes, source, &recovering->got, err)) || (rc = open_given(recovering, err)))
		return rc;
	return check_server(recovering, &address, err);
}

/* ---- the home ---- */

/* Directories of included files. Names were checked: relative, and no component leads out of the home. */
static enum tk_rc
make_parent(const struct tk_recovering *recovering, const char *name, struct tk_err *err)
{
	char parent[PATH_MAX];
	const char *slash = strrchr(name, '/');

	if (!slash)
		return TK_OK;
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(slash - name), name);
	return tk_mkdir_p_at(recovering->home_fd, parent, 0700, err);
}

static enum tk_rc
put_file(const struct tk_recovering *recovering, const struct tk_config_file *file, struct tk_err *err)
{
	enum tk_rc rc;

	if (recovering->existed && faccessat(recovering->home_fd, file->name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return TK_OK;
	if ((rc = make_parent(recovering, file->name, err)))
		return rc;
	return tk_home_file_put(recovering->home_fd, file->name, file->content.data, file->content.len_bytes, 0600, err);
}

static enum tk_rc
put_slot(const struct tk_recovering *recovering, const struct tk_buf *slot, struct tk_err *err)
{
	char name[sizeof("passphrase-.slot") + 2 * TK_ID_BYTES], hex[2 * TK_ID_BYTES + 1];
	struct tk_slot_info info;

	/* Slots of other passphrases are taken as they are: nobody here can open them. */
	if (tk_slot_read_info(slot->data, slot->len_bytes, &info, NULL) || info.kind != TK_SLOT_PASSPHRASE ||
	    memcmp(&info.source, &recovering->got.source, sizeof(info.source)) != 0)
		return TK_OK;
	tk_hex_encode(info.slot_id.b, sizeof(info.slot_id.b), hex);
	(void)snprintf(name, sizeof(name), "passphrase-%s.slot", hex);
	if (recovering->existed && faccessat(recovering->keys_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
		return TK_OK;
	return tk_publish_file(recovering->keys_fd, name, slot->data, slot->len_bytes, 0600, err);
}

static enum tk_rc
put_slots(const struct tk_recovering *recovering, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < recovering->got.slot_count && !rc; i++)
		rc = put_slot(recovering, &recovering->got.slots[i], err);
	return rc ? rc : tk_home_adopt_passphrase_slot(recovering->keys_fd, &recovering->got.slot, &recovering->secret, err);
}

static enum tk_rc
read_config(const struct tk_recovering *recovering, struct tk_config **cfg, struct tk_err *err)
{
	struct tk_bytes text = file_content(recovering, TK_CONFIG_FILE);
	char path[PATH_MAX + sizeof(TK_CONFIG_FILE)];

	if (recovering->existed)
		return tk_cli_config(recovering->cli, cfg, err);
	(void)snprintf(path, sizeof(path), "%s/%s", recovering->home, TK_CONFIG_FILE);
	return tk_config_parse((const char *)text.data, text.len_bytes, path, cfg, NULL, err);
}

enum tk_rc
tk_recovering_write(struct tk_recovering *recovering, struct tk_config **cfg, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < recovering->file_count && !rc; i++)
		if (strcmp(recovering->files[i].name, TK_CONFIG_FILE) != 0)
			rc = put_file(recovering, &recovering->files[i], err);
	if (!rc)
		rc = put_slots(recovering, err);
	return rc ? rc : read_config(recovering, cfg, err);
}

/* ---- the end ---- */

/* A text that was parsed, not loaded, does not know that the default home keeps its state elsewhere. */
static void
state_dir_of(const struct tk_recovering *recovering, const struct tk_config *cfg, char dst[PATH_MAX])
{
	const char *fallback = tk_config_state_default(recovering->home);
	char beside[PATH_MAX + 8];

	(void)snprintf(beside, sizeof(beside), "%s/state", recovering->home);
	(void)snprintf(dst, PATH_MAX, "%s", fallback && strcmp(cfg->state_dir, beside) == 0 ? fallback : cfg->state_dir);
}

/* No run may be at work on what is moved. */
static enum tk_rc
lock_datasets(const struct tk_config *cfg, int state_fd, int *locks, struct tk_err *err)
{
	for (size_t i = 0; i < cfg->dataset_count; i++) {
		char name[8 + 2 * TK_ID_BYTES] = "lock-";
		enum tk_rc rc;

		if (!cfg->datasets[i].has_domain_id)
			continue;
		tk_hex_encode(cfg->datasets[i].domain_id, sizeof(cfg->datasets[i].domain_id), name + strlen(name));
		if ((rc = tk_lock_file(state_fd, name, &locks[i], err)))
			return tk_err_context(err, rc, "dataset %s", cfg->datasets[i].name);
	}
	return TK_OK;
}

static enum tk_rc
rename_state(const char *state, char dst[PATH_MAX], struct tk_err *err)
{
	time_t now = (time_t)(tk_clock_wall_ns() / NS_PER_S);
	char stamp[32], parent[PATH_MAX];
	struct tm tm;
	TK_AUTO(tk_fd_cleanup) int parent_fd = -1;

	(void)strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%SZ", gmtime_r(&now, &tm));
	for (int i = 0; i < MOVES_MAX; i++) {
		int len = i == 0 ? snprintf(dst, PATH_MAX, "%s.before-%s", state, stamp) : snprintf(dst, PATH_MAX, "%s.before-%s-%d", state, stamp, i);

		if (len >= PATH_MAX)
			return tk_err_set(err, TK_EINVAL, "the path of the state directory is too long");
		if (faccessat(AT_FDCWD, dst, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
			break;
	}
	if (rename(state, dst) < 0)
		return tk_err_errno(err, TK_EIO, "moving the old state %s aside", state);
	(void)snprintf(parent, sizeof(parent), "%.*s", (int)(strrchr(state, '/') - state), state);
	parent_fd = open(*parent ? parent : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return parent_fd < 0 ? tk_err_errno(err, TK_EIO, "%s", parent) : tk_fsync_dir(parent_fd, parent, err);
}

static enum tk_rc
move_state(struct tk_recovering *recovering, const struct tk_config *cfg, struct tk_err *err)
{
	TK_AUTO(tk_fd_cleanup) int state_fd = -1;
	char state[PATH_MAX];
	int *locks;
	enum tk_rc rc;

	state_dir_of(recovering, cfg, state);
	state_fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (state_fd < 0)
		return errno == ENOENT ? TK_OK : tk_err_errno(err, TK_EIO, "the old state %s", state);
	locks = calloc(cfg->dataset_count + 1, sizeof(*locks));
	if (!locks)
		return tk_err_set(err, TK_ENOMEM, "no memory for locks");
	for (size_t i = 0; i < cfg->dataset_count; i++)
		locks[i] = -1;
	rc = lock_datasets(cfg, state_fd, locks, err);
	if (!rc)
		rc = rename_state(state, recovering->state_before, err);
	for (size_t i = 0; i < cfg->dataset_count; i++)
		tk_fd_cleanup(&locks[i]);
	free(locks);
	return rc;
}

enum tk_rc
tk_recovering_finish(struct tk_recovering *recovering, const struct tk_config *cfg, struct tk_err *err)
{
	struct tk_bytes text = file_content(recovering, TK_CONFIG_FILE);
	struct tk_id incarnation;
	enum tk_rc rc;

	/* The state goes first: a new identity must never meet an old journal, while an old identity without one just wins a new epoch. */
	if ((rc = move_state(recovering, cfg, err)) || (rc = tk_home_write_machine_slot(&recovering->ring, recovering->keys_fd, err)) ||
	    (rc = tk_identity_create(recovering->keys_fd, &incarnation, err)))
		return rc;
	return recovering->existed ? TK_OK : tk_home_file_put(recovering->home_fd, TK_CONFIG_FILE, text.data, text.len_bytes, 0600, err);
}
