/* A container's tables: what is written is read back, either table alone suffices, and anything else is damage. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/container.h"

#define ROWS 3u
#define PACK_BYTES 100u

static size_t
file_bytes(void)
{
	return 2 * tk_container_table_bytes(ROWS) + ROWS * PACK_BYTES + TK_CONTAINER_END_BYTES;
}

/* A whole file of three packs of 100 bytes. */
static void
make_file(struct tk_buf *file)
{
	struct tk_container_row rows[ROWS] = {{{{0}}, 0, 0}};
	uint8_t bytes[ROWS * PACK_BYTES] = {0};

	for (size_t i = 0; i < ROWS; i++) {
		memset(rows[i].name.b, (int)i + 1, sizeof(rows[i].name.b));
		rows[i].offset_bytes = tk_container_table_bytes(ROWS) + i * PACK_BYTES;
		rows[i].len_bytes = PACK_BYTES;
	}
	assert_int_equal(tk_container_encode(rows, ROWS, false, file, NULL), TK_OK);
	assert_int_equal(tk_buf_put(file, bytes, sizeof(bytes), NULL), TK_OK);
	assert_int_equal(tk_container_encode(rows, ROWS, true, file, NULL), TK_OK);
	assert_int_equal(file->len_bytes, file_bytes());
}

static void
expect_rows(const uint8_t *table, size_t table_bytes)
{
	struct tk_container_row *rows = NULL;
	size_t count = 0;

	assert_int_equal(tk_container_decode(table, table_bytes, file_bytes(), &rows, &count, NULL), TK_OK);
	assert_int_equal(count, ROWS);
	for (size_t i = 0; i < ROWS; i++) {
		assert_int_equal(rows[i].name.b[31], i + 1);
		assert_int_equal(rows[i].offset_bytes, table_bytes + i * PACK_BYTES);
		assert_int_equal(rows[i].len_bytes, PACK_BYTES);
	}
	free(rows);
}

static void
both_tables_say_the_same(void **state)
{
	struct tk_buf file = {0};
	size_t front, back;

	(void)state;
	make_file(&file);
	assert_int_equal(tk_container_head(file.data, &front, NULL), TK_OK);
	assert_int_equal(front, tk_container_table_bytes(ROWS));
	assert_int_equal(tk_container_end(file.data + file.len_bytes - TK_CONTAINER_END_BYTES, &back, NULL), TK_OK);
	assert_int_equal(back, front);
	expect_rows(file.data, front);
	expect_rows(file.data + file.len_bytes - TK_CONTAINER_END_BYTES - back, back);
	tk_buf_release(&file);
}

static void
a_turned_bit_anywhere_in_a_table_is_damage(void **state)
{
	struct tk_buf file = {0};
	size_t table_bytes = tk_container_table_bytes(ROWS);

	(void)state;
	make_file(&file);
	for (size_t bit = 0; bit < 8 * table_bytes; bit++) {
		struct tk_container_row *rows = NULL;
		size_t count;
		enum tk_rc rc;

		file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
		rc = tk_container_decode(file.data, table_bytes, file_bytes(), &rows, &count, NULL);
		/* A version that is not known is not called damage. */
		assert_true(rc == TK_ECORRUPT || (rc == TK_EUNSUPPORTED && bit / 8 >= 8 && bit / 8 < 12));
		file.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
	tk_buf_release(&file);
}

static void
expect_refused(const struct tk_container_row *rows, size_t count, uint64_t of_bytes)
{
	struct tk_container_row *read = NULL;
	struct tk_buf table = {0};
	size_t read_count;

	assert_int_equal(tk_container_encode(rows, count, false, &table, NULL), TK_OK);
	assert_int_equal(tk_container_decode(table.data, table.len_bytes, of_bytes, &read, &read_count, NULL), TK_ECORRUPT);
	tk_buf_release(&table);
}

static void
a_pack_outside_or_out_of_order_is_refused(void **state)
{
	uint64_t table = tk_container_table_bytes(2), file = 2 * table + 1000 + TK_CONTAINER_END_BYTES;
	struct tk_container_row rows[2] = {{{{1}}, table, 500}, {{{2}}, table + 500, 500}};

	(void)state;
	rows[1].len_bytes = 501;
	expect_refused(rows, 2, file);
	rows[1].len_bytes = UINT64_MAX;
	expect_refused(rows, 2, file);
	rows[1].len_bytes = 500;
	rows[1].offset_bytes = table - 1;
	expect_refused(rows, 2, file);
	rows[1].offset_bytes = UINT64_MAX;
	expect_refused(rows, 2, file);
	rows[1].offset_bytes = table + 500;
	expect_refused(rows, 2, file - 1);
	rows[1].name.b[0] = 1;
	expect_refused(rows, 2, file);
	rows[1].name.b[0] = 0;
	expect_refused(rows, 2, file);
}

static void
counts_have_limits(void **state)
{
	static struct tk_container_row rows[TK_CONTAINER_ROWS_MAX + 1];
	struct tk_buf out = {0};

	(void)state;
	assert_int_equal(tk_container_encode(rows, 0, false, &out, NULL), TK_EINVAL);
	assert_int_equal(tk_container_encode(rows, TK_CONTAINER_ROWS_MAX + 1, false, &out, NULL), TK_EINVAL);
	tk_buf_release(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_tables_say_the_same),
		cmocka_unit_test(a_turned_bit_anywhere_in_a_table_is_damage),
		cmocka_unit_test(a_pack_outside_or_out_of_order_is_refused),
		cmocka_unit_test(counts_have_limits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
