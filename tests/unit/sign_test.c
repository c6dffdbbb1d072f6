/* Signatures: RFC 8032's vectors, and that nothing else verifies. */
#include "tests/unit/unit.h"

#include <string.h>

#include "engine/base/hex.h"
#include "engine/crypto/sign.h"

struct vector {
	const char *secret, *public_key, *msg, *sig;
};

/* RFC 8032, section 7.1, tests 1 to 3. */
static const struct vector vectors[] = {
	{"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
	    "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
	    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"},
	{"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
	    "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
	    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"},
	{"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
	    "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
	    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"},
};

static void
signing_gives_the_signatures_of_rfc_8032(void **state)
{
	uint8_t secret[32], expected_public[32], public_key[32], msg[4], expected[64], sig[64];

	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
		const struct vector *v = &vectors[i];
		size_t msg_bytes = strlen(v->msg) / 2;

		assert_int_equal(tk_hex_decode(v->secret, secret, 32, NULL), TK_OK);
		assert_int_equal(tk_hex_decode(v->public_key, expected_public, 32, NULL), TK_OK);
		assert_int_equal(tk_hex_decode(v->msg, msg, msg_bytes, NULL), TK_OK);
		assert_int_equal(tk_hex_decode(v->sig, expected, 64, NULL), TK_OK);
		assert_int_equal(tk_sign_public(TK_SUITE_AES, secret, public_key, NULL), TK_OK);
		assert_memory_equal(public_key, expected_public, 32);
		assert_int_equal(tk_sign(TK_SUITE_AES, secret, msg, msg_bytes, sig, NULL), TK_OK);
		assert_memory_equal(sig, expected, 64);
		assert_int_equal(tk_sign_verify(TK_SUITE_AES, public_key, 32, msg, msg_bytes, sig, 64, NULL), TK_OK);
	}
}

static void
what_was_altered_does_not_verify(void **state)
{
	uint8_t secret[32], other[32], public_key[32], other_public[32], sig[64], msg[] = "point 7";
	struct tk_err err;

	(void)state;
	assert_int_equal(tk_sign_generate(TK_SUITE_CHACHA, secret, NULL), TK_OK);
	assert_int_equal(tk_sign_generate(TK_SUITE_CHACHA, other, NULL), TK_OK);
	assert_memory_not_equal(secret, other, 32);
	assert_int_equal(tk_sign_public(TK_SUITE_CHACHA, secret, public_key, NULL), TK_OK);
	assert_int_equal(tk_sign_public(TK_SUITE_CHACHA, other, other_public, NULL), TK_OK);
	assert_int_equal(tk_sign(TK_SUITE_CHACHA, secret, msg, sizeof(msg), sig, NULL), TK_OK);

	assert_int_equal(tk_sign_verify(TK_SUITE_CHACHA, public_key, 32, msg, sizeof(msg), sig, 64, NULL), TK_OK);
	assert_int_equal(tk_sign_verify(TK_SUITE_CHACHA, other_public, 32, msg, sizeof(msg), sig, 64, &err), TK_ECORRUPT);
	assert_non_null(strstr(err.text, "wrong signature"));
	assert_int_equal(tk_sign_verify(TK_SUITE_CHACHA, public_key, 32, msg, sizeof(msg) - 1, sig, 64, NULL), TK_ECORRUPT);
	for (size_t i = 0; i < sizeof(sig); i++) {
		sig[i] ^= 1;
		assert_int_equal(tk_sign_verify(TK_SUITE_CHACHA, public_key, 32, msg, sizeof(msg), sig, 64, NULL), TK_ECORRUPT);
		sig[i] ^= 1;
	}
}

static void
keys_and_signatures_of_wrong_size_are_refused(void **state)
{
	uint8_t secret[32] = {1}, public_key[33] = {0}, sig[64] = {0};

	(void)state;
	assert_int_equal(tk_sign_verify(TK_SUITE_AES, public_key, 33, "m", 1, sig, 64, NULL), TK_ECORRUPT);
	assert_int_equal(tk_sign_verify(TK_SUITE_AES, public_key, 0, "m", 1, sig, 64, NULL), TK_ECORRUPT);
	assert_int_equal(tk_sign_verify(TK_SUITE_AES, public_key, 32, "m", 1, sig, 63, NULL), TK_ECORRUPT);
	memset(public_key, 0xff, sizeof(public_key));
	assert_int_equal(tk_sign_verify(TK_SUITE_AES, public_key, 32, "m", 1, sig, 64, NULL), TK_ECORRUPT);
	assert_int_equal(tk_sign(TK_SUITE_GM, secret, "m", 1, sig, NULL), TK_EUNSUPPORTED);
	assert_int_equal(tk_sign_public((enum tk_suite)7, secret, public_key, NULL), TK_EUNSUPPORTED);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(signing_gives_the_signatures_of_rfc_8032),
		cmocka_unit_test(what_was_altered_does_not_verify),
		cmocka_unit_test(keys_and_signatures_of_wrong_size_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
