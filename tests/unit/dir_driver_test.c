/* The directory driver keeps every pack whole and findable while it makes few files of many. To it a pack is a name and bytes. */
#include "tests/unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/vault/driver.h"
#include "tests/unit/vault_fixture.h"

#define PACKS_MAX 2048u

struct fixture {
	struct vault_box box;           /* of it only scratch and path: the directory where packs/ is */
	struct tk_driver *driver;
	int root_fd;
	size_t count;
	bool removed[PACKS_MAX];
};

static void
open_driver(struct fixture *fx)
{
	assert_int_equal(tk_dir_driver_new(fx->root_fd, true, &fx->driver, NULL), TK_OK);
}

static void
close_driver(struct fixture *fx)
{
	fx->driver->ops->close(fx->driver);
	fx->driver = NULL;
}

static void
reopen(struct fixture *fx)
{
	close_driver(fx);
	open_driver(fx);
}

static int
setup(void **state)
{
	struct fixture *fx = calloc(1, sizeof(*fx));
	void *scratch = NULL;

	assert_non_null(fx);
	assert_int_equal(scratch_setup_fast(&scratch), 0);
	fx->box.scratch = scratch;
	(void)snprintf(fx->box.path, sizeof(fx->box.path), "%s", fx->box.scratch->path);
	fx->root_fd = fx->box.scratch->fd;
	scratch_dir(fx->box.scratch, "packs");
	scratch_dir(fx->box.scratch, "tmp");
	open_driver(fx);
	*state = fx;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *fx = *state;
	void *scratch = fx->box.scratch;

	close_driver(fx);
	free(fx);
	return scratch_teardown(&scratch);
}

/* Pack i: its name and its 500 to 4,000 bytes follow from the number. */
static void
name_of(size_t i, struct tk_pack_name *name)
{
	for (size_t k = 0; k < sizeof(name->b); k++)
		name->b[k] = (uint8_t)((i + 1) * 2654435761u >> (8 * (k % 4)) ^ k * 37);
}

static size_t
len_of(size_t i)
{
	return 500 + i * 7919 % 3500;
}

static uint8_t
byte_of(size_t i, size_t at)
{
	return (uint8_t)(i * 131 + at * 7 + at / 256);
}

static void
put_one(struct fixture *fx, size_t i)
{
	struct tk_pending pending = {.name = "tmp/pending", .dirfd = fx->root_fd, .len_bytes = len_of(i)};
	struct tk_pack_name name;
	uint8_t bytes[4000];

	for (size_t at = 0; at < len_of(i); at++)
		bytes[at] = byte_of(i, at);
	name_of(i, &name);
	pending.fd = openat(fx->root_fd, pending.name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	assert_true(pending.fd >= 0);
	assert_int_equal(write(pending.fd, bytes, len_of(i)), (int)len_of(i));
	assert_int_equal(fx->driver->ops->put(fx->driver, &name, &pending, true, NULL), TK_OK);
	(void)close(pending.fd);
	fx->removed[i] = false;
}

static void
put_more(struct fixture *fx, size_t count)
{
	assert_true(fx->count + count <= PACKS_MAX);
	for (size_t i = 0; i < count; i++)
		put_one(fx, fx->count++);
}

static void
tidy(struct fixture *fx)
{
	assert_int_equal(fx->driver->ops->tidy(fx->driver, NULL), TK_OK);
}

static bool
is_whole(struct tk_driver *driver, size_t i)
{
	struct tk_pack_name name;
	uint8_t bytes[4100];
	uint64_t size = 0;
	size_t got = 0;

	name_of(i, &name);
	if (driver->ops->size(driver, &name, &size, NULL) || size != len_of(i))
		return false;
	/* From the middle, and past the end. */
	if (driver->ops->get(driver, &name, 100, bytes, sizeof(bytes), &got, NULL) || got != len_of(i) - 100)
		return false;
	for (size_t at = 0; at < got; at++)
		if (bytes[at] != byte_of(i, at + 100))
			return false;
	return true;
}

static enum tk_rc
count_one(void *ctx, const struct tk_pack_name *name, struct tk_err *err)
{
	(void)name;
	(void)err;
	(*(size_t *)ctx)++;
	return TK_OK;
}

static void
expect_all_in(struct fixture *fx, struct tk_driver *driver)
{
	size_t listed = 0, there = 0;
	struct tk_pack_name name;
	uint64_t size;

	for (size_t i = 0; i < fx->count; i++) {
		name_of(i, &name);
		if (fx->removed[i])
			assert_int_equal(driver->ops->size(driver, &name, &size, NULL), TK_ENOENT);
		else if (!is_whole(driver, i))
			fail_msg("pack %zu is not whole", i);
		there += !fx->removed[i];
	}
	assert_int_equal(driver->ops->list(driver, count_one, &listed, NULL), TK_OK);
	assert_int_equal(listed, there);
}

/* Now, and for who opens the directory next, to write or to read. */
static void
expect_all(struct fixture *fx)
{
	struct tk_driver *reader = NULL;

	expect_all_in(fx, fx->driver);
	reopen(fx);
	expect_all_in(fx, fx->driver);
	assert_int_equal(tk_dir_driver_new(fx->root_fd, false, &reader, NULL), TK_OK);
	expect_all_in(fx, reader);
	reader->ops->close(reader);
}

static void
remove_one(struct fixture *fx, size_t i)
{
	struct tk_pack_name name;

	name_of(i, &name);
	assert_int_equal(fx->driver->ops->remove(fx->driver, &name, NULL), TK_OK);
	fx->removed[i] = true;
}

static void
many_small_packs_become_one_file(void **state)
{
	struct fixture *fx = *state;

	put_more(fx, 63);
	tidy(fx);
	assert_int_equal(box_count(&fx->box, "packs/small/*"), 63);
	put_more(fx, 1);
	tidy(fx);
	assert_int_equal(box_count(&fx->box, "packs/small/*"), 0);
	assert_int_equal(box_count(&fx->box, "packs/merged/*"), 1);
	expect_all(fx);
}

static void
there_are_never_many_files_however_many_packs(void **state)
{
	struct fixture *fx = *state;

	while (fx->count < 1600) {
		put_more(fx, 1);
		tidy(fx);
		assert_true(box_count(&fx->box, "packs/*/*") < 64 + 16);
	}
	assert_true(box_count(&fx->box, "packs/merged/*") < 12);
	expect_all(fx);
}

static void
a_reader_goes_on_while_packs_are_merged(void **state)
{
	struct fixture *fx = *state;
	struct tk_driver *reader = NULL;

	put_more(fx, 40);
	assert_int_equal(tk_dir_driver_new(fx->root_fd, false, &reader, NULL), TK_OK);
	put_more(fx, 24);
	tidy(fx);
	for (size_t i = 0; i < fx->count; i++)
		assert_true(is_whole(reader, i));
	put_more(fx, 3);
	assert_true(is_whole(reader, fx->count - 1));
	reader->ops->close(reader);
}

static void
a_removed_pack_stays_away_until_it_is_put_again(void **state)
{
	struct fixture *fx = *state;

	put_more(fx, 64);
	tidy(fx);
	for (size_t i = 0; i < 20; i++)
		remove_one(fx, i);
	expect_all(fx);
	for (size_t i = 0; i < 10; i++)
		put_one(fx, i);
	expect_all(fx);
	put_more(fx, 64);
	tidy(fx);
	expect_all(fx);
	/* Out of the second container, while the first has a stale copy. */
	for (size_t i = 0; i < 5; i++)
		remove_one(fx, i);
	expect_all(fx);
}

static void
a_mostly_dead_container_is_written_anew_and_a_dead_one_goes(void **state)
{
	struct fixture *fx = *state;
	struct stat before, after;

	put_more(fx, 64);
	tidy(fx);
	assert_int_equal(fstatat(fx->root_fd, "packs/merged/0000000000000001", &before, 0), 0);
	for (size_t i = 0; i < 50; i++)
		remove_one(fx, i);
	put_more(fx, 64);
	tidy(fx);
	assert_int_equal(box_count(&fx->box, "packs/merged/0000000000000001"), 0);
	assert_int_equal(fstatat(fx->root_fd, "packs/merged/0000000000000003", &after, 0), 0);
	assert_true(after.st_size < before.st_size / 2);
	expect_all(fx);
	for (size_t i = 0; i < 64; i++)
		remove_one(fx, i);
	put_more(fx, 64);
	tidy(fx);
	assert_int_equal(box_count(&fx->box, "packs/merged/0000000000000003"), 0);
	expect_all(fx);
}

static void
a_pack_that_is_put_again_replaces_its_merged_copy(void **state)
{
	struct fixture *fx = *state;

	put_more(fx, 64);
	tidy(fx);
	box_shell(&fx->box, "head -c 60000 /dev/zero | dd of=\"$1/packs/merged/0000000000000001\" bs=1 seek=4000 conv=notrunc status=none");
	for (size_t i = 0; i < fx->count; i++)
		if (!is_whole(fx->driver, i))
			put_one(fx, i);
	assert_true(box_count(&fx->box, "packs/small/*") > 0);
	expect_all(fx);
	put_more(fx, 64);
	tidy(fx);
	assert_int_equal(box_count(&fx->box, "packs/small/*"), 0);
	expect_all(fx);
}

static void
a_crash_before_the_merged_files_are_removed_changes_nothing(void **state)
{
	struct fixture *fx = *state;

	put_more(fx, 64);
	box_shell(&fx->box, "cp -a \"$1/packs/small\" \"$1/before\"");
	tidy(fx);
	close_driver(fx);
	box_shell(&fx->box, "cp -a \"$1\"/before/* \"$1/packs/small/\"; echo x >\"$1/packs/merged/.tk-tmp-000000000000000000000000\"");
	open_driver(fx);
	assert_int_equal(box_count(&fx->box, "packs/merged/.tk-tmp*"), 0);
	expect_all(fx);
	/* One of them goes: its copy in the container must not come back. */
	remove_one(fx, 7);
	expect_all(fx);
	put_more(fx, 1);
	tidy(fx);
	assert_int_equal(box_count(&fx->box, "packs/merged/0000000000000001"), 0);
	expect_all(fx);
}

static void
a_damaged_table_has_a_second_one(void **state)
{
	struct fixture *fx = *state;

	put_more(fx, 64);
	tidy(fx);
	box_shell(&fx->box, "flip 100 \"$1/packs/merged/0000000000000001\"");
	expect_all(fx);
	/* Without either the packs are missing, not the vault; they can be sent again. */
	box_shell(&fx->box, "f=\"$1/packs/merged/0000000000000001\"; flip $(($(wc -c <\"$f\") - 100)) \"$f\"");
	reopen(fx);
	assert_false(is_whole(fx->driver, 0));
	for (size_t i = 0; i < fx->count; i++)
		put_one(fx, i);
	expect_all(fx);
	tidy(fx);
	expect_all(fx);
}

static void
a_head_that_reads_as_another_version_has_a_second_table_too(void **state)
{
	struct fixture *fx = *state;

	put_more(fx, 64);
	tidy(fx);
	for (unsigned at = 0; at < 16; at++) {
		char flip[128];

		(void)snprintf(flip, sizeof(flip), "flip %u \"$1/packs/merged/0000000000000001\"", at);
		box_shell(&fx->box, flip);
		expect_all(fx);
		box_shell(&fx->box, flip);
	}
}

static void
a_container_without_a_table_is_kept_for_who_can_read_it(void **state)
{
	struct fixture *fx = *state;

	put_more(fx, 64);
	tidy(fx);
	box_shell(&fx->box, "f=\"$1/packs/merged/0000000000000001\"; flip 8 \"$f\"; flip $(($(wc -c <\"$f\") - 100)) \"$f\"");
	reopen(fx);
	assert_false(is_whole(fx->driver, 0));
	for (size_t i = 0; i < 64; i++)
		fx->removed[i] = true;
	put_more(fx, 64);
	tidy(fx);
	assert_int_equal(box_count(&fx->box, "packs/merged/0000000000000001"), 1);
	expect_all(fx);
}

static void
space_of_a_merged_pack_is_given_back_without_its_neighbours(void **state)
{
	struct fixture *fx = *state;
	struct tk_byte_range range = {0};
	struct tk_pack_name name;
	uint8_t byte = 1;
	size_t got;

	put_more(fx, 64);
	tidy(fx);
	name_of(9, &name);
	range.offset_bytes = 50;
	range.len_bytes = len_of(9) - 50;
	assert_int_equal(fx->driver->ops->drop(fx->driver, &name, &range, 1, NULL), TK_OK);
	for (size_t i = 0; i < fx->count; i++)
		assert_true(is_whole(fx->driver, i) == (i != 9));
	/* Its other bytes stay. */
	assert_int_equal(fx->driver->ops->get(fx->driver, &name, 49, &byte, 1, &got, NULL), TK_OK);
	assert_int_equal(byte, byte_of(9, 49));
}

static void
a_file_with_a_second_name_keeps_its_bytes(void **state)
{
	struct fixture *fx = *state;
	struct tk_byte_range range = {.offset_bytes = 50};
	struct tk_pack_name name;

	put_more(fx, 1);
	name_of(0, &name);
	range.len_bytes = len_of(0) - 50;
	box_shell(&fx->box, "ln \"$1\"/packs/small/* \"$1/second\"");
	assert_int_equal(fx->driver->ops->drop(fx->driver, &name, &range, 1, NULL), TK_OK);
	assert_true(is_whole(fx->driver, 0));
	box_shell(&fx->box, "rm \"$1/second\"");
	assert_int_equal(fx->driver->ops->drop(fx->driver, &name, &range, 1, NULL), TK_OK);
	assert_false(is_whole(fx->driver, 0));
}

static void
a_vault_without_these_directories_is_read(void **state)
{
	struct fixture *fx = *state;
	struct tk_driver *reader = NULL;
	struct tk_pack_name name;
	uint64_t size;

	close_driver(fx);
	box_shell(&fx->box, "rmdir \"$1\"/packs/*");
	assert_int_equal(tk_dir_driver_new(fx->root_fd, false, &reader, NULL), TK_OK);
	name_of(0, &name);
	assert_int_equal(reader->ops->size(reader, &name, &size, NULL), TK_ENOENT);
	reader->ops->close(reader);
	assert_int_equal(box_count(&fx->box, "packs/*"), 0);
	open_driver(fx);
	put_more(fx, 1);
	expect_all(fx);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(many_small_packs_become_one_file),
		WITH(there_are_never_many_files_however_many_packs),
		WITH(a_reader_goes_on_while_packs_are_merged),
		WITH(a_removed_pack_stays_away_until_it_is_put_again),
		WITH(a_mostly_dead_container_is_written_anew_and_a_dead_one_goes),
		WITH(a_pack_that_is_put_again_replaces_its_merged_copy),
		WITH(a_crash_before_the_merged_files_are_removed_changes_nothing),
		WITH(a_damaged_table_has_a_second_one),
		WITH(a_head_that_reads_as_another_version_has_a_second_table_too),
		WITH(a_container_without_a_table_is_kept_for_who_can_read_it),
		WITH(space_of_a_merged_pack_is_given_back_without_its_neighbours),
		WITH(a_file_with_a_second_name_keeps_its_bytes),
		WITH(a_vault_without_these_directories_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
