/* The identity of a home: it goes where the home goes, and no copy of it counts. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/catalog/identity.h"
#include "tests/unit/scratch.h"

static int
keys_of(const struct scratch *scratch, const char *name)
{
	int fd = openat(scratch->fd, name, O_RDONLY | O_DIRECTORY);

	assert_true(fd >= 0);
	return fd;
}

/* As cp does it. */
static void
copy(const struct scratch *scratch, const char *from, const char *to)
{
	char bytes[256];
	int in = openat(scratch->fd, from, O_RDONLY);
	int out = openat(scratch->fd, to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	ssize_t got = read(in, bytes, sizeof(bytes));

	assert_true(got > 0);
	assert_int_equal(write(out, bytes, (size_t)got), got);
	close(in);
	close(out);
}

static int
made(void **state)
{
	struct tk_id id;
	int keys;

	if (scratch_setup(state))
		return -1;
	scratch_dir(*state, "keys");
	keys = keys_of(*state, "keys");
	assert_int_equal(tk_identity_create(keys, &id, NULL), TK_OK);
	close(keys);
	return 0;
}

static void
an_identity_is_read_back(void **state)
{
	struct tk_id first, second;
	int keys = keys_of(*state, "keys");
	struct stat st;

	assert_int_equal(tk_identity_read(keys, &first, NULL), TK_OK);
	assert_int_equal(fstatat(keys, "identity", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(tk_identity_create(keys, &second, NULL), TK_OK);
	assert_memory_not_equal(&first, &second, sizeof(first));
	assert_int_equal(tk_identity_read(keys, &first, NULL), TK_OK);
	assert_memory_equal(&first, &second, sizeof(first));
	close(keys);
}

static void
a_home_that_was_moved_is_the_same_home(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_id id;
	int keys;

	assert_int_equal(renameat(scratch->fd, "keys", scratch->fd, "moved"), 0);
	keys = keys_of(scratch, "moved");
	assert_int_equal(tk_identity_read(keys, &id, NULL), TK_OK);
	close(keys);
}

static void
a_copy_of_a_home_is_fenced_and_told_what_to_do(void **state)
{
	const struct scratch *scratch = *state;
	struct tk_err err;
	struct tk_id id;
	int keys;

	scratch_dir(scratch, "copy");
	copy(scratch, "keys/identity", "copy/identity");
	keys = keys_of(scratch, "copy");
	assert_int_equal(tk_identity_read(keys, &id, &err), TK_EFENCED);
	assert_non_null(strstr(err.text, "twinkeep recover --home DIR --site URL"));
	assert_int_equal(tk_identity_create(keys, &id, NULL), TK_OK);
	assert_int_equal(tk_identity_read(keys, &id, NULL), TK_OK);
	close(keys);
}

static void
a_home_without_an_identity_says_so(void **state)
{
	struct tk_id id;
	int keys;

	scratch_dir(*state, "empty");
	keys = keys_of(*state, "empty");
	assert_int_equal(tk_identity_read(keys, &id, NULL), TK_ENOENT);
	close(keys);
}

static void
a_damaged_identity_is_not_taken_for_a_copy(void **state)
{
	const struct scratch *scratch = *state;
	int keys = keys_of(scratch, "keys");
	struct tk_id id;
	uint8_t byte;
	int fd;

	for (off_t at = 0; at < 88; at++) {
		fd = openat(keys, "identity", O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 4;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_int_equal(tk_identity_read(keys, &id, NULL), TK_ECORRUPT);
		byte ^= 4;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
	}
	assert_int_equal(tk_identity_read(keys, &id, NULL), TK_OK);
	fd = openat(keys, "identity", O_RDWR);
	assert_int_equal(ftruncate(fd, 40), 0);
	close(fd);
	assert_int_equal(tk_identity_read(keys, &id, NULL), TK_ECORRUPT);
	close(keys);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_identity_is_read_back, made, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_home_that_was_moved_is_the_same_home, made, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_copy_of_a_home_is_fenced_and_told_what_to_do, made, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_home_without_an_identity_says_so, made, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_identity_is_not_taken_for_a_copy, made, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
