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
/* As many as a site keeps of one source. */
#define SENT_SLOTS_MAX 64

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

static void
recovery_name(const char *slot_name, char name[300])
{
	(void)snprintf(name, 300, "%.*s.recovery", (int)(strlen(slot_name) - 5), slot_name);
}

static bool
is_sent(const struct tk_home *home, const char *name)
{
	char recovery[300];

	if (!tk_home_is_passphrase_slot(name))
		return false;
	recovery_name(name, recovery);
	return faccessat(home->keys_fd, recovery, F_OK, 0) == 0;
}

/* A passphrase slot with the recovery public key that stands beside it, as .recovery instead of .slot. */
struct sent_slot {
	struct tk_buf slot, recovery;
};

struct sent_slots {
	struct sent_slot list[SENT_SLOTS_MAX];
	size_t count;
};

static void
sent_slots_release(struct sent_slots *slots)
{
	for (size_t i = 0; i < slots->count; i++) {
		tk_buf_release(&slots->list[i].slot);
		tk_buf_release(&slots->list[i].recovery);
	}
}

static enum tk_rc
read_sent_slot(struct tk_home *home, const struct tk_config_file *file, struct sent_slot *out, struct tk_err *err)
{
	char name[300];
	enum tk_rc rc;

	recovery_name(file->name, name);
	if ((rc = tk_home_read_key_file(home, name, &out->recovery, err)))
		return rc;
	if (out->recovery.len_bytes != TK_KEY_BYTES)
		return tk_err_set(err, TK_ECORRUPT, "%s/keys/%s is damaged", home->cfg->home, name);
	return tk_buf_put(&out->slot, file->content.data, file->content.len_bytes, err);
}

/* After `recover` there are slots of passphrases that it was not given; the sites have them. */
static enum tk_rc
read_sent_slots(struct tk_home *home, const struct file_list *files, struct sent_slots *out, struct tk_err *err)
{
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < files->count && !rc; i++) {
		if (!is_sent(home, files->files[i].name))
			continue;
		if (out->count == SENT_SLOTS_MAX)
			return tk_err_set(err, TK_EINVAL, "%s has more than %d passphrase slots", home->cfg->home, SENT_SLOTS_MAX);
		rc = read_sent_slot(home, &files->files[i], &out->list[out->count++], err);
	}
	return rc;
}

/* All in one breath; the slots first: what the configuration names, they open. */
static enum tk_rc
put_all(const struct sent_slots *slots, const struct tk_buf *config, struct tk_store *store, struct tk_err *err)
{
	struct tk_store_ask asks[SENT_SLOTS_MAX + 1];
	enum tk_rc rc = TK_OK;

	for (size_t i = 0; i < slots->count; i++)
		asks[i] = (struct tk_store_ask){.kind = TK_ASK_PUT_SLOT, .data = slots->list[i].slot.data, .len_bytes = slots->list[i].slot.len_bytes,
						.recovery_key = slots->list[i].recovery.data};
	asks[slots->count] = (struct tk_store_ask){.kind = TK_ASK_PUT_CONFIG, .data = config->data, .len_bytes = config->len_bytes};
	tk_store_ahead(store, asks, slots->count + 1);
	for (size_t i = 0; i < slots->count && !rc; i++)
		rc = store->ops->put_slot(store, slots->list[i].slot.data, slots->list[i].slot.len_bytes, slots->list[i].recovery.data, err);
	return rc ? rc : store->ops->put_config(store, config->data, config->len_bytes, err);
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

/* Of the slots that the site is to have, those that it has, byte for byte: *count. It may hold others too, of passphrases that this home does not know. */
static enum tk_rc
count_held(struct tk_home *home, struct tk_store *store, const struct file_list *slots, size_t *count, struct tk_err *err)
{
	*count = 0;
	for (unsigned i = 0;; i++) {
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
		for (size_t k = 0; k < slots->count && !rc; k++)
			*count += is_sent(home, slots->files[k].name) && held.len_bytes == slots->files[k].content.len_bytes &&
				  memcmp(held.data, slots->files[k].content.data, held.len_bytes) == 0;
	}
}

static size_t
count_sent(const struct tk_home *home, const struct file_list *slots)
{
	size_t count = 0;

	for (size_t i = 0; i < slots->count; i++)
		count += is_sent(home, slots->files[i].name);
	return count;
}

/* What a site was given it may have lost or spoiled since, and it would be missed on the day of a disaster only: every run looks. */
static enum tk_rc
has_all(struct tk_home *home, struct tk_store *store, const struct file_list *slots, bool *has, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0};
	TK_AUTO(file_list_release) struct file_list list = {0};
	struct tk_err why;
	size_t held;
	enum tk_rc rc = count_held(home, store, slots, &held, err);

	*has = !rc && held >= count_sent(home, slots);
	if (!*has)
		return rc;
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

/* What a site is to have, and whether it was given these very things. */
struct recovery_data {
	struct file_list list, slots;
	int state_fd;
	char mark[300], hex[2 * TK_HASH_BYTES + 1];   /* the name of the file that says so, and what it says */
	bool given;
};

static void
recovery_data_release(struct recovery_data *data)
{
	file_list_release(&data->list);
	file_list_release(&data->slots);
	tk_fd_cleanup(&data->state_fd);
}

static enum tk_rc
read_recovery_data(struct tk_home *home, const struct tk_site *site, struct recovery_data *data, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf known = {0};
	enum tk_rc rc;

	(void)snprintf(data->mark, sizeof(data->mark), "recovery-data-%s", site->name);
	if ((rc = add_config_files(home, &data->list, err)) || (rc = add_key_files(home, &data->list, err)) ||
	    (rc = add_slot_files(home, &data->slots, err)) || (rc = digest_files(home, &data->list, &data->slots, data->hex, err)) ||
	    (rc = open_state_dir(home, &data->state_fd, err)))
		return rc;
	data->given = !tk_read_file_at(data->state_fd, data->mark, sizeof(data->hex), &known, err) && known.len_bytes == strlen(data->hex) &&
		      memcmp(known.data, data->hex, strlen(data->hex)) == 0;
	return TK_OK;
}

void
tk_home_prepare_site_ahead(void *ctx, const struct tk_site *site, struct tk_store *store)
{
	struct tk_home *home = ctx;
	TK_AUTO(recovery_data_release) struct recovery_data data = {.state_fd = -1};
	struct tk_store_ask asks[SENT_SLOTS_MAX + 2];
	struct tk_err why;
	size_t count = 0;

	if (!site->is_remote || read_recovery_data(home, site, &data, &why) || !data.given)
		return;
	/* One more than there are: that it is not there is an answer too. */
	for (size_t last = count_sent(home, &data.slots); count <= last && count <= SENT_SLOTS_MAX; count++)
		asks[count] = (struct tk_store_ask){.kind = TK_ASK_SLOT, .id = &home->ring.source, .number = count};
	asks[count++] = (struct tk_store_ask){.kind = TK_ASK_CONFIG, .id = &home->ring.source};
	tk_store_ahead(store, asks, count);
}

enum tk_rc
tk_home_prepare_site(void *ctx, const struct tk_site *site, struct tk_store *store, struct tk_err *err)
{
	struct tk_home *home = ctx;
	TK_AUTO(recovery_data_release) struct recovery_data data = {.state_fd = -1};
	TK_AUTO(sent_slots_release) struct sent_slots slots = {.count = 0};
	TK_AUTO(tk_buf_release) struct tk_buf sealed = {0};
	bool has = false;
	enum tk_rc rc = read_recovery_data(home, site, &data, err);

	if (rc)
		return rc;
	if (data.given) {
		if ((rc = has_all(home, store, &data.slots, &has, err)) || has)
			return rc;
		tk_log_event(home->cli->log, TK_LOG_WARN, "recovery-data", "site=%s reason=\"it had lost or damaged what recover needs: it gets it again\"", site->name);
	}
	/* Slots are dropped last, since a daemon wants the operator for that, who is not always there. */
	if ((rc = read_sent_slots(home, &data.slots, &slots, err)) || (rc = tk_config_seal(&home->ring, data.list.files, data.list.count, &sealed, err)) ||
	    (rc = put_all(&slots, &sealed, store, err)) || (rc = drop_removed(home, store, err)))
		return rc;
	return tk_publish_file(data.state_fd, data.mark, data.hex, strlen(data.hex), 0600, err);
}
