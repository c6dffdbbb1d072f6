#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/vault/envelope.h"
#include "engine/vault/packcore.h"

static const char head_magic[] = "TWKPACK1";

enum { HEAD_VERSION = 1, COMMITMENT_AT = 80 };

static enum tk_rc
derive_keys(const struct tk_pack_head *head, const struct tk_data_key *key, struct tk_envelope *env, struct tk_err *err)
{
	uint8_t type = (uint8_t)head->type;
	uint8_t suite = (uint8_t)head->suite;
	const struct tk_bytes info[] = {
		{head->domain.b, sizeof(head->domain.b)},
		{head->incarnation.b, sizeof(head->incarnation.b)},
		{&type, 1},
		{&suite, 1},
	};

	return tk_envelope_derive(head->suite, key->key, head->name.b, "twinkeep pack", info, sizeof(info) / sizeof(info[0]), false, env, err);
}

static void
encode_header(const struct tk_pack_head *head, const uint8_t commitment[TK_COMMITMENT_BYTES], uint8_t dst[TK_PACK_HEADER_BYTES])
{
	memcpy(dst, head_magic, 8);
	tk_store_u16(dst + 8, HEAD_VERSION);
	dst[10] = (uint8_t)head->suite;
	dst[11] = (uint8_t)head->type;
	tk_store_u32(dst + 12, head->key_epoch);
	memcpy(dst + 16, head->name.b, sizeof(head->name.b));
	memcpy(dst + 48, head->domain.b, sizeof(head->domain.b));
	memcpy(dst + 64, head->incarnation.b, sizeof(head->incarnation.b));
	memcpy(dst + COMMITMENT_AT, commitment, TK_COMMITMENT_BYTES);
	tk_store_u64(dst + 112, 0);
	tk_store_u64(dst + 120, 0);
}

enum tk_rc
tk_pack_head_make(const struct tk_domain_keys *keys, enum tk_suite suite, enum tk_pack_type type, const struct tk_id *incarnation,
    const struct tk_pack_name *name, struct tk_pack_head *out, struct tk_err *err)
{
	TK_AUTO(tk_envelope_wipe) struct tk_envelope env = {0};
	const struct tk_data_key *key = tk_domain_data_key(keys, 0);
	enum tk_suite known;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	rc = tk_envelope_suite((uint64_t)suite, &known, err);
	if (rc)
		return rc;
	if (!key)
		return tk_err_set(err, TK_EKEY, "the domain has no data key");
	if (type < TK_PACK_DATA || type > TK_PACK_MIXED)
		return tk_err_set(err, TK_EINVAL, "pack type %d", (int)type);
	out->name = *name;
	out->suite = known;
	out->type = type;
	out->key_epoch = key->key_epoch;
	out->domain = keys->domain;
	out->incarnation = *incarnation;
	rc = derive_keys(out, key, &env, err);
	if (rc)
		return rc;
	memcpy(out->seal_key, env.key, sizeof(out->seal_key));
	out->has_key = true;
	encode_header(out, env.commitment, out->header);
	return TK_OK;
}

enum tk_rc
tk_pack_head_begin(const struct tk_domain_keys *keys, enum tk_suite suite, enum tk_pack_type type, const struct tk_id *incarnation,
    struct tk_pack_head *out, struct tk_err *err)
{
	struct tk_pack_name name;
	enum tk_rc rc = tk_random_bytes(name.b, sizeof(name.b), err);

	if (rc)
		return rc;
	return tk_pack_head_make(keys, suite, type, incarnation, &name, out, err);
}

static enum tk_rc
read_fields(const uint8_t header[TK_PACK_HEADER_BYTES], struct tk_pack_head *out, struct tk_err *err)
{
	struct tk_cursor cur;
	unsigned version, suite, type;
	enum tk_rc rc;

	if (memcmp(header, head_magic, 8) != 0)
		return tk_err_set(err, TK_ECORRUPT, "pack header: no pack begins here");
	tk_cursor_init(&cur, header, TK_PACK_HEADER_BYTES);
	(void)tk_cursor_take(&cur, 8);
	version = tk_cursor_u16(&cur);
	suite = tk_cursor_u8(&cur);
	type = tk_cursor_u8(&cur);
	out->key_epoch = tk_cursor_u32(&cur);
	tk_cursor_copy(&cur, out->name.b, sizeof(out->name.b));
	tk_cursor_copy(&cur, out->domain.b, sizeof(out->domain.b));
	tk_cursor_copy(&cur, out->incarnation.b, sizeof(out->incarnation.b));
	(void)tk_cursor_take(&cur, TK_COMMITMENT_BYTES);
	if (version != HEAD_VERSION)
		return tk_err_set(err, TK_EUNSUPPORTED, "pack header: version %u is not known", version);
	if (tk_cursor_u64(&cur) != 0)
		return tk_err_set(err, TK_EUNSUPPORTED, "pack header: a critical feature is not known");
	rc = tk_envelope_suite(suite, &out->suite, err);
	if (rc)
		return tk_err_context(err, rc, "pack header");
	if (type < TK_PACK_DATA || type > TK_PACK_MIXED)
		return tk_err_set(err, TK_EUNSUPPORTED, "pack header: type %u is not known", type);
	if (out->key_epoch == 0)
		return tk_err_set(err, TK_ECORRUPT, "pack header: key epoch 0");
	out->type = (enum tk_pack_type)type;
	memcpy(out->header, header, TK_PACK_HEADER_BYTES);
	return TK_OK;
}

enum tk_rc
tk_pack_head_read(const struct tk_domain_keys *keys, const uint8_t header[TK_PACK_HEADER_BYTES], struct tk_pack_head *out,
    struct tk_err *err)
{
	TK_AUTO(tk_envelope_wipe) struct tk_envelope env = {0};
	const struct tk_data_key *key;
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	rc = read_fields(header, out, err);
	if (rc || !keys)
		return rc;
	if (memcmp(&keys->domain, &out->domain, sizeof(out->domain)) != 0)
		return tk_err_set(err, TK_EKEY, "the pack belongs to another domain");
	key = tk_domain_data_key(keys, out->key_epoch);
	if (!key)
		return tk_err_set(err, TK_EKEY, "no key of key epoch %u, under which the pack is sealed", (unsigned)out->key_epoch);
	rc = derive_keys(out, key, &env, err);
	if (rc)
		return rc;
	if (!tk_equal_ct(env.commitment, header + COMMITMENT_AT, TK_COMMITMENT_BYTES))
		return tk_err_set(err, TK_EKEY, "the pack is sealed under another key");
	memcpy(out->seal_key, env.key, sizeof(out->seal_key));
	out->has_key = true;
	return TK_OK;
}

void
tk_pack_head_wipe(struct tk_pack_head *head)
{
	tk_wipe(head->seal_key, sizeof(head->seal_key));
	head->has_key = false;
}

void
tk_blob_seal_params(uint32_t blob, const struct tk_blob_info *info, uint8_t nonce[TK_NONCE_BYTES], uint8_t aad[TK_BLOB_AAD_BYTES])
{
	memset(nonce, 0, TK_NONCE_BYTES);
	tk_store_u32(nonce, blob);
	tk_store_u32(aad, blob);
	aad[4] = (uint8_t)info->type;
	aad[5] = (uint8_t)info->codec;
	tk_store_u32(aad + 6, info->plain_bytes);
	tk_store_u32(aad + 10, info->sealed_bytes);
}

uint32_t
tk_blob_plain_max(unsigned type)
{
	switch (type) {
	case TK_BLOB_DATA:
		return TK_BLOB_DATA_MAX;
	case TK_BLOB_LEAF:
	case TK_BLOB_NODE:
	case TK_BLOB_BASE_MAP:
	case TK_BLOB_OVERLAY_MAP:
	case TK_BLOB_SEGMENT_NODE:
	case TK_BLOB_CONTENTS:
		return TK_BLOB_META_MAX;
	default:
		return 0;
	}
}

bool
tk_blob_has_refs(unsigned type)
{
	return type != TK_BLOB_DATA && type != TK_BLOB_CONTENTS;
}

static int
compare_names(const void *a, const void *b)
{
	return memcmp(a, b, sizeof(struct tk_pack_name));
}

enum tk_rc
tk_pack_names_twice(const struct tk_pack_name *names, size_t count, const struct tk_pack_name *own, bool *twice, struct tk_err *err)
{
	struct tk_pack_name *sorted;

	*twice = false;
	for (size_t i = 0; own && i < count; i++)
		*twice = *twice || memcmp(&names[i], own, sizeof(*own)) == 0;
	if (*twice || count < 2)
		return TK_OK;
	sorted = malloc(count * sizeof(*sorted));
	if (!sorted)
		return tk_err_set(err, TK_ENOMEM, "no memory for %zu pack names", count);
	memcpy(sorted, names, count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), compare_names);
	for (size_t i = 1; i < count; i++)
		*twice = *twice || memcmp(&sorted[i - 1], &sorted[i], sizeof(*sorted)) == 0;
	free(sorted);
	return TK_OK;
}
