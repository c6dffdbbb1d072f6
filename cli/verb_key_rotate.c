/* twinkeep key rotate */
#include <stdlib.h>
#include <string.h>

#include "cli/slots.h"
#include "cli/verbs.h"
#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/fsio/publish.h"

/* A slot can be written anew only with its passphrase, so there must be one passphrase slot alone. */
static enum tk_rc
only_slot(const struct tk_home_slot *slots, size_t count, const struct tk_home_slot **out, struct tk_err *err)
{
	char names[512] = "";
	size_t passphrases = 0;

	for (size_t i = 0; i < count; i++) {
		char hex[2 * TK_ID_BYTES + 1];
		size_t len = strlen(names);

		if (slots[i].info.kind != TK_SLOT_PASSPHRASE)
			continue;
		*out = &slots[i];
		passphrases++;
		tk_hex_encode(slots[i].info.slot_id.b, TK_ID_BYTES, hex);
		(void)snprintf(names + len, sizeof(names) - len, "%s%.8s (%s)", len ? ", " : "", hex, slots[i].info.label);
	}
	if (passphrases == 1)
		return TK_OK;
	return tk_err_set(err, TK_EUSAGE, "there are %zu passphrase slots, each written anew only with its own passphrase: %s; remove all but one, rotate, and "
			  "add them again", passphrases, names);
}

static enum tk_rc
find_slot(struct tk_home *home, const struct tk_id *id, struct tk_home_slot *out, struct tk_err *err)
{
	struct tk_home_slot *slots = NULL;
	size_t count = 0;
	enum tk_rc rc = tk_slots_list(home, &slots, &count, err);

	for (size_t i = 0; i < count && !rc; i++)
		if (memcmp(&slots[i].info.slot_id, id, sizeof(*id)) == 0)
			*out = slots[i];
	free(slots);
	return rc;
}

/* The machine's key stays: machine.slot is replaced in one step. */
static enum tk_rc
rewrite_machine_slot(struct tk_home *home, struct tk_err *err)
{
	TK_AUTO(tk_wipe_buf) struct tk_buf key = {0};
	TK_AUTO(tk_buf_release) struct tk_buf slot = {0};
	enum tk_rc rc;

	if ((rc = tk_home_read_key_file(home, "machine.key", &key, err)) ||
	    (rc = tk_slot_seal(&home->ring, TK_SLOT_MACHINE, key.data, key.len_bytes, "machine", &slot, NULL, err)))
		return rc;
	return tk_publish_file(home->keys_fd, "machine.slot", slot.data, slot.len_bytes, 0600, err);
}

/*
 * The order matters: the passphrase slot with the new keys is at every site before anything can be sealed under them, or the loss of this machine
 * would lose what was. A crash anywhere leaves slots that open everything that is stored.
 */
static enum tk_rc
rotate(struct tk_home *home, const struct tk_secret *secret, const struct tk_home_slot *old, struct tk_err *err)
{
	struct tk_home_slot fresh = {0};
	struct tk_id id;
	enum tk_rc rc;

	if ((rc = tk_keyring_rotate(&home->ring, err)) ||
	    (rc = tk_home_write_passphrase_slot(&home->ring, home->keys_fd, secret, old->info.label, &id, err)) ||
	    (rc = find_slot(home, &id, &fresh, err)))
		return rc;
	if (tk_slots_push(home) > 0) {
		if (!(rc = tk_slots_remove(home, &fresh, err)))
			rc = tk_err_set(err, TK_EUNREACH, "not every site has the new slot: the keys stay as they were");
		return rc;
	}
	if ((rc = tk_slots_remove(home, old, err)) || (rc = rewrite_machine_slot(home, err)))
		return rc;
	(void)tk_slots_push(home);
	return TK_OK;
}

static enum tk_rc
rotate_all(const struct tk_cli *cli, struct tk_home *home, struct tk_err *err)
{
	TK_AUTO(tk_secret_release) struct tk_secret secret = {0};
	const struct tk_home_slot *old = NULL;
	struct tk_home_slot *slots = NULL;
	size_t count = 0;
	enum tk_rc rc;

	if (!(rc = tk_home_open(cli, home, err)) && !(rc = tk_slots_list(home, &slots, &count, err)) && !(rc = only_slot(slots, count, &old, err)) &&
	    !(rc = tk_slots_unlock(home, &secret, err)))
		rc = rotate(home, &secret, old, err);
	free(slots);
	return rc;
}

int
tk_verb_key_rotate(const struct tk_cli *cli)
{
	struct tk_home home = {.keys_fd = -1};
	json_t *domains = json_array();
	struct tk_err err;
	int status = 0;

	tk_err_clear(&err);
	if (rotate_all(cli, &home, &err)) {
		status = tk_out_fail(cli->out, &err);
	} else {
		for (size_t i = 0; i < home.ring.domain_count; i++)
			(void)json_array_append_new(domains, json_pack("{s:o, s:I}", "domain", tk_slots_json_id(&home.ring.domains[i].domain), "key_epoch",
								       (json_int_t)tk_domain_data_key(&home.ring.domains[i], 0)->key_epoch));
		tk_out_text(cli->out, "What is stored from now on is sealed under new keys. What is stored already stays under the old ones, which remain in the slots.\n");
	}
	tk_out_set(cli->out, "domains", domains);
	tk_home_release(&home);
	return status;
}
