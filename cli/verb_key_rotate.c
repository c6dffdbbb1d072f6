/* twinkeep key rotate */
#include <stdlib.h>

#include "cli/slots.h"
#include "cli/verbs.h"

/*
 * The order matters: the passphrase slot with the new keys is at every site before anything can be sealed under them, or the loss of this machine
 * would lose what was. A crash anywhere leaves slots that open everything that is stored.
 */
static enum tk_rc
rotate(struct tk_home *home, const struct tk_secret *secret, const struct tk_home_slot *old, size_t old_count, struct tk_err *err)
{
	struct tk_home_slot fresh = {0};
	enum tk_rc rc;

	if ((rc = tk_keyring_rotate(&home->ring, err)) || (rc = tk_slots_write(home, secret, old[0].info.label, &fresh, err)))
		return rc;
	if (tk_slots_push(home) > 0) {
		if (!(rc = tk_slots_remove(home, &fresh, err)))
			rc = tk_err_set(err, TK_EUNREACH, "not every site has the new slot: the keys stay as they were");
		return rc;
	}
	for (size_t i = 0; i < old_count && !rc; i++)
		rc = tk_slots_remove(home, &old[i], err);
	if (rc || (rc = tk_slots_write_machine(home, err)))
		return rc;
	(void)tk_slots_push(home);
	return TK_OK;
}

static enum tk_rc
rotate_all(const struct tk_cli *cli, struct tk_home *home, struct tk_err *err)
{
	TK_AUTO(tk_secret_release) struct tk_secret secret = {0};
	struct tk_home_slot *slots = NULL;
	size_t count = 0;
	enum tk_rc rc;

	if (!(rc = tk_home_open(cli, home, err)) && !(rc = tk_slots_unlock_all(home, &secret, &slots, &count, err)))
		rc = rotate(home, &secret, slots, count, err);
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
