/* records.h -- the signed records: point, genesis, grant, vote, receipt (docs/FORMAT.md, sections 5 and 6).
 *
 * "Sign bytes as sent, keep bytes as signed": encoders give the signed bytes, decoders borrow from them. Decoding checks structure and the signature under the key inside; the caller
 * decides whether that key has the right. Pure functions, any thread. Errors of all: sealing TK_EINVAL (a value the format does not allow, or a record over
 * TK_RECORD_MAX; *out is then as it was), decoding TK_ECORRUPT and TK_EUNSUPPORTED; both TK_ENOMEM, TK_EIO. */
#ifndef TK_VAULT_RECORDS_H
#define TK_VAULT_RECORDS_H

#include "engine/base/buf.h"
#include "engine/vault/ids.h"
#include "engine/vault/keyring.h"
#include "engine/vault/pack.h"

struct tk_point {
	enum tk_suite suite;
	struct tk_id domain, dataset, incarnation;
	struct tk_head at;                     /* at.point is filled by decode and seal: the id */
	struct tk_digest grant;
	struct tk_digest parent;               /* zeros: none */
	uint32_t key_epoch;                    /* 0 when sealing: the newest, and filled in */
	struct tk_pack_name root_pack;
	uint32_t root_blob;
	struct tk_pack_ident *packs;           /* packs this point adds; owned after decode */
	size_t pack_count;
	struct tk_buf opening;                 /* raw epoch opening (opening.h), or empty */
	uint8_t writer_key[TK_KEY_BYTES];      /* filled by seal and decode */
};
void tk_point_release(struct tk_point *point);

struct tk_point_body {
	char *dataset_name, *source_name;
	int64_t scan_start_ns, scan_end_ns;
	struct tk_digest tree;                 /* tree digest */
	uint32_t segment_bytes;
	uint64_t entries, files, total_bytes;
	uint64_t files_new, files_changed, files_removed, files_unreadable, files_inconsistent;
	uint64_t literal_bytes, stored_bytes;
	char **roots;
	size_t root_count;
};
void tk_point_body_release(struct tk_point_body *body);

/* Seals the body, signs with the writer's seed, appends the record to *out, fills point->at.point, key_epoch and writer_key. Also TK_EKEY: `keys` are another
 * domain's, or lack the key epoch. */
TK_MUST_CHECK enum tk_rc tk_point_seal(struct tk_point *point, const struct tk_point_body *body, const struct tk_domain_keys *keys,
				       const uint8_t writer_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err);
/* Decodes and checks the signature under the key inside (a keyless site does the same). On TK_OK the caller releases *out. */
TK_MUST_CHECK enum tk_rc tk_point_decode(const void *record, size_t len_bytes, struct tk_point *out, struct tk_err *err);
/* Opens the sealed body of a record; does not look at the signature. TK_EKEY: sealed under another key. On TK_OK the caller releases *out. */
TK_MUST_CHECK enum tk_rc tk_point_open_body(const void *record, size_t len_bytes, const struct tk_domain_keys *keys, struct tk_point_body *out,
					    struct tk_err *err);

struct tk_genesis {
	enum tk_suite suite;
	struct tk_id domain, source, incarnation;
	char source_name[256];
	uint8_t operator_key[TK_KEY_BYTES];    /* filled by decode; seal takes it from the seed */
	uint8_t writer_key[TK_KEY_BYTES];
	int64_t created_ns;
};
struct tk_grant {
	enum tk_suite suite;
	struct tk_id domain, incarnation;
	uint64_t epoch;
	uint8_t writer_key[TK_KEY_BYTES];
	struct tk_digest parent;
	int64_t created_ns;
	uint8_t signer_key[TK_KEY_BYTES];      /* filled by decode */
	struct tk_digest digest;               /* filled by seal and decode */
};
struct tk_vote {
	enum tk_suite suite;
	struct tk_id domain, site, vault_incarnation;
	uint64_t epoch;
	struct tk_digest grant;
	uint64_t counter;                      /* votes and receipts of an incarnation have numbers of one row */
	struct tk_head head;                   /* epoch 0: none */
	int64_t time_ns;
	uint8_t site_key[TK_KEY_BYTES];        /* filled by decode */
};
struct tk_receipt {
	enum tk_suite suite;
	struct tk_id domain, site, vault_incarnation;
	struct tk_head at;
	char site_name[256];
	uint64_t counter;
	uint64_t promised_epoch;
	int64_t time_ns;
	uint8_t site_key[TK_KEY_BYTES];        /* filled by decode */
};
/* Each: seal signs with a 32-byte seed and appends the record to *out; decode checks structure and signature. */
TK_MUST_CHECK enum tk_rc tk_genesis_seal(const struct tk_genesis *rec, const uint8_t operator_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_genesis_decode(const void *record, size_t len_bytes, struct tk_genesis *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_grant_seal(struct tk_grant *rec, const uint8_t signer_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_grant_decode(const void *record, size_t len_bytes, struct tk_grant *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vote_seal(const struct tk_vote *rec, const uint8_t site_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_vote_decode(const void *record, size_t len_bytes, struct tk_vote *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_receipt_seal(const struct tk_receipt *rec, const uint8_t site_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err);
TK_MUST_CHECK enum tk_rc tk_receipt_decode(const void *record, size_t len_bytes, struct tk_receipt *out, struct tk_err *err);

/* <0, 0, >0 by (epoch, sequence). */
int tk_head_compare(const struct tk_head *a, const struct tk_head *b);
/* "00000001-0000000000000007-<32 hex digits>": the record's file name at a vault, into dst[TK_POINT_FILE_NAME_MAX]. */
#define TK_POINT_FILE_NAME_MAX 80
void tk_point_file_name(const struct tk_head *at, char dst[TK_POINT_FILE_NAME_MAX]);

#endif
