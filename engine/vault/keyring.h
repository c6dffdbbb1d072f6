/* keyring.h -- the keys of a source and the slots that wrap them (docs/FORMAT.md, section 7).
 *
 * A keyring lives in memory only; it is wiped on release. One owner; read by any thread. */
#ifndef TK_VAULT_KEYRING_H
#define TK_VAULT_KEYRING_H

#include "engine/base/buf.h"
#include "engine/crypto/suite.h"
#include "engine/vault/ids.h"

struct tk_data_key {
	uint32_t key_epoch;
	uint8_t key[TK_KEY_BYTES];
};

struct tk_domain_keys {
	struct tk_id domain;
	uint8_t dedup_key[TK_KEY_BYTES];
	uint8_t chunk_key[TK_KEY_BYTES];       /* seeds the gear table */
	struct tk_data_key *data_keys;         /* ascending key epochs; the last one seals */
	size_t data_key_count;
};

struct tk_keyring {
	struct tk_id source;
	enum tk_suite suite;
	uint8_t writer_seed[TK_KEY_BYTES];
	bool has_operator_seed;                /* false when unlocked by a machine slot */
	uint8_t operator_seed[TK_KEY_BYTES];
	uint8_t home_key[TK_KEY_BYTES];        /* seals the configuration that sites keep */
	struct tk_domain_keys *domains;
	size_t domain_count;
};

/* A fresh keyring for a new source: random ids and keys, no domain yet. */
TK_MUST_CHECK enum tk_rc tk_keyring_generate(enum tk_suite suite, struct tk_keyring *out, struct tk_err *err);
void tk_keyring_release(struct tk_keyring *ring);
/* Adds a domain with fresh keys and key epoch 1; *domain receives its new id. Pointers into the ring's domains end here. */
TK_MUST_CHECK enum tk_rc tk_keyring_add_domain(struct tk_keyring *ring, struct tk_id *domain, struct tk_err *err);
/* Begins a new key epoch in every domain: what is sealed from now on is sealed under a fresh data key; the older keys stay, for reading. All or nothing. Pointers
 * into the domains' keys end here. Errors: TK_ENOMEM, TK_EIO, TK_EINVAL (the numbers of key epochs are used up). */
TK_MUST_CHECK enum tk_rc tk_keyring_rotate(struct tk_keyring *ring, struct tk_err *err);
/* How much it knows: of two keyrings of a source the heavier one has all keys of the other, since keys are only ever added. */
size_t tk_keyring_weight(const struct tk_keyring *ring);
/* NULL when the ring has no such domain. */
const struct tk_domain_keys *tk_keyring_domain(const struct tk_keyring *ring, const struct tk_id *domain);
/* NULL when the domain has no key of that epoch; key_epoch 0 asks for the newest. */
const struct tk_data_key *tk_domain_data_key(const struct tk_domain_keys *keys, uint32_t key_epoch);

enum tk_slot_kind { TK_SLOT_MACHINE = 1, TK_SLOT_PASSPHRASE = 2 };

/* The public part of a slot. */
struct tk_slot_info {
	enum tk_slot_kind kind;
	struct tk_id slot_id;
	struct tk_id source;
	enum tk_suite suite;
	char label[64];
};

/*
 * Wraps the ring under a secret and appends the slot to *slot: 32 random bytes of a key file (machine: the operator seed is left out), or a
 * passphrase (scrypt: about half a second and 128 MiB). recovery_public[32] receives the recovery public key of a passphrase slot (may be NULL).
 * Errors: TK_EINVAL (label too long; a passphrase slot of a ring without the operator seed), TK_EKEY (a secret of the wrong length), TK_ENOMEM, TK_EIO.
 */
TK_MUST_CHECK enum tk_rc tk_slot_seal(const struct tk_keyring *ring, enum tk_slot_kind kind, const void *secret, size_t secret_bytes,
				      const char *label, struct tk_buf *slot, uint8_t *recovery_public, struct tk_err *err);
/* Opens a slot. TK_EKEY: wrong passphrase or key file. TK_ECORRUPT: the slot's bytes are damaged, or its scrypt parameters out of bounds;
 * TK_EUNSUPPORTED. On TK_OK the caller releases *ring; on an error there is nothing in it. */
TK_MUST_CHECK enum tk_rc tk_slot_open(const void *slot, size_t slot_bytes, const void *secret, size_t secret_bytes,
				      struct tk_keyring *ring, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_slot_read_info(const void *slot, size_t slot_bytes, struct tk_slot_info *info, struct tk_err *err);
/* The slot's bytes up to and with `commitment`: what a site shows to anyone who asks for a source's slots. */
#define TK_SLOT_HEAD_BYTES 125
/* The recovery signing seed that a passphrase gives with a slot's own salt and parameters (which come from a site: bounded). head_bytes must be
 * TK_SLOT_HEAD_BYTES. Errors: TK_EKEY when the commitment does not match or the slot is a machine's; as tk_slot_open. The caller wipes seed. */
TK_MUST_CHECK enum tk_rc tk_slot_recovery_seed(const void *slot_head, size_t head_bytes, const void *secret, size_t secret_bytes,
					       uint8_t seed[TK_KEY_BYTES], struct tk_err *err);

/* Seals and opens the configuration that sites keep for `recover`: files of the home, at most TK_RECORD_MAX in all. Names are relative and safe
 * (no empty, "." or ".." component), checked both ways. Errors: TK_EINVAL (name, mode, size), TK_EKEY, TK_ECORRUPT, TK_EUNSUPPORTED. */
struct tk_config_file {
	char *name;                            /* relative to the home, e.g. "twinkeep.conf" */
	uint32_t mode;                         /* 07777 */
	struct tk_buf content;
};
TK_MUST_CHECK enum tk_rc tk_config_seal(const struct tk_keyring *ring, const struct tk_config_file *files, size_t count,
					struct tk_buf *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_config_open(const struct tk_keyring *ring, const void *record, size_t len_bytes,
					struct tk_config_file **files, size_t *count, struct tk_err *err);
/* Wipes the contents, too. files may be NULL. */
void tk_config_files_free(struct tk_config_file *files, size_t count);

#endif
