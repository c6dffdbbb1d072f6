/* recover.h -- an empty machine gets the slots and the sealed configuration of its source back with the passphrase alone
 * (docs/PROTOCOL.md), from a twinkeepd or from a vault directory. */
#ifndef TK_TRANSPORT_RECOVER_H
#define TK_TRANSPORT_RECOVER_H

#include "engine/base/buf.h"
#include "engine/crypto/tls.h"
#include "engine/vault/keyring.h"
#include "transport/address.h"

#define TK_RECOVER_SLOTS_MAX 64u

enum tk_recover_kind { TK_RECOVER_SLOT = 1, TK_RECOVER_CONFIG = 2 };

/* What a site gave back. Nothing in it is believed yet: slot and configuration are authenticated when they are opened. */
struct tk_recovered {
	struct tk_id source;
	struct tk_buf slot;                     /* the slot that the passphrase opens */
	struct tk_buf slots[TK_RECOVER_SLOTS_MAX]; /* all slots of the source */
	size_t slot_count;
	struct tk_buf config;                   /* sealed */
};
void tk_recovered_init(struct tk_recovered *recovered);
void tk_recovered_release(struct tk_recovered *recovered);

/*
 * Asks the daemon at `address`, which cannot be authenticated yet: no secret is sent. Each of its passphrase slots costs a scrypt until one fits. source may be NULL: any
 * source whose slot the passphrase opens. On TK_OK the caller releases *out. Errors: TK_EKEY: no slot there fits the passphrase; TK_ENOENT: the site has no passphrase slot or no configuration;
 * TK_EDENIED (also: too many attempts), TK_EUNREACH, TK_ETIMEOUT, TK_EPROTO.
 */
TK_MUST_CHECK enum tk_rc tk_client_recover(const struct tk_address *address, const void *passphrase, size_t passphrase_bytes,
					   const struct tk_id *source, struct tk_recovered *out, struct tk_err *err);
/* The same from the files of a vault, which need not be served. Errors: also those of tk_vault_open. */
TK_MUST_CHECK enum tk_rc tk_vault_dir_recover(const char *vault_path, const void *passphrase, size_t passphrase_bytes,
					      const struct tk_id *source, struct tk_recovered *out, struct tk_err *err);

/* What a recovery key signs: prefix, the channel's own value, source id, slot id. */
TK_MUST_CHECK enum tk_rc tk_recover_text(struct tk_tls_conn *tls, const struct tk_id *source, const struct tk_id *slot_id, struct tk_buf *text,
					 struct tk_err *err);

#endif
