#include "engine/vault/keyring.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/cursor.h"
#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/sign.h"
#include "engine/vault/envelope.h"
#include "engine/vault/keycore.h"

enum {
	KEYRING_VERSION = 1,
	KEYRING_BYTES_MIN = 1 + TK_ID_BYTES + 1 + 3 * TK_KEY_BYTES,
	DATA_KEY_BYTES = 4 + TK_KEY_BYTES,
	DOMAIN_BYTES_MIN = TK_ID_BYTES + 2 * TK_KEY_BYTES + 1 + DATA_KEY_BYTES,
	UV_BYTES_MAX = 10,
};

enum tk_rc
tk_keyring_generate(enum tk_suite suite, struct tk_keyring *out, struct tk_err *err)
{
	enum tk_rc rc;

	memset(out, 0, sizeof(*out));
	rc = tk_envelope_suite((uint64_t)suite, &out->suite, err);
	if (rc == TK_OK)
		rc = tk_random_bytes(out->source.b, sizeof(out->source.b), err);
	if (rc == TK_OK)
		rc = tk_sign_generate(suite, out->writer_seed, err);
	if (rc == TK_OK)
		rc = tk_sign_generate(suite, out->operator_seed, err);
	if (rc == TK_OK)
		rc = tk_random_bytes(out->home_key, sizeof(out->home_key), err);
	out->has_operator_seed = true;
	if (rc)
		tk_keyring_release(out);
	return rc;
}

static void
domain_release(struct tk_domain_keys *keys)
{
	if (keys->data_keys)
		tk_wipe(keys->data_keys, keys->data_key_count * sizeof(*keys->data_keys));
	free(keys->data_keys);
	tk_wipe(keys, sizeof(*keys));
}

void
tk_keyring_release(struct tk_keyring *ring)
{
	for (size_t i = 0; i < ring->domain_count; i++)
		domain_release(&ring->domains[i]);
	free(ring->domains);
	tk_wipe(ring, sizeof(*ring));
}

static enum tk_rc
fill_domain(struct tk_domain_keys *keys, struct tk_err *err)
{
	enum tk_rc rc;

	keys->data_keys = calloc(1, sizeof(*keys->data_keys));
	if (!keys->data_keys)
		return tk_err_set(err, TK_ENOMEM, "no memory for a domain's keys");
	keys->data_key_count = 1;
	keys->data_keys[0].key_epoch = 1;
	rc = tk_random_bytes(keys->domain.b, sizeof(keys->domain.b), err);
	if (rc == TK_OK)
		rc = tk_random_bytes(keys->dedup_key, sizeof(keys->dedup_key), err);
	if (rc == TK_OK)
		rc = tk_random_bytes(keys->chunk_key, sizeof(keys->chunk_key), err);
	if (rc == TK_OK)
		rc = tk_random_bytes(keys->data_keys[0].key, sizeof(keys->data_keys[0].key), err);
	return rc;
}

enum tk_rc
tk_keyring_add_domain(struct tk_keyring *ring, struct tk_id *domain, struct tk_err *err)
{
	struct tk_domain_keys *grown = calloc(ring->domain_count + 1, sizeof(*grown));
	enum tk_rc rc;

	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for a domain's keys");
	rc = fill_domain(&grown[ring->domain_count], err);
	if (rc) {
		domain_release(&grown[ring->domain_count]);
		free(grown);
		return rc;
	}
	/* Not realloc: the old array must be wiped, not left behind on the heap. */
	if (ring->domain_count) {
		memcpy(grown, ring->domains, ring->domain_count * sizeof(*grown));
		tk_wipe(ring->domains, ring->domain_count * sizeof(*grown));
	}
	free(ring->domains);
	ring->domains = grown;
	*domain = grown[ring->domain_count].domain;
	ring->domain_count++;
	return TK_OK;
}

/* A longer copy of a domain's data keys, with a fresh one at its end. */
static enum tk_rc
grow_data_keys(const struct tk_domain_keys *keys, struct tk_data_key **out, struct tk_err *err)
{
	size_t count = keys->data_key_count;
	uint32_t last = count ? keys->data_keys[count - 1].key_epoch : 0;
	struct tk_data_key *grown;

	if (last == UINT32_MAX)
		return tk_err_set(err, TK_EINVAL, "no number is left for a key epoch");
	*out = grown = calloc(count + 1, sizeof(*grown));
	if (!grown)
		return tk_err_set(err, TK_ENOMEM, "no memory for a data key");
	if (count)
		memcpy(grown, keys->data_keys, count * sizeof(*grown));
	grown[count].key_epoch = last + 1;
	return tk_random_bytes(grown[count].key, sizeof(grown[count].key), err);
}

static void
free_data_keys(struct tk_data_key *keys, size_t count)
{
	if (keys)
		tk_wipe(keys, count * sizeof(*keys));
	free(keys);
}

enum tk_rc
tk_keyring_rotate(struct tk_keyring *ring, struct tk_err *err)
{
	struct tk_data_key **grown = calloc(ring->domain_count + 1, sizeof(*grown));
	enum tk_rc rc = grown ? TK_OK : tk_err_set(err, TK_ENOMEM, "no memory for data keys");

	for (size_t i = 0; i < ring->domain_count && !rc; i++)
		rc = grow_data_keys(&ring->domains[i], &grown[i], err);
	for (size_t i = 0; grown && i < ring->domain_count; i++) {
		struct tk_domain_keys *domain = &ring->domains[i];

		if (rc) {
			free_data_keys(grown[i], domain->data_key_count + 1);
			continue;
		}
		free_data_keys(domain->data_keys, domain->data_key_count);
		domain->data_keys = grown[i];
		domain->data_key_count++;
	}
	free(grown);
	return rc;
}

size_t
tk_keyring_weight(const struct tk_keyring *ring)
{
	size_t weight = ring->domain_count;

	for (size_t i = 0; i < ring->domain_count; i++)
		weight += ring->domains[i].data_key_count;
	return weight;
}

const struct tk_domain_keys *
tk_keyring_domain(const struct tk_keyring *ring, const struct tk_id *domain)
{
	for (size_t i = 0; i < ring->domain_count; i++)
		if (memcmp(&ring->domains[i].domain, domain, sizeof(*domain)) == 0)
			return &ring->domains[i];
	return NULL;
}

const struct tk_data_key *
tk_domain_data_key(const struct tk_domain_keys *keys, uint32_t key_epoch)
{
	if (key_epoch == 0)
		return keys->data_key_count ? &keys->data_keys[keys->data_key_count - 1] : NULL;
	for (size_t i = keys->data_key_count; i > 0; i--)
		if (keys->data_keys[i - 1].key_epoch == key_epoch)
			return &keys->data_keys[i - 1];
	return NULL;
}

static enum tk_rc
put_domain(const struct tk_domain_keys *keys, struct tk_buf *plain, struct tk_err *err)
{
	enum tk_rc rc;

	rc = tk_buf_put(plain, keys->domain.b, sizeof(keys->domain.b), err);
	if (rc == TK_OK)
		rc = tk_buf_put(plain, keys->dedup_key, sizeof(keys->dedup_key), err);
	if (rc == TK_OK)
		rc = tk_buf_put(plain, keys->chunk_key, sizeof(keys->chunk_key), err);
	if (rc == TK_OK)
		rc = tk_buf_put_uv(plain, keys->data_key_count, err);
	for (size_t i = 0; rc == TK_OK && i < keys->data_key_count; i++) {
		rc = tk_buf_put_u32(plain, keys->data_keys[i].key_epoch, err);
		if (rc == TK_OK)
			rc = tk_buf_put(plain, keys->data_keys[i].key, sizeof(keys->data_keys[i].key), err);
	}
	return rc;
}

enum tk_rc
tk_keyring_encode(const struct tk_keyring *ring, bool with_operator_seed, struct tk_buf *plain, struct tk_err *err)
{
	static const uint8_t no_seed[TK_KEY_BYTES];
	size_t bytes = KEYRING_BYTES_MIN + UV_BYTES_MAX;
	enum tk_rc rc;

	for (size_t i = 0; i < ring->domain_count; i++)
		bytes += DOMAIN_BYTES_MIN + UV_BYTES_MAX + ring->domains[i].data_key_count * DATA_KEY_BYTES;
	/* All at once: a buffer that grows would leave keys behind in freed memory. */
	rc = tk_buf_reserve(plain, bytes, err);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(plain, KEYRING_VERSION, err);
	if (rc == TK_OK)
		rc = tk_buf_put(plain, ring->source.b, sizeof(ring->source.b), err);
	if (rc == TK_OK)
		rc = tk_buf_put_u8(plain, (uint8_t)ring->suite, err);
	if (rc == TK_OK)
		rc = tk_buf_put(plain, ring->writer_seed, sizeof(ring->writer_seed), err);
	if (rc == TK_OK)
		rc = tk_buf_put(plain, with_operator_seed ? ring->operator_seed : no_seed, sizeof(no_seed), err);
	if (rc == TK_OK)
		rc = tk_buf_put(plain, ring->home_key, sizeof(ring->home_key), err);
	if (rc == TK_OK)
		rc = tk_buf_put_uv(plain, ring->domain_count, err);
	for (size_t i = 0; rc == TK_OK && i < ring->domain_count; i++)
		rc = put_domain(&ring->domains[i], plain, err);
	return rc;
}

static enum tk_rc
read_data_keys(struct tk_cursor *cur, struct tk_domain_keys *keys, struct tk_err *err)
{
	size_t count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur) / DATA_KEY_BYTES);
	uint32_t before = 0;

	if (count == 0)
		tk_cursor_fail(cur, "a domain without a data key");
	keys->data_keys = calloc(count + 1, sizeof(*keys->data_keys));
	if (!keys->data_keys)
		return tk_err_set(err, TK_ENOMEM, "no memory for a domain's keys");
	keys->data_key_count = count;
	for (size_t i = 0; i < count; i++) {
		keys->data_keys[i].key_epoch = tk_cursor_u32(cur);
		tk_cursor_copy(cur, keys->data_keys[i].key, sizeof(keys->data_keys[i].key));
		if (keys->data_keys[i].key_epoch <= before)
			tk_cursor_fail(cur, "key epochs do not ascend");
		before = keys->data_keys[i].key_epoch;
	}
	return TK_OK;
}

static enum tk_rc
read_domains(struct tk_cursor *cur, struct tk_keyring *ring, struct tk_err *err)
{
	size_t count = (size_t)tk_cursor_uv_max(cur, tk_cursor_left(cur) / DOMAIN_BYTES_MIN);
	enum tk_rc rc = TK_OK;

	ring->domains = calloc(count + 1, sizeof(*ring->domains));
	if (!ring->domains)
		return tk_err_set(err, TK_ENOMEM, "no memory for the keys of %zu domains", count);
	for (size_t i = 0; rc == TK_OK && i < count && tk_cursor_ok(cur); i++) {
		struct tk_domain_keys *keys = &ring->domains[i];

		tk_cursor_copy(cur, keys->domain.b, sizeof(keys->domain.b));
		if (tk_keyring_domain(ring, &keys->domain))
			tk_cursor_fail(cur, "a domain is there twice");
		ring->domain_count++;
		tk_cursor_copy(cur, keys->dedup_key, sizeof(keys->dedup_key));
		tk_cursor_copy(cur, keys->chunk_key, sizeof(keys->chunk_key));
		rc = read_data_keys(cur, keys, err);
	}
	return rc;
}

enum tk_rc
tk_keyring_decode(const void *plain, size_t plain_bytes, struct tk_keyring *ring, struct tk_err *err)
{
	static const uint8_t no_seed[TK_KEY_BYTES];
	struct tk_cursor cur;
	unsigned version, suite;
	enum tk_rc rc;

	memset(ring, 0, sizeof(*ring));
	tk_cursor_init(&cur, plain, plain_bytes);
	version = tk_cursor_u8(&cur);
	tk_cursor_copy(&cur, ring->source.b, sizeof(ring->source.b));
	suite = tk_cursor_u8(&cur);
	tk_cursor_copy(&cur, ring->writer_seed, sizeof(ring->writer_seed));
	tk_cursor_copy(&cur, ring->operator_seed, sizeof(ring->operator_seed));
	tk_cursor_copy(&cur, ring->home_key, sizeof(ring->home_key));
	ring->has_operator_seed = !tk_equal_ct(ring->operator_seed, no_seed, sizeof(no_seed));
	rc = tk_cursor_check(&cur, "keyring", err);
	if (rc == TK_OK && version != KEYRING_VERSION)
		rc = tk_err_set(err, TK_EUNSUPPORTED, "keyring: version %u is not known", version);
	if (rc == TK_OK)
		rc = tk_envelope_suite(suite, &ring->suite, err);
	if (rc == TK_OK)
		rc = read_domains(&cur, ring, err);
	if (rc == TK_OK)
		rc = tk_cursor_end(&cur, "keyring", err);
	if (rc)
		tk_keyring_release(ring);
	return rc;
}
