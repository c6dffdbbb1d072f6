/* Tags: GMAC as it is published, and different whenever anything is. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/crypto/aead.h"
#include "engine/crypto/tag.h"

static struct tk_tagger *
tagger_of(uint8_t first)
{
	uint8_t key[TK_TAG_KEY_BYTES] = {first};
	struct tk_tagger *tagger = NULL;

	assert_int_equal(tk_tagger_new(key, &tagger, NULL), TK_OK);
	return tagger;
}

static void
a_tag_is_gmac_under_the_nonce_of_zeros(void **state)
{
	TK_AUTO(tk_tagger_cleanup) struct tk_tagger *tagger = tagger_of(0);
	uint8_t tag[TK_TAG_BYTES];
	char hex[2 * TK_TAG_BYTES + 1];

	(void)state;
	/* The GCM specification (McGrew, Viega), test case 13: nothing authenticated, nothing encrypted. */
	assert_int_equal(tk_tag(tagger, NULL, 0, tag, NULL), TK_OK);
	tk_hex_encode(tag, sizeof(tag), hex);
	assert_string_equal(hex, "530f8afbc74536b9a963b4f1c4cb738b");
}

/* The tag of GCM over the block as additional data and no text is the same thing, made by OpenSSL whatever else is there. */
static void
tags_are_those_of_gcm_at_every_length(void **state)
{
	static const uint8_t key[TK_TAG_KEY_BYTES] = {9}, nonce[TK_NONCE_BYTES];
	static const size_t lengths[] = {0, 1, 15, 16, 17, 127, 128, 129, 255, 256, 257, 512, 767, 1024, 4096, 8192, 8193, 65536, 131072, 1000003};
	TK_AUTO(tk_tagger_cleanup) struct tk_tagger *tagger = tagger_of(9);
	TK_AUTO(tk_aead_cleanup) struct tk_aead *aead = NULL;
	uint8_t *data = malloc(1000003 + 1), want[TK_TAG_BYTES], got[TK_TAG_BYTES];

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < 1000004; i++)
		data[i] = (uint8_t)(i * 17 + i / 259);
	assert_int_equal(tk_aead_new(TK_SUITE_AES, key, sizeof(key), &aead, NULL), TK_OK);
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct tk_bytes block = {data + i % 2, lengths[i]};

		assert_int_equal(tk_aead_seal(aead, nonce, &block, 1, "", 0, want, NULL), TK_OK);
		assert_int_equal(tk_tag(tagger, block.data, block.len_bytes, got, NULL), TK_OK);
		assert_memory_equal(got, want, sizeof(got));
	}
	free(data);
}

static void
the_same_block_has_the_same_tag_whatever_came_between(void **state)
{
	TK_AUTO(tk_tagger_cleanup) struct tk_tagger *tagger = tagger_of(1);
	uint8_t block[4096] = {7}, first[TK_TAG_BYTES], between[TK_TAG_BYTES], again[TK_TAG_BYTES];

	(void)state;
	assert_int_equal(tk_tag(tagger, block, sizeof(block), first, NULL), TK_OK);
	assert_int_equal(tk_tag(tagger, block, 100, between, NULL), TK_OK);
	assert_int_equal(tk_tag(tagger, block, sizeof(block), again, NULL), TK_OK);
	assert_memory_equal(first, again, sizeof(first));
	assert_memory_not_equal(first, between, sizeof(first));
}

static void
a_tag_changes_with_each_byte_the_length_and_the_key(void **state)
{
	TK_AUTO(tk_tagger_cleanup) struct tk_tagger *tagger = tagger_of(1);
	TK_AUTO(tk_tagger_cleanup) struct tk_tagger *other = tagger_of(2);
	uint8_t block[64] = {0}, tag[TK_TAG_BYTES], changed[TK_TAG_BYTES];

	(void)state;
	assert_int_equal(tk_tag(tagger, block, sizeof(block), tag, NULL), TK_OK);
	for (size_t i = 0; i < sizeof(block); i++) {
		block[i] ^= 1;
		assert_int_equal(tk_tag(tagger, block, sizeof(block), changed, NULL), TK_OK);
		assert_memory_not_equal(tag, changed, sizeof(tag));
		block[i] ^= 1;
	}
	/* Zeros at the end are padding for GHASH: only the length tells these apart. */
	assert_int_equal(tk_tag(tagger, block, 63, changed, NULL), TK_OK);
	assert_memory_not_equal(tag, changed, sizeof(tag));
	assert_int_equal(tk_tag(other, block, sizeof(block), changed, NULL), TK_OK);
	assert_memory_not_equal(tag, changed, sizeof(tag));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tag_is_gmac_under_the_nonce_of_zeros),
		cmocka_unit_test(tags_are_those_of_gcm_at_every_length),
		cmocka_unit_test(the_same_block_has_the_same_tag_whatever_came_between),
		cmocka_unit_test(a_tag_changes_with_each_byte_the_length_and_the_key),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
