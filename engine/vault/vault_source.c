#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/base/hex.h"
#include "engine/vault/vault_core.h"

#define KEY_SUFFIX ".pub"
#define CONFIG_BYTES_MAX (8u << 20)

static void
slot_path(char path[TK_VFILE_PATH_MAX], const struct tk_id *source, const struct tk_id *slot, const char *suffix)
{
	char hex[TK_VAULT_HEX_ID], tail[TK_VFILE_PATH_MAX / 2];

	tk_hex_encode(slot->b, sizeof(slot->b), hex);
	(void)snprintf(tail, sizeof(tail), "slots/%s%s", hex, suffix);
	tk_vault_id_path(path, "sources", source, tail);
}

static enum tk_rc
make_source(struct tk_vault *vault, const struct tk_id *source, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc;

	tk_vault_id_path(path, "sources", source, NULL);
	rc = tk_vfile_mkdir(vault->root_fd, path, err);
	tk_vault_id_path(path, "sources", source, "slots");
	return rc ? rc : tk_vfile_mkdir(vault->root_fd, path, err);
}

enum tk_rc
tk_vault_put_slot(struct tk_vault *vault, const void *slot, size_t len_bytes, const uint8_t *recovery_key, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	struct tk_slot_info info;
	enum tk_rc rc = tk_vault_writable(vault, err);

	if (!rc)
		rc = tk_slot_read_info(slot, len_bytes, &info, err);
	if (!rc)
		rc = make_source(vault, &info.source, err);
	if (rc)
		return rc;
	/* The key first: a passphrase slot without it could not be fetched by an empty machine. */
	slot_path(path, &info.source, &info.slot_id, KEY_SUFFIX);
	rc = recovery_key ? tk_vfile_put(vault->root_fd, path, recovery_key, TK_KEY_BYTES, "slots", err) : tk_vfile_remove(vault->root_fd, path, err);
	slot_path(path, &info.source, &info.slot_id, "");
	return rc ? rc : tk_vfile_put(vault->root_fd, path, slot, len_bytes, "slots", err);
}

enum tk_rc
tk_vault_list_sources(struct tk_vault *vault, struct tk_id **out, size_t *count, struct tk_err *err)
{
	struct tk_vfile_list names;
	struct tk_id *ids;
	enum tk_rc rc = tk_vfile_list(vault->root_fd, "sources", &names, err);

	*count = 0;
	if (rc)
		return rc;
	ids = calloc(names.count + 1, sizeof(*ids));
	for (size_t i = 0; ids && i < names.count; i++)
		if (tk_hex_decode(names.names[i], ids[*count].b, sizeof(ids->b), NULL) == TK_OK)
			(*count)++;
	tk_vfile_list_release(&names);
	*out = ids;
	return ids ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for a list of sources");
}

/* The slots of a source in order of their ids. */
static enum tk_rc
list_slots(struct tk_vault *vault, const struct tk_id *source, struct tk_id **out, size_t *count, struct tk_err *err)
{
	struct tk_vfile_list names;
	char path[TK_VFILE_PATH_MAX];
	struct tk_id *ids;
	enum tk_rc rc;

	*count = 0;
	tk_vault_id_path(path, "sources", source, "slots");
	rc = tk_vfile_list(vault->root_fd, path, &names, err);
	if (rc)
		return rc;
	ids = calloc(names.count + 1, sizeof(*ids));
	/* Names with a suffix are recovery keys, and no hexadecimal. */
	for (size_t i = 0; ids && i < names.count; i++)
		if (tk_hex_decode(names.names[i], ids[*count].b, sizeof(ids->b), NULL) == TK_OK)
			(*count)++;
	tk_vfile_list_release(&names);
	*out = ids;
	return ids ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for a list of slots");
}

/* Calls `each` for every slot of every source until it says stop. */
static enum tk_rc
each_slot(struct tk_vault *vault, bool (*each)(void *ctx, const struct tk_id *source, const struct tk_id *slot), void *ctx, struct tk_err *err)
{
	struct tk_id *sources = NULL, *slots = NULL;
	size_t source_count = 0, slot_count = 0;
	bool stop = false;
	enum tk_rc rc = tk_vault_list_sources(vault, &sources, &source_count, err);

	for (size_t i = 0; i < source_count && !rc && !stop; i++) {
		rc = list_slots(vault, &sources[i], &slots, &slot_count, err);
		for (size_t j = 0; j < slot_count && !rc && !stop; j++)
			stop = each(ctx, &sources[i], &slots[j]);
		free(slots);
		slots = NULL;
	}
	free(sources);
	return rc;
}

struct slot_search {
	struct tk_vault *vault;
	const struct tk_id *slot_id;           /* looked for by id, or */
	const uint8_t *recovery_key;           /* by the key beside it */
	bool found;
	struct tk_id source, slot;
};

static bool
slot_matches(void *ctx, const struct tk_id *source, const struct tk_id *slot)
{
	TK_AUTO(tk_buf_release) struct tk_buf key = {0};
	struct slot_search *search = ctx;
	char path[TK_VFILE_PATH_MAX];

	if (search->slot_id) {
		search->found = memcmp(search->slot_id->b, slot->b, sizeof(slot->b)) == 0;
	} else {
		slot_path(path, source, slot, KEY_SUFFIX);
		search->found = tk_vfile_get(search->vault->root_fd, path, TK_KEY_BYTES, &key, NULL) == TK_OK && key.len_bytes == TK_KEY_BYTES &&
			memcmp(key.data, search->recovery_key, TK_KEY_BYTES) == 0;
	}
	search->source = *source;
	search->slot = *slot;
	return search->found;
}

enum tk_rc
tk_vault_drop_slot(struct tk_vault *vault, const struct tk_id *slot_id, struct tk_err *err)
{
	struct slot_search search = {.vault = vault, .slot_id = slot_id};
	char path[TK_VFILE_PATH_MAX];
	enum tk_rc rc = tk_vault_writable(vault, err);

	if (!rc)
		rc = each_slot(vault, slot_matches, &search, err);
	if (!rc && !search.found)
		rc = tk_err_set(err, TK_ENOENT, "no such slot is stored");
	if (rc)
		return rc;
	slot_path(path, &search.source, &search.slot, "");
	rc = tk_vfile_remove(vault->root_fd, path, err);
	slot_path(path, &search.source, &search.slot, KEY_SUFFIX);
	return rc ? rc : tk_vfile_remove(vault->root_fd, path, err);
}

enum tk_rc
tk_vault_find_recovery_key(struct tk_vault *vault, const uint8_t recovery_key[TK_KEY_BYTES], struct tk_id *source, struct tk_id *slot_id,
			   struct tk_err *err)
{
	struct slot_search search = {.vault = vault, .recovery_key = recovery_key};
	enum tk_rc rc = each_slot(vault, slot_matches, &search, err);

	if (!rc && !search.found)
		rc = tk_err_set(err, TK_ENOENT, "no source registered this recovery key");
	if (!rc) {
		*source = search.source;
		*slot_id = search.slot;
	}
	return rc;
}

enum tk_rc
tk_vault_get_slot(struct tk_vault *vault, const struct tk_id *source, unsigned index, struct tk_buf *out, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	struct tk_id *slots = NULL;
	size_t count = 0;
	enum tk_rc rc = list_slots(vault, source, &slots, &count, err);

	if (!rc && index >= count)
		rc = tk_err_set(err, TK_ENOENT, "%zu slots are stored", count);
	if (!rc) {
		slot_path(path, source, &slots[index], "");
		rc = tk_vfile_get(vault->root_fd, path, TK_RECORD_MAX, out, err);
	}
	free(slots);
	return rc;
}

/* The clear beginning of a sealed configuration. */
static enum tk_rc
config_source(const void *record, size_t len_bytes, struct tk_id *source, struct tk_err *err)
{
	struct tk_cursor cur;
	uint8_t magic[8];

	tk_cursor_init(&cur, record, len_bytes);
	tk_cursor_copy(&cur, magic, sizeof(magic));
	if (memcmp(magic, "TWKCONF1", sizeof(magic)) != 0)
		tk_cursor_fail(&cur, "it does not begin with TWKCONF1");
	if (tk_cursor_u16(&cur) != 1)
		tk_cursor_fail(&cur, "unknown version");
	(void)tk_cursor_u8(&cur);
	(void)tk_cursor_u64(&cur);
	tk_cursor_copy(&cur, source->b, sizeof(source->b));
	return tk_cursor_check(&cur, "sealed configuration", err);
}

enum tk_rc
tk_vault_put_config(struct tk_vault *vault, const void *record, size_t len_bytes, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];
	struct tk_id source;
	enum tk_rc rc = tk_vault_writable(vault, err);

	if (!rc && len_bytes > CONFIG_BYTES_MAX)
		rc = tk_err_set(err, TK_EINVAL, "a configuration of %zu bytes", len_bytes);
	if (!rc)
		rc = config_source(record, len_bytes, &source, err);
	if (!rc)
		rc = make_source(vault, &source, err);
	if (rc)
		return rc;
	tk_vault_id_path(path, "sources", &source, "config");
	return tk_vfile_put(vault->root_fd, path, record, len_bytes, "config", err);
}

enum tk_rc
tk_vault_get_config(struct tk_vault *vault, const struct tk_id *source, struct tk_buf *out, struct tk_err *err)
{
	char path[TK_VFILE_PATH_MAX];

	tk_vault_id_path(path, "sources", source, "config");
	return tk_vfile_get(vault->root_fd, path, CONFIG_BYTES_MAX, out, err);
}
