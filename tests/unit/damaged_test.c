/* The list of damaged packs: what was added is there until the end of time, new until it is settled; a list that is not whole is none. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "engine/catalog/damaged.h"
#include "tests/unit/scratch.h"

#define FILE_PATH "domains/64646464646464646464646464646464/damaged"

static const struct tk_id domain = {"dddddddddddddddd"}, other_domain = {"eeeeeeeeeeeeeeee"};
static const struct tk_pack_name one = {{1}}, two = {{2}};

static void
add(const struct scratch *scratch, const struct tk_pack_name *name)
{
	assert_int_equal(tk_damaged_add(scratch->path, &domain, name, NULL), TK_OK);
}

static void
read_list(const struct scratch *scratch, const struct tk_id *of, struct tk_damaged *list)
{
	assert_int_equal(tk_damaged_read(scratch->path, of, list, NULL), TK_OK);
}

static void
a_pack_is_new_until_it_is_settled_and_stays_known(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_damaged list;

	read_list(scratch, &domain, &list);
	assert_int_equal(list.count, 0);
	assert_false(tk_damaged_any_new(&list));
	add(scratch, &one);
	add(scratch, &one);
	read_list(scratch, &domain, &list);
	assert_int_equal(list.count, 1);
	assert_true(tk_damaged_any_new(&list));
	assert_int_equal(tk_damaged_settle(scratch->path, &domain, &list, NULL), TK_OK);
	tk_damaged_release(&list);
	/* What is found again was dealt with. */
	add(scratch, &one);
	read_list(scratch, &domain, &list);
	assert_false(tk_damaged_any_new(&list));
	assert_true(tk_damaged_has(&list, &one));
	assert_false(tk_damaged_has(&list, &two));
	tk_damaged_release(&list);
	read_list(scratch, &other_domain, &list);
	assert_int_equal(list.count, 0);
}

static void
what_is_added_after_the_reading_is_not_settled_with_it(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_damaged read, list;

	add(scratch, &one);
	read_list(scratch, &domain, &read);
	add(scratch, &two);
	assert_int_equal(tk_damaged_settle(scratch->path, &domain, &read, NULL), TK_OK);
	tk_damaged_release(&read);
	read_list(scratch, &domain, &list);
	assert_int_equal(list.count, 2);
	assert_true(list.rows[0].settled);
	assert_false(list.rows[1].settled);
	tk_damaged_release(&list);
}

static void
a_list_that_is_not_whole_is_none_and_can_be_begun_again(void **state)
{
	const struct scratch *scratch = *state;
	uint8_t good[256], bytes[256];
	struct tk_damaged list;
	ssize_t len;
	int fd;

	add(scratch, &one);
	add(scratch, &two);
	fd = openat(scratch->fd, FILE_PATH, O_RDONLY);
	len = read(fd, good, sizeof(good));
	close(fd);
	assert_true(len > 0);
	for (ssize_t i = 0; i < 2 * len; i++) {
		ssize_t kept = i < len ? i : len;

		memcpy(bytes, good, sizeof(bytes));
		if (i >= len)
			bytes[i - len] ^= 1;
		fd = openat(scratch->fd, FILE_PATH, O_WRONLY | O_TRUNC);
		assert_int_equal(write(fd, bytes, (size_t)kept), kept);
		close(fd);
		read_list(scratch, &domain, &list);
		assert_int_equal(list.count, 0);
	}
	add(scratch, &two);
	read_list(scratch, &domain, &list);
	assert_int_equal(list.count, 1);
	tk_damaged_release(&list);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_pack_is_new_until_it_is_settled_and_stays_known),
		WITH(what_is_added_after_the_reading_is_not_settled_with_it),
		WITH(a_list_that_is_not_whole_is_none_and_can_be_begun_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
