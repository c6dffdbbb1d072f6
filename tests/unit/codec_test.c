/* Compression: round trips, bytes that do not shrink, and hostile packed bytes. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/hex.h"
#include "engine/codec/codec.h"

#define PLAIN_BYTES 100000

static void
fill_text(uint8_t *plain, size_t len_bytes)
{
	for (size_t i = 0; i < len_bytes; i++)
		plain[i] = (uint8_t)((size_t)"population register;"[i % 20] + (i / 977) % 7);
}

static void
round_trip(struct tk_compressor *comp, enum tk_codec codec, int level, const uint8_t *plain, size_t len_bytes, enum tk_codec expected)
{
	struct tk_buf packed;
	enum tk_codec used;
	uint8_t *back = malloc(len_bytes + 1);

	assert_non_null(back);
	tk_buf_init(&packed, 0);
	assert_int_equal(tk_buf_put_u8(&packed, 7, NULL), TK_OK);
	assert_int_equal(tk_compress(comp, codec, level, plain, len_bytes, &packed, &used, NULL), TK_OK);
	assert_int_equal(used, expected);
	assert_int_equal(packed.data[0], 7);
	assert_true(packed.len_bytes - 1 <= len_bytes);
	assert_int_equal(tk_decompress(comp, used, packed.data + 1, packed.len_bytes - 1, back, len_bytes, NULL), TK_OK);
	assert_memory_equal(back, plain, len_bytes);
	tk_buf_release(&packed);
	free(back);
}

static void
every_codec_gives_back_what_it_got(void **state)
{
	TK_AUTO(tk_compressor_cleanup) struct tk_compressor *comp = NULL;
	static uint8_t plain[PLAIN_BYTES];

	(void)state;
	fill_text(plain, sizeof(plain));
	assert_int_equal(tk_compressor_new(&comp, NULL), TK_OK);
	for (int level = -1; level <= 20; level += 3) {
		round_trip(comp, TK_CODEC_RAW, level, plain, sizeof(plain), TK_CODEC_RAW);
		round_trip(comp, TK_CODEC_ZSTD, level, plain, sizeof(plain), TK_CODEC_ZSTD);
		round_trip(comp, TK_CODEC_LZ4, level, plain, sizeof(plain), TK_CODEC_LZ4);
	}
	for (size_t len = 0; len < 3; len++) {
		round_trip(comp, TK_CODEC_ZSTD, 3, plain, len, TK_CODEC_RAW);
		round_trip(comp, TK_CODEC_LZ4, 1, plain, len, TK_CODEC_RAW);
	}
}

static void
bytes_that_do_not_shrink_stay_as_they_are(void **state)
{
	TK_AUTO(tk_compressor_cleanup) struct tk_compressor *comp = NULL;
	static uint8_t plain[PLAIN_BYTES];

	(void)state;
	assert_int_equal(tk_random_bytes(plain, sizeof(plain), NULL), TK_OK);
	assert_int_equal(tk_compressor_new(&comp, NULL), TK_OK);
	round_trip(comp, TK_CODEC_ZSTD, 3, plain, sizeof(plain), TK_CODEC_RAW);
	round_trip(comp, TK_CODEC_LZ4, 1, plain, sizeof(plain), TK_CODEC_RAW);
	round_trip(comp, TK_CODEC_LZ4, 9, plain, sizeof(plain), TK_CODEC_RAW);
}

static void
a_plain_length_that_is_not_exact_is_corrupt(void **state)
{
	TK_AUTO(tk_compressor_cleanup) struct tk_compressor *comp = NULL;
	static const enum tk_codec codecs[] = {TK_CODEC_RAW, TK_CODEC_ZSTD, TK_CODEC_LZ4};
	static uint8_t plain[PLAIN_BYTES], back[PLAIN_BYTES + 1];
	enum tk_codec used;

	(void)state;
	fill_text(plain, sizeof(plain));
	assert_int_equal(tk_compressor_new(&comp, NULL), TK_OK);
	for (size_t i = 0; i < 3; i++) {
		struct tk_buf packed;

		tk_buf_init(&packed, 0);
		assert_int_equal(tk_compress(comp, codecs[i], 1, plain, sizeof(plain), &packed, &used, NULL), TK_OK);
		assert_int_equal(used, codecs[i]);
		assert_int_equal(tk_decompress(comp, used, packed.data, packed.len_bytes, back, PLAIN_BYTES - 1, NULL), TK_ECORRUPT);
		assert_int_equal(tk_decompress(comp, used, packed.data, packed.len_bytes, back, PLAIN_BYTES + 1, NULL), TK_ECORRUPT);
		assert_int_equal(tk_decompress(comp, used, packed.data, packed.len_bytes, back, 0, NULL), TK_ECORRUPT);
		assert_int_equal(tk_decompress(comp, used, packed.data, packed.len_bytes - 1, back, PLAIN_BYTES, NULL), TK_ECORRUPT);
		assert_int_equal(tk_decompress(comp, used, packed.data, 0, back, PLAIN_BYTES, NULL), TK_ECORRUPT);
		tk_buf_release(&packed);
	}
}

static void
hostile_packed_bytes_are_an_error_and_nothing_worse(void **state)
{
	TK_AUTO(tk_compressor_cleanup) struct tk_compressor *comp = NULL;
	/* A zstd frame that declares a window of 3.75 TiB. */
	static const uint8_t huge_window[] = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xff, 0x01, 0x00, 0x00};
	static uint8_t plain[PLAIN_BYTES], back[PLAIN_BYTES], bad[PLAIN_BYTES];
	struct tk_buf packed;
	enum tk_codec used;

	(void)state;
	fill_text(plain, sizeof(plain));
	assert_int_equal(tk_compressor_new(&comp, NULL), TK_OK);
	assert_int_equal(tk_decompress(comp, TK_CODEC_ZSTD, huge_window, sizeof(huge_window), back, sizeof(back), NULL), TK_ECORRUPT);
	for (enum tk_codec codec = TK_CODEC_ZSTD; codec <= TK_CODEC_LZ4; codec++) {
		tk_buf_init(&packed, 0);
		assert_int_equal(tk_compress(comp, codec, 1, plain, sizeof(plain), &packed, &used, NULL), TK_OK);
		for (size_t i = 0; i < packed.len_bytes; i++) {
			memcpy(bad, packed.data, packed.len_bytes);
			bad[i] ^= 0x55;
			(void)!tk_decompress(comp, codec, bad, packed.len_bytes, back, sizeof(back), NULL);
		}
		tk_buf_release(&packed);
	}
	for (int i = 0; i < 200; i++) {
		assert_int_equal(tk_random_bytes(bad, 512, NULL), TK_OK);
		(void)!tk_decompress(comp, TK_CODEC_LZ4, bad, 512, back, sizeof(back), NULL);
		assert_int_equal(tk_decompress(comp, TK_CODEC_ZSTD, bad, 512, back, sizeof(back), NULL), TK_ECORRUPT);
	}
}

static void
an_unknown_codec_and_a_length_over_the_maximum_are_refused(void **state)
{
	TK_AUTO(tk_compressor_cleanup) struct tk_compressor *comp = NULL;
	struct tk_buf packed;
	enum tk_codec used;
	uint8_t byte = 0;

	(void)state;
	tk_buf_init(&packed, 0);
	assert_int_equal(tk_compressor_new(&comp, NULL), TK_OK);
	assert_int_equal(tk_decompress(comp, 3, &byte, 1, &byte, 1, NULL), TK_EUNSUPPORTED);
	assert_int_equal(tk_decompress(comp, UINT32_MAX, &byte, 1, &byte, 1, NULL), TK_EUNSUPPORTED);
	assert_int_equal(tk_decompress(comp, TK_CODEC_RAW, &byte, 1, &byte, TK_CODEC_PLAIN_MAX + 1, NULL), TK_EINVAL);
	assert_int_equal(tk_compress(comp, (enum tk_codec)3, 1, &byte, 1, &packed, &used, NULL), TK_EUNSUPPORTED);
	assert_int_equal(tk_compress(comp, TK_CODEC_ZSTD, 1, &byte, TK_CODEC_PLAIN_MAX + 1, &packed, &used, NULL), TK_EINVAL);
	assert_int_equal(packed.len_bytes, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_codec_gives_back_what_it_got),
		cmocka_unit_test(bytes_that_do_not_shrink_stay_as_they_are),
		cmocka_unit_test(a_plain_length_that_is_not_exact_is_corrupt),
		cmocka_unit_test(hostile_packed_bytes_are_an_error_and_nothing_worse),
		cmocka_unit_test(an_unknown_codec_and_a_length_over_the_maximum_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
