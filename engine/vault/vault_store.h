/* vault_store.h -- a session (store.h) with a vault in this process: the `dir:` site, and the backbone of the daemon's. */
#ifndef TK_VAULT_VAULT_STORE_H
#define TK_VAULT_VAULT_STORE_H

#include "engine/vault/vault.h"

/* A session over an open vault, which is borrowed and may serve any number of sessions. put_pack stores before it returns; flush makes durable. */
TK_MUST_CHECK enum tk_rc tk_vault_store_new(struct tk_vault *vault, struct tk_store **out, struct tk_err *err);
/* Opens the vault at `path` for this one session, which closes it. */
TK_MUST_CHECK enum tk_rc tk_vault_store_open(const char *path, enum tk_vault_mode mode, const struct tk_log *log, struct tk_store **out,
					     struct tk_err *err);

#endif
