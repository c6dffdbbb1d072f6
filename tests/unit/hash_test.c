/* Digests, HMAC and HKDF against the published vectors. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/crypto/hash.h"
#include "engine/crypto/hash_two.h"

static void
assert_hex(const uint8_t *got, size_t len_bytes, const char *expected)
{
	char text[512];

	assert_true(len_bytes * 2 < sizeof(text));
	tk_hex_encode(got, len_bytes, text);
	assert_string_equal(text, expected);
}

static size_t
from_hex(const char *text, uint8_t *dst, size_t cap_bytes)
{
	size_t len_bytes = strlen(text) / 2;

	assert_true(len_bytes <= cap_bytes);
	assert_int_equal(tk_hex_decode(text, dst, len_bytes, NULL), TK_OK);
	return len_bytes;
}

/* FIPS 180-4, NIST's example values. */
static void
sha256_gives_the_published_digests(void **state)
{
	TK_AUTO(tk_hash_ctx_cleanup) struct tk_hash_ctx *ctx = NULL;
	static const char long_msg[] = "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq";
	uint8_t out[TK_HASH_BYTES];
	char thousand[1000];

	(void)state;
	assert_int_equal(tk_hash(TK_SUITE_AES, "", 0, out, NULL), TK_OK);
	assert_hex(out, 32, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_int_equal(tk_hash(TK_SUITE_CHACHA, "abc", 3, out, NULL), TK_OK);
	assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");

	assert_int_equal(tk_hash_ctx_new(TK_SUITE_AES, &ctx, NULL), TK_OK);
	for (int again = 0; again < 3; again++) {
		assert_int_equal(tk_hash_whole(ctx, long_msg, strlen(long_msg), out, NULL), TK_OK);
		assert_hex(out, 32, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	}
	memset(thousand, 'a', sizeof(thousand));
	assert_int_equal(tk_hash_begin(ctx, NULL), TK_OK);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(tk_hash_add(ctx, thousand, sizeof(thousand), NULL), TK_OK);
	assert_int_equal(tk_hash_end(ctx, out, NULL), TK_OK);
	assert_hex(out, 32, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void
pieces_give_the_digest_of_the_whole(void **state)
{
	static const struct tk_bytes parts[] = {{"a", 1}, {NULL, 0}, {"bc", 2}};
	TK_AUTO(tk_hmac_ctx_cleanup) struct tk_hmac_ctx *hmac = NULL;
	uint8_t whole[TK_HASH_BYTES], pieces[TK_HASH_BYTES];

	(void)state;
	assert_int_equal(tk_hash(TK_SUITE_AES, "abc", 3, whole, NULL), TK_OK);
	assert_int_equal(tk_hash_parts(TK_SUITE_AES, parts, 3, pieces, NULL), TK_OK);
	assert_memory_equal(whole, pieces, sizeof(whole));

	assert_int_equal(tk_hmac_ctx_new(TK_SUITE_AES, "key", 3, &hmac, NULL), TK_OK);
	assert_int_equal(tk_hmac_whole(hmac, "abc", 3, whole, NULL), TK_OK);
	assert_int_equal(tk_hmac_parts(hmac, parts, 3, pieces, NULL), TK_OK);
	assert_memory_equal(whole, pieces, sizeof(whole));
	assert_int_equal(tk_hmac(TK_SUITE_AES, "key", 3, "abc", 3, pieces, NULL), TK_OK);
	assert_memory_equal(whole, pieces, sizeof(whole));
}

static void
a_digest_that_was_begun_again_forgets_what_was_added(void **state)
{
	TK_AUTO(tk_hash_ctx_cleanup) struct tk_hash_ctx *ctx = NULL;
	uint8_t out[TK_HASH_BYTES];

	(void)state;
	assert_int_equal(tk_hash_ctx_new(TK_SUITE_AES, &ctx, NULL), TK_OK);
	assert_int_equal(tk_hash_begin(ctx, NULL), TK_OK);
	assert_int_equal(tk_hash_add(ctx, "left over", 9, NULL), TK_OK);
	assert_int_equal(tk_hash_whole(ctx, "abc", 3, out, NULL), TK_OK);
	assert_hex(out, 32, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

/* RFC 4231, cases 1, 2, 3, 4, 6 and 7. */
static void
hmac_gives_the_tags_of_rfc_4231(void **state)
{
	static const char larger[] = "This is a test using a larger than block-size key and a larger than block-size data. "
	    "The key needs to be hashed before being used by the HMAC algorithm.";
	uint8_t key[131], data[64], out[TK_HASH_BYTES];

	(void)state;
	memset(key, 0x0b, 20);
	assert_int_equal(tk_hmac(TK_SUITE_AES, key, 20, "Hi There", 8, out, NULL), TK_OK);
	assert_hex(out, 32, "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
	assert_int_equal(tk_hmac(TK_SUITE_AES, "Jefe", 4, "what do ya want for nothing?", 28, out, NULL), TK_OK);
	assert_hex(out, 32, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
	memset(key, 0xaa, sizeof(key));
	memset(data, 0xdd, 50);
	assert_int_equal(tk_hmac(TK_SUITE_AES, key, 20, data, 50, out, NULL), TK_OK);
	assert_hex(out, 32, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe");
	for (uint8_t i = 0; i < 25; i++)
		data[i] = (uint8_t)(i + 1);
	memcpy(key, data, 25);
	memset(data, 0xcd, 50);
	assert_int_equal(tk_hmac(TK_SUITE_AES, key, 25, data, 50, out, NULL), TK_OK);
	assert_hex(out, 32, "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b");
	memset(key, 0xaa, sizeof(key));
	assert_int_equal(tk_hmac(TK_SUITE_AES, key, 131, "Test Using Larger Than Block-Size Key - Hash Key First", 54, out, NULL), TK_OK);
	assert_hex(out, 32, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
	assert_int_equal(tk_hmac(TK_SUITE_AES, key, 131, larger, strlen(larger), out, NULL), TK_OK);
	assert_hex(out, 32, "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2");
}

/* RFC 5869, appendix A, cases 1 to 3. */
static void
hkdf_gives_the_keys_of_rfc_5869(void **state)
{
	uint8_t ikm[80], salt[80], info[80], out[82];

	(void)state;
	memset(ikm, 0x0b, 22);
	from_hex("000102030405060708090a0b0c", salt, sizeof(salt));
	from_hex("f0f1f2f3f4f5f6f7f8f9", info, sizeof(info));
	assert_int_equal(tk_hkdf(TK_SUITE_AES, (struct tk_bytes){ikm, 22}, (struct tk_bytes){salt, 13}, (struct tk_bytes){info, 10},
	    out, 42, NULL), TK_OK);
	assert_hex(out, 42, "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865");
	assert_int_equal(tk_hkdf(TK_SUITE_AES, (struct tk_bytes){ikm, 22}, (struct tk_bytes){NULL, 0}, (struct tk_bytes){NULL, 0},
	    out, 42, NULL), TK_OK);
	assert_hex(out, 42, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8");
	for (uint8_t i = 0; i < 80; i++) {
		ikm[i] = i;
		salt[i] = (uint8_t)(0x60 + i);
		info[i] = (uint8_t)(0xb0 + i);
	}
	assert_int_equal(tk_hkdf(TK_SUITE_AES, (struct tk_bytes){ikm, 80}, (struct tk_bytes){salt, 80}, (struct tk_bytes){info, 80},
	    out, 82, NULL), TK_OK);
	assert_hex(out, 82, "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
	    "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
}

static void
hkdf_refuses_lengths_that_it_cannot_derive(void **state)
{
	static uint8_t out[255 * TK_HASH_BYTES + 1];
	const struct tk_bytes ikm = {"secret", 6}, none = {NULL, 0};

	(void)state;
	assert_int_equal(tk_hkdf(TK_SUITE_AES, ikm, none, none, out, 0, NULL), TK_EINVAL);
	assert_int_equal(tk_hkdf(TK_SUITE_AES, ikm, none, none, out, sizeof(out) - 1, NULL), TK_OK);
	assert_int_equal(tk_hkdf(TK_SUITE_AES, ikm, none, none, out, sizeof(out), NULL), TK_EINVAL);
}

static void
suites_are_known_by_name_and_by_number(void **state)
{
	enum tk_suite suite;
	uint8_t out[TK_HASH_BYTES];
	struct tk_err err;

	(void)state;
	assert_int_equal(tk_suite_parse("chacha", &suite, NULL), TK_OK);
	assert_int_equal(suite, TK_SUITE_CHACHA);
	assert_int_equal(tk_suite_parse("gm", &suite, NULL), TK_OK);
	assert_int_equal(tk_suite_info(suite)->aead_tag_bytes, 32);
	assert_int_equal(tk_suite_parse("des", &suite, &err), TK_EINVAL);
	assert_non_null(strstr(err.text, "aes, chacha or gm"));
	assert_int_equal(tk_suite_check(TK_SUITE_AES, NULL), TK_OK);
	assert_int_equal(tk_suite_check(TK_SUITE_GM, &err), TK_EUNSUPPORTED);
	assert_int_equal(tk_suite_check(4, &err), TK_EUNSUPPORTED);
	assert_int_equal(tk_suite_check((UINT64_C(1) << 32) + 1, &err), TK_EUNSUPPORTED);
	assert_int_equal(tk_hash((enum tk_suite)9, "", 0, out, NULL), TK_EUNSUPPORTED);
	assert_null(tk_suite_info((enum tk_suite)9));
}

/* Of every pair of lengths, among them those about a block, about what the library takes at once, and nothing. */
static void
two_at_once_have_the_digests_of_each_alone(void **state)
{
	static const size_t lengths[] = {0, 1, 55, 56, 63, 64, 65, 119, 128, 4096, 32768, 65534, 65535, 70000};
	TK_AUTO(tk_hash_two_cleanup) struct tk_hash_two *two = NULL;
	size_t max = 70000 * 2 + 1, count = sizeof(lengths) / sizeof(lengths[0]);
	uint8_t *data = malloc(max);

	(void)state;
	assert_non_null(data);
	for (size_t i = 0; i < max; i++)
		data[i] = (uint8_t)(i * 31 + i / 257);
	assert_int_equal(tk_hash_two_new(TK_SUITE_AES, &two, NULL), TK_OK);
	for (size_t i = 0; i < count * count; i++) {
		/* At odd places in memory, too. */
		struct tk_bytes a = {data + i % 2, lengths[i / count]}, b = {data + 70000, lengths[i % count]};
		uint8_t want[2][TK_HASH_BYTES], got[2][TK_HASH_BYTES];

		assert_int_equal(tk_hash(TK_SUITE_AES, a.data, a.len_bytes, want[0], NULL), TK_OK);
		assert_int_equal(tk_hash(TK_SUITE_AES, b.data, b.len_bytes, want[1], NULL), TK_OK);
		assert_int_equal(tk_hash_two(two, a, b, got[0], got[1], NULL), TK_OK);
		assert_memory_equal(got, want, sizeof(want));
	}
	free(data);
}

static void
comparison_and_wiping_do_what_they_say(void **state)
{
	uint8_t a[4] = {1, 2, 3, 4}, b[4] = {1, 2, 3, 5}, zero[4] = {0};

	(void)state;
	assert_true(tk_equal_ct(a, b, 3));
	assert_false(tk_equal_ct(a, b, 4));
	tk_wipe(a, sizeof(a));
	assert_memory_equal(a, zero, sizeof(a));
	tk_wipe(NULL, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sha256_gives_the_published_digests),
		cmocka_unit_test(pieces_give_the_digest_of_the_whole),
		cmocka_unit_test(a_digest_that_was_begun_again_forgets_what_was_added),
		cmocka_unit_test(hmac_gives_the_tags_of_rfc_4231),
		cmocka_unit_test(hkdf_gives_the_keys_of_rfc_5869),
		cmocka_unit_test(hkdf_refuses_lengths_that_it_cannot_derive),
		cmocka_unit_test(suites_are_known_by_name_and_by_number),
		cmocka_unit_test(two_at_once_have_the_digests_of_each_alone),
		cmocka_unit_test(comparison_and_wiping_do_what_they_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
