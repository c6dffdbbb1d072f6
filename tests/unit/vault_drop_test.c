/* Expiry's two phases: condemned is not lost, dropped is known from damaged. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/bitmap.h"
#include "tests/unit/vault_fixture.h"

static enum tk_rc
condemn(struct vault_box *box, const struct made_pack *pack, uint32_t first, uint32_t count)
{
	struct tk_vault_blob blobs[8];

	for (uint32_t i = 0; i < count; i++)
		blobs[i] = (struct tk_vault_blob){pack->ident.name, first + i};
	return tk_vault_condemn(box->vault, blobs, count, NULL);
}

static size_t
drop(struct vault_box *box, const struct made_pack *pack, uint32_t first, uint32_t count)
{
	struct tk_vault_blob blobs[8];
	size_t dropped;

	for (uint32_t i = 0; i < count; i++)
		blobs[i] = (struct tk_vault_blob){pack->ident.name, first + i};
	assert_int_equal(tk_vault_drop(box->vault, blobs, count, &dropped, NULL), TK_OK);
	return dropped;
}

static enum tk_rc
get(struct vault_box *box, const struct made_pack *pack, uint64_t offset)
{
	struct tk_buf out = {0};
	enum tk_rc rc = tk_vault_get_range(box->vault, &pack->ident.name, offset, 100, &out, NULL);

	tk_buf_release(&out);
	return rc;
}

static const struct made_blob three[] = {
	{.type = TK_BLOB_DATA}, {.type = TK_BLOB_DATA}, {.type = TK_BLOB_LEAF, .refs = {{OWN_PACK, 0}, {OWN_PACK, 1}}, .ref_count = 2}};

static void
only_condemned_blobs_are_dropped(void **state)
{
	struct vault_box *box = *state;
	static const uint8_t zeros[100];
	struct tk_buf out = {0};
	struct made_pack pack;
	uint32_t *bad;
	size_t count;
	bool have;

	make_pack(box, three, 3, &pack);
	store_pack(box, &pack);
	assert_int_equal(drop(box, &pack, 0, 3), 0);
	assert_int_equal(condemn(box, &pack, 1, 2), TK_OK);
	assert_int_equal(get(box, &pack, 4000), TK_OK);
	assert_int_equal(drop(box, &pack, 0, 2), 1);
	/* Blob 1 lies at 128 + 3016. */
	assert_int_equal(get(box, &pack, 200), TK_OK);
	assert_int_equal(get(box, &pack, 4000), TK_EMISSING);
	/* Who reads what lies beside it gets that. */
	assert_int_equal(tk_vault_get_range(box->vault, &pack.ident.name, 3100, 100, &out, NULL), TK_OK);
	assert_memory_equal(out.data, pack.bytes.data + 3100, 44);
	assert_memory_equal(out.data + 44, zeros, 56);
	tk_buf_release(&out);
	assert_int_equal(tk_vault_have(box->vault, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_false(have);
	/* Absence is not damage. */
	assert_int_equal(tk_vault_check_pack(box->vault, &pack.ident.name, &bad, &count, NULL), TK_OK);
	assert_int_equal(count, 0);
	made_pack_release(&pack);
}

static void
a_publish_takes_the_mark_away(void **state)
{
	struct vault_box *box = *state;
	struct tk_buf record = {0};
	struct made_pack pack;
	const struct made_pack *packs[] = {&pack};
	struct tk_head at;

	make_pack(box, three, 3, &pack);
	store_pack(box, &pack);
	assert_int_equal(condemn(box, &pack, 3, 1), TK_ENOENT);
	assert_int_equal(condemn(box, &pack, 0, 3), TK_OK);
	make_point(box, 1, &pack, 2, packs, 1, &record, &at);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	assert_int_equal(drop(box, &pack, 0, 3), 0);
	/* What a point needs is not condemned. */
	assert_int_equal(condemn(box, &pack, 0, 1), TK_ECONFLICT);
	assert_int_equal(drop(box, &pack, 0, 3), 0);
	made_pack_release(&pack);
	tk_buf_release(&record);
}

static void
a_dropped_blob_is_missing_for_a_new_point_until_its_pack_is_sent_again(void **state)
{
	struct vault_box *box = *state;
	struct tk_pack_names missing = {0};
	struct made_pack pack;
	struct tk_buf record = {0};
	struct tk_head at;
	bool have;

	make_pack(box, three, 3, &pack);
	store_pack(box, &pack);
	assert_int_equal(condemn(box, &pack, 0, 1), TK_OK);
	assert_int_equal(drop(box, &pack, 0, 1), 1);
	make_point(box, 1, &pack, 2, NULL, 0, &record, &at);
	assert_int_equal(publish(box, &record, NULL, &missing), TK_EMISSING);
	assert_int_equal(missing.count, 1);
	assert_memory_equal(&missing.names[0], &pack.ident.name, sizeof(pack.ident.name));
	tk_pack_names_release(&missing);
	store_pack(box, &pack);
	assert_int_equal(box_count(box, "dropped/*"), 0);
	assert_int_equal(tk_vault_have(box->vault, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_true(have);
	assert_int_equal(get(box, &pack, 200), TK_OK);
	assert_int_equal(publish(box, &record, NULL, NULL), TK_OK);
	made_pack_release(&pack);
	tk_buf_release(&record);
}

static void
a_pack_without_a_blob_left_is_removed_and_remembered(void **state)
{
	struct vault_box *box = *state;
	struct tk_vault *reader = NULL;
	struct tk_buf out = {0};
	struct made_pack pack;

	make_pack(box, three, 3, &pack);
	store_pack(box, &pack);
	assert_int_equal(condemn(box, &pack, 0, 3), TK_OK);
	assert_int_equal(drop(box, &pack, 0, 1), 1);
	assert_int_equal(box_count(box, "packs/*/*"), 1);
	assert_int_equal(drop(box, &pack, 1, 2), 2);
	assert_int_equal(box_count(box, "packs/*/*"), 0);
	assert_int_equal(get(box, &pack, 200), TK_EMISSING);
	assert_int_equal(tk_vault_open(box->path, TK_VAULT_READ, NULL, &reader, NULL), TK_OK);
	assert_int_equal(tk_vault_get_range(reader, &pack.ident.name, 200, 100, &out, NULL), TK_EMISSING);
	tk_vault_close(reader);
	made_pack_release(&pack);
	tk_buf_release(&out);
}

/* How many condemned blobs are listed from the first pack on. */
static size_t
count_condemned(struct vault_box *box)
{
	struct tk_pack_name at = {{0}};
	struct tk_vault_blob *blobs;
	size_t count, total = 0;

	do {
		assert_int_equal(tk_vault_next_condemned(box->vault, &at, &blobs, &count, NULL), TK_OK);
		for (size_t i = 0; i < count; i++)
			assert_memory_equal(&blobs[i].pack, &at, sizeof(at));
		total += count;
		free(blobs);
	} while (count > 0);
	return total;
}

static void
what_may_go_is_listed_until_it_is_dropped(void **state)
{
	struct vault_box *box = *state;
	struct made_pack packs[2];

	for (int i = 0; i < 2; i++) {
		make_pack(box, three, 3, &packs[i]);
		store_pack(box, &packs[i]);
	}
	assert_int_equal(count_condemned(box), 0);
	assert_int_equal(condemn(box, &packs[0], 0, 3), TK_OK);
	assert_int_equal(condemn(box, &packs[1], 1, 2), TK_OK);
	assert_int_equal(count_condemned(box), 5);
	/* Whichever has the first name: one without any left does not hide the other. */
	for (int i = 0; i < 2; i++) {
		assert_int_equal(drop(box, &packs[i], 1, 2), 2);
		assert_int_equal(drop(box, &packs[i], 0, 1), i == 0);
		assert_int_equal(count_condemned(box), i == 0 ? 2 : 0);
		if (i == 0) {
			store_pack(box, &packs[0]);
			assert_int_equal(condemn(box, &packs[0], 0, 1), TK_OK);
			assert_int_equal(count_condemned(box), 3);
			assert_int_equal(drop(box, &packs[0], 0, 1), 1);
		}
		made_pack_release(&packs[i]);
	}
}

static void
what_was_dropped_is_known_without_the_index(void **state)
{
	struct vault_box *box = *state;
	struct made_pack pack;
	bool have;

	make_pack(box, three, 3, &pack);
	store_pack(box, &pack);
	assert_int_equal(condemn(box, &pack, 0, 1), TK_OK);
	assert_int_equal(drop(box, &pack, 0, 1), 1);
	box_close(box);
	box_shell(box, "rm \"$1\"/index.db*");
	box_open(box);
	assert_int_equal(tk_vault_have(box->vault, &pack.ident.name, 1, &have, NULL), TK_OK);
	assert_false(have);
	assert_int_equal(get(box, &pack, 200), TK_EMISSING);
	assert_int_equal(get(box, &pack, 4000), TK_OK);
	made_pack_release(&pack);
}

static void
bits_past_the_end_are_clear(void **state)
{
	struct tk_buf bits = {0};

	(void)state;
	assert_false(tk_bit_get(&bits, 70000));
	assert_int_equal(tk_bit_set(&bits, 17, NULL), TK_OK);
	assert_int_equal(bits.len_bytes, 3);
	assert_int_equal(bits.data[2], 2);
	assert_true(tk_bit_get(&bits, 17));
	assert_int_equal(tk_bit_count(&bits), 1);
	tk_bit_clear(&bits, 17);
	tk_bit_clear(&bits, 70000);
	assert_int_equal(tk_bit_count(&bits), 0);
	tk_buf_release(&bits);
}

#define IN_BOX(test) cmocka_unit_test_setup_teardown(test, box_setup, box_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bits_past_the_end_are_clear),
		IN_BOX(only_condemned_blobs_are_dropped),
		IN_BOX(a_publish_takes_the_mark_away),
		IN_BOX(a_dropped_blob_is_missing_for_a_new_point_until_its_pack_is_sent_again),
		IN_BOX(a_pack_without_a_blob_left_is_removed_and_remembered),
		IN_BOX(what_may_go_is_listed_until_it_is_dropped),
		IN_BOX(what_was_dropped_is_known_without_the_index),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
