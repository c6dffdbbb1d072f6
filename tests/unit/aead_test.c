/* Authenticated encryption: published vectors, and that every kind of tampering is seen. */
#include "tests/unit/unit.h"

#include <string.h>

#include "engine/base/hex.h"
#include "engine/crypto/aead.h"

struct vector {
	enum tk_suite suite;
	const char *key, *nonce, *aad, *plain, *sealed;
};

static const struct vector vectors[] = {
	/* The GCM specification (McGrew, Viega), test cases 13 to 16: AES-256. */
	{TK_SUITE_AES, "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "", "",
	    "530f8afbc74536b9a963b4f1c4cb738b"},
	{TK_SUITE_AES, "0000000000000000000000000000000000000000000000000000000000000000", "000000000000000000000000", "",
	    "00000000000000000000000000000000", "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919"},
	{TK_SUITE_AES, "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
	    "feedfacedeadbeeffeedfacedeadbeefabaddad2",
	    "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
	    "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
	    "76fc6ece0f4e1768cddf8853bb2d551b"},
	/* RFC 8439, section 2.8.2. */
	{TK_SUITE_CHACHA, "808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9f", "070000004041424344454647",
	    "50515253c0c1c2c3c4c5c6c7",
	    "4c616469657320616e642047656e746c656d656e206f662074686520636c617373206f66202739393a204966204920636f756c64206f6666657220796f"
	    "75206f6e6c79206f6e652074697020666f7220746865206675747572652c2073756e73637265656e20776f756c642062652069742e",
	    "d31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b1a71de0a9e060b2905d6a5b67e"
	    "cd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a"
	    "7e902ecbd0600691"},
};

static size_t
from_hex(const char *text, uint8_t *dst, size_t cap_bytes)
{
	size_t len_bytes = strlen(text) / 2;

	assert_true(len_bytes <= cap_bytes);
	assert_int_equal(tk_hex_decode(text, dst, len_bytes, NULL), TK_OK);
	return len_bytes;
}

static void
check_vector(const struct vector *v)
{
	TK_AUTO(tk_aead_cleanup) struct tk_aead *aead = NULL;
	uint8_t key[48], nonce[12], aad[64], plain[256], sealed[256], out[256];
	size_t key_bytes = from_hex(v->key, key, sizeof(key));
	size_t aad_bytes = from_hex(v->aad, aad, sizeof(aad));
	size_t plain_bytes = from_hex(v->plain, plain, sizeof(plain));
	size_t sealed_bytes = from_hex(v->sealed, sealed, sizeof(sealed));
	const struct tk_bytes parts[] = {{aad, aad_bytes / 3}, {aad + aad_bytes / 3, aad_bytes - aad_bytes / 3}};

	(void)from_hex(v->nonce, nonce, sizeof(nonce));
	assert_int_equal(tk_aead_new(v->suite, key, key_bytes, &aead, NULL), TK_OK);
	assert_int_equal(tk_aead_tag_bytes(aead) + plain_bytes, sealed_bytes);
	/* Twice: a context that was used gives the same as a fresh one. */
	for (int again = 0; again < 2; again++) {
		assert_int_equal(tk_aead_seal(aead, nonce, parts, 2, plain, plain_bytes, out, NULL), TK_OK);
		assert_memory_equal(out, sealed, sealed_bytes);
		assert_int_equal(tk_aead_open(aead, nonce, parts, 2, sealed, sealed_bytes, out, NULL), TK_OK);
		assert_memory_equal(out, plain, plain_bytes);
	}
	/* In place. */
	memcpy(out, plain, plain_bytes);
	assert_int_equal(tk_aead_seal(aead, nonce, parts, 2, out, plain_bytes, out, NULL), TK_OK);
	assert_memory_equal(out, sealed, sealed_bytes);
	assert_int_equal(tk_aead_open(aead, nonce, parts, 2, out, sealed_bytes, out, NULL), TK_OK);
	assert_memory_equal(out, plain, plain_bytes);
}

static void
sealing_gives_the_published_bytes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++)
		check_vector(&vectors[i]);
}

#define MSG_BYTES 100

struct sealed {
	struct tk_aead *aead;
	uint8_t key[32], nonce[12], aad[8], plain[MSG_BYTES], bytes[MSG_BYTES + 16];
};

static void
make_sealed(enum tk_suite suite, struct sealed *s)
{
	const struct tk_bytes part = {s->aad, sizeof(s->aad)};

	memset(s, 0x5a, sizeof(*s));
	assert_int_equal(tk_aead_new(suite, s->key, sizeof(s->key), &s->aead, NULL), TK_OK);
	assert_int_equal(tk_aead_seal(s->aead, s->nonce, &part, 1, s->plain, MSG_BYTES, s->bytes, NULL), TK_OK);
}

static enum tk_rc
open_sealed(struct sealed *s, uint8_t *out)
{
	const struct tk_bytes part = {s->aad, sizeof(s->aad)};

	memset(out, 0xff, MSG_BYTES);
	return tk_aead_open(s->aead, s->nonce, &part, 1, s->bytes, sizeof(s->bytes), out, NULL);
}

static void
tampering_is_seen_and_leaves_no_plain_text(void **state)
{
	static const uint8_t zero[MSG_BYTES];
	uint8_t out[MSG_BYTES];
	struct sealed s;

	(void)state;
	for (enum tk_suite suite = TK_SUITE_AES; suite <= TK_SUITE_CHACHA; suite++) {
		uint8_t *places[] = {s.nonce, s.aad, s.bytes, s.bytes + MSG_BYTES - 1, s.bytes + MSG_BYTES, s.bytes + MSG_BYTES + 15};

		make_sealed(suite, &s);
		for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
			*places[i] ^= 0x80;
			assert_int_equal(open_sealed(&s, out), TK_ECORRUPT);
			assert_memory_equal(out, zero, MSG_BYTES);
			*places[i] ^= 0x80;
			assert_int_equal(open_sealed(&s, out), TK_OK);
			assert_memory_equal(out, s.plain, MSG_BYTES);
		}
		tk_aead_free(s.aead);
	}
}

static void
a_wrong_key_opens_nothing_until_the_right_one_is_back(void **state)
{
	uint8_t out[MSG_BYTES], other[32] = {1};
	struct sealed s;

	(void)state;
	for (enum tk_suite suite = TK_SUITE_AES; suite <= TK_SUITE_CHACHA; suite++) {
		make_sealed(suite, &s);
		assert_int_equal(open_sealed(&s, out), TK_OK);
		assert_int_equal(tk_aead_rekey(s.aead, other, sizeof(other), NULL), TK_OK);
		assert_int_equal(open_sealed(&s, out), TK_ECORRUPT);
		assert_int_equal(tk_aead_rekey(s.aead, s.key, sizeof(s.key), NULL), TK_OK);
		assert_int_equal(open_sealed(&s, out), TK_OK);
		tk_aead_free(s.aead);
	}
}

static void
wrong_sizes_are_refused(void **state)
{
	TK_AUTO(tk_aead_cleanup) struct tk_aead *aead = NULL;
	uint8_t key[48] = {0}, nonce[12] = {0}, out[32];
	struct tk_bytes huge = {key, TK_AEAD_LEN_MAX + 1};

	(void)state;
	assert_int_equal(tk_aead_new(TK_SUITE_AES, key, 16, &aead, NULL), TK_EINVAL);
	assert_int_equal(tk_aead_new(TK_SUITE_GM, key, 48, &aead, NULL), TK_EUNSUPPORTED);
	assert_int_equal(tk_aead_new(TK_SUITE_AES, key, 32, &aead, NULL), TK_OK);
	assert_int_equal(tk_aead_rekey(aead, key, 31, NULL), TK_EINVAL);
	assert_int_equal(tk_aead_open(aead, nonce, NULL, 0, key, 15, out, NULL), TK_ECORRUPT);
	assert_int_equal(tk_aead_open(aead, nonce, NULL, 0, key, 16, out, NULL), TK_ECORRUPT);
	assert_int_equal(tk_aead_seal(aead, nonce, NULL, 0, key, TK_AEAD_LEN_MAX + 1, out, NULL), TK_EINVAL);
	assert_int_equal(tk_aead_seal(aead, nonce, &huge, 1, key, 1, out, NULL), TK_EINVAL);
	assert_int_equal(tk_aead_seal(aead, nonce, NULL, 0, key, 1, out, NULL), TK_OK);
	assert_int_equal(tk_aead_open(aead, nonce, NULL, 0, out, 17, out, NULL), TK_OK);
	assert_int_equal(out[0], 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealing_gives_the_published_bytes),
		cmocka_unit_test(tampering_is_seen_and_leaves_no_plain_text),
		cmocka_unit_test(a_wrong_key_opens_nothing_until_the_right_one_is_back),
		cmocka_unit_test(wrong_sizes_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
