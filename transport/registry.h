/* registry.h -- who may speak to a site: one file a peer in its vault, `sources/<id hex>/peer` (docs/PROTOCOL.md).
 *
 * A tk_registry is a snapshot that never changes: any thread may read it; a daemon loads a new one when it is told to. The pin of a
 * certificate's key decides who a peer is, the entry decides what it may do. */
#ifndef TK_TRANSPORT_REGISTRY_H
#define TK_TRANSPORT_REGISTRY_H

#include "engine/base/buf.h"
#include "engine/base/log.h"
#include "engine/vault/ids.h"
#include "transport/message.h"

#define TK_PEER_PINS_MAX 4u
#define TK_PIN_BYTES 32
#define TK_PEER_NAME_MAX 65

enum tk_peer_state { TK_PEER_ACTIVE = 1, TK_PEER_REVOKED = 2 };

struct tk_peer {
	enum tk_role role;                      /* TK_ROLE_SOURCE or TK_ROLE_OPERATOR; the others are reserved */
	enum tk_peer_state state;
	struct tk_id id;                        /* a source's id; an operator has one of its own */
	struct tk_id owner;                     /* the source whose domains it may use; a source: its own id */
	char name[TK_PEER_NAME_MAX];
	uint8_t operator_key[TK_KEY_BYTES];     /* signs the genesis records of the owner's domains */
	uint8_t pins[TK_PEER_PINS_MAX][TK_PIN_BYTES];
	unsigned pin_count;                     /* at least 1 */
	int64_t created_ns;
};

/* Appends the peer's file. Errors: TK_EINVAL (pins, name), TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_peer_encode(const struct tk_peer *peer, struct tk_buf *out, struct tk_err *err);
/* Errors: TK_ECORRUPT, TK_EUNSUPPORTED. */
TK_MUST_CHECK enum tk_rc tk_peer_decode(const void *data, size_t len_bytes, struct tk_peer *out, struct tk_err *err);

/* Writes the peer's file into the vault at vault_path, over an older one. Durable on TK_OK; a daemon sees it when it reloads. Errors: TK_ECONFLICT:
 * an active entry of another id has one of the pins; TK_EINVAL, TK_EIO, TK_ENOSPC. */
TK_MUST_CHECK enum tk_rc tk_registry_put(const char *vault_path, const struct tk_peer *peer, struct tk_err *err);
/* Marks the peer of that name (or of that id as 32 hex digits) as revoked, durably. Errors: TK_ENOENT. */
TK_MUST_CHECK enum tk_rc tk_registry_revoke(const char *vault_path, const char *name, struct tk_err *err);

struct tk_registry;

/* Reads all entries. A damaged one is logged and left out: its peer has no rights then. On TK_OK the caller owns *out. */
TK_MUST_CHECK enum tk_rc tk_registry_load(const char *vault_path, const struct tk_log *log, struct tk_registry **out,
					  struct tk_err *err);
void tk_registry_free(struct tk_registry *registry);
void tk_registry_cleanup(struct tk_registry **registry);

/* The active peer with that pin; NULL: nobody, or revoked. Borrowed from the registry. */
const struct tk_peer *tk_registry_find(const struct tk_registry *registry, const uint8_t pin[TK_PIN_BYTES]);
/* All entries, revoked ones too; NULL after the last. */
const struct tk_peer *tk_registry_at(const struct tk_registry *registry, size_t index);

#endif
