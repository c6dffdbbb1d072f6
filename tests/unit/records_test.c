/* The signed records: what was said comes back, and nothing that was changed is believed. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/opening.h"

static uint8_t seed[TK_KEY_BYTES] = {1, 2, 3, 4};

typedef enum tk_rc (*decode_fn)(const void *record, size_t len_bytes);

static struct tk_id
id_of(uint8_t byte)
{
	struct tk_id id;

	memset(&id, byte, sizeof(id));
	return id;
}

static struct tk_digest
digest_of(uint8_t byte)
{
	struct tk_digest digest;

	memset(&digest, byte, sizeof(digest));
	return digest;
}

/* Every flipped bit and every truncation of a record is refused, and so is a byte more. */
static void
expect_every_change_refused(const struct tk_buf *record, decode_fn decode)
{
	uint8_t *copy = malloc(record->len_bytes + 1);

	assert_non_null(copy);
	memcpy(copy, record->data, record->len_bytes);
	copy[record->len_bytes] = 0;
	assert_int_equal(decode(copy, record->len_bytes), TK_OK);
	assert_int_equal(decode(copy, record->len_bytes + 1), TK_ECORRUPT);
	for (size_t bit = 0; bit < record->len_bytes * 8; bit++) {
		enum tk_rc rc;

		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
		rc = decode(copy, record->len_bytes);
		if (rc != TK_ECORRUPT && !(rc == TK_EUNSUPPORTED && bit / 8 >= 8 && bit / 8 < 19))
			fail_msg("bit %zu gives %s", bit, tk_rc_name(rc));
		copy[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	free(copy);
	for (size_t len = 0; len < record->len_bytes; len++) {
		copy = malloc(len + 1);
		assert_non_null(copy);
		memcpy(copy, record->data, len);
		assert_int_equal(decode(copy, len), TK_ECORRUPT);
		free(copy);
	}
}

static enum tk_rc
decode_genesis(const void *record, size_t len)
{
	struct tk_genesis out;

	return tk_genesis_decode(record, len, &out, NULL);
}

static void
a_genesis_record_names_the_operator_who_signed_it(void **state)
{
	struct tk_genesis rec = {.suite = TK_SUITE_AES, .domain = id_of(1), .source = id_of(2), .incarnation = id_of(3),
	    .source_name = "registry-01", .created_ns = -5};
	struct tk_genesis back;
	struct tk_buf buf = {0};

	(void)state;
	memset(rec.writer_key, 9, sizeof(rec.writer_key));
	assert_int_equal(tk_genesis_seal(&rec, seed, &buf, NULL), TK_OK);
	assert_int_equal(tk_genesis_decode(buf.data, buf.len_bytes, &back, NULL), TK_OK);
	assert_memory_equal(&back.domain, &rec.domain, sizeof(rec.domain));
	assert_memory_equal(&back.source, &rec.source, sizeof(rec.source));
	assert_memory_equal(&back.incarnation, &rec.incarnation, sizeof(rec.incarnation));
	assert_memory_equal(back.writer_key, rec.writer_key, sizeof(rec.writer_key));
	assert_string_equal(back.source_name, "registry-01");
	assert_true(back.created_ns == -5);
	expect_every_change_refused(&buf, decode_genesis);
	tk_buf_release(&buf);
}

static enum tk_rc
decode_grant(const void *record, size_t len)
{
	struct tk_grant out;

	return tk_grant_decode(record, len, &out, NULL);
}

static void
a_grant_is_named_by_the_digest_of_its_bytes(void **state)
{
	struct tk_grant rec = {.suite = TK_SUITE_CHACHA, .domain = id_of(1), .incarnation = id_of(3), .epoch = 2, .parent = digest_of(4),
	    .created_ns = 7};
	struct tk_grant back;
	struct tk_buf buf = {0};

	(void)state;
	assert_int_equal(tk_grant_seal(&rec, seed, &buf, NULL), TK_OK);
	assert_int_equal(tk_grant_decode(buf.data, buf.len_bytes, &back, NULL), TK_OK);
	assert_int_equal(back.epoch, 2);
	assert_memory_equal(&back.parent, &rec.parent, sizeof(rec.parent));
	assert_memory_equal(&back.digest, &rec.digest, sizeof(rec.digest));
	assert_memory_equal(back.signer_key, rec.signer_key, sizeof(rec.signer_key));
	expect_every_change_refused(&buf, decode_grant);
	rec.epoch = 0;
	assert_int_equal(tk_grant_seal(&rec, seed, &buf, NULL), TK_EINVAL);
	rec.epoch = 1;
	assert_int_equal(tk_grant_seal(&rec, seed, &buf, NULL), TK_EINVAL);
	tk_buf_release(&buf);
}

static enum tk_rc
decode_vote(const void *record, size_t len)
{
	struct tk_vote out;

	return tk_vote_decode(record, len, &out, NULL);
}

static void
a_vote_comes_back_with_or_without_a_head(void **state)
{
	struct tk_vote rec = {.suite = TK_SUITE_AES, .domain = id_of(1), .site = id_of(2), .vault_incarnation = id_of(3), .epoch = 5,
	    .counter = 12, .grant = digest_of(8), .time_ns = 1};
	struct tk_vote back;
	struct tk_buf buf = {0};

	(void)state;
	assert_int_equal(tk_vote_seal(&rec, seed, &buf, NULL), TK_OK);
	assert_int_equal(tk_vote_decode(buf.data, buf.len_bytes, &back, NULL), TK_OK);
	assert_int_equal(back.head.epoch, 0);
	assert_int_equal(back.counter, 12);
	tk_buf_clear(&buf);
	rec.head = (struct tk_head){4, 17, digest_of(6)};
	assert_int_equal(tk_vote_seal(&rec, seed, &buf, NULL), TK_OK);
	assert_int_equal(tk_vote_decode(buf.data, buf.len_bytes, &back, NULL), TK_OK);
	assert_memory_equal(&back.head, &rec.head, sizeof(rec.head));
	assert_memory_equal(&back.grant, &rec.grant, sizeof(rec.grant));
	expect_every_change_refused(&buf, decode_vote);
	rec.head.epoch = 0;
	assert_int_equal(tk_vote_seal(&rec, seed, &buf, NULL), TK_EINVAL);
	tk_buf_release(&buf);
}

static enum tk_rc
decode_receipt(const void *record, size_t len)
{
	struct tk_receipt out;

	return tk_receipt_decode(record, len, &out, NULL);
}

static void
a_receipt_says_what_the_site_promised(void **state)
{
	struct tk_receipt rec = {.suite = TK_SUITE_AES, .domain = id_of(1), .site = id_of(2), .vault_incarnation = id_of(3),
	    .at = {3, 9, digest_of(5)}, .site_name = "east", .counter = 77, .promised_epoch = 3, .time_ns = 12};
	struct tk_receipt back;
	struct tk_buf buf = {0};

	(void)state;
	assert_int_equal(tk_receipt_seal(&rec, seed, &buf, NULL), TK_OK);
	assert_int_equal(tk_receipt_decode(buf.data, buf.len_bytes, &back, NULL), TK_OK);
	assert_memory_equal(&back.at, &rec.at, sizeof(rec.at));
	assert_string_equal(back.site_name, "east");
	assert_int_equal(back.counter, 77);
	assert_int_equal(back.promised_epoch, 3);
	expect_every_change_refused(&buf, decode_receipt);
	tk_buf_release(&buf);
}

struct point_fixture {
	struct tk_keyring ring;
	const struct tk_domain_keys *keys;
	struct tk_point point;
	struct tk_pack_ident packs[2];
	struct tk_point_body body;
	struct tk_buf record;
};

static char name_data[] = "data", name_source[] = "registry-01", root_a[] = "/srv/a", root_b[] = "/";
static char *roots[] = {root_a, root_b};

static int
point_setup(void **state)
{
	struct point_fixture *fx = calloc(1, sizeof(*fx));
	struct tk_id domain;

	assert_non_null(fx);
	assert_int_equal(tk_keyring_generate(TK_SUITE_AES, &fx->ring, NULL), TK_OK);
	assert_int_equal(tk_keyring_add_domain(&fx->ring, &domain, NULL), TK_OK);
	fx->keys = tk_keyring_domain(&fx->ring, &domain);
	memset(&fx->packs[0].name, 1, sizeof(fx->packs[0].name));
	memset(&fx->packs[1].name, 2, sizeof(fx->packs[1].name));
	fx->packs[1].len_bytes = TK_PACK_BYTES_MAX;
	fx->point = (struct tk_point){.suite = TK_SUITE_AES, .domain = domain, .dataset = domain, .incarnation = id_of(4), .at = {1, 7, {{0}}},
	    .grant = digest_of(5), .packs = fx->packs, .pack_count = 2, .root_blob = 3};
	fx->point.root_pack = fx->packs[0].name;
	fx->body = (struct tk_point_body){.dataset_name = name_data, .source_name = name_source, .scan_start_ns = 10, .scan_end_ns = 20,
	    .tree = digest_of(6), .segment_bytes = TK_SEGMENT_BYTES, .entries = 100, .files = 90, .total_bytes = 1ull << 40, .files_new = 1,
	    .files_changed = 2, .files_removed = 3, .files_unreadable = 4, .files_inconsistent = 5, .literal_bytes = 6, .stored_bytes = 7,
	    .roots = roots, .root_count = 2};
	*state = fx;
	return 0;
}

static int
point_teardown(void **state)
{
	struct point_fixture *fx = *state;

	tk_buf_release(&fx->point.opening);
	tk_buf_release(&fx->record);
	tk_keyring_release(&fx->ring);
	free(fx);
	return 0;
}

static enum tk_rc
decode_point(const void *record, size_t len)
{
	struct tk_point out;
	enum tk_rc rc = tk_point_decode(record, len, &out, NULL);

	if (rc == TK_OK)
		tk_point_release(&out);
	return rc;
}

static void
a_point_comes_back_and_nothing_of_it_can_be_changed(void **state)
{
	struct point_fixture *fx = *state;
	struct tk_point back;

	assert_int_equal(tk_point_seal(&fx->point, &fx->body, fx->keys, fx->ring.writer_seed, &fx->record, NULL), TK_OK);
	assert_int_equal(fx->point.key_epoch, 1);
	assert_int_equal(tk_point_decode(fx->record.data, fx->record.len_bytes, &back, NULL), TK_OK);
	assert_memory_equal(&back.at, &fx->point.at, sizeof(back.at));
	assert_memory_equal(back.writer_key, fx->point.writer_key, sizeof(back.writer_key));
	assert_memory_equal(&back.grant, &fx->point.grant, sizeof(back.grant));
	assert_int_equal(back.pack_count, 2);
	assert_memory_equal(&back.packs[1], &fx->packs[1], sizeof(fx->packs[1]));
	assert_int_equal(back.root_blob, 3);
	assert_int_equal(back.opening.len_bytes, 0);
	tk_point_release(&back);
	expect_every_change_refused(&fx->record, decode_point);
}

static void
the_body_opens_for_the_domains_key_only(void **state)
{
	struct point_fixture *fx = *state;
	struct tk_domain_keys other = *fx->keys;
	struct tk_data_key key = fx->keys->data_keys[0];
	struct tk_point_body back;

	assert_int_equal(tk_point_seal(&fx->point, &fx->body, fx->keys, fx->ring.writer_seed, &fx->record, NULL), TK_OK);
	assert_int_equal(tk_point_open_body(fx->record.data, fx->record.len_bytes, fx->keys, &back, NULL), TK_OK);
	assert_string_equal(back.dataset_name, name_data);
	assert_string_equal(back.source_name, name_source);
	assert_true(back.scan_start_ns == 10 && back.scan_end_ns == 20);
	assert_memory_equal(&back.tree, &fx->body.tree, sizeof(back.tree));
	assert_true(back.total_bytes == 1ull << 40);
	assert_int_equal(back.stored_bytes, 7);
	assert_int_equal(back.root_count, 2);
	assert_string_equal(back.roots[0], root_a);
	tk_point_body_release(&back);
	key.key[31] ^= 1;
	other.data_keys = &key;
	assert_int_equal(tk_point_open_body(fx->record.data, fx->record.len_bytes, &other, &back, NULL), TK_EKEY);
	key.key_epoch = 2;
	assert_int_equal(tk_point_open_body(fx->record.data, fx->record.len_bytes, &other, &back, NULL), TK_EKEY);
	other.domain.b[0] ^= 1;
	assert_int_equal(tk_point_open_body(fx->record.data, fx->record.len_bytes, &other, &back, NULL), TK_EKEY);
	/* The body is bound to what stands in the clear before it: here the parent. */
	fx->record.data[8 + 2 + 1 + 16 + 48 + 8 + 32 + 8] ^= 1;
	assert_int_equal(tk_point_open_body(fx->record.data, fx->record.len_bytes, fx->keys, &back, NULL), TK_ECORRUPT);
}

static void
a_point_whose_opening_is_malformed_is_not_read(void **state)
{
	struct point_fixture *fx = *state;
	struct tk_opening opening = {.grant = {"grant", 5}, .votes = {{"one", 3}}, .vote_count = 1};

	assert_int_equal(tk_opening_encode(&opening, &fx->point.opening, NULL), TK_OK);
	assert_int_equal(tk_point_seal(&fx->point, &fx->body, fx->keys, fx->ring.writer_seed, &fx->record, NULL), TK_OK);
	assert_int_equal(decode_point(fx->record.data, fx->record.len_bytes), TK_OK);
	fx->record.len_bytes = 0;
	fx->point.opening.len_bytes--;
	assert_int_equal(tk_point_seal(&fx->point, &fx->body, fx->keys, fx->ring.writer_seed, &fx->record, NULL), TK_OK);
	assert_int_equal(decode_point(fx->record.data, fx->record.len_bytes), TK_ECORRUPT);
}

static void
a_point_that_the_format_forbids_is_not_sealed_or_not_read(void **state)
{
	struct point_fixture *fx = *state;

	fx->packs[1].name = fx->packs[0].name;
	assert_int_equal(tk_point_seal(&fx->point, &fx->body, fx->keys, fx->ring.writer_seed, &fx->record, NULL), TK_OK);
	assert_int_equal(decode_point(fx->record.data, fx->record.len_bytes), TK_ECORRUPT);
	fx->record.len_bytes = 0;
	fx->point.at.sequence = 0;
	assert_int_equal(tk_point_seal(&fx->point, &fx->body, fx->keys, fx->ring.writer_seed, &fx->record, NULL), TK_EINVAL);
	fx->point.at.sequence = 1;
	fx->body.roots = &fx->body.dataset_name;
	assert_int_equal(tk_point_seal(&fx->point, &fx->body, fx->keys, fx->ring.writer_seed, &fx->record, NULL), TK_EINVAL);
	assert_int_equal(fx->record.len_bytes, 0);
}

static void
heads_are_ordered_and_name_their_files(void **state)
{
	struct tk_head a = {1, 0x7f, digest_of(0xab)}, b = {2, 1, digest_of(0)};
	char name[TK_POINT_FILE_NAME_MAX];

	(void)state;
	assert_true(tk_head_compare(&a, &b) < 0);
	assert_true(tk_head_compare(&b, &a) > 0);
	b.epoch = 1;
	assert_true(tk_head_compare(&a, &b) > 0);
	assert_int_equal(tk_head_compare(&a, &a), 0);
	tk_point_file_name(&a, name);
	assert_string_equal(name, "00000001-000000000000007f-abababababababababababababababab");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_genesis_record_names_the_operator_who_signed_it),
		cmocka_unit_test(a_grant_is_named_by_the_digest_of_its_bytes),
		cmocka_unit_test(a_vote_comes_back_with_or_without_a_head),
		cmocka_unit_test(a_receipt_says_what_the_site_promised),
		cmocka_unit_test_setup_teardown(a_point_comes_back_and_nothing_of_it_can_be_changed, point_setup, point_teardown),
		cmocka_unit_test_setup_teardown(the_body_opens_for_the_domains_key_only, point_setup, point_teardown),
		cmocka_unit_test_setup_teardown(a_point_whose_opening_is_malformed_is_not_read, point_setup, point_teardown),
		cmocka_unit_test_setup_teardown(a_point_that_the_format_forbids_is_not_sealed_or_not_read, point_setup, point_teardown),
		cmocka_unit_test(heads_are_ordered_and_name_their_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
