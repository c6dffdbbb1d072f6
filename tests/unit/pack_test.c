/* Packs: blobs sealed and opened, the file and its index, and every kind of damage told. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/vault/pack.h"

struct fixture {
	struct tk_keyring ring;
	const struct tk_domain_keys *keys;
	struct tk_id incarnation;
	struct tk_packtab *packs;
	struct tk_sealer *sealer;
	struct tk_opener *opener;
	struct tk_pack_name other;        /* a pack that the small one refers to */
	struct tk_pack_ident ident;
	uint8_t *bytes;                   /* the small pack's file */
	size_t len;
};

#define TEXT "the same line again and again, the same line again and again, the same line again and again"

static void
append(struct fixture *fx, struct tk_pack_file *file, const struct tk_pack_head *head, uint32_t blob, enum tk_blob_type type, const char *text,
    const struct tk_blob_ref *refs, size_t ref_count)
{
	struct tk_buf sealed = {0};
	struct tk_blob_info info;

	assert_int_equal(tk_seal_blob(fx->sealer, head, blob, type, TK_CODEC_ZSTD, 3, text, strlen(text), &sealed, &info, NULL), TK_OK);
	assert_int_equal(tk_pack_file_append(file, blob, &info, sealed.data, refs, ref_count, NULL), TK_OK);
	tk_buf_release(&sealed);
}

static uint8_t *
read_whole(int fd, size_t len)
{
	uint8_t *bytes = malloc(len + 1);

	assert_non_null(bytes);
	assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)len);
	assert_int_equal(pread(fd, bytes, len, 0), (ssize_t)len);
	return bytes;
}

static int
setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	struct tk_pack_head head;
	struct tk_pack_file *file = NULL;
	struct tk_id domain;
	struct tk_blob_ref refs[4];
	uint32_t own, other;
	int fd = memfd_create("pack", MFD_CLOEXEC);

	assert_non_null(fx);
	assert_true(fd >= 0);
	memset(&fx->other, 0x77, sizeof(fx->other));
	assert_int_equal(tk_keyring_generate(TK_SUITE_AES, &fx->ring, NULL), TK_OK);
	assert_int_equal(tk_keyring_add_domain(&fx->ring, &domain, NULL), TK_OK);
	fx->keys = tk_keyring_domain(&fx->ring, &domain);
	assert_int_equal(tk_packtab_new(&fx->packs, NULL), TK_OK);
	assert_int_equal(tk_sealer_new(&fx->sealer, NULL), TK_OK);
	assert_int_equal(tk_opener_new(&fx->opener, NULL), TK_OK);
	assert_int_equal(tk_pack_head_begin(fx->keys, TK_SUITE_AES, TK_PACK_MIXED, &fx->incarnation, &head, NULL), TK_OK);
	assert_int_equal(tk_packtab_intern(fx->packs, &fx->other, &other, NULL), TK_OK);
	assert_int_equal(tk_pack_file_begin(fd, &head, fx->packs, &file, NULL), TK_OK);
	assert_int_equal(tk_packtab_intern(fx->packs, &head.name, &own, NULL), TK_OK);
	append(fx, file, &head, 0, TK_BLOB_DATA, TEXT, NULL, 0);
	append(fx, file, &head, 1, TK_BLOB_DATA, "short", NULL, 0);
	refs[0] = (struct tk_blob_ref){other, 9};
	refs[1] = (struct tk_blob_ref){own, 1};
	refs[2] = (struct tk_blob_ref){other, 9};
	refs[3] = (struct tk_blob_ref){own, 0};
	append(fx, file, &head, 2, TK_BLOB_LEAF, "a leaf", refs, 4);
	append(fx, file, &head, 3, TK_BLOB_CONTENTS, "contents", NULL, 0);
	assert_int_equal(tk_pack_file_finish(file, &fx->ident, NULL), TK_OK);
	fx->len = (size_t)fx->ident.len_bytes;
	fx->bytes = read_whole(fd, fx->len);
	tk_pack_file_cleanup(&file);
	tk_pack_head_wipe(&head);
	close(fd);
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fx = *state;

	tk_keyring_release(&fx->ring);
	tk_packtab_cleanup(&fx->packs);
	tk_sealer_cleanup(&fx->sealer);
	tk_opener_cleanup(&fx->opener);
	free(fx->bytes);
	free(fx);
	return 0;
}

static enum tk_rc
read_index(const struct tk_domain_keys *keys, const uint8_t *bytes, size_t len, struct tk_pack_index **out)
{
	uint8_t header[TK_PACK_HEADER_BYTES] = {0};

	memcpy(header, bytes, len < sizeof(header) ? len : sizeof(header));
	return tk_pack_index_read(keys, header, bytes, len, len, out, NULL);
}

/* Proving overwrites the sealed bytes. */
static enum tk_rc
prove(struct fixture *fx, const struct tk_pack_index *index, uint32_t blob, const uint8_t *bytes)
{
	uint32_t len_bytes = index->blobs[blob].sealed_bytes;
	uint8_t *sealed = malloc(len_bytes + 1u);
	enum tk_rc rc;

	assert_non_null(sealed);
	memcpy(sealed, bytes + index->blobs[blob].offset_bytes, len_bytes);
	rc = tk_prove_blob(fx->opener, index, blob, sealed, len_bytes, NULL);
	free(sealed);
	return rc;
}

/* What a reader does with a whole pack; the first fault. To prove a blob finds what opening it does. */
static enum tk_rc
read_all(struct fixture *fx, const struct tk_domain_keys *keys, const uint8_t *bytes, size_t len)
{
	TK_AUTO(tk_pack_index_cleanup) struct tk_pack_index *index = NULL;
	TK_AUTO(tk_buf_release) struct tk_buf plain = {0};
	enum tk_rc rc = read_index(keys, bytes, len, &index);

	for (uint32_t i = 0; rc == TK_OK && i < index->blob_count; i++) {
		rc = tk_open_blob(fx->opener, index, i, bytes + index->blobs[i].offset_bytes, index->blobs[i].sealed_bytes, &plain, NULL);
		assert_int_equal(prove(fx, index, i, bytes), rc);
	}
	return rc;
}

static void
expect_blob(struct fixture *fx, const struct tk_pack_index *index, uint32_t blob, const char *text)
{
	struct tk_buf plain = {0};
	const struct tk_blob_info *info = &index->blobs[blob];

	assert_int_equal(tk_check_blob(fx->opener, index, blob, fx->bytes + info->offset_bytes, info->sealed_bytes, NULL), TK_OK);
	assert_int_equal(tk_open_blob(fx->opener, index, blob, fx->bytes + info->offset_bytes, info->sealed_bytes, &plain, NULL), TK_OK);
	assert_int_equal(plain.len_bytes, strlen(text));
	assert_memory_equal(plain.data, text, plain.len_bytes);
	tk_buf_release(&plain);
}

static void
a_pack_gives_back_its_blobs_and_references(void **state)
{
	struct fixture *fx = *state;
	struct tk_pack_index *index = NULL;

	assert_int_equal(read_index(fx->keys, fx->bytes, fx->len, &index), TK_OK);
	assert_int_equal(index->blob_count, 4);
	assert_memory_equal(&index->ident, &fx->ident, sizeof(fx->ident));
	assert_int_equal(index->blobs[0].codec, TK_CODEC_ZSTD);
	assert_int_equal(index->blobs[1].codec, TK_CODEC_RAW);
	expect_blob(fx, index, 0, TEXT);
	expect_blob(fx, index, 1, "short");
	expect_blob(fx, index, 2, "a leaf");
	expect_blob(fx, index, 3, "contents");
	assert_int_equal(index->name_count, 1);
	assert_memory_equal(&index->names[0], &fx->other, sizeof(fx->other));
	assert_int_equal(index->ref_start[2], 0);
	assert_int_equal(index->ref_start[3], 3);
	assert_int_equal(index->refs[0].pack_index, 0);
	assert_int_equal(index->refs[0].blob, 0);
	assert_int_equal(index->refs[1].blob, 1);
	assert_int_equal(index->refs[2].pack_index, 1);
	assert_int_equal(index->refs[2].blob, 9);
	tk_pack_index_cleanup(&index);
}

static void
a_site_reads_and_checks_a_pack_without_a_key_and_opens_nothing(void **state)
{
	struct fixture *fx = *state;
	struct tk_pack_index *index = NULL;
	struct tk_buf plain = {0};
	const struct tk_blob_info *info;

	assert_int_equal(read_index(NULL, fx->bytes, fx->len, &index), TK_OK);
	info = &index->blobs[0];
	assert_int_equal(tk_check_blob(fx->opener, index, 0, fx->bytes + info->offset_bytes, info->sealed_bytes, NULL), TK_OK);
	assert_int_equal(tk_check_blob(fx->opener, index, 0, fx->bytes + info->offset_bytes + 1, info->sealed_bytes, NULL), TK_ECORRUPT);
	assert_int_equal(tk_open_blob(fx->opener, index, 0, fx->bytes + info->offset_bytes, info->sealed_bytes, &plain, NULL), TK_EINVAL);
	tk_pack_index_cleanup(&index);
	tk_buf_release(&plain);
}

static void
every_flipped_bit_is_detected(void **state)
{
	struct fixture *fx = *state;

	assert_int_equal(read_all(fx, fx->keys, fx->bytes, fx->len), TK_OK);
	for (size_t bit = 0; bit < fx->len * 8; bit++) {
		enum tk_rc rc;

		fx->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		rc = read_all(fx, fx->keys, fx->bytes, fx->len);
		/* Only the suite says how the digest is made: an unknown one cannot be told from a damaged one. */
		if (rc != TK_ECORRUPT && !(rc == TK_EUNSUPPORTED && bit / 8 == 10))
			fail_msg("bit %zu gives %s", bit, tk_rc_name(rc));
		fx->bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void
a_pack_cut_at_any_length_is_damaged(void **state)
{
	struct fixture *fx = *state;

	for (size_t len = 0; len < fx->len; len++) {
		uint8_t *cut = malloc(len + 1);

		assert_non_null(cut);
		memcpy(cut, fx->bytes, len);
		assert_int_equal(read_all(fx, fx->keys, cut, len), TK_ECORRUPT);
		free(cut);
	}
}

static void
another_key_is_told_from_damage(void **state)
{
	struct fixture *fx = *state;
	struct tk_domain_keys keys = *fx->keys;
	struct tk_data_key wrong = fx->keys->data_keys[0];

	wrong.key[0] ^= 1;
	keys.data_keys = &wrong;
	assert_int_equal(read_all(fx, &keys, fx->bytes, fx->len), TK_EKEY);
	wrong = fx->keys->data_keys[0];
	assert_int_equal(read_all(fx, &keys, fx->bytes, fx->len), TK_OK);
	wrong.key_epoch = 2;
	assert_int_equal(read_all(fx, &keys, fx->bytes, fx->len), TK_EKEY);
	keys = *fx->keys;
	keys.domain.b[0] ^= 1;
	assert_int_equal(read_all(fx, &keys, fx->bytes, fx->len), TK_EKEY);
}

static void
a_blob_does_not_open_in_the_place_of_another(void **state)
{
	struct fixture *fx = *state;
	struct tk_pack_index *index = NULL;
	struct tk_buf plain = {0}, sealed = {0};
	struct tk_pack_head head;
	struct tk_blob_info info;

	assert_int_equal(read_index(fx->keys, fx->bytes, fx->len, &index), TK_OK);
	assert_int_equal(tk_pack_head_read(fx->keys, fx->bytes, &head, NULL), TK_OK);
	assert_int_equal(tk_seal_blob(fx->sealer, &head, 7, TK_BLOB_DATA, TK_CODEC_RAW, 0, "short", 5, &sealed, &info, NULL), TK_OK);
	assert_int_equal(tk_open_blob(fx->opener, index, 1, sealed.data, sealed.len_bytes, &plain, NULL), TK_ECORRUPT);
	assert_int_equal(tk_open_blob(fx->opener, index, 4, sealed.data, sealed.len_bytes, &plain, NULL), TK_ECORRUPT);
	assert_int_equal(tk_open_blob(fx->opener, index, 1, sealed.data, sealed.len_bytes - 1, &plain, NULL), TK_ECORRUPT);
	tk_pack_head_wipe(&head);
	tk_buf_release(&plain);
	tk_buf_release(&sealed);
	tk_pack_index_cleanup(&index);
}

static void
a_writer_who_breaks_the_format_is_refused(void **state)
{
	struct fixture *fx = *state;
	struct tk_pack_head head;
	struct tk_pack_file *file = NULL;
	struct tk_blob_info info;
	struct tk_buf sealed = {0};
	struct tk_blob_ref ref = {0, 0};
	int fd = memfd_create("pack", MFD_CLOEXEC);

	assert_int_equal(tk_pack_head_begin(fx->keys, TK_SUITE_CHACHA, TK_PACK_DATA, &fx->incarnation, &head, NULL), TK_OK);
	assert_int_equal(tk_pack_file_begin(fd, &head, fx->packs, &file, NULL), TK_OK);
	assert_int_equal(tk_packtab_intern(fx->packs, &head.name, &ref.pack, NULL), TK_OK);
	assert_int_equal(tk_seal_blob(fx->sealer, &head, 0, TK_BLOB_LEAF, TK_CODEC_LZ4, 0, TEXT, strlen(TEXT), &sealed, &info, NULL), TK_OK);
	assert_int_equal(tk_pack_file_append(file, 1, &info, sealed.data, NULL, 0, NULL), TK_EINVAL);
	assert_int_equal(tk_pack_file_append(file, 0, &info, sealed.data, &ref, 1, NULL), TK_EINVAL);
	assert_int_equal(tk_pack_file_append(file, 0, &info, sealed.data, NULL, 0, NULL), TK_OK);
	assert_int_equal(tk_pack_file_append(file, 1, &info, sealed.data, &ref, 1, NULL), TK_OK);
	info.type = TK_BLOB_DATA;
	assert_int_equal(tk_pack_file_append(file, 2, &info, sealed.data, &ref, 1, NULL), TK_EINVAL);
	info.type = TK_BLOB_CONTENTS;
	assert_int_equal(tk_pack_file_append(file, 2, &info, sealed.data, NULL, 0, NULL), TK_OK);
	info.type = TK_BLOB_DATA;
	assert_int_equal(tk_pack_file_append(file, 3, &info, sealed.data, NULL, 0, NULL), TK_EINVAL);
	assert_int_equal(tk_pack_head_begin(fx->keys, TK_SUITE_GM, TK_PACK_DATA, &fx->incarnation, &head, NULL), TK_EUNSUPPORTED);
	tk_buf_release(&sealed);
	tk_pack_file_cleanup(&file);
	close(fd);
}

static void
big_and_empty_blobs_come_back_and_too_big_ones_are_refused(void **state)
{
	struct fixture *fx = *state;
	struct tk_pack_head head;
	struct tk_pack_file *file = NULL;
	struct tk_pack_index *index = NULL;
	struct tk_buf sealed = {0}, plain = {0};
	struct tk_blob_info info;
	struct tk_pack_ident ident;
	uint8_t *data = calloc(1, TK_BLOB_DATA_MAX + 1), *bytes;
	int fd = memfd_create("pack", MFD_CLOEXEC);

	assert_non_null(data);
	assert_int_equal(tk_pack_head_begin(fx->keys, TK_SUITE_CHACHA, TK_PACK_DATA, &fx->incarnation, &head, NULL), TK_OK);
	assert_int_equal(tk_pack_file_begin(fd, &head, fx->packs, &file, NULL), TK_OK);
	assert_int_equal(tk_seal_blob(fx->sealer, &head, 0, TK_BLOB_DATA, TK_CODEC_ZSTD, 3, data, TK_BLOB_DATA_MAX + 1, &sealed, &info, NULL),
	    TK_EINVAL);
	assert_int_equal(tk_seal_blob(fx->sealer, &head, 0, TK_BLOB_DATA, TK_CODEC_LZ4, 1, data, TK_BLOB_DATA_MAX, &sealed, &info, NULL), TK_OK);
	assert_int_equal(tk_pack_file_append(file, 0, &info, sealed.data, NULL, 0, NULL), TK_OK);
	assert_int_equal(tk_seal_blob(fx->sealer, &head, 1, TK_BLOB_DATA, TK_CODEC_ZSTD, 3, data, 0, &sealed, &info, NULL), TK_OK);
	assert_int_equal(tk_pack_file_append(file, 1, &info, sealed.data, NULL, 0, NULL), TK_OK);
	assert_int_equal(tk_pack_file_finish(file, &ident, NULL), TK_OK);
	bytes = read_whole(fd, (size_t)ident.len_bytes);
	assert_int_equal(read_index(fx->keys, bytes, (size_t)ident.len_bytes, &index), TK_OK);
	assert_int_equal(tk_open_blob(fx->opener, index, 0, bytes + index->blobs[0].offset_bytes, index->blobs[0].sealed_bytes, &plain, NULL), TK_OK);
	assert_int_equal(plain.len_bytes, TK_BLOB_DATA_MAX);
	assert_memory_equal(plain.data, data, TK_BLOB_DATA_MAX);
	assert_int_equal(tk_open_blob(fx->opener, index, 1, bytes + index->blobs[1].offset_bytes, index->blobs[1].sealed_bytes, &plain, NULL), TK_OK);
	assert_int_equal(plain.len_bytes, 0);
	tk_pack_index_cleanup(&index);
	tk_pack_file_cleanup(&file);
	tk_buf_release(&sealed);
	tk_buf_release(&plain);
	free(bytes);
	free(data);
	close(fd);
}

static void
the_footer_is_found_from_the_trailer_alone(void **state)
{
	struct fixture *fx = *state;
	struct tk_pack_index *index = NULL;
	uint32_t footer;
	size_t tail;

	assert_int_equal(tk_pack_footer_bytes(fx->bytes + fx->len - TK_PACK_TRAILER_BYTES, fx->len, &footer, NULL), TK_OK);
	assert_int_equal(tk_pack_footer_bytes(fx->bytes + fx->len - TK_PACK_TRAILER_BYTES, fx->len + 1, &footer, NULL), TK_ECORRUPT);
	tail = footer + TK_PACK_TRAILER_BYTES;
	assert_int_equal(tk_pack_index_read(NULL, fx->bytes, fx->bytes + fx->len - tail, tail, fx->len, &index, NULL), TK_OK);
	tk_pack_index_cleanup(&index);
	tail--;
	assert_int_equal(tk_pack_index_read(NULL, fx->bytes, fx->bytes + fx->len - tail, tail, fx->len, &index, NULL), TK_EINVAL);
}

static void
contents_rows_survive_and_disorder_is_refused(void **state)
{
	struct tk_content_row rows[] = {{0, 0, 100, {1}}, {0, 100, 5, {2}}, {7, 1, TK_BLOB_DATA_MAX - 1, {3}}};
	struct tk_content_row *back = NULL;
	struct tk_buf plain = {0};
	size_t count = 0;

	(void)state;
	assert_int_equal(tk_contents_encode(rows, 3, &plain, NULL), TK_OK);
	assert_int_equal(tk_contents_decode(plain.data, plain.len_bytes, &back, &count, NULL), TK_OK);
	assert_int_equal(count, 3);
	for (size_t i = 0; i < 3; i++)
		assert_memory_equal(&back[i], &rows[i], sizeof(rows[i]));
	free(back);
	for (size_t len = 0; len < plain.len_bytes; len++)
		assert_int_equal(tk_contents_decode(plain.data, len, &back, &count, NULL), TK_ECORRUPT);
	rows[1].offset_bytes = 0;
	assert_int_equal(tk_contents_encode(rows, 3, &plain, NULL), TK_EINVAL);
	rows[1].offset_bytes = TK_BLOB_DATA_MAX;
	assert_int_equal(tk_contents_encode(rows, 3, &plain, NULL), TK_EINVAL);
	tk_buf_release(&plain);
}

static void
a_pack_keeps_the_number_it_got_first(void **state)
{
	struct tk_packtab *tab = NULL;
	struct tk_pack_name name = {{0}};
	uint32_t number;

	(void)state;
	assert_int_equal(tk_packtab_new(&tab, NULL), TK_OK);
	for (uint32_t round = 0; round < 2; round++) {
		for (uint32_t i = 0; i < 1000; i++) {
			memcpy(name.b + (i % 2 ? 0 : 20), &i, sizeof(i));   /* half of them collide */
			assert_int_equal(tk_packtab_intern(tab, &name, &number, NULL), TK_OK);
			assert_int_equal(number, i);
			name = tk_packtab_name(tab, i);
			memset(&name, 0, sizeof(name));
		}
	}
	assert_int_equal(tk_packtab_count(tab), 1000);
	tk_packtab_free(tab);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_pack_gives_back_its_blobs_and_references, setup, teardown),
		cmocka_unit_test_setup_teardown(a_site_reads_and_checks_a_pack_without_a_key_and_opens_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(every_flipped_bit_is_detected, setup, teardown),
		cmocka_unit_test_setup_teardown(a_pack_cut_at_any_length_is_damaged, setup, teardown),
		cmocka_unit_test_setup_teardown(another_key_is_told_from_damage, setup, teardown),
		cmocka_unit_test_setup_teardown(a_blob_does_not_open_in_the_place_of_another, setup, teardown),
		cmocka_unit_test_setup_teardown(a_writer_who_breaks_the_format_is_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(big_and_empty_blobs_come_back_and_too_big_ones_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(the_footer_is_found_from_the_trailer_alone, setup, teardown),
		cmocka_unit_test(contents_rows_survive_and_disorder_is_refused),
		cmocka_unit_test(a_pack_keeps_the_number_it_got_first),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
