/* vault_fixture.h -- a vault in a scratch directory, a source with keys, and packs and points of its making. */
#ifndef TK_TESTS_VAULT_FIXTURE_H
#define TK_TESTS_VAULT_FIXTURE_H

#include "tests/unit/scratch.h"

#include "engine/vault/marks.h"
#include "engine/vault/vault.h"

struct vault_box {
	struct scratch *scratch;
	char path[96];
	struct tk_vault *vault;
	struct tk_keyring ring;
	struct tk_id domain;
	struct tk_id incarnation;          /* the writer's */
	struct tk_buf genesis;
	struct tk_buf grant;               /* of epoch 1 */
	struct tk_digest grant_digest;
	struct tk_packtab *packs;
};

/* A setup and a teardown of cmocka: *state is the struct vault_box; the vault is open, the domain's genesis stored. */
int box_setup(void **state);
/* On a file system in memory: for tests that make many things durable. */
int box_setup_fast(void **state);
int box_teardown(void **state);
void box_open(struct vault_box *box);
void box_close(struct vault_box *box);
/* Runs a shell command with $1 = the vault's path; it must succeed. `flip OFFSET FILE` turns a bit. */
void box_shell(const struct vault_box *box, const char *command);
/* How many files the shell pattern (below the vault) matches. */
size_t box_count(const struct vault_box *box, const char *pattern);

struct made_pack {
	struct tk_pack_ident ident;
	uint32_t number;                   /* in box->packs */
	struct tk_buf bytes;
};

struct made_blob {
	enum tk_blob_type type;
	struct tk_blob_ref refs[4];        /* pack OWN_PACK: the pack itself */
	size_t ref_count;
};
#define OWN_PACK (UINT32_MAX - 1)

void make_pack(struct vault_box *box, const struct made_blob *blobs, size_t count, struct made_pack *out);
/* As make_pack, under a head that another pack may have been made under. */
void make_pack_under(struct vault_box *box, const struct tk_pack_head *head, const struct made_blob *blobs, size_t count, struct made_pack *out);
/* Blob 0: data, blob 1: a leaf over it. */
void make_small_pack(struct vault_box *box, struct made_pack *out);
void made_pack_release(struct made_pack *pack);
/* begin, write, commit, without a flush. */
enum tk_rc send_pack(struct vault_box *box, const struct made_pack *pack, struct tk_err *err);
/* Send and flush must succeed. */
void store_pack(struct vault_box *box, const struct made_pack *pack);

/* A point of epoch 1 with this root; `packs` are those it adds. Fills *at. */
void make_point(struct vault_box *box, uint64_t sequence, const struct made_pack *root, uint32_t root_blob, const struct made_pack *const *packs,
		size_t pack_count, struct tk_buf *record, struct tk_head *at);
/* Any point: fields that are zero in *point are filled in. */
void make_any_point(struct vault_box *box, struct tk_point *point, const uint8_t *writer_seed, struct tk_buf *record);
enum tk_rc publish(struct vault_box *box, const struct tk_buf *record, struct tk_buf *receipt, struct tk_pack_names *missing);
/* Makes and stores a small pack and publishes a point over it: must succeed. *receipt may be NULL. */
void publish_small(struct vault_box *box, uint64_t sequence, struct tk_head *at, struct tk_receipt *receipt);
/* As publish_small; the receipt's record goes to *receipt (cleared first). */
void publish_small_record(struct vault_box *box, uint64_t sequence, struct tk_buf *receipt);
/* The id of a made-up site: 0 or 1. */
struct tk_id other_site_id(uint8_t number);
/* As show_marks, of no promise, and these sites were asked. */
void show_asked(struct vault_box *box, const struct tk_id *asked, size_t count);
/* Shows the vault one promise, or several, and gives its state. */
void show_marks(struct vault_box *box, const struct tk_buf *const *records, size_t count, struct tk_store_state *now);
/* A grant for an epoch, signed by the operator unless `signer_seed`; fills *grant's digest. */
void make_grant(struct vault_box *box, uint64_t epoch, const uint8_t *signer_seed, struct tk_grant *grant, struct tk_buf *record);
/* Appends the opening of the grant's epoch: two made-up sites voted for it, the vault itself is the third. */
void make_opening(const struct vault_box *box, const struct tk_grant *grant, const struct tk_buf *grant_record, struct tk_buf *out);

#endif
