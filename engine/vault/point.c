#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/vault/opening.h"
#include "engine/vault/packcore.h"
#include "engine/vault/recordio.h"

static const char point_magic[] = "TWKPOINT", point_text[] = "twinkeep point";

enum { IDENT_BYTES = 2 * TK_DIGEST_BYTES + 8 };

/* Where the sealed body is in a record. */
struct sealed_body {
	size_t field_at_bytes;         /* all before it is associated data */
	const uint8_t *bytes;          /* salt || commitment || cipher text || tag */
	size_t len_bytes;
};

void
tk_point_release(struct tk_point *point)
{
	free(point->packs);
	tk_buf_release(&point->opening);
	memset(point, 0, sizeof(*point));
}

static enum tk_rc
derive_body_keys(const struct tk_point *point, const uint8_t *data_key, const uint8_t *salt, struct tk_envelope *env, struct tk_err *err)
{
	uint8_t suite = (uint8_t)point->suite;
	const struct tk_bytes info[] = {{point->domain.b, sizeof(point->domain.b)}, {&suite, 1}};

	return tk_envelope_derive(point->suite, data_key, salt, "twinkeep point body", info, 2, false, env, err);
}

static enum tk_rc
find_key(const struct tk_domain_keys *keys, const struct tk_point *point, const struct tk_data_key **key, struct tk_err *err)
{
	if (memcmp(&keys->domain, &point->domain, sizeof(point->domain)) != 0)
		return tk_err_set(err, TK_EKEY, "the point belongs to another domain");
	*key = tk_domain_data_key(keys, point->key_epoch);
	if (!*key)
		return tk_err_set(err, TK_EKEY, "no key of the point's key epoch %u", (unsigned)point->key_epoch);
	return TK_OK;
}

static void
put_clear(struct tk_writer *w, const struct tk_point *point)
{
	tk_writer_u64(w, 0);
	tk_writer_id(w, &point->domain);
	tk_writer_id(w, &point->dataset);
	tk_writer_id(w, &point->incarnation);
	tk_writer_u64(w, point->at.epoch);
	tk_writer_digest(w, &point->grant);
	tk_writer_u64(w, point->at.sequence);
	tk_writer_digest(w, &point->parent);
	tk_writer_u32(w, point->key_epoch);
	tk_writer_raw(w, point->root_pack.b, sizeof(point->root_pack.b));
	tk_writer_u32(w, point->root_blob);
	tk_writer_uv(w, point->pack_count);
	for (size_t i = 0; i < point->pack_count; i++) {
		tk_writer_raw(w, point->packs[i].name.b, sizeof(point->packs[i].name.b));
		tk_writer_digest(w, &point->packs[i].footer);
		tk_writer_u64(w, point->packs[i].len_bytes);
	}
	tk_writer_bytes(w, point->opening.data, point->opening.len_bytes);
}

enum tk_rc
tk_point_seal_with(const uint8_t salt[TK_SALT_BYTES], struct tk_point *point, const struct tk_point_body *body,
    const struct tk_domain_keys *keys, const uint8_t writer_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err)
{
	TK_AUTO(tk_envelope_wipe) struct tk_envelope env = {0};
	TK_AUTO(tk_buf_release) struct tk_buf plain = {0};
	const struct tk_data_key *key;
	struct tk_writer w;
	enum tk_rc rc;

	if (point->at.epoch == 0 || point->at.sequence == 0 || point->root_blob >= TK_PACK_BLOBS_MAX)
		return tk_err_set(err, TK_EINVAL, "a point without epoch, sequence or root");
	rc = find_key(keys, point, &key, err);
	if (rc)
		return rc;
	point->key_epoch = key->key_epoch;
	tk_writer_begin(&w, out, point_magic, point->suite, err);
	put_clear(&w, point);
	if (w.rc == TK_OK)
		w.rc = derive_body_keys(point, key->key, salt, &env, err);
	if (w.rc == TK_OK)
		w.rc = tk_point_body_encode(body, &plain, err);
	tk_writer_seal(&w, point->suite, &env, salt, &plain);
	tk_writer_sign(&w, point_text, point->suite, writer_seed, point->writer_key);
	rc = tk_writer_end(&w);
	if (rc)
		return rc;
	return tk_hash(point->suite, out->data + w.start_bytes, out->len_bytes - w.start_bytes, point->at.point.b, err);
}

enum tk_rc
tk_point_seal(struct tk_point *point, const struct tk_point_body *body, const struct tk_domain_keys *keys,
    const uint8_t writer_seed[TK_KEY_BYTES], struct tk_buf *out, struct tk_err *err)
{
	uint8_t salt[TK_SALT_BYTES];
	enum tk_rc rc = tk_random_bytes(salt, sizeof(salt), err);

	return rc ? rc : tk_point_seal_with(salt, point, body, keys, writer_seed, out, err);
}

static enum tk_rc
check_packs(struct tk_cursor *cur, const struct tk_point *point, struct tk_err *err)
{
	struct tk_pack_name *names = malloc(point->pack_count * sizeof(*names) + 1);
	bool twice = false;
	enum tk_rc rc;

	if (!names)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu packs", point->pack_count);
	for (size_t i = 0; i < point->pack_count; i++)
		names[i] = point->packs[i].name;
	rc = tk_pack_names_twice(names, point->pack_count, NULL, &twice, err);
	free(names);
	if (twice)
		tk_cursor_fail(cur, "a pack is named twice");
	return rc;
}

static enum tk_rc
read_packs(struct tk_cursor *cur, struct tk_point *point, struct tk_err *err)
{
	size_t count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur) / IDENT_BYTES);

	point->packs = calloc(count + 1, sizeof(*point->packs));
	if (!point->packs)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu packs", count);
	point->pack_count = count;
	for (size_t i = 0; i < count; i++) {
		tk_cursor_copy(cur, point->packs[i].name.b, sizeof(point->packs[i].name.b));
		tk_record_digest(cur, &point->packs[i].footer);
		point->packs[i].len_bytes = tk_cursor_u64(cur);
		if (point->packs[i].len_bytes > TK_PACK_BYTES_MAX)
			tk_cursor_fail(cur, "a pack over its limit");
	}
	return check_packs(cur, point, err);
}

static enum tk_rc
read_opening(struct tk_cursor *cur, struct tk_point *point, struct tk_err *err)
{
	struct tk_opening opening;
	size_t len;
	const uint8_t *bytes = tk_cursor_bytes(cur, TK_RECORD_MAX, &len);
	enum tk_rc rc;

	if (!bytes || len == 0)
		return TK_OK;
	rc = tk_opening_decode(bytes, len, &opening, err);
	return rc ? rc : tk_buf_put(&point->opening, bytes, len, err);
}

/* Everything before the public key. */
static enum tk_rc
read_record(struct tk_cursor *cur, const void *record, size_t len_bytes, struct tk_point *out, struct sealed_body *sealed, struct tk_err *err)
{
	enum tk_rc rc = tk_record_open(cur, record, len_bytes, point_magic, "point", &out->suite, err);

	if (rc)
		return rc;
	(void)tk_cursor_u64(cur);
	tk_record_id(cur, &out->domain);
	tk_record_id(cur, &out->dataset);
	tk_record_id(cur, &out->incarnation);
	out->at.epoch = tk_cursor_u64(cur);
	tk_record_digest(cur, &out->grant);
	out->at.sequence = tk_cursor_u64(cur);
	tk_record_digest(cur, &out->parent);
	out->key_epoch = tk_cursor_u32(cur);
	tk_cursor_copy(cur, out->root_pack.b, sizeof(out->root_pack.b));
	out->root_blob = tk_cursor_u32(cur);
	if (out->at.epoch == 0 || out->at.sequence == 0 || out->key_epoch == 0 || out->root_blob >= TK_PACK_BLOBS_MAX)
		tk_cursor_fail(cur, "a number out of range");
	rc = read_packs(cur, out, err);
	if (rc == TK_OK)
		rc = read_opening(cur, out, err);
	if (rc)
		return rc;
	sealed->field_at_bytes = cur->pos_bytes;
	sealed->bytes = tk_cursor_bytes(cur, TK_RECORD_MAX, &sealed->len_bytes);
	if (sealed->len_bytes < TK_SALT_BYTES + TK_COMMITMENT_BYTES + tk_suite_info(out->suite)->aead_tag_bytes)
		tk_cursor_fail(cur, "a sealed body that is too short");
	return tk_cursor_check(cur, "point", err);
}

enum tk_rc
tk_point_decode(const void *record, size_t len_bytes, struct tk_point *out, struct tk_err *err)
{
	struct sealed_body sealed;
	struct tk_cursor cur;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	rc = read_record(&cur, record, len_bytes, out, &sealed, err);
	if (rc == TK_OK)
		rc = tk_record_verify(&cur, point_text, "point", out->suite, out->writer_key, err);
	if (rc == TK_OK)
		rc = tk_hash(out->suite, record, len_bytes, out->at.point.b, err);
	if (rc)
		tk_point_release(out);
	return rc;
}

enum tk_rc
tk_point_open_body(const void *record, size_t len_bytes, const struct tk_domain_keys *keys, struct tk_point_body *out, struct tk_err *err)
{
	TK_AUTO(tk_envelope_wipe) struct tk_envelope env = {0};
	TK_AUTO(tk_point_release) struct tk_point point = {0};
	TK_AUTO(tk_buf_release) struct tk_buf plain = {0};
	const struct tk_data_key *key;
	struct sealed_body sealed;
	struct tk_cursor cur;
	size_t head_bytes = TK_SALT_BYTES + TK_COMMITMENT_BYTES;
	enum tk_rc rc;

	rc = read_record(&cur, record, len_bytes, &point, &sealed, err);
	if (rc == TK_OK)
		rc = find_key(keys, &point, &key, err);
	if (rc == TK_OK)
		rc = derive_body_keys(&point, key->key, sealed.bytes, &env, err);
	if (rc)
		return rc;
	if (!tk_equal_ct(env.commitment, sealed.bytes + TK_SALT_BYTES, TK_COMMITMENT_BYTES))
		return tk_err_set(err, TK_EKEY, "the point is sealed under another key");
	rc = tk_envelope_open(point.suite, &env, (struct tk_bytes){record, sealed.field_at_bytes},
	    (struct tk_bytes){sealed.bytes + head_bytes, sealed.len_bytes - head_bytes}, &plain, err);
	if (rc)
		return tk_err_context(err, rc, "the point's body");
	return tk_point_body_decode(plain.data, plain.len_bytes, out, err);
}

void
tk_point_file_name(const struct tk_head *at, char dst[TK_POINT_FILE_NAME_MAX])
{
	char id[2 * 16 + 1];

	tk_hex_encode(at->point.b, 16, id);
	(void)snprintf(dst, TK_POINT_FILE_NAME_MAX, "%08" PRIx64 "-%016" PRIx64 "-%s", at->epoch, at->sequence, id);
}
