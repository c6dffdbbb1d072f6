#include <inttypes.h>
#include <string.h>

#include "engine/crypto/hash.h"
#include "engine/crypto/sign.h"
#include "engine/vault/recordio.h"

static const char genesis_magic[] = "TWKGENES", genesis_text[] = "twinkeep genesis";
static const char grant_magic[] = "TWKGRANT", grant_text[] = "twinkeep grant";
static const char vote_magic[] = "TWKVOTE1", vote_text[] = "twinkeep vote";
static const char receipt_magic[] = "TWKRCPT1", receipt_text[] = "twinkeep receipt";

static const struct tk_digest no_digest;

static bool
is_none(const struct tk_digest *digest)
{
	return memcmp(digest, &no_digest, sizeof(no_digest)) == 0;
}

enum tk_rc
tk_genesis_seal(const struct tk_genesis *rec, const uint8_t operator_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err)
{
	uint8_t operator_key[TK_SIGN_PUBLIC_MAX];
	struct tk_writer w;

	tk_writer_begin(&w, out, genesis_magic, rec->suite, err);
	if (w.rc == TK_OK)
		w.rc = tk_sign_public(rec->suite, operator_seed, operator_key, err);
	tk_writer_id(&w, &rec->domain);
	tk_writer_id(&w, &rec->source);
	tk_writer_bytes(&w, rec->source_name, strnlen(rec->source_name, sizeof(rec->source_name) - 1));
	tk_writer_bytes(&w, operator_key, TK_KEY_BYTES);
	tk_writer_bytes(&w, rec->writer_key, sizeof(rec->writer_key));
	tk_writer_id(&w, &rec->incarnation);
	tk_writer_sv(&w, rec->created_ns);
	tk_writer_sign(&w, genesis_text, rec->suite, operator_seed, NULL);
	return tk_writer_end(&w);
}

enum tk_rc
tk_genesis_decode(const void *record, size_t len_bytes, struct tk_genesis *out, struct tk_err *err)
{
	uint8_t signer[TK_KEY_BYTES];
	struct tk_cursor cur;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	rc = tk_record_open(&cur, record, len_bytes, genesis_magic, "genesis record", &out->suite, err);
	if (rc)
		return rc;
	tk_record_id(&cur, &out->domain);
	tk_record_id(&cur, &out->source);
	tk_envelope_text(&cur, out->source_name, sizeof(out->source_name));
	tk_record_key(&cur, out->operator_key);
	tk_record_key(&cur, out->writer_key);
	tk_record_id(&cur, &out->incarnation);
	out->created_ns = tk_cursor_sv(&cur);
	rc = tk_record_verify(&cur, genesis_text, "genesis record", out->suite, signer, err);
	if (rc)
		return rc;
	if (memcmp(signer, out->operator_key, sizeof(signer)) != 0)
		return tk_err_set(err, TK_ECORRUPT, "genesis record: not signed by its operator key");
	return TK_OK;
}

enum tk_rc
tk_grant_seal(struct tk_grant *rec, const uint8_t signer_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err)
{
	struct tk_writer w;
	enum tk_rc rc;

	if (rec->epoch == 0 || (rec->epoch == 1 && !is_none(&rec->parent)))
		return tk_err_set(err, TK_EINVAL, "a grant of epoch %" PRIu64 " with this parent", rec->epoch);
	tk_writer_begin(&w, out, grant_magic, rec->suite, err);
	tk_writer_id(&w, &rec->domain);
	tk_writer_u64(&w, rec->epoch);
	tk_writer_bytes(&w, rec->writer_key, sizeof(rec->writer_key));
	tk_writer_id(&w, &rec->incarnation);
	tk_writer_digest(&w, &rec->parent);
	tk_writer_sv(&w, rec->created_ns);
	tk_writer_sign(&w, grant_text, rec->suite, signer_seed, rec->signer_key);
	rc = tk_writer_end(&w);
	if (rc)
		return rc;
	return tk_hash(rec->suite, out->data + w.start_bytes, out->len_bytes - w.start_bytes, rec->digest.b, err);
}

enum tk_rc
tk_grant_decode(const void *record, size_t len_bytes, struct tk_grant *out, struct tk_err *err)
{
	struct tk_cursor cur;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	rc = tk_record_open(&cur, record, len_bytes, grant_magic, "grant", &out->suite, err);
	if (rc)
		return rc;
	tk_record_id(&cur, &out->domain);
	out->epoch = tk_cursor_u64(&cur);
	tk_record_key(&cur, out->writer_key);
	tk_record_id(&cur, &out->incarnation);
	tk_record_digest(&cur, &out->parent);
	out->created_ns = tk_cursor_sv(&cur);
	if (out->epoch == 0 || (out->epoch == 1 && !is_none(&out->parent)))
		tk_cursor_fail(&cur, "an epoch that does not fit its parent");
	rc = tk_record_verify(&cur, grant_text, "grant", out->suite, out->signer_key, err);
	if (rc)
		return rc;
	return tk_hash(out->suite, record, len_bytes, out->digest.b, err);
}

/* No head is written as zeros throughout. */
static bool
head_fits(const struct tk_head *head)
{
	if (head->epoch == 0)
		return head->sequence == 0 && is_none(&head->point);
	return head->sequence != 0;
}

enum tk_rc
tk_vote_seal(const struct tk_vote *rec, const uint8_t site_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err)
{
	struct tk_writer w;

	if (rec->epoch == 0 || !head_fits(&rec->head))
		return tk_err_set(err, TK_EINVAL, "a vote for epoch %" PRIu64 " with this head", rec->epoch);
	tk_writer_begin(&w, out, vote_magic, rec->suite, err);
	tk_writer_id(&w, &rec->domain);
	tk_writer_u64(&w, rec->epoch);
	tk_writer_digest(&w, &rec->grant);
	tk_writer_id(&w, &rec->site);
	tk_writer_id(&w, &rec->vault_incarnation);
	tk_writer_u64(&w, rec->counter);
	tk_writer_head(&w, &rec->head);
	tk_writer_sv(&w, rec->time_ns);
	tk_writer_sign(&w, vote_text, rec->suite, site_seed, NULL);
	return tk_writer_end(&w);
}

enum tk_rc
tk_vote_decode(const void *record, size_t len_bytes, struct tk_vote *out, struct tk_err *err)
{
	struct tk_cursor cur;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	rc = tk_record_open(&cur, record, len_bytes, vote_magic, "vote", &out->suite, err);
	if (rc)
		return rc;
	tk_record_id(&cur, &out->domain);
	out->epoch = tk_cursor_u64(&cur);
	tk_record_digest(&cur, &out->grant);
	tk_record_id(&cur, &out->site);
	tk_record_id(&cur, &out->vault_incarnation);
	out->counter = tk_cursor_u64(&cur);
	out->head.epoch = tk_cursor_u64(&cur);
	out->head.sequence = tk_cursor_u64(&cur);
	tk_record_digest(&cur, &out->head.point);
	out->time_ns = tk_cursor_sv(&cur);
	if (out->epoch == 0 || !head_fits(&out->head))
		tk_cursor_fail(&cur, "an epoch or a head that cannot be");
	return tk_record_verify(&cur, vote_text, "vote", out->suite, out->site_key, err);
}

enum tk_rc
tk_receipt_seal(const struct tk_receipt *rec, const uint8_t site_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err)
{
	struct tk_writer w;

	if (rec->at.epoch == 0 || rec->at.sequence == 0)
		return tk_err_set(err, TK_EINVAL, "a receipt for no point");
	tk_writer_begin(&w, out, receipt_magic, rec->suite, err);
	tk_writer_id(&w, &rec->domain);
	tk_writer_head(&w, &rec->at);
	tk_writer_id(&w, &rec->site);
	tk_writer_bytes(&w, rec->site_name, strnlen(rec->site_name, sizeof(rec->site_name) - 1));
	tk_writer_id(&w, &rec->vault_incarnation);
	tk_writer_u64(&w, rec->counter);
	tk_writer_u64(&w, rec->promised_epoch);
	tk_writer_sv(&w, rec->time_ns);
	tk_writer_sign(&w, receipt_text, rec->suite, site_seed, NULL);
	return tk_writer_end(&w);
}

enum tk_rc
tk_receipt_decode(const void *record, size_t len_bytes, struct tk_receipt *out, struct tk_err *err)
{
	struct tk_cursor cur;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	rc = tk_record_open(&cur, record, len_bytes, receipt_magic, "receipt", &out->suite, err);
	if (rc)
		return rc;
	tk_record_id(&cur, &out->domain);
	tk_record_head(&cur, &out->at);
	tk_record_id(&cur, &out->site);
	tk_envelope_text(&cur, out->site_name, sizeof(out->site_name));
	tk_record_id(&cur, &out->vault_incarnation);
	out->counter = tk_cursor_u64(&cur);
	out->promised_epoch = tk_cursor_u64(&cur);
	out->time_ns = tk_cursor_sv(&cur);
	return tk_record_verify(&cur, receipt_text, "receipt", out->suite, out->site_key, err);
}

int
tk_head_compare(const struct tk_head *a, const struct tk_head *b)
{
	if (a->epoch != b->epoch)
		return a->epoch < b->epoch ? -1 : 1;
	return a->sequence < b->sequence ? -1 : a->sequence > b->sequence;
}
