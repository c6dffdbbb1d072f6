/* twinkeep key remove */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cli/slots.h"
#include "cli/verbs.h"
#include "engine/base/hex.h"

#define PREFIX_MIN 4u

static enum tk_rc
find_slot(const struct tk_home_slot *slots, size_t count, const char *text, const struct tk_home_slot **out, struct tk_err *err)
{
	const struct tk_home_slot *found = NULL;

	for (size_t i = 0; i < count; i++) {
		char hex[2 * TK_ID_BYTES + 1];

		tk_hex_encode(slots[i].info.slot_id.b, TK_ID_BYTES, hex);
		if (strlen(text) < PREFIX_MIN || strncasecmp(hex, text, strlen(text)) != 0)
			continue;
		if (found)
			return tk_err_set(err, TK_EUSAGE, "two slots begin with %s: write more of it", text);
		found = &slots[i];
	}
	if (!found)
		return tk_err_set(err, TK_EUSAGE, "there is no slot %s: see twinkeep key list", text);
	*out = found;
	return TK_OK;
}

static enum tk_rc
check_removable(const struct tk_home_slot *slots, size_t count, const struct tk_home_slot *slot, struct tk_err *err)
{
	size_t passphrases = 0;

	for (size_t i = 0; i < count; i++)
		passphrases += slots[i].info.kind == TK_SLOT_PASSPHRASE;
	if (slot->info.kind == TK_SLOT_MACHINE)
		return tk_err_set(err, TK_EUSAGE, "that is the machine's slot, by which backups run: it stays");
	if (passphrases < 2)
		return tk_err_set(err, TK_EUSAGE, "that is the last passphrase slot, without which nothing can be restored elsewhere: add another one first");
	return TK_OK;
}

static enum tk_rc
remove_slot(const struct tk_cli *cli, struct tk_home *home, struct tk_id *id, struct tk_err *err)
{
	TK_AUTO(tk_secret_release) struct tk_secret secret = {0};
	const char *text = tk_cli_operand(cli, 0);
	const struct tk_home_slot *slot = NULL;
	struct tk_home_slot *slots = NULL;
	size_t count = 0;
	enum tk_rc rc;

	if ((rc = tk_home_open(cli, home, err)) || (rc = tk_slots_list(home, &slots, &count, err)))
		return rc;
	rc = find_slot(slots, count, text, &slot, err);
	if (!rc)
		rc = check_removable(slots, count, slot, err);
	/* Removed here, and perhaps not at every site: asked again, the sites are told again. */
	else if (strlen(text) >= PREFIX_MIN && tk_slots_was_removed(home, text, id))
		rc = TK_OK;
	if (!rc)
		rc = tk_slots_unlock(home, &secret, err);
	if (!rc && slot) {
		*id = slot->info.slot_id;
		rc = tk_slots_remove(home, slot, err);
	}
	free(slots);
	return rc;
}

int
tk_verb_key_remove(const struct tk_cli *cli)
{
	struct tk_home home = {.keys_fd = -1};
	struct tk_err err;
	struct tk_id id;
	size_t failed;
	int status = 0;

	tk_err_clear(&err);
	if (remove_slot(cli, &home, &id, &err)) {
		status = tk_out_fail(cli->out, &err);
	} else {
		failed = tk_slots_push(&home);
		tk_out_set(cli->out, "slot", tk_slots_json_id(&id));
		tk_out_set(cli->out, "sites_without", json_integer((json_int_t)failed));
		tk_out_text(cli->out, "The slot is removed here%s. Copies of it that were made before are not revoked: whoever has one, and its passphrase, has the keys.\n",
			    failed ? "; run this again when the sites answer that were not reached: they have it still" : " and at every site");
	}
	tk_home_release(&home);
	return status;
}
