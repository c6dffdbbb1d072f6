/* Frames and control messages: what comes from outside is bounded and checked before it is believed. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "transport/frame.h"
#include "transport/message.h"

static void
a_frame_head_survives_the_round_trip(void **state)
{
	struct tk_frame_head head = {.len_bytes = 70000, .type = TK_FRAME_DATA, .more = true, .request = 0xfffffffe}, back;
	uint8_t raw[TK_FRAME_HEADER_BYTES];

	(void)state;
	assert_int_equal(tk_frame_encode_head(&head, raw, NULL), TK_OK);
	assert_int_equal(tk_frame_decode_head(raw, &back, NULL), TK_OK);
	assert_int_equal(back.len_bytes, 70000);
	assert_int_equal(back.type, TK_FRAME_DATA);
	assert_true(back.more);
	assert_int_equal(back.request, 0xfffffffe);
}

static void
a_frame_over_its_limit_is_neither_sent_nor_taken(void **state)
{
	struct tk_frame_head head = {.len_bytes = TK_FRAME_DATA_MAX + 1, .type = TK_FRAME_PACK_DATA}, back;
	uint8_t raw[TK_FRAME_HEADER_BYTES] = {0};
	struct tk_err err;

	(void)state;
	assert_int_equal(tk_frame_encode_head(&head, raw, NULL), TK_EINVAL);
	tk_store_u32(raw, TK_FRAME_CONTROL_MAX + 1);
	raw[4] = TK_FRAME_PUBLISH;
	assert_int_equal(tk_frame_decode_head(raw, &back, &err), TK_EPROTO);
	assert_non_null(strstr(err.text, "PUBLISH"));
	tk_store_u32(raw, 1);
	raw[4] = TK_FRAME_FLUSH;
	assert_int_equal(tk_frame_decode_head(raw, &back, NULL), TK_EPROTO);
}

static void
unknown_types_flags_and_reserved_bits_are_refused(void **state)
{
	uint8_t good[TK_FRAME_HEADER_BYTES] = {0, 0, 0, 0, TK_FRAME_PING}, raw[TK_FRAME_HEADER_BYTES];
	struct tk_frame_head head;

	(void)state;
	assert_int_equal(tk_frame_decode_head(good, &head, NULL), TK_OK);
	for (size_t at = 4; at < 8; at++) {
		memcpy(raw, good, sizeof(raw));
		raw[at] = 200;
		assert_int_equal(tk_frame_decode_head(raw, &head, NULL), TK_EPROTO);
	}
}

static void
error_codes_keep_their_numbers(void **state)
{
	(void)state;
	assert_int_equal(tk_frame_code_of(TK_EDENIED), 15);
	assert_int_equal(tk_frame_code_of(TK_ENOTSAFE), 23);
	assert_int_equal(tk_frame_rc_of(9), TK_EFENCED);
	assert_int_equal(tk_frame_rc_of(0), TK_EPROTO);
	assert_int_equal(tk_frame_rc_of(24), TK_EPROTO);
	assert_int_equal(tk_frame_rc_of(UINT32_MAX), TK_EPROTO);
}

static void
a_message_survives_the_round_trip(void **state)
{
	static const uint8_t name[32] = {7, 8, 9};
	Tk__Wire__Range sent = TK__WIRE__RANGE__INIT, *got;
	struct tk_buf buf;
	void *back;
	uint8_t copy[32];

	(void)state;
	tk_buf_init(&buf, 1000);
	sent.name = tk_message_bytes(name, sizeof(name));
	sent.offset_bytes = 1ull << 40;
	sent.len_bytes = 77;
	assert_int_equal(tk_message_encode(&sent, &buf, NULL), TK_OK);
	assert_int_equal(tk_message_decode(&tk__wire__range__descriptor, buf.data, buf.len_bytes, &back, NULL), TK_OK);
	got = back;
	assert_int_equal(tk_message_fixed(&got->name, copy, 32, "name", NULL), TK_OK);
	assert_memory_equal(copy, name, 32);
	assert_int_equal(tk_message_fixed(&got->name, copy, 16, "name", NULL), TK_EPROTO);
	assert_true(got->offset_bytes == 1ull << 40);
	assert_int_equal(got->len_bytes, 77);
	tk_message_free(back);
	tk_buf_release(&buf);
}

static void
an_empty_body_is_a_message_with_defaults(void **state)
{
	void *back;

	(void)state;
	assert_int_equal(tk_message_decode(&tk__wire__hello__descriptor, NULL, 0, &back, NULL), TK_OK);
	tk_message_free(back);
}

static void
a_message_that_wants_too_much_memory_is_refused(void **state)
{
	struct tk_buf buf;
	void *back;

	(void)state;
	tk_buf_init(&buf, 0);
	/* Field 99 (unknown), varint 0, three bytes each: every one costs the decoder a struct. */
	while (buf.len_bytes < (1u << 20))
		assert_int_equal(tk_buf_put(&buf, "\x98\x06\x00", 3, NULL), TK_OK);
	assert_int_equal(tk_message_decode(&tk__wire__hello__descriptor, buf.data, buf.len_bytes, &back, NULL), TK_EPROTO);
	assert_null(back);
	tk_buf_release(&buf);
}

static void
lists_with_a_broken_row_are_refused(void **state)
{
	static const uint8_t rows[112] = {1};
	ProtobufCBinaryData field = tk_message_bytes(rows, 64);
	struct tk_pack_names names;
	struct tk_store_point *points = NULL;
	size_t count = 0;

	(void)state;
	assert_int_equal(tk_message_names(&field, &names, NULL), TK_OK);
	assert_int_equal(names.count, 2);
	free(names.names);
	field.len = 63;
	assert_int_equal(tk_message_names(&field, &names, NULL), TK_EPROTO);
	assert_int_equal(tk_message_points(&field, &points, &count, NULL), TK_EPROTO);
	field.len = 112;
	assert_int_equal(tk_message_points(&field, &points, &count, NULL), TK_OK);
	assert_int_equal(count, 2);
	assert_true(points[0].at.epoch == 1);
	free(points);
}

static void
an_error_of_the_site_is_never_success(void **state)
{
	Tk__Wire__Error sent = TK__WIRE__ERROR__INIT;
	static const char text[] = "held by\nanother";
	struct tk_buf buf;
	struct tk_err err;

	(void)state;
	tk_buf_init(&buf, 1000);
	assert_int_equal(tk_message_error(buf.data, buf.len_bytes, &err), TK_EPROTO);
	sent.code = 15;
	sent.text = tk_message_bytes(text, strlen(text));
	assert_int_equal(tk_message_encode(&sent, &buf, NULL), TK_OK);
	assert_int_equal(tk_message_error(buf.data, buf.len_bytes, &err), TK_EDENIED);
	assert_string_equal(err.text, "held by?another");
	tk_buf_release(&buf);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_frame_head_survives_the_round_trip),
		cmocka_unit_test(a_frame_over_its_limit_is_neither_sent_nor_taken),
		cmocka_unit_test(unknown_types_flags_and_reserved_bits_are_refused),
		cmocka_unit_test(error_codes_keep_their_numbers),
		cmocka_unit_test(a_message_survives_the_round_trip),
		cmocka_unit_test(an_empty_body_is_a_message_with_defaults),
		cmocka_unit_test(a_message_that_wants_too_much_memory_is_refused),
		cmocka_unit_test(lists_with_a_broken_row_are_refused),
		cmocka_unit_test(an_error_of_the_site_is_never_success),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
