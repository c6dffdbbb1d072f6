/* Entries: paths and their order, extent lists, memory of entries that are filled again and again. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "engine/vault/pagecore.h"

static int
order(const char *a, const char *b)
{
	return tk_path_compare(a, strlen(a), b, strlen(b));
}

static void
a_directory_comes_before_what_is_in_it_and_that_before_its_longer_named_neighbour(void **state)
{
	(void)state;
	assert_true(order("", "a") < 0);
	assert_true(order("a", "a/b") < 0);
	assert_true(order("a/b", "a b") < 0);
	assert_true(order("a/zzz", "a!") < 0);
	assert_true(order("a\xff", "b") < 0);
	assert_true(order("longer/than/eight/bytes/x", "longer/than/eight/bytes/y") < 0);
	assert_true(order("same", "same") == 0);
	assert_true(order("b", "a/b") > 0);
}

static enum tk_rc
check(const char *path)
{
	return tk_path_check(path, strlen(path), NULL);
}

static void
a_path_that_could_leave_the_target_is_refused(void **state)
{
	(void)state;
	assert_int_equal(check(""), TK_OK);
	assert_int_equal(check("a"), TK_OK);
	assert_int_equal(check(".a/..b/c.."), TK_OK);
	assert_int_equal(check("/a"), TK_ECORRUPT);
	assert_int_equal(check("a/"), TK_ECORRUPT);
	assert_int_equal(check("a//b"), TK_ECORRUPT);
	assert_int_equal(check("."), TK_ECORRUPT);
	assert_int_equal(check("a/../b"), TK_ECORRUPT);
	assert_int_equal(check("a/.."), TK_ECORRUPT);
	assert_int_equal(tk_path_check("a\0b", 3, NULL), TK_ECORRUPT);
}

static void
a_path_lies_below_a_directory_by_whole_components(void **state)
{
	(void)state;
	assert_true(tk_path_is_below("a/b", 3, "a", 1));
	assert_true(tk_path_is_below("a", 1, "a", 1));
	assert_true(tk_path_is_below("a", 1, "", 0));
	assert_false(tk_path_is_below("ab", 2, "a", 1));
	assert_false(tk_path_is_below("a", 1, "a/b", 3));
}

/* SHA-256("twinkeep page" "etc/passwd") begins with these bytes; made with another implementation. */
static void
the_border_hash_is_the_one_of_the_format(void **state)
{
	uint64_t hash;

	(void)state;
	assert_int_equal(tk_path_hash(TK_SUITE_AES, "etc/passwd", 10, &hash, NULL), TK_OK);
	assert_true(hash == 0xcfd47f794fd18f21ULL);
}

static struct tk_packtab *
three_packs(void)
{
	struct tk_packtab *packs;

	assert_int_equal(tk_packtab_new(&packs, NULL), TK_OK);
	for (uint8_t i = 0; i < 3; i++) {
		struct tk_pack_name name = {{i, 9}};
		uint32_t number;

		assert_int_equal(tk_packtab_intern(packs, &name, &number, NULL), TK_OK);
		assert_int_equal(number, i);
	}
	return packs;
}

static void
an_extent_list_reads_back_as_it_was_and_takes_few_bytes(void **state)
{
	static const struct tk_extent list[] = {
		{{1, 0}, 0, 1 << 20}, {{1, 1}, 0, 1 << 20}, {{1, 2}, 0, 1000}, {{TK_PACK_NONE, 0}, 0, 4096}, {{1, 2}, 1000, 24},
		{{2, 7}, 100, 5}, {{0, 7}, 105, 5},
	};
	enum { COUNT = sizeof(list) / sizeof(list[0]) };
	struct tk_packtab *packs = three_packs();
	struct tk_pack_locals *locals;
	struct tk_pack_table table;
	struct tk_extent back[COUNT];
	struct tk_cursor cur;
	struct tk_buf buf;
	uint64_t total;

	(void)state;
	tk_buf_init(&buf, 0);
	assert_int_equal(tk_pack_locals_new(1, &locals, NULL), TK_OK);
	assert_int_equal(tk_extents_encode(locals, list, COUNT, &buf, NULL), TK_OK);
	assert_true(buf.len_bytes <= 32);
	assert_true(buf.len_bytes <= tk_extents_encoded_bytes(list, COUNT));
	tk_buf_clear(&buf);
	assert_int_equal(tk_pack_locals_put_table(locals, packs, &buf, NULL), TK_OK);
	assert_int_equal(buf.len_bytes, 1 + 2 * 32);
	assert_int_equal(tk_extents_encode(locals, list, COUNT, &buf, NULL), TK_OK);

	tk_cursor_init(&cur, buf.data, buf.len_bytes);
	assert_int_equal(tk_pack_table_read(&cur, 1, packs, &table, NULL), TK_OK);
	assert_int_equal(tk_extents_count(&cur), COUNT);
	tk_extents_rows(&cur, &table, back, COUNT, &total);
	assert_int_equal(tk_cursor_end(&cur, "list", NULL), TK_OK);
	assert_int_equal(total, 2 * (1 << 20) + 1000 + 4096 + 24 + 10);
	assert_memory_equal(back, list, sizeof(list));
	tk_pack_table_release(&table);
	tk_pack_locals_cleanup(&locals);
	tk_buf_release(&buf);
	tk_packtab_free(packs);
}

static enum tk_rc
read_list(const void *bytes, size_t len)
{
	struct tk_packtab *packs = three_packs();
	struct tk_pack_table table;
	struct tk_extent rows[8];
	struct tk_cursor cur;
	uint64_t total;
	size_t count;
	enum tk_rc rc;

	tk_cursor_init(&cur, bytes, len);
	assert_int_equal(tk_pack_table_read(&cur, 1, packs, &table, NULL), TK_OK);
	count = tk_extents_count(&cur);
	assert_true(count <= 8);
	tk_extents_rows(&cur, &table, rows, count, &total);
	rc = tk_cursor_end(&cur, "list", NULL);
	tk_pack_table_release(&table);
	tk_packtab_free(packs);
	return rc;
}

static void
a_hostile_extent_list_is_corrupt(void **state)
{
	(void)state;
	assert_int_equal(read_list("\x00\x01\x04", 3), TK_OK);                           /* one byte of blob 0 */
	assert_int_equal(read_list("\x00\x01\x05", 3), TK_ECORRUPT);                     /* "the next blob" first */
	assert_int_equal(read_list("\x00\x01\x00", 3), TK_ECORRUPT);                     /* empty */
	assert_int_equal(read_list("\x00\x01\x06\x01\x00\x00", 6), TK_ECORRUPT);         /* a pack that is not in the table */
	assert_int_equal(read_list("\x00\x01\x06\x00\x00\x80\x80\x40", 8), TK_ECORRUPT); /* beyond the end of a blob */
	assert_int_equal(read_list("\x00\x02\x04", 3), TK_ECORRUPT);                     /* cut short */
}

static void
writing_an_extent_that_leaves_its_blob_is_refused(void **state)
{
	static const struct tk_extent over = {{1, 0}, 1 << 19, (1 << 19) + 1};
	struct tk_pack_locals *locals;
	struct tk_buf buf;

	(void)state;
	tk_buf_init(&buf, 0);
	assert_int_equal(tk_pack_locals_new(1, &locals, NULL), TK_OK);
	assert_int_equal(tk_extents_encode(locals, &over, 1, &buf, NULL), TK_EINVAL);
	assert_int_equal(buf.len_bytes, 0);
	tk_pack_locals_cleanup(&locals);
	tk_buf_release(&buf);
}

static void
a_copy_of_an_entry_shares_nothing_with_it_and_both_are_released(void **state)
{
	struct tk_entry entry, copy;

	(void)state;
	tk_entry_init(&entry);
	tk_entry_init(&copy);
	entry.path = strdup("dir/file");
	entry.path_bytes = 8;
	entry.meta.type = TK_FT_REG;
	entry.meta.uname = strdup("someone");
	entry.meta.size_bytes = 3;
	entry.kind = TK_CONTENT_EXTENTS;
	entry.extents = calloc(1, sizeof(*entry.extents));
	entry.extents[0].length_bytes = 3;
	entry.extent_count = 1;
	assert_int_equal(tk_meta_put_xattr(&entry.meta, "user.a", "value", 5, NULL), TK_OK);
	for (int i = 0; i < 3; i++)
		assert_int_equal(tk_entry_copy(&copy, &entry, NULL), TK_OK);
	tk_entry_release(&entry);
	assert_string_equal(copy.path, "dir/file");
	assert_string_equal(copy.meta.uname, "someone");
	assert_null(copy.meta.gname);
	assert_int_equal(copy.extents[0].length_bytes, 3);
	assert_memory_equal(tk_meta_find_xattr(&copy.meta, "user.a")->value, "value", 5);
	tk_entry_release(&copy);
	assert_null(copy.path);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_directory_comes_before_what_is_in_it_and_that_before_its_longer_named_neighbour),
		cmocka_unit_test(a_path_that_could_leave_the_target_is_refused),
		cmocka_unit_test(a_path_lies_below_a_directory_by_whole_components),
		cmocka_unit_test(the_border_hash_is_the_one_of_the_format),
		cmocka_unit_test(an_extent_list_reads_back_as_it_was_and_takes_few_bytes),
		cmocka_unit_test(a_hostile_extent_list_is_corrupt),
		cmocka_unit_test(writing_an_extent_that_leaves_its_blob_is_refused),
		cmocka_unit_test(a_copy_of_an_entry_shares_nothing_with_it_and_both_are_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
