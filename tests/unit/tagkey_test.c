/* The key of local facts: made once, the same afterwards, for nobody else's eyes; a damaged one is replaced. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/catalog/tagkey.h"
#include "tests/unit/scratch.h"

#define KEY_FILE "domains/64646464646464646464646464646464/tagkey"
#define KEY_FILE_BYTES 72

static const struct tk_id domain = {"dddddddddddddddd"}, other_domain = {"eeeeeeeeeeeeeeee"};

static void
open_key(const struct scratch *scratch, const struct tk_id *of, uint8_t key[TK_TAG_KEY_BYTES])
{
	assert_int_equal(tk_tagkey_open(scratch->path, of, key, NULL), TK_OK);
}

static void
a_key_is_made_once_for_each_domain(void **state)
{
	uint8_t key[TK_TAG_KEY_BYTES], again[TK_TAG_KEY_BYTES], other[TK_TAG_KEY_BYTES];
	const struct scratch *scratch = *state;
	struct stat st;

	open_key(scratch, &domain, key);
	open_key(scratch, &domain, again);
	open_key(scratch, &other_domain, other);
	assert_memory_equal(key, again, sizeof(key));
	assert_memory_not_equal(key, other, sizeof(key));
	assert_int_equal(fstatat(scratch->fd, KEY_FILE, &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, KEY_FILE_BYTES);
}

static void
a_lost_key_is_another_one(void **state)
{
	uint8_t key[TK_TAG_KEY_BYTES], other[TK_TAG_KEY_BYTES];
	const struct scratch *scratch = *state;

	open_key(scratch, &domain, key);
	assert_int_equal(unlinkat(scratch->fd, KEY_FILE, 0), 0);
	open_key(scratch, &domain, other);
	assert_memory_not_equal(key, other, sizeof(key));
}

/* Writes the file with `len` of its bytes, the one at `flip` changed. */
static void
damage(const struct scratch *scratch, const uint8_t good[KEY_FILE_BYTES], size_t len, size_t flip)
{
	uint8_t bytes[KEY_FILE_BYTES + 1] = {0};
	int fd = openat(scratch->fd, KEY_FILE, O_WRONLY | O_TRUNC);

	memcpy(bytes, good, KEY_FILE_BYTES);
	bytes[flip] ^= 1;
	assert_int_equal(write(fd, bytes, len), (ssize_t)len);
	close(fd);
}

static void
a_damaged_key_is_replaced_for_good(void **state)
{
	uint8_t key[TK_TAG_KEY_BYTES], other[TK_TAG_KEY_BYTES], again[TK_TAG_KEY_BYTES], good[KEY_FILE_BYTES];
	const struct scratch *scratch = *state;
	int fd;

	open_key(scratch, &domain, key);
	fd = openat(scratch->fd, KEY_FILE, O_RDONLY);
	assert_int_equal(read(fd, good, sizeof(good)), KEY_FILE_BYTES);
	close(fd);
	for (size_t i = 0; i <= 2 * KEY_FILE_BYTES; i++) {
		if (i < KEY_FILE_BYTES)
			damage(scratch, good, i, KEY_FILE_BYTES);
		else if (i < 2 * KEY_FILE_BYTES)
			damage(scratch, good, KEY_FILE_BYTES, i - KEY_FILE_BYTES);
		else
			damage(scratch, good, KEY_FILE_BYTES + 1, KEY_FILE_BYTES);
		open_key(scratch, &domain, other);
		assert_memory_not_equal(key, other, sizeof(key));
		open_key(scratch, &domain, again);
		assert_memory_equal(other, again, sizeof(other));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_key_is_made_once_for_each_domain, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_lost_key_is_another_one, scratch_setup, scratch_teardown),
		cmocka_unit_test_setup_teardown(a_damaged_key_is_replaced_for_good, scratch_setup_fast, scratch_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
