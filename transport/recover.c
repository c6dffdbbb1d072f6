#include "transport/recover.h"

#include <stdlib.h>
#include <string.h>

#include "engine/crypto/hash.h"
#include "engine/vault/keyring.h"
#include "engine/vault/vault.h"
#include "transport/message.h"

void
tk_recovered_init(struct tk_recovered *recovered)
{
	memset(recovered, 0, sizeof(*recovered));
	tk_buf_init(&recovered->slot, TK_RECORD_MAX);
	tk_buf_init(&recovered->config, TK_RECORD_MAX);
	for (size_t i = 0; i < TK_RECOVER_SLOTS_MAX; i++)
		tk_buf_init(&recovered->slots[i], TK_RECORD_MAX);
}

void
tk_recovered_release(struct tk_recovered *recovered)
{
	tk_buf_release(&recovered->slot);
	tk_buf_release(&recovered->config);
	for (size_t i = 0; i < TK_RECOVER_SLOTS_MAX; i++)
		tk_buf_release(&recovered->slots[i]);
	recovered->slot_count = 0;
}

enum tk_rc
tk_recover_text(struct tk_tls_conn *tls, const struct tk_id *source, const struct tk_id *slot_id, struct tk_buf *text, struct tk_err *err)
{
	uint8_t channel[TK_HASH_BYTES];
	enum tk_rc rc;

	if ((rc = tk_tls_exporter(tls, TK_RECOVER_LABEL, channel, err)) ||
	    (rc = tk_buf_put(text, TK_RECOVER_PREFIX, strlen(TK_RECOVER_PREFIX), err)) ||
	    (rc = tk_buf_put(text, channel, sizeof(channel), err)) ||
	    (rc = tk_buf_put(text, source->b, TK_ID_BYTES, err)))
		return rc;
	return tk_buf_put(text, slot_id->b, TK_ID_BYTES, err);
}

/* Does the passphrase open the slot? TK_EKEY: no. */
static enum tk_rc
try_slot(const struct tk_buf *slot, const void *passphrase, size_t passphrase_bytes, struct tk_err *err)
{
	uint8_t seed[TK_KEY_BYTES];
	enum tk_rc rc = tk_slot_recovery_seed(slot->data, TK_SLOT_HEAD_BYTES, passphrase, passphrase_bytes, seed, err);

	tk_wipe(seed, sizeof(seed));
	return rc;
}

/* Reads all slots of a source; out->slot becomes the first that the passphrase opens. TK_EKEY: none; TK_ENOENT: there is no passphrase slot. */
static enum tk_rc
read_slots(struct tk_vault *vault, const struct tk_id *source, const void *passphrase, size_t passphrase_bytes, struct tk_recovered *out,
	   struct tk_err *err)
{
	struct tk_slot_info info;
	bool opened = false, tried = false;
	enum tk_rc rc;

	for (out->slot_count = 0; out->slot_count < TK_RECOVER_SLOTS_MAX; out->slot_count++) {
		struct tk_buf *slot = &out->slots[out->slot_count];

		tk_buf_clear(slot);
		rc = tk_vault_get_slot(vault, source, (unsigned)out->slot_count, slot, err);
		if (rc == TK_ENOENT)
			break;
		if (rc)
			return rc;
		if (opened || tk_slot_read_info(slot->data, slot->len_bytes, &info, NULL) || info.kind != TK_SLOT_PASSPHRASE ||
		    slot->len_bytes < TK_SLOT_HEAD_BYTES)
			continue;
		tried = true;
		rc = try_slot(slot, passphrase, passphrase_bytes, err);
		if (!rc) {
			tk_buf_clear(&out->slot);
			rc = tk_buf_put(&out->slot, slot->data, slot->len_bytes, err);
			opened = !rc;
		}
		if (rc && rc != TK_EKEY)
			return rc;
	}
	if (opened)
		return TK_OK;
	return tried ? tk_err_set(err, TK_EKEY, "no key slot of the vault fits the passphrase")
		     : tk_err_set(err, TK_ENOENT, "the vault has no passphrase slot");
}

static enum tk_rc
recover_sources(struct tk_vault *vault, const struct tk_id *sources, size_t count, const void *passphrase, size_t passphrase_bytes,
		const struct tk_id *wanted, struct tk_recovered *out, struct tk_err *err)
{
	enum tk_rc rc = tk_err_set(err, TK_ENOENT, "the vault has no passphrase slot"), worst = rc;

	for (size_t i = 0; i < count; i++) {
		if (wanted && memcmp(wanted->b, sources[i].b, TK_ID_BYTES) != 0)
			continue;
		rc = read_slots(vault, &sources[i], passphrase, passphrase_bytes, out, err);
		if (!rc) {
			out->source = sources[i];
			return tk_vault_get_config(vault, &sources[i], &out->config, err);
		}
		if (rc != TK_EKEY && rc != TK_ENOENT)
			return rc;
		/* "Does not fit" says more than "there is none". */
		if (rc == TK_EKEY)
			worst = rc;
	}
	return worst == TK_EKEY ? tk_err_set(err, TK_EKEY, "no key slot of the vault fits the passphrase") : rc;
}

enum tk_rc
tk_vault_dir_recover(const char *vault_path, const void *passphrase, size_t passphrase_bytes, const struct tk_id *source,
		     struct tk_recovered *out, struct tk_err *err)
{
	TK_AUTO(tk_vault_cleanup) struct tk_vault *vault = NULL;
	struct tk_id *sources = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_vault_open(vault_path, TK_VAULT_READ, NULL, &vault, err);

	tk_recovered_init(out);
	if (!rc)
		rc = tk_vault_list_sources(vault, &sources, &count, err);
	if (!rc)
		rc = recover_sources(vault, sources, count, passphrase, passphrase_bytes, source, out, err);
	free(sources);
	if (rc)
		tk_recovered_release(out);
	return rc;
}
