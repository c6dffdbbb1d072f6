/* home.h -- a source's home, opened: configuration, keys, identity, and how its sites are reached.
 *
 * HOME/keys/: identity, machine.key, machine.slot, passphrase-<slot id>.slot, ca.pem, ca.key.sealed (under the operator's seed), tls.pem, tls.key,
 * <domain>.genesis, <domain>.grant, <domain>.dataset (the dataset's name). Made by init, key add --dataset, and recover. One owner; the sites' open may be called from any thread. */
#ifndef TK_CLI_HOME_H
#define TK_CLI_HOME_H

#include <pthread.h>

#include "cli/cli.h"
#include "cli/secret.h"
#include "engine/catalog/journal.h"
#include "engine/crypto/tls_ctx.h"
#include "engine/vault/keyring.h"
#include "engine/vault/store.h"
#include "engine/vault/vault.h"

struct tk_home;

struct tk_home_site {
	struct tk_home *home;
	const struct tk_config_site *conf;
	const struct tk_config_policy *policy; /* of the dataset that the sessions are for; NULL: no dataset's */
	enum tk_vault_mode mode;
	struct tk_vault *vault;               /* dir: sites, once opened */
};

struct tk_home {
	const struct tk_cli *cli;
	struct tk_config *cfg;
	int keys_fd;
	struct tk_keyring ring;
	bool unlocked;
	struct tk_tls_ctx *tls;               /* NULL until a tk:// site is opened */
	pthread_mutex_t lock;                 /* tls and the sites' vaults */
	struct tk_home_site *sites;           /* one for each of cfg->sites */
	struct tk_config_dataset *former;     /* taken out of the configuration: for reading what is stored, at all sites, without paths */
	size_t former_count;
};

/* How many threads a job starts: as configured, else as many as there are cores to use. */
unsigned tk_home_threads(const struct tk_home *home);

/* Reads the configuration and opens the keys' directory. Release whatever the result. Errors: TK_ECONFIG, TK_ENOENT. */
TK_MUST_CHECK enum tk_rc tk_home_open(const struct tk_cli *cli, struct tk_home *home, struct tk_err *err);
/* The same with a configuration that was read already, which the home takes over, also on an error. */
TK_MUST_CHECK enum tk_rc tk_home_open_config(const struct tk_cli *cli, struct tk_config *cfg, struct tk_home *home, struct tk_err *err);
void tk_home_release(struct tk_home *home);

/* Unlocks the keyring by the machine slot. Errors: TK_EKEY. */
TK_MUST_CHECK enum tk_rc tk_home_unlock_machine(struct tk_home *home, struct tk_err *err);
/* Unlocks it, with the operator's seed, by the passphrase, which is asked for as cli/secret.h says. Errors: TK_EKEY. */
TK_MUST_CHECK enum tk_rc tk_home_unlock_passphrase(struct tk_home *home, struct tk_err *err);
/* The same with a passphrase that is known already. */
TK_MUST_CHECK enum tk_rc tk_home_unlock_secret(struct tk_home *home, const struct tk_secret *secret, struct tk_err *err);

/* The two halves of it: asks, and opens a slot of the home with what was told; *ring is filled in. The second may go on in a thread of its own beside work that only reads
 * the home. Errors: as tk_secret_get; TK_EKEY. */
TK_MUST_CHECK enum tk_rc tk_home_ask_passphrase(struct tk_home *home, struct tk_secret *secret, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_home_try_passphrase(struct tk_home *home, const struct tk_secret *secret, struct tk_keyring *ring, struct tk_err *err);

/* The domain of a dataset. Once the home is unlocked its keys are there, too. Errors: TK_ECONFIG: they are not, and what makes them. */
TK_MUST_CHECK enum tk_rc tk_home_domain(const struct tk_home *home, const struct tk_config_dataset *dataset, struct tk_id *domain, struct tk_err *err);
/* Has it keys that this (unlocked) home can use? If not, that is told as a warning: for verbs that go over all datasets. */
bool tk_home_has_keys(struct tk_home *home, const struct tk_config_dataset *dataset);
/* For tk_home_open: fills in home->former. Errors: TK_EIO, TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_home_find_former(struct tk_home *home, struct tk_err *err);
void tk_home_free_former(struct tk_home *home);
/* Writes the genesis and first grant of a domain, signed by the operator, and the name of its dataset; records that are there stay. Durable. */
TK_MUST_CHECK enum tk_rc tk_home_write_domain(const struct tk_keyring *ring, int keys_fd, const char *source_name, const struct tk_id *domain,
					      const struct tk_id *incarnation, struct tk_err *err);
/* HOME/keys/<domain>.dataset: which dataset a domain's keys were made for, also when the configuration has it no more. Durable. */
TK_MUST_CHECK enum tk_rc tk_home_note_domain(int keys_fd, const struct tk_id *domain, const char *dataset, struct tk_err *err);
/* The domain that was noted under this name, that no dataset of the configuration has, and that the unlocked keyring has keys of. Errors: TK_ENOENT. */
TK_MUST_CHECK enum tk_rc tk_home_noted_domain(struct tk_home *home, const char *dataset, struct tk_id *domain, struct tk_err *err);

/* "DATASET[@POINT]" (NULL: the only dataset), one that was taken out of the configuration, too. *point is borrowed from text, or NULL. Errors: TK_EUSAGE. */
TK_MUST_CHECK enum tk_rc tk_home_dataset(struct tk_home *home, const char *text, const struct tk_config_dataset **dataset, const char **point,
					 struct tk_err *err);

/* The dataset's enabled sites, narrowed by --site. mode: how vaults in directories are opened. The caller frees *out. Errors: TK_EUSAGE. */
TK_MUST_CHECK enum tk_rc tk_home_sites(struct tk_home *home, const struct tk_config_dataset *dataset, enum tk_vault_mode mode, struct tk_site **out,
				       size_t *count, struct tk_err *err);

/* All sites of the dataset as its ack rule and its votes count them, whether --site narrowed the run or not; marked: those for which `is_marked` says so (NULL: none).
 * The caller frees *out; names are borrowed from the configuration. Errors: TK_ENOMEM. */
TK_MUST_CHECK enum tk_rc tk_home_ack_sites(const struct tk_home *home, const struct tk_config_dataset *dataset, bool (*is_marked)(void *ctx, const char *site),
					   void *ctx, struct tk_ack_site **out, size_t *count, struct tk_err *err);

/* The site at a place of cfg->sites, for a session; borrowed from the home. */
struct tk_site tk_home_site(struct tk_home *home, size_t index, enum tk_vault_mode mode);

/* The site of that name. Errors: TK_EUSAGE, naming the nearest. */
TK_MUST_CHECK enum tk_rc tk_home_find_site(const struct tk_home *home, const char *name, const struct tk_config_site **out, struct tk_err *err);

/* A file of HOME/keys. */
TK_MUST_CHECK enum tk_rc tk_home_read_key_file(struct tk_home *home, const char *name, struct tk_buf *out, struct tk_err *err);
/* HOME/keys/<domain hex>.<kind>. */
TK_MUST_CHECK enum tk_rc tk_home_read_record(struct tk_home *home, const struct tk_id *domain, const char *kind, struct tk_buf *out, struct tk_err *err);

/* Is this name in HOME/keys a passphrase slot's? */
bool tk_home_is_passphrase_slot(const char *name);

/* HOME/keys/removed-slots: ids in hex, a line each, of slots that sites must not keep. */
#define TK_REMOVED_SLOTS "removed-slots"
/* For tk_backup_opts.prepare_site (ctx: the home): gives the site the slots and the sealed configuration, and takes removed slots from it, unless it has these
 * very ones. */
enum tk_rc tk_home_prepare_site(void *ctx, const struct tk_site *site, struct tk_store *store, struct tk_err *err);
/* Asks ahead (store.h) for what the site should have of these, so that tk_home_prepare_site need not wait for it. */
void tk_home_prepare_site_ahead(void *ctx, const struct tk_site *site, struct tk_store *store);

/* The journal of the state directory, new where there is none; NULL when it cannot be opened for writing (err says why): what it would tell is then not known. */
struct tk_journal *tk_home_journal(const struct tk_home *home, struct tk_err *err);
/* Adds a run to the history, if there is a journal. A history that cannot be written fails nothing: it is only logged. */
void tk_home_note_run(const struct tk_home *home, const struct tk_id *domain, const struct tk_run_row *row);

/* Writes machine.key and machine.slot: a new machine key. Durable. */
TK_MUST_CHECK enum tk_rc tk_home_write_machine_slot(const struct tk_keyring *ring, int keys_fd, struct tk_err *err);
/* Writes passphrase-<slot id>.slot and .recovery. The ring must have the operator's seed. slot_id (may be NULL) receives the id. Durable. */
TK_MUST_CHECK enum tk_rc tk_home_write_passphrase_slot(const struct tk_keyring *ring, int keys_fd, const struct tk_secret *secret, const char *label,
						       struct tk_id *slot_id, struct tk_err *err);

/* Writes a passphrase slot that exists, with its recovery key, which the passphrase gives. Durable. Errors: TK_EKEY. */
TK_MUST_CHECK enum tk_rc tk_home_adopt_passphrase_slot(int keys_fd, const struct tk_buf *slot, const struct tk_secret *secret, struct tk_err *err);

/* The CA's private key, sealed under the operator's seed. */
TK_MUST_CHECK enum tk_rc tk_home_seal_ca_key(const struct tk_keyring *ring, struct tk_bytes key_pem, struct tk_buf *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_home_open_ca_key(const struct tk_keyring *ring, const struct tk_buf *sealed, struct tk_buf *key_pem, struct tk_err *err);

#endif
