/* slots.h -- the key slots of a home, for the verbs of `key`. */
#ifndef TK_CLI_SLOTS_H
#define TK_CLI_SLOTS_H

#include "cli/home.h"

struct tk_home_slot {
	char file[96];                        /* below HOME/keys */
	struct tk_slot_info info;
};

/* Machine slot first, then passphrase slots by their ids. The caller frees *out. */
TK_MUST_CHECK enum tk_rc tk_slots_list(struct tk_home *home, struct tk_home_slot **out, size_t *count, struct tk_err *err);
/* Asks for the passphrase and opens its slot; the caller releases *secret whatever the result. */
TK_MUST_CHECK enum tk_rc tk_slots_unlock(struct tk_home *home, struct tk_secret *secret, struct tk_err *err);
/*
 * Asks for the passphrase, opens every passphrase slot with it, and takes the keys of the slot that knows most: of a change of the keys that was cut short there
 * are two. For who writes the slots anew. *out: the passphrase slots; the caller frees them and releases *secret, whatever the result. Errors: TK_EKEY;
 * TK_EUSAGE: a slot has another passphrase, with which alone it can be written anew.
 */
TK_MUST_CHECK enum tk_rc tk_slots_unlock_all(struct tk_home *home, struct tk_secret *secret, struct tk_home_slot **out, size_t *count, struct tk_err *err);
/* A passphrase slot with the keys as they are now; *out is it. Durable. */
TK_MUST_CHECK enum tk_rc tk_slots_write(struct tk_home *home, const struct tk_secret *secret, const char *label, struct tk_home_slot *out, struct tk_err *err);
/* The machine's slot with the keys as they are now, under the machine's key that there is: replaced in one step. Durable. */
TK_MUST_CHECK enum tk_rc tk_slots_write_machine(struct tk_home *home, struct tk_err *err);
/* Removes a slot of the home, durably, and notes that sites must not keep it: tk_slots_push tells them. */
TK_MUST_CHECK enum tk_rc tk_slots_remove(struct tk_home *home, const struct tk_home_slot *slot, struct tk_err *err);
/* Was the slot that begins with `text` (hexadecimal digits) removed earlier? Then *id is it. */
bool tk_slots_was_removed(struct tk_home *home, const char *text, struct tk_id *id);
/* Gives every enabled site the slots as they are now. A site that fails is told as a warning and counted: it gets
 * new ones with its next backup; a daemon gives one up only while the passphrase is at hand, as in `key remove`. */
size_t tk_slots_push(struct tk_home *home);
json_t *tk_slots_json_id(const struct tk_id *id);

#endif
