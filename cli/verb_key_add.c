/* twinkeep key add */
#include <string.h>

#include "cli/slots.h"
#include "cli/verbs.h"
#include "engine/crypto/passphrase.h"

static enum tk_rc
ask_new(const struct tk_cli *cli, struct tk_secret *secret, struct tk_err *err)
{
	/* The configuration's passphrase_command gives the old one. */
	const struct tk_secret_source source = {.file = tk_cli_value(cli, TK_OPT_NEW_PASSPHRASE_FILE), .prompt = "New passphrase", .is_new = true,
						.option = "--new-passphrase-file"};
	enum tk_rc rc = tk_secret_get(&source, secret, err);

	if (rc)
		return rc;
	rc = tk_passphrase_check(secret->text, secret->len_bytes, err);
	if (rc && err)
		err->rc = rc = TK_EUSAGE;
	return rc;
}

static enum tk_rc
add_slot(const struct tk_cli *cli, struct tk_home *home, struct tk_id *slot_id, struct tk_err *err)
{
	TK_AUTO(tk_secret_release) struct tk_secret old = {0}, new = {0};
	const char *label = tk_cli_operand(cli, 0);
	enum tk_rc rc;

	if (label && strlen(label) >= sizeof(((struct tk_slot_info *)NULL)->label))
		return tk_err_set(err, TK_EUSAGE, "the label is longer than 63 bytes");
	if ((rc = tk_home_open(cli, home, err)) || (rc = tk_slots_unlock(home, &old, err)) || (rc = ask_new(cli, &new, err)))
		return rc;
	return tk_home_write_passphrase_slot(&home->ring, home->keys_fd, &new, label ? label : "added", slot_id, err);
}

int
tk_verb_key_add(const struct tk_cli *cli)
{
	struct tk_home home = {.keys_fd = -1};
	struct tk_id slot_id;
	struct tk_err err;
	size_t failed;
	int status = 0;

	if (tk_cli_value(cli, TK_OPT_DATASET))
		return tk_key_add_dataset(cli);
	tk_err_clear(&err);
	if (add_slot(cli, &home, &slot_id, &err)) {
		status = tk_out_fail(cli->out, &err);
	} else {
		failed = tk_slots_push(&home);
		tk_out_set(cli->out, "slot", tk_slots_json_id(&slot_id));
		tk_out_set(cli->out, "sites_without", json_integer((json_int_t)failed));
		tk_out_text(cli->out, "The new passphrase opens this home%s.\n",
			    failed ? "; sites that do not have its slot yet get it with their next backup" : " and what every site keeps of it");
	}
	tk_home_release(&home);
	return status;
}
