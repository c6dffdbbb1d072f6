/* vault_expired.h -- the list of a domain's points whose content expired: the file `expired` (docs/FORMAT.md, section 8). It is only ever added to.
 *
 * Private to engine/vault. Whoever adds holds the domain. */
#ifndef TK_VAULT_VAULT_EXPIRED_H
#define TK_VAULT_VAULT_EXPIRED_H

#include "engine/vault/vault_core.h"

#define TK_VEXPIRED_ROW_BYTES 32u

struct tk_vexpired {
	struct tk_buf rows;                    /* ascending */
};
void tk_vexpired_release(struct tk_vexpired *list);

/* What the file says; nothing when there is none. In TK_VAULT_SERVE it is durable on TK_OK, since a killed process may have left what is seen, but not durable. */
TK_MUST_CHECK enum tk_rc tk_vexpired_load(struct tk_vault *vault, const struct tk_id *domain, struct tk_vexpired *out, struct tk_err *err);
bool tk_vexpired_has(const struct tk_vexpired *list, const struct tk_head *at);
/* Could a point that was never seen be on the list? The highest (epoch, sequence) of it; zeros: it is empty. */
struct tk_head tk_vexpired_last(const struct tk_vexpired *list);

/* Adds points; durable on TK_OK. After an error some may be on it. */
TK_MUST_CHECK enum tk_rc tk_vexpired_add(struct tk_vault *vault, const struct tk_id *domain, const struct tk_point_row *rows, size_t count,
					 struct tk_err *err);

#endif
