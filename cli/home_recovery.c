#include "cli/home.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define CONFIG_FILE_MAX (1u << 20)
#define REMOVED_SLOTS_MAX (1u << 20)

/* The files of a home that an empty machine needs. machine.key and machine.slot are not among them: a new machine makes its own. */
static bool
belongs_to_config(const char *name)
{
	const char *dot = strrchr(name, '.');

	if (!dot || strncmp(name, "machine", 7) == 0)
		return false;
	return strcmp(dot, ".pem") == 0 || strcmp(dot, ".key") == 0 || strcmp(dot, ".sealed") == 0 || strcmp(dot, ".genesis") == 0 ||
	       strcmp(dot, ".grant") == 0 || strcmp(dot, ".dataset") == 0;
}

struct file_list {
	struct tk_config_file *files;
	size_t count;
};

static void
file_list_release(struct file_list *list)
{
	tk_config_files_free(list->files, list->count);
}

static enum tk_rc
add_file(struct file_list *list, const char *name, uint32_t mode, struct tk_buf *content, struct tk_err *err)
{
	struct tk_config_file *grown = realloc(list->files, (list->count + 1) * sizeof(*grown));

	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for the configuration");
	list->files = grown;
	grown[list->count].name = strdup(name);
	grown[list->count].mode = mode;
	grown[list->count].content = *content;
	memset(content, 0, sizeof(*content));
	if (!grown[list->count].name) {
		tk_buf_release(&grown[list->count].content);
		return tk_err_set(err, TK_ENOMEM, "no memory for the configuration");
	}
	list->count++;
	return TK_OK;
}

static enum tk_rc
add_key_files(struct tk_home *home, struct file_list *list, struct tk_err *err)
{
	struct dirent **names = NULL;
	int fd = openat(home->keys_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int count = fd < 0 ? -1 : scandirat(fd, ".", &names, NULL, alphasort);
	enum tk_rc rc = count < 0 ? tk_err_errno(err, TK_EIO, "the keys of %s", home->cfg->home) : TK_OK;

	if (fd >= 0)
		close(fd);
	for (int i = 0; i < count; i++) {
		TK_AUTO(tk_wipe_buf) struct tk_buf content = {0};
		char name[300] = "keys/";

		if (!rc && belongs_to_config(names[i]->d_name)) {
			(void)strncat(name, names[i]->d_name, sizeof(name) - 6);
			rc = tk_home_read_key_file(home, names[i]->d_name, &content, err);
			rc = rc ? rc : add_file(list, name, 0600, &content, err);
		}
		free(names[i]);
	}
	free(names);
	return rc;
}

/* twinkeep.conf and what it includes. Only files within the home can come back to their place on another machine. */
static enum tk_rc
add_config_files(struct tk_home *home, struct file_list *list, struct tk_err *err)
{
	const struct tk_strings *files = &home->cfg->files;
	size_t home_len = strlen(home->cfg->home);
	char real[PATH_MAX];

	for (size_t i = 0; i < files->count; i++) {
		TK_AUTO(tk_buf_release) struct tk_buf content = {0};
		const char *path = files->items[i];
		bool inside = strncmp(path, home->cfg->home, home_len) == 0 && path[home_len] == '/';
		enum tk_rc rc;

		if (!inside) {
			tk_log_event(home->cli->log, TK_LOG_WARN, "recovery-data", "file=\"%s\" reason=\"it is outside of the home: recover will not bring it back\"",
				     path);
			continue;
		}
		/* One that is a link into some collection of configurations is read as the reader of the configuration did. */
		if (!realpath(path, real))
			return tk_err_errno(err, TK_EIO, "%s", path);
		if ((rc = tk_read_file_at(AT_FDCWD, real, CONFIG_FILE_MAX, &content, err)) ||
		    (rc = add_file(list, path + home_len + 1, 0600, &content, err)))
			return rc;
	}
	return TK_OK;
}

static enum tk_rc
put_slots(struct tk_home *home, struct tk_store *store, struct tk_err *err)
{
	TK_AUTO(tk_dir_cleanup) DIR *dir = NULL;
	int fd = openat(home->keys_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	const struct dirent *entry;
	enum tk_rc rc = TK_OK;

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir)
		return tk_err_errno(err, TK_EIO, "the keys of %s", home->cfg->home);
	while (!rc && (entry = readdir(dir))) {
		TK_AUTO(tk_buf_release) struct tk_buf slot = {0}, recovery = {0};
		char name[300];

		if (!tk_home_is_passphrase_slot(entry->d_name))
			continue;
		/* The recovery public key stands beside its slot, as .recovery instead of .slot. */
		(void)snprintf(name, sizeof(name), "%.*s.recovery", (int)(strlen(entry->d_name) - 5), entry->d_name);
		/* After `recover` there are slots of passphrases that it was not given; the sites have them. */
		if (faccessat(home->keys_fd, name, F_OK, 0) < 0 && errno == ENOENT)
			continue;
		if (!(rc = tk_home_read_key_file(home, entry->d_name, &slot, err)) && !(rc = tk_home_read_key_file(home, name, &recovery, err))) {
			if (recovery.len_bytes != TK_KEY_BYTES)
				rc = tk_err_set(err, TK_ECORRUPT, "%s/keys/%s is damaged", home->cfg->home, name);
			else
				rc = store->ops->put_slot(store, slot.data, slot.len_bytes, recovery.data, err);
		}
	}
	return rc;
}

/* A slot that is not there is as good as removed. */
static enum tk_rc
drop_removed(struct tk_home *home, struct tk_store *store, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf removed = {0};
	size_t line_bytes = 2 * TK_ID_BYTES + 1;
	enum tk_rc rc = TK_OK;

	if (tk_read_file_at(home->keys_fd, TK_REMOVED_SLOTS, REMOVED_SLOTS_MAX, &removed, NULL))
		return TK_OK;
	for (size_t at = 0; at + line_bytes <= removed.len_bytes && !rc; at += line_bytes) {
		char hex[2 * TK_ID_BYTES + 1] = {0};
		struct tk_id slot;

		memcpy(hex, removed.data + at, 2 * TK_ID_BYTES);
		if ((rc = tk_hex_decode(hex, slot.b, sizeof(slot.b), err)))
			return tk_err_context(err, rc, "%s/keys/%s", home->cfg->home, TK_REMOVED_SLOTS);
		rc = store->ops->drop_slot(store, &slot, err);
		rc = rc == TK_ENOENT ? TK_OK : rc;
	}
	return rc;
}

/* The slots as a site is to have them: they count in what tells whether it has. */
static enum tk_rc
add_slot_files(struct tk_home *home, struct file_list *list, struct tk_err *err)
{
	struct dirent **names = NULL;
	int count = scandirat(home->keys_fd, ".", &names, NULL, alphasort);
	enum tk_rc rc = count < 0 ? tk_err_errno(err, TK_EIO, "the keys of %s", home->cfg->home) : TK_OK;

	for (int i = 0; i < count; i++) {
		TK_AUTO(tk_buf_release) struct tk_buf content = {0};
		const char *name = names[i]->d_name;

		if (!rc && (tk_home_is_passphrase_slot(name) || strcmp(name, TK_REMOVED_SLOTS) == 0) && !(rc = tk_home_read_key_file(home, name, &content, err)))
			rc = add_file(list, name, 0600, &content, err);
		free(names[i]);
	}
	free(names);
	return rc;
}

static enum tk_rc
digest_files(const struct tk_home *home, const struct file_list *list, const struct file_list *slots, char hex[2 * TK_HASH_BYTES + 1], struct tk_err *err)
{
	TK_AUTO(tk_wipe_buf) struct tk_buf all = {0};
	uint8_t digest[TK_HASH_BYTES];
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < list->count + slots->count && !rc; i++) {
		const struct tk_config_file *file = i < list->count ? &list->files[i] : &slots->files[i - list->count];

		if (!(rc = tk_buf_put_bytes(&all, file->name, strlen(file->name), err)))
			rc = tk_buf_put_bytes(&all, file->content.data, file->content.len_bytes, err);
	}
	/* Keyed, since it stands in the state directory in the clear. */
	if (!rc)
		rc = tk_hmac(home->ring.suite, home->ring.home_key, TK_KEY_BYTES, all.data, all.len_bytes, digest, err);
	if (!rc)
		tk_hex_encode(digest, sizeof(digest), hex);
	return rc;
}

static enum tk_rc
open_state_dir(const struct tk_home *home, int *fd, struct tk_err *err)
{
	enum tk_rc rc = tk_mkdir_p_at(AT_FDCWD, home->cfg->state_dir, 0700, err);

	if (rc)
		return rc;
	*fd = open(home->cfg->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? tk_err_errno(err, TK_EIO, "state directory %s", home->cfg->state_dir) : TK_OK;
}

/* Is this slot at the site, byte for byte? */
static enum tk_rc
has_slot(struct tk_home *home, struct tk_store *store, const struct tk_buf *slot, bool *has, struct tk_err *err)
{
	*has = false;
	for (unsigned i = 0; !*has; i++) {
		TK_AUTO(tk_buf_release) struct tk_buf held = {0};
		struct tk_err why;
		enum tk_rc rc = store->ops->get_slot(store, &home->ring.source, i, &held, &why);

		if (rc == TK_ENOENT)
			return TK_OK;
		if (rc && rc != TK_ECORRUPT) {
			if (err)
				*err = why;
			return rc;
		}
		*has = !rc && held.len_bytes == slot->len_bytes && memcmp(held.data, slot->data, slot->len_bytes) == 0;
	}
	return TK_OK;
}

static bool
is_sent(const struct tk_home *home, const char *name)
{
	char recovery[300];

	(void)snprintf(recovery, sizeof(recovery), "%.*s.recovery", (int)(strlen(name) - 5), name);
	return tk_home_is_passphrase_slot(name) && faccessat(home->keys_fd, recovery, F_OK, 0) == 0;
}

/* What a site was given it may have lost or spoiled since, and it would be missed on the day of a disaster only: every run looks. */
static enum tk_rc
has_all(struct tk_home *home, struct tk_store *store, const struct file_list *slots, bool *has, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0};
	TK_AUTO(file_list_release) struct file_list list = {0};
	struct tk_err why;
	enum tk_rc rc;

	*has = true;
	for (size_t i = 0; i < slots->count && *has; i++)
		if (is_sent(home, slots->files[i].name) && (rc = has_slot(home, store, &slots->files[i].content, has, err)))
			return rc;
	if (!*has)
		return TK_OK;
	rc = store->ops->get_config(store, &home->ring.source, &sealed, &why);
	if (!rc)
		rc = tk_config_open(&home->ring, sealed.data, sealed.len_bytes, &list.files, &list.count, &why);
	*has = !rc;
	if (!rc || rc == TK_ENOENT || rc == TK_ECORRUPT || rc == TK_EKEY || rc == TK_EUNSUPPORTED)
		return TK_OK;
	if (err)
		*err = why;
	return rc;
}

enum tk_rc
tk_home_prepare_site(void *ctx, const struct tk_site *site, struct tk_store *store, struct tk_err *err)
{
	struct tk_home *home = ctx;
	TK_AUTO(file_list_release) struct file_list list = {0}, slots = {0};
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0}, known = {0};
	TK_AUTO(tk_fd_cleanup) int state_fd = -1;
	char hex[2 * TK_HASH_BYTES + 1], mark[300] = "recovery-data-";
	bool has = false;
	enum tk_rc rc;

	(void)strncat(mark, site->name, sizeof(mark) - strlen(mark) - 1);
	if ((rc = add_config_files(home, &list, err)) || (rc = add_key_files(home, &list, err)) || (rc = add_slot_files(home, &slots, err)) ||
	    (rc = digest_files(home, &list, &slots, hex, err)) ||
	    (rc = open_state_dir(home, &state_fd, err)))
		return rc;
	if (!tk_read_file_at(state_fd, mark, sizeof(hex), &known, err) && known.len_bytes == strlen(hex) && memcmp(known.data, hex, strlen(hex)) == 0) {
		if ((rc = has_all(home, store, &slots, &has, err)) || has)
			return rc;
		tk_log_event(home->cli->log, TK_LOG_WARN, "recovery-data", "site=%s reason=\"it had lost or damaged what recover needs: it gets it again\"", site->name);
	}
	/* The slots first: what the configuration names, they open. Slots are dropped last, since a daemon wants the operator for that, who is not always there. */
	if ((rc = put_slots(home, store, err)) || (rc = tk_config_seal(&home->ring, list.files, list.count, &sealed, err)) ||
	    (rc = store->ops->put_config(store, sealed.data, sealed.len_bytes, err)) || (rc = drop_removed(home, store, err)))
		return rc;
	return tk_publish_file(state_fd, mark, hex, strlen(hex), 0600, err);
}
