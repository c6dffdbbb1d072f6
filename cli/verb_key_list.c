/* twinkeep key list */
#include <stdlib.h>
#include <string.h>

#include "cli/slots.h"
#include "cli/verbs.h"
#include "engine/base/hex.h"

static const char *
kind_of(const struct tk_home_slot *slot)
{
	return slot->info.kind == TK_SLOT_MACHINE ? "machine" : "passphrase";
}

int
tk_verb_key_list(const struct tk_cli *cli)
{
	struct tk_home home = {.keys_fd = -1};
	struct tk_home_slot *slots = NULL;
	json_t *list = json_array();
	struct tk_table table;
	struct tk_err err;
	size_t count = 0;
	int status = 0;

	tk_err_clear(&err);
	tk_table_init(&table, "SLOT|KIND|LABEL");
	if (tk_home_open(cli, &home, &err) || tk_slots_list(&home, &slots, &count, &err))
		status = tk_out_fail(cli->out, &err);
	for (size_t i = 0; i < count; i++) {
		char hex[2 * TK_ID_BYTES + 1], label[sizeof(slots[i].info.label) * 4];

		tk_hex_encode(slots[i].info.slot_id.b, TK_ID_BYTES, hex);
		tk_table_cell(&table, "%s", hex);
		tk_table_cell(&table, "%s", kind_of(&slots[i]));
		tk_table_cell(&table, "%s", tk_format_name(slots[i].info.label, label, sizeof(label)));
		(void)json_array_append_new(list, json_pack("{s:o, s:s, s:o}", "slot", tk_slots_json_id(&slots[i].info.slot_id), "kind",
							    kind_of(&slots[i]), "label", tk_json_text(slots[i].info.label)));
	}
	tk_table_finish(&table, cli->out);
	tk_out_set(cli->out, "slots", list);
	free(slots);
	tk_home_release(&home);
	return status;
}
