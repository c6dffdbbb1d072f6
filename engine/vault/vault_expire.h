/* vault_expire.h -- points whose content expires, and what of it was left undone.
 *
 * Private to engine/vault; the interface is in vault.h. The domain is held. */
#ifndef TK_VAULT_VAULT_EXPIRE_H
#define TK_VAULT_VAULT_EXPIRE_H

#include "engine/vault/vault_expired.h"

/* When the domain is loaded and every receipt has a row: does what the list says and no transaction did yet. What cannot be done for damage is logged, and tried again
 * when it is loaded next. */
TK_MUST_CHECK enum tk_rc tk_vexpire_settle(struct tk_vault *vault, struct tk_vdomain *domain, const struct tk_vexpired *list, struct tk_err *err);
/* A whole point that is lost: its row goes, and what it counted. Not for want of it: what cannot be read stays counted. */
TK_MUST_CHECK enum tk_rc tk_vexpire_forget(struct tk_vault *vault, const struct tk_point_row *row, struct tk_err *err);

#endif
