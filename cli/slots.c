#include "cli/slots.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/openat.h"
#include "engine/fsio/publish.h"

#define REMOVED_MAX (1u << 20)

static bool
is_slot(const char *name)
{
	size_t len = strlen(name);

	return len > 5 && strcmp(name + len - 5, ".slot") == 0;
}

static enum tk_rc
read_slot(struct tk_home *home, const char *name, struct tk_home_slot *slot, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	enum tk_rc rc;

	if (strlen(name) >= sizeof(slot->file))
		return tk_err_set(err, TK_EINVAL, "keys/%s: no name of a slot", name);
	(void)snprintf(slot->file, sizeof(slot->file), "%s", name);
	if ((rc = tk_home_read_key_file(home, name, &bytes, err)))
		return rc;
	rc = tk_slot_read_info(bytes.data, bytes.len_bytes, &slot->info, err);
	return rc ? tk_err_context(err, rc, "keys/%s", name) : TK_OK;
}

enum tk_rc
tk_slots_list(struct tk_home *home, struct tk_home_slot **out, size_t *count, struct tk_err *err)
{
	struct dirent **names = NULL;
	int found = scandirat(home->keys_fd, ".", &names, NULL, alphasort);
	struct tk_home_slot *list = calloc((size_t)(found > 0 ? found : 0) + 1, sizeof(*list));
	enum tk_rc rc = TK_OK;

	*count = 0;
	if (found < 0)
		rc = tk_err_errno(err, TK_EIO, "the keys of %s", home->cfg->home);
	else if (!list)
		rc = tk_err_set(err, TK_ENOMEM, "no memory for the slots");
	/* "machine.slot" comes before "passphrase-...". */
	for (int i = 0; i < found; i++) {
		if (!rc && is_slot(names[i]->d_name) && !(rc = read_slot(home, names[i]->d_name, &list[*count], err)))
			(*count)++;
		free(names[i]);
	}
	free(names);
	*out = list;
	return rc;
}

enum tk_rc
tk_slots_unlock(struct tk_home *home, struct tk_secret *secret, struct tk_err *err)
{
	char prompt[128];
	enum tk_rc rc;

	(void)snprintf(prompt, sizeof(prompt), "Passphrase of %s", home->cfg->source);
	rc = tk_cli_passphrase(home->cli, home->cfg, prompt, false, secret, err);
	return rc ? rc : tk_home_unlock_secret(home, secret, err);
}

/* Takes the keys of the slot, if the passphrase opens it and it knows more than those taken so far. */
static enum tk_rc
open_slot(struct tk_home *home, const struct tk_secret *secret, const struct tk_home_slot *slot, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf bytes = {0};
	TK_AUTO(tk_keyring_release) struct tk_keyring ring = {0};
	enum tk_rc rc;

	if ((rc = tk_home_read_key_file(home, slot->file, &bytes, err)) ||
	    (rc = tk_slot_open(bytes.data, bytes.len_bytes, secret->text, secret->len_bytes, &ring, err)))
		return rc;
	if (!home->unlocked || tk_keyring_weight(&ring) > tk_keyring_weight(&home->ring)) {
		struct tk_keyring lighter = home->ring;

		home->ring = ring;
		ring = lighter;
	}
	home->unlocked = true;
	return TK_OK;
}

static enum tk_rc
list_passphrases(struct tk_home *home, struct tk_home_slot **out, size_t *count, struct tk_err *err)
{
	size_t all = 0, kept = 0;
	enum tk_rc rc = tk_slots_list(home, out, &all, err);

	for (size_t i = 0; i < all && !rc; i++)
		if ((*out)[i].info.kind == TK_SLOT_PASSPHRASE)
			(*out)[kept++] = (*out)[i];
	*count = kept;
	if (!rc && kept == 0)
		rc = tk_err_set(err, TK_EKEY, "%s has no passphrase slot", home->cfg->home);
	return rc;
}

enum tk_rc
tk_slots_unlock_all(struct tk_home *home, struct tk_secret *secret, struct tk_home_slot **out, size_t *count, struct tk_err *err)
{
	char prompt[128], others[512] = "";
	struct tk_err why = {0};
	enum tk_rc rc = list_passphrases(home, out, count, err);

	(void)snprintf(prompt, sizeof(prompt), "Passphrase of %s", home->cfg->source);
	if (rc || (rc = tk_cli_passphrase(home->cli, home->cfg, prompt, false, secret, err)))
		return rc;
	for (size_t i = 0; i < *count; i++) {
		char hex[2 * TK_ID_BYTES + 1];
		size_t len = strlen(others);

		rc = open_slot(home, secret, &(*out)[i], &why);
		if (rc && rc != TK_EKEY) {
			*err = why;
			return rc;
		}
		tk_hex_encode((*out)[i].info.slot_id.b, TK_ID_BYTES, hex);
		if (rc)
			(void)snprintf(others + len, sizeof(others) - len, "%s%.8s (%s)", len ? ", " : "", hex, (*out)[i].info.label);
	}
	if (!home->unlocked)
		return tk_err_set(err, why.rc, "%s", why.text);
	if (!others[0])
		return TK_OK;
	return tk_err_set(err, TK_EUSAGE, "there are %zu passphrase slots, each written anew only with its own passphrase, which this one is not for %s; remove them, "
			  "run it again, and add them again", *count, others);
}

enum tk_rc
tk_slots_write(struct tk_home *home, const struct tk_secret *secret, const char *label, struct tk_home_slot *out, struct tk_err *err)
{
	char hex[2 * TK_ID_BYTES + 1], name[sizeof(out->file)];
	struct tk_id id;
	enum tk_rc rc = tk_home_write_passphrase_slot(&home->ring, home->keys_fd, secret, label, &id, err);

	if (rc)
		return rc;
	tk_hex_encode(id.b, sizeof(id.b), hex);
	(void)snprintf(name, sizeof(name), "passphrase-%s.slot", hex);
	return read_slot(home, name, out, err);
}

enum tk_rc
tk_slots_write_machine(struct tk_home *home, struct tk_err *err)
{
	TK_AUTO(tk_wipe_buf) struct tk_buf key = {0};
	TK_AUTO(tk_buf_release) struct tk_buf slot = {0};
	enum tk_rc rc;

	if ((rc = tk_home_read_key_file(home, "machine.key", &key, err)) ||
	    (rc = tk_slot_seal(&home->ring, TK_SLOT_MACHINE, key.data, key.len_bytes, "machine", &slot, NULL, err)))
		return rc;
	return tk_publish_file(home->keys_fd, "machine.slot", slot.data, slot.len_bytes, 0600, err);
}

/* The note comes first: a crash in between leaves a slot that is asked to be removed again, never one that sites keep. */
static enum tk_rc
note_removed(struct tk_home *home, const struct tk_id *id, struct tk_err *err)
{
	TK_AUTO(tk_buf_release) struct tk_buf removed = {0};
	char line[2 * TK_ID_BYTES + 2];
	enum tk_rc rc = tk_read_file_at(home->keys_fd, TK_REMOVED_SLOTS, REMOVED_MAX, &removed, err);

	if (rc && rc != TK_ENOENT)
		return rc;
	tk_hex_encode(id->b, sizeof(id->b), line);
	line[2 * TK_ID_BYTES] = '\n';
	if ((rc = tk_buf_put(&removed, line, 2 * TK_ID_BYTES + 1, err)))
		return rc;
	return tk_publish_file(home->keys_fd, TK_REMOVED_SLOTS, removed.data, removed.len_bytes, 0600, err);
}

bool
tk_slots_was_removed(struct tk_home *home, const char *text, struct tk_id *id)
{
	TK_AUTO(tk_buf_release) struct tk_buf removed = {0};
	size_t line_bytes = 2 * TK_ID_BYTES + 1;

	if (tk_read_file_at(home->keys_fd, TK_REMOVED_SLOTS, REMOVED_MAX, &removed, NULL) || strlen(text) >= line_bytes)
		return false;
	for (size_t at = 0; at + line_bytes <= removed.len_bytes; at += line_bytes) {
		char hex[2 * TK_ID_BYTES + 1] = {0};

		memcpy(hex, removed.data + at, 2 * TK_ID_BYTES);
		if (strncasecmp(hex, text, strlen(text)) == 0)
			return tk_hex_decode(hex, id->b, sizeof(id->b), NULL) == TK_OK;
	}
	return false;
}

enum tk_rc
tk_slots_remove(struct tk_home *home, const struct tk_home_slot *slot, struct tk_err *err)
{
	char recovery[sizeof(slot->file) + 16];
	enum tk_rc rc = note_removed(home, &slot->info.slot_id, err);

	if (rc)
		return rc;
	(void)snprintf(recovery, sizeof(recovery), "%.*s.recovery", (int)(strlen(slot->file) - 5), slot->file);
	if (unlinkat(home->keys_fd, slot->file, 0) < 0 || (unlinkat(home->keys_fd, recovery, 0) < 0 && errno != ENOENT) || fsync(home->keys_fd) < 0)
		return tk_err_errno(err, TK_EIO, "removing keys/%s", slot->file);
	return TK_OK;
}

size_t
tk_slots_push(struct tk_home *home)
{
	size_t failed = 0;

	for (size_t i = 0; i < home->cfg->site_count; i++) {
		struct tk_site site = tk_home_site(home, i, TK_VAULT_SERVE);
		TK_AUTO(tk_store_cleanup) struct tk_store *store = NULL;
		struct tk_err err;

		if (!home->cfg->sites[i].enabled || (!site.open(&site, &store, &err) && !tk_home_prepare_site(home, &site, store, &err)))
			continue;
		failed++;
		(void)tk_err_context(&err, err.rc, "site %s does not have the slots as they are now", site.name);
		(void)tk_out_fail(home->cli->out, &err);
	}
	return failed;
}

json_t *
tk_slots_json_id(const struct tk_id *id)
{
	char hex[2 * TK_ID_BYTES + 1];

	tk_hex_encode(id->b, sizeof(id->b), hex);
	return json_string(hex);
}
